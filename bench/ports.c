/* SPDX-License-Identifier: MIT */
/* Ours between processes. A client is born with a send right to a port of its own at the server. */
#include "clients.h"
#include "region.h"
#include "rpc.h"
#include "touch.h"

#include <portunus/port.h>
#include <portunus/spawn.h>
#include <stdlib.h>
#include <string.h>

enum { RIGHTS_IN_MESSAGE = 1000, LONG_QUEUE = 1024, HOME_SECONDS = 10 };

/* A reply of 64 bytes that brings a send right. */
struct opened {
	mach_msg_header_t head;
	mach_msg_type_t port_type;
	mach_port_name_inlined_t port;
	mach_msg_type_t type;
	char data[SMALL_SIZE - sizeof(mach_msg_header_t) - 2 * sizeof(mach_msg_type_t) -
		  sizeof(mach_port_name_inlined_t)];
};

_Static_assert(sizeof(struct opened) == SMALL_SIZE, "as long as a plain reply");

struct rights_message {
	mach_msg_header_t head;
	mach_msg_type_t type;
	mach_port_name_inlined_t names[RIGHTS_IN_MESSAGE];
};

/* The struct may be padded at its end; the message is not. */
enum {
	RIGHTS_MESSAGE_SIZE =
		offsetof(struct rights_message, names) + sizeof(mach_port_name_inlined_t[RIGHTS_IN_MESSAGE])
};

struct ports {
	struct clients *all;
	mach_port_t from;  /* what the server receives from: the only port, or a set */
	uint64_t number;   /* of the next message in a stream, the next region */
	unsigned n_opened; /* ports that no client has dropped */
	mach_port_t *held; /* rights that came */
	size_t n_held;
	mach_port_t ports[];
};

struct port_client {
	mach_port_t service, reply;
	uint64_t number, amount;
	mach_port_t *given;
};

/* ---- what joins them ---- */

static void *ports_open(struct clients *all)
{
	struct ports *s = calloc(1, sizeof *s + all->n * sizeof *s->ports);

	need(s);
	s->all = all;
	for (unsigned i = 0; i < all->n; i++)
		must(mach_port_allocate(mach_task_self(), MACH_PORT_RIGHT_RECEIVE, &s->ports[i]));
	s->from = s->ports[0];
	return s;
}

static void *ports_open_set(struct clients *all)
{
	struct ports *s = ports_open(all);

	must(mach_port_allocate(mach_task_self(), MACH_PORT_RIGHT_PORT_SET, &s->from));
	for (unsigned i = 0; i < all->n; i++)
		must(mach_port_move_member(mach_task_self(), s->ports[i], s->from));
	return s;
}

static void *ports_open_queue(struct clients *all)
{
	struct ports *s = ports_open(all);

	must(mach_port_set_qlimit(mach_task_self(), s->from, MACH_PORT_QLIMIT_MAX));
	return s;
}

static void *ports_open_long_queue(struct clients *all)
{
	struct ports *s = ports_open(all);

	must(portunus_port_set_qlimit(s->from, LONG_QUEUE));
	return s;
}

static void *ports_open_rights(struct clients *all)
{
	struct ports *s = ports_open(all);

	s->held = calloc(all->board->amount, sizeof *s->held);
	need(s->held);
	return s;
}

static pid_t launch_with_port(const struct launch *l, const void *service)
{
	const mach_msg_type_name_t make = MACH_MSG_TYPE_MAKE_SEND;
	const struct portunus_spawn how = {
		.path = l->path,
		.argv = l->argv,
		.envp = l->envp,
		.ports = service,
		.dispositions = &make,
		.n_ports = 1,
		.file_actions = l->actions,
	};
	task_t task;
	pid_t pid;

	must(portunus_spawn(&how, &pid, &task));
	must(mach_port_deallocate(mach_task_self(), task));
	return pid;
}

static void ports_start(void *server, unsigned i)
{
	struct ports *s = server;

	clients_start(s->all, i, -1, launch_with_port, &s->ports[i]);
}

static void ports_close(void *server)
{
	struct ports *s = server;

	for (unsigned i = 0; i < s->all->n; i++)
		port_release(s->ports[i]);
	if (s->from != s->ports[0])
		port_release(s->from);
	free(s->held);
	free(s);
}

