/* SPDX-License-Identifier: MIT */
/* For tests that hand wild pointers to the kernel. cmocka puts its own handler of SIGSEGV and SIGBUS in front of each
 * test, and it does not chain to the one it replaced, that of usercopy: so put that back, inside the test.
 *
 *      guarded_init();                         in main(), before cmocka runs anything
 *      GUARDED_TEST(name, setup, teardown)     instead of cmocka_unit_test_setup_teardown()
 *
 * A test that faults by itself then ends the program by the signal, instead of failing. */
#ifndef TESTS_GUARDED_H
#define TESTS_GUARDED_H

#include <signal.h>

#include "platform/usercopy.h"

static struct sigaction guarded_actions[2];

static inline void guarded_init(void)
{
	usercopy_init();
	sigaction(SIGSEGV, NULL, &guarded_actions[0]);
	sigaction(SIGBUS, NULL, &guarded_actions[1]);
}

/* *state points to the test itself. */
static inline void guarded_run(void **state)
{
	CMUnitTestFunction test = *(CMUnitTestFunction *)*state;
	void *none = NULL;

	sigaction(SIGSEGV, &guarded_actions[0], NULL);
	sigaction(SIGBUS, &guarded_actions[1], NULL);
	test(&none);
}

#define GUARDED_TEST(name, setup, teardown) \
	{ \
#name, guarded_run, setup, teardown, &(CMUnitTestFunction) \
		{ \
			name \
		} \
	}

#endif
