/* SPDX-License-Identifier: MIT */
/* Descriptors: what the library asks of the host about them. Every one is close-on-exec. None of these is a cancellation
 * point, and those without a result leave errno as it is, so they may be called under a lock. */
#ifndef PLATFORM_FD_H
#define PLATFORM_FD_H

#include "platform/list.h"

/* The caller's to fd_close(); -1 with errno. */
int fd_dup(int fd);
void fd_close(int fd);

/* An event: polls readable while it is raised, which it is not at first. Its duplicates are one event. Nobody waits in
 * these. -1 with errno: EMFILE, ENFILE, ENODEV, ENOMEM. */
int fd_event(void);
void fd_event_raise(int fd);
void fd_event_lower(int fd);

/* A descriptor that the library keeps for longer than a call. The child of a fork has no use for it: there all are closed
 * by fd_kept_forget(). One registry, with a lock of rank REGISTRY; storage and contents belong to whoever embeds it. */
struct fd_kept {
	struct list link;
	int fd;
};

void fd_keep(struct fd_kept *kept, int fd); /* takes fd */
void fd_kept_close(struct fd_kept *kept);

/* Around a fork: nobody changes the registry while the process is copied. */
void fd_kept_before_fork(void);
void fd_kept_after_fork(void); /* in the parent */
void fd_kept_forget(void);     /* in the child */

#endif
