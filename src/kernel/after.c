/* SPDX-License-Identifier: MIT */
#include "kernel/after.h"

#include "kernel/notify.h"
#include "kernel/port.h"
#include "kernel/portset.h"
#include "platform/lock.h"
#include "platform/park.h"

void after_wake(struct after *after, atomic_uint *word)
{
	if (after->n_wakes < AFTER_WAKES)
		after->wakes[after->n_wakes++] = word;
	else
		park_wake(word);
}

void after_run_slow(struct after *after)
{
	lock_assert_none_held();
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
