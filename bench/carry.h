/* SPDX-License-Identifier: MIT */
/* What any way of carrying memory to another process has to do at least, done by one process: a bound for process-move. */
#ifndef BENCH_CARRY_H
#define BENCH_CARRY_H

#include "bench.h"

/* A side's functions; its argument is a struct carry_plan. */
struct carry_plan {
	size_t size, size_quick;
};

void *carry_open(const void *plan);
void carry_close(void *context);
/* The pages change hands: a memfd with small pages, filled beforehand, is unmapped, sealed, mapped again as somebody else's, and
 * every page is touched; then all is given back. */
double carry_by_pages(void *context, uint64_t n);
/* The bytes are copied once, into memory that is there, in huge pages if there are any, and every page is touched. */
double carry_by_copy(void *context, uint64_t n);
/* The same, half of them by each of two CPUs at the same time. */
double carry_by_halves(void *context, uint64_t n);

#define CARRY_SIDE(text, run_it, bytes, bytes_quick) \
	{ \
		.what = text, .open = carry_open, .run = run_it, .close = carry_close, \
		.arg = &(const struct carry_plan) \
		{ \
			bytes, bytes_quick \
		} \
	}

#endif
