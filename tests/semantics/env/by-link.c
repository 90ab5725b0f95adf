/* SPDX-License-Identifier: MIT */
/* Linked into a program with -Wl,--wrap=task_create, this makes the tasks that it creates tasks of other processes. */
#include "kin.h"

kern_return_t __real_task_create(task_t parent, boolean_t inherit_memory, task_t *task);
kern_return_t __wrap_task_create(task_t parent, boolean_t inherit_memory, task_t *task);

kern_return_t __wrap_task_create(task_t parent, boolean_t inherit_memory, task_t *task)
{
	static task_t only;
	kern_return_t kr;

	if (parent != mach_task_self())
		return __real_task_create(parent, inherit_memory, task);
	if (!kin_ways.is_one_process)
		return kin_spawn(KIN_IDLE, task);
	if (!only && (kr = kin_spawn(KIN_IDLE, &only)))
		return kr;
	return __real_task_create(only, inherit_memory, task);
}
