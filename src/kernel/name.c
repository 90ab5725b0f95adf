/* SPDX-License-Identifier: MIT */
#include "kernel/name.h"

#include <assert.h>
#include <mach/notify.h>
#include <stdlib.h>

#include "kernel/accept.h"
#include "kernel/after.h"
#include "kernel/message.h"
#include "kernel/notify.h"
#include "kernel/port.h"
#include "kernel/portset.h"
#include "kernel/space.h"

mach_port_type_t name_type_locked(const struct name *name)
{
	mach_port_type_t type = name->type;

	if (name->dead_request)
		type |= MACH_PORT_TYPE_DNREQUEST;
	if (name->accept)
		type |= MACH_PORT_TYPE_MAREQUEST;
	return type;
}

static bool name_is_indexed(const struct name *name)
{
	return (name->type & MACH_PORT_TYPE_SEND_RECEIVE) == MACH_PORT_TYPE_SEND;
}

/* A msg-accepted notification still to come will not tell this name. */
static void name_forget_accept_locked(struct name *name)
{
	if (name->accept)
		name->accept->name = MACH_PORT_NULL;
	name->accept = NULL;
}

/* What held rights becomes a dead name, with as many user references, and one more for the dead-name notification. */
static void name_become_dead_locked(struct space *space, struct name *name)
{
	if (name_is_indexed(name))
		space_unindex_port_locked(space, name);
	if (name->type & MACH_PORT_TYPE_SEND_ONCE)
		name->urefs = 1;
	if (name->dead_request && name->urefs < UREFS_MAX)
		name->urefs++;
	name->dead_request = NULL;
	name_forget_accept_locked(name);
	name->type = MACH_PORT_TYPE_DEAD_NAME;
	name->port = NULL;
}

void name_check_dead_locked(struct space *space, struct name *name)
{
	struct port *p;

	if (!(name->type & MACH_PORT_TYPE_PORT_RIGHTS) || !port_is_dead(name->port))
		return;
	p = name->port;
	name_become_dead_locked(space, name);
	port_unref(p);
}

bool name_end_request_locked(struct space *space, struct name *name, struct after *after)
{
	struct message *notice = name->dead_request;
	bool is_alive;

	if (!notice)
		return true;
	lock_take(&name->port->lock);
	is_alive = !port_is_dead(name->port);
	if (is_alive) {
		list_unlink(&notice->port_link);
		notice_set_value(notice, MACH_NOTIFY_PORT_DELETED, name->name);
		assert(!after->port_deleted);
		after->port_deleted = notice;
		name->dead_request = NULL;
	}
	lock_drop(&name->port->lock);
	if (!is_alive)
		name_check_dead_locked(space, name);
	return is_alive;
}

void name_remove_locked(struct space *space, struct name *name)
{
	assert(!name->dead_request);
	if (name_is_indexed(name))
		space_unindex_port_locked(space, name);
	name_forget_accept_locked(name);
	space_free_locked(space, name);
}

void name_clear_locked(struct space *space, struct name *name, struct after *after)
{
	mach_port_type_t type;
	struct port *p;

	(void)name_end_request_locked(space, name, after);
	p = name->port;
	type = name->type;
	if (type & MACH_PORT_TYPE_PORT_SET)
		after->set = name->set;
	name_remove_locked(space, name);
	if (!(type & MACH_PORT_TYPE_PORT_RIGHTS))
		return;
	if (type & MACH_PORT_TYPE_SEND_ONCE) {
		after->unused = p;
		return;
	}
	lock_take(&p->lock);
	if (type & MACH_PORT_TYPE_SEND)
		after->no_senders = port_drop_send_locked(p);
	if (type & MACH_PORT_TYPE_RECEIVE) {
		port_leave_space_locked(p, after);
		lock_drop(&p->lock);
		after->dying = p;
	} else {
		port_unlock_unref(p);
	}
}

