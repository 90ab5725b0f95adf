/* SPDX-License-Identifier: MIT */
#include "kernel/kernel.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "kernel/count.h"
#include "kernel/memory.h"
#include "kernel/message.h"
#include "kernel/object.h"
#include "kernel/port.h"
#include "kernel/remote.h"
#include "kernel/task.h"
#include "kernel/thread.h"
#include "kernel/watch.h"
#include "platform/fd.h"
#include "platform/lock.h"
#include "platform/usercopy.h"

static struct {
	pthread_mutex_t mutex; /* of the first use */
	_Atomic(struct task *) root;
	struct object host, node;
	pthread_key_t thread_key;
	bool has_key;
	struct kernel_hooks hooks;
} kernel = { .mutex = PTHREAD_MUTEX_INITIALIZER };

struct remote remote;

void kernel_set_hooks(const struct kernel_hooks *hooks)
{
	kernel.hooks = *hooks;
}

void kernel_tell_beginning(void)
{
	if (kernel.hooks.thread_begins)
		kernel.hooks.thread_begins();
}

void kernel_tell_leaving(void)
{
	if (kernel.hooks.thread_leaves)
		kernel.hooks.thread_leaves();
}

void kernel_tell_process_ends(void)
{
	if (kernel.hooks.process_ends)
		kernel.hooks.process_ends();
}

void kernel_tell_watch_begins(void)
{
	if (kernel.hooks.watch_begins)
		kernel.hooks.watch_begins();
}

bool kernel_serve_node(struct message *m)
{
	if (m->dest.port != kernel.node.port || !kernel.hooks.serve_node)
		return false;
	kernel.hooks.serve_node(m);
	return true;
}

static void kernel_thread_ends(void *thread)
{
	thread_exit(thread);
}

void kernel_at_thread_exit(struct thread *thread)
{
	if (pthread_setspecific(kernel.thread_key, thread))
		abort();
}

/* The child of a fork starts as a fresh task that holds nothing. Other threads may have held any lock, so nothing of the
 * old kernel is touched: it is forgotten, and a new one is made on the child's first call. */
static void kernel_after_fork(void)
{
	static struct task *forgotten_root; /* reachable, for leak checkers */

	forgotten_root = kernel.root;
	(void)forgotten_root;
	lock_forget_held();
	if (remote_is_linked())
		remote.ops.forget();
	lock_init(&transit_lock, RANK_TRANSIT);
	pthread_mutex_init(&kernel.mutex, NULL);
	pthread_setspecific(kernel.thread_key, NULL);
	thread_forget_all();
	task_forget_all();
	memory_forget();
	message_forget_reserve();
	watch_forget_all();
	fd_kept_forget();
	count_forget();
	kernel.root = NULL;
}

/* What is set up once for a process and its children. */
static void kernel_init_process(void)
{
	if (kernel.has_key)
		return;
	if (pthread_key_create(&kernel.thread_key, kernel_thread_ends) ||
	    pthread_atfork(fd_kept_before_fork, fd_kept_after_fork, kernel_after_fork))
		abort();
	usercopy_init();
	kernel.has_key = true;
}

struct task *kernel_root_task(void)
{
	struct task *root = atomic_load_explicit(&kernel.root, memory_order_acquire);

	if (root)
		return root;
	pthread_mutex_lock(&kernel.mutex);
	root = kernel.root;
	if (!root) {
		kernel_init_process();
		root = task_new(NULL);
		if (!root || !object_init(&kernel.host, OBJECT_HOST) || !object_init(&kernel.node, OBJECT_NODE) ||
		    !message_init_reserve())
			abort();
		task_ref(root); /* it may be terminated, but threads that come later still begin in it */
		atomic_store_explicit(&kernel.root, root, memory_order_release);
	}
	pthread_mutex_unlock(&kernel.mutex);
	return root;
}

struct object *kernel_host(void)
{
	kernel_root_task();
	return &kernel.host;
}

struct object *kernel_node(void)
{
	kernel_root_task();
	return &kernel.node;
}
