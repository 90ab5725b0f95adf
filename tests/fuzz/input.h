/* SPDX-License-Identifier: MIT */
/* The bytes of an input, as they are used up: an input is a program for what it tests. When it is at its end there are zeroes. */
#ifndef TESTS_FUZZ_INPUT_H
#define TESTS_FUZZ_INPUT_H

#include <stddef.h>
#include <stdint.h>

struct input {
	const uint8_t *data;
	size_t left;
};

/* A number of so many bytes, up to 8. */
static inline uint64_t take(struct input *in, size_t n_bytes)
{
	uint64_t value = 0;

	for (; n_bytes > 0; n_bytes--) {
		value <<= 8;
		if (in->left > 0) {
			value |= *in->data++;
			in->left--;
		}
	}
	return value;
}

static inline uint32_t take_below(struct input *in, uint32_t n)
{
	return (uint32_t)take(in, 1) % n;
}

/* What libFuzzer calls, or driver.c: returns 0, or aborts on a finding. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
