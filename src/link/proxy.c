/* SPDX-License-Identifier: MIT */
#include "link/proxy.h"

#include <assert.h>
#include <stdlib.h>
#include <time.h>

#include "kernel/accept.h"
#include "kernel/after.h"
#include "kernel/port.h"
#include "kernel/send.h"
#include "kernel/thread.h"
#include "link/export.h"
#include "link/frame.h"
#include "link/link.h"
#include "link/migrate.h"
#include "link/poller.h"

enum { ANSWER_MS = 200 }; /* from an owner who is stopped there is none */

struct proxy *proxy_find_locked(struct link *link, uint32_t index)
{
	lock_assert_held(&node.lock);
	return index & INDEX_IS_ADOPTED ? sparse_get(&link->adopted_proxies, index) : table_get(&link->proxies, index);
}

struct port *proxy_new_port(uint32_t limit)
{
	static const struct timespec pause = { .tv_nsec = 1000000 };
	struct port *port;

	while (!(port = port_new()))
		nanosleep(&pause, NULL);
	port->qlimit = limit;
	return port;
}

static struct proxy *proxy_make_locked(struct link *link, uint32_t index, struct port *port)
{
	struct proxy *x = spares_take(&node.proxies);

	if (!x)
		x = certain_alloc(sizeof *x);
	*x = (struct proxy){ .noted.kind = NOTED_PROXY, .link = link, .port = port, .index = index };
	proxy_enter_table_locked(link, index, x);
	return x;
}

struct proxy *proxy_of_locked(struct link *link, uint32_t index, uint32_t limit)
{
	struct proxy *x = proxy_find_locked(link, index);

	if (x || (!(index & INDEX_IS_ADOPTED) && index >= limits.exports))
		return x;
	x = proxy_make_locked(link, index, proxy_new_port(limit));
	lock_take(&x->port->lock);
	port_become_proxy_locked(x->port, x);
	lock_drop(&x->port->lock);
	return x;
}

struct proxy *proxy_of_wire_locked(struct link *link, const struct wire_right *wire)
{
	struct proxy *x = proxy_of_locked(link, wire->value, wire->limit);

	if (x) {
		x->is_object |= (wire->form & WIRE_IS_OBJECT) != 0;
		x->is_file |= (wire->form & WIRE_IS_FILE) != 0;
	}
	return x;
}

uint32_t proxy_new_index_locked(struct link *link)
{
	return INDEX_IS_ADOPTED | link->next_adopted++;
}

struct proxy *proxy_adopt_locked(struct link *link, uint32_t index, struct port *port)
{
	struct proxy *x = proxy_make_locked(link, index, port);

	x->told_sends = port->n_srights;
	x->told_onces = port->n_sorights;
	x->n_sent = 0;
	port_become_proxy_locked(port, x);
	return x;
}

void proxy_enter_table_locked(struct link *link, uint32_t index, struct proxy *x)
{
	if (index & INDEX_IS_ADOPTED)
		sparse_set(&link->adopted_proxies, index, x);
	else
		table_set(&link->proxies, index, x);
}

void proxy_leave_table_locked(struct link *link, uint32_t index, struct proxy *x)
{
	if (!link || proxy_find_locked(link, index) != x)
		return;
	if (index & INDEX_IS_ADOPTED)
		sparse_unset(&link->adopted_proxies, index);
	else
		table_unset(&link->proxies, index);
}

void proxy_receive_unit_locked(struct proxy *x, enum right_kind kind, struct right *right)
{
	struct port *port = x->port;

	*right = (struct right){ port, kind };
	lock_take(&port->lock);
	port_ref_locked(port);
	if (kind == RIGHT_SEND) {
		port->n_srights++;
		x->told_sends++;
	} else {
		port->n_sorights++;
		x->told_onces++;
	}
	lock_drop(&port->lock);
}

bool proxy_is_file(struct port *port)
{
	bool is_file;

	lock_take(&node.lock);
	is_file = port_is_proxy(port) && port->proxy->is_file;
	lock_drop(&node.lock);
	return is_file;
}

