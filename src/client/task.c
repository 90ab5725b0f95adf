/* SPDX-License-Identifier: MIT */
#include <mach.h>
#include <portunus/task.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "client/mig.h"
#include "client/target.h"
#include "kernel/kernel.h"
#include "kernel/memory.h"
#include "kernel/name.h"
#include "kernel/object.h"
#include "kernel/right.h"
#include "platform/park.h"
#include "platform/usercopy.h"

__attribute__((constructor)) static void task_set_hooks(void)
{
	static const struct kernel_hooks hooks = { .thread_leaves = mig_reply_port_forget };

	kernel_set_hooks(&hooks);
}

/* ---- names of one's own */

mach_port_t mach_task_self(void)
{
	struct task *task = thread_self()->task;
	mach_port_name_t name = atomic_load_explicit(&task->space->self_name, memory_order_relaxed);

	if (name == MACH_PORT_NULL) {
		name = object_name(task->space, &task->object);
		space_set_self_name(task->space, name);
	}
	return name;
}

mach_port_t mach_thread_self(void)
{
	return thread_self_name(thread_self());
}

mach_port_t mach_host_self(void)
{
	return object_name(thread_self()->task->space, kernel_host());
}

mach_port_t mach_reply_port(void)
{
	mach_port_name_t name;

	usercopy_renew();
	return name_allocate(thread_self()->task->space, MACH_PORT_RIGHT_RECEIVE, &name) ? MACH_PORT_NULL : name;
}

/* ---- tasks */

kern_return_t task_create(task_t target_task, boolean_t inherit_memory, task_t *child_task)
{
	struct target target;
	mach_port_name_t name;
	struct right right;
	struct task *child;
	kern_return_t r;

	(void)inherit_memory; /* all tasks share the memory of the process */
	usercopy_renew();
	if (!result_is_writable(child_task, sizeof *child_task))
		return KERN_INVALID_ADDRESS;
	r = target_open(&target, target_task, KERN_INVALID_TASK);
	if (r)
		return r;
	child = task_new(target.task);
	target_close(&target);
	if (!child)
		return KERN_RESOURCE_SHORTAGE;
	right = object_make_send(&child->object);
	r = result_copyout(target.caller, &right, &name);
	if (r)
		task_terminate_object(child);
	else
		*child_task = name;
	return r;
}

kern_return_t task_terminate(task_t target_task)
{
	struct target target;
	kern_return_t r = target_open(&target, target_task, KERN_INVALID_ARGUMENT);

	if (r)
		return r;
	r = task_terminate_object(target.task);
	target_close(&target);
	return r;
}

kern_return_t task_get_special_port(task_t task, int which_port, mach_port_t *special_port)
{
	struct target target;
	mach_port_name_t name;
	struct right right;
	kern_return_t r;

	if (!result_is_writable(special_port, sizeof *special_port))
		return KERN_INVALID_ADDRESS;
	r = target_open(&target, task, KERN_INVALID_ARGUMENT);
	if (r)
		return r;
	r = task_get_special(target.task, which_port, &right);
	target_close(&target);
	if (!r)
		r = result_copyout(target.caller, &right, &name);
	if (!r)
		*special_port = name;
	return r;
}

kern_return_t task_set_special_port(task_t task, int which_port, mach_port_t special_port)
{
	struct target target;
	struct right right;
	kern_return_t r =
		target_open_with(&target, task, KERN_INVALID_ARGUMENT, special_port, MACH_MSG_TYPE_COPY_SEND, &right);

	if (r)
		return r;
	r = task_set_special(target.task, which_port, &right);
	if (r)
		right_destroy(&right);
	target_close(&target);
	return r;
}

/* ---- registered ports */

/* Copies of @n send rights of the caller; those before a bad one are given back. */
static kern_return_t ports_copyin(struct thread *caller, const mach_port_name_t *names, unsigned n,
				  struct right *rights)
{
	kern_return_t r = KERN_SUCCESS;
	unsigned i;

	for (i = 0; i < n && !r; i++)
		r = argument_copyin(caller, names[i], MACH_MSG_TYPE_COPY_SEND, &rights[i]);
	if (r)
		for (i--; i > 0; i--)
			right_destroy(&rights[i - 1]);
	return r;
}

kern_return_t mach_ports_register(task_t target_task, mach_port_array_t init_port_set,
				  mach_msg_type_number_t init_port_setCnt)
{
	mach_port_name_t names[TASK_REGISTERED_MAX];
	struct right rights[TASK_REGISTERED_MAX];
	struct target target;
	kern_return_t r;

	r = target_open(&target, target_task, KERN_INVALID_ARGUMENT);
	if (r)
		return r;
	if (init_port_setCnt > TASK_REGISTERED_MAX)
		r = KERN_INVALID_ARGUMENT;
	else if (!user_read(names, init_port_set, init_port_setCnt * sizeof *names))
		r = KERN_INVALID_ADDRESS;
	if (r) {
		target_close(&target);
		return r;
	}
	r = ports_copyin(target.caller, names, init_port_setCnt, rights);
	if (!r) {
		r = task_register(target.task, rights, init_port_setCnt);
		for (unsigned i = 0; r && i < init_port_setCnt; i++)
			right_destroy(&rights[i]);
	}
	target_close(&target);
	return r;
}

