/* SPDX-License-Identifier: MIT */
#include "kernel/receive.h"

#include <assert.h>

#include "kernel/accept.h"
#include "kernel/after.h"
#include "kernel/message.h"
#include "kernel/port.h"
#include "kernel/portset.h"
#include "kernel/remote.h"
#include "kernel/send.h"
#include "kernel/space.h"
#include "kernel/task.h"
#include "kernel/thread.h"
#include "kernel/waiter.h"
#include "platform/probe.h"

/* One receive: what it was asked for and what came of it. */
struct reception {
	struct thread *thread;
	const struct receive_limits *limits;
	const struct deadline *deadline;
	struct message *message;
	mach_msg_size_t size;
};

void receive_prepare_locked(struct port *p, struct message *m)
{
	m->seqno = p->seqno;
	m->local_type = m->dest.kind;
	m->local_name = p->name;
	m->has_payload = p->has_payload;
	m->payload = p->payload;
	m->dest.port = NULL;
}

void receive_commit_locked(struct port *p, enum right_kind dest, uint64_t bytes, struct export *origin,
			   struct after *after)
{
	p->seqno++;
	p->n_passed++;
	p->passed_bytes += bytes;
	if (__builtin_expect(origin != NULL, 0))
		remote.ops.note_received_locked(origin);
	if (dest == RIGHT_SEND)
		after->no_senders = port_drop_send_locked(p);
	else
		p->n_sorights--;
	p->n_refs--;
}

void receive_unqueue_locked(struct port *p, struct message *m)
{
	list_unlink(&m->port_link);
	list_unlink(&m->set_link);
	p->n_queued--;
	p->queued_bytes -= message_bytes(m);
}

void receive_requeue_locked(struct port *p, struct message *m)
{
	list_prepend(&p->messages, &m->port_link);
	if (p->set)
		list_prepend(&p->set->messages, &m->set_link);
	p->n_queued++;
	p->queued_bytes += message_bytes(m);
}

/* The oldest message @m of a port. MACH_MSG_SUCCESS: it has been taken. */
static mach_msg_return_t receive_take_locked(struct reception *rx, struct port *p, struct message *m,
					     struct after *after)
{
	enum right_kind dest = m->dest.kind;

	if (rx->limits->buffer_is_bad)
		return MACH_RCV_INVALID_DATA;
	if (rx->limits->leaves_large && m->size > rx->limits->max_size) {
		rx->size = m->size;
		return MACH_RCV_TOO_LARGE;
	}
	receive_unqueue_locked(p, m);
	receive_prepare_locked(p, m);
	receive_commit_locked(p, dest, message_bytes(m), m->origin, after);
	m->origin = NULL;
	rx->message = m;
	return MACH_MSG_SUCCESS;
}

static void receive_begin_wait(struct reception *rx, struct list *receivers)
{
	struct waiter *w = &rx->thread->waiter;

	w->max_size = rx->limits->max_size;
	w->leaves_large = rx->limits->leaves_large;
	w->leaves_all = rx->limits->buffer_is_bad;
	waiter_begin(w, NULL);
	list_prepend(receivers, &w->link);
}

/* Blocks; true: somebody ended the wait, and *result is what he said. */
static bool receive_wait(struct reception *rx, mach_msg_return_t *result)
{
	struct waiter *w = &rx->thread->waiter;
	enum waiter_state end;

	thread_check_wait(rx->thread);
	probe2(block, w, NULL);
	end = waiter_wait(w, rx->deadline, rx->thread->partner_cpu);
	if (end == WAITER_DONE) {
		*result = w->result;
		rx->size = w->size;
		rx->message = w->result ? NULL : w->message;
		return true;
	}
	*result = end == WAITER_TIMED_OUT ? MACH_RCV_TIMED_OUT : MACH_RCV_INTERRUPTED;
	return false;
}

/* The port's lock is held on entry and dropped. */
static mach_msg_return_t receive_from_port(struct reception *rx, struct port *p)
{
	mach_msg_return_t r = MACH_RCV_TIMED_OUT;
	struct after after;

	after_init(&after);
	if (!list_is_empty(&p->messages)) {
		r = receive_take_locked(rx, p, list_first(&p->messages, struct message, port_link), &after);
		send_admit_locked(p, &after);
		port_show_locked(p);
		lock_drop(&p->lock);
		after_run(&after);
		return r;
	}
	if (!rx->deadline) {
		lock_drop(&p->lock);
		return r;
	}
	receive_begin_wait(rx, &p->receivers);
	port_ref_locked(p);
	lock_drop(&p->lock);
	if (!receive_wait(rx, &r)) {
		lock_take(&p->lock);
		list_unlink(&rx->thread->waiter.link);
		port_unlock_unref(p);
	}
	return r;
}

