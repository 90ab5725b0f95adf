/* SPDX-License-Identifier: MIT */
#pragma once

/* A port set: receive rights of one space, waited on together. A port is in at most one set.
 *
 * The set keeps one queue of all its members' messages in order of arrival (message.set_link); each message is in its
 * port's queue as well, so that a member can leave with its own. Everything is guarded by set->lock (rank SET, after
 * PORT); adding and removing messages also needs the member's lock. Whoever holds only the set's lock and wants a
 * member's too must try and back off (portset_lock_member()).
 */

#include <mach/port.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "kernel/watch.h"
#include "platform/list.h"
#include "platform/lock.h"

struct after;
struct message;
struct port;

struct portset {
	struct lock lock;
	uint32_t n_refs;	       /* its name, its members, threads that wait on it */
	bool is_dead;		       /* the name is gone */
	_Atomic mach_port_name_t name; /* written under the lock of its space */
	struct list members;	       /* port.set_link */
	struct list messages;	       /* message.set_link, oldest first */
	struct list receivers;	       /* waiter.link, newest first */
	struct watch *watch;	       /* who polls for messages; NULL mostly */
};

struct portset *portset_new(void); /* one reference, the caller's; NULL: no memory */
void portset_ref_locked(struct portset *set);
void portset_unlock_unref(struct portset *set);

/* The queue has changed: tells whoever polls. */
void portset_show_slow_locked(struct portset *set);
static inline void portset_show_locked(struct portset *set)
{
	if (__builtin_expect(set->watch != NULL, 0))
		portset_show_slow_locked(set);
}

/* Both with the port's lock held. Joining moves the port's messages to the end of the set's queue and gives them to
 * threads that wait; threads that wait on the port itself get MACH_RCV_PORT_CHANGED. Who polls the set hears of it; for
 * who polls the port, the caller calls port_show_locked(). */
void portset_add_locked(struct portset *set, struct port *p, struct after *after);
void portset_remove_locked(struct port *p);

/* The set's name is gone: members leave with their messages, receivers get MACH_RCV_PORT_DIED. Takes the name's
 * reference. */
void portset_destroy(struct portset *set);

/* With the set's lock held: takes the lock of @p, of which the set has a member or a message. False: the set's lock was
 * dropped in between and is held again; look afresh. */
bool portset_lock_member(struct portset *set, struct port *p);
