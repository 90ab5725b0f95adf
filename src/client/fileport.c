/* SPDX-License-Identifier: MIT */
#include <portunus/fileport.h>

#include <errno.h>

#include "client/target.h"
#include "kernel/file.h"

static int file_makeport(struct thread *caller, int fd, fileport_t *port)
{
	mach_port_name_t name;
	struct right right;
	int error;

	if (!result_is_writable(port, sizeof *port))
		return EFAULT;
	error = file_new(fd, &right);
	if (error)
		return error;
	if (result_copyout(caller, &right, &name))
		return ENOMEM;
	*port = name;
	return 0;
}

int fileport_makeport(int fd, fileport_t *port)
{
	struct thread *caller = thread_self();
	int error;

	thread_check_terminated(caller);
	error = file_makeport(caller, fd, port);
	if (!error)
		return 0;
	errno = error;
	return -1;
}

int fileport_makefd(fileport_t port)
{
	struct thread *caller = thread_self();
	int error, fd;

	thread_check_terminated(caller);
	error = file_open(caller, port, &fd);
	if (!error)
		return fd;
	thread_check_terminated(caller);
	errno = error;
	return -1;
}
