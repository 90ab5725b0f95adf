/* SPDX-License-Identifier: MIT */
#pragma once

/* select(2), for descriptors that are numbers of objects (io.h) and not of the host. */

#include <sys/select.h>

#include "io.h"

/* The object, a send right that it takes, gets the lowest free number from 3 on; -1 with EMFILE. */
int fd_open(io_t object);
/* EBADF: the number is of no object. Gives the right back. */
int fd_close(int fd);
/* The object, MACH_PORT_NULL: none. */
io_t fd_object(int fd);

/* As select(2), bit for bit; @errors are never set. An object whose server is gone is ready for everything: reading and
 * writing it would not block. -1 with EBADF, EINVAL, EINTR, ENOMEM. */
int fd_select(int n_fds, fd_set *reads, fd_set *writes, fd_set *errors, struct timeval *timeout);
