/* SPDX-License-Identifier: MIT */
/* The floor: two rings for each client in one piece of memory that both may write, and a futex. What is left of communication
 * between processes if nothing is checked, promised or protected; no contestant, but a measure for them.
 *
 * A ring has one producer and one consumer. Who finds nothing to do says so on its *bell* and sleeps there; whoever
 * gives it something to do rings the bell, if it sleeps. Of the two fences in wait and ring one is first, so no wake is
 * lost. With spinning: before it sleeps it looks again and again, bounded, as long as the other end is on another CPU.
 * A payload that does not fit into a slot is written into memory that both have, and read there. */
#include "client.h"

#include <linux/futex.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { SLOTS = 256, SLOT_MAX = 4096, SPINS = 2000, CLIENTS_MAX = 8, ROOM = 192 };

/* How one end is. It alone writes asleep and cpu. */
struct bell {
	_Alignas(64) _Atomic uint32_t count; /* slept on; whoever rings adds one */
	_Atomic uint32_t asleep;
	_Atomic int cpu;
};

struct ring {
	_Alignas(64) _Atomic uint32_t tail;
	_Alignas(64) _Atomic uint32_t head;
	_Alignas(64) char slots[SLOTS * (SLOT_MAX + ROOM)];
};

struct pair {
	struct bell client;
	struct ring there, back;
};

struct shared {
	struct bell server;
	struct pair pairs[CLIENTS_MAX];
	_Alignas(4096) char large[];
};

/* One's own view. */
struct view {
	struct shared *shared;
	size_t map_size, slot; /* a slot's size: no larger than needed, and no multiple of a page */
	unsigned spins;
};

struct server {
	struct view view;
	struct plan plan;
	int fd;
};

struct client {
	struct view view;
	struct pair *pair;
	char *next; /* where the next payload is written */
};

static size_t map_size(const struct plan *plan)
{
	return sizeof(struct shared) + (plan->size > SLOT_MAX ? plan->size : 0);
}

static void view_init(struct view *v, int fd, const struct plan *plan, unsigned spins)
{
	*v = (struct view){ .map_size = map_size(plan), .spins = spins };
	v->shared = map_shared(fd, v->map_size);
	v->slot = plan->size <= 1024 ? plan->size : SLOT_MAX + ROOM;
}

static char *slot_at(const struct view *v, struct ring *r, uint32_t at)
{
	return r->slots + at % SLOTS * v->slot;
}

