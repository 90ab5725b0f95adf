/* SPDX-License-Identifier: MIT */
#pragma once

/* Notifications. Each that is asked for is built when it is asked for, with its send-once right as destination: the
 * request *is* the message, and nothing can fail when its time comes. Replacing or cancelling a request gives the right
 * back. Send-once notifications cannot be prepared; message_new_certain() stands behind them. */

#include <mach/message.h>
#include <mach/notify.h>

#include "kernel/right.h"

struct message;
struct name;
struct port;
struct space;

/* A notice of kind @id, going nowhere yet. NULL: no memory. */
struct message *notice_new(mach_msg_id_t id);
void notice_free(struct message *notice);
/* Where it is to go: takes the right (RIGHT_SEND_ONCE, valid). */
void notice_arm(struct message *notice, const struct right *notify);
/* What it tells: a name or a count. It may become a notice of another kind by that. */
void notice_set_value(struct message *notice, mach_msg_id_t id, uint32_t value);
/* Sends it; takes it. If the port it goes to has died, that is all. No lock may be held. */
void notice_send(struct message *notice);
/* The request is withdrawn: takes the notice, its right is the caller's. */
struct right notice_cancel(struct message *notice);
/* The same, and the right goes with it without a word. Locks up to a space's may be held. */
void notice_withdraw(struct message *notice);
/* What was to be told can no longer happen: the right answers with a send-once notification. Takes the notice. */
void notice_abandon(struct message *notice);

/* The receive right of @p, in the kernel's hands with its reference, goes to whoever asked for it. Takes both. */
void notify_port_destroyed(struct message *notice, struct port *p);
/* A naked send-once right dies unused. Takes it with its reference. */
void notify_send_once(struct port *p);

/* mach_port_request_notification(). @notify (a naked send-once right, or one with a NULL port to cancel) is taken on
 * success, else the caller's; *previous: the naked right of the request that was replaced.
 *   KERN_INVALID_VALUE (id, or sync with port-destroyed), KERN_INVALID_NAME, KERN_INVALID_RIGHT,
 *   KERN_INVALID_ARGUMENT (a dead name, and sync 0), KERN_UREFS_OVERFLOW, KERN_RESOURCE_SHORTAGE, KERN_INVALID_TASK */
kern_return_t notify_request(struct space *space, mach_port_name_t name, mach_msg_id_t id, mach_port_mscount_t sync,
			     const struct right *notify, struct right *previous);

/* The same for a port that came with its request (id no-senders or port-destroyed) from elsewhere. */
void notify_request_port(struct port *p, mach_msg_id_t id, struct message *notice, struct right *previous);

/* Makes @notice, armed, the dead-name request of a name that has none. False: its port has died meanwhile. */
bool notify_attach_locked(struct name *name, struct message *notice);