/* A name to work on, with the space locked; on an error it is not. Its port may have died. */
static kern_return_t name_lock_unchecked(struct space *space, mach_port_name_t number, struct name **name)
{
	kern_return_t r = KERN_SUCCESS;

	lock_take(&space->lock);
	*name = space_find_locked(space, number);
	if (space->is_dead)
		r = KERN_INVALID_TASK;
	else if (!*name)
		r = KERN_INVALID_NAME;
	if (r)
		lock_drop(&space->lock);
	return r;
}

/* The same; if its port has died, it is a dead name by now. */
static kern_return_t name_lock(struct space *space, mach_port_name_t number, struct name **name)
{
	kern_return_t r = name_lock_unchecked(space, number, name);

	if (!r)
		name_check_dead_locked(space, *name);
	return r;
}

/* What a new name is to hold. */
union new_right {
	struct port *port;
	struct portset *set;
};

static kern_return_t new_right_make(mach_port_right_t right, union new_right *new)
{
	switch (right) {
	case MACH_PORT_RIGHT_RECEIVE:
		new->port = port_new();
		return new->port ? KERN_SUCCESS : KERN_RESOURCE_SHORTAGE;
	case MACH_PORT_RIGHT_PORT_SET:
		new->set = portset_new();
		return new->set ? KERN_SUCCESS : KERN_RESOURCE_SHORTAGE;
	case MACH_PORT_RIGHT_DEAD_NAME:
		return KERN_SUCCESS;
	default:
		return KERN_INVALID_VALUE;
	}
}

static void new_right_discard(mach_port_right_t right, union new_right new)
{
	if (right == MACH_PORT_RIGHT_RECEIVE)
		port_destroy(new.port);
	else if (right == MACH_PORT_RIGHT_PORT_SET)
		portset_destroy(new.set);
}

static void name_hold_locked(struct space *space, struct name *name, mach_port_right_t right, union new_right new)
{
	name->type = MACH_PORT_TYPE(right);
	switch (right) {
	case MACH_PORT_RIGHT_RECEIVE:
		name->port = new.port;
		lock_take(&new.port->lock);
		port_enter_space_locked(new.port, space, name);
		lock_drop(&new.port->lock);
		break;
	case MACH_PORT_RIGHT_PORT_SET:
		name->set = new.set;
		new.set->name = name->name;
		break;
	default:
		name->urefs = 1;
	}
}

/* @number: MACH_PORT_NULL for a name of the kernel's choice. */
static kern_return_t name_allocate_locked(struct space *space, mach_port_right_t right, union new_right new,
					  mach_port_name_t number, mach_port_name_t *chosen)
{
	struct name *name;

	if (space->is_dead)
		return KERN_INVALID_TASK;
	if (number == MACH_PORT_NULL)
		name = space_allocate_locked(space);
	else if (space_find_locked(space, number))
		return KERN_NAME_EXISTS;
	else
		name = space_allocate_as_locked(space, number);
	if (!name)
		return KERN_RESOURCE_SHORTAGE;
	name_hold_locked(space, name, right, new);
	*chosen = name->name;
	return KERN_SUCCESS;
}

static kern_return_t name_allocate_any(struct space *space, mach_port_right_t right, mach_port_name_t number,
				       mach_port_name_t *chosen)
{
	union new_right new = { NULL };
	kern_return_t r = new_right_make(right, &new);

	if (r)
		return r;
	lock_take(&space->lock);
	r = name_allocate_locked(space, right, new, number, chosen);
	lock_drop(&space->lock);
	if (r)
		new_right_discard(right, new);
	return r;
}

kern_return_t name_allocate(struct space *space, mach_port_right_t right, mach_port_name_t *name)
{
	return name_allocate_any(space, right, MACH_PORT_NULL, name);
}

kern_return_t name_allocate_as(struct space *space, mach_port_right_t right, mach_port_name_t name)
{
	mach_port_name_t chosen;

	if (!MACH_PORT_VALID(name))
		return KERN_INVALID_VALUE;
	return name_allocate_any(space, right, name, &chosen);
}