unsigned proxy_cpu(struct port *port)
{
	unsigned cpu = CPU_UNKNOWN;

	lock_take(&node.lock);
	if (port_is_proxy(port) && port->proxy->link)
		cpu = ring_cpu(&port->proxy->link->ring);
	lock_drop(&node.lock);
	return cpu;
}

/* What is here differs from what the owner believes, or nothing is left. The port's lock is held. */
static bool proxy_is_unsettled_locked(const struct proxy *x)
{
	const struct port *port = x->port;

	return port->n_srights != x->told_sends || port->n_sorights != x->told_onces ||
	       port->n_srights + port->n_sorights == 0;
}

void proxy_note_count_locked(struct port *port)
{
	node_note(&port->proxy->noted);
}

static void proxy_tell_counts(struct proxy *x, int64_t sends, int64_t onces, bool is_end)
{
	struct frame_index f = {
		.header = { sizeof f, FRAME_COUNT, 0 },
		.index = x->index,
		.sends = (int32_t)sends,
		.onces = (int32_t)onces,
		.is_end = is_end,
	};

	link_send_locked(x->link, &f.header, URGENCY_SOON, NULL, 0);
}

/* P2. That none is left. */
static void proxy_tell_end(struct proxy *x, uint32_t sends, uint32_t onces)
{
	if (sends || onces || (x->index & INDEX_IS_ADOPTED))
		proxy_tell_counts(x, -(int64_t)sends, -(int64_t)onces, x->index & INDEX_IS_ADOPTED);
}

/* P2. The last unit leaves with a frame: with it the index is the owner's to use again. */
static void proxy_leave_if_untold_locked(struct proxy *x)
{
	if (x->told_sends + x->told_onces == 0 && !(x->index & INDEX_IS_ADOPTED) && !x->relocation)
		proxy_leave_table_locked(x->link, x->index, x);
}

bool proxy_give_locked(struct proxy *x, const struct right *right)
{
	struct port *port = x->port;
	bool has_unit = true;

	lock_take(&port->lock);
	port->n_refs--; /* not the last: there is ours */
	if (right->kind == RIGHT_SEND) {
		has_unit = x->told_sends > --port->n_srights;
		x->told_sends -= has_unit;
	} else {
		port->n_sorights--;
		x->told_onces--;
	}
	if (proxy_is_unsettled_locked(x))
		node_note(&x->noted);
	lock_drop(&port->lock);
	proxy_leave_if_untold_locked(x);
	return has_unit;
}

/* Out of the table. The memory goes, unless it is noted. */
static void proxy_leave_locked(struct proxy *x)
{
	migrate_forget_proxy_locked(x);
	proxy_leave_table_locked(x->link, x->index, x);
	x->link = NULL;
	if (x->noted.is_listed)
		x->noted.is_condemned = true;
	else
		spares_put(&node.proxies, x);
}

/* Nothing is left here, nor does the owner believe so, and it need not wait for the end of the call: the port is not one that is
 * moving, whose right to receive may be about to follow. The port's lock is held. */
static bool proxy_may_end_locked(const struct proxy *x)
{
	const struct port *port = x->port;

	return port->n_srights + port->n_sorights + x->told_sends + x->told_onces == 0 && !port->exports &&
	       !x->forced && !x->relocation && !(x->index & INDEX_IS_ADOPTED) && !x->noted.is_listed;
}

/* The port has ended, and with it the reference to it. */
static void proxy_finish_locked(struct proxy *x)
{
	proxy_tell_end(x, 0, 0);
	proxy_leave_locked(x);
}

static void proxy_end_port_and_drop(struct port *port)
{
	port_end_proxy_locked(port);
	port_unlock_unref(port);
}

/* Most often it is the right to answer, with which the proxy came; or a copy that was made for this message. */
void proxy_use_locked(struct proxy *x, enum right_kind kind)
{
	struct port *port = x->port;

	lock_take(&port->lock);
	port->n_refs--; /* not the last: there is ours */
	if (kind == RIGHT_SEND) {
		port->n_srights--;
	} else {
		port->n_sorights--;
		x->told_onces--;
	}
	if (proxy_may_end_locked(x)) {
		proxy_end_port_and_drop(port);
		proxy_finish_locked(x);
		return;
	}
	if (proxy_is_unsettled_locked(x))
		node_note(&x->noted);
	else
		node_unnote_locked(&x->noted);
	lock_drop(&port->lock);
	proxy_leave_if_untold_locked(x);
}

