/* SPDX-License-Identifier: MIT */
/* Tests of what three processes do together, one for each way in which they can be related. */
#ifndef TESTS_PROCESS_TRIO_H
#define TESTS_PROCESS_TRIO_H

#include "family.h"

struct trio {
	struct pair pair; /* how many there are */
	void (*rule)(struct process *a, struct process *b, struct process *c);
	unsigned a, b, c;
};

static void trio_run(void **state)
{
	struct trio *trio = *state;

	trio->rule(process_number(trio->a), process_number(trio->b), process_number(trio->c));
}

#define trio_test(rule, how, a, b, c) \
	{ \
#rule " (" how ")", trio_run, family_setup, family_teardown, &(struct trio) \
		{ \
			{ NULL, 0, (a) + (b) + (c) == 6 ? 3 : 2 }, rule, a, b, c \
		} \
	}
/* The parent is one of the three, or they are all its children. */
#define trio_tests(rule) \
	trio_test(rule, "parent first", 0, 1, 2), trio_test(rule, "parent second", 1, 0, 2), \
		trio_test(rule, "parent third", 1, 2, 0), trio_test(rule, "siblings", 1, 2, 3)

/* Starts so many, who know each other, or this process only. */
static inline void start_all(struct process **p, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		p[i] = process_start();
	process_take_balance(self);
	for (unsigned i = 0; i < n; i++)
		process_take_balance(p[i]);
}

#endif