/* The new number is taken before the old name is looked at: if that does not exist, the new one was freed last. */
static kern_return_t name_rename_locked(struct space *space, mach_port_name_t old, mach_port_name_t new)
{
	struct name *name, *place;

	if (space->is_dead)
		return KERN_INVALID_TASK;
	if (space_find_locked(space, new))
		return KERN_NAME_EXISTS;
	place = space_allocate_as_locked(space, new);
	if (!place)
		return KERN_RESOURCE_SHORTAGE;
	name = space_lookup_locked(space, old);
	if (!name) {
		space_free_locked(space, place);
		return KERN_INVALID_NAME;
	}
	space_renumber_locked(space, name, place);
	return KERN_SUCCESS;
}

kern_return_t name_rename(struct space *space, mach_port_name_t old, mach_port_name_t new)
{
	kern_return_t r;

	if (!MACH_PORT_VALID(new))
		return KERN_INVALID_VALUE;
	lock_take(&space->lock);
	r = name_rename_locked(space, old, new);
	lock_drop(&space->lock);
	return r;
}

/* Fewer user references of a dead name or a send right; the last takes the right along. False: what was a send right is
 * a dead name by now, and nothing was dropped. */
static bool name_drop_urefs_locked(struct space *space, struct name *name, uint32_t n, struct after *after)
{
	struct port *p = name->port;

	assert(n <= name->urefs);
	if (n == name->urefs && !(name->type & MACH_PORT_TYPE_RECEIVE)) {
		if (!name_end_request_locked(space, name, after))
			return false;
		name_clear_locked(space, name, after);
		return true;
	}
	name->urefs -= n;
	if (name->urefs > 0)
		return true;
	name->type &= ~MACH_PORT_TYPE_SEND;
	lock_take(&p->lock);
	after->no_senders = port_drop_send_locked(p);
	lock_drop(&p->lock);
	return true;
}

static kern_return_t name_deallocate_locked(struct space *space, struct name *name, struct after *after)
{
	if (name->type & MACH_PORT_TYPE_SEND_ONCE && name_end_request_locked(space, name, after)) {
		name_clear_locked(space, name, after);
		return KERN_SUCCESS;
	}
	if (!(name->type & (MACH_PORT_TYPE_SEND | MACH_PORT_TYPE_DEAD_NAME)))
		return KERN_INVALID_RIGHT;
	if (!name_drop_urefs_locked(space, name, 1, after))
		(void)name_drop_urefs_locked(space, name, 1, after); /* a reference of the dead name, then */
	return KERN_SUCCESS;
}

kern_return_t name_deallocate(struct space *space, mach_port_name_t number)
{
	struct after after;
	struct name *name;
	kern_return_t r = name_lock(space, number, &name);

	if (r)
		return r;
	after_init(&after);
	r = name_deallocate_locked(space, name, &after);
	lock_drop(&space->lock);
	after_run(&after);
	return r;
}

void name_deallocate_implicit(struct space *space, struct port *p)
{
	struct after after;
	struct name *name;

	after_init(&after);
	lock_take(&space->lock);
	name = space_lookup_port_locked(space, p);
	if (name && name->is_implicit) {
		name->is_implicit = false;
		(void)name_deallocate_locked(space, name, &after);
	}
	lock_drop(&space->lock);
	after_run(&after);
}

kern_return_t name_destroy(struct space *space, mach_port_name_t number)
{
	struct after after;
	struct name *name;
	kern_return_t r = name_lock(space, number, &name);

	if (r)
		return r;
	after_init(&after);
	name_clear_locked(space, name, &after);
	lock_drop(&space->lock);
	after_run(&after);
	return KERN_SUCCESS;
}

kern_return_t name_get_type(struct space *space, mach_port_name_t number, mach_port_type_t *type)
{
	struct name *name;
	kern_return_t r = name_lock(space, number, &name);

	if (r)
		return r;
	*type = name_type_locked(name);
	lock_drop(&space->lock);
	return KERN_SUCCESS;
}

