/* SPDX-License-Identifier: MIT */
#include "kernel/task.h"

#include <assert.h>
#include <stdlib.h>

#include "kernel/count.h"
#include "kernel/memory.h"
#include "kernel/port.h"
#include "kernel/space.h"
#include "kernel/thread.h"

/* Every task that lives. As in Mach, one whose port nobody holds any more lives on until the process ends: nobody can
 * terminate it, but it is not lost to leak checkers. */
static struct {
	struct lock lock;
	struct list living; /* in the order of their numbers */
	uint64_t last_id;
} registry = { LOCK_INIT(RANK_REGISTRY), { &registry.living, &registry.living }, 0 };

static void task_register_living(struct task *task)
{
	lock_take(&registry.lock);
	task->id = ++registry.last_id;
	task->space->task_id = task->id;
	list_append(&registry.living, &task->registry_link);
	lock_drop(&registry.lock);
}

static void task_unregister_living(struct task *task)
{
	lock_take(&registry.lock);
	list_unlink(&task->registry_link);
	lock_drop(&registry.lock);
}

void task_forget_all(void)
{
	static struct list forgotten; /* reachable still */

	list_init(&forgotten);
	list_splice(&forgotten, &registry.living);
	registry.last_id = 0;
	lock_init(&registry.lock, RANK_REGISTRY);
}

/* A task in the registry has not dropped its last reference: task_terminate_object() takes it out first. */
struct task *task_next(uint64_t id)
{
	struct task *found = NULL;

	lock_take(&registry.lock);
	list_for_each(task, &registry.living, struct task, registry_link) {
		if (task->id > id) {
			found = task_ref(task);
			break;
		}
	}
	lock_drop(&registry.lock);
	return found;
}

struct task *task_find(uint64_t id)
{
	struct task *task = id ? task_next(id - 1) : NULL;

	if (task && task->id == id)
		return task;
	if (task)
		task_unref(task);
	return NULL;
}

unsigned task_read_traffic(struct task *task, struct traffic *traffic)
{
	unsigned n = 0;

	*traffic = (struct traffic){ 0 };
	lock_take(&task->lock);
	traffic_sum(traffic, &task->past);
	list_for_each(thread, &task->threads, struct thread, task_link) {
		traffic_sum(traffic, &thread->traffic);
		n++;
	}
	lock_drop(&task->lock);
	return n;
}

/* A second naked send right, or the same nothing. */
static struct right right_copy(const struct right *right)
{
	struct right copy = *right;

	if (!right_is_valid(right))
		return copy;
	lock_take(&right->port->lock);
	if (port_is_dead(right->port))
		copy.port = PORT_DEAD;
	else
		port_copy_send_locked(right->port);
	lock_drop(&right->port->lock);
	return copy;
}

static void task_inherit(struct task *task, struct task *parent)
{
	lock_take(&parent->lock);
	task->bootstrap = right_copy(&parent->bootstrap);
	task->n_registered = parent->n_registered;
	for (unsigned i = 0; i < task->n_registered; i++)
		task->registered[i] = right_copy(&parent->registered[i]);
	lock_drop(&parent->lock);
}

struct task *task_new(struct task *parent)
{
	struct task *task = calloc(1, sizeof *task);

	if (!task)
		return NULL;
	task->n_refs = 1;
	lock_init(&task->lock, RANK_TASK);
	list_init(&task->threads);
	task->space = space_new();
	if (!task->space || !object_init(&task->object, OBJECT_TASK)) {
		if (task->space)
			space_unref(task->space);
		free(task);
		return NULL;
	}
	count_add(tasks, 1);
	task->kernel_port = object_make_send(&task->object);
	task_register_living(task);
	if (parent)
		task_inherit(task, parent);
	return task;
}

struct task *task_ref(struct task *task)
{
	atomic_fetch_add_explicit(&task->n_refs, 1, memory_order_relaxed);
	return task;
}

void task_unref(struct task *task)
{
	if (atomic_fetch_sub_explicit(&task->n_refs, 1, memory_order_acq_rel) > 1)
		return;
	assert(task->is_dead && list_is_empty(&task->threads));
	object_deinit(&task->object);
	memory_release(task);
	space_unref(task->space);
	count_add(tasks, -1);
	free(task);
}

