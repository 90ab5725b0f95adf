/* SPDX-License-Identifier: MIT */
#include "kernel/after.h"

#include "kernel/message.h"
#include "kernel/notify.h"
#include "kernel/port.h"
#include "kernel/portset.h"
#include "kernel/remote.h"
#include "platform/lock.h"
#include "platform/park.h"

void after_wake(struct after *after, atomic_uint *word)
{
	if (after->n_wakes < AFTER_WAKES)
		after->wakes[after->n_wakes++] = word;
	else
		park_wake(word);
}

void after_transmit(struct after *after, struct message *m)
{
	if (after->outgoing)
		list_append(&after->outgoing->port_link, &m->port_link);
	else
		after->outgoing = m;
}

static void after_run_outgoing(struct message *first)
{
	bool is_last;

	do {
		struct message *m = first;

		is_last = !list_is_linked(&m->port_link);
		first = list_next(m, struct message, port_link);
		list_unlink(&m->port_link);
		remote.ops.transmit(m);
	} while (!is_last);
}

void after_run_slow(struct after *after)
{
	lock_assert_none_held();
	if (after->outgoing)
		after_run_outgoing(after->outgoing);
	if (after->kicks)
		remote.ops.kick();
	for (uint32_t i = 0; i < after->n_wakes; i++)
		park_wake(after->wakes[i]);
	if (after->dying)
		port_destroy(after->dying);
	if (after->set)
		portset_destroy(after->set);
	if (after->unused)
		notify_send_once(after->unused);
	if (after->no_senders)
		notice_send(after->no_senders);
	if (after->port_deleted)
		notice_send(after->port_deleted);
}
