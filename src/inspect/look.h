/* SPDX-License-Identifier: MIT */
#pragma once

/* How many entries of a name space one look takes in under its lock. */
enum { LOOK_BUDGET = 512 };

/* Looks at tasks, names and ports, and writes down what it sees. What is seen in one call of these functions, of one task, is
 * of one moment, but for what has no lock in common: queues and counts of ports, each of which is of one moment itself. */

#include <portunus/inspect_types.h>

struct task;

void look_at_task(struct task *task, portunus_inspect_task_t *record);
/* Both return how many records they have written, at most @max. The cursor is as in space_walk_locked(). */
unsigned look_at_names(struct task *task, uint64_t *cursor, portunus_inspect_name_t *records, unsigned max);
/* *@skip: holders of the next port that have been listed. */
unsigned look_at_holders(struct task *task, uint64_t *cursor, uint32_t *skip, portunus_inspect_holder_t *records,
			 unsigned max);
/* Adds up what it comes by in one step. */
void look_at_totals(struct task *task, uint64_t *cursor, portunus_inspect_totals_t *totals);
