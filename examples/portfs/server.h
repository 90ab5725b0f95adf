/* SPDX-License-Identifier: MIT */
#ifndef PORTFS_SERVER_H
#define PORTFS_SERVER_H

#include <mach/mach_types.h>
#include <mach/port.h>

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
	int fd;
	enum portfs_kind kind;
	int is_root; /* the server's own; not counted as opened by anyone */
	unsigned int n_watches;
};

/* Serve the tree at path, in the calling task, until nobody holds a right to any of its files.
 * The task's bootstrap port is told first, with portfs_ready(), what came of it. Threads: one does everything, one more
 * only waits for inotify. Returns KERN_SUCCESS, or why it could not start or had to stop. */
kern_return_t server_run(const char *path);

#endif
