/* SPDX-License-Identifier: MIT */
/* ZeroMQ (libzmq): REQ to REP for calls, PUSH to PULL one way, as its own benchmarks local_lat and local_thr do; ipc:// between
 * processes, inproc:// (which bypasses its I/O thread) between threads.
 *
 * For speed: one I/O thread, as the guide recommends for less than a gigabyte a second; payloads that are large are
 * built in the message that is sent, so they are not copied before the kernel does; messages are read where they arrived. All
 * options but ZMQ_LINGER are the defaults. A stream's clients have a second pair of sockets for the answer at its end. */
#include "contestant.h"
#include "work.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
#include <zmq.h>

enum { IN_PLACE_MIN = 1024, SOCKETS_MAX = 1000 };

/* One for each process: inproc:// wants it to be the same for both ends. */
static void *context(void)
{
	static void *the;

	if (!the)
		the = zmq_ctx_new();
	need(the);
	return the;
}

struct server {
	struct plan plan;
	char address[ADDRESS_SIZE], answer_address[ADDRESS_SIZE];
	void *requests, *answers;
};

struct client {
	struct plan plan;
	void *requests, *answers;
	char small[IN_PLACE_MIN];
	zmq_msg_t out, in;
	bool is_in_place;
};

static void *socket_new(int type)
{
	void *socket = zmq_socket(context(), type);
	int linger = 0;

	need(socket);
	need(zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof linger) == 0);
	return socket;
}

static void address_make(char *out, const struct plan *plan, const char *which)
{
	snprintf(out, ADDRESS_SIZE, plan->threads ? "inproc://bench-%d-%s" : "ipc:///tmp/bench-zeromq-%d-%s",
		 (int)getpid(), which);
}

static void *open_server(const struct plan *plan)
{
	struct server *s = calloc(1, sizeof *s);

	need(s);
	s->plan = *plan;
	address_make(s->address, plan, "requests");
	address_make(s->answer_address, plan, "answers");
	s->requests = socket_new(plan->posts ? ZMQ_PULL : ZMQ_REP);
	need(zmq_bind(s->requests, s->address) == 0);
	if (!plan->posts)
		return s;
	s->answers = socket_new(ZMQ_PUSH);
	need(zmq_bind(s->answers, s->answer_address) == 0);
	return s;
}

static void invite(void *server, struct ticket *ticket)
{
	const struct server *s = server;

	memcpy(ticket->address, s->address, sizeof ticket->address);
}

static void serve(void *server, struct service *service)
{
	struct server *s = server;
	void *back = s->plan.posts ? s->answers : s->requests;
	zmq_msg_t m;
	size_t n;
	char small[REQUEST_SIZE_MIN];

	need(zmq_msg_init(&m) == 0);
	while (service->n_clients > 0) {
		need(zmq_msg_recv(&m, s->requests, 0) >= 0);
		switch (service_react(service, zmq_msg_data(&m), zmq_msg_size(&m), &n)) {
		case REACT_ANSWER:
			if (n == zmq_msg_size(&m)) {
				answer_finish(zmq_msg_data(&m), n);
				need(zmq_msg_send(&m, back, 0) == (int)n);
				break;
			}
			need(n == sizeof small);
			answer_write(small, zmq_msg_data(&m), n);
			need(zmq_send(back, small, n, 0) == (int)n);
			break;
		case REACT_NOT:
			break;
		case REACT_PASS:
		case REACT_MAKE:
			fail("a request", __FILE__, __LINE__, "carries no objects");
		}
	}
	zmq_msg_close(&m);
}

/* The library leaves the file of a bound ipc:// address behind. */
static void address_remove(const char *address)
{
	static const char ipc[] = "ipc://";

	if (strncmp(address, ipc, strlen(ipc)) == 0)
		unlink(address + strlen(ipc));
}

static void close_server(void *server)
{
	struct server *s = server;

	need(zmq_close(s->requests) == 0);
	address_remove(s->address);
	if (s->answers) {
		need(zmq_close(s->answers) == 0);
		address_remove(s->answer_address);
	}
	zmq_ctx_term(context());
	free(s);
}

static void *join(const struct ticket *ticket)
{
	struct client *c = calloc(1, sizeof *c);
	char address[ADDRESS_SIZE];
	char *which;

	need(c);
	c->plan = ticket->plan;
	c->requests = socket_new(c->plan.posts ? ZMQ_PUSH : ZMQ_REQ);
	need(zmq_connect(c->requests, ticket->address) == 0);
	need(zmq_msg_init(&c->in) == 0);
	if (!c->plan.posts)
		return c;
	memcpy(address, ticket->address, sizeof address);
	which = strstr(address, "requests");
	need(which);
	memcpy(which, "answers", sizeof "answers");
	c->answers = socket_new(ZMQ_PULL);
	need(zmq_connect(c->answers, address) == 0);
	return c;
}

static char *buffer(void *client, enum request_kind kind, size_t size)
{
	struct client *c = client;

	(void)kind;
	c->is_in_place = size > sizeof c->small;
	if (!c->is_in_place)
		return c->small;
	need(zmq_msg_init_size(&c->out, size) == 0);
	return zmq_msg_data(&c->out);
}

static void post(void *client, size_t size)
{
	struct client *c = client;

	if (c->is_in_place)
		need(zmq_msg_send(&c->out, c->requests, 0) == (int)size);
	else
		need(zmq_send(c->requests, c->small, size, 0) == (int)size);
}

static const char *call(void *client, size_t size)
{
	struct client *c = client;

	post(client, size);
	need(zmq_msg_recv(&c->in, c->plan.posts ? c->answers : c->requests, 0) >= REQUEST_SIZE_MIN);
	return zmq_msg_data(&c->in);
}

static void leave(void *client)
{
	struct client *c = client;

	zmq_msg_close(&c->in);
	need(zmq_close(c->requests) == 0);
	if (c->answers)
		need(zmq_close(c->answers) == 0);
	if (!c->plan.threads)
		zmq_ctx_term(context());
	free(c);
}

static void endpoint_new(void *server, struct endpoint *e)
{
	static uint64_t next;
	char address[64];

	(void)server;
	/* A name is free again only some time after its socket was closed. */
	snprintf(address, sizeof address, "inproc://endpoint-%llu", (unsigned long long)next++);
	e->object = socket_new(ZMQ_REP);
	need(zmq_bind(e->object, address) == 0);
}

static void endpoint_free(void *server, struct endpoint *e)
{
	(void)server;
	need(zmq_close(e->object) == 0);
}

static const char *unfit(const struct work *work)
{
	if (work->request == REQUEST_PASS || work->request == REQUEST_MAKE)
		return "carries no objects";
	if (work->n_endpoints)
		return "1,023 sockets in all (ZMQ_MAX_SOCKETS)";
	return NULL;
}

const struct contestant zeromq = {
	.name = "zeromq",
	.what = "ZeroMQ (libzmq), ipc:// and inproc://",
	.unfit = unfit,
	.open = open_server,
	.invite = invite,
	.serve = serve,
	.close = close_server,
	.join = join,
	.buffer = buffer,
	.call = call,
	.post = post,
	.leave = leave,
	.endpoint = "a socket bound to an inproc:// name",
	.endpoint_new = endpoint_new,
	.endpoint_free = endpoint_free,
};
