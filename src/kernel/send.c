/* SPDX-License-Identifier: MIT */
#include "kernel/send.h"

#include <assert.h>
#include <stdlib.h>

#include "kernel/accept.h"
#include "kernel/after.h"
#include "kernel/callmsg.h"
#include "kernel/file.h"
#include "kernel/kernel.h"
#include "kernel/message.h"
#include "kernel/notify.h"
#include "kernel/port.h"
#include "kernel/portset.h"
#include "kernel/receive.h"
#include "kernel/remote.h"
#include "kernel/space.h"
#include "kernel/task.h"
#include "kernel/thread.h"
#include "kernel/waiter.h"
#include "platform/cpu.h"
#include "platform/probe.h"

/* Why a waiting receiver does not get the message; MACH_MSG_SUCCESS: it does. */
static mach_msg_return_t receiver_objection(const struct waiter *w, const struct message *m)
{
	if (w->leaves_all)
		return MACH_RCV_INVALID_DATA;
	if (w->leaves_large && m->size > w->max_size)
		return MACH_RCV_TOO_LARGE;
	return MACH_MSG_SUCCESS;
}

/* The reference that a receiver held on what it waited for. */
static void receiver_unref_locked(struct port *p)
{
	if (p->set)
		p->set->n_refs--;
	else
		p->n_refs--;
}

bool send_offer_locked(struct port *p, struct list *receivers, struct message *m, struct after *after)
{
	struct right dest = m->dest;
	struct export *origin = m->origin;
	uint64_t bytes = message_bytes(m);

	receive_prepare_locked(p, m);
	m->origin = NULL;
	while (!list_is_empty(receivers)) {
		struct waiter *w = list_first(receivers, struct waiter, link);
		mach_msg_return_t objection = receiver_objection(w, m);

		w->message = m;
		w->size = m->size;
		if (!waiter_claim(w, objection, after))
			continue;
		receiver_unref_locked(p);
		if (!objection) {
			receive_commit_locked(p, dest.kind, bytes, origin, after);
			return true;
		}
	}
	m->dest = dest;
	m->origin = origin;
	return false;
}

static void send_queue_locked(struct port *p, struct message *m)
{
	list_append(&p->messages, &m->port_link);
	p->n_queued++;
	p->queued_bytes += message_bytes(m);
}

/* Hands the message to a thread that waits on the port or on its set, else queues it, or sends it to another node. */
static void send_deliver_locked(struct port *p, struct message *m, struct after *after)
{
	struct portset *set = p->set;

	if (__builtin_expect(p->held && !m->is_relayed, 0)) {
		p->n_queued++;
		list_append(p->held, &m->port_link);
		return;
	}
	if (__builtin_expect(port_is_proxy(p), 0)) {
		p->n_queued++;
		p->n_passed++;
		p->passed_bytes += message_bytes(m);
		after_transmit(after, m);
		return;
	}
	if (!set) {
		if (list_is_empty(&p->receivers) || !send_offer_locked(p, &p->receivers, m, after)) {
			send_queue_locked(p, m);
			port_show_locked(p);
		}
		return;
	}
	lock_take(&set->lock);
	if (list_is_empty(&set->receivers) || !send_offer_locked(p, &set->receivers, m, after)) {
		send_queue_locked(p, m);
		list_append(&set->messages, &m->set_link);
		portset_show_locked(set);
	}
	lock_drop(&set->lock);
}

void send_all_locked(struct port *p, struct list *messages, struct after *after)
{
	list_for_each(m, messages, struct message, port_link) {
		list_unlink(&m->port_link);
		p->n_queued--;
		send_deliver_locked(p, m, after);
	}
}

void send_admit_locked(struct port *p, struct after *after)
{
	while (p->n_queued < p->qlimit && !list_is_empty(&p->senders)) {
		struct waiter *w = list_first(&p->senders, struct waiter, link);
		struct message *m = w->message;

		if (!waiter_claim(w, MACH_MSG_SUCCESS, after))
			continue;
		p->n_refs--;
		send_deliver_locked(p, m, after);
	}
}

/* Waits for room, or for the port's death. The port's lock is held on entry and dropped. */
static mach_msg_return_t send_wait(struct thread *thread, struct port *p, struct message *m,
				   const struct deadline *deadline)
{
	struct waiter *w = &thread->waiter;
	enum waiter_state end;

	waiter_begin(w, m);
	list_append(&p->senders, &w->link);
	port_ref_locked(p);
	lock_drop(&p->lock);
	thread_check_wait(thread);
	if (port_is_proxy(p))
		remote.ops.ask_for_room(p);
	probe2(block, w, m);
	end = waiter_wait(w, deadline, port_is_proxy(p) ? remote.ops.cpu(p) : CPU_UNKNOWN);
	if (end == WAITER_DONE)
		return w->result;

	lock_take(&p->lock);
	list_unlink(&w->link);
	port_unlock_unref(p);
	return end == WAITER_TIMED_OUT ? MACH_SEND_TIMED_OUT : MACH_SEND_INTERRUPTED;
}