static void *port_join(const struct board *board)
{
	struct port_client *c = calloc(1, sizeof *c);
	mach_port_array_t ports;
	mach_msg_type_number_t n;

	need(c);
	c->amount = board->amount;
	must(mach_ports_lookup(mach_task_self(), &ports, &n));
	need(n >= 1 && MACH_PORT_VALID(ports[0]));
	c->service = ports[0];
	must(vm_deallocate(mach_task_self(), (vm_address_t)ports, n * sizeof *ports));
	must(mach_port_allocate(mach_task_self(), MACH_PORT_RIGHT_RECEIVE, &c->reply));
	return c;
}

static void port_stop(void *client)
{
	struct port_client *c = client;

	rpc_stop(c->service);
}

static void port_leave(void *client)
{
	struct port_client *c = client;

	must(mach_port_deallocate(mach_task_self(), c->service));
	port_release(c->reply);
	free(c->given);
	free(c);
}

/* ---- round trips ---- */

static void serve_calls(void *server, unsigned n_clients)
{
	struct ports *s = server;

	rpc_serve(s->from, n_clients);
}

static double call(void *client, uint64_t n)
{
	struct port_client *c = client;

	rpc_call(c->service, c->reply, n);
	return 0;
}

/* ---- round trips that open something ----
 * The server does what a file server does: a port for each open file, in its set, and the port goes when nobody holds a
 * right to it any more. */

union open_message {
	mach_msg_header_t head;
	struct small small;
	struct opened opened;
	mach_no_senders_notification_t no_senders;
};

static mach_port_t port_for_one(struct ports *s)
{
	mach_port_t port, previous;

	must(mach_port_allocate(mach_task_self(), MACH_PORT_RIGHT_RECEIVE, &port));
	must(mach_port_request_notification(mach_task_self(), port, MACH_NOTIFY_NO_SENDERS, 1, port,
					    MACH_MSG_TYPE_MAKE_SEND_ONCE, &previous));
	must(mach_port_move_member(mach_task_self(), port, s->from));
	s->n_opened++;
	return port;
}

static void answer_open(struct ports *s, union open_message *m)
{
	struct opened *o = &m->opened;
	uint64_t number = small_number(&m->small);

	answer_init(&o->head, sizeof *o);
	o->head.msgh_bits |= MACH_MSGH_BITS_COMPLEX;
	o->port_type = type_inline(MACH_MSG_TYPE_MAKE_SEND, 8 * sizeof o->port, 1);
	o->port = (mach_port_name_inlined_t){ .name = port_for_one(s) };
	o->type = type_inline(MACH_MSG_TYPE_BYTE, 8, sizeof o->data);
	number++;
	memcpy(o->data, &number, sizeof number);
}

static void drop_opened(struct ports *s, const union open_message *m)
{
	need(s->n_opened-- > 0);
	must(mach_port_mod_refs(mach_task_self(), m->head.msgh_local_port, MACH_PORT_RIGHT_RECEIVE, -1));
}

static void serve_opens(void *server, unsigned n_clients)
{
	struct ports *s = server;
	union open_message m;

	receive(&m.head, sizeof m, s->from);
	for (;;) {
		switch (m.head.msgh_id) {
		case RPC_OPEN:
			answer_open(s, &m);
			exchange(&m.head, sizeof m, s->from);
			continue;
		case MACH_NOTIFY_NO_SENDERS:
			drop_opened(s, &m);
			break;
		default:
			need(m.head.msgh_id == RPC_STOP);
			if (--n_clients == 0)
				return;
		}
		receive(&m.head, sizeof m, s->from);
	}
}

/* Each client has dropped all that it opened, and ended. */
static void opens_close(void *server)
{
	struct ports *s = server;
	union open_message m;

	while (s->n_opened) {
		must(mach_msg(&m.head, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof m, s->from, HOME_SECONDS * 1000,
			      MACH_PORT_NULL));
		need(m.head.msgh_id == MACH_NOTIFY_NO_SENDERS);
		drop_opened(s, &m);
	}
	ports_close(s);
}

static double call_open(void *client, uint64_t n)
{
	struct port_client *c = client;
	union open_message m;
	uint64_t number;

	for (; n; n--) {
		small_init(&m.small, c->service, MACH_MSG_TYPE_COPY_SEND);
		request_init(&m.head, sizeof m.small, c->service, c->reply, RPC_OPEN);
		small_set_number(&m.small, n);
		exchange(&m.head, sizeof m, c->reply);
		memcpy(&number, m.opened.data, sizeof number);
		need(m.head.msgh_id == RPC_OPEN + RPC_REPLY && number == n + 1);
		need(m.opened.port_type.msgt_name == MACH_MSG_TYPE_PORT_SEND && MACH_PORT_VALID(m.opened.port.name));
		must(mach_port_deallocate(mach_task_self(), m.opened.port.name));
	}
	return 0;
}

