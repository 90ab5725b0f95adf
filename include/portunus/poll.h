/* SPDX-License-Identifier: MIT */
#ifndef PORTUNUS_POLL_H
#define PORTUNUS_POLL_H

#include <mach/port.h>
#include <portunus/export.h>

PORTUNUS_BEGIN_DECLS

/* portunus_port_fd - a descriptor that polls readable while a receive would not block
 *   name   a receive right or a port set of the calling task
 * Returns a descriptor that belongs to the caller (close it), or -1 with errno; one per call, close-on-exec. It is for
 * poll, select, epoll and what is built on them, and says POLLIN or nothing; not for read and write, which would disturb
 * what it says to every descriptor of that port. Level: readable as long as a message is queued, whoever queued it and
 * whoever takes it, one that MACH_RCV_LARGE leaves included; a message that is handed to a waiting thread is not seen.
 * Of several threads that see it one gets the message: receive with MACH_RCV_TIMEOUT and 0.
 * A receive would not block either while the port is a member of a set (MACH_RCV_IN_SET): readable. When the right is
 * moved away or destroyed, or the set is, the descriptor is readable for good, also if the right comes back.
 * In the child of a fork it tells of the parent's port: close it there.
 * Threads: any. A port that was asked once pays for each time that its queue fills or empties, until it is moved or dies.
 *   EBADF            name is no receive right or port set
 *   EMFILE, ENFILE   no descriptor left (the first call for a port needs two)
 *   ENOMEM           no memory
 * Source: ours; the counterpart of a Darwin kqueue filter on a Mach port. */
PORTUNUS_EXPORT int portunus_port_fd(mach_port_t name);

PORTUNUS_END_DECLS

#endif
