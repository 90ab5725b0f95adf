/* SPDX-License-Identifier: MIT */
#pragma once

/* From a kernel message to a user's memory and name space. Each of these takes the message, whatever it returns. */

#include <mach/message.h>

struct message;
struct task;

/* Delivers a received message, and behind it the trailer that @option asks for. With MACH_RCV_NOTIFY in @option the
 * receive right named @notify hears of the reply right's death.
 *   MACH_RCV_INVALID_NOTIFY             the body is destroyed and only the header delivered, as by copyout_header()
 *   MACH_RCV_HEADER_ERROR | what failed   likewise
 *   MACH_RCV_BODY_ERROR | what failed   delivered, with null names for rights that found no place
 *   MACH_RCV_INVALID_DATA               the buffer cannot be written; rights and memory are the receiver's all the same */
mach_msg_return_t copyout(struct task *task, struct message *m, mach_msg_header_t *user, mach_msg_option_t option,
			  mach_port_name_t notify);

/* Delivers the header of a message too large for a buffer of @size bytes, as far as it fits; the rest is destroyed.
 * Returns @result, or MACH_RCV_INVALID_DATA. */
mach_msg_return_t copyout_header(struct message *m, mach_msg_header_t *user, mach_msg_size_t size,
				 mach_msg_return_t result);

/* Gives a message that was not sent back to its sender, as received rights. Returns @result, with the special bits
 * (MACH_MSG_IPC_SPACE ...) added for what found no place; MACH_SEND_INVALID_DATA is never returned: the rights are the
 * sender's whether he can read their names or not. */
mach_msg_return_t copyout_back(struct task *task, struct message *m, mach_msg_header_t *user, mach_msg_return_t result);
