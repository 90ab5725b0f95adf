/* SPDX-License-Identifier: MIT */
#include "check.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <mach.h>
#include <mach_error.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client.h"
#include "listener.h"
#include "portfs.h"

#define CHUNK (1u << 20)

struct walk {
	mach_port_t root, boss;
	int root_fd;
	char real_root[PATH_MAX]; /* where the root really is, to tell whether a link stays beneath it */
	char path[PATH_MAX];	  /* what is being looked at, from the root */
	char room[2048];	  /* what arrives inside a message */
	char *local;		  /* CHUNK bytes, from the file system */
	struct tally *tally;
	struct listener listener; /* hears whether the root changes meanwhile */
};

/* A directory as both sides have it. */
struct both {
	mach_port_t port;
	int fd;
};

__attribute__((format(printf, 2, 3))) static void differs(struct walk *w, const char *format, ...)
{
	va_list arguments;

	if (w->tally->server_died)
		return; /* of course it differs */
	w->tally->differences++;
	flockfile(stderr);
	fprintf(stderr, "portfs: %s differs: ", w->path);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	funlockfile(stderr);
}

/* After each call: it counts, and if nobody is there to answer any more, that is what counts. */
static kern_return_t answered(struct walk *w, kern_return_t kr)
{
	w->tally->n_rpcs++;
	w->tally->server_died |= client_server_died(kr);
	return kr;
}

static int is_over(struct walk *w)
{
	mach_port_type_t type;

	return w->tally->server_died || mach_port_type(mach_task_self(), w->boss, &type) ||
	       !(type & MACH_PORT_TYPE_SEND);
}

/* Data from a reply: in the walk's room, or in pages to be freed. */
static void release_data(struct walk *w, char *bytes, mach_msg_type_number_t n)
{
	if (bytes != w->room)
		vm_deallocate(mach_task_self(), (vm_address_t)bytes, n);
}

static kern_return_t lookup(struct walk *w, mach_port_t directory, const char *path, mach_port_t *file, uint32_t *kind)
{
	kern_return_t kr = answered(w, portfs_lookup(directory, path, file, kind));

	w->tally->rights_got += kr == KERN_SUCCESS;
	return kr;
}

static void release(struct walk *w, mach_port_t file)
{
	kern_return_t kr = mach_port_deallocate(mach_task_self(), file);

	if (kr)
		differs(w, "its right cannot be released: %s", mach_error_string(kr));
	else
		w->tally->rights_released++;
}

/* Compare what both say of an open file. */
static void check_stat(struct walk *w, mach_port_t file, int fd)
{
	portfs_stat_t remote;
	struct stat local;
	kern_return_t kr = answered(w, portfs_stat(file, &remote));

	if (kr || fstat(fd, &local) < 0) {
		differs(w, "stat: %s", kr ? portfs_error_string(kr) : strerror(errno));
		return;
	}
	if (portfs_u64(remote.inode) != local.st_ino || portfs_u64(remote.device) != local.st_dev)
		differs(w, "it is another file");
	else if (remote.mode != local.st_mode || remote.links != local.st_nlink || remote.uid != local.st_uid ||
		 remote.gid != local.st_gid || portfs_u64(remote.size) != (uint64_t)local.st_size ||
		 portfs_u64(remote.mtime) != (uint64_t)local.st_mtim.tv_sec || remote.mtime_ns != local.st_mtim.tv_nsec)
		differs(w, "mode, owner, size or time");
}

/* Read the same bytes from the file system. Returns whether there is more to come. */
static int check_bytes(struct walk *w, int fd, uint64_t offset, const char *remote, size_t n)
{
	size_t got = 0;
	ssize_t more = 0;

	while (got < n && (more = pread(fd, w->local + got, n - got, (off_t)(offset + got))) > 0)
		got += (size_t)more;
	if (got < n)
		differs(w, "the server read beyond byte %llu", (unsigned long long)(offset + got));
	else if (n == 0 && pread(fd, w->local, 1, (off_t)offset) > 0)
		differs(w, "the server reads no more after byte %llu", (unsigned long long)offset);
	else if (memcmp(remote, w->local, n) != 0)
		differs(w, "bytes between %llu and %llu", (unsigned long long)offset, (unsigned long long)(offset + n));
	else
		return n != 0;
	return 0;
}

