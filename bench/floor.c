/* SPDX-License-Identifier: MIT */
/* The floor between processes: two rings in one piece of memory that both may write, and a futex. One client.
 *
 * A ring has one producer and one consumer. The consumer spins, bounded, only while the other end is on another CPU; then
 * it says that it sleeps, looks once more, and sleeps on the producer's count. A full ring is waited for the same way on
 * the consumer's count. Of the two fences in put and take (or their counterparts for room) one is first, so no wake is
 * lost. */
#include "clients.h"
#include "packet.h"

#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { RING_SLOTS = 256, SPINS = 2000 };

/* How far one end has come, and how it is. Written by that end only. */
struct ring_end {
	_Alignas(64) _Atomic uint32_t count;
	_Atomic uint32_t asleep; /* wants a wake on the other end's count */
	_Atomic int cpu;
};

struct ring {
	struct ring_end producer, consumer;
	_Alignas(64) struct packet slots[RING_SLOTS];
};

struct floor_memory {
	struct ring to_server, to_client;
};

struct floor_server {
	struct clients *all;
	struct floor_memory *memory;
	int fd;
	uint64_t number;
};

struct floor_client {
	struct floor_memory *memory;
	uint64_t number;
};

/* Waits until the other end's count is not `while_it_is`. */
static void end_await(struct ring_end *mine, struct ring_end *other, uint32_t while_it_is)
{
	int cpu = sched_getcpu();

	atomic_store_explicit(&mine->cpu, cpu, memory_order_relaxed);
	for (unsigned i = 0; i < SPINS && cpu != atomic_load_explicit(&other->cpu, memory_order_relaxed); i++) {
		if (atomic_load_explicit(&other->count, memory_order_acquire) != while_it_is)
			return;
		__builtin_ia32_pause();
	}
	while (atomic_load_explicit(&other->count, memory_order_acquire) == while_it_is) {
		atomic_store_explicit(&mine->asleep, 1, memory_order_relaxed);
		atomic_thread_fence(memory_order_seq_cst);
		if (atomic_load_explicit(&other->count, memory_order_acquire) == while_it_is)
			syscall(SYS_futex, &other->count, FUTEX_WAIT, while_it_is, NULL, NULL, 0);
		atomic_store_explicit(&mine->asleep, 0, memory_order_relaxed);
	}
}

static void end_advance(struct ring_end *mine, struct ring_end *other, uint32_t to)
{
	atomic_store_explicit(&mine->count, to, memory_order_release);
	atomic_thread_fence(memory_order_seq_cst);
	if (atomic_load_explicit(&other->asleep, memory_order_relaxed))
		syscall(SYS_futex, &mine->count, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

static void put(struct ring *r, const struct packet *p)
{
	uint32_t tail = atomic_load_explicit(&r->producer.count, memory_order_relaxed);

	if (tail - atomic_load_explicit(&r->consumer.count, memory_order_acquire) == RING_SLOTS)
		end_await(&r->producer, &r->consumer, tail - RING_SLOTS);
	r->slots[tail % RING_SLOTS] = *p;
	end_advance(&r->producer, &r->consumer, tail + 1);
}

static void take(struct ring *r, struct packet *p)
{
	uint32_t head = atomic_load_explicit(&r->consumer.count, memory_order_relaxed);

	if (atomic_load_explicit(&r->producer.count, memory_order_acquire) == head)
		end_await(&r->consumer, &r->producer, head);
	*p = r->slots[head % RING_SLOTS];
	end_advance(&r->consumer, &r->producer, head + 1);
}

static void *floor_open(struct clients *all)
{
	struct floor_server *s = calloc(1, sizeof *s);

	need(s && all->n == 1);
	s->all = all;
	s->fd = memory_file("bench-floor", sizeof *s->memory);
	s->memory = map_shared(s->fd, sizeof *s->memory);
	return s;
}

static void floor_start(void *server, unsigned i)
{
	struct floor_server *s = server;

	clients_start(s->all, i, s->fd, launch_plain, NULL);
}

static void floor_close(void *server)
{
	struct floor_server *s = server;

	munmap(s->memory, sizeof *s->memory);
	close(s->fd);
	free(s);
}

static void serve_calls(void *server, unsigned n_clients)
{
	struct floor_server *s = server;
	struct packet p;

	need(n_clients == 1);
	for (;;) {
		take(&s->memory->to_server, &p);
		if (p.kind == PACKET_STOP)
			return;
		p.number++;
		put(&s->memory->to_client, &p);
	}
}

static void serve_stream(void *server, unsigned n_clients)
{
	struct floor_server *s = server;
	struct packet p;

	need(n_clients == 1);
	for (;;) {
		take(&s->memory->to_server, &p);
		if (p.kind == PACKET_STOP)
			return;
		need(p.number == s->number++);
	}
}

static void *floor_join(const struct board *board)
{
	struct floor_client *c = calloc(1, sizeof *c);

	(void)board;
	need(c);
	c->memory = map_shared(CLIENT_FD, sizeof *c->memory);
	return c;
}

static double call(void *client, uint64_t n)
{
	struct floor_client *c = client;
	struct packet p = { .kind = PACKET_CALL };

	for (; n; n--) {
		p.number = n;
		put(&c->memory->to_server, &p);
		take(&c->memory->to_client, &p);
		need(p.number == n + 1);
	}
	return 0;
}

static double stream(void *client, uint64_t n)
{
	struct floor_client *c = client;
	struct packet p = { .kind = PACKET_STREAM };

	for (; n; n--) {
		p.number = c->number++;
		put(&c->memory->to_server, &p);
	}
	return 0;
}

static void stop(void *client)
{
	struct floor_client *c = client;

	put(&c->memory->to_server, &(struct packet){ .kind = PACKET_STOP });
}

static void leave(void *client)
{
	struct floor_client *c = client;

	munmap(c->memory, sizeof *c->memory);
	free(c);
}

#define WIRE(role, serve_it, work_it) \
	{ \
		.name = role, .warm = 100, .open = floor_open, .start = floor_start, .serve = serve_it, \
		.close = floor_close, .join = floor_join, .work = work_it, .stop = stop, .leave = leave \
	}

const struct wire floor_call = WIRE("floor-call", serve_calls, call);
const struct wire floor_stream = WIRE("floor-stream", serve_stream, stream);
