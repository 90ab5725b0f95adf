/* SPDX-License-Identifier: MIT */
#ifndef TESTS_BROKER_PLACE_H
#define TESTS_BROKER_PLACE_H

/* A directory of a test's own, empty, for the user alone; removed with what is in it. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define NOBODY 65534

extern char place[64];

int place_setup(void **state);
int place_teardown(void **state);
#define place_test(name) cmocka_unit_test_setup_teardown(name, place_setup, place_teardown)

/* PLACE/NAME; overwritten by the fourth call after it. */
char *in_place(const char *name);

/* A listening socket, as somebody without a lock has it; -1 with errno. */
int listen_plainly(const char *path);

#endif
