/* SPDX-License-Identifier: MIT */
#include "platform/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "platform/lock.h"

static struct {
	struct lock lock;
	struct list kept;
} registry = { LOCK_INIT(RANK_REGISTRY), { &registry.kept, &registry.kept } };

int fd_dup(int fd)
{
	return fcntl(fd, F_DUPFD_CLOEXEC, 0);
}

/* The C library's close(), read() and write() are cancellation points. */
void fd_close(int fd)
{
	int saved = errno;

	syscall(SYS_close, fd);
	errno = saved;
}

int fd_event(void)
{
	return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

void fd_event_raise(int fd)
{
	uint64_t one = 1;
	int saved = errno;

	syscall(SYS_write, fd, &one, sizeof one);
	errno = saved;
}

void fd_event_lower(int fd)
{
	uint64_t count;
	int saved = errno;

	syscall(SYS_read, fd, &count, sizeof count);
	errno = saved;
}

void fd_keep(struct fd_kept *kept, int fd)
{
	kept->fd = fd;
	lock_take(&registry.lock);
	list_append(&registry.kept, &kept->link);
	lock_drop(&registry.lock);
}

void fd_kept_close(struct fd_kept *kept)
{
	lock_take(&registry.lock);
	list_unlink(&kept->link);
	lock_drop(&registry.lock);
	fd_close(kept->fd);
	kept->fd = -1;
}

void fd_kept_before_fork(void)
{
	lock_take(&registry.lock);
}

void fd_kept_after_fork(void)
{
	lock_drop(&registry.lock);
}

void fd_kept_forget(void)
{
	lock_init(&registry.lock, RANK_REGISTRY);
	list_for_each(kept, &registry.kept, struct fd_kept, link)
		fd_close(kept->fd);
	list_init(&registry.kept);
}
