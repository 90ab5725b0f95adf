/* SPDX-License-Identifier: MIT */
/* Lock: the slow path, and the order check of debug builds. See lock.h. */
#include "platform/lock.h"

#include "platform/cpu.h"
#include "platform/park.h"

/* A lock is held for well under a microsecond, so its holder, if it runs at all, is about to drop it. A pause takes 10
 * to 40 ns: together a few microseconds, about what one sleep and wake costs. */
enum { LOCK_SPINS = 100 };

/* T2. Gives up at once when somebody sleeps already: then the holder probably does not run. */
static bool lock_spin(struct lock *l)
{
	if (cpu_online() < 2)
		return false;
	for (int i = 0; i < LOCK_SPINS; i++) {
		unsigned was = atomic_load_explicit(&l->word, memory_order_relaxed);

		if (was == 2)
			return false;
		if (was == 0 && atomic_compare_exchange_weak_explicit(&l->word, &was, 1, memory_order_acquire,
								      memory_order_relaxed))
			return true;
		cpu_relax();
	}
	return false;
}

void lock_take_slow(struct lock *l)
{
	if (lock_spin(l))
		return;
	while (atomic_exchange_explicit(&l->word, 2, memory_order_acquire) != 0) /* T3 */
		park_wait(&l->word, 2, NULL);					 /* T4 */
}

void lock_wake(struct lock *l)
{
	park_wake(&l->word);
}

#ifndef NDEBUG
static _Thread_local unsigned locks_held[RANK_COUNT];

void lock_check_order(const struct lock *l)
{
	assert(l->rank < RANK_COUNT);
	for (unsigned rank = l->rank; rank < RANK_COUNT; rank++)
		assert(locks_held[rank] == 0 && "a lock is taken out of order");
}

void lock_note_taken(const struct lock *l)
{
	assert(l->rank < RANK_COUNT);
	locks_held[l->rank]++;
}

void lock_note_dropped(const struct lock *l)
{
	assert(l->rank < RANK_COUNT);
	assert(locks_held[l->rank] > 0 && "a lock is dropped that this thread does not hold");
	locks_held[l->rank]--;
}

void lock_assert_held(const struct lock *l)
{
	assert(l->rank < RANK_COUNT);
	assert(atomic_load_explicit(&l->word, memory_order_relaxed) != 0 && locks_held[l->rank] > 0);
}

void lock_assert_none_held(void)
{
	for (unsigned rank = 0; rank < RANK_COUNT; rank++)
		assert(locks_held[rank] == 0 && "a lock is held where nothing may wait for this thread");
}

void lock_forget_held(void)
{
	for (unsigned rank = 0; rank < RANK_COUNT; rank++)
		locks_held[rank] = 0;
}
#endif
