/* SPDX-License-Identifier: MIT */
#pragma once

/* Sending: putting a kernel message where its destination says. */

#include <mach/message.h>
#include <stdbool.h>

#include "platform/deadline.h"
#include "platform/list.h"

struct after;
struct message;
struct port;
struct thread;

/* Puts @m into the queue of m->dest, or into the hands of a waiting receiver. Blocks while the queue is full, until
 * @deadline; NULL: does not block. With MACH_SEND_NOTIFY in @option a message that found no room is queued all the same,
 * and the receive right named @notify hears when it is accepted.
 *   MACH_MSG_SUCCESS, MACH_SEND_WILL_NOTIFY     @m is taken (a dead port destroys it: that is success, too)
 *   MACH_SEND_INVALID_MEMORY                    what was still the sender's cannot be read any more; @m is destroyed
 *   MACH_SEND_TIMED_OUT, _INTERRUPTED, _INVALID_NOTIFY, _NOTIFY_IN_PROGRESS, _NO_NOTIFY     @m is the caller's */
mach_msg_return_t send(struct thread *thread, struct message *m, mach_msg_option_t option,
		       const struct deadline *deadline, mach_port_name_t notify);

/* Sends without regard for the queue limit and without blocking; takes @m. */
void send_always(struct message *m);

/* Offers @m, a message for @p, to the threads in @receivers (of the port or of its set; that lock is held, too). True:
 * one has it, and it is in no queue any more. */
bool send_offer_locked(struct port *p, struct list *receivers, struct message *m, struct after *after);

/* Messages for the port, in order, that were counted in its queue and are in none. */
void send_all_locked(struct port *p, struct list *messages, struct after *after);

/* Lets blocked senders in as far as the limit allows. */
void send_admit_locked(struct port *p, struct after *after);
