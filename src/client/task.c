/* SPDX-License-Identifier: MIT */
#include <mach.h>
#include <portunus/task.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

#include "client/mig.h"
#include "client/target.h"
#include "inspect/serve.h"
#include "kernel/kernel.h"
#include "kernel/memory.h"
#include "kernel/name.h"
#include "kernel/object.h"
#include "kernel/right.h"
#include "link/family.h"
#include "link/poller.h"
#include "platform/park.h"
#include "platform/usercopy.h"

/* As in Mach, nothing of the process gets a chance to object. What it has sent, the answer too, is sent. */
static void process_end(void)
{
	kill(getpid(), SIGKILL);
}

__attribute__((constructor)) static void task_set_hooks(void)
{
	static const struct kernel_hooks hooks = {
		.thread_begins = family_join,
		.watch_begins = poller_attend_always,
		.thread_leaves = mig_reply_port_forget,
		.process_ends = process_end,
		.serve_node = inspect_serve,
	};

	kernel_set_hooks(&hooks);
}

/* ---- names of one's own */

mach_port_t mach_task_self(void)
{
	struct task *task = thread_self()->task;
	mach_port_name_t name = atomic_load_explicit(&task->space->self_name, memory_order_relaxed);

	if (name == MACH_PORT_NULL) {
		name = object_name(task->space, &task->object);
		if (!target_is_always_sent_to) /* it is found by this */
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

/* A task that its creator cannot name ends. */
static kern_return_t child_copyout(struct thread *caller, struct right *right, mach_port_name_t *name)
{
	kern_return_t r = right_copyout(caller->task->space, right, name);

	if (!r)
		return KERN_SUCCESS;
	if (right_is_valid(right))
		target_ask(caller, right, CALL_OF(CALL_TASK_TERMINATE), NULL);
	return r;
}

kern_return_t task_create(task_t target_task, boolean_t inherit_memory, task_t *child_task)
{
	struct answer answer;
	mach_port_name_t name;
	kern_return_t r;

	(void)inherit_memory; /* all tasks of a process share its memory */
	usercopy_renew();
	if (!result_is_writable(child_task, sizeof *child_task))
		return KERN_INVALID_ADDRESS;
	r = target_call(target_task, CALL_OF(CALL_TASK_CREATE), &answer);
	if (!r)
		r = child_copyout(thread_self(), &answer.rights[0], &name);
	if (!r)
		*child_task = name;
	return r;
}

kern_return_t task_terminate(task_t target_task)
{
	return target_call(target_task, CALL_OF(CALL_TASK_TERMINATE), NULL);
}

kern_return_t task_get_special_port(task_t task, int which_port, mach_port_t *special_port)
{
	struct answer answer;
	mach_port_name_t name;
	kern_return_t r;

	if (!result_is_writable(special_port, sizeof *special_port))
		return KERN_INVALID_ADDRESS;
	r = target_call(task, CALL_OF(CALL_TASK_GET_SPECIAL, (uint32_t)which_port), &answer);
	if (!r)
		r = result_copyout(thread_self(), &answer.rights[0], &name);
	if (!r)
		*special_port = name;
	return r;
}

kern_return_t task_set_special_port(task_t task, int which_port, mach_port_t special_port)
{
	struct call *call = CALL_OF(CALL_TASK_SET_SPECIAL, (uint32_t)which_port);

	return target_call_with(task, call, special_port, MACH_MSG_TYPE_COPY_SEND, NULL);
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

/* The rights that the names in the caller's memory stand for. */
static kern_return_t ports_read(struct thread *caller, mach_port_array_t ports, unsigned n, struct right *rights)
{
	mach_port_name_t names[TASK_PORT_REGISTER_MAX];

	if (n > TASK_PORT_REGISTER_MAX)
		return KERN_INVALID_ARGUMENT;
	if (!user_read(names, ports, n * sizeof *names))
		return KERN_INVALID_ADDRESS;
	return ports_copyin(caller, names, n, rights);
}

kern_return_t mach_ports_register(task_t target_task, mach_port_array_t init_port_set,
				  mach_msg_type_number_t init_port_setCnt)
{
	struct right dest, rights[TASK_PORT_REGISTER_MAX];
	struct call call = { .op = CALL_TASK_REGISTER, .n_rights = init_port_setCnt, .rights = rights };
	struct thread *caller = thread_self();
	kern_return_t r = target_open(caller, target_task, &dest);

	if (r)
		return r;
	r = ports_read(caller, init_port_set, init_port_setCnt, rights);
	if (!r)
		return target_ask(caller, &dest, &call, NULL);
	right_destroy(&dest);
	return r;
}

/* Names for all rights, or for none. Takes the rights. */
static kern_return_t ports_copyout(struct thread *caller, struct right *rights, unsigned n, mach_port_name_t *names)
{
	kern_return_t r = KERN_SUCCESS;

	for (unsigned i = 0; i < n; i++)
		r = result_copyout(caller, &rights[i], &names[i]) ?: r;
	for (unsigned i = 0; r && i < n; i++)
		if (MACH_PORT_VALID(names[i]))
			name_deallocate(caller->task->space, names[i]);
	return r;
}

kern_return_t mach_ports_lookup(task_t target_task, mach_port_array_t *init_port_set,
				mach_msg_type_number_t *init_port_setCnt)
{
	struct thread *caller = thread_self();
	vm_size_t size = TASK_REGISTERED_MAX * sizeof(mach_port_name_t);
	struct answer answer;
	vm_address_t names;
	kern_return_t r;

	if (!result_is_writable(init_port_set, sizeof *init_port_set) ||
	    !result_is_writable(init_port_setCnt, sizeof *init_port_setCnt))
		return KERN_INVALID_ADDRESS;
	r = memory_allocate(caller->task, &names, size, true);
	if (r)
		return r;
	r = target_call(target_task, CALL_OF(CALL_TASK_LOOKUP), &answer);
	if (!r)
		r = ports_copyout(caller, answer.rights, answer.n_rights, (mach_port_name_t *)names);
	if (r) {
		(void)memory_deallocate(names, size);
		return r;
	}
	*init_port_set = (mach_port_array_t)names;
	*init_port_setCnt = answer.n_rights;
	return KERN_SUCCESS;
}

/* ---- threads */

kern_return_t thread_abort(thread_t target_thread)
{
	struct thread *self = thread_self();
	struct right dest;
	kern_return_t r = target_open(self, target_thread, &dest);

	if (r)
		return r;
	if (dest.port != self->object.port)
		return target_ask(self, &dest, CALL_OF(CALL_THREAD_ABORT), NULL);
	right_destroy(&dest);
	return KERN_INVALID_ARGUMENT;
}

kern_return_t thread_terminate(thread_t target_thread)
{
	kern_return_t r = target_call(target_thread, CALL_OF(CALL_THREAD_TERMINATE), NULL);

	thread_check_terminated(thread_self()); /* it may be the caller */
	return r;
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
	struct task *within;
	struct thread *new;
	kern_return_t r;

	if (!start || !result_is_writable(thread, sizeof *thread))
		return KERN_INVALID_ARGUMENT;
	thread_check_terminated(thread_self());
	if (task_lookup(thread_self()->task, task, &within))
		return KERN_INVALID_ARGUMENT;
	new = thread_new(within);
	if (!new) {
		task_unref(within);
		return KERN_RESOURCE_SHORTAGE;
	}
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
