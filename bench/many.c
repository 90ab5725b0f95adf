/* SPDX-License-Identifier: MIT */
/* Many rights in one task, many members in one set. */
#include "small.h"

#include <stdlib.h>

enum { MILLION = 1000000, FEW = 10, SET_MEMBERS = 100000 };

/* A task full of ports. Ten of them, spread evenly, also have send rights: those are used, whatever the number. */
struct crowd {
	uint64_t n_ports;
	mach_port_t *ports, used[FEW], set;
};

static struct crowd *crowd_new(uint64_t n)
{
	struct crowd *c = calloc(1, sizeof *c);

	need(c);
	c->n_ports = n;
	c->ports = calloc(n, sizeof *c->ports);
	need(c->ports);
	pin(0);
	for (uint64_t i = 0; i < n; i++)
		must(mach_port_allocate(mach_task_self(), MACH_PORT_RIGHT_RECEIVE, &c->ports[i]));
	for (unsigned i = 0; i < FEW; i++) {
		c->used[i] = c->ports[i * (n / FEW) + n / FEW / 2];
		must(mach_port_insert_right(mach_task_self(), c->used[i], c->used[i], MACH_MSG_TYPE_MAKE_SEND));
	}
	return c;
}

static void *open_million(const void *arg)
{
	(void)arg;
	return crowd_new(scaled(MILLION, 10000));
}

static void *open_few(const void *arg)
{
	(void)arg;
	return crowd_new(FEW);
}

static void close_crowd(void *context)
{
	struct crowd *c = context;

	for (uint64_t i = 0; i < c->n_ports; i++)
		must(mach_port_destroy(mach_task_self(), c->ports[i]));
	if (c->set)
		must(mach_port_destroy(mach_task_self(), c->set));
	free(c->ports);
	free(c);
}

/* Memory that the process got for a million rights, all of it: ports, names, tables, what the allocator adds. The array
 * of names here is there before the count starts, pages and all. */
static double run_bytes(void *context, uint64_t n)
{
	uint64_t wanted = scaled(MILLION, 10000);
	mach_port_t *ports = calloc(wanted, sizeof *ports);
	size_t before;
	double bytes;

	(void)context;
	need(ports);
	for (uint64_t i = 0; i < wanted; i++)
		((volatile mach_port_t *)ports)[i] = MACH_PORT_NULL;
	port_release(port_with_send_right());
	before = resident();
	for (uint64_t i = 0; i < wanted; i++)
		must(mach_port_allocate(mach_task_self(), MACH_PORT_RIGHT_RECEIVE, &ports[i]));
	bytes = (double)(resident() - before) / (double)wanted;
	for (uint64_t i = 0; i < wanted; i++)
		must(mach_port_destroy(mach_task_self(), ports[i]));
	free(ports);
	return bytes * (double)n;
}

static double run_used(void *context, uint64_t n)
{
	struct crowd *c = context;
	struct small m;
	double start;

	small_init(&m, MACH_PORT_NULL, 0);
	start = now();
	for (uint64_t i = 0; i < n; i++) {
		mach_port_t port = c->used[i % FEW];

		send_to(&m.head, port, MACH_MSG_TYPE_COPY_SEND);
		receive(&m.head, sizeof m, port);
	}
	return now() - start;
}

/* In an order that no prefetcher guesses: how much a cache miss on every line costs. */
static double run_all(void *context, uint64_t n)
{
	struct crowd *c = context;
	struct small m;
	uint64_t random = 1;
	double start;

	small_init(&m, MACH_PORT_NULL, 0);
	start = now();
	for (uint64_t i = 0; i < n; i++) {
		mach_port_t port;

		random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
		port = c->ports[(random >> 33) % c->n_ports];
		send_to(&m.head, port, MACH_MSG_TYPE_MAKE_SEND);
		receive(&m.head, sizeof m, port);
	}
	return now() - start;
}

/* ---- port sets ---- */

static void *crowd_in_set(uint64_t n)
{
	struct crowd *c = crowd_new(n);

	must(mach_port_allocate(mach_task_self(), MACH_PORT_RIGHT_PORT_SET, &c->set));
	for (uint64_t i = 0; i < n; i++)
		must(mach_port_move_member(mach_task_self(), c->ports[i], c->set));
	return c;
}

static void *open_large_set(const void *arg)
{
	(void)arg;
	return crowd_in_set(scaled(SET_MEMBERS, 2000));
}

static void *open_small_set(const void *arg)
{
	(void)arg;
	return crowd_in_set(FEW);
}

static double run_set(void *context, uint64_t n)
{
	struct crowd *c = context;
	struct small m;
	double start;

	small_init(&m, MACH_PORT_NULL, 0);
	start = now();
	for (uint64_t i = 0; i < n; i++) {
		send_to(&m.head, c->used[i % FEW], MACH_MSG_TYPE_COPY_SEND);
		receive(&m.head, sizeof m, c->set);
	}
	return now() - start;
}

/* Messages wait on all ten: the set must find the next one, not only the only one. */
static double run_set_backlog(void *context, uint64_t n)
{
	struct crowd *c = context;
	struct small m;
	double start;

	small_init(&m, MACH_PORT_NULL, 0);
	for (unsigned i = 0; i < FEW; i++)
		send_to(&m.head, c->used[i], MACH_MSG_TYPE_COPY_SEND);
	start = now();
	for (uint64_t i = 0; i < n; i++) {
		receive(&m.head, sizeof m, c->set);
		send_to(&m.head, c->used[i % FEW], MACH_MSG_TYPE_COPY_SEND);
	}
	start = now() - start;
	for (unsigned i = 0; i < FEW; i++)
		receive(&m.head, sizeof m, c->set);
	return start;
}

#define CROWD(text, open_it, run_it) \
	{ \
		.what = text, .open = open_it, .run = run_it, .close = close_crowd \
	}

const struct row many_rows[] = {
	{ "million-bytes",
	  "1,000,000 receive rights in one task: bytes each, in all",
	  ROW_BYTES,
	  400,
	  "<= 400 B",
	  1,
	  1,
	  { .what = "resident memory", .run = run_bytes },
	  { 0 } },
	{ "million-send", "send + receive on 10 ports among 1,000,000", ROW_TIME, 2, "<= 2", 1, 0,
	  CROWD("among 1,000,000", open_million, run_used), CROWD("among 10", open_few, run_used) },
	{ "million-all", "send + receive on all of 1,000,000, in random order", ROW_TIME, 0, NULL, 1, 0,
	  CROWD("all of 1,000,000", open_million, run_all), CROWD("all of 10", open_few, run_all) },
	{ "set", "send + receive through a port set of 100,000", ROW_TIME, 2, "<= 2", 1, 0,
	  CROWD("100,000 members", open_large_set, run_set), CROWD("10 members", open_small_set, run_set) },
	{ "set-backlog", "the same with 10 messages waiting", ROW_TIME, 0, NULL, 1, 0,
	  CROWD("100,000 members", open_large_set, run_set_backlog),
	  CROWD("10 members", open_small_set, run_set_backlog) },
	{ 0 },
};
