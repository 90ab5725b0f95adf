/* SPDX-License-Identifier: MIT */
#pragma once

/* A watch: the descriptor that tells whether a receive on a port or a port set would block (portunus_port_fd()).
 *
 * A port or set that was asked for a descriptor has one event (platform/fd.h), made at the first call; each call gets a
 * duplicate, which shows the same and which the caller may close at will. Nobody tells us when he does, so the watch
 * stays as long as the receive right or the set stays where it is.
 *   port.watch, portset.watch   one reference each, guarded by that lock; NULL mostly, and then it costs one branch
 * The level is changed under the lock of what is watched and by whoever changed the queue, so changes of the event are
 * in the order of the changes of the queue, and at each moment when nobody holds the lock it says what a receive would
 * find. A message that goes straight to a waiting receiver is in no queue and is never shown.
 * The end (watch_end_locked): raised for the last time and let go. The duplicates stay raised.
 */

#include <mach/port.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "platform/fd.h"

struct space;

struct watch {
	atomic_uint n_refs; /* one of what is watched, one of each call that duplicates it */
	bool is_raised;	    /* what the event shows */
	struct fd_kept event;
};

/* A descriptor for the receive right or port set @name; makes the watch if there is none. 0, or
 *   EBADF   it is neither     EMFILE, ENFILE, ENODEV, ENOMEM */
int watch_open(struct space *space, mach_port_name_t name, int *fd);

/* How many there are. As long as there is one, somebody may wait for a message without being in a call of ours: whoever
 * brings messages into the kernel must not wait for one. The hook watch_begins() (kernel.h) tells when it stops being 0. */
unsigned watch_count(void);

/* What it is to show from now on. */
void watch_show_locked(struct watch *watch, bool is_ready);
void watch_end_locked(struct watch **watch);
void watch_forget_all(void); /* after fork, in the child */