void proxy_settle_counts_locked(struct proxy *x)
{
	struct port *port = x->port;
	uint32_t here;
	int64_t sends, onces;

	lock_take(&port->lock);
	here = port->n_srights;
	if (here == 0 && x->forced && x->told_sends)
		here = 1; /* with that the message waits in the owner's queue */
	sends = (int64_t)here - x->told_sends;
	onces = (int64_t)port->n_sorights - x->told_onces;
	x->told_sends = here;
	x->told_onces = port->n_sorights;
	lock_drop(&port->lock);
	if (sends || onces)
		proxy_tell_counts(x, sends, onces, false);
}

static bool proxy_end_if_unused_locked(struct port *port)
{
	bool is_unused;

	lock_take(&port->lock);
	is_unused = port->n_srights + port->n_sorights == 0 && !port->exports && !port->proxy->forced;
	if (is_unused)
		proxy_end_port_and_drop(port);
	else
		lock_drop(&port->lock);
	return is_unused;
}

void proxy_settle_locked(struct proxy *x)
{
	struct port *port = x->port;

	if (x->noted.is_condemned) {
		spares_put(&node.proxies, x);
		return;
	}
	atomic_store(&x->noted.is_listed, false);
	if (x->relocation)
		return; /* noted again when it has arrived */
	proxy_settle_counts_locked(x);
	if (proxy_end_if_unused_locked(port))
		proxy_finish_locked(x);
}

void proxy_mint_locked(struct proxy *x, enum right_kind kind)
{
	bool is_send = kind == RIGHT_SEND;

	port_add_rights(x->port, is_send, !is_send);
	x->told_sends += is_send;
	x->told_onces += !is_send;
	proxy_tell_counts(x, is_send, !is_send, false);
}

void proxy_pass_units_locked(struct proxy *x, uint32_t sends, uint32_t onces)
{
	struct port *port = x->port;

	proxy_settle_counts_locked(x);
	lock_take(&port->lock);
	port->n_srights -= sends;
	port->n_sorights -= onces;
	port->n_refs -= sends + onces; /* not the last: there is ours */
	x->told_sends -= sends;
	x->told_onces -= onces;
	lock_drop(&port->lock);
	node_note(&x->noted);
}

struct port *proxy_come_home_locked(struct proxy *x, struct forced **forced)
{
	struct port *port = x->port;

	*forced = x->forced;
	lock_take(&port->lock);
	port_cease_proxy_locked(port);
	port->n_queued = 0;
	proxy_leave_locked(x);
	lock_drop(&port->lock);
	return port;
}

/* Requests whose message is among the first @n_received. */
static struct forced *proxy_take_accepted_locked(struct proxy *x)
{
	struct forced *first = x->forced, **at = &x->forced;

	while (*at && (int32_t)((*at)->number - x->n_received) <= 0)
		at = &(*at)->next;
	if (at == &x->forced)
		return NULL;
	x->forced = *at;
	*at = NULL;
	return first;
}

void proxy_note_received_locked(struct proxy *x, uint32_t n, struct after *after, struct forced **accepted)
{
	struct port *port = x->port;

	lock_take(&port->lock);
	if (n > port->n_queued)
		n = port->n_queued;
	port->n_queued -= n;
	x->n_received += n;
	*accepted = proxy_take_accepted_locked(x);
	if (*accepted && proxy_is_unsettled_locked(x))
		node_note(&x->noted);
	send_admit_locked(port, after);
	lock_drop(&port->lock);
}

void proxy_note_queued_locked(struct proxy *x, uint32_t n)
{
	struct port *port = x->port;

	lock_take(&port->lock);
	port->n_queued += n;
	x->n_sent += n;
	for (struct forced *forced = x->forced; forced; forced = forced->next)
		forced->number += n; /* they wait behind those */
	lock_drop(&port->lock);
}

