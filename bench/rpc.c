/* SPDX-License-Identifier: MIT */
/* Remote procedure calls between two threads: a request of 64 bytes that makes a send-once right to the client's reply
 * port, and a reply of 64 bytes to that right. */
#include "rpc.h"
#include "pairs.h"

#include <portunus/task.h>
#include <stdlib.h>

/* Receives, then answers and receives in one call, as every Mach server does. */
void rpc_serve(mach_port_t from, unsigned n_clients)
{
	struct small m;

	receive(&m.head, sizeof m, from);
	for (;;) {
		while (m.head.msgh_id == RPC_CALL) {
			answer_init(&m.head, sizeof m);
			small_set_number(&m, small_number(&m) + 1);
			exchange(&m.head, sizeof m, from);
		}
		need(m.head.msgh_id == RPC_STOP);
		if (--n_clients == 0)
			return;
		receive(&m.head, sizeof m, from);
	}
}

void rpc_call(mach_port_t to, mach_port_t reply, uint64_t n)
{
	struct small m;

	small_init(&m, to, MACH_MSG_TYPE_COPY_SEND);
	for (; n; n--) {
		request_init(&m.head, sizeof m, to, reply, RPC_CALL);
		small_set_number(&m, n);
		exchange(&m.head, sizeof m, reply);
		need(m.head.msgh_id == RPC_CALL + RPC_REPLY && small_number(&m) == n + 1);
	}
}

void rpc_stop(mach_port_t to)
{
	struct small m;

	small_init(&m, to, MACH_MSG_TYPE_COPY_SEND);
	m.head.msgh_id = RPC_STOP;
	send_to(&m.head, to, MACH_MSG_TYPE_COPY_SEND);
}

struct channel {
	task_t server_task;	/* null: that of the client */
	mach_port_t service;	/* the server's name of its receive right */
	mach_port_t to_service; /* the client's name of its send right */
	mach_port_t reply;
};

static void *rpc_open(void)
{
	struct channel *c = calloc(1, sizeof *c);

	need(c);
	c->service = c->to_service = port_with_send_right();
	must(mach_port_allocate(mach_task_self(), MACH_PORT_RIGHT_RECEIVE, &c->reply));
	return c;
}

static void rpc_close(void *channel)
{
	struct channel *c = channel;

	port_release(c->service);
	port_release(c->reply);
	free(c);
}

/* The service lives in a task of its own; the client gets a send right to it. */
static void *rpc_tasks_open(void)
{
	struct channel *c = calloc(1, sizeof *c);
	mach_msg_type_name_t got;

	need(c);
	must(task_create(mach_task_self(), FALSE, &c->server_task));
	must(mach_port_allocate(c->server_task, MACH_PORT_RIGHT_RECEIVE, &c->service));
	must(mach_port_extract_right(c->server_task, c->service, MACH_MSG_TYPE_MAKE_SEND, &c->to_service, &got));
	must(mach_port_allocate(mach_task_self(), MACH_PORT_RIGHT_RECEIVE, &c->reply));
	return c;
}

static void rpc_tasks_close(void *channel)
{
	struct channel *c = channel;

	must(mach_port_deallocate(mach_task_self(), c->to_service));
	must(task_terminate(c->server_task));
	must(mach_port_deallocate(mach_task_self(), c->server_task));
	port_release(c->reply);
	free(c);
}

static void serve(void *channel)
{
	struct channel *c = channel;

	rpc_serve(c->service, 1);
}

static void tasks_serve(void *channel)
{
	struct channel *c = channel;

	portunus_task_enter(c->server_task);
	rpc_serve(c->service, 1);
}

static void call(void *channel, uint64_t n)
{
	struct channel *c = channel;

	rpc_call(c->to_service, c->reply, n);
}

static void stop(void *channel)
{
	struct channel *c = channel;

	rpc_stop(c->to_service);
}

const struct way rpc_way = { rpc_open, rpc_close, serve, call, stop };
const struct way rpc_tasks_way = { rpc_tasks_open, rpc_tasks_close, tasks_serve, call, stop };

#define ONE_CPU(text, way)  PAIRS_SIDE(text, &way, PLACE_ONE_CPU, 1)
#define TWO_CPUS(text, way) PAIRS_SIDE(text, &way, PLACE_ACROSS, 1)
#define UNPINNED(text, way) PAIRS_SIDE(text, &way, PLACE_FREE, 1)

const struct row rpc_rows[] = {
	{ "rpc-cpu", "RPC of 64 bytes, two threads on one CPU", ROW_TIME, 1.5, "<= 1.5", 1, 0,
	  ONE_CPU("mach_msg RPC", rpc_way), ONE_CPU("futex ping-pong", futex_way) },
	{ "rpc-cpus", "RPC of 64 bytes, two threads on two CPUs", ROW_TIME, 0.15, "<= 0.15", 2, 0,
	  TWO_CPUS("mach_msg RPC", rpc_way), TWO_CPUS("pipe ping-pong", pipe_way) },
	{ "rpc-cpus-spin", "the same on two CPUs against a futex word that both spin on", ROW_TIME, 0, NULL, 2, 0,
	  TWO_CPUS("mach_msg RPC", rpc_way), TWO_CPUS("spinning ping-pong", spin_way) },
	{ "rpc-tasks-cpu", "RPC between two tasks, one CPU", ROW_TIME, 0, NULL, 1, 0,
	  ONE_CPU("mach_msg RPC, two tasks", rpc_tasks_way), ONE_CPU("futex ping-pong", futex_way) },
	{ "rpc-tasks-cpus", "RPC between two tasks, two CPUs", ROW_TIME, 0, NULL, 2, 0,
	  TWO_CPUS("mach_msg RPC, two tasks", rpc_tasks_way), TWO_CPUS("pipe ping-pong", pipe_way) },
	{ "rpc-socket-cpu", "RPC against SOCK_SEQPACKET, one CPU", ROW_TIME, 0, NULL, 1, 0,
	  ONE_CPU("mach_msg RPC", rpc_way), ONE_CPU("SOCK_SEQPACKET ping-pong", seqpacket_way) },
	{ "rpc-socket-cpus", "RPC against SOCK_SEQPACKET, two CPUs", ROW_TIME, 0, NULL, 2, 0,
	  TWO_CPUS("mach_msg RPC", rpc_way), TWO_CPUS("SOCK_SEQPACKET ping-pong", seqpacket_way) },
	{ "rpc-socket-unpinned", "RPC against SOCK_SEQPACKET, not pinned", ROW_TIME, 0, NULL, 2, 0,
	  UNPINNED("mach_msg RPC", rpc_way), UNPINNED("SOCK_SEQPACKET ping-pong", seqpacket_way) },
	{ 0 },
};
