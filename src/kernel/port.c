/* SPDX-License-Identifier: MIT */
#include "kernel/port.h"

#include <assert.h>
#include <stdlib.h>

#include "kernel/after.h"
#include "kernel/count.h"
#include "kernel/message.h"
#include "kernel/notify.h"
#include "kernel/portset.h"
#include "kernel/remote.h"
#include "kernel/send.h"
#include "kernel/space.h"
#include "kernel/thread.h"
#include "kernel/waiter.h"
#include "platform/probe.h"

struct lock transit_lock = LOCK_INIT(RANK_TRANSIT);

static void port_set_where_locked(struct port *p, enum port_where where)
{
	lock_assert_held(&p->lock);
	atomic_store_explicit(&p->where, where, memory_order_release);
}

/* Most programs that make ports all the time, or get rights to them, drop as many. The first ports are those of the task and of
 * the thread itself. */
static struct port *port_alloc(void)
{
	struct port *p = thread_current ? spares_take(&thread_current->spare_ports) : NULL;

	return p ? p : malloc(sizeof *p);
}

struct port *port_new(void)
{
	struct port *p = port_alloc();

	if (!p)
		return NULL;
	*p = (struct port){ .where = PORT_IN_MESSAGE, .n_refs = 1, .qlimit = MACH_PORT_QLIMIT_DEFAULT };
	lock_init(&p->lock, RANK_PORT);
	list_init(&p->messages);
	list_init(&p->receivers);
	list_init(&p->senders);
	list_init(&p->set_link);
	list_init(&p->dead_requests);
	count_add(ports, 1);
	return p;
}

static void port_free(struct port *p)
{
	assert(port_is_dead(p));
	assert(list_is_empty(&p->messages) && list_is_empty(&p->receivers) && list_is_empty(&p->senders));
	assert(list_is_empty(&p->dead_requests) && !p->set && !p->no_senders && !p->port_destroyed && !p->exports &&
	       !p->watch);
	count_add(ports, -1);
	if (thread_current)
		spares_put(&thread_current->spare_ports, p);
	else
		free(p); /* the thread is at its end */
}

/* A receive on a member of a set says so at once. */
__attribute__((cold)) void port_show_slow_locked(struct port *p)
{
	watch_show_locked(p->watch, p->set || !list_is_empty(&p->messages));
}

void port_ref_locked(struct port *p)
{
	lock_assert_held(&p->lock);
	p->n_refs++;
}

void port_unlock_unref(struct port *p)
{
	bool was_last = --p->n_refs == 0;

	lock_drop(&p->lock);
	if (was_last)
		port_free(p);
}

void port_unref(struct port *p)
{
	lock_take(&p->lock);
	port_unlock_unref(p);
}

void port_enter_space_locked(struct port *p, struct space *space, struct name *entry)
{
	assert(p->where == PORT_IN_MESSAGE);
	p->space = space;
	p->entry = entry;
	p->name = entry->name;
	port_set_where_locked(p, PORT_IN_SPACE);
}

void port_enter_kernel_locked(struct port *p, struct object *object)
{
	assert(p->where == PORT_IN_MESSAGE);
	p->object = object;
	port_set_where_locked(p, PORT_IN_KERNEL);
}

void port_become_proxy_locked(struct port *p, struct proxy *proxy)
{
	assert(p->where == PORT_IN_MESSAGE && list_is_empty(&p->messages));
	p->proxy = proxy;
	port_set_where_locked(p, PORT_IS_PROXY);
}

void port_end_proxy_locked(struct port *p)
{
	assert(p->where == PORT_IS_PROXY && p->n_srights == 0 && p->n_sorights == 0);
	p->proxy = NULL;
	port_set_where_locked(p, PORT_IS_DEAD);
}

void port_cease_proxy_locked(struct port *p)
{
	assert(p->where == PORT_IS_PROXY);
	p->proxy = NULL;
	port_set_where_locked(p, PORT_IN_MESSAGE);
}

static void port_end_receivers_locked(struct port *p, mach_msg_return_t result, struct after *after)
{
	list_for_each(w, &p->receivers, struct waiter, link)
		if (waiter_claim(w, result, after))
			p->n_refs--;
}

void port_leave_space_locked(struct port *p, struct after *after)
{
	assert(p->where == PORT_IN_SPACE);
	if (p->set)
		portset_remove_locked(p);
	port_end_receivers_locked(p, MACH_RCV_PORT_DIED, after);
	watch_end_locked(&p->watch);
	p->mscount = 0;
	p->seqno = 0;
	p->has_payload = false;
	p->entry = NULL;
	p->name = MACH_PORT_NULL;
	port_set_where_locked(p, PORT_IN_MESSAGE);
}

/* Whether a message to @from would, through receive rights in transit, in the end wait on @to. */
static bool port_leads_to(struct port *from, const struct port *to)
{
	lock_assert_held(&transit_lock);
	while (from && from != to)
		from = from->dest;
	return from == to;
}

