/* SPDX-License-Identifier: MIT */
/* Time, CPUs, memory and failure. */
#include "bench.h"

#include <errno.h>
#include <mach_error.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

uint64_t scaled(uint64_t n, uint64_t quick)
{
	return options.quick ? quick : n;
}

/* The CPUs that the program was started with; taken once, before anything is pinned. */
static const cpu_set_t *usable(void)
{
	static cpu_set_t set;
	static bool known;

	if (!known) {
		CPU_ZERO(&set);
		need(sched_getaffinity(0, sizeof set, &set) == 0);
		known = true;
	}
	return &set;
}

unsigned cpus_usable(void)
{
	return (unsigned)CPU_COUNT(usable());
}

/* The number of the i-th usable CPU. */
static int cpu_number(unsigned i)
{
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, usable()) && i-- == 0)
			return cpu;
	fail("a CPU to run on", __FILE__, __LINE__, "too few");
}

void pin(unsigned i)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu_number(i), &set);
	need(sched_setaffinity(0, sizeof set, &set) == 0);
}

void pin_to_first(unsigned n)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	for (unsigned i = 0; i < n; i++)
		CPU_SET(cpu_number(i), &set);
	need(sched_setaffinity(0, sizeof set, &set) == 0);
}

void unpin(void)
{
	need(sched_setaffinity(0, sizeof(cpu_set_t), usable()) == 0);
}

void place(enum placement placement, unsigned pair, bool server)
{
	switch (placement) {
	case PLACE_ONE_CPU:
		pin(0);
		break;
	case PLACE_ACROSS:
		pin(server ? 1 : 0);
		break;
	case PLACE_PAIR_PER_CPU:
		pin(pair % 2);
		break;
	case PLACE_FREE:
		pin_to_first(2);
		break;
	}
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double median(const double *values, unsigned n)
{
	double sorted[ROUNDS_MAX];

	memcpy(sorted, values, n * sizeof *values);
	qsort(sorted, n, sizeof *sorted, compare);
	return n % 2 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

double least(const double *values, unsigned n)
{
	double found = values[0];

	for (unsigned i = 1; i < n; i++)
		found = values[i] < found ? values[i] : found;
	return found;
}

double greatest(const double *values, unsigned n)
{
	double found = values[0];

	for (unsigned i = 1; i < n; i++)
		found = values[i] > found ? values[i] : found;
	return found;
}

uint64_t draw(_Atomic uint64_t *left)
{
	enum { CHUNK = 64 };
	uint64_t seen = atomic_load_explicit(left, memory_order_relaxed), n;

	do {
		n = seen < CHUNK ? seen : CHUNK;
	} while (!atomic_compare_exchange_weak_explicit(left, &seen, seen - n, memory_order_relaxed,
							memory_order_relaxed));
	return n;
}

void files_raise(void)
{
	struct rlimit limit;

	need(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	limit.rlim_cur = limit.rlim_max;
	need(setrlimit(RLIMIT_NOFILE, &limit) == 0);
}

size_t resident(void)
{
	unsigned long size, pages;
	FILE *f = fopen("/proc/self/statm", "re");

	need(f);
	need(fscanf(f, "%lu %lu", &size, &pages) == 2);
	fclose(f);
	return pages * (size_t)sysconf(_SC_PAGESIZE);
}

void fail(const char *what, const char *file, int line, const char *why)
{
	fprintf(stderr, "bench: %s:%d: %s: %s\n", file, line, what, why ? why : strerror(errno));
	_exit(EXIT_FAILURE);
}

void must_at(int kr, const char *what, const char *file, int line)
{
	if (__builtin_expect(kr != 0, 0))
		fail(what, file, line, mach_error_string(kr));
}
