/* SPDX-License-Identifier: MIT */
#pragma once

/* Rights, in names and under way.
 *
 * A right is either *named* (counted in a name of a space, see name.h) or *naked*: held by the kernel alone, in a
 * message or in the hands of a running call. A naked right is one reference to its port's memory plus one unit of the
 * count that belongs to its kind (port.h: n_srights, n_sorights; the receive right is the port's place). Moving between
 * the two forms goes through this file only:
 *   right_copyin_locked   name  -> naked, as a disposition (MACH_MSG_TYPE_*) says
 *   right_copyout         naked -> a name that the kernel chooses (or the one the port has here already: coalescing)
 *   right_copyout_as      naked -> a name that the caller chooses
 *   right_destroy         naked -> gone, with every consequence that Mach attaches to it
 * The port of a naked right may be NULL (MACH_PORT_NULL), PORT_DEAD (MACH_PORT_DEAD), or a port that has died since.
 */

#include <mach/message.h>
#include <stdbool.h>

struct after;
struct name;
struct port;
struct space;

enum right_kind {
	RIGHT_NONE = 0,
	RIGHT_RECEIVE = MACH_MSG_TYPE_PORT_RECEIVE,
	RIGHT_SEND = MACH_MSG_TYPE_PORT_SEND,
	RIGHT_SEND_ONCE = MACH_MSG_TYPE_PORT_SEND_ONCE,
};

struct right {
	struct port *port;
	enum right_kind kind;
};

#define PORT_DEAD ((struct port *)-1)

static inline bool right_is_valid(const struct right *r)
{
	return r->port && r->port != PORT_DEAD;
}

/* The kind of right that a disposition yields; RIGHT_NONE for a number that is no disposition. */
static inline enum right_kind right_kind_of(mach_msg_type_name_t disposition)
{
	static const unsigned char kinds[] = {
		[MACH_MSG_TYPE_MOVE_RECEIVE] = RIGHT_RECEIVE,	  [MACH_MSG_TYPE_MOVE_SEND] = RIGHT_SEND,
		[MACH_MSG_TYPE_COPY_SEND] = RIGHT_SEND,		  [MACH_MSG_TYPE_MAKE_SEND] = RIGHT_SEND,
		[MACH_MSG_TYPE_MOVE_SEND_ONCE] = RIGHT_SEND_ONCE, [MACH_MSG_TYPE_MAKE_SEND_ONCE] = RIGHT_SEND_ONCE,
	};

	return disposition < sizeof kinds ? (enum right_kind)kinds[disposition] : RIGHT_NONE;
}

/* Whether right_copyin_locked() would succeed, changing nothing (a dead name passes for what could have been moved or
 * copied when it was alive). */
bool right_copyin_allowed_locked(const struct name *name, mach_msg_type_name_t disposition);

/* Takes a right out of @name as @disposition says. A dead name gives PORT_DEAD.
 *   KERN_INVALID_RIGHT   the name holds no such right; nothing changed */
kern_return_t right_copyin_locked(struct space *space, struct name *name, mach_msg_type_name_t disposition,
				  struct right *right, struct after *after);

/* The commonest case of it, MACH_MSG_TYPE_COPY_SEND of a living port's send right, which has no consequences. False: it
 * is another case; nothing has changed. */
bool right_copy_send_locked(const struct name *name);

/* right_copyin_locked() for a name as number, taking and dropping the space's lock, and running what follows.
 *   KERN_INVALID_TASK (the space is dead), KERN_INVALID_NAME, KERN_INVALID_RIGHT: nothing changed */
kern_return_t right_copyin(struct space *space, mach_port_name_t name, mach_msg_type_name_t disposition,
			   struct right *right);

/* A naked send-once right to the port whose receive right has this number: where the space wants to be told. False: it
 * has no such receive right. */
bool right_make_send_once_locked(struct space *space, mach_port_name_t number, struct right *right);

/* Gives a naked right to a space. Takes @right on success; user references above the limit are dropped silently.
 * A right to a dead port arrives as MACH_PORT_DEAD.
 *   KERN_RESOURCE_SHORTAGE  no memory for a name   KERN_INVALID_TASK  the space is dead      (@right is the caller's) */
kern_return_t right_copyout(struct space *space, const struct right *right, mach_port_name_t *name);

/* As right_copyout(), with the space's lock held, for a port that may have died: *entry is set to the name's entry, NULL
 * for MACH_PORT_DEAD and MACH_PORT_NULL; *is_new tells whether the name was made for this right. */
kern_return_t right_copyout_locked(struct space *space, const struct right *right, struct name **entry, bool *is_new,
				   mach_port_name_t *name);

/* Gives a naked right to a space under a name of the caller's choice. Takes @right on success, else it is the caller's.
 *   KERN_INVALID_CAPABILITY  the right is dead or null       KERN_NAME_EXISTS   @name holds something else
 *   KERN_RIGHT_EXISTS        the space names that port otherwise    KERN_UREFS_OVERFLOW   the name is full
 *   KERN_RESOURCE_SHORTAGE, KERN_INVALID_TASK */
kern_return_t right_copyout_as(struct space *space, const struct right *right, mach_port_name_t name);

/* Drops a naked right. No lock may be held: notifications, dying ports and their messages follow. */
void right_destroy(struct right *right);
