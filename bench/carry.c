/* SPDX-License-Identifier: MIT */
#include "carry.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "touch.h"

enum { MARK = 'c', HUGE_PAGE = 2 << 20 };

struct carry {
	size_t size;
	char *mapped, *from, *to; /* mapped: both, and room to align them */
};

/* The second half of the copies, by a thread on the other CPU. */
struct half {
	const struct carry *carry;
	uint64_t n;
	pthread_barrier_t ready;
	atomic_uint_fast64_t ordered, done; /* so many of them */
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

static void *copy_halves(void *context)
{
	struct half *half = context;
	const struct carry *c = half->carry;
	size_t at = c->size / 2;

	pin(1);
	pthread_barrier_wait(&half->ready);
	for (uint64_t i = 1; i <= half->n; i++) {
		while (atomic_load_explicit(&half->ordered, memory_order_acquire) < i)
			;
		memcpy(c->to + at, c->from + at, c->size - at);
		atomic_store_explicit(&half->done, i, memory_order_release);
	}
	return NULL;
}

double carry_by_halves(void *context, uint64_t n)
{
	const struct carry *c = context;
	struct half half = { .carry = c, .n = n };
	pthread_t other;
	double start;

	need(pthread_barrier_init(&half.ready, NULL, 2) == 0);
	need(pthread_create(&other, NULL, copy_halves, &half) == 0);
	pthread_barrier_wait(&half.ready);
	start = now();
	for (uint64_t i = 1; i <= n; i++) {
		atomic_store_explicit(&half.ordered, i, memory_order_release);
		memcpy(c->to, c->from, c->size / 2);
		while (atomic_load_explicit(&half.done, memory_order_acquire) < i)
			;
		pages_check(c->to, c->size, MARK);
	}
	start = now() - start;
	need(pthread_join(other, NULL) == 0);
	pthread_barrier_destroy(&half.ready);
	return start;
}
