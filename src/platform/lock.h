/* SPDX-License-Identifier: MIT */
/* Lock: a mutex of four bytes that sleeps in the kernel only when it is contended.
 *
 *   word  0 free   1 held, nobody sleeps   2 held, somebody may sleep
 *
 *   take  T1 0 -> 1, done (the inline path)            drop  D1 exchange word with 0 (release)
 *         T2 spin a little, if another CPU could           D2 if it was 2: wake one sleeper
 *            be about to drop it
 *         T3 exchange word with 2; was 0: done
 *         T4 sleep while word is 2, then T3
 *   No lost wake: who sleeps has made the word 2 and the host compares it again before it sleeps, so D1 either came
 *   before (and T4 does not sleep) or saw the 2 (and D2 wakes). Who was woken takes with 2, because others may sleep
 *   still.
 *   Not promised: fairness, recursion, robustness against the death of the holder.
 *
 * Ranks: a thread takes a lock only while all locks that it holds are of lower rank. lock_try() may break that order,
 * since it never waits; what it takes counts like any other lock afterwards. Builds without NDEBUG assert the rank at
 * each take, and know how many locks the calling thread holds. NDEBUG must be the same for everything that shares a
 * struct lock. */
#ifndef PLATFORM_LOCK_H
#define PLATFORM_LOCK_H

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>

/* In the order in which they may be taken. docs/architecture.md has the table of what each guards. */
enum lock_rank {
	RANK_TASK,
	RANK_SPACE,
	RANK_LINK,
	RANK_TRANSIT,
	RANK_PORT,
	RANK_SET,
	RANK_MEMORY,
	RANK_REGISTRY,
	RANK_COUNT
};

/* The uncontended case is two instructions that matter; a call would double them. */
#define LOCK_INLINE static inline __attribute__((always_inline))

struct lock {
	atomic_uint word;
#ifndef NDEBUG
	unsigned char rank;
#endif
};

#ifndef NDEBUG
#define LOCK_INIT(r) \
	{ \
		.word = 0, .rank = (r) \
	}

void lock_check_order(const struct lock *l); /* aborts unless l may be taken now */
void lock_note_taken(const struct lock *l);
void lock_note_dropped(const struct lock *l); /* aborts if the thread holds no lock of that rank */
void lock_assert_held(const struct lock *l);  /* somebody holds l, and the thread holds a lock of that rank */
void lock_assert_none_held(void);	      /* before all that may block or fault on a user's memory */
void lock_forget_held(void);		      /* after fork, in the child: the thread holds nothing any more */
#else
#define LOCK_INIT(r) \
	{ \
		.word = 0 \
	}

static inline void lock_check_order(const struct lock *l)
{
	(void)l;
}
static inline void lock_note_taken(const struct lock *l)
{
	(void)l;
}
static inline void lock_note_dropped(const struct lock *l)
{
	(void)l;
}
static inline void lock_assert_held(const struct lock *l)
{
	(void)l;
}
static inline void lock_assert_none_held(void)
{
}
static inline void lock_forget_held(void)
{
}
#endif

void lock_take_slow(struct lock *l);
void lock_wake(struct lock *l);

/* Also makes a lock free again that a vanished thread held (after fork, in the child). */
static inline void lock_init(struct lock *l, enum lock_rank rank)
{
	atomic_init(&l->word, 0);
#ifndef NDEBUG
	l->rank = (unsigned char)rank;
#else
	(void)rank;
#endif
}

LOCK_INLINE bool lock_try(struct lock *l)
{
	unsigned was = 0;

	if (!atomic_compare_exchange_strong_explicit(&l->word, &was, 1, memory_order_acquire, memory_order_relaxed))
		return false;
	lock_note_taken(l);
	return true;
}

LOCK_INLINE void lock_take(struct lock *l)
{
	unsigned was = 0;

	lock_check_order(l);
	if (__builtin_expect(!atomic_compare_exchange_strong_explicit(&l->word, &was, 1, memory_order_acquire,
								      memory_order_relaxed),
			     0))
		lock_take_slow(l);
	lock_note_taken(l);
}

LOCK_INLINE void lock_drop(struct lock *l)
{
	lock_note_dropped(l);
	if (__builtin_expect(atomic_exchange_explicit(&l->word, 0, memory_order_release) == 2, 0))
		lock_wake(l);
}

#endif