/* Puts @n rights in the place of those that are registered, of which it returns the number. */
static unsigned task_exchange_registered_locked(struct task *task, const struct right *rights, unsigned n,
						struct right *old)
{
	unsigned n_old = task->n_registered;

	for (unsigned i = 0; i < n_old; i++)
		old[i] = task->registered[i];
	for (unsigned i = 0; i < n; i++)
		task->registered[i] = rights[i];
	task->n_registered = n;
	return n_old;
}

static void task_drop_special_ports(struct task *task)
{
	struct right rights[TASK_REGISTERED_MAX + 2];
	unsigned n;

	lock_take(&task->lock);
	n = task_exchange_registered_locked(task, NULL, 0, rights);
	rights[n++] = task->bootstrap;
	task->bootstrap.port = NULL;
	rights[n++] = task->kernel_port;
	task->kernel_port.port = NULL;
	lock_drop(&task->lock);
	for (unsigned i = 0; i < n; i++)
		right_destroy(&rights[i]);
}

kern_return_t task_terminate_object(struct task *task)
{
	if (atomic_exchange(&task->is_dead, true))
		return KERN_FAILURE;
	lock_take(&task->lock);
	thread_interrupt_all_locked(task);
	lock_drop(&task->lock);
	space_destroy(task->space);
	task_drop_special_ports(task);
	object_end(&task->object);
	task_unregister_living(task);
	task_unref(task); /* the one that kept it alive */
	return KERN_SUCCESS;
}

kern_return_t task_lookup(struct task *self, mach_port_name_t name, struct task **task)
{
	struct object *object;
	kern_return_t r = object_lock(self->space, name, OBJECT_TASK, &object);

	if (r)
		return r == KERN_INVALID_ARGUMENT ? KERN_INVALID_TASK : r;
	*task = task_ref(container_of(object, struct task, object));
	lock_drop(&object->port->lock);
	return KERN_SUCCESS;
}

static struct right *task_special(struct task *task, int which)
{
	switch (which) {
	case TASK_KERNEL_PORT:
		return &task->kernel_port;
	case TASK_BOOTSTRAP_PORT:
		return &task->bootstrap;
	default:
		return NULL;
	}
}

kern_return_t task_get_special(struct task *task, int which, struct right *right)
{
	const struct right *special = task_special(task, which);

	if (!special)
		return KERN_INVALID_ARGUMENT;
	lock_take(&task->lock);
	*right = right_copy(special);
	lock_drop(&task->lock);
	right->kind = RIGHT_SEND;
	return KERN_SUCCESS;
}

kern_return_t task_set_special(struct task *task, int which, struct right *right)
{
	struct right *special = task_special(task, which), old;
	bool is_dead;

	if (!special)
		return KERN_INVALID_ARGUMENT;
	lock_take(&task->lock);
	is_dead = task->is_dead; /* then its rights have been dropped, or will be after us */
	if (!is_dead) {
		old = *special;
		*special = *right;
	}
	lock_drop(&task->lock);
	if (is_dead)
		return KERN_INVALID_ARGUMENT;
	right_destroy(&old);
	return KERN_SUCCESS;
}

kern_return_t task_register(struct task *task, struct right *rights, unsigned n)
{
	struct right old[TASK_REGISTERED_MAX];
	unsigned n_old = 0;
	bool is_dead;

	assert(n <= TASK_REGISTERED_MAX);
	lock_take(&task->lock);
	is_dead = task->is_dead;
	if (!is_dead)
		n_old = task_exchange_registered_locked(task, rights, n, old);
	lock_drop(&task->lock);
	for (unsigned i = 0; i < n_old; i++)
		right_destroy(&old[i]);
	return is_dead ? KERN_INVALID_ARGUMENT : KERN_SUCCESS;
}

unsigned task_get_registered(struct task *task, struct right *rights)
{
	unsigned n;

	lock_take(&task->lock);
	for (n = 0; n < task->n_registered; n++)
		rights[n] = right_copy(&task->registered[n]);
	lock_drop(&task->lock);
	while (n < TASK_PORT_REGISTER_MAX)
		rights[n++] = (struct right){ NULL, RIGHT_SEND };
	return n;
}
