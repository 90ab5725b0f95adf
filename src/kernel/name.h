/* SPDX-License-Identifier: MIT */
#pragma once

/* What can be done to a name: the operations behind mach_port_*, on any space. None of them takes a lock that the
 * caller sees; each settles its consequences before it returns. Errors are Mach's; a failed call changes nothing.
 * All return KERN_INVALID_TASK for a space that is dead. */

#include <mach/port.h>
#include <stdbool.h>

#include "kernel/right.h"

struct after;
struct name;
struct port;
struct portset;
struct space;

/* Names a right that is new: a receive right, a port set or a dead name.
 *   KERN_INVALID_VALUE  another kind of right     KERN_RESOURCE_SHORTAGE */
kern_return_t name_allocate(struct space *space, mach_port_right_t right, mach_port_name_t *name);
kern_return_t name_allocate_as(struct space *space, mach_port_right_t right, mach_port_name_t name);
kern_return_t name_rename(struct space *space, mach_port_name_t old, mach_port_name_t new);
kern_return_t name_deallocate(struct space *space, mach_port_name_t name);
/* Gives back the reference that the kernel made for itself to a port of its own, if it is still there. */
void name_deallocate_implicit(struct space *space, struct port *p);
kern_return_t name_destroy(struct space *space, mach_port_name_t name);
kern_return_t name_get_type(struct space *space, mach_port_name_t name, mach_port_type_t *type);
kern_return_t name_get_refs(struct space *space, mach_port_name_t name, mach_port_right_t right,
			    mach_port_urefs_t *urefs);
kern_return_t name_mod_refs(struct space *space, mach_port_name_t name, mach_port_right_t right,
			    mach_port_delta_t delta);

/* The operations on a receive right share their lookup: on success the port is locked and the space is not.
 *   KERN_INVALID_NAME, KERN_INVALID_RIGHT */
kern_return_t name_lock_receive(struct space *space, mach_port_name_t name, struct port **port);
kern_return_t name_move_member(struct space *space, mach_port_name_t member, mach_port_name_t set);
/* Names of the members, malloc'ed. */
kern_return_t name_get_set_status(struct space *space, mach_port_name_t set, mach_port_name_t **members,
				  uint32_t *n_members);
kern_return_t name_list(struct space *space, mach_port_name_t **names, mach_port_type_t **types, uint32_t *n);

/* Turns a name whose port has died into a dead name. */
void name_check_dead_locked(struct space *space, struct name *name);
mach_port_type_t name_type_locked(const struct name *name);

/* Takes everything out of a name and frees it; what follows is in @after. */
void name_clear_locked(struct space *space, struct name *name, struct after *after);
/* Before the last right leaves a name: its dead-name request becomes a port-deleted notice in @after. False: the port
 * has died since the name was looked up. The dead-name notification is on its way and brings a reference, so the name is
 * a dead name now, and must stay. */
bool name_end_request_locked(struct space *space, struct name *name, struct after *after);
/* The name no longer holds anything: frees it. */
void name_remove_locked(struct space *space, struct name *name);
