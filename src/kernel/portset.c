/* SPDX-License-Identifier: MIT */
#include "kernel/portset.h"

#include <assert.h>
#include <sched.h>
#include <stdlib.h>

#include "kernel/after.h"
#include "kernel/count.h"
#include "kernel/message.h"
#include "kernel/port.h"
#include "kernel/receive.h"
#include "kernel/send.h"
#include "kernel/waiter.h"
#include "platform/cpu.h"

struct portset *portset_new(void)
{
	struct portset *set = malloc(sizeof *set);

	if (!set)
		return NULL;
	*set = (struct portset){ .n_refs = 1 };
	lock_init(&set->lock, RANK_SET);
	list_init(&set->members);
	list_init(&set->messages);
	list_init(&set->receivers);
	count_add(sets, 1);
	return set;
}

static void portset_free(struct portset *set)
{
	assert(list_is_empty(&set->members) && list_is_empty(&set->messages) && list_is_empty(&set->receivers));
	assert(!set->watch);
	count_add(sets, -1);
	free(set);
}

void portset_ref_locked(struct portset *set)
{
	lock_assert_held(&set->lock);
	set->n_refs++;
}

void portset_unlock_unref(struct portset *set)
{
	bool was_last = --set->n_refs == 0;

	lock_drop(&set->lock);
	if (was_last)
		portset_free(set);
}

__attribute__((cold)) void portset_show_slow_locked(struct portset *set)
{
	watch_show_locked(set->watch, !list_is_empty(&set->messages));
}

/* Messages that a port brought with it go to threads that wait on the set. */
static void portset_deliver_queue_locked(struct portset *set, struct port *p, struct after *after)
{
	while (!list_is_empty(&set->receivers) && !list_is_empty(&p->messages)) {
		struct message *m = list_first(&p->messages, struct message, port_link);

		/* A message that is taken must be in no queue: its receiver may be reading it already. */
		receive_unqueue_locked(p, m);
		if (!send_offer_locked(p, &set->receivers, m, after)) {
			receive_requeue_locked(p, m);
			return;
		}
	}
}

void portset_add_locked(struct portset *set, struct port *p, struct after *after)
{
	assert(!p->set);
	list_for_each(w, &p->receivers, struct waiter, link)
		if (waiter_claim(w, MACH_RCV_PORT_CHANGED, after))
			p->n_refs--;

	lock_take(&set->lock);
	portset_ref_locked(set);
	p->set = set;
	list_append(&set->members, &p->set_link);
	list_for_each(m, &p->messages, struct message, port_link)
		list_append(&set->messages, &m->set_link);
	portset_deliver_queue_locked(set, p, after);
	portset_show_locked(set);
	lock_drop(&set->lock);
	send_admit_locked(p, after); /* what was delivered made room */
}

void portset_remove_locked(struct port *p)
{
	struct portset *set = p->set;

	lock_take(&set->lock);
	list_unlink(&p->set_link);
	list_for_each(m, &p->messages, struct message, port_link)
		list_unlink(&m->set_link);
	p->set = NULL;
	portset_show_locked(set);
	portset_unlock_unref(set);
}

/* The set's lock is held, the port's is wanted, which ranks before it. */
bool portset_lock_member(struct portset *set, struct port *p)
{
	if (lock_try(&p->lock))
		return true;
	lock_drop(&set->lock);
	/* Its holder may be waiting for the set's lock, or may have been preempted. */
	if (cpu_online() == 1)
		sched_yield();
	else
		cpu_relax();
	lock_take(&set->lock);
	return false;
}

static void portset_empty_locked(struct portset *set)
{
	while (!list_is_empty(&set->members)) {
		struct port *p = list_first(&set->members, struct port, set_link);

		if (!portset_lock_member(set, p))
			continue;
		list_unlink(&p->set_link);
		list_for_each(m, &p->messages, struct message, port_link)
			list_unlink(&m->set_link);
		p->set = NULL;
		port_show_locked(p);
		set->n_refs--;
		lock_drop(&p->lock);
	}
}

void portset_destroy(struct portset *set)
{
	struct after after;

	after_init(&after);
	lock_take(&set->lock);
	set->is_dead = true;
	watch_end_locked(&set->watch);
	portset_empty_locked(set);
	list_for_each(w, &set->receivers, struct waiter, link)
		if (waiter_claim(w, MACH_RCV_PORT_DIED, &after))
			set->n_refs--;
	portset_unlock_unref(set);
	after_run(&after);
}
