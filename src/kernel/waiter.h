/* SPDX-License-Identifier: MIT */
#pragma once

/* A thread that waits for a message, or for room in a queue.
 *
 * The waiter is part of its thread (memory that is never given back), listed on a port or a set while it waits.
 * state is a futex word and decides by compare-and-exchange who ends the wait:
 *   W1  the waiter fills its fields, state = SPINNING, links itself under the lock of what it waits on, drops the lock
 *   W2  waiter_wait(): spins for a while, SPINNING -> SLEEPING, sleeps as long as the state is SLEEPING
 *   D1  a deliverer, under that lock: fills message and result, state -> DONE (waiter_claim), unlinks the waiter and
 *       drops the reference it held
 *   D2  after dropping the lock: wakes it if it was SLEEPING
 *   C1  time-out, signal, thread_abort: state -> TIMED_OUT or INTERRUPTED; of several, the first wins
 *   N1  a nudge: is_nudged = true, then SLEEPING -> SPINNING and a wake; the waiter looks again at how it should wait. It
 *       looks at is_nudged after it has become SLEEPING, so a nudge is never lost
 *   C2  the waiter itself takes the lock, unlinks itself if it is still listed, drops the reference
 * Exactly one of D1 and C1 succeeds, so a message is never both delivered and given back. What a deliverer wrote before
 * losing the race is not looked at; C2 cannot pass it, since it holds the lock. No lost wake: the exchange in D1 sees
 * SLEEPING, or the waiter's exchange in W2 sees DONE. Not promised: that D2 comes before the waiter has gone on; it may
 * find the thread in another wait, where it is a spurious wake.
 */

#include <mach/message.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "platform/deadline.h"
#include "platform/list.h"

struct after;
struct message;

enum waiter_state {
	WAITER_IDLE,
	WAITER_SPINNING,
	WAITER_SLEEPING,
	WAITER_POLLING, /* asleep as the thread that serves the links: woken by remote_ops.kick() */
	WAITER_DONE,
	WAITER_TIMED_OUT,
	WAITER_INTERRUPTED,
};

struct waiter {
	atomic_uint state;	  /* enum waiter_state */
	struct list link;	  /* in port.receivers, port.senders or portset.receivers */
	struct message *message;  /* a sender's until it is claimed; a receiver's once it is */
	mach_msg_return_t result; /* valid when DONE */
	uint32_t max_size;	  /* a receiver's buffer, bytes */
	uint32_t size;		  /* with MACH_RCV_TOO_LARGE: what would have been needed */
	bool leaves_large;	  /* MACH_RCV_LARGE: a message that does not fit stays queued */
	bool leaves_all;	  /* the buffer is known to be bad: every message stays queued */
	atomic_bool is_nudged;	  /* N1 came; taken back by whoever looks at it */
	uint32_t spin_turns;	  /* how long spinning is tried; these two are kept from wait to wait */
	uint32_t n_short_spins;	  /* since it was last tried in full */
};

/* W1, before the waiter is listed. */
void waiter_begin(struct waiter *w, struct message *m);
/* D1. False: it was cancelled before. Unlinks the waiter either way. */
bool waiter_claim(struct waiter *w, mach_msg_return_t result, struct after *after);
/* C1, from any thread; wakes the waiter. False: the wait has ended, or there is none. */
bool waiter_cancel(struct waiter *w, enum waiter_state how);
/* N1, from any thread: a waiter that sleeps on its futex word goes over to remote_ops.wait(), or tries there again to
 * become the one that serves the links. Nothing happens to one in another state. */
void waiter_nudge(struct waiter *w);
/* W2: blocks until the wait has ended and returns how. @partner_cpu: where the thread that is expected to end the wait
 * ran last; spinning makes sense only when that is another CPU. */
enum waiter_state waiter_wait(struct waiter *w, const struct deadline *deadline, unsigned partner_cpu);

/* The parts of waiter_wait(), for remote_ops.wait(). Both return whether the wait has ended; a sleep returns before that
 * when it was nudged. */
bool waiter_spin(struct waiter *w, unsigned partner_cpu);
bool waiter_sleep(struct waiter *w, const struct deadline *deadline);
/* How many turns to spin, as far as it is worth while for a partner on that CPU, and what became of it. */
uint32_t waiter_spin_turns(struct waiter *w, unsigned partner_cpu);
void waiter_spin_done(struct waiter *w, uint32_t turns, bool was_worth_it);

static inline bool waiter_has_ended(const struct waiter *w)
{
	return atomic_load_explicit(&w->state, memory_order_acquire) > WAITER_POLLING;
}