static bool right_is_counted(mach_port_right_t right)
{
	return right == MACH_PORT_RIGHT_SEND || right == MACH_PORT_RIGHT_DEAD_NAME;
}

kern_return_t name_get_refs(struct space *space, mach_port_name_t number, mach_port_right_t right,
			    mach_port_urefs_t *urefs)
{
	struct name *name;
	kern_return_t r;

	if (right >= MACH_PORT_RIGHT_NUMBER)
		return KERN_INVALID_VALUE;
	r = name_lock(space, number, &name);
	if (r)
		return r;
	if (!(name->type & MACH_PORT_TYPE(right)))
		*urefs = 0;
	else
		*urefs = right_is_counted(right) ? name->urefs : 1;
	lock_drop(&space->lock);
	return KERN_SUCCESS;
}

/* The receive right goes; send rights under the same name become a dead name. */
static void name_drop_receive_locked(struct space *space, struct name *name, struct after *after)
{
	struct port *p = name->port;

	if (!(name->type & MACH_PORT_TYPE_SEND)) {
		name_clear_locked(space, name, after);
		return;
	}
	name_become_dead_locked(space, name);
	lock_take(&p->lock);
	/* A port that dies takes its send rights along, uncounted; one that comes back to whoever asked for it must not
	 * count a send right that nobody has. */
	if (p->port_destroyed)
		after->no_senders = port_drop_send_locked(p);
	port_leave_space_locked(p, after);
	lock_drop(&p->lock);
	after->dying = p;
}

static kern_return_t name_check_delta(const struct name *name, mach_port_right_t right, int64_t delta)
{
	uint32_t max = name->type & MACH_PORT_TYPE_DEAD_NAME ? UREFS_MAX : UREFS_MAX - 1;
	int64_t urefs = (int64_t)name->urefs + delta;

	if (!right_is_counted(right))
		return delta == 0 || delta == -1 ? KERN_SUCCESS : KERN_INVALID_VALUE;
	if (urefs < 0)
		return KERN_INVALID_VALUE;
	return urefs > max ? KERN_UREFS_OVERFLOW : KERN_SUCCESS;
}

static kern_return_t name_mod_refs_locked(struct space *space, struct name *name, mach_port_right_t right,
					  mach_port_delta_t delta, struct after *after)
{
	bool ok = true;

	if (delta == 0)
		return KERN_SUCCESS;
	if (right_is_counted(right) && delta > 0)
		name->urefs += (uint32_t)delta;
	else if (right_is_counted(right))
		ok = name_drop_urefs_locked(space, name, (uint32_t)-delta, after);
	else if (right == MACH_PORT_RIGHT_RECEIVE)
		name_drop_receive_locked(space, name, after);
	else if (name_end_request_locked(space, name, after))
		name_clear_locked(space, name, after);
	else
		ok = false; /* the send-once right has just died */
	return ok ? KERN_SUCCESS : KERN_INVALID_RIGHT;
}

kern_return_t name_mod_refs(struct space *space, mach_port_name_t number, mach_port_right_t right,
			    mach_port_delta_t delta)
{
	struct after after;
	struct name *name;
	kern_return_t r;

	if (right >= MACH_PORT_RIGHT_NUMBER)
		return KERN_INVALID_VALUE;
	r = name_lock_unchecked(space, number, &name);
	if (r)
		return r;
	after_init(&after);
	/* That a delta is wrong comes before that the port of a send right has died. */
	if (right != MACH_PORT_RIGHT_SEND && right != MACH_PORT_RIGHT_SEND_ONCE)
		name_check_dead_locked(space, name);
	r = name->type & MACH_PORT_TYPE(right) ? name_check_delta(name, right, delta) : KERN_INVALID_RIGHT;
	if (!r) {
		name_check_dead_locked(space, name);
		r = name->type & MACH_PORT_TYPE(right) ? name_mod_refs_locked(space, name, right, delta, &after)
						       : KERN_INVALID_RIGHT;
	}
	lock_drop(&space->lock);
	after_run(&after);
	return r;
}

