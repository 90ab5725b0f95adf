/* SPDX-License-Identifier: MIT */
/* What every usercopy-*.c checks before it touches anything. */
#ifndef PLATFORM_USERCOPY_RANGE_H
#define PLATFORM_USERCOPY_RANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Not null, and the end is not before the start. For n > 0. */
static inline bool user_range_is_sane(const void *user, size_t n)
{
	return user && (uintptr_t)user + n > (uintptr_t)user;
}

#endif
