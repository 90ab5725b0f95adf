/* SPDX-License-Identifier: MIT */
#include "beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PLACE (O_PATH | O_CLOEXEC)

static int by_openat2(int fd, const char *path)
{
	struct open_how how = {
		.flags = PLACE,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
	};
	int found;

	/* EAGAIN: something was renamed while ".." was being resolved, and the kernel cannot tell where that led. */
	for (int tries = 0; tries < 100; tries++) {
		found = (int)syscall(SYS_openat2, fd, path, &how, sizeof how);
		if (found >= 0 || errno != EAGAIN)
			break;
	}
	return found;
}

/* One component, which must not be a symbolic link. Closes fd. */
static int step(int fd, const char *name)
{
	struct stat st;
	int next = openat(fd, name, PLACE | O_NOFOLLOW), error = errno;

	close(fd);
	if (next < 0) {
		errno = error;
		return -1;
	}
	if (fstat(next, &st) < 0 || S_ISLNK(st.st_mode)) {
		close(next);
		errno = ELOOP;
		return -1;
	}
	return next;
}

/* For kernels, and sandboxes, without openat2(): no links, no "..". */
static int by_steps(int fd, const char *path)
{
	char copy[4096], *rest = copy, *name;
	int at;

	if (path[0] == '/') {
		errno = EXDEV;
		return -1;
	}
	if (strlen(path) >= sizeof copy) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(copy, path, strlen(path) + 1);

	at = openat(fd, ".", PLACE | O_DIRECTORY);
	while (at >= 0 && (name = strsep(&rest, "/"))) {
		if (strcmp(name, "..") == 0) {
			close(at);
			errno = EXDEV;
			return -1;
		}
		if (name[0] && strcmp(name, ".") != 0)
			at = step(at, name);
	}
	return at;
}

int beneath_open(int fd, const char *path)
{
	int found;

	if (!path[0])
		path = ".";
	found = by_openat2(fd, path);
	/* Some sandboxes say EPERM to every call that they do not know. */
	if (found < 0 && (errno == ENOSYS || errno == EPERM))
		found = by_steps(fd, path);
	return found;
}

int place_open(int place)
{
	char name[sizeof "/proc/self/fd/" + 12];

	snprintf(name, sizeof name, "/proc/self/fd/%d", place);
	return open(name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
}
