/* SPDX-License-Identifier: MIT */
#pragma once

/* The task (or thread) that a call works on, given by a name of the caller's. It is
 *   the caller's own task        mostly, and costs nothing to find
 *   another one of this process  and the call is performed on it at once, by the calling thread
 *   one of another process       and the call is a message to its port, which is answered there (kernel/callmsg.h) */

#include <mach/mach_types.h>
#include <stdbool.h>

#include "kernel/call.h"
#include "kernel/remote.h"
#include "kernel/space.h"
#include "kernel/task.h"
#include "kernel/thread.h"

/* For tests: every call is a message, whomever it asks. */
extern bool target_is_always_sent_to;

/* The caller's own task if @name is that, else NULL; not referenced. Also ends a caller that was terminated. */
static inline struct task *target_own(task_t name)
{
	struct thread *caller = thread_self();
	struct task *own = caller->task;

	thread_check_terminated(caller);
	remote_look();
	if (name == MACH_PORT_NULL || name != atomic_load_explicit(&own->space->self_name, memory_order_relaxed))
		return NULL;
	return own;
}

/* At the end of a call that was performed at once. */
static inline kern_return_t target_settled(kern_return_t r)
{
	remote_settle();
	return r;
}

/* Asks what @name is the port of. The call's rights are taken, whatever comes of it, but if there is nobody to ask:
 *   MACH_SEND_INVALID_DEST   the name is no send right to anything alive
 *   MACH_SEND_NO_BUFFER      no memory for a message
 *   MIG_SERVER_DIED          the other process, or the task there, ended before it answered
 *   MIG_TYPE_ERROR, MIG_REPLY_MISMATCH, MIG_BAD_ID, MIG_BAD_ARGUMENTS   who answered speaks otherwise
 *   MACH_RCV_PORT_DIED       the caller's own task ended while it waited
 *   else what the call does; call_form.wrong if @name is a port of anything else */
kern_return_t target_call(task_t name, const struct call *call, struct answer *answer);

/* The same with one right, of the caller's, which is taken as part of the message to whatever @name is: it is gone also
 * when that is nothing that can be called. A @disposition that is none leaves the call without the right. Besides:
 *   MACH_SEND_INVALID_RIGHT   it has no such right */
kern_return_t target_call_with(task_t name, struct call *call, mach_port_name_t argument,
			       mach_msg_type_name_t disposition, struct answer *answer);

/* In steps: a naked send right to whom to ask (MACH_SEND_INVALID_DEST), and asking, which takes that right. */
kern_return_t target_open(struct thread *caller, task_t name, struct right *dest);
kern_return_t target_ask(struct thread *caller, struct right *dest, const struct call *call, struct answer *answer);
kern_return_t target_ask_by_message(struct thread *caller, struct right *dest, const struct call *call,
				    struct answer *answer);

/* For results: @pointer can be written (by the rules of platform/usercopy.h). */
bool result_is_writable(void *pointer, size_t size);

/* A right of the caller's, taken as in a message that carries it; the errors of mach_port_* calls that do so.
 *   MACH_SEND_INVALID_RIGHT, MACH_SEND_NO_BUFFER */
kern_return_t argument_copyin(struct thread *caller, mach_port_name_t name, mach_msg_type_name_t disposition,
			      struct right *right);
/* A right for the caller, as in a message that brings it; what finds no place is destroyed.
 *   KERN_RESOURCE_SHORTAGE, and *name is MACH_PORT_NULL */
kern_return_t result_copyout(struct thread *caller, struct right *right, mach_port_name_t *name);
