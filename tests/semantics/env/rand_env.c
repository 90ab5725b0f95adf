/* SPDX-License-Identifier: MIT */
/* A random program from the command line: rand-pN SEED [OPERATIONS] */
#include "rand_env.h"

#include <stdio.h>
#include <stdlib.h>

int rand_seed = 1, rand_ops = 500;

void out(const char *format, const char *string)
{
	(void)format;
	puts(string);
}

kern_return_t make_task(task_t *task)
{
	return task_create(mach_task_self(), FALSE, task);
}

/* Where the traces were recorded, settling meant a receive with a time-out on a new reply port, which stayed: it is one
 * of the names that the traces show. task_terminate() itself needs no settling here. */
void settle(void)
{
	mach_reply_port();
}

int main(int argc, char **argv)
{
	if (argc < 2 || argc > 3) {
		fprintf(stderr, "usage: %s SEED [OPERATIONS]\n", argv[0]);
		return 2;
	}
	rand_seed = atoi(argv[1]);
	if (argc == 3)
		rand_ops = atoi(argv[2]);
	rand_main();
	return 0;
}
