/* SPDX-License-Identifier: MIT */
#include "link/bulk.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "kernel/memory.h"
#include "platform/pages.h"

#define BULK_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL)

static bool write_all(int fd, const char *bytes, size_t size)
{
	while (size > 0) {
		ssize_t n = write(fd, bytes, size);

		if (n < 0 && errno != EINTR)
			return false;
		if (n > 0) {
			bytes += n;
			size -= (size_t)n;
		}
	}
	return true;
}

static int bulk_try(const struct memory *m)
{
	int fd = memfd_create("portunus-memory", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return -1;
	if (write_all(fd, m->address, m->size) && fcntl(fd, F_ADD_SEALS, BULK_SEALS) == 0)
		return fd;
	close(fd);
	return -1;
}

int bulk_take(struct memory *m)
{
	static const struct timespec pause = { .tv_nsec = 1000000 };
	int fd;

	while ((fd = bulk_try(m)) < 0)
		nanosleep(&pause, NULL);
	memory_drop(m);
	return fd;
}

static bool bulk_is_sound(int fd, size_t size)
{
	struct stat st;
	int seals = fcntl(fd, F_GET_SEALS);

	return seals >= 0 && (seals & (F_SEAL_SHRINK | F_SEAL_WRITE)) == (F_SEAL_SHRINK | F_SEAL_WRITE) &&
	       fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size >= size &&
	       (size_t)st.st_blksize <= page_size(); /* huge pages could not be unmapped in part */
}

bool bulk_map(int fd, size_t size, struct memory *m)
{
	size_t bytes = page_round(size);
	void *p;

	if (!bytes || !bulk_is_sound(fd, size))
		return false;
	p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED)
		return false;
	if (memory_adopt(m, p, size))
		return true;
	munmap(p, bytes);
	return false;
}
