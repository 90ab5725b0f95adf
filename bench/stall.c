/* SPDX-License-Identifier: MIT */
/* How long a call of the library takes at most in a process that somebody looks into all the time, as "portunus ls" and "ps" do.
 *
 * The process has many names and calls without end, so it is always one of its own calls that answers a question. In CPU time
 * that is all that being looked at costs a call; as time passes it is also what the machine does meanwhile. */
#include "stall.h"

#include <mach.h>
#include <poll.h>
#include <servers/netname.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "inspect_user.h"
#include "nodes_user.h"

struct stall_plan {
	unsigned n_names;
	clockid_t clock;
	bool is_looked_at;
};

struct stall {
	const struct stall_plan *plan;
	mach_port_t queue;
	struct peer looker;
};

/* ---- who looks: another process */

static void look_at_names(mach_port_t node, uint64_t task)
{
	static portunus_inspect_names_t names;
	static portunus_inspect_holders_t holders;
	portunus_inspect_totals_t totals;
	mach_msg_type_number_t n;
	uint64_t cursor = 0;
	uint32_t skip = 0;

	do {
		must(portunus_inspect_totals(node, task, &cursor, &totals));
	} while (cursor);
	do {
		n = PORTUNUS_INSPECT_PAGE;
		must(portunus_inspect_names(node, task, &cursor, names, &n));
	} while (cursor);
	do {
		n = 2 * PORTUNUS_INSPECT_PAGE;
		must(portunus_inspect_holders(node, task, &cursor, &skip, holders, &n));
	} while (cursor || skip);
}

static bool has_order(void)
{
	struct pollfd control = { .fd = PEER_CONTROL, .events = POLLIN };

	return poll(&control, 1, 0) > 0;
}

static mach_port_t node_of(uint32_t pid)
{
	mach_msg_type_number_t n;
	mach_port_t port = MACH_PORT_NULL;
	nodes_nodes_t page;
	uint64_t after = 0;

	while (n = NODES_PAGE, nodes_list(name_server_port, after, page, &n) == KERN_SUCCESS && n > 0) {
		after = page[n - 1].node;
		for (unsigned i = 0; i < n; i++)
			if (page[i].pid == pid)
				must(nodes_port(name_server_port, page[i].node, &port));
	}
	need(port != MACH_PORT_NULL);
	return port;
}

/* From one order to the next: so it rests while the other side has its turn. */
void stall_look(void)
{
	static portunus_inspect_tasks_t tasks;
	mach_port_t node = node_of((uint32_t)getppid());
	mach_msg_type_number_t n = PORTUNUS_INSPECT_PAGE;
	char order = 0;

	pin(1);
	must(portunus_inspect_tasks(node, 0, tasks, &n));
	need(n == 1);
	look_at_names(node, tasks[0].task);
	control_send(PEER_CONTROL, &order, sizeof order);
	while (control_recv(PEER_CONTROL, &order, sizeof order)) {
		do {
			look_at_names(node, tasks[0].task);
		} while (!has_order());
		need(control_recv(PEER_CONTROL, &order, sizeof order));
		control_send(PEER_CONTROL, &order, sizeof order);
	}
}

/* ---- who is looked at */

static void *stall_open(const void *arg)
{
	struct stall *s = calloc(1, sizeof *s);
	mach_port_t port;
	char once;

	need(s);
	s->plan = arg;
	pin(0);
	need(MACH_PORT_VALID(name_server_port)); /* joined, so that it can be found */
	for (uint64_t i = scaled(s->plan->n_names, 1000); i > 0; i--)
		must(mach_port_allocate(mach_task_self(), MACH_PORT_RIGHT_RECEIVE, &port));
	must(mach_port_allocate(mach_task_self(), MACH_PORT_RIGHT_RECEIVE, &s->queue));
	must(mach_port_insert_right(mach_task_self(), s->queue, s->queue, MACH_MSG_TYPE_MAKE_SEND));
	if (!s->plan->is_looked_at)
		return s;
	peer_start(&s->looker, "stall-look", NULL, launch_plain, NULL);
	pin(0);
	need(control_recv(s->looker.control, &once, sizeof once));
	return s;
}

static void stall_close(void *context)
{
	struct stall *s = context;

	if (s->plan->is_looked_at)
		peer_stop(&s->looker);
	free(s);
}

static double seconds_of(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void call(struct stall *s)
{
	mach_msg_header_t m = {
		.msgh_bits = MACH_MSGH_BITS(MACH_MSG_TYPE_COPY_SEND, 0),
		.msgh_size = sizeof m,
		.msgh_remote_port = s->queue,
	};

	must(mach_msg(&m, MACH_SEND_MSG | MACH_RCV_MSG, sizeof m, sizeof m, s->queue, 0, MACH_PORT_NULL));
}

/* The longest call of a while. */
static double stall_run(void *context, uint64_t n)
{
	struct stall *s = context;
	double longest = 0, end = now() + (options.quick ? 0.01 : 0.3);
	char order = 1;

	(void)n;
	if (s->plan->is_looked_at)
		control_send(s->looker.control, &order, sizeof order);
	while (now() < end) {
		double before = seconds_of(s->plan->clock), took;

		call(s);
		took = seconds_of(s->plan->clock) - before;
		longest = took > longest ? took : longest;
	}
	if (s->plan->is_looked_at) {
		control_send(s->looker.control, &order, sizeof order);
		need(control_recv(s->looker.control, &order, sizeof order));
	}
	return longest;
}

#define STALL(text, ...) \
	{ \
		.what = text, .open = stall_open, .run = stall_run, .close = stall_close, \
		.arg = &(const struct stall_plan) \
		{ \
			.n_names = 100000, __VA_ARGS__ \
		} \
	}

const struct row stall_rows[] = {
	{ "inspect-work", "longest call while somebody looks at 100,000 names: CPU time", ROW_SECONDS, 1e-3, "<= 1 ms",
	  2, 1, STALL("looked at", .clock = CLOCK_THREAD_CPUTIME_ID, .is_looked_at = true),
	  STALL("not looked at", .clock = CLOCK_THREAD_CPUTIME_ID) },
	{ "inspect-stall", "the same as it passes: preemption and all", ROW_SECONDS, 0, NULL, 2, 1,
	  STALL("looked at", .clock = CLOCK_MONOTONIC, .is_looked_at = true),
	  STALL("not looked at", .clock = CLOCK_MONOTONIC) },
	{ 0 },
};
