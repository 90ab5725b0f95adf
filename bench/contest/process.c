/* SPDX-License-Identifier: MIT */
/* What /proc and the clocks tell of processes. */
#include "process.h"

#include <dirent.h>
#include <sched.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static void threads_pin(pid_t pid, const cpu_set_t *set)
{
	char path[64];
	struct dirent *entry;
	DIR *threads;
	pid_t tid;

	snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
	threads = opendir(path);
	need(threads);
	while ((entry = readdir(threads))) {
		tid = (pid_t)strtol(entry->d_name, NULL, 10);
		if (tid > 0)
			sched_setaffinity(tid, sizeof *set, set); /* one that has just ended is no matter */
	}
	closedir(threads);
}

void process_place(pid_t pid, enum placement placement, bool server, bool holds_both)
{
	cpu_set_t set, own;

	need(sched_getaffinity(0, sizeof own, &own) == 0);
	place(placement, 0, server);
	need(sched_getaffinity(0, sizeof set, &set) == 0);
	if (!holds_both || placement == PLACE_ONE_CPU)
		threads_pin(pid, &set);
	if (pid != getpid())
		need(sched_setaffinity(0, sizeof own, &own) == 0);
}

double process_cpu(pid_t pid)
{
	struct timespec t;
	clockid_t clock;

	if (!pid)
		return 0;
	need(clock_getcpuclockid(pid, &clock) == 0 && clock_gettime(clock, &t) == 0);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

double process_memory(pid_t pid)
{
	char path[64], line[128];
	unsigned long kib, sum = 0;
	FILE *f;

	snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)pid);
	f = fopen(path, "re");
	need(f);
	while (fgets(line, sizeof line, f))
		if (sscanf(line, "Pss_Anon: %lu", &kib) == 1 || sscanf(line, "Pss_Shmem: %lu", &kib) == 1)
			sum += kib;
	fclose(f);
	return (double)sum * 1024;
}
