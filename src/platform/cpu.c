/* SPDX-License-Identifier: MIT */
#include "platform/cpu.h"

#include <sched.h>
#include <unistd.h>

atomic_uint cpu_online_cached;

unsigned cpu_current_ask(void)
{
	int cpu = sched_getcpu();

	return cpu < 0 ? 0 : (unsigned)cpu;
}

unsigned cpu_online_ask(void)
{
	/* Not the affinity mask: that is each thread's own, and the asking one may be pinned. */
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	if (n < 1)
		n = 1;
	atomic_store_explicit(&cpu_online_cached, (unsigned)n, memory_order_relaxed);
	return (unsigned)n;
}
