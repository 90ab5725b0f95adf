/* SPDX-License-Identifier: MIT */
#pragma once

/* Kernel objects: what stands behind ports whose receive right the kernel itself holds (PORT_IN_KERNEL). Of a task, a
 * thread, the host or the node the port ends with the object; a file (file.h) ends with its last send right. */

#include <mach/port.h>
#include <stdbool.h>

#include "kernel/right.h"

struct port;
struct space;

enum object_type { OBJECT_TASK, OBJECT_THREAD, OBJECT_HOST, OBJECT_FILE, OBJECT_NODE };

struct object {
	enum object_type type;
	struct port *port; /* one reference; the object's death is the port's death */
};

/* Makes the object's port; false: no memory. */
bool object_init(struct object *object, enum object_type type);
/* The object is going: its port dies, and nobody can find the object through it any more. The port's memory stays: who
 * acts in a task that has ended may still ask for its port, and finds it dead. */
void object_end(struct object *object);
/* Gives back the port of an object that has ended. */
void object_deinit(struct object *object);

/* Whether a port is that of a kernel object, or of a file, here. */
bool object_is_behind(struct port *p);
bool object_is_file(struct port *p);

/* Finds the object behind a send right. On success its port is locked, which keeps the object alive.
 *   MACH_SEND_INVALID_DEST   the name holds no send right to a living port
 *   KERN_INVALID_ARGUMENT    it is some other port                                  */
kern_return_t object_lock(struct space *space, mach_port_name_t name, enum object_type type, struct object **object);

/* The name of the object's port in @space; names it, with one user reference, if it has none. That reference is the
 * kernel's (name.is_implicit). MACH_PORT_NULL: no memory, or the space is dead. */
mach_port_name_t object_name(struct space *space, struct object *object);
/* Gives the reference back that object_name() made, if it is still there. */
void object_unname(struct space *space, struct object *object);
/* A naked send right to the object; its port must be alive or PORT_DEAD results. */
struct right object_make_send(struct object *object);
