/* SPDX-License-Identifier: MIT */
#include <portunus/poll.h>

#include <errno.h>

#include "kernel/task.h"
#include "kernel/thread.h"
#include "kernel/watch.h"

int portunus_port_fd(mach_port_t name)
{
	struct thread *thread = thread_self();
	int error, fd;

	thread_check_terminated(thread);
	error = watch_open(thread->task->space, name, &fd);
	if (!error)
		return fd;
	errno = error;
	return -1;
}
