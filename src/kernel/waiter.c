/* SPDX-License-Identifier: MIT */
#include "kernel/waiter.h"

#include <errno.h>

#include "kernel/after.h"
#include "kernel/remote.h"
#include "kernel/thread.h"
#include "platform/cpu.h"
#include "platform/park.h"
#include "platform/probe.h"

/* Turns of the spinning loop, some tens of nanoseconds each. SPIN_MAX outlasts the wake of a sleeping thread on another
 * CPU, so that two threads that talk to each other find their way from sleeping to spinning. What was in vain is halved,
 * so that threads whose partners are not running stop burning their processor; once in SPIN_RETRY waits it is tried in
 * full again. */
#define SPIN_MAX   2048
#define SPIN_MIN   16
#define SPIN_RETRY 512

void waiter_begin(struct waiter *w, struct message *m)
{
	w->message = m;
	list_init(&w->link);
	/* Sequentially consistent, as thread_check_wait() needs it. */
	atomic_store(&w->state, WAITER_SPINNING);
}

/* Ends the wait with @state unless it has ended; *old tells how it waited, so what is needed to wake it. */
static bool waiter_end(struct waiter *w, unsigned state, unsigned *old)
{
	/* Sequentially consistent: pairs with thread_check_wait(), see thread.h. */
	*old = atomic_load(&w->state);

	while (*old >= WAITER_SPINNING && *old <= WAITER_POLLING)
		if (atomic_compare_exchange_weak_explicit(&w->state, old, state, memory_order_acq_rel,
							  memory_order_relaxed))
			return true;
	return false;
}

bool waiter_claim(struct waiter *w, mach_msg_return_t result, struct after *after)
{
	unsigned old;

	w->result = result;
	list_unlink(&w->link);
	if (!waiter_end(w, WAITER_DONE, &old))
		return false;
	if (old == WAITER_SLEEPING)
		after_wake(after, &w->state);
	else if (old == WAITER_POLLING)
		after->kicks = true;
	return true;
}

bool waiter_cancel(struct waiter *w, enum waiter_state how)
{
	unsigned old;

	if (!waiter_end(w, how, &old))
		return false;
	if (old == WAITER_SLEEPING)
		park_wake(&w->state);
	else if (old == WAITER_POLLING)
		remote.ops.kick();
	return true;
}

void waiter_nudge(struct waiter *w)
{
	unsigned sleeping = WAITER_SLEEPING;

	atomic_store(&w->is_nudged, true);
	if (atomic_compare_exchange_strong(&w->state, &sleeping, WAITER_SPINNING))
		park_wake(&w->state);
}

uint32_t waiter_spin_turns(struct waiter *w, unsigned partner_cpu)
{
	if (partner_cpu == CPU_UNKNOWN || partner_cpu == cpu_current() || cpu_online() == 1)
		return 0;
	if (w->spin_turns > SPIN_MIN)
		return w->spin_turns;
	if (++w->n_short_spins < SPIN_RETRY && w->spin_turns)
		return SPIN_MIN;
	w->n_short_spins = 0;
	return SPIN_MAX;
}

void waiter_spin_done(struct waiter *w, uint32_t turns, bool was_worth_it)
{
	if (was_worth_it)
		w->spin_turns = SPIN_MAX;
	else if (turns)
		w->spin_turns = turns / 2;
}

bool waiter_spin(struct waiter *w, unsigned partner_cpu)
{
	uint32_t turns = waiter_spin_turns(w, partner_cpu);

	for (uint32_t i = 0; i < turns; i++) {
		if (waiter_has_ended(w)) {
			waiter_spin_done(w, turns, true);
			return true;
		}
		cpu_relax();
	}
	waiter_spin_done(w, turns, false);
	return false;
}

bool waiter_sleep(struct waiter *w, const struct deadline *deadline)
{
	unsigned spinning = WAITER_SPINNING;

	if (!atomic_compare_exchange_strong(&w->state, &spinning, WAITER_SLEEPING))
		return true;
	while (atomic_load_explicit(&w->state, memory_order_acquire) == WAITER_SLEEPING) {
		unsigned sleeping = WAITER_SLEEPING;

		if (atomic_exchange(&w->is_nudged, false)) {
			atomic_compare_exchange_strong(&w->state, &sleeping, WAITER_SPINNING);
			break;
		}
		switch (park_wait(&w->state, WAITER_SLEEPING, deadline)) {
		case ETIMEDOUT:
			waiter_cancel(w, WAITER_TIMED_OUT);
			break;
		case EINTR:
			waiter_cancel(w, WAITER_INTERRUPTED);
			break;
		}
	}
	return waiter_has_ended(w);
}

static enum waiter_state wait_for_end(struct waiter *w, const struct deadline *deadline, unsigned partner_cpu)
{
	while (!remote_is_linked())
		if (waiter_spin(w, partner_cpu) || waiter_sleep(w, deadline))
			return atomic_load_explicit(&w->state, memory_order_acquire);
	return remote.ops.wait(w, deadline, partner_cpu);
}

enum waiter_state waiter_wait(struct waiter *w, const struct deadline *deadline, unsigned partner_cpu)
{
	enum waiter_state end = wait_for_end(w, deadline, partner_cpu);

	probe2(wake, w, end - WAITER_DONE);
	return end;
}