kern_return_t name_lock_receive(struct space *space, mach_port_name_t number, struct port **port)
{
	struct name *name;
	kern_return_t r = name_lock(space, number, &name);

	if (r)
		return r;
	if (name->type & MACH_PORT_TYPE_RECEIVE) {
		*port = name->port;
		lock_take(&name->port->lock);
	} else {
		r = KERN_INVALID_RIGHT;
	}
	lock_drop(&space->lock);
	return r;
}

static kern_return_t name_move_member_locked(struct space *space, struct name *member, mach_port_name_t number,
					     struct after *after)
{
	struct name *name = NULL;
	struct port *p = member->port;
	struct portset *set;

	if (!(member->type & MACH_PORT_TYPE_RECEIVE))
		return KERN_INVALID_RIGHT;
	if (number != MACH_PORT_NULL) {
		name = space_lookup_locked(space, number);
		if (!name)
			return KERN_INVALID_NAME;
		if (!(name->type & MACH_PORT_TYPE_PORT_SET))
			return KERN_INVALID_RIGHT;
	}
	set = name ? name->set : NULL;
	lock_take(&p->lock);
	if (!set && !p->set) {
		lock_drop(&p->lock);
		return KERN_NOT_IN_SET;
	}
	if (p->set != set) {
		if (p->set)
			portset_remove_locked(p);
		if (set)
			portset_add_locked(set, p, after);
		port_show_locked(p);
	}
	lock_drop(&p->lock);
	return KERN_SUCCESS;
}

kern_return_t name_move_member(struct space *space, mach_port_name_t member, mach_port_name_t set)
{
	struct after after;
	struct name *name;
	kern_return_t r = name_lock(space, member, &name);

	if (r)
		return r;
	after_init(&after);
	r = name_move_member_locked(space, name, set, &after);
	lock_drop(&space->lock);
	after_run(&after);
	return r;
}

/* Members cannot be renamed while the space is locked, nor leave while the set is. */
static kern_return_t portset_list_members_locked(struct portset *set, mach_port_name_t **members, uint32_t *n_members)
{
	uint32_t n = 0;

	list_for_each(p, &set->members, struct port, set_link)
		n++;
	*members = malloc((n + 1) * sizeof **members);
	if (!*members)
		return KERN_RESOURCE_SHORTAGE;
	*n_members = 0;
	list_for_each(p, &set->members, struct port, set_link)
		(*members)[(*n_members)++] = p->name;
	return KERN_SUCCESS;
}

kern_return_t name_get_set_status(struct space *space, mach_port_name_t set, mach_port_name_t **members,
				  uint32_t *n_members)
{
	struct name *name;
	kern_return_t r = name_lock(space, set, &name);

	if (r)
		return r;
	if (name->type & MACH_PORT_TYPE_PORT_SET) {
		lock_take(&name->set->lock);
		r = portset_list_members_locked(name->set, members, n_members);
		lock_drop(&name->set->lock);
	} else {
		r = KERN_INVALID_RIGHT;
	}
	lock_drop(&space->lock);
	if (!r)
		space_sort_numbers(*members, *n_members);
	return r;
}

kern_return_t name_list(struct space *space, mach_port_name_t **names, mach_port_type_t **types, uint32_t *n)
{
	bool is_listed;

	lock_take(&space->lock);
	if (space->is_dead) {
		lock_drop(&space->lock);
		return KERN_INVALID_TASK;
	}
	is_listed = space_list_locked(space, names, n);
	*types = is_listed ? malloc((*n + 1) * sizeof **types) : NULL;
	for (uint32_t i = 0; *types && i < *n; i++)
		(*types)[i] = name_type_locked(space_lookup_locked(space, (*names)[i]));
	lock_drop(&space->lock);
	if (*types)
		return KERN_SUCCESS;
	if (is_listed)
		free(*names);
	return KERN_RESOURCE_SHORTAGE;
}