/* Names for all rights, or for none. Takes the rights. */
static kern_return_t ports_copyout(struct thread *caller, struct right *rights, mach_port_name_t *names)
{
	kern_return_t r = KERN_SUCCESS;

	for (int i = 0; i < TASK_REGISTERED_MAX; i++)
		r = result_copyout(caller, &rights[i], &names[i]) ?: r;
	for (int i = 0; r && i < TASK_REGISTERED_MAX; i++)
		if (MACH_PORT_VALID(names[i]))
			name_deallocate(caller->task->space, names[i]);
	return r;
}

kern_return_t mach_ports_lookup(task_t target_task, mach_port_array_t *init_port_set,
				mach_msg_type_number_t *init_port_setCnt)
{
	struct right rights[TASK_REGISTERED_MAX];
	struct memory memory;
	struct target target;
	kern_return_t r;

	if (!result_is_writable(init_port_set, sizeof *init_port_set) ||
	    !result_is_writable(init_port_setCnt, sizeof *init_port_setCnt))
		return KERN_INVALID_ADDRESS;
	r = target_open(&target, target_task, KERN_INVALID_ARGUMENT);
	if (r)
		return r;
	memory = memory_new(TASK_REGISTERED_MAX * sizeof(mach_port_name_t));
	if (memory.address)
		task_get_registered(target.task, rights);
	target_close(&target);
	if (!memory.address)
		return KERN_RESOURCE_SHORTAGE;
	r = ports_copyout(target.caller, rights, memory.address);
	if (r) {
		memory_drop(&memory);
		return r;
	}
	*init_port_set = memory_give(&memory, target.caller->task);
	*init_port_setCnt = TASK_REGISTERED_MAX;
	return KERN_SUCCESS;
}

/* ---- threads */

kern_return_t thread_abort(thread_t target_thread)
{
	return thread_interrupt(thread_self(), target_thread);
}

kern_return_t thread_terminate(thread_t target_thread)
{
	return thread_kill(thread_self(), target_thread);
}

/* The way back is named first: without that, nobody goes anywhere. */
task_t portunus_task_enter(task_t task)
{
	struct thread *thread = thread_self();
	mach_port_name_t former;
	struct task *next;
	struct right right;

	if (task_lookup(thread->task, task, &next))
		return MACH_PORT_NULL;
	if (next == thread->task) {
		task_unref(next);
		return task;
	}
	right = object_make_send(&thread->task->object);
	if (right_copyout(next->space, &right, &former)) {
		right_destroy(&right);
		task_unref(next);
		return MACH_PORT_NULL;
	}
	task_unref(thread_enter(thread, next));
	return former;
}

/* What a new thread begins with. */
struct start {
	struct thread *thread;
	void *(*function)(void *);
	void *argument;
	atomic_uint has_begun; /* a futex word: after this the creator's memory is not looked at */
};

static void *start_thread(void *p)
{
	struct start *start = p;
	void *(*function)(void *) = start->function;
	void *argument = start->argument;

	thread_adopt(start->thread);
	atomic_store(&start->has_begun, 1);
	park_wake(&start->has_begun);
	return function(argument);
}

/* Returns when the thread has begun, so that its port can be asked for. */
static kern_return_t thread_start(struct thread *thread, pthread_t *pthread, void *(*function)(void *), void *argument)
{
	struct start start = { thread, function, argument, 0 };
	struct deadline never = deadline_never();
	pthread_t started;

	if (pthread_create(&started, NULL, start_thread, &start))
		return KERN_RESOURCE_SHORTAGE;
	while (!atomic_load(&start.has_begun))
		park_wait(&start.has_begun, 0, &never);
	*pthread = started;
	return KERN_SUCCESS;
}

kern_return_t portunus_thread_create(task_t task, pthread_t *thread, void *(*start)(void *), void *arg)
{
	struct target target;
	struct thread *new;
	kern_return_t r;

	if (!start || !result_is_writable(thread, sizeof *thread))
		return KERN_INVALID_ARGUMENT;
	r = target_open(&target, task, KERN_INVALID_ARGUMENT);
	if (r)
		return KERN_INVALID_ARGUMENT;
	new = thread_new(task_ref(target.task));
	if (!new)
		task_unref(target.task);
	target_close(&target);
	if (!new)
		return KERN_RESOURCE_SHORTAGE;
	r = thread_start(new, thread, start, arg);
	if (r)
		thread_discard(new);
	return r;
}

thread_t portunus_thread_port(pthread_t thread)
{
	struct right right = thread_find(thread);
	mach_port_name_t name;

	return result_copyout(thread_self(), &right, &name) || !MACH_PORT_VALID(name) ? MACH_PORT_NULL : name;
}
