/* SPDX-License-Identifier: MIT */
#pragma once

/* MACH_SEND_NOTIFY: a message forced into a full queue, and the msg-accepted notification that tells when it has been
 * taken out. One at a time for each name. The request is held by the message (message.accept), and known to the name it
 * was sent through (name.accept), which it follows when it is renamed. */

#include <mach/message.h>

struct message;
struct port;
struct space;

struct accept_request {
	struct space *space;   /* one reference */
	mach_port_name_t name; /* guarded by the space's lock; MACH_PORT_NULL once the name is gone */
	struct message *notice;
};

/* For the name that @space has for @p (none is fine), to be sent to the receive right named @notify.
 *   MACH_SEND_INVALID_NOTIFY, MACH_SEND_NOTIFY_IN_PROGRESS, MACH_SEND_NO_NOTIFY (no memory) */
mach_msg_return_t accept_request_new(struct space *space, struct port *p, mach_port_name_t notify,
				     struct accept_request **request);
/* The message has been accepted, or has died in the queue: tells so. Takes the request. No lock may be held. */
void accept_request_fire(struct accept_request *request);