static void check_contents(struct walk *w, mach_port_t file, int fd)
{
	mach_msg_type_number_t n;
	uint64_t offset = 0;
	kern_return_t kr;
	char *bytes;
	int more;

	do {
		bytes = w->room;
		n = sizeof w->room;
		kr = answered(w, portfs_read(file, offset, CHUNK, &bytes, &n));
		if (kr) {
			if (pread(fd, w->local, 1, (off_t)offset) >= 0 || errno != portfs_errno(kr))
				differs(w, "read: %s", portfs_error_string(kr));
			return;
		}
		if (n > CHUNK) {
			differs(w, "more bytes than were asked for");
			more = 0;
		} else {
			more = check_bytes(w, fd, offset, bytes, n);
		}
		release_data(w, bytes, n);
		offset += n;
		w->tally->bytes += n;
	} while (more);
}

/* The server did not open it: nor should the file system, and for the same reason. fd: the local attempt, closed here. */
static void check_refusal(struct walk *w, kern_return_t kr, int fd, int error)
{
	w->tally->refused++;
	if (fd >= 0)
		differs(w, "the server says: %s", portfs_error_string(kr));
	else if (portfs_errno(kr) != error)
		differs(w, "the server says: %s; the file system: %s", portfs_error_string(kr), strerror(error));
	if (fd >= 0)
		close(fd);
}

static void check_file(struct walk *w, const struct both *in, const char *name)
{
	int fd = openat(in->fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY), error = errno;
	mach_port_t file;
	uint32_t kind;
	kern_return_t kr = lookup(w, in->port, name, &file, &kind);

	if (kr) {
		check_refusal(w, kr, fd, error);
		return;
	}
	if (kind != PORTFS_FILE)
		differs(w, "the server opened something of kind %u", kind);
	if (fd < 0) {
		differs(w, "the server opens it, the file system says: %s", strerror(error));
	} else {
		w->tally->files++;
		check_stat(w, file, fd);
		check_contents(w, file, fd);
		close(fd);
	}
	release(w, file);
}

static void check_special(struct walk *w, const struct both *in, const char *name)
{
	mach_port_t file;
	uint32_t kind;
	kern_return_t kr = lookup(w, in->port, name, &file, &kind);

	w->tally->refused++;
	if (kr == KERN_SUCCESS) {
		differs(w, "the server opened a special file");
		release(w, file);
	} else if (portfs_errno(kr) != ENOTSUP) {
		differs(w, "the server says: %s", portfs_error_string(kr));
	}
}

static int is_beneath_root(struct walk *w, int fd)
{
	char name[sizeof "/proc/self/fd/" + 12], target[PATH_MAX];
	size_t length = strlen(w->real_root);
	ssize_t n;

	snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
	n = readlink(name, target, sizeof target - 1);
	if (n < 0)
		return 0;
	target[n] = 0;
	return strncmp(target, w->real_root, length) == 0 &&
	       (target[length] == '/' || target[length] == 0 || length == 1);
}

/* A link may lead anywhere, so it is looked up from the root: as long as it stays there, the server follows. */
static void check_link(struct walk *w)
{
	int fd = openat(w->root_fd, w->path, O_PATH | O_CLOEXEC);
	mach_port_t file;
	uint32_t kind;
	kern_return_t kr = lookup(w, w->root, w->path, &file, &kind);

	w->tally->links++;
	if (kr == KERN_SUCCESS) {
		if (fd < 0 || !is_beneath_root(w, fd))
			differs(w, "the server followed a link that leads out or nowhere");
		else
			check_stat(w, file, fd);
		release(w, file);
	} else if (portfs_errno(kr) == 0) {
		differs(w, "the server says: %s", portfs_error_string(kr));
	}
	if (fd >= 0)
		close(fd);
}

static int check_directory(struct walk *w, const struct both *d);

static void check_subdirectory(struct walk *w, const struct both *in, const char *name)
{
	int fd = openat(in->fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW), error = errno;
	struct both d = { .fd = fd };
	uint32_t kind;
	kern_return_t kr = lookup(w, in->port, name, &d.port, &kind);

	if (kr) {
		check_refusal(w, kr, fd, error);
		return;
	}
	if (fd < 0) {
		differs(w, "the server opens it, the file system says: %s", strerror(error));
	} else {
		check_directory(w, &d);
		close(fd);
	}
	release(w, d.port);
}

static uint32_t local_kind(int fd, const char *name)
{
	struct stat st;

	if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	if (S_ISREG(st.st_mode))
		return PORTFS_FILE;
	if (S_ISDIR(st.st_mode))
		return PORTFS_DIRECTORY;
	return S_ISLNK(st.st_mode) ? PORTFS_LINK : PORTFS_SPECIAL;
}

