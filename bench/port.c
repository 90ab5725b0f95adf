/* SPDX-License-Identifier: MIT */
/* Making and destroying ports. */
#include "small.h"

#include <sys/socket.h>
#include <unistd.h>

static void *open_pinned(const void *arg)
{
	(void)arg;
	pin(0);
	return NULL;
}

static double run_allocate(void *context, uint64_t n)
{
	mach_port_t port;
	double start = now();

	(void)context;
	for (uint64_t i = 0; i < n; i++) {
		must(mach_port_allocate(mach_task_self(), MACH_PORT_RIGHT_RECEIVE, &port));
		must(mach_port_destroy(mach_task_self(), port));
	}
	return now() - start;
}

/* With what a port is for: a send right to it, and both given back one by one. */
static double run_allocate_send(void *context, uint64_t n)
{
	mach_port_t port;
	double start = now();

	(void)context;
	for (uint64_t i = 0; i < n; i++) {
		port = port_with_send_right();
		must(mach_port_deallocate(mach_task_self(), port));
		must(mach_port_mod_refs(mach_task_self(), port, MACH_PORT_RIGHT_RECEIVE, -1));
	}
	return now() - start;
}

static double run_socketpair(void *context, uint64_t n)
{
	int ends[2];
	double start = now();

	(void)context;
	for (uint64_t i = 0; i < n; i++) {
		need(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
		close(ends[0]);
		close(ends[1]);
	}
	return now() - start;
}

#define SOCKETPAIR \
	{ \
		.what = "socketpair + 2 close", .open = open_pinned, .run = run_socketpair \
	}

const struct row port_rows[] = {
	{ "port",
	  "allocate + destroy a receive right",
	  ROW_TIME,
	  1.0 / 15,
	  "<= 1/15",
	  1,
	  0,
	  { .what = "mach_port_allocate, _destroy", .open = open_pinned, .run = run_allocate },
	  SOCKETPAIR },
	{ "port-send",
	  "allocate, make a send right, release both",
	  ROW_TIME,
	  0,
	  NULL,
	  1,
	  0,
	  { .what = "four mach_port calls", .open = open_pinned, .run = run_allocate_send },
	  SOCKETPAIR },
	{ 0 },
};
