/* SPDX-License-Identifier: MIT */
#ifndef TESTS_BROKER_SERVED_H
#define TESTS_BROKER_SERVED_H

/* The broker's server in task a of a world; the test's own task and b are its clients. At the end nothing may be left over in
 * the server's task. */

#include "world.h"

#include <servers/bootstrap.h>
#include <servers/netname.h>

#define N_NAMES_MAX 4 /* in each table */

int served_setup(void **state);
int served_teardown(void **state);
#define served_test(name) cmocka_unit_test_setup_teardown(name, served_setup, served_teardown)

extern mach_port_t service; /* a send right of the test's own task */

mach_port_t service_in(task_t task); /* the same for another; its name there */

/* Polls until it is true; fails the test after a time that nothing takes. */
#define await(condition) \
	do { \
		for (int tries = 0; !(condition); tries++) { \
			assert_true(tries < 10000); \
			usleep(1000); \
		} \
	} while (0)

#endif
