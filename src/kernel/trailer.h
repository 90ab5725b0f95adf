/* SPDX-License-Identifier: MIT */
#pragma once

/* Trailers: what a receiver who asks, by bits of his options, learns of a message besides what the sender wrote. Of a
 * sender in this process it tells what the process is when the message is received. */

#include <mach/message.h>
#include <stdbool.h>

struct message;

static inline bool trailer_is_wanted(mach_msg_option_t option)
{
	return __builtin_expect((option & MACH_RCV_TRAILER_MASK) != 0, 0);
}

/* Whether it is none at all or one that we know. */
bool trailer_is_known(mach_msg_option_t option);
static inline bool trailer_exists(mach_msg_option_t option)
{
	return !trailer_is_wanted(option) || trailer_is_known(option);
}

static inline mach_msg_size_t trailer_size(mach_msg_option_t option)
{
	return trailer_is_wanted(option) ? REQUESTED_TRAILER_SIZE(option) : 0;
}

/* Behind the message that is at @user. False: there is no such memory. */
bool trailer_write(const struct message *m, mach_msg_header_t *user, mach_msg_option_t option);
