/* SPDX-License-Identifier: MIT */
#include "kernel/object.h"

#include <assert.h>

#include "kernel/name.h"
#include "kernel/port.h"
#include "kernel/right.h"
#include "kernel/space.h"

bool object_init(struct object *object, enum object_type type)
{
	object->type = type;
	object->port = port_new();
	if (!object->port)
		return false;
	lock_take(&object->port->lock);
	port_ref_locked(object->port); /* one for the receive right, one for the object */
	port_enter_kernel_locked(object->port, object);
	lock_drop(&object->port->lock);
	return true;
}

void object_end(struct object *object)
{
	port_destroy(object->port);
}

void object_deinit(struct object *object)
{
	assert(port_is_dead(object->port));
	port_unref(object->port);
	object->port = NULL;
}

bool object_is_behind(struct port *p)
{
	return atomic_load_explicit(&p->where, memory_order_acquire) == PORT_IN_KERNEL;
}

bool object_is_file(struct port *p)
{
	bool is_file;

	lock_take(&p->lock);
	is_file = p->where == PORT_IN_KERNEL && p->object->type == OBJECT_FILE;
	lock_drop(&p->lock);
	return is_file;
}

static kern_return_t object_lock_port(struct port *p, enum object_type type, struct object **object)
{
	kern_return_t r = KERN_SUCCESS;

	lock_take(&p->lock);
	if (port_is_dead(p))
		r = MACH_SEND_INVALID_DEST;
	else if (p->where != PORT_IN_KERNEL || p->object->type != type)
		r = KERN_INVALID_ARGUMENT;
	else
		*object = p->object;
	if (r)
		lock_drop(&p->lock);
	return r;
}

kern_return_t object_lock(struct space *space, mach_port_name_t number, enum object_type type, struct object **object)
{
	struct name *name;
	kern_return_t r = MACH_SEND_INVALID_DEST;

	lock_take(&space->lock);
	name = space_lookup_locked(space, number);
	if (name && (name->type & MACH_PORT_TYPE_SEND))
		r = object_lock_port(name->port, type, object);
	lock_drop(&space->lock);
	return r;
}

struct right object_make_send(struct object *object)
{
	struct port *p = object->port;
	struct right right = { PORT_DEAD, RIGHT_SEND };

	lock_take(&p->lock);
	if (!port_is_dead(p)) {
		port_make_send_locked(p);
		right.port = p;
	}
	lock_drop(&p->lock);
	return right;
}

static mach_port_name_t object_name_locked(struct space *space, struct object *object, struct right *right)
{
	struct name *name = space_lookup_port_locked(space, object->port);
	mach_port_name_t number;
	bool is_new;

	if (name)
		return name->name;
	if (right_copyout_locked(space, right, &name, &is_new, &number) || !name)
		return MACH_PORT_NULL;
	right->port = NULL;
	name->is_implicit = true;
	return number;
}

mach_port_name_t object_name(struct space *space, struct object *object)
{
	struct right right = object_make_send(object);
	mach_port_name_t number;

	lock_take(&space->lock);
	number = object_name_locked(space, object, &right);
	lock_drop(&space->lock);
	right_destroy(&right);
	return number;
}

void object_unname(struct space *space, struct object *object)
{
	name_deallocate_implicit(space, object->port);
}
