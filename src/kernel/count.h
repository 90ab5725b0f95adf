/* SPDX-License-Identifier: MIT */
#pragma once

/* How many kernel objects exist: what tests compare before and after. Kept in builds with asserts only. */

#include <stdatomic.h>

struct kernel_counts {
	long ports, names, messages, spaces, sets, tasks, threads;
};

#ifndef NDEBUG
struct kernel_counters {
	atomic_long ports, names, messages, spaces, sets, tasks, threads;
};

extern struct kernel_counters kernel_counters;

#define count_add(what, n) ((void)atomic_fetch_add_explicit(&kernel_counters.what, (n), memory_order_relaxed))

void kernel_counts_read(struct kernel_counts *counts);
void count_forget(void); /* after fork, in the child */
#else
#define count_add(what, n) ((void)0)

static inline void count_forget(void)
{
}
#endif
