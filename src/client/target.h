/* SPDX-License-Identifier: MIT */
#pragma once

/* The task that a call works on, given by a name of the caller's: mostly his own, which costs nothing to find. */

#include <mach/mach_types.h>
#include <stdbool.h>

#include "kernel/remote.h"
#include "kernel/space.h"
#include "kernel/task.h"
#include "kernel/thread.h"

struct target {
	struct thread *caller;
	struct task *task;
	struct space *space; /* of the task */
	bool is_own;	     /* task is the caller's own, not referenced */
};

/* Also ends a caller that was terminated.
 *   MACH_SEND_INVALID_DEST   the name is no send right to anything alive      @wrong   it is, but not to a task */
kern_return_t target_open_other(struct target *target, task_t name, kern_return_t wrong);

static inline kern_return_t target_open(struct target *target, task_t name, kern_return_t wrong)
{
	struct thread *caller = thread_self();

	thread_check_terminated(caller);
	remote_look();
	target->caller = caller;
	target->task = caller->task;
	target->space = caller->task->space;
	target->is_own =
		name != MACH_PORT_NULL && name == atomic_load_explicit(&target->space->self_name, memory_order_relaxed);
	return target->is_own ? KERN_SUCCESS : target_open_other(target, name, wrong);
}

static inline void target_close(struct target *target)
{
	if (!target->is_own)
		task_unref(target->task);
	remote_settle();
}

/* For results: @pointer can be written (by the rules of platform/usercopy.h). */
bool result_is_writable(void *pointer, size_t size);

/* A right of the caller's, taken as in a message that carries it; the errors of mach_port_* calls that do so.
 *   MACH_SEND_INVALID_RIGHT, MACH_SEND_NO_BUFFER */
kern_return_t argument_copyin(struct thread *caller, mach_port_name_t name, mach_msg_type_name_t disposition,
			      struct right *right);
/* Both: the task to work on, and a right for it, which is taken first: as part of a message to whatever @name is, it is
 * gone also when that is no task.
 *   MACH_SEND_INVALID_DEST   nothing was taken      the errors of argument_copyin()      @wrong */
kern_return_t target_open_with(struct target *target, task_t name, kern_return_t wrong, mach_port_name_t argument,
			       mach_msg_type_name_t disposition, struct right *right);
/* A right for the caller, as in a message that brings it; what finds no place is destroyed.
 *   KERN_RESOURCE_SHORTAGE, and *name is MACH_PORT_NULL */
kern_return_t result_copyout(struct thread *caller, struct right *right, mach_port_name_t *name);
/* An array for the caller, in memory of its own (vm_deallocate). Frees @bytes, which were malloc'ed.
 *   KERN_RESOURCE_SHORTAGE */
kern_return_t result_array(struct thread *caller, void *bytes, size_t size, vm_address_t *address);
