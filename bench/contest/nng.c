/* SPDX-License-Identifier: MIT */
/* nng (nanomsg next generation): req to rep for calls, push to pull one way, over ipc:// between processes and inproc://
 * between threads.
 *
 * For speed: nng_msg throughout, which its manual recommends over nng_send(): payloads are built in the message that is
 * sent and read in the one that came, and the answer goes back in the request's message. Buffers of a stream's sockets are as
 * long as nng allows (8192). A stream's client has a second pair of sockets for the answer at its end. */
#include "contestant.h"
#include "work.h"

#include <nng/nng.h>
#include <nng/protocol/pipeline0/pull.h>
#include <nng/protocol/pipeline0/push.h>
#include <nng/protocol/reqrep0/rep.h>
#include <nng/protocol/reqrep0/req.h>
#include <stdlib.h>
#include <unistd.h>

enum { STREAM_BUFFER = 8192 };

struct server {
	struct plan plan;
	char address[ADDRESS_SIZE], answer_address[ADDRESS_SIZE];
	nng_socket requests, answers;
};

struct client {
	struct plan plan;
	nng_socket requests, answers;
	nng_msg *out, *in;
};

static void check(int error, const char *what, int line)
{
	if (error)
		fail(what, __FILE__, line, nng_strerror(error));
}

#define WORKS(call) check((call), #call, __LINE__)

/* No limit to what may be received, and long queues for streams. */
static void socket_set(nng_socket s, const struct plan *plan)
{
	WORKS(nng_socket_set_size(s, NNG_OPT_RECVMAXSZ, 0));
	if (!plan->posts)
		return;
	/* Not every protocol has both. */
	nng_socket_set_int(s, NNG_OPT_SENDBUF, STREAM_BUFFER);
	nng_socket_set_int(s, NNG_OPT_RECVBUF, STREAM_BUFFER);
}

static void address_make(char *out, const struct plan *plan, const char *which)
{
	snprintf(out, ADDRESS_SIZE, plan->threads ? "inproc://bench-%d-%s" : "ipc:///tmp/bench-nng-%d-%s",
		 (int)getpid(), which);
}

static void *open_server(const struct plan *plan)
{
	struct server *s = calloc(1, sizeof *s);

	need(s);
	s->plan = *plan;
	address_make(s->address, plan, "requests");
	address_make(s->answer_address, plan, "answers");
	WORKS(plan->posts ? nng_pull0_open(&s->requests) : nng_rep0_open(&s->requests));
	socket_set(s->requests, plan);
	WORKS(nng_listen(s->requests, s->address, NULL, 0));
	if (!plan->posts)
		return s;
	WORKS(nng_push0_open(&s->answers));
	socket_set(s->answers, plan);
	WORKS(nng_listen(s->answers, s->answer_address, NULL, 0));
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
	nng_msg *m;
	size_t n, size;

	while (service->n_clients > 0) {
		WORKS(nng_recvmsg(s->requests, &m, 0));
		size = nng_msg_len(m);
		switch (service_react(service, nng_msg_body(m), size, &n)) {
		case REACT_ANSWER:
			if (n < size)
				WORKS(nng_msg_chop(m, size - n));
			answer_finish(nng_msg_body(m), n);
			WORKS(nng_sendmsg(s->plan.posts ? s->answers : s->requests, m, 0));
			break;
		case REACT_NOT:
			nng_msg_free(m);
			break;
		case REACT_PASS:
		case REACT_MAKE:
			fail("a request", __FILE__, __LINE__, "carries no objects");
		}
	}
}

static void close_server(void *server)
{
	struct server *s = server;

	nng_close(s->requests);
	if (s->plan.posts)
		nng_close(s->answers);
	free(s);
}

/* The listener accepts without the server's loop. */
static void *join(const struct ticket *ticket)
{
	struct client *c = calloc(1, sizeof *c);
	char address[ADDRESS_SIZE];
	char *which;

	need(c);
	c->plan = ticket->plan;
	WORKS(c->plan.posts ? nng_push0_open(&c->requests) : nng_req0_open(&c->requests));
	socket_set(c->requests, &c->plan);
	WORKS(nng_dial(c->requests, ticket->address, NULL, 0));
	if (!c->plan.posts)
		return c;
	memcpy(address, ticket->address, sizeof address);
	which = strstr(address, "requests");
	need(which);
	memcpy(which, "answers", sizeof "answers");
	WORKS(nng_pull0_open(&c->answers));
	socket_set(c->answers, &c->plan);
	WORKS(nng_dial(c->answers, address, NULL, 0));
	return c;
}

static char *buffer(void *client, enum request_kind kind, size_t size)
{
	struct client *c = client;

	(void)kind;
	WORKS(nng_msg_alloc(&c->out, size));
	return nng_msg_body(c->out);
}

static void post(void *client, size_t size)
{
	struct client *c = client;

	(void)size;
	WORKS(nng_sendmsg(c->requests, c->out, 0));
}

static const char *call(void *client, size_t size)
{
	struct client *c = client;

	post(client, size);
	nng_msg_free(c->in);
	WORKS(nng_recvmsg(c->plan.posts ? c->answers : c->requests, &c->in, 0));
	return nng_msg_body(c->in);
}

static void leave(void *client)
{
	struct client *c = client;

	nng_msg_free(c->in);
	nng_close(c->requests);
	if (c->plan.posts)
		nng_close(c->answers);
	free(c);
}

static void endpoint_new(void *server, struct endpoint *e)
{
	nng_socket s;

	(void)server;
	WORKS(nng_rep0_open(&s));
	WORKS(nng_listen(s, "inproc://endpoint", NULL, 0));
	e->port = s.id;
}

static void endpoint_free(void *server, struct endpoint *e)
{
	(void)server;
	WORKS(nng_close((nng_socket){ e->port }));
}

static const char *unfit(const struct work *work)
{
	if (work->request == REQUEST_PASS || work->request == REQUEST_MAKE)
		return "carries no objects";
	if (work->n_endpoints)
		return "not measured";
	return NULL;
}

const struct contestant nanomsg_ng = {
	.name = "nng",
	.what = "nng, ipc:// and inproc://",
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
	.endpoint = "a socket that listens at an inproc:// name",
	.endpoint_new = endpoint_new,
	.endpoint_free = endpoint_free,
};
