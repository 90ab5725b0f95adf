/* SPDX-License-Identifier: MIT */
#include "host.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <search.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

static struct host own;
struct host *host = &own;
atomic_long host_heap, host_pages;

void host_arm(unsigned long fail_at)
{
	atomic_store(&host->n, 0);
	atomic_store(&host->has_failed, false);
	host->fail_at = fail_at;
	host->name[0] = '\0';
	atomic_store(&host->is_armed, true);
}

void host_disarm(void)
{
	atomic_store(&host->is_armed, false);
}

static bool fails_now(const char *name, int error)
{
	if (!atomic_load_explicit(&host->is_armed, memory_order_relaxed) ||
	    atomic_fetch_add(&host->n, 1) + 1 != host->fail_at)
		return false;
	snprintf(host->name, sizeof host->name, "%s", name);
	atomic_store(&host->has_failed, true);
	errno = error;
	return true;
}

#define WRAP(result, name, ...) \
	result __real_##name(__VA_ARGS__); \
	result __wrap_##name(__VA_ARGS__); \
	result __wrap_##name(__VA_ARGS__)

/* ---- memory ------------------------------------------------------------------------------------------------------ */

static void *note_heap(void *p)
{
	if (p)
		atomic_fetch_add_explicit(&host_heap, (long)malloc_usable_size(p), memory_order_relaxed);
	return p;
}

WRAP(void *, malloc, size_t n)
{
	return fails_now("malloc", ENOMEM) ? NULL : note_heap(__real_malloc(n));
}

WRAP(void *, calloc, size_t n, size_t size)
{
	return fails_now("calloc", ENOMEM) ? NULL : note_heap(__real_calloc(n, size));
}

WRAP(void *, realloc, void *p, size_t n)
{
	long before = p ? (long)malloc_usable_size(p) : 0;
	void *now = fails_now("realloc", ENOMEM) ? NULL : __real_realloc(p, n);

	if (now)
		atomic_fetch_sub_explicit(&host_heap, before, memory_order_relaxed);
	return note_heap(now);
}

WRAP(void, free, void *p)
{
	if (p)
		atomic_fetch_sub_explicit(&host_heap, (long)malloc_usable_size(p), memory_order_relaxed);
	__real_free(p);
}

/* Allocates a node, inside the C library. */
WRAP(void *, tsearch, const void *key, void **tree, int (*compare)(const void *, const void *))
{
	return fails_now("tsearch", ENOMEM) ? NULL : __real_tsearch(key, tree, compare);
}

static void *note_pages(void *p, size_t n)
{
	if (p != MAP_FAILED)
		atomic_fetch_add_explicit(&host_pages, (long)n, memory_order_relaxed);
	return p;
}

WRAP(void *, mmap, void *p, size_t n, int protection, int flags, int fd, off_t at)
{
	return fails_now("mmap", ENOMEM) ? MAP_FAILED : note_pages(__real_mmap(p, n, protection, flags, fd, at), n);
}

WRAP(void *, mmap64, void *p, size_t n, int protection, int flags, int fd, off_t at)
{
	return fails_now("mmap", ENOMEM) ? MAP_FAILED : note_pages(__real_mmap64(p, n, protection, flags, fd, at), n);
}

WRAP(int, munmap, void *p, size_t n)
{
	atomic_fetch_sub_explicit(&host_pages, (long)n, memory_order_relaxed);
	return __real_munmap(p, n);
}

WRAP(int, memfd_create, const char *name, unsigned flags)
{
	return fails_now("memfd_create", EMFILE) ? -1 : __real_memfd_create(name, flags);
}

WRAP(int, ftruncate, int fd, off_t size)
{
	return fails_now("ftruncate", ENOSPC) ? -1 : __real_ftruncate(fd, size);
}

WRAP(int, ftruncate64, int fd, off_t size)
{
	return fails_now("ftruncate", ENOSPC) ? -1 : __real_ftruncate64(fd, size);
}

/* So that large regions are not kept for a second, and asked for again. */
WRAP(void, memory_keep_large, void (*trim)(void))
{
	(void)trim;
}

/* ---- descriptors ------------------------------------------------------------------------------------------------- */

WRAP(int, socket, int domain, int type, int protocol)
{
	return fails_now("socket", EMFILE) ? -1 : __real_socket(domain, type, protocol);
}

