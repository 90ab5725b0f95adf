/* SPDX-License-Identifier: MIT */
/* Lock: exclusion, sleeping and waking, and the order that debug builds assert. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "platform/cpu.h"
#include "platform/lock.h"

enum { THREADS = 8, ROUNDS = 20000 };

struct shared {
	struct lock lock;
	unsigned long sum; /* plain on purpose: only the lock protects it */
};

static void *add_many(void *argument)
{
	struct shared *s = argument;

	for (int i = 0; i < ROUNDS; i++) {
		lock_take(&s->lock);
		s->sum++;
		lock_drop(&s->lock);
	}
	return NULL;
}

static void threads_exclude_each_other(void **state)
{
	struct shared s = { .lock = LOCK_INIT(RANK_PORT) };
	pthread_t threads[THREADS];

	(void)state;
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, add_many, &s), 0);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(s.sum, (unsigned long)THREADS * ROUNDS);
	assert_int_equal(s.lock.word, 0);
}

static void try_fails_while_it_is_held_and_leaves_it_alone(void **state)
{
	struct lock l;

	(void)state;
	lock_init(&l, RANK_SPACE);
	assert_true(lock_try(&l));
	assert_int_equal(l.word, 1);
	assert_false(lock_try(&l));
	assert_int_equal(l.word, 1);
	lock_drop(&l);
	assert_int_equal(l.word, 0);
}

static void *take_and_drop(void *lock)
{
	lock_take(lock);
	lock_drop(lock);
	return NULL;
}

/* Word 2 says that a thread sleeps or is about to: the drop must wake it in either case. */
static void drop_wakes_a_sleeper(void **state)
{
	struct lock l = LOCK_INIT(RANK_TASK);
	pthread_t thread;

	(void)state;
	lock_take(&l);
	assert_int_equal(pthread_create(&thread, NULL, take_and_drop, &l), 0);
	while (atomic_load(&l.word) != 2)
		cpu_relax();
	lock_drop(&l);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(l.word, 0);
}

static void lock_is_four_bytes_without_its_rank(void **state)
{
	(void)state;
#ifdef NDEBUG
	assert_int_equal(sizeof(struct lock), 4);
#else
	assert_int_equal(sizeof(struct lock), 8);
#endif
}

static void ranks_may_rise_and_drop_in_any_order(void **state)
{
	struct lock task = LOCK_INIT(RANK_TASK), port = LOCK_INIT(RANK_PORT), memory = LOCK_INIT(RANK_MEMORY);

	(void)state;
	lock_take(&task);
	lock_take(&port);
	lock_take(&memory);
	lock_assert_held(&port);
	lock_drop(&task);
	lock_drop(&memory);
	lock_drop(&port);
	lock_assert_none_held();
}

static void try_is_exempt_from_the_order(void **state)
{
	struct lock high = LOCK_INIT(RANK_SET), low = LOCK_INIT(RANK_PORT), same = LOCK_INIT(RANK_SET);

	(void)state;
	lock_take(&high);
	assert_true(lock_try(&low));
	assert_true(lock_try(&same));
	lock_drop(&high);
	lock_drop(&low);
	lock_drop(&same);
	lock_assert_none_held();
}

#ifndef NDEBUG
/* Runs mistake in a child, which must abort. */
static void expect_abort(void (*mistake)(void))
{
	pid_t child = fork();
	int status;

	assert_true(child >= 0);
	if (child == 0) {
		const struct rlimit none = { 0, 0 };

		setrlimit(RLIMIT_CORE, &none);
		signal(SIGABRT, SIG_DFL);
		close(STDERR_FILENO);
		mistake();
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

static void take_downwards(void)
{
	struct lock high = LOCK_INIT(RANK_SET), low = LOCK_INIT(RANK_PORT);

	lock_take(&high);
	lock_take(&low);
}

static void take_two_of_one_rank(void)
{
	struct lock a = LOCK_INIT(RANK_PORT), b = LOCK_INIT(RANK_PORT);

	lock_take(&a);
	lock_take(&b);
}

static void take_below_a_tried_one(void)
{
	struct lock high = LOCK_INIT(RANK_SET), low = LOCK_INIT(RANK_PORT);

	(void)lock_try(&high);
	lock_take(&low);
}

static void drop_what_is_not_held(void)
{
	struct lock l = LOCK_INIT(RANK_PORT);

	lock_drop(&l);
}

static void claim_to_hold(void)
{
	struct lock l = LOCK_INIT(RANK_PORT);

	lock_assert_held(&l);
}

static void claim_to_hold_none(void)
{
	struct lock l = LOCK_INIT(RANK_PORT);

	lock_take(&l);
	lock_assert_none_held();
}

static void mistakes_abort(void **state)
{
	(void)state;
	expect_abort(take_downwards);
	expect_abort(take_two_of_one_rank);
	expect_abort(take_below_a_tried_one);
	expect_abort(drop_what_is_not_held);
	expect_abort(claim_to_hold);
	expect_abort(claim_to_hold_none);
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(threads_exclude_each_other),
		cmocka_unit_test(try_fails_while_it_is_held_and_leaves_it_alone),
		cmocka_unit_test(drop_wakes_a_sleeper),
		cmocka_unit_test(lock_is_four_bytes_without_its_rank),
		cmocka_unit_test(ranks_may_rise_and_drop_in_any_order),
		cmocka_unit_test(try_is_exempt_from_the_order),
#ifndef NDEBUG
		cmocka_unit_test(mistakes_abort),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
