/* SPDX-License-Identifier: MIT */
#include "platform/farcopy.h"

#include <emmintrin.h>
#include <stdint.h>
#include <string.h>

enum { LINE = 64 };

static void line_copy(__m128i *to, const __m128i *from)
{
	__m128i a = _mm_loadu_si128(from), b = _mm_loadu_si128(from + 1), c = _mm_loadu_si128(from + 2),
		d = _mm_loadu_si128(from + 3);

	_mm_stream_si128(to, a);
	_mm_stream_si128(to + 1, b);
	_mm_stream_si128(to + 2, c);
	_mm_stream_si128(to + 3, d);
}

void far_copy(void *to, const void *from, size_t n)
{
	size_t before = -(uintptr_t)to % LINE, lines;
	const char *source = from;
	char *at = to;

	if (before > n)
		before = n;
	memcpy(at, source, before);
	lines = (n - before) / LINE;
	for (size_t i = before; i < before + lines * LINE; i += LINE)
		line_copy((__m128i *)(void *)(at + i), (const __m128i *)(const void *)(source + i));
	_mm_sfence(); /* streaming stores have no order of their own */
	before += lines * LINE;
	memcpy(at + before, source + before, n - before);
}
