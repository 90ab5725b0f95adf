/* SPDX-License-Identifier: MIT */
#pragma once

/* Receiving: taking the oldest message of a port or of a port set. */

#include <mach/message.h>
#include <stdbool.h>

#include "kernel/right.h"
#include "platform/deadline.h"

struct after;
struct export;
struct message;
struct port;
struct thread;

struct receive_limits {
	mach_msg_size_t max_size; /* of the user's buffer */
	bool leaves_large;	  /* MACH_RCV_LARGE */
	bool buffer_is_bad;	  /* no message may be taken off the queue */
};

/* Takes a message from @name, a receive right or a port set of the thread's task; waits for one until @deadline (NULL:
 * does not wait).
 *   MACH_MSG_SUCCESS        *message is the caller's; it may be larger than max_size unless leaves_large
 *   MACH_RCV_TOO_LARGE      leaves_large: *size tells what is needed; the message stays queued
 *   MACH_RCV_INVALID_DATA   buffer_is_bad, and there is a message, which stays queued
 *   MACH_RCV_INVALID_NAME, _IN_SET, _TIMED_OUT, _INTERRUPTED, _PORT_DIED, _PORT_CHANGED */
mach_msg_return_t receive(struct thread *thread, mach_port_name_t name, const struct receive_limits *limits,
			  const struct deadline *deadline, struct message **message, mach_msg_size_t *size);

/* The same from a port whose receive right is in the caller's hands, however large the message is; waits for as long as
 * it takes.
 *   MACH_MSG_SUCCESS, MACH_RCV_INTERRUPTED (by thread_interrupt(); the task or the thread may have ended) */
mach_msg_return_t receive_unnamed(struct thread *thread, struct port *p, struct message **message);

/* A message leaves its port, which is locked, in two steps: what the receiver will see is written into the message (a
 * step that can be taken back by restoring m->dest); then the port is told. */
void receive_prepare_locked(struct port *p, struct message *m);
void receive_commit_locked(struct port *p, enum right_kind dest, uint64_t bytes, struct export *origin,
			   struct after *after);

/* Out of the queue of the port, and of its set, whose lock is then held, too; and back to its front. */
void receive_unqueue_locked(struct port *p, struct message *m);
void receive_requeue_locked(struct port *p, struct message *m);
