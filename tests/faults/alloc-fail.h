/* SPDX-License-Identifier: MIT */
/* Between the scenarios (scenarios.c) and what runs them (alloc-fail.c). */
#ifndef TESTS_FAULTS_ALLOC_FAIL_H
#define TESTS_FAULTS_ALLOC_FAIL_H

#include <mach.h>
#include <mach_error.h>
#include <portunus/task.h>
#include <stdbool.h>
#include <stdint.h>

#include "client/target.h"

struct scenario {
	const char *name;
	void (*run)(void); /* in a fresh task, with a second one called TASK_B; nothing needs to be given back */
	bool names_itself; /* it wants to be the first to ask for the names of its task and thread */
};

extern const struct scenario scenarios[]; /* the last has no name */

#define TASK_B ((task_t)0xb0b)

/* Between these, allocations count, and one of them fails. */
void arm(void);
void disarm(void);

/* Disarms. True: success. False: want of memory, and it was us; all else is a complaint. */
bool went_well(const char *call, kern_return_t r);
/* Not armed: there is no excuse. */
bool succeeds_now(const char *call, kern_return_t r);
void expect(bool is_so, const char *what);

/* What a program can see of the two tasks. */
uint64_t picture(void);
bool is_unchanged(const char *call, uint64_t before);

/* F1 for a call that may leave traces. True: success. */
#define TRY(call) (arm(), went_well(#call, (call)))

#define MUST(call) \
	do { \
		if (!succeeds_now(#call, (call))) \
			return; \
	} while (0)

/* F1 and F2. Ends the scenario if the call does not succeed even when it is repeated. */
#define KEEP(call) \
	do { \
		uint64_t keep_before = picture(); \
		if (!TRY(call) && (!is_unchanged(#call, keep_before) || !succeeds_now(#call, (call)))) \
			return; \
	} while (0)

/* For a call that needs no memory where it is performed at once; a message to ask for it does. */
#define SURE(call) \
	do { \
		if (target_is_always_sent_to) \
			KEEP(call); \
		else \
			MUST((arm(), (call))); \
		disarm(); \
	} while (0)

#endif