static bool send_has_room_locked(const struct port *p, const struct message *m)
{
	return m->dest.kind == RIGHT_SEND_ONCE || p->n_queued < p->qlimit;
}

/* The same for a sender who does not wait; of a port that is elsewhere, after asking there. May drop the lock and take it
 * again. */
static bool send_finds_room_locked(struct port *p, const struct message *m)
{
	if (!port_is_proxy(p))
		return false;
	lock_drop(&p->lock);
	remote.ops.look_for_room(p);
	lock_take(&p->lock);
	return send_has_room_locked(p, m);
}

/* A message for no living queue. */
static bool send_is_elsewhere(struct port *p, struct message *m)
{
	if (p == PORT_DEAD || port_is_dead(p)) {
		message_destroy(m);
		return true;
	}
	if (atomic_load_explicit(&p->where, memory_order_acquire) == PORT_IN_KERNEL) {
		if (m->origin)
			message_leave_origin(m); /* there is no queue */
		if (!file_deliver(m) && !kernel_serve_node(m))
			call_serve(m);
		return true;
	}
	return false;
}

/* Delivers under the port's lock, which it drops. A message that carries the right to receive it, by whatever detour,
 * would stay for ever: it is destroyed, and the ports on the detour with it. (It cannot get here by way of
 * send_admit_locked(): while it waits for room, nobody can make any.) */
static void send_and_drop(struct port *p, struct message *m)
{
	struct after after;

	if (m->is_circular) {
		lock_drop(&p->lock);
		message_destroy(m);
		return;
	}
	after_init(&after);
	send_deliver_locked(p, m, &after);
	lock_drop(&p->lock);
	after_run(&after);
}

/* An unfilled message stays so only if it leaves by a link in this call. */
static bool send_has_to_fill_locked(const struct port *p, const struct message *m)
{
	return __builtin_expect(m->is_unfilled, 0) && (!port_is_proxy(p) || p->held || !send_has_room_locked(p, m));
}

/* Drops the lock and takes it again. False: what the sender had cannot be read any more; the message is gone, the lock dropped. */
static bool send_fill_locked(struct port *p, struct message *m)
{
	lock_drop(&p->lock);
	if (!message_fill(m)) {
		message_destroy(m);
		return false;
	}
	lock_take(&p->lock);
	return true;
}

mach_msg_return_t send(struct thread *thread, struct message *m, mach_msg_option_t option,
		       const struct deadline *deadline, mach_port_name_t notify)
{
	struct port *p = m->dest.port;
	mach_msg_return_t r;

	m->cpu = cpu_current();
	probe4(send, m, p, m->header.msgh_id, m->size);
	if (send_is_elsewhere(p, m))
		return MACH_MSG_SUCCESS;
	lock_take(&p->lock);
	if (send_has_to_fill_locked(p, m) && !send_fill_locked(p, m))
		return MACH_SEND_INVALID_MEMORY;
	if (__builtin_expect((send_has_room_locked(p, m) || (!deadline && send_finds_room_locked(p, m))) &&
				     !port_is_dead(p),
			     1)) {
		send_and_drop(p, m);
		return MACH_MSG_SUCCESS;
	}
	if (port_is_dead(p)) {
		lock_drop(&p->lock);
		message_destroy(m);
		return MACH_MSG_SUCCESS;
	}
	if (deadline) {
		r = send_wait(thread, p, m, deadline);
	} else {
		lock_drop(&p->lock);
		r = MACH_SEND_TIMED_OUT;
	}
	if (r != MACH_SEND_TIMED_OUT || !(option & MACH_SEND_NOTIFY))
		return r;

	r = accept_request_new(thread->task->space, p, notify, &m->accept);
	if (r)
		return r;
	send_always(m);
	return MACH_SEND_WILL_NOTIFY;
}

void send_always(struct message *m)
{
	struct port *p = m->dest.port;

	if (send_is_elsewhere(p, m))
		return;
	lock_take(&p->lock);
	if (port_is_dead(p)) {
		lock_drop(&p->lock);
		message_destroy(m);
		return;
	}
	send_and_drop(p, m);
}