static void bell_ring(struct bell *b)
{
	atomic_thread_fence(memory_order_seq_cst);
	if (!atomic_load_explicit(&b->asleep, memory_order_relaxed))
		return;
	atomic_fetch_add_explicit(&b->count, 1, memory_order_relaxed);
	syscall(SYS_futex, &b->count, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static bool ring_has(struct ring *r)
{
	return atomic_load_explicit(&r->tail, memory_order_acquire) !=
	       atomic_load_explicit(&r->head, memory_order_relaxed);
}

static bool ring_is_full(struct ring *r)
{
	return atomic_load_explicit(&r->tail, memory_order_relaxed) -
		       atomic_load_explicit(&r->head, memory_order_acquire) ==
	       SLOTS;
}

/* What an end waits for: requests in any of some pairs, the answer in one, or room for a request. Answers always find room. */
enum awaited { REQUESTS, ANSWER, ROOM_FOR_REQUEST };

/* The first of n pairs where it is; -1: in none. */
static int find(enum awaited what, struct pair *pairs, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (what == REQUESTS ? ring_has(&pairs[i].there)
		    : what == ANSWER ? ring_has(&pairs[i].back)
				     : !ring_is_full(&pairs[i].there))
			return (int)i;
	return -1;
}

static int await(const struct view *v, enum awaited what, struct pair *pairs, unsigned n)
{
	struct bell *mine = what == REQUESTS ? &v->shared->server : &pairs->client;
	const struct bell *other = what == REQUESTS ? &pairs->client : &v->shared->server;
	int found = find(what, pairs, n), cpu;
	uint32_t seen;

	if (found >= 0)
		return found;
	cpu = sched_getcpu();
	atomic_store_explicit(&mine->cpu, cpu, memory_order_relaxed);
	for (unsigned i = 0; i < v->spins && cpu != atomic_load_explicit(&other->cpu, memory_order_relaxed); i++) {
		found = find(what, pairs, n);
		if (found >= 0)
			return found;
		__builtin_ia32_pause();
	}
	do {
		seen = atomic_load_explicit(&mine->count, memory_order_relaxed);
		atomic_store_explicit(&mine->asleep, 1, memory_order_relaxed);
		atomic_thread_fence(memory_order_seq_cst);
		found = find(what, pairs, n);
		if (found < 0)
			syscall(SYS_futex, &mine->count, FUTEX_WAIT, seen, NULL, NULL, 0);
		atomic_store_explicit(&mine->asleep, 0, memory_order_relaxed);
	} while (found < 0 && (found = find(what, pairs, n)) < 0);
	return found;
}

static void ring_publish(struct ring *r, struct bell *consumer)
{
	atomic_store_explicit(&r->tail, atomic_load_explicit(&r->tail, memory_order_relaxed) + 1, memory_order_release);
	bell_ring(consumer);
}

static void ring_consume(struct ring *r, struct bell *producer)
{
	atomic_store_explicit(&r->head, atomic_load_explicit(&r->head, memory_order_relaxed) + 1, memory_order_release);
	bell_ring(producer);
}

/* ---- the server ---- */

static void *open_with(const struct plan *plan, unsigned spins)
{
	struct server *s = calloc(1, sizeof *s);

	need(s && plan->n_clients <= CLIENTS_MAX);
	s->plan = *plan;
	s->fd = memory_file("bench-floor", map_size(plan));
	view_init(&s->view, s->fd, plan, spins);
	return s;
}

static void *open_plain(const struct plan *plan)
{
	return open_with(plan, 0);
}

static void *open_spinning(const struct plan *plan)
{
	return open_with(plan, SPINS);
}

static void invite(void *server, struct ticket *ticket)
{
	const struct server *s = server;

	ticket->fds[0] = dup(s->fd);
	need(ticket->fds[0] >= 0);
}

/* A payload that is not in the slot is where both have it. */
static void answer(const struct view *v, struct service *service, struct pair *pair)
{
	char *slot = slot_at(v, &pair->there, atomic_load_explicit(&pair->there.head, memory_order_relaxed));
	char *back = slot_at(v, &pair->back, atomic_load_explicit(&pair->back.tail, memory_order_relaxed));
	size_t size = request_size(slot), n;

	switch (service_react(service, size > SLOT_MAX ? v->shared->large : slot, size, &n)) {
	case REACT_ANSWER:
		answer_write(back, slot, n);
		ring_consume(&pair->there, &pair->client);
		ring_publish(&pair->back, &pair->client);
		break;
	case REACT_NOT:
		ring_consume(&pair->there, &pair->client);
		break;
	case REACT_PASS:
	case REACT_MAKE:
		fail("a request", __FILE__, __LINE__, "memory carries no objects");
	}
}

static void serve(void *server, struct service *service)
{
	struct server *s = server;
	int i;

	while (service->n_clients > 0) {
		i = await(&s->view, REQUESTS, s->view.shared->pairs, s->plan.n_clients);
		answer(&s->view, service, &s->view.shared->pairs[i]);
	}
}

static void close_server(void *server)
{
	struct server *s = server;

	munmap(s->view.shared, s->view.map_size);
	close(s->fd);
	free(s);
}

/* ---- clients ---- */

static struct client *join_with(const struct ticket *ticket, unsigned spins)
{
	struct client *c = calloc(1, sizeof *c);

	need(c);
	view_init(&c->view, ticket->fds[0], &ticket->plan, spins);
	close(ticket->fds[0]);
	c->pair = &c->view.shared->pairs[ticket->index];
	return c;
}

static void *join_plain(const struct ticket *ticket)
{
	return join_with(ticket, 0);
}

static void *join_spinning(const struct ticket *ticket)
{
	return join_with(ticket, SPINS);
}

static char *request_slot(const struct client *c)
{
	struct ring *r = &c->pair->there;

	return slot_at(&c->view, r, atomic_load_explicit(&r->tail, memory_order_relaxed));
}

static char *buffer(void *client, enum request_kind kind, size_t size)
{
	struct client *c = client;

	(void)kind;
	await(&c->view, ROOM_FOR_REQUEST, c->pair, 1);
	return c->next = size > SLOT_MAX ? c->view.shared->large : request_slot(c);
}

static void post(void *client, size_t size)
{
	struct client *c = client;

	if (size > SLOT_MAX)
		memcpy(request_slot(c), c->next, REQUEST_SIZE_MIN);
	ring_publish(&c->pair->there, &c->view.shared->server);
}

/* The answer stays where it is until the next is put into the slot, which is long after it was read. */
static const char *call(void *client, size_t size)
{
	struct client *c = client;
	const char *answer;

	post(client, size);
	await(&c->view, ANSWER, c->pair, 1);
	answer = slot_at(&c->view, &c->pair->back, atomic_load_explicit(&c->pair->back.head, memory_order_relaxed));
	ring_consume(&c->pair->back, &c->view.shared->server);
	return answer;
}

static void leave(void *client)
{
	struct client *c = client;

	munmap(c->view.shared, c->view.map_size);
	free(c);
}

static const char *unfit(const struct work *work)
{
	if (work->request == REQUEST_PASS || work->request == REQUEST_MAKE)
		return "carries no objects";
	if (work->n_clients + work->n_idle > CLIENTS_MAX)
		return "a measure, not a server";
	return NULL;
}

#define FLOOR(open_it, join_it) \
	.unfit = unfit, .open = open_it, .invite = invite, .serve = serve, .close = close_server, .join = join_it, \
	.buffer = buffer, .call = call, .post = post, .leave = leave

const struct contestant floor_plain = {
	.name = "floor",
	.what = "shared memory and a futex",
	FLOOR(open_plain, join_plain),
};

const struct contestant floor_spin = {
	.name = "floor-spin",
	.what = "shared memory and a futex, with bounded spinning",
	FLOOR(open_spinning, join_spinning),
};
