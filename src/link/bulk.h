/* SPDX-License-Identifier: MIT */
#pragma once

/* Bulk: memory out of line that is too large for a ring travels as a descriptor (memfd). The sender gives up all his
 * mappings of it and seals it against writing before it goes, so what the receiver maps cannot change or shrink any more,
 * whatever the sender is up to; the receiver's own writes go to private copies of its pages. */

#include <stdbool.h>
#include <stddef.h>

struct memory;

enum { BULK_FROM = 4096 + 1 }; /* bytes */

static inline bool bulk_is_large(size_t size)
{
	return size >= BULK_FROM;
}

/* The descriptor of what is in @m, which it takes. */
int bulk_take(struct memory *m);
/* Maps @size bytes of a peer's descriptor, which stays the caller's. False: it is not sealed, or too small, or there is no
 * memory. */
bool bulk_map(int fd, size_t size, struct memory *m);
