/* SPDX-License-Identifier: MIT */
#ifndef PORTFS_WATCH_H
#define PORTFS_WATCH_H

#include <mach/mach_types.h>
#include <pthread.h>
#include <stddef.h>

#include "server.h"

/* Who wants to hear when which file changes. Used by the server's thread only. */
struct watch {
	struct watch *next;
	struct file *file;    /* has not been closed: closing a file ends its watches */
	mach_port_t listener; /* one user reference to a send right, or to the dead name it became */
	int wd;		      /* inotify's number; the same for all watches of one inode */
	unsigned int lost;    /* PORTFS_CHANGED_LOST if the last message found a full queue */
};

struct watcher {
	mach_port_t control;	    /* the server's control port: events and dead-name notifications go there */
	mach_port_t sender;	    /* a send right to it, for the thread */
	int inotify, signals, stop; /* descriptors; writing to stop ends the thread */
	pthread_t thread;
	struct watch *watches;
};

kern_return_t watcher_init(struct watcher *w, mach_port_t control);
/* Ends all watches, and tells the thread to end. It may be waiting for room in the control port's queue, so somebody has to
 * receive there until it has. */
void watcher_stop(struct watcher *w);
int watcher_has_stopped(struct watcher *w);
void watcher_deinit(struct watcher *w); /* of one that has stopped */

/* Takes a reference to listener if it succeeds. */
kern_return_t watch_add(struct watcher *w, struct file *file, mach_port_t listener);
void watch_remove_file(struct watcher *w, struct file *file);
void watch_remove_listener(struct watcher *w, mach_port_t listener);

/* What inotify said: tell the listeners. */
void watch_events(struct watcher *w, const char *events, size_t size);

#endif
