/* SPDX-License-Identifier: MIT */
#include "kernel/thread.h"

#include <assert.h>
#include <stdlib.h>

#include "kernel/count.h"
#include "kernel/kernel.h"
#include "kernel/message.h"
#include "kernel/name.h"
#include "kernel/port.h"
#include "kernel/space.h"
#include "kernel/task.h"

_Thread_local struct thread *thread_current __attribute__((tls_model("initial-exec")));

/* Every thread that runs, and those that were. */
static struct {
	struct lock lock;
	struct list running, unused;
} registry = { LOCK_INIT(RANK_TASK), { &registry.running, &registry.running }, { &registry.unused, &registry.unused } };

static struct thread *thread_alloc(void)
{
	struct thread *thread = NULL;

	lock_take(&registry.lock);
	if (!list_is_empty(&registry.unused)) {
		thread = list_first(&registry.unused, struct thread, registry_link);
		list_unlink(&thread->registry_link);
	}
	lock_drop(&registry.lock);
	if (thread)
		return thread;
	thread = calloc(1, sizeof *thread);
	if (thread)
		list_init(&thread->registry_link);
	return thread;
}

static void thread_move(struct thread *thread, struct list *to)
{
	lock_take(&registry.lock);
	list_unlink(&thread->registry_link);
	list_append(to, &thread->registry_link);
	lock_drop(&registry.lock);
}

/* Nobody finds the thread by its pthread any more. */
static void thread_unregister(struct thread *thread)
{
	lock_take(&registry.lock);
	list_unlink(&thread->registry_link);
	lock_drop(&registry.lock);
}

struct thread *thread_new(struct task *task)
{
	struct thread *thread = thread_alloc();

	if (!thread)
		return NULL;
	if (!object_init(&thread->object, OBJECT_THREAD)) {
		thread_move(thread, &registry.unused);
		return NULL;
	}
	thread->task = task;
	thread->traffic = (struct traffic){ 0 };
	thread->partner_cpu = CPU_UNKNOWN;
	thread->is_terminated = false;
	list_init(&thread->graves);
	list_init(&thread->message_cache);
	thread->n_cached = 0;
	thread->spare_ports = (struct spares){ 0 };
	list_init(&thread->task_link);
	count_add(threads, 1);
	return thread;
}

static void thread_join_task(struct thread *thread, struct task *task)
{
	thread->task = task;
	lock_take(&task->lock);
	list_append(&task->threads, &thread->task_link);
	lock_drop(&task->lock);
}

static void thread_leave_task(struct thread *thread)
{
	lock_take(&thread->task->lock);
	list_unlink(&thread->task_link);
	traffic_sum(&thread->task->past, &thread->traffic);
	thread->traffic = (struct traffic){ 0 };
	lock_drop(&thread->task->lock);
}

/* From now on it is found by its pthread. */
static void thread_register(struct thread *thread)
{
	lock_take(&registry.lock);
	thread->pthread = pthread_self();
	list_append(&registry.running, &thread->registry_link);
	lock_drop(&registry.lock);
}

void thread_adopt(struct thread *thread)
{
	thread_register(thread);
	thread_join_task(thread, thread->task);
	kernel_at_thread_exit(thread);
	thread_current = thread;
}

void thread_discard(struct thread *thread)
{
	struct task *task = thread->task;

	object_end(&thread->object);
	object_deinit(&thread->object);
	count_add(threads, -1);
	thread_move(thread, &registry.unused);
	task_unref(task);
}

void thread_exit(struct thread *thread)
{
	struct task *task = thread->task;

	thread_current = thread; /* what follows still acts as this thread */
	kernel_tell_leaving();
	object_unname(task->space, &thread->object);
	thread_leave_task(thread);
	thread_unregister(thread);
	object_end(&thread->object);
	object_deinit(&thread->object);
	assert(list_is_empty(&thread->graves));
	message_cache_drain(thread);
	spares_drain(&thread->spare_ports);
	thread_current = NULL;
	count_add(threads, -1);
	thread_move(thread, &registry.unused);
	task_unref(task);
}

struct thread *thread_self_slow(void)
{
	struct task *task = kernel_root_task();
	struct thread *thread = thread_new(task_ref(task));

	if (!thread)
		abort();
	thread_adopt(thread);
	kernel_tell_beginning();
	return thread;
}

struct task *thread_enter(struct thread *thread, struct task *task)
{
	struct task *old = thread->task;

	kernel_tell_leaving();
	object_unname(old->space, &thread->object);
	thread_leave_task(thread);
	thread_join_task(thread, task);
	return old;
}

void thread_check_wait(struct thread *thread)
{
	if (atomic_load(&thread->task->is_dead) || atomic_load(&thread->is_terminated))
		waiter_cancel(&thread->waiter, WAITER_INTERRUPTED);
}

void thread_check_terminated(struct thread *thread)
{
	if (__builtin_expect(atomic_load_explicit(&thread->is_terminated, memory_order_relaxed), 0))
		pthread_exit(NULL);
}

void thread_interrupt_all_locked(struct task *task)
{
	list_for_each(thread, &task->threads, struct thread, task_link)
		waiter_cancel(&thread->waiter, WAITER_INTERRUPTED);
}

void thread_interrupt(struct thread *thread)
{
	waiter_cancel(&thread->waiter, WAITER_INTERRUPTED);
}

void thread_kill(struct thread *thread)
{
	atomic_store(&thread->is_terminated, true);
	waiter_cancel(&thread->waiter, WAITER_INTERRUPTED);
}

struct right thread_find(pthread_t pthread)
{
	struct right right = { NULL, RIGHT_SEND };

	lock_take(&registry.lock);
	list_for_each(thread, &registry.running, struct thread, registry_link) {
		if (pthread_equal(thread->pthread, pthread)) {
			right = object_make_send(&thread->object);
			break;
		}
	}
	lock_drop(&registry.lock);
	return right;
}

void thread_nudge_all(void)
{
	lock_take(&registry.lock);
	list_for_each(thread, &registry.running, struct thread, registry_link)
		waiter_nudge(&thread->waiter);
	lock_drop(&registry.lock);
}

mach_port_name_t thread_self_name(struct thread *thread)
{
	return object_name(thread->task->space, &thread->object);
}

void thread_forget_all(void)
{
	/* The memory stays reachable, which is what leak checkers want to see. */
	static struct list forgotten;

	list_init(&forgotten);
	list_splice(&forgotten, &registry.running);
	list_splice(&forgotten, &registry.unused);
	lock_init(&registry.lock, RANK_TASK);
	thread_current = NULL;
}
