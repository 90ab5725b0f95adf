/* SPDX-License-Identifier: MIT */
#pragma once

/* From a user's message to a kernel message: the only reader of what users write. Everything is copied once into
 * private memory, checked there, and only the copy is used. What a failing copyin has taken before it failed is gone,
 * exactly as Mach has it: a bad header takes nothing; a bad item in the body takes the header's rights and every item
 * before it; the items after it are untouched. */

#include <mach/message.h>
#include <stdbool.h>

struct message;
struct space;

/* @cancel_notify: with MACH_SEND_CANCEL the receive right that is not to hear a port-deleted for a destination right
 * used up (@cancels), else ignored.
 *   MACH_MSG_SUCCESS          *message is the caller's
 *   MACH_SEND_MSG_TOO_SMALL   @size is no header, not aligned, or cuts an item short
 *   MACH_SEND_INVALID_DATA    the buffer cannot be read     MACH_SEND_NO_BUFFER   no memory
 *   MACH_SEND_INVALID_HEADER, _INVALID_NOTIFY, _INVALID_DEST, _INVALID_REPLY          nothing was taken
 *   MACH_SEND_INVALID_TYPE, _INVALID_RIGHT, _INVALID_MEMORY                           a bad item in the body */
mach_msg_return_t copyin(struct space *space, const mach_msg_header_t *user, mach_msg_size_t size, bool cancels,
			 mach_port_name_t cancel_notify, struct message **message);
