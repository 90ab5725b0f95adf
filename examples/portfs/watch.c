/* SPDX-License-Identifier: MIT */
#include "watch.h"

#include <errno.h>
#include <mach.h>
#include <poll.h>
#include <portunus/task.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "portfs_event.h"
#include "portfs_host.h"

#define INTEREST (IN_MODIFY | IN_ATTRIB | IN_CREATE | IN_DELETE | IN_MOVE | IN_MOVE_SELF | IN_DELETE_SELF)

/* Sends on what inotify says, if it says anything. Returns 0 if there can be no more. */
static int pass_events(struct watcher *w)
{
	_Alignas(struct inotify_event) char events[PORTFS_EVENTS_MAX];
	ssize_t n = read(w->inotify, events, sizeof events);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	return n > 0 && portfs_inotify(w->sender, events, (mach_msg_type_number_t)n) == MACH_MSG_SUCCESS;
}

static int pass_signal(struct watcher *w)
{
	struct signalfd_siginfo signal;

	if (read(w->signals, &signal, sizeof signal) < 0)
		return errno == EAGAIN || errno == EINTR;
	return portfs_stop(w->sender) == MACH_MSG_SUCCESS;
}

/* The helper thread: the server's thread waits for messages, and a descriptor is no message. So this one waits for the
 * descriptors and sends what it reads. When the server is behind, the port's queue is full and the send waits. */
static void *watcher_thread(void *argument)
{
	struct watcher *w = argument;
	struct pollfd fds[3] = {
		{ .fd = w->inotify, .events = POLLIN },
		{ .fd = w->signals, .events = POLLIN },
		{ .fd = w->stop, .events = POLLIN },
	};

	do {
		if (poll(fds, 3, -1) < 0 && errno != EINTR)
			break;
	} while (!fds[2].revents && pass_events(w) && pass_signal(w));
	return NULL;
}

/* Signals that the program has blocked; where it has not, they do what they always do. */
static int open_signals(void)
{
	sigset_t signals;

	server_signals(&signals);
	return signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
}

static kern_return_t watcher_start(struct watcher *w)
{
	kern_return_t kr;

	w->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (w->inotify < 0)
		return PORTFS_ERROR(errno);
	w->signals = open_signals();
	if (w->signals < 0)
		return PORTFS_ERROR(errno);
	w->stop = eventfd(0, EFD_CLOEXEC);
	if (w->stop < 0)
		return PORTFS_ERROR(errno);
	kr = mach_port_insert_right(mach_task_self(), w->control, w->control, MACH_MSG_TYPE_MAKE_SEND);
	if (kr)
		return kr;
	w->sender = w->control; /* rights to one port share one name */
	return portunus_thread_create(mach_task_self(), &w->thread, watcher_thread, w);
}

kern_return_t watcher_init(struct watcher *w, mach_port_t control)
{
	kern_return_t kr;

	*w = (struct watcher){ .control = control, .inotify = -1, .signals = -1, .stop = -1 };
	kr = watcher_start(w);
	if (kr) {
		w->thread = 0;
		watcher_deinit(w);
	}
	return kr;
}

void watcher_stop(struct watcher *w)
{
	uint64_t one = 1;

	while (w->watches)
		watch_remove_file(w, w->watches->file);
	if (w->thread && write(w->stop, &one, sizeof one) < 0)
		abort(); /* an eventfd at 0 takes a 1 */
}

int watcher_has_stopped(struct watcher *w)
{
	if (w->thread && pthread_tryjoin_np(w->thread, NULL) == EBUSY)
		return 0;
	w->thread = 0;
	return 1;
}

void watcher_deinit(struct watcher *w)
{
	if (w->sender)
		mach_port_deallocate(mach_task_self(), w->sender);
	if (w->inotify >= 0)
		close(w->inotify);
	if (w->signals >= 0)
		close(w->signals);
	if (w->stop >= 0)
		close(w->stop);
}

/* Hear of the listener's death. Where it is dead already, the notification comes at once. */
static kern_return_t request_dead_name(struct watcher *w, mach_port_t listener)
{
	mach_port_t previous = MACH_PORT_NULL;
	kern_return_t kr = mach_port_request_notification(mach_task_self(), listener, MACH_NOTIFY_DEAD_NAME, 1,
							  w->control, MACH_MSG_TYPE_MAKE_SEND_ONCE, &previous);

	/* Another watch with the same listener asked before. Its unused right goes, which the control port hears of. */
	if (kr == KERN_SUCCESS && MACH_PORT_VALID(previous))
		mach_port_deallocate(mach_task_self(), previous);
	return kr;
}

