/* SPDX-License-Identifier: MIT */
#include "kernel/right.h"

#include <assert.h>

#include "kernel/after.h"
#include "kernel/name.h"
#include "kernel/notify.h"
#include "kernel/port.h"
#include "kernel/remote.h"
#include "kernel/space.h"
#include "platform/probe.h"

/* What a name must hold for a disposition. A dead name passes for what it may have been. */
static mach_port_type_t type_needed(mach_msg_type_name_t disposition)
{
	static const mach_port_type_t needed[] = {
		[MACH_MSG_TYPE_MOVE_RECEIVE] = MACH_PORT_TYPE_RECEIVE,
		[MACH_MSG_TYPE_MAKE_SEND] = MACH_PORT_TYPE_RECEIVE,
		[MACH_MSG_TYPE_MAKE_SEND_ONCE] = MACH_PORT_TYPE_RECEIVE,
		[MACH_MSG_TYPE_MOVE_SEND] = MACH_PORT_TYPE_SEND | MACH_PORT_TYPE_DEAD_NAME,
		[MACH_MSG_TYPE_COPY_SEND] = MACH_PORT_TYPE_SEND | MACH_PORT_TYPE_DEAD_NAME,
		[MACH_MSG_TYPE_MOVE_SEND_ONCE] = MACH_PORT_TYPE_SEND_ONCE | MACH_PORT_TYPE_DEAD_NAME,
	};

	return disposition < sizeof needed / sizeof *needed ? needed[disposition] : MACH_PORT_TYPE_NONE;
}

bool right_copyin_allowed_locked(const struct name *name, mach_msg_type_name_t disposition)
{
	return (name->type & type_needed(disposition)) != 0;
}

/* One reference of a dead name, unless it is only copied. */
static void copyin_dead_locked(struct space *space, struct name *name, mach_msg_type_name_t disposition)
{
	if (disposition != MACH_MSG_TYPE_COPY_SEND && --name->urefs == 0)
		name_remove_locked(space, name);
}

static void copyin_make_locked(struct port *p, mach_msg_type_name_t disposition)
{
	lock_take(&p->lock);
	if (disposition == MACH_MSG_TYPE_MAKE_SEND)
		port_make_send_locked(p);
	else
		port_make_send_once_locked(p);
	lock_drop(&p->lock);
}

/* The name's reference to the port becomes the naked right's, unless a send right keeps the name. */
static void copyin_receive_locked(struct space *space, struct name *name, struct after *after)
{
	struct port *p = name->port;
	bool has_send = name->type & MACH_PORT_TYPE_SEND;

	if (!has_send)
		(void)name_end_request_locked(space, name, after);
	lock_take(&p->lock);
	port_leave_space_locked(p, after);
	if (has_send)
		port_ref_locked(p);
	lock_drop(&p->lock);
	if (has_send) {
		name->type = MACH_PORT_TYPE_SEND;
		space_index_port_locked(space, name);
	} else {
		name_remove_locked(space, name);
	}
}

/* False: the port has died under our hands. */
static bool copyin_copy_locked(struct port *p)
{
	bool is_alive;

	lock_take(&p->lock);
	is_alive = !port_is_dead(p);
	if (is_alive)
		port_copy_send_locked(p);
	lock_drop(&p->lock);
	return is_alive;
}

/* The only right of the name, and the name's share of the port with it. */
static bool copyin_move_last_locked(struct space *space, struct name *name, struct after *after)
{
	if (!name_end_request_locked(space, name, after))
		return false;
	name_remove_locked(space, name);
	return true;
}

bool right_copy_send_locked(const struct name *name)
{
	return (name->type & MACH_PORT_TYPE_SEND) && copyin_copy_locked(name->port);
}

/* Moves one of the send rights that the name counts. The last one takes its share of the port along. */
static bool copyin_move_send_locked(struct space *space, struct name *name, struct after *after)
{
	struct port *p = name->port;

	if (name->urefs > 1) {
		if (!copyin_copy_locked(p))
			return false;
		name->urefs--;
		return true;
	}
	if (name->type & MACH_PORT_TYPE_RECEIVE) {
		name->urefs = 0;
		name->type = MACH_PORT_TYPE_RECEIVE;
		lock_take(&p->lock);
		port_ref_locked(p);
		lock_drop(&p->lock);
		return true;
	}
	return copyin_move_last_locked(space, name, after);
}

