/* SPDX-License-Identifier: MIT */
#include "platform/pages.h"

#include <assert.h>
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "platform/usercopy.h"

/* What is at least as large begins where a huge page can, and the host is advised to use them: the first touch of a small
 * page costs many times as much as filling it. */
enum { PAGES_HUGE = 2 * 1024 * 1024 };

/* Of Linux 5.14: older headers do not know them. */
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ  22
#define MADV_POPULATE_WRITE 23
#endif

/* Where a program's addresses end; elsewhere the host's ENOMEM has to do. */
#ifdef __x86_64__
#define PAGES_END (((uintptr_t)1 << 47) - 4096)
#else
#define PAGES_END UINTPTR_MAX
#endif

atomic_size_t page_size_cached;

size_t page_size_ask(void)
{
	size_t n = (size_t)sysconf(_SC_PAGESIZE);

	assert(n > 0 && (n & (n - 1)) == 0);
	atomic_store_explicit(&page_size_cached, n, memory_order_relaxed);
	return n;
}

static void *pages_mmap(void *address, size_t bytes, int flags)
{
	void *p = mmap(address, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static bool page_is_huge(const void *p)
{
	return (uintptr_t)p % PAGES_HUGE == 0;
}

/* Maps more, and gives back what is too much at both ends. */
static char *pages_mmap_aligned(size_t bytes)
{
	size_t extra = PAGES_HUGE - page_size(), before;
	char *p = bytes + extra > bytes ? pages_mmap(NULL, bytes + extra, 0) : NULL;

	if (!p)
		return NULL;
	before = -(uintptr_t)p % PAGES_HUGE;
	if (before)
		pages_unmap(p, before);
	if (extra - before)
		pages_unmap(p + before + bytes, extra - before);
	return p + before;
}

/* The advice may be refused, and there may be no room to align: then the pages are small ones. */
static void *pages_mmap_huge(size_t bytes)
{
	void *p = pages_mmap(NULL, bytes, 0);

	if (p && !page_is_huge(p)) {
		pages_unmap(p, bytes);
		p = pages_mmap_aligned(bytes);
		if (!p)
			p = pages_mmap(NULL, bytes, 0);
	}
	if (p)
		(void)madvise(p, bytes, MADV_HUGEPAGE);
	return p;
}

void *pages_map(size_t bytes)
{
	assert(bytes > 0 && page_trunc(bytes) == bytes);
	return bytes < PAGES_HUGE ? pages_mmap(NULL, bytes, 0) : pages_mmap_huge(bytes);
}

void *pages_map_filled(size_t bytes)
{
	assert(bytes > 0 && page_trunc(bytes) == bytes);
	return bytes < PAGES_HUGE ? pages_mmap(NULL, bytes, MAP_POPULATE) : pages_mmap_huge(bytes);
}

void *pages_map_at(void *address, size_t bytes)
{
	void *p;

	assert(bytes > 0 && page_trunc(bytes) == bytes && page_trunc((uintptr_t)address) == (uintptr_t)address);
	if ((uintptr_t)address >= PAGES_END || bytes > PAGES_END - (uintptr_t)address) {
		errno = EINVAL; /* the host would say ENOMEM */
		return NULL;
	}
	p = pages_mmap(address, bytes, MAP_FIXED_NOREPLACE);
	if (p && p != address) { /* a host older than the flag takes the address as a hint */
		pages_unmap(p, bytes);
		errno = EEXIST;
		p = NULL;
	}
	return p;
}

/* One call for many pages; NOT_KNOWN by a host that is older than it. */
enum populated { POPULATED, NOT_POPULATED, NOT_KNOWN };

static enum populated pages_populate(void *address, size_t bytes, int how)
{
	if (madvise(address, bytes, how) == 0)
		return POPULATED;
	return errno == EINVAL ? NOT_KNOWN : NOT_POPULATED;
}

bool pages_are_writable(void *address, size_t bytes)
{
	enum { FEW = 16 };
	enum populated populated =
		bytes > FEW * page_size() ? pages_populate(address, bytes, MADV_POPULATE_WRITE) : NOT_KNOWN;

	if (populated != NOT_KNOWN)
		return populated == POPULATED;
	for (size_t i = 0; i < bytes; i += page_size())
		if (!user_writable((char *)address + i, 1))
			return false;
	return true;
}

bool pages_are_readable(const void *address, size_t bytes)
{
	enum populated populated = pages_populate((void *)address, bytes, MADV_POPULATE_READ);
	char byte;

	if (populated != NOT_KNOWN)
		return populated == POPULATED;
	for (size_t i = 0; i < bytes; i += page_size())
		if (!user_read(&byte, (const char *)address + i, 1))
			return false;
	return true;
}

void pages_unmap(void *address, size_t bytes)
{
	int saved = errno;

	/* It can fail only where it would cut a mapping in two and the process has too many already. Then give back
	 * the memory at least, though not the addresses. */
	if (munmap(address, bytes) < 0) {
		assert(errno == ENOMEM);
		(void)madvise(address, bytes, MADV_DONTNEED);
	}
	errno = saved;
}