/* ---- room in the owner's queue -------------------------------------------------------------------------------------- */

/* The owner tells of room when it suits him: late enough not to disturb those who do not need it, but a thread that finds
 * the queue full does. False: there is nobody to be asked. */
static bool proxy_ask_locked(struct port *port, bool wants_answer)
{
	struct frame_index f = { .header = { sizeof f, FRAME_ASK, 0 }, .onces = wants_answer };
	struct proxy *x = port->proxy;

	if (!port_is_proxy(port) || x->relocation)
		return false;
	f.index = x->index;
	link_send_locked(x->link, &f.header, URGENCY_HIGH, NULL, 0);
	return true;
}

void proxy_ask_if_waited_for_locked(struct proxy *x)
{
	bool is_waited_for;

	lock_take(&x->port->lock);
	is_waited_for = !list_is_empty(&x->port->senders);
	lock_drop(&x->port->lock);
	if (is_waited_for)
		(void)proxy_ask_locked(x->port, false);
}

void proxy_ask_for_room(struct port *port)
{
	lock_take(&node.lock);
	(void)proxy_ask_locked(port, false);
	lock_drop(&node.lock);
}

void proxy_ask_again_locked(struct proxy *x)
{
	bool has_waiting;

	lock_take(&x->port->lock);
	has_waiting = !list_is_empty(&x->port->senders);
	lock_drop(&x->port->lock);
	if (has_waiting)
		(void)proxy_ask_locked(x->port, false);
}

struct question {
	struct port *port;
	uint32_t n_answers; /* before it */
};

static bool question_is_answered(void *what)
{
	struct question *question = what;
	struct port *port = question->port;
	bool is_answered;

	lock_take(&node.lock);
	is_answered = !port_is_proxy(port) || port->proxy->n_answers != question->n_answers;
	lock_drop(&node.lock);
	return is_answered;
}

/* Who does not answer is not waited for again before it has. */
static void proxy_note_mute(struct port *port)
{
	lock_take(&node.lock);
	if (port_is_proxy(port))
		port->proxy->is_mute = true;
	lock_drop(&node.lock);
}

void proxy_look_for_room(struct port *port)
{
	struct question question = { .port = port };
	bool is_asked;

	lock_take(&node.lock);
	is_asked = port_is_proxy(port) && !port->proxy->is_mute && proxy_ask_locked(port, true);
	if (is_asked)
		question.n_answers = port->proxy->n_answers;
	lock_drop(&node.lock);
	if (is_asked && !poller_await(question_is_answered, &question, ANSWER_MS))
		proxy_note_mute(port);
}

void proxy_relocate_locked(struct proxy *x, struct link *home, uint32_t index, uint32_t limit, struct after *after,
			   struct forced **accepted)
{
	struct port *port = x->port;

	if (x->link != home || x->index != index)
		proxy_leave_table_locked(x->link, x->index, x);
	x->link = home;
	x->index = index;
	proxy_leave_if_untold_locked(x);
	/* What went by the old way has left its queue there. */
	*accepted = x->forced;
	x->forced = NULL;
	x->n_received = x->n_sent;
	lock_take(&port->lock);
	port->n_queued = 0;
	port_set_qlimit_locked(port, limit, after);
	lock_drop(&port->lock);
}

void forced_fire_all(struct forced *forced)
{
	while (forced) {
		struct forced *next = forced->next;

		accept_request_fire(forced->request);
		free(forced);
		forced = next;
	}
}

void proxy_end_locked(struct proxy *x, struct ended_proxy *ended)
{
	struct port *port = x->port;

	ended->port = port;
	ended->forced = x->forced;
	if (!x->relocation) /* else READY is answered with them */
		proxy_tell_end(x, x->told_sends, x->told_onces);
	lock_take(&port->lock);
	port_cease_proxy_locked(port);
	port_die_locked(port, &ended->remains);
	proxy_leave_locked(x);
	lock_drop(&port->lock);
}

void ended_proxy_settle(struct ended_proxy *ended)
{
	if (ended->port)
		port_settle_remains(ended->port, &ended->remains);
	forced_fire_all(ended->forced);
}