kern_return_t right_copyin_locked(struct space *space, struct name *name, mach_msg_type_name_t disposition,
				  struct right *right, struct after *after)
{
	bool is_alive = true;

	if (!right_copyin_allowed_locked(name, disposition))
		return KERN_INVALID_RIGHT;
	*right = (struct right){ PORT_DEAD, right_kind_of(disposition) };
	if (name->type == MACH_PORT_TYPE_DEAD_NAME) {
		copyin_dead_locked(space, name, disposition);
		return KERN_SUCCESS;
	}
	right->port = name->port;
	switch (disposition) {
	case MACH_MSG_TYPE_MAKE_SEND:
	case MACH_MSG_TYPE_MAKE_SEND_ONCE:
		copyin_make_locked(name->port, disposition);
		break;
	case MACH_MSG_TYPE_MOVE_RECEIVE:
		if (!(name->type & MACH_PORT_TYPE_SEND) || space_reserve_index_locked(space))
			copyin_receive_locked(space, name, after);
		else
			return KERN_RESOURCE_SHORTAGE;
		break;
	case MACH_MSG_TYPE_COPY_SEND:
		is_alive = copyin_copy_locked(name->port);
		break;
	case MACH_MSG_TYPE_MOVE_SEND:
		is_alive = copyin_move_send_locked(space, name, after);
		break;
	case MACH_MSG_TYPE_MOVE_SEND_ONCE:
		is_alive = copyin_move_last_locked(space, name, after);
		break;
	}
	if (is_alive)
		return KERN_SUCCESS;
	name_check_dead_locked(space, name); /* unless that has been done */
	return right_copyin_locked(space, name, disposition, right, after);
}

kern_return_t right_copyin(struct space *space, mach_port_name_t number, mach_msg_type_name_t disposition,
			   struct right *right)
{
	struct after after;
	struct name *name;
	kern_return_t r;

	after_init(&after);
	lock_take(&space->lock);
	name = space_lookup_locked(space, number);
	if (space->is_dead)
		r = KERN_INVALID_TASK;
	else if (!name)
		r = KERN_INVALID_NAME;
	else
		r = right_copyin_locked(space, name, disposition, right, &after);
	lock_drop(&space->lock);
	after_run(&after);
	return r;
}

/* A right to a living port comes to a name that holds something of it already, or is new (type NONE, no port). */
static void copyout_join_locked(struct space *space, struct name *name, const struct right *right)
{
	struct port *p = right->port;
	bool is_new = name->type == MACH_PORT_TYPE_NONE;

	lock_assert_held(&p->lock);
	probe4(right__moved, p, right->kind, name->name, space->task_id);
	name->port = p;
	if (!is_new)
		p->n_refs--; /* the name has one already */
	switch (right->kind) {
	case RIGHT_SEND_ONCE:
		name->type = MACH_PORT_TYPE_SEND_ONCE;
		name->urefs = 1;
		break;
	case RIGHT_RECEIVE:
		if (!is_new)
			space_unindex_port_locked(space, name);
		name->type |= MACH_PORT_TYPE_RECEIVE;
		port_enter_space_locked(p, space, name);
		break;
	default:
		if (name->type & MACH_PORT_TYPE_SEND) {
			p->n_srights--; /* all user references are one send right */
			remote_note_count_locked(p);
		} else if (is_new) {
			space_index_port_locked(space, name);
		}
		if (name->urefs < UREFS_MAX - 1)
			name->urefs++;
		name->type |= MACH_PORT_TYPE_SEND;
	}
}

/* The name that a right joins: with send and receive rights the one that is there. The port is locked. */
static struct name *copyout_existing_locked(struct space *space, const struct right *right)
{
	return right->kind == RIGHT_SEND_ONCE ? NULL : space_find_port_locked(space, right->port);
}

/* The place for a right of a living port, which is locked; NULL: no memory. */
static struct name *copyout_place_locked(struct space *space, const struct right *right)
{
	struct name *name = copyout_existing_locked(space, right);

	if (name || !space_reserve_index_locked(space))
		return name;
	return space_allocate_locked(space);
}

/* The port is locked, which this drops. */
static kern_return_t copyout_alive_locked(struct space *space, const struct right *right, struct name **entry,
					  bool *is_new, mach_port_name_t *number)
{
	struct name *name = copyout_place_locked(space, right);

	if (name) {
		*is_new = name->type == MACH_PORT_TYPE_NONE;
		*entry = name;
		*number = name->name;
		copyout_join_locked(space, name, right);
	}
	lock_drop(&right->port->lock);
	return name ? KERN_SUCCESS : KERN_RESOURCE_SHORTAGE;
}