/* ---- one way ---- */

static void serve_stream(void *server, unsigned n_clients)
{
	struct ports *s = server;
	struct small m;

	need(n_clients == 1);
	for (;;) {
		receive(&m.head, sizeof m, s->from);
		if (m.head.msgh_id == RPC_STOP)
			return;
		need(small_number(&m) == s->number++);
	}
}

static double stream(void *client, uint64_t n)
{
	struct port_client *c = client;
	struct small m;

	small_init(&m, c->service, MACH_MSG_TYPE_COPY_SEND);
	for (; n; n--) {
		small_set_number(&m, c->number++);
		send_to(&m.head, c->service, MACH_MSG_TYPE_COPY_SEND);
	}
	return 0;
}

/* ---- memory ---- */

union bulk_message {
	mach_msg_header_t head;
	struct region_message region;
	struct small small;
};

/* The client hears of it when all of the region was touched and given back. */
static void serve_regions(void *server, unsigned n_clients)
{
	struct ports *s = server;
	size_t size = s->all->board->amount;
	union bulk_message m;
	mach_msg_header_t request;
	char *memory;

	need(n_clients == 1);
	receive(&m.head, sizeof m, s->from);
	while (m.head.msgh_id == RPC_REGION) {
		need(m.region.type.msgtl_number == size);
		memory = region_address(&m.region);
		pages_check(memory, size, (unsigned char)s->number++);
		memory_free(memory, size);
		request = m.head;
		small_init(&m.small, MACH_PORT_NULL, 0);
		small_set_number(&m.small, s->number);
		m.head = request;
		m.head.msgh_bits &= ~MACH_MSGH_BITS_COMPLEX;
		answer_init(&m.head, sizeof m.small);
		exchange(&m.head, sizeof m, s->from);
	}
	need(m.head.msgh_id == RPC_STOP);
}

static void region_call(struct port_client *c, const char *memory, bool move)
{
	union bulk_message m;

	region_load(&m.region, memory, c->amount, move);
	request_init(&m.head, REGION_MESSAGE_SIZE, c->service, c->reply, RPC_REGION);
	m.head.msgh_bits |= MACH_MSGH_BITS_COMPLEX;
	exchange(&m.head, sizeof m, c->reply);
	need(m.head.msgh_id == RPC_REGION + RPC_REPLY && small_number(&m.small) == c->number);
}

/* Allocating and filling is not counted. */
static double move(void *client, uint64_t n)
{
	struct port_client *c = client;
	double uncounted = 0, start;
	char *memory;

	for (; n; n--) {
		start = now();
		memory = memory_new(c->amount, (unsigned char)c->number++);
		uncounted += now() - start;
		region_call(c, memory, true);
	}
	return uncounted;
}

static double copy(void *client, uint64_t n)
{
	struct port_client *c = client;
	double start = now(), uncounted;
	char *memory = memory_new(c->amount, 0);

	uncounted = now() - start;
	for (; n; n--) {
		start = now();
		memset(memory, (unsigned char)c->number++, c->amount);
		uncounted += now() - start;
		region_call(c, memory, false);
	}
	start = now();
	memory_free(memory, c->amount);
	return uncounted + now() - start;
}

/* ---- many rights ---- */

union rights_request {
	mach_msg_header_t head;
	struct rights_message rights;
	struct small small;
};

static void rights_keep(struct ports *s, const struct rights_message *m)
{
	need(m->type.msgt_name == MACH_MSG_TYPE_PORT_SEND && m->type.msgt_number == RIGHTS_IN_MESSAGE);
	need(s->n_held + RIGHTS_IN_MESSAGE <= s->all->board->amount);
	for (unsigned i = 0; i < RIGHTS_IN_MESSAGE; i++)
		s->held[s->n_held++] = m->names[i].name;
}

