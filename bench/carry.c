/* SPDX-License-Identifier: MIT */
#include "carry.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "touch.h"

enum { MARK = 'c', HUGE_PAGE = 2 << 20 };

struct carry {
	size_t size;
	char *mapped, *from, *to; /* mapped: both, and room to align them */
};

void *carry_open(const void *arg)
{
	const struct carry_plan *plan = arg;
	struct carry *c = calloc(1, sizeof *c);
	size_t all;

	need(c);
	pin(0);
	c->size = scaled(plan->size, plan->size_quick);
	all = 2 * c->size + HUGE_PAGE;
	c->mapped = pages_new(all);
	(void)madvise(c->mapped, all, MADV_HUGEPAGE);
	c->from = c->mapped + -(uintptr_t)c->mapped % HUGE_PAGE;
	c->to = c->from + c->size;
	memset(c->from, MARK, 2 * c->size);
	return c;
}

void carry_close(void *context)
{
	struct carry *c = context;

	munmap(c->mapped, 2 * c->size + HUGE_PAGE);
	free(c);
}

static char *map(int fd, size_t size, int how)
{
	char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, how, fd, 0);

	need(memory != MAP_FAILED);
	return memory;
}

double carry_by_pages(void *context, uint64_t n)
{
	const struct carry *c = context;
	double sum = 0, start;
	char *memory;
	int fd;

	for (; n; n--) {
		fd = memfd_create("bench-carry", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		need(fd >= 0 && ftruncate(fd, (off_t)c->size) == 0);
		memory = map(fd, c->size, MAP_SHARED);
		memset(memory, MARK, c->size);
		start = now();
		munmap(memory, c->size);
		need(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0);
		memory = map(fd, c->size, MAP_PRIVATE);
		pages_check(memory, c->size, MARK);
		munmap(memory, c->size);
		close(fd);
		sum += now() - start;
	}
	return sum;
}

double carry_by_copy(void *context, uint64_t n)
{
	const struct carry *c = context;
	double start = now();

	for (; n; n--) {
		memcpy(c->to, c->from, c->size);
		__asm__ volatile("" : : "r"(c->to) : "memory"); /* the copy is wanted */
		pages_check(c->to, c->size, MARK);
	}
	return now() - start;
}
