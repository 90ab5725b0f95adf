/* SPDX-License-Identifier: MIT */
#include "kernel/watch.h"

#include <errno.h>
#include <stdlib.h>

#include "kernel/kernel.h"
#include "kernel/port.h"
#include "kernel/portset.h"
#include "kernel/space.h"

static atomic_uint n_watches;

unsigned watch_count(void)
{
	return atomic_load(&n_watches);
}

void watch_forget_all(void)
{
	atomic_store(&n_watches, 0);
}

/* One reference, the caller's. NULL with errno. Whoever brings messages hears of it before anything can be missed. */
static struct watch *watch_new(void)
{
	struct watch *watch = malloc(sizeof *watch);
	int fd;

	if (!watch)
		return NULL;
	fd = fd_event();
	if (fd < 0) {
		free(watch);
		return NULL;
	}
	watch->n_refs = 1;
	watch->is_raised = false;
	fd_keep(&watch->event, fd);
	if (atomic_fetch_add(&n_watches, 1) == 0)
		kernel_tell_watch_begins();
	return watch;
}

static struct watch *watch_ref(struct watch *watch)
{
	atomic_fetch_add_explicit(&watch->n_refs, 1, memory_order_relaxed);
	return watch;
}

static void watch_unref(struct watch *watch)
{
	if (atomic_fetch_sub_explicit(&watch->n_refs, 1, memory_order_acq_rel) > 1)
		return;
	fd_kept_close(&watch->event);
	atomic_fetch_sub(&n_watches, 1);
	free(watch);
}

void watch_show_locked(struct watch *watch, bool is_ready)
{
	if (watch->is_raised == is_ready)
		return;
	watch->is_raised = is_ready;
	if (is_ready)
		fd_event_raise(watch->event.fd);
	else
		fd_event_lower(watch->event.fd);
}

void watch_end_locked(struct watch **slot)
{
	struct watch *watch = *slot;

	*slot = NULL;
	if (!watch)
		return;
	watch_show_locked(watch, true);
	watch_unref(watch);
}

/* The watch in @slot with a reference more: the one that is there, else *spare, which is used up; NULL: neither. */
static struct watch *watch_find_locked(struct watch **slot, struct watch **spare)
{
	if (!*slot) {
		*slot = *spare;
		*spare = NULL;
	}
	return *slot ? watch_ref(*slot) : NULL;
}

static struct watch *watch_find_port(struct port *p, struct watch **spare)
{
	struct watch *watch;

	lock_take(&p->lock);
	watch = watch_find_locked(&p->watch, spare);
	port_show_locked(p);
	lock_drop(&p->lock);
	return watch;
}

static struct watch *watch_find_set(struct portset *set, struct watch **spare)
{
	struct watch *watch;

	lock_take(&set->lock);
	watch = watch_find_locked(&set->watch, spare);
	portset_show_locked(set);
	lock_drop(&set->lock);
	return watch;
}

/* 0 or EBADF; *watch is NULL where there is none and no spare one. */
static int watch_find(struct space *space, mach_port_name_t number, struct watch **spare, struct watch **watch)
{
	struct name *name;
	int error = 0;

	lock_take(&space->lock);
	name = space_lookup_locked(space, number);
	if (name && (name->type & MACH_PORT_TYPE_RECEIVE))
		*watch = watch_find_port(name->port, spare);
	else if (name && (name->type & MACH_PORT_TYPE_PORT_SET))
		*watch = watch_find_set(name->set, spare);
	else
		error = EBADF;
	lock_drop(&space->lock);
	return error;
}

/* Takes the reference. */
static int watch_dup(struct watch *watch, int *fd)
{
	int error;

	*fd = fd_dup(watch->event.fd);
	error = *fd < 0 ? errno : 0;
	watch_unref(watch);
	return error;
}

/* There was no watch a moment ago. Everything that may fail comes before it is anybody's. */
static int watch_make(struct space *space, mach_port_name_t number, int *fd)
{
	struct watch *spare = watch_new(), *watch;
	int error;

	if (!spare)
		return errno;
	error = watch_dup(watch_ref(spare), fd);
	if (error) {
		watch_unref(spare);
		return error;
	}
	error = watch_find(space, number, &spare, &watch);
	if (!spare) {
		watch_unref(watch);
		return 0;
	}
	fd_close(*fd); /* another thread was faster, or the name is gone */
	watch_unref(spare);
	return error ? error : watch_dup(watch, fd);
}

int watch_open(struct space *space, mach_port_name_t number, int *fd)
{
	struct watch *none = NULL, *watch;
	int error = watch_find(space, number, &none, &watch);

	if (error)
		return error;
	return watch ? watch_dup(watch, fd) : watch_make(space, number, fd);
}