WRAP(int, socketpair, int domain, int type, int protocol, int *ends)
{
	return fails_now("socketpair", EMFILE) ? -1 : __real_socketpair(domain, type, protocol, ends);
}

WRAP(int, accept4, int fd, struct sockaddr *address, socklen_t *size, int flags)
{
	return fails_now("accept4", EMFILE) ? -1 : __real_accept4(fd, address, size, flags);
}

WRAP(int, pipe2, int *ends, int flags)
{
	return fails_now("pipe2", EMFILE) ? -1 : __real_pipe2(ends, flags);
}

WRAP(int, eventfd, unsigned value, int flags)
{
	return fails_now("eventfd", EMFILE) ? -1 : __real_eventfd(value, flags);
}

WRAP(int, epoll_create1, int flags)
{
	return fails_now("epoll_create1", EMFILE) ? -1 : __real_epoll_create1(flags);
}

WRAP(int, epoll_ctl, int epoll, int op, int fd, struct epoll_event *event)
{
	return op == EPOLL_CTL_ADD && fails_now("epoll_ctl", ENOMEM) ? -1 : __real_epoll_ctl(epoll, op, fd, event);
}

#define WRAP_FCNTL(name) \
	WRAP(int, name, int fd, int command, ...) \
	{ \
		va_list arguments; \
		void *argument; \
\
		va_start(arguments, command); \
		argument = va_arg(arguments, void *); \
		va_end(arguments); \
		if ((command == F_DUPFD_CLOEXEC || command == F_DUPFD) && fails_now("fcntl", EMFILE)) \
			return -1; \
		return __real_##name(fd, command, argument); \
	}

WRAP_FCNTL(fcntl)
WRAP_FCNTL(fcntl64)

/* ---- sockets and pipes ------------------------------------------------------------------------------------------- */

WRAP(ssize_t, sendmsg, int fd, const struct msghdr *msg, int flags)
{
	return fails_now("sendmsg", ENOBUFS) ? -1 : __real_sendmsg(fd, msg, flags);
}

static bool carries_fds(struct msghdr *msg)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
			return true;
	return false;
}

/* What the host does that finds no room in the table: all else comes, and it says that something is wanting. */
static void lose_fds(struct msghdr *msg)
{
	struct cmsghdr *c, *end = CMSG_FIRSTHDR(msg);
	int fd;

	for (c = end; c && c->cmsg_type != SCM_RIGHTS; c = CMSG_NXTHDR(msg, c))
		;
	for (size_t at = 0; at + sizeof fd <= c->cmsg_len - CMSG_LEN(0); at += sizeof fd) {
		memcpy(&fd, CMSG_DATA(c) + at, sizeof fd);
		close(fd);
	}
	msg->msg_controllen = (size_t)((char *)c - (char *)end);
	msg->msg_flags |= MSG_CTRUNC;
}

WRAP(ssize_t, recvmsg, int fd, struct msghdr *msg, int flags)
{
	ssize_t n = __real_recvmsg(fd, msg, flags);

	if (n > 0 && carries_fds(msg) && fails_now("recvmsg", 0))
		lose_fds(msg);
	return n;
}

/* ---- threads and processes --------------------------------------------------------------------------------------- */

WRAP(int, pthread_create, pthread_t *t, const pthread_attr_t *attr, void *(*start)(void *), void *argument)
{
	return fails_now("pthread_create", EAGAIN) ? EAGAIN : __real_pthread_create(t, attr, start, argument);
}

WRAP(int, posix_spawnp, pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
     const posix_spawnattr_t *attributes, char *const *argv, char *const *envp)
{
	if (fails_now("posix_spawnp", EAGAIN))
		return EAGAIN;
	return __real_posix_spawnp(pid, path, actions, attributes, argv, envp);
}

/* ---- between processes ------------------------------------------------------------------------------------------- */

static struct host *host_map(int fd)
{
	void *p = __real_mmap(NULL, sizeof *host, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		abort();
	return p;
}

struct host *host_make(int *fd)
{
	*fd = __real_memfd_create("host", MFD_CLOEXEC);
	if (*fd < 0 || __real_ftruncate(*fd, sizeof *host) < 0)
		abort();
	return host_map(*fd);
}

void host_join(void)
{
	host = host_map(HOST_FD);
	__real_fcntl(HOST_FD, F_SETFD, FD_CLOEXEC);
}
