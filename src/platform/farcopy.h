/* SPDX-License-Identifier: MIT */
#pragma once

/* A copy for somebody on another CPU. What an ordinary copy writes stays in this CPU's cache, and the other one has to ask for it
 * line by line: where the two share no cache, as in many virtual machines, that takes ten times as long as writing it to memory
 * past the cache and reading it from there. For a few KiB and more. */

#include <stddef.h>

/* As memcpy(). Stores that follow are seen after it, if they release. */
void far_copy(void *to, const void *from, size_t n);
