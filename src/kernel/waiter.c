/* SPDX-License-Identifier: MIT */
#include "kernel/waiter.h"

#include <errno.h>

#include "kernel/after.h"
#include "kernel/thread.h"
#include "platform/cpu.h"
#include "platform/park.h"

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

/* Ends the wait with @state unless it has ended; *was_sleeping tells whether the futex needs a wake. */
static bool waiter_end(struct waiter *w, unsigned state, bool *was_sleeping)
{
	/* Sequentially consistent: pairs with thread_check_wait(), see thread.h. */
	unsigned old = atomic_load(&w->state);

	while (old == WAITER_SPINNING || old == WAITER_SLEEPING) {
		if (atomic_compare_exchange_weak_explicit(&w->state, &old, state, memory_order_acq_rel,
							  memory_order_relaxed)) {
			*was_sleeping = old == WAITER_SLEEPING;
			return true;
		}
	}
	return false;
}

bool waiter_claim(struct waiter *w, mach_msg_return_t result, struct after *after)
{
	bool was_sleeping;

	w->result = result;
	list_unlink(&w->link);
	if (!waiter_end(w, WAITER_DONE, &was_sleeping))
		return false;
	if (was_sleeping)
		after_wake(after, &w->state);
	return true;
}

bool waiter_cancel(struct waiter *w, enum waiter_state how)
{
	bool was_sleeping;

	if (!waiter_end(w, how, &was_sleeping))
		return false;
	if (was_sleeping)
		park_wake(&w->state);
	return true;
}

static bool waiter_has_ended(const struct waiter *w)
{
	return atomic_load_explicit(&w->state, memory_order_acquire) > WAITER_SLEEPING;
}

/* How long to spin this time. */
static uint32_t waiter_spin_turns(struct waiter *w)
{
	if (w->spin_turns > SPIN_MIN)
		return w->spin_turns;
	if (++w->n_short_spins < SPIN_RETRY && w->spin_turns)
		return SPIN_MIN;
	w->n_short_spins = 0;
	return SPIN_MAX;
}

static bool waiter_spin(struct waiter *w, unsigned partner_cpu)
{
	uint32_t turns;

	if (partner_cpu == CPU_UNKNOWN || partner_cpu == cpu_current() || cpu_online() == 1)
		return false;
	turns = waiter_spin_turns(w);
	for (uint32_t i = 0; i < turns; i++) {
		if (waiter_has_ended(w)) {
			w->spin_turns = SPIN_MAX;
			return true;
		}
		cpu_relax();
	}
	w->spin_turns = turns / 2;
	return false;
}

static void waiter_sleep(struct waiter *w, const struct deadline *deadline)
{
	unsigned spinning = WAITER_SPINNING;

	if (!atomic_compare_exchange_strong_explicit(&w->state, &spinning, WAITER_SLEEPING, memory_order_acq_rel,
						     memory_order_acquire))
		return;
	while (!waiter_has_ended(w)) {
		switch (park_wait(&w->state, WAITER_SLEEPING, deadline)) {
		case ETIMEDOUT:
			waiter_cancel(w, WAITER_TIMED_OUT);
			break;
		case EINTR:
			waiter_cancel(w, WAITER_INTERRUPTED);
			break;
		}
	}
}

enum waiter_state waiter_wait(struct waiter *w, const struct deadline *deadline, unsigned partner_cpu)
{
	if (!waiter_spin(w, partner_cpu))
		waiter_sleep(w, deadline);
	return atomic_load_explicit(&w->state, memory_order_acquire);
}
