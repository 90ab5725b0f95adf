/* SPDX-License-Identifier: MIT */
/* Regions that are filled with one byte, and a reader that looks at one word of every page. */
#ifndef BENCH_TOUCH_H
#define BENCH_TOUCH_H

#include "bench.h"

#include <sys/mman.h>

/* What came is what was filled in: read, and compared. */
static inline void pages_check(const char *memory, size_t size, unsigned char mark)
{
	enum { PAGE = 4096 };
	const uint64_t expected = UINT64_C(0x0101010101010101) * mark;
	uint64_t wrong = 0;

	for (size_t at = 0; at < size; at += PAGE)
		wrong |= *(const volatile uint64_t *)(memory + at) ^ expected;
	need(wrong == 0);
}

static inline void *pages_new(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	need(memory != MAP_FAILED);
	return memory;
}

#endif