static void check_entry(struct walk *w, const struct both *in, unsigned int kind, const char *name)
{
	if (!name[0] || strchr(name, '/') || kind != local_kind(in->fd, name)) {
		differs(w, "the server says that it is of kind %u", kind);
		return;
	}
	switch (kind) {
	case PORTFS_FILE:
		check_file(w, in, name);
		break;
	case PORTFS_DIRECTORY:
		check_subdirectory(w, in, name);
		break;
	case PORTFS_LINK:
		check_link(w);
		break;
	default:
		check_special(w, in, name);
		break;
	}
}

/* Each entry that the server knows, with its kind. Returns how many there are. */
static size_t check_entries(struct walk *w, const struct both *d, const char *entries, size_t size)
{
	const char *at = entries, *end = entries + size;
	size_t length = strlen(w->path), n = 0;

	for (; !is_over(w) && at < end && memchr(at, 0, (size_t)(end - at)); at += strlen(at) + 1, n++) {
		int fits = snprintf(w->path + length, sizeof w->path - length, "%s%s", length ? "/" : "", at + 1);

		if (at[0] && (size_t)fits < sizeof w->path - length)
			check_entry(w, d, (unsigned char)at[0], at + 1);
		else
			differs(w, "an entry without kind, or too deep to look at");
		w->path[length] = 0;
	}
	if (at != end && !is_over(w))
		differs(w, "the last entry has no end");
	return n;
}

static size_t count_local(int fd)
{
	int own = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *listing = own < 0 ? NULL : fdopendir(own);
	const struct dirent *entry;
	size_t n = 0;

	while (listing && (entry = readdir(listing)))
		n += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
	if (listing)
		closedir(listing);
	else if (own >= 0)
		close(own);
	return n;
}

static int check_directory(struct walk *w, const struct both *d)
{
	mach_msg_type_number_t size = sizeof w->room;
	char *entries = w->room, *copy;
	kern_return_t kr = answered(w, portfs_readdir(d->port, &entries, &size));
	size_t n;

	if (kr) {
		differs(w, "readdir: %s", portfs_error_string(kr));
		return -1;
	}
	w->tally->directories++;
	check_stat(w, d->port, d->fd);

	/* Deeper directories will use the room. */
	copy = malloc(size + 1);
	if (copy)
		memcpy(copy, entries, size);
	release_data(w, entries, size);
	if (!copy) {
		differs(w, "no memory for its entries");
		return -1;
	}
	n = check_entries(w, d, copy, size);
	free(copy);
	if (n != count_local(d->fd) && !is_over(w))
		differs(w, "the server knows %zu entries, the file system %zu", n, count_local(d->fd));
	return 0;
}

static void note_change(struct listener *listener, unsigned int changes, const char *name)
{
	struct walk *w = (struct walk *)((char *)listener - offsetof(struct walk, listener));

	(void)name;
	w->tally->changed |= changes;
}

/* Open the root once more, have it watched while its tree is compared, and see what was heard. */
static void check_watched(struct walk *w)
{
	struct both top = { .fd = w->root_fd };
	uint32_t kind;
	kern_return_t kr = lookup(w, w->root, "", &top.port, &kind);

	if (kr) {
		differs(w, "the root: %s", portfs_error_string(kr));
		return;
	}
	kr = answered(w, portfs_watch(top.port, w->listener.port, MACH_MSG_TYPE_MAKE_SEND));
	if (kr)
		differs(w, "watching the root: %s", portfs_error_string(kr));
	check_directory(w, &top);
	release(w, top.port);
	listener_poll(&w->listener);
}

void check_tree(mach_port_t root, mach_port_t boss, const char *path, struct tally *tally)
{
	struct walk *w = calloc(1, sizeof *w);
	kern_return_t kr = KERN_RESOURCE_SHORTAGE;

	if (w) {
		w->root = root;
		w->boss = boss;
		w->tally = tally;
		w->local = malloc(CHUNK);
		w->root_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		w->listener.changed = note_change;
		kr = listener_init(&w->listener);
		if (kr == KERN_SUCCESS) {
			if (w->local && w->root_fd >= 0 && realpath(path, w->real_root))
				check_watched(w);
			else
				differs(w, "cannot look at it: %s", strerror(errno));
			listener_deinit(&w->listener);
		}
		if (w->root_fd >= 0)
			close(w->root_fd);
		free(w->local);
		free(w);
	}
	if (kr) {
		fprintf(stderr, "portfs: cannot start to check: %s\n", mach_error_string(kr));
		tally->differences++;
	}
}
