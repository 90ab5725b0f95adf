/* SPDX-License-Identifier: MIT */
#ifndef PORTUNUS_FILEPORT_H
#define PORTUNUS_FILEPORT_H

#include <mach/port.h>
#include <portunus/export.h>

/* A file port stands for an open file of Linux, as a right: it travels in messages like any other, and who has it can make
 * a descriptor of it. The calls are Darwin's (sys/fileport.h there). */
typedef mach_port_t fileport_t;

#define FILEPORT_NULL ((fileport_t)0)

PORTUNUS_BEGIN_DECLS

/* fileport_makeport - a right for an open file
 *   fd     any descriptor; stays the caller's
 *   port   set to a send right with one user reference, the caller's; each call makes another port
 * Returns 0, or -1 with errno, and then nothing has changed. The port holds the open file (offset, flags and locks are
 * shared, as with dup) until the last send right to it is gone, wherever it went. Nobody can receive from it.
 *   EBADF     fd is no descriptor        EFAULT   port cannot be written
 *   EMFILE    no descriptor left: the port holds one of this process
 *   ENOMEM    no memory
 * Threads: any. In the child of a fork there is nothing of it. Source: Darwin. */
PORTUNUS_EXPORT int fileport_makeport(int fd, fileport_t *port);

/* fileport_makefd - a descriptor for a file port
 *   port   a send right, which stays the caller's
 * Returns a new descriptor, close-on-exec, or -1 with errno.
 *   EINVAL    port is no send right to a file port, or the process that made it has ended
 *   EMFILE    no descriptor left, here or in the process that made the port
 *   ENOMEM    no memory
 * Threads: any. Source: Darwin. */
PORTUNUS_EXPORT int fileport_makefd(fileport_t port);

PORTUNUS_END_DECLS

#endif