kern_return_t watch_add(struct watcher *w, struct file *file, mach_port_t listener)
{
	char place[sizeof "/proc/self/fd/" + 12];
	struct watch *watch;
	kern_return_t kr;

	if (!MACH_PORT_VALID(listener))
		return KERN_INVALID_CAPABILITY;
	watch = malloc(sizeof *watch);
	if (!watch)
		return KERN_RESOURCE_SHORTAGE;
	*watch = (struct watch){ .file = file, .listener = listener };
	snprintf(place, sizeof place, "/proc/self/fd/%d", file->fd);
	watch->wd = inotify_add_watch(w->inotify, place, INTEREST);
	if (watch->wd < 0) {
		kr = PORTFS_ERROR(errno);
		free(watch);
		return kr;
	}
	watch->next = w->watches;
	w->watches = watch;
	file->n_watches++;

	kr = request_dead_name(w, listener);
	if (kr) {
		/* On failure the reference stays the caller's; watch_free() must not give it back. */
		watch->listener = MACH_PORT_NULL;
		watch_remove_listener(w, MACH_PORT_NULL);
	}
	return kr;
}

/* Of a watch that is in the list no more. */
static void watch_free(struct watcher *w, struct watch *watch)
{
	struct watch *other;

	for (other = w->watches; other; other = other->next)
		if (other->wd == watch->wd)
			break;
	if (!other)
		inotify_rm_watch(w->inotify, watch->wd); /* may be gone with the inode: nothing to say */
	if (MACH_PORT_VALID(watch->listener))
		mach_port_deallocate(mach_task_self(), watch->listener);
	watch->file->n_watches--;
	free(watch);
}

void watch_remove_file(struct watcher *w, struct file *file)
{
	struct watch **at = &w->watches, *watch;

	while (file->n_watches && (watch = *at)) {
		if (watch->file == file) {
			*at = watch->next;
			watch_free(w, watch);
		} else {
			at = &watch->next;
		}
	}
}

void watch_remove_listener(struct watcher *w, mach_port_t listener)
{
	struct watch **at = &w->watches, *watch;

	while ((watch = *at)) {
		if (watch->listener == listener) {
			*at = watch->next;
			watch_free(w, watch);
		} else {
			at = &watch->next;
		}
	}
}

static unsigned int changes_of(const struct file *file, uint32_t mask)
{
	unsigned int changes = 0;
	struct stat st;

	if (mask & IN_MODIFY)
		changes |= PORTFS_CHANGED_DATA;
	if (mask & (IN_CREATE | IN_DELETE | IN_MOVE))
		changes |= PORTFS_CHANGED_ENTRIES;
	if (mask & IN_ATTRIB) {
		changes |= PORTFS_CHANGED_ATTRIBUTES;
		/* The server has the file open, so Linux does not say that it was deleted; the count of its names does. */
		if (fstat(file->fd, &st) == 0 && st.st_nlink == 0)
			changes |= PORTFS_CHANGED_GONE;
	}
	if (mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT))
		changes |= PORTFS_CHANGED_GONE;
	return changes;
}

static void watch_tell(struct watch *watch, unsigned int changes, const char *name)
{
	kern_return_t kr = portfs_changed(watch->listener, changes | watch->lost, name);

	if (kr == MACH_SEND_TIMED_OUT) {
		/* A send that times out gives its rights back: the one that was copied is now one more. */
		mach_port_deallocate(mach_task_self(), watch->listener);
		watch->lost = PORTFS_CHANGED_LOST;
	} else {
		/* If the listener is dead, the notification that says so is on its way. */
		watch->lost = 0;
	}
}

static void watch_event(struct watcher *w, const struct inotify_event *event)
{
	const char *name = event->len ? event->name : "";
	unsigned int changes;

	for (struct watch *watch = w->watches; watch; watch = watch->next) {
		if (event->mask & IN_Q_OVERFLOW)
			changes = PORTFS_CHANGED_LOST;
		else if (watch->wd == event->wd)
			changes = changes_of(watch->file, event->mask);
		else
			continue;
		if (changes)
			watch_tell(watch, changes, name);
	}
}

void watch_events(struct watcher *w, const char *events, size_t size)
{
	_Alignas(struct inotify_event) char room[sizeof(struct inotify_event) + PORTFS_NAME_MAX];
	const struct inotify_event *event = (const struct inotify_event *)room;
	size_t length;

	/* In the message the events may lie at any multiple of 4 bytes, and are as long as Linux made them. */
	while (size >= sizeof *event) {
		memcpy(room, events, sizeof *event);
		length = sizeof *event + event->len;
		if (length > size || length > sizeof room)
			return;
		memcpy(room, events, length);
		watch_event(w, event);
		events += length;
		size -= length;
	}
}
