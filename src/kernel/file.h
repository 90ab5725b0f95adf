/* SPDX-License-Identifier: MIT */
#pragma once

/* A file port: a kernel object (object.h) that holds a descriptor, for whoever has a send right to it.
 *
 *   request   msgh_id FILE_MESSAGE_ID, a header and nothing more, with a reply right
 *   answer    that + FILE_ANSWER_OFFSET, a mig_reply_header_t, whose RetCode is
 *               KERN_SUCCESS             a duplicate of the descriptor comes with it (message.fd)
 *               KERN_RESOURCE_SHORTAGE   the process that holds the file has no descriptor left
 * Only kernels see message.fd: a task that makes this request itself gets an answer without anything, and what it sends
 * never has one. A request that does not look like this is answered as by any other kernel object.
 *
 *   F1  The port has a no-senders request like any other, whose notice goes to the port itself, by a send-once right that
 *       is the only one there ever is: send-once rights are made from the receive right, which is the kernel's.
 *   F2  So what comes by a send-once right is that notice, and the file ends: nobody can send to it any more. What comes
 *       by a send right is anybody's, and holds off the end, because it is a send right itself. */

#include <mach/port.h>
#include <stdbool.h>

#include "kernel/right.h"

struct message;
struct thread;

#define FILE_MESSAGE_ID	   0x504e00
#define FILE_ANSWER_OFFSET 100

/* A new file port for a duplicate of @fd; *right is a send right to it. 0, or
 *   EBADF   @fd is none     EMFILE   no descriptor left     ENOMEM */
int file_new(int fd, struct right *right);

/* A descriptor for the file of the send right named @name, for the caller to close. 0, or
 *   EINVAL   it is no file port, or its process has ended     ENOMEM
 *   EMFILE   no descriptor left, here or there                EINTR   the calling thread or its task has ended */
int file_open(struct thread *caller, mach_port_name_t name, int *fd);

/* A message came for a kernel object. True: for a file, and it is taken. */
bool file_deliver(struct message *m);