/* Takes the oldest message of all members, if there is one. The set's lock is held throughout its own part: a member's
 * lock ranks before it, so it may be dropped on the way (and @set is referenced by the caller). */
static bool receive_from_queue_locked(struct reception *rx, struct portset *set, mach_msg_return_t *r)
{
	struct after after;

	after_init(&after);
	while (!list_is_empty(&set->messages)) {
		struct message *m = list_first(&set->messages, struct message, set_link);
		struct port *p = m->dest.port;

		if (!portset_lock_member(set, p))
			continue;
		*r = receive_take_locked(rx, p, m, &after);
		portset_show_locked(set);
		lock_drop(&set->lock);
		send_admit_locked(p, &after);
		lock_drop(&p->lock);
		after_run(&after);
		lock_take(&set->lock);
		return true;
	}
	return false;
}

/* The set's lock is held on entry and dropped. */
static mach_msg_return_t receive_from_set(struct reception *rx, struct portset *set)
{
	mach_msg_return_t r = MACH_RCV_TIMED_OUT;

	portset_ref_locked(set);
	if (receive_from_queue_locked(rx, set, &r) || !rx->deadline) {
		portset_unlock_unref(set);
		return r;
	}
	if (set->is_dead) {
		portset_unlock_unref(set);
		return MACH_RCV_PORT_DIED;
	}
	receive_begin_wait(rx, &set->receivers);
	lock_drop(&set->lock);
	if (!receive_wait(rx, &r)) {
		lock_take(&set->lock);
		list_unlink(&rx->thread->waiter.link);
		portset_unlock_unref(set);
	}
	return r;
}

/* Finds what @name receives from and goes on with its lock held instead of the space's. */
static mach_msg_return_t receive_by_name(struct reception *rx, struct space *space, mach_port_name_t number)
{
	struct name *name;

	lock_take(&space->lock);
	name = space_lookup_locked(space, number);
	if (name && (name->type & MACH_PORT_TYPE_RECEIVE)) {
		struct port *p = name->port;

		lock_take(&p->lock);
		lock_drop(&space->lock);
		if (!p->set)
			return receive_from_port(rx, p);
		lock_drop(&p->lock);
		return MACH_RCV_IN_SET;
	}
	if (name && (name->type & MACH_PORT_TYPE_PORT_SET)) {
		struct portset *set = name->set;

		lock_take(&set->lock);
		lock_drop(&space->lock);
		return receive_from_set(rx, set);
	}
	lock_drop(&space->lock);
	return MACH_RCV_INVALID_NAME;
}

/* The message is out of the queue. */
static struct message *reception_end(struct reception *rx)
{
	struct message *m = rx->message;

	probe4(receive, m, m->local_name, m->header.msgh_id, m->size);
	rx->thread->partner_cpu = m->cpu;
	if (m->accept)
		accept_request_fire(m->accept);
	m->accept = NULL;
	return m;
}

mach_msg_return_t receive(struct thread *thread, mach_port_name_t name, const struct receive_limits *limits,
			  const struct deadline *deadline, struct message **message, mach_msg_size_t *size)
{
	struct reception rx = { .thread = thread, .limits = limits, .deadline = deadline };
	mach_msg_return_t r;

	if (!deadline)
		remote_look_thoroughly(); /* whoever does not wait is to see all that was sent before */
	r = receive_by_name(&rx, thread->task->space, name);
	*size = rx.size;
	if (!r)
		*message = reception_end(&rx);
	return r;
}

mach_msg_return_t receive_unnamed(struct thread *thread, struct port *p, struct message **message)
{
	static const struct receive_limits none = { .max_size = UINT32_MAX };
	const struct deadline never = deadline_never();
	struct reception rx = { .thread = thread, .limits = &none, .deadline = &never };
	mach_msg_return_t r;

	lock_take(&p->lock);
	r = receive_from_port(&rx, p);
	if (!r)
		*message = reception_end(&rx);
	return r;
}
