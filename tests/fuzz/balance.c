/* SPDX-License-Identifier: MIT */
#include "balance.h"

#include <mach.h>
#include <poll.h>
#include <portunus/task.h>

#include "kernel/count.h"
#include "kernel/kernel.h"
#include "kernel/task.h"
#include "kernel/thread.h"

enum { FDS_MAX = 256 };

static struct {
	struct kernel_counts counts;
	bool is_open[FDS_MAX];
} before;

/* By asking of all at once whether something happens to them. */
static void list_fds(bool is_open[static FDS_MAX])
{
	struct pollfd fds[FDS_MAX];

	for (int i = 0; i < FDS_MAX; i++)
		fds[i] = (struct pollfd){ .fd = i };
	(void)poll(fds, FDS_MAX, 0);
	for (int i = 0; i < FDS_MAX; i++)
		is_open[i] = !(fds[i].revents & POLLNVAL);
}

/* What is made once and kept has to be there before; it is gone when this thread has been in another task. */
static void read_counts(struct kernel_counts *counts)
{
	(void)mach_task_self();
	(void)mach_thread_self();
	kernel_counts_read(counts);
}

void balance_begin(void)
{
	read_counts(&before.counts);
	list_fds(before.is_open);
}

#define compare(what) \
	if (now.what != before.counts.what) \
	finding(#what ": %ld before, %ld now", before.counts.what, now.what)

void balance_end(void)
{
	struct kernel_counts now;
	bool is_open[FDS_MAX];

	read_counts(&now);
	compare(ports);
	compare(names);
	compare(messages);
	compare(spaces);
	compare(sets);
	compare(tasks);
	compare(threads);
	list_fds(is_open);
	for (int i = 0; i < FDS_MAX; i++)
		if (is_open[i] != before.is_open[i])
			finding("descriptor %d is %s", i, is_open[i] ? "left open" : "closed");
}

/* Of the root task nothing is left in it, so whatever the input does with the names that are there stays in it. */
void visit_resume(task_t task)
{
	task_t way_back = portunus_task_enter(task);

	check(MACH_PORT_VALID(way_back));
	mach_port_deallocate(mach_task_self(), way_back);
}

void visit_pause(void)
{
	task_unref(thread_enter(thread_self(), task_ref(kernel_root_task())));
}

task_t visit_begin(void)
{
	task_t task;

	if (task_create(mach_task_self(), FALSE, &task))
		finding("no task");
	visit_resume(task);
	return task;
}

void visit_end(task_t task)
{
	visit_pause();
	(void)task_terminate(task); /* unless the input has done so */
	if (mach_port_deallocate(mach_task_self(), task))
		finding("the task's port is gone");
}
