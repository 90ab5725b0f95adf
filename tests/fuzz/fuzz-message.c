/* SPDX-License-Identifier: MIT */
/* Messages that nobody would write: wrong sizes, wild pointers, descriptors that lie, rights that are not there.
 *
 * Each input is a program for one task that is born for it. Whatever its calls answer, nothing may crash, and when the task has
 * ended there are as many ports, names and messages as before it. */
#include "balance.h"
#include "input.h"
#include "program.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	task_t task;

	balance_begin();
	task = visit_begin();
	program_begin();
	while (in.left > 0)
		program_step(&in);
	visit_end(task);
	balance_end();
	return 0;
}
