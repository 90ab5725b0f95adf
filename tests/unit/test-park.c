/* SPDX-License-Identifier: MIT */
/* Park, deadlines and CPUs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "platform/cpu.h"
#include "platform/deadline.h"
#include "platform/park.h"

static void wait_returns_at_once_if_the_word_differs(void **state)
{
	atomic_uint word = 1;

	(void)state;
	errno = EDOM;
	assert_int_equal(park_wait(&word, 0, NULL), 0);
	assert_int_equal(errno, EDOM);
}

static void wait_ends_at_its_deadline(void **state)
{
	atomic_uint word = 0;
	struct deadline d = deadline_after_ms(15);

	(void)state;
	errno = EDOM;
	assert_false(deadline_passed(&d));
	assert_int_equal(park_wait(&word, 0, &d), ETIMEDOUT);
	assert_int_equal(errno, EDOM);
	assert_true(deadline_passed(&d));
	assert_int_equal(park_wait(&word, 0, &d), ETIMEDOUT);
}

struct game {
	atomic_uint word;
	unsigned turns;
};

static void *answer(void *argument)
{
	struct game *g = argument;

	for (unsigned i = 0; i < g->turns; i++) {
		while (atomic_load(&g->word) != 2 * i + 1)
			park_wait(&g->word, 2 * i, NULL);
		atomic_store(&g->word, 2 * i + 2);
		park_wake(&g->word);
	}
	return NULL;
}

static void no_wake_is_lost(void **state)
{
	struct game g = { .turns = 20000 };
	struct deadline never = deadline_never();
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, answer, &g), 0);
	for (unsigned i = 0; i < g.turns; i++) {
		atomic_store(&g.word, 2 * i + 1);
		park_wake(&g.word);
		while (atomic_load(&g.word) != 2 * i + 2)
			park_wait(&g.word, 2 * i + 1, &never);
	}
	assert_int_equal(pthread_join(thread, NULL), 0);
}

static atomic_uint handler_runs;

static void count_run(int sig)
{
	(void)sig;
	atomic_fetch_add(&handler_runs, 1);
}

static void *signal_until_told(void *argument)
{
	pthread_t sleeper = *(pthread_t *)argument;

	while (atomic_load(&handler_runs) < 1000) {
		pthread_kill(sleeper, SIGUSR1);
		sched_yield();
	}
	return NULL;
}

/* Signals that come before the sleep do not count, so they come again and again until one has ended the wait. */
static void far_wait_hears_of_handlers_even_with_restart(void **state)
{
	struct sigaction action = { .sa_handler = count_run, .sa_flags = SA_RESTART }, before;
	struct deadline far = deadline_far();
	pthread_t self = pthread_self(), thread;
	atomic_uint word = 0;

	(void)state;
	sigemptyset(&action.sa_mask);
	sigaction(SIGUSR1, &action, &before);
	atomic_store(&handler_runs, 0);
	assert_false(deadline_passed(&far));
	assert_int_equal(pthread_create(&thread, NULL, signal_until_told, &self), 0);
	assert_int_equal(park_wait(&word, 0, &far), EINTR);
	atomic_store(&handler_runs, 1000);
	assert_int_equal(pthread_join(thread, NULL), 0);
	sigaction(SIGUSR1, &before, NULL);
}

static void deadlines_pass_in_order(void **state)
{
	struct deadline never = deadline_never(), now = deadline_after_ms(0), longest = deadline_after_ms(UINT32_MAX);

	(void)state;
	assert_true(deadline_passed(&now));
	assert_false(deadline_passed(&never));
	assert_false(deadline_passed(&longest));
	assert_in_range(longest.at.tv_nsec, 0, 999999999);
	assert_in_range(longest.at.tv_sec - now.at.tv_sec, UINT32_MAX / 1000, UINT32_MAX / 1000 + 1);
}

static void cpu_is_the_one_it_is_pinned_to(void **state)
{
	cpu_set_t all, one;

	(void)state;
	assert_int_equal(sched_getaffinity(0, sizeof(all), &all), 0);
	assert_int_equal(cpu_online(), CPU_COUNT(&all));
	for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &all))
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
		assert_int_equal(cpu_current(), cpu);
		assert_int_equal(cpu_current_ask(), cpu);
	}
	assert_int_equal(sched_setaffinity(0, sizeof(all), &all), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wait_returns_at_once_if_the_word_differs),
		cmocka_unit_test(wait_ends_at_its_deadline),
		cmocka_unit_test(no_wake_is_lost),
		cmocka_unit_test(far_wait_hears_of_handlers_even_with_restart),
		cmocka_unit_test(deadlines_pass_in_order),
		cmocka_unit_test(cpu_is_the_one_it_is_pinned_to),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
