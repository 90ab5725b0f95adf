/* SPDX-License-Identifier: MIT */
#ifndef PORTFS_SERVER_H
#define PORTFS_SERVER_H

#include <mach/mach_types.h>
#include <mach/port.h>
#include <signal.h>

#include "portfs_types.h"

/* What a port of the server is for. Its address is the port's protected payload: the kernel puts it into each message that
 * comes in on the port, so that nothing must be looked up. Payloads are set by the server alone; no client can forge one. */
enum object_kind {
	OBJECT_FILE,	/* an open file or directory; clients hold the send rights */
	OBJECT_CONTROL, /* the server's own: what inotify and the kernel have to say; no client holds a right */
};

typedef struct object {
	enum object_kind kind;
	struct server *server;
	mach_port_t port; /* the receive right, in the server's set */
} * portfs_object_t;

/* Called by the stubs. The second serves ports without a payload, of which there are none: it finds nothing. */
portfs_object_t object_from_payload(unsigned long payload);
portfs_object_t object_from_port(mach_port_t port);

/* An open file: from lookup until the last send right to its port is gone. */
struct file {
	struct object object;
	struct file *next, **link; /* in the server's list; link: what points here */
	int fd;
	enum portfs_kind kind;
	int is_root; /* the server's own; not counted as opened by anyone */
	unsigned int n_watches;
};

/* A server of the tree at path, in the calling task. *root: a send right to its top, the caller's; requests may come from
 * now on, and wait for server_loop(). Threads: all three from one; one more, its own, only waits for inotify and signals. */
kern_return_t server_new(const char *path, struct server **server, mach_port_t *root);

/* Serve, until nobody holds a right to any file, or a signal comes. Returns KERN_SUCCESS, or why it had to stop. */
kern_return_t server_loop(struct server *server);

/* Whoever still holds a right to a file has a dead name from now on. */
void server_free(struct server *server);

/* The signals that end a server, in the process that has blocked them before it made any thread. */
void server_signals(sigset_t *signals);

#endif
