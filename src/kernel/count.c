/* SPDX-License-Identifier: MIT */
#include "kernel/count.h"

#ifndef NDEBUG
struct kernel_counters kernel_counters;

void kernel_counts_read(struct kernel_counts *counts)
{
	*counts = (struct kernel_counts){
		.ports = kernel_counters.ports,
		.names = kernel_counters.names,
		.messages = kernel_counters.messages,
		.spaces = kernel_counters.spaces,
		.sets = kernel_counters.sets,
		.tasks = kernel_counters.tasks,
		.threads = kernel_counters.threads,
	};
}

void count_forget(void)
{
	kernel_counters = (struct kernel_counters){ 0 };
}
#endif
