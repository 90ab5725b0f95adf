/* SPDX-License-Identifier: MIT */
/* The surroundings of rand.c on Linux. Seed and number of operations are chosen when the program runs; only the profile,
 * which picks a table, is compiled in. */
#ifndef SEMANTICS_RAND_ENV_H
#define SEMANTICS_RAND_ENV_H

#include <mach.h>
#include <portunus/task.h>

extern int rand_seed, rand_ops;
#define RAND_SEED rand_seed
#define RAND_OPS  rand_ops

/* format is always "%s\n" */
void out(const char *format, const char *string);

/* An empty in-process task. Where *task still holds the name of a dead one, the new task gets that name, as it does in a
 * kernel that hands out the name freed last: rand.c keeps it out of what it prints. */
kern_return_t make_task(task_t *task);

/* after task_terminate(): until its consequences have happened */
void settle(void);

void rand_main(void);

#endif
