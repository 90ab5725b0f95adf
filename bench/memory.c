/* SPDX-License-Identifier: MIT */
/* Out-of-line memory: moved, and copied. */
#include "region.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { KIB = 1024, MIB = 1024 * 1024 };

struct region {
	mach_port_t port;
	char *memory;
	size_t size;
};

static void *open_region(const void *size)
{
	struct region *r = calloc(1, sizeof *r);

	need(r);
	pin(0);
	r->size = *(const size_t *)size;
	if (options.quick && r->size > MIB)
		r->size = 4 * MIB;
	r->port = port_with_send_right();
	r->memory = memory_new(r->size, 'a');
	return r;
}

static void close_region(void *context)
{
	struct region *r = context;

	need(r->memory[0] == 'a' && r->memory[r->size / 2] == 'a' && r->memory[r->size - 1] == 'a');
	memory_free(r->memory, r->size);
	port_release(r->port);
	free(r);
}

/* Sends the memory to its own port, moved or copied; returns where it arrived. */
static char *region_pass(const struct region *r, bool moves)
{
	struct region_message m;

	region_load(&m, r->memory, r->size, moves);
	send_to(&m.head, r->port, MACH_MSG_TYPE_COPY_SEND);
	receive(&m.head, sizeof m, r->port);
	return region_address(&m);
}

/* What came is sent on: it was touched once, before the first turn, so the caches tell the two sizes apart no more. */
static double run_move(void *context, uint64_t n)
{
	struct region *r = context;
	double start = now();

	for (uint64_t i = 0; i < n; i++)
		r->memory = region_pass(r, true);
	return now() - start;
}

/* Memory that was allocated and written just before; only the message is timed. Writing 256 MiB leaves nothing else in
 * the caches, writing 1 MiB does, so another region goes first, untimed, to bring the code and the tables back. */
static double run_move_fresh(void *context, uint64_t n)
{
	struct region *r = context, first = { .port = r->port, .size = 4 * KIB };
	double sum = 0, start;

	first.memory = memory_new(first.size, 'b');
	for (uint64_t i = 0; i < n; i++) {
		memory_free(r->memory, r->size);
		r->memory = memory_new(r->size, 'a');
		first.memory = region_pass(&first, true);
		start = now();
		r->memory = region_pass(r, true);
		sum += now() - start;
	}
	memory_free(first.memory, first.size);
	return sum;
}

/* The whole way: copied into the message, received, given back. */
static double run_copy(void *context, uint64_t n)
{
	struct region *r = context;
	double start = now();

	for (uint64_t i = 0; i < n; i++)
		memory_free(region_pass(r, false), r->size);
	return now() - start;
}

static double run_memcpy(void *context, uint64_t n)
{
	struct region *r = context;
	double start = now();

	for (uint64_t i = 0; i < n; i++) {
		char *to = mmap(NULL, r->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		need(to != MAP_FAILED);
		memcpy(to, r->memory, r->size);
		__asm__ volatile("" : : "r"(to) : "memory"); /* the copy is wanted */
		munmap(to, r->size);
	}
	return now() - start;
}

static double run_small_copy(void *context, uint64_t n)
{
	struct region *r = context;
	char *to = malloc(r->size);
	double start;

	need(to);
	start = now();
	for (uint64_t i = 0; i < n; i++) {
		memcpy(to, r->memory, r->size);
		__asm__ volatile("" : : "r"(to) : "memory");
	}
	start = now() - start;
	free(to);
	return start;
}

static const size_t small_size = 64 * KIB, one = MIB, copied = 64 * (size_t)MIB, large = 256 * (size_t)MIB;

#define REGION(text, run_it, of) \
	{ \
		.what = text, .open = open_region, .run = run_it, .close = close_region, .arg = &of \
	}

const struct row memory_rows[] = {
	{ "move", "out-of-line memory moved: 256 MiB / 1 MiB", ROW_TIME, 2, "<= 2", 1, 0,
	  REGION("256 MiB", run_move, large), REGION("1 MiB", run_move, one) },
	{ "move-fresh", "the same, allocated and written just before", ROW_TIME, 0, NULL, 1, 0,
	  REGION("256 MiB", run_move_fresh, large), REGION("1 MiB", run_move_fresh, one) },
	{ "copy", "64 MiB out of line copied, as a rate", ROW_RATE, 0.7, ">= 0.7", 1, 0,
	  REGION("mach_msg, vm_deallocate", run_copy, copied), REGION("mmap, memcpy, munmap", run_memcpy, copied) },
	{ "copy-small", "64 KiB out of line copied, as a rate", ROW_RATE, 0, NULL, 1, 0,
	  REGION("mach_msg, vm_deallocate", run_copy, small_size),
	  REGION("mmap, memcpy, munmap", run_memcpy, small_size) },
	{ "copy-warm", "the same against memcpy into memory that is there", ROW_RATE, 0, NULL, 1, 0,
	  REGION("mach_msg, vm_deallocate", run_copy, small_size), REGION("memcpy", run_small_copy, small_size) },
	{ 0 },
};