kern_return_t right_copyout_locked(struct space *space, const struct right *right, struct name **entry, bool *is_new,
				   mach_port_name_t *number)
{
	*entry = NULL;
	*is_new = false;
	*number = right->port ? MACH_PORT_DEAD : MACH_PORT_NULL;
	if (!right_is_valid(right))
		return KERN_SUCCESS;
	if (space->is_dead)
		return KERN_INVALID_TASK;
	lock_take(&right->port->lock);
	if (!port_is_dead(right->port))
		return copyout_alive_locked(space, right, entry, is_new, number);
	port_unlock_unref(right->port);
	return KERN_SUCCESS;
}

/* A receive right that was in a message comes out of its transit before it goes anywhere else. */
static void right_leave_transit(const struct right *right)
{
	if (right->kind == RIGHT_RECEIVE && right_is_valid(right))
		port_leave_transit(right->port);
}

bool right_make_send_once_locked(struct space *space, mach_port_name_t number, struct right *right)
{
	struct name *name = space_lookup_locked(space, number);

	if (!name || !(name->type & MACH_PORT_TYPE_RECEIVE))
		return false;
	lock_take(&name->port->lock);
	port_make_send_once_locked(name->port);
	lock_drop(&name->port->lock);
	*right = (struct right){ name->port, RIGHT_SEND_ONCE };
	return true;
}

kern_return_t right_copyout(struct space *space, const struct right *right, mach_port_name_t *number)
{
	struct name *name;
	bool is_new;
	kern_return_t r;

	right_leave_transit(right);
	lock_take(&space->lock);
	r = right_copyout_locked(space, right, &name, &is_new, number);
	lock_drop(&space->lock);
	return r;
}

/* What speaks against @name, in use or new, for a right of a port that is locked. */
static kern_return_t copyout_as_check_locked(struct space *space, const struct right *right, const struct name *name)
{
	struct name *existing;

	if (port_is_dead(right->port))
		return KERN_INVALID_CAPABILITY;
	existing = copyout_existing_locked(space, right);
	if (existing && existing != name)
		return KERN_RIGHT_EXISTS;
	if (!existing && name->type != MACH_PORT_TYPE_NONE)
		return KERN_NAME_EXISTS;
	if (existing && right->kind == RIGHT_SEND && existing->urefs >= UREFS_MAX - 1)
		return KERN_UREFS_OVERFLOW;
	return KERN_SUCCESS;
}

static kern_return_t copyout_as_locked(struct space *space, const struct right *right, mach_port_name_t number)
{
	struct name *name = space_lookup_locked(space, number);
	kern_return_t r;

	if (space->is_dead)
		return KERN_INVALID_TASK;
	if (!name && space_reserve_index_locked(space))
		name = space_allocate_as_locked(space, number);
	if (!name)
		return KERN_RESOURCE_SHORTAGE;
	lock_take(&right->port->lock);
	r = copyout_as_check_locked(space, right, name);
	if (!r)
		copyout_join_locked(space, name, right);
	lock_drop(&right->port->lock);
	/* After a failure a new name is one that was freed last, as Mach has it: it is handed out next. */
	if (name->type == MACH_PORT_TYPE_NONE)
		space_free_locked(space, name);
	return r;
}

kern_return_t right_copyout_as(struct space *space, const struct right *right, mach_port_name_t number)
{
	kern_return_t r;

	if (!right_is_valid(right))
		return KERN_INVALID_CAPABILITY;
	right_leave_transit(right);
	lock_take(&space->lock);
	r = copyout_as_locked(space, right, number);
	lock_drop(&space->lock);
	return r;
}

void right_destroy(struct right *right)
{
	struct port *p = right->port;

	right->port = NULL;
	if (!p || p == PORT_DEAD)
		return;
	switch (right->kind) {
	case RIGHT_SEND:
		port_drop_send(p);
		break;
	case RIGHT_SEND_ONCE:
		notify_send_once(p);
		break;
	case RIGHT_RECEIVE:
		port_leave_transit(p);
		port_destroy(p);
		break;
	case RIGHT_NONE:
		assert(!"a right of no kind");
	}
}
