/* SPDX-License-Identifier: MIT */
#include "platform/pages.h"

#include <assert.h>
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

/* From here on, huge pages cover most of a mapping wherever it begins. */
enum { PAGES_HUGE_FROM = 4 * 1024 * 1024 };

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

void *pages_map(size_t bytes)
{
	assert(bytes > 0 && page_trunc(bytes) == bytes);
	return pages_mmap(NULL, bytes, 0);
}

/* A fault per small page costs more than copying into it: huge pages where they fit, else all faults in one call. The
 * advice may be refused; then the pages fault one by one. */
void *pages_map_filled(size_t bytes)
{
	void *p;

	assert(bytes > 0 && page_trunc(bytes) == bytes);
	if (bytes < PAGES_HUGE_FROM)
		return pages_mmap(NULL, bytes, MAP_POPULATE);
	p = pages_mmap(NULL, bytes, 0);
	if (p)
		(void)madvise(p, bytes, MADV_HUGEPAGE);
	return p;
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
