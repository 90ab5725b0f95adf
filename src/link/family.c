/* SPDX-License-Identifier: MIT */
#include "link/family.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "kernel/callmsg.h"
#include "kernel/kernel.h"
#include "kernel/message.h"
#include "kernel/port.h"
#include "kernel/remote.h"
#include "kernel/send.h"
#include "kernel/thread.h"
#include "link/export.h"
#include "link/frame.h"
#include "link/link.h"
#include "link/poller.h"
#include "link/proxy.h"

enum { TASK_INDEX = 0 }; /* the child's export that is its task */

/* What the environment says of our parent. */
static struct {
	pthread_mutex_t mutex; /* of joining it */
	atomic_bool is_pending;
	int socket;
	uint32_t number;
	uint64_t parent_id;
} family = { .mutex = PTHREAD_MUTEX_INITIALIZER };

bool family_begin(void)
{
	return node_init(0);
}

uint64_t family_own_id(void)
{
	return node.id;
}

/* ---- the parent --------------------------------------------------------------------------------------------------- */

static struct right right_copy_send(const struct right *right)
{
	lock_take(&right->port->lock);
	port_copy_send_locked(right->port);
	lock_drop(&right->port->lock);
	return *right;
}

static void give(const struct right *child, struct right *rights, unsigned n_rights)
{
	struct call setup = { .op = CALL_TASK_SETUP, .n_rights = n_rights, .rights = rights };
	struct right dest = right_copy_send(child), nobody = { NULL, RIGHT_NONE };
	struct message *m;

	while (!(m = call_request(&dest, &nobody, &setup)))
		sched_yield();
	send_always(m);
}

bool family_adopt(int socket, pid_t pid, uint32_t number, struct right *rights, unsigned n_rights, struct right *child)
{
	static const struct wire_right task = { WIRE_MINE | WIRE_IS_OBJECT, RIGHT_SEND, UINT16_MAX, TASK_INDEX };
	struct link *link = link_new(socket, LINK_TO_CHILD, (uint64_t)(uint32_t)pid << 32 | number);

	if (!link)
		return false;
	lock_take(&node.lock);
	proxy_receive_unit_locked(proxy_of_wire_locked(link, &task), RIGHT_SEND, child);
	lock_drop(&node.lock);
	if (!link_begin(link)) {
		right_destroy(child);
		return false;
	}
	give(child, rights, n_rights);
	remote_settle();
	return true;
}

/* ---- the child ---------------------------------------------------------------------------------------------------- */

/* Before any code of the program runs, so that neither the descriptor nor the variable reaches programs that it starts. */
__attribute__((constructor(102))) static void family_read_environment(void)
{
	const char *value = getenv(FAMILY_VARIABLE);
	unsigned long long parent_id;
	unsigned number;
	int socket;

	if (!value)
		return;
	if (sscanf(value, "%d:%8x:%16llx", &socket, &number, &parent_id) == 3 &&
	    fcntl(socket, F_SETFD, FD_CLOEXEC) == 0) {
		family.socket = socket;
		family.number = number;
		family.parent_id = parent_id;
		family.is_pending = true;
	}
	unsetenv(FAMILY_VARIABLE);
}

/* Its task is what a parent holds of its child from the start. */
static void export_task_locked(struct link *link, const struct right *task)
{
	struct export *x = export_of_locked(link, task->port);

	export_grant_locked(x, task);
	export_tell_limit_locked(x);
}

static bool is_set_up(void *what)
{
	const struct link *link = what;

	return atomic_load(&kernel_root_task()->is_set_up) || link->state == LINK_ENDED;
}

static void family_join_parent(void)
{
	struct right task = object_make_send(&kernel_root_task()->object);
	struct link *link = node_init(family.number) ? link_new(family.socket, LINK_TO_PARENT, family.parent_id) : NULL;

	if (!link) {
		right_destroy(&task);
		return;
	}
	lock_take(&node.lock);
	link_ref_locked(link);
	export_task_locked(link, &task);
	lock_drop(&node.lock);
	(void)poller_begin(link, is_set_up, POLLER_PATIENCE_MS);
	lock_take(&node.lock);
	link_unref_locked(link);
	lock_drop(&node.lock);
}

void family_join(void)
{
	if (!atomic_load_explicit(&family.is_pending, memory_order_acquire))
		return;
	pthread_mutex_lock(&family.mutex);
	if (family.is_pending) {
		family_join_parent();
		atomic_store_explicit(&family.is_pending, false, memory_order_release);
	}
	pthread_mutex_unlock(&family.mutex);
}
