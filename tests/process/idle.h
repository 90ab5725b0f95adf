/* SPDX-License-Identifier: MIT */
/* Whether processes sleep: none of their threads has been on a CPU for a while. */
#ifndef TESTS_PROCESS_IDLE_H
#define TESTS_PROCESS_IDLE_H

#include "family.h"

#include <dirent.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

/* How often a thread has gone to sleep or was interrupted; 0 if it has ended. */
static inline unsigned long switches_of_thread(pid_t pid, pid_t tid)
{
	unsigned long n, sum = 0;
	char path[64], line[128];
	FILE *status;

	snprintf(path, sizeof path, "/proc/%d/task/%d/status", pid, tid);
	status = fopen(path, "re");
	if (!status)
		return 0;
	while (fgets(line, sizeof line, status))
		if (sscanf(line, "voluntary_ctxt_switches: %lu", &n) == 1 ||
		    sscanf(line, "nonvoluntary_ctxt_switches: %lu", &n) == 1)
			sum += n;
	fclose(status);
	return sum;
}

/* All threads of a process but the one that looks. */
static inline unsigned long switches_of(pid_t pid)
{
	struct dirent *entry;
	unsigned long sum = 0;
	char path[64];
	DIR *tasks;

	snprintf(path, sizeof path, "/proc/%d/task", pid);
	tasks = opendir(path);
	assert_non_null(tasks);
	while ((entry = readdir(tasks)))
		if (atoi(entry->d_name) > 0 && atoi(entry->d_name) != gettid())
			sum += switches_of_thread(pid, atoi(entry->d_name));
	closedir(tasks);
	return sum;
}

static inline unsigned long switches_of_all(const pid_t *pids, unsigned n)
{
	unsigned long sum = 0;

	for (unsigned i = 0; i < n; i++)
		sum += switches_of(pids[i]);
	return sum;
}

/* Not once while this thread wakes by a timer again and again, and more often than the library ever would. */
static inline bool have_slept(const pid_t *pids, unsigned n)
{
	unsigned long before = switches_of_all(pids, n);

	for (unsigned i = 0; i < 30; i++) {
		(void)poll(NULL, 0, 10);
		if (switches_of_all(pids, n) != before)
			return false;
	}
	return true;
}

/* What they still have to do comes to its end first, however long that takes: that is a few wake-ups, not hundreds. */
static inline void expect_sleep(const pid_t *pids, unsigned n)
{
	enum { WAKE_UPS = 300 };
	unsigned tries = 0;

#ifndef __SANITIZE_THREAD__ /* it has a thread of its own in each process, which wakes now and then */
	while (!have_slept(pids, n))
		assert_true(++tries < WAKE_UPS);
#endif
	(void)pids, (void)n, (void)tries;
}

#endif