static void serve_rights(void *server, unsigned n_clients)
{
	struct ports *s = server;
	union rights_request m;

	need(n_clients == 1);
	receive(&m.head, sizeof m, s->from);
	while (m.head.msgh_id != RPC_STOP) {
		if (m.head.msgh_id == RPC_RIGHTS) {
			rights_keep(s, &m.rights);
			receive(&m.head, sizeof m, s->from);
			continue;
		}
		need(m.head.msgh_id == RPC_RELEASE && s->n_held == s->all->board->amount);
		while (s->n_held > 0)
			must(mach_port_deallocate(mach_task_self(), s->held[--s->n_held]));
		answer_init(&m.head, sizeof m.small);
		exchange(&m.head, sizeof m, s->from);
	}
}

static void *port_join_rights(const struct board *board)
{
	struct port_client *c = port_join(board);

	c->given = calloc(c->amount, sizeof *c->given);
	need(c->given);
	return c;
}

static void rights_send(const struct port_client *c)
{
	struct rights_message m = { .type = type_inline(MACH_MSG_TYPE_MAKE_SEND, 8 * sizeof m.names[0],
							RIGHTS_IN_MESSAGE) };

	head_init(&m.head, RIGHTS_MESSAGE_SIZE, c->service, MACH_MSG_TYPE_COPY_SEND);
	m.head.msgh_bits |= MACH_MSGH_BITS_COMPLEX;
	m.head.msgh_id = RPC_RIGHTS;
	for (uint64_t done = 0; done < c->amount; done += RIGHTS_IN_MESSAGE) {
		for (unsigned i = 0; i < RIGHTS_IN_MESSAGE; i++)
			m.names[i].name = c->given[done + i];
		send_to(&m.head, c->service, MACH_MSG_TYPE_COPY_SEND);
	}
}

/* The answer to a release comes behind it, so nobody has send rights any more. */
static void rights_check_home(const struct port_client *c)
{
	mach_port_status_t status;

	for (uint64_t i = 0; i < c->amount; i++) {
		must(mach_port_get_receive_status(mach_task_self(), c->given[i], &status));
		need(!status.mps_srights);
	}
}

static void rights_pass(const struct port_client *c)
{
	struct small m;

	rights_send(c);
	small_init(&m, c->service, MACH_MSG_TYPE_COPY_SEND);
	request_init(&m.head, sizeof m, c->service, c->reply, RPC_RELEASE);
	exchange(&m.head, sizeof m, c->reply);
	need(m.head.msgh_id == RPC_RELEASE + RPC_REPLY);
}

/* Making the ports, looking at them and destroying them is not counted. */
static double give_rights(void *client, uint64_t n)
{
	struct port_client *c = client;
	double uncounted = 0, start;

	for (; n; n--) {
		start = now();
		for (uint64_t i = 0; i < c->amount; i++)
			must(mach_port_allocate(mach_task_self(), MACH_PORT_RIGHT_RECEIVE, &c->given[i]));
		uncounted += now() - start;
		rights_pass(c);
		start = now();
		rights_check_home(c);
		for (uint64_t i = 0; i < c->amount; i++)
			must(mach_port_mod_refs(mach_task_self(), c->given[i], MACH_PORT_RIGHT_RECEIVE, -1));
		uncounted += now() - start;
	}
	return uncounted;
}

#define WIRE(role, n_warm, open_it, serve_it, close_it, join_it, work_it) \
	{ \
		.name = role, .warm = n_warm, .open = open_it, .start = ports_start, .serve = serve_it, \
		.close = close_it, .join = join_it, .work = work_it, .stop = port_stop, .leave = port_leave \
	}

const struct wire port_call = WIRE("port-call", 100, ports_open, serve_calls, ports_close, port_join, call);
const struct wire port_set = WIRE("port-set", 100, ports_open_set, serve_calls, ports_close, port_join, call);
const struct wire port_open = WIRE("port-open", 100, ports_open_set, serve_opens, opens_close, port_join, call_open);
const struct wire port_stream =
	WIRE("port-stream", 100, ports_open_queue, serve_stream, ports_close, port_join, stream);
const struct wire port_stream_long =
	WIRE("port-stream-long", 100, ports_open_long_queue, serve_stream, ports_close, port_join, stream);
const struct wire port_move = WIRE("port-move", 1, ports_open, serve_regions, ports_close, port_join, move);
const struct wire port_copy = WIRE("port-copy", 1, ports_open, serve_regions, ports_close, port_join, copy);
const struct wire port_rights =
	WIRE("port-rights", 1, ports_open_rights, serve_rights, ports_close, port_join_rights, give_rights);
