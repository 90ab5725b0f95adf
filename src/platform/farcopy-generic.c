/* SPDX-License-Identifier: MIT */
#include "platform/farcopy.h"

#include <string.h>

void far_copy(void *to, const void *from, size_t n)
{
	memcpy(to, from, n);
}
