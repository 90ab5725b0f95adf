/* SPDX-License-Identifier: MIT */
/* Pages: whole pages of anonymous private memory, straight from the host; zero when new. */
#ifndef PLATFORM_PAGES_H
#define PLATFORM_PAGES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

extern atomic_size_t page_size_cached; /* 0: not asked yet; only for page_size() */

size_t page_size_ask(void);

static inline size_t page_size(void)
{
	size_t n = atomic_load_explicit(&page_size_cached, memory_order_relaxed);

	return __builtin_expect(n != 0, 1) ? n : page_size_ask();
}

static inline size_t page_trunc(size_t n)
{
	return n & ~(page_size() - 1);
}

/* 0 for an n > 0 means that it does not fit in a size_t. */
static inline size_t page_round(size_t n)
{
	return page_trunc(n + page_size() - 1) < n ? 0 : page_trunc(n + page_size() - 1);
}

/* All sizes and addresses are whole pages; sizes are not 0. pages_map() is for pages that may never be touched; with
 * pages_map_filled() the caller says that it writes to all of them soon, so small ones are made in one step. Of 2 MiB and
 * more the host makes huge pages, at the first touch of each. NULL: no memory, and for pages_map_at() errno says why: EEXIST
 * occupied, ENOMEM no memory, else an impossible address. */
void *pages_map(size_t bytes);
void *pages_map_filled(size_t bytes);
void *pages_map_at(void *address, size_t bytes);
/* Whether all of them can be written, which makes those that are not there. */
bool pages_are_writable(void *address, size_t bytes);
/* The same of reading. */
bool pages_are_readable(const void *address, size_t bytes);
void pages_unmap(void *address, size_t bytes);

#endif