bool port_enter_transit(struct port *p, struct port *dest)
{
	bool closes_circle;

	lock_take(&transit_lock);
	closes_circle = port_leads_to(dest, p);
	if (!closes_circle) {
		lock_take(&dest->lock);
		port_ref_locked(dest);
		lock_drop(&dest->lock);
		p->dest = dest;
	}
	lock_drop(&transit_lock);
	return !closes_circle;
}

void port_leave_transit(struct port *p)
{
	struct port *dest;

	lock_take(&transit_lock);
	assert(p->where == PORT_IN_MESSAGE);
	dest = p->dest;
	p->dest = NULL;
	lock_drop(&transit_lock);
	if (dest)
		port_unref(dest);
}

void port_make_send_locked(struct port *p)
{
	p->mscount++;
	p->n_srights++;
	p->n_refs++;
}

void port_copy_send_locked(struct port *p)
{
	p->n_srights++;
	p->n_refs++;
	remote_note_count_locked(p);
}

void port_make_send_once_locked(struct port *p)
{
	p->n_sorights++;
	p->n_refs++;
}

void port_add_rights(struct port *p, uint32_t n_sends, uint32_t n_onces)
{
	lock_take(&p->lock);
	p->n_srights += n_sends;
	p->n_sorights += n_onces;
	p->n_refs += n_sends + n_onces;
	lock_drop(&p->lock);
}

struct message *port_drop_send_locked(struct port *p)
{
	struct message *notice = p->no_senders;

	assert(p->n_srights > 0);
	remote_note_count_locked(p);
	if (--p->n_srights > 0 || !notice || port_is_dead(p))
		return NULL;
	p->no_senders = NULL;
	notice_set_value(notice, MACH_NOTIFY_NO_SENDERS, p->mscount);
	return notice;
}

void port_drop_send(struct port *p)
{
	struct message *notice;

	lock_take(&p->lock);
	notice = port_drop_send_locked(p);
	port_unlock_unref(p);
	if (notice)
		notice_send(notice);
}

void port_drop_sends(struct port *p, uint32_t n)
{
	if (n == 0)
		return;
	lock_take(&p->lock);
	p->n_srights -= n - 1;
	p->n_refs -= n - 1; /* not the last */
	lock_drop(&p->lock);
	port_drop_send(p);
}

static void port_end_senders_locked(struct port *p, struct remains *remains)
{
	list_for_each(w, &p->senders, struct waiter, link) {
		struct message *m = w->message;

		/* Mach lets the send succeed: the message was destroyed as if it had been queued before. */
		if (!waiter_claim(w, MACH_MSG_SUCCESS, &remains->after))
			continue;
		p->n_refs--;
		list_append(&remains->messages, &m->port_link);
	}
}

void port_die_locked(struct port *p, struct remains *remains)
{
	assert(!p->port_destroyed);
	assert(p->where == PORT_IN_MESSAGE || p->where == PORT_IN_KERNEL || p->where == PORT_IS_PROXY);
	assert(!p->set && list_is_empty(&p->receivers));
	list_init(&remains->messages);
	list_init(&remains->dead_requests);
	after_init(&remains->after);
	port_set_where_locked(p, PORT_IS_DEAD);
	probe2(port__death, p, p->n_queued);
	p->n_queued = 0;
	p->queued_bytes = 0;
	list_splice(&remains->messages, &p->messages);
	if (p->held)
		list_splice(&remains->messages, p->held);
	p->held = NULL;
	list_splice(&remains->dead_requests, &p->dead_requests);
	remains->no_senders = p->no_senders;
	p->no_senders = NULL;
	remains->is_exported = p->exports != NULL;
	port_end_senders_locked(p, remains);
}

void port_settle_remains(struct port *p, struct remains *remains)
{
	after_run(&remains->after);
	list_for_each(m, &remains->messages, struct message, port_link) {
		list_unlink(&m->port_link);
		message_destroy(m);
	}
	if (remains->no_senders)
		notice_abandon(remains->no_senders);
	list_for_each(notice, &remains->dead_requests, struct message, port_link) {
		list_unlink(&notice->port_link);
		notice_send(notice);
	}
	if (remains->is_exported)
		remote.ops.port_died(p);
	port_unref(p);
}

void port_destroy(struct port *p)
{
	struct remains remains;
	struct message *notice;

	lock_assert_none_held();
	lock_take(&p->lock);
	notice = p->port_destroyed;
	p->port_destroyed = NULL;
	if (notice) {
		lock_drop(&p->lock);
		notify_port_destroyed(notice, p);
		return;
	}
	port_die_locked(p, &remains);
	lock_drop(&p->lock);
	port_settle_remains(p, &remains);
}

void port_hold_locked(struct port *p, struct list *held)
{
	assert(!p->held);
	list_init(held);
	p->held = held;
}

void port_release_held_locked(struct port *p, struct after *after)
{
	struct list *held = p->held;

	p->held = NULL;
	if (held)
		send_all_locked(p, held, after);
}

void port_set_qlimit_locked(struct port *p, uint32_t qlimit, struct after *after)
{
	p->qlimit = qlimit;
	if (p->exports)
		remote.ops.note_limit_locked(p);
	send_admit_locked(p, after);
}
