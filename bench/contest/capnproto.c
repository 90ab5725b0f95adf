/* SPDX-License-Identifier: MIT */
/* Cap'n Proto RPC (C++), two parties over a socket pair: capnproto-rpc.c++, called from here.
 *
 * For speed: both ends wait in their own event loop; a payload is Data that is written and read in place, with a size hint so
 * that a message has one segment; one way, a streaming method, whose flow control is the library's. The object
 * that an answer brings is a capability, which the client drops. */
#include "capnproto-rpc.h"
#include "contestant.h"
#include "work.h"

#include <stdlib.h>
#include <sys/socket.h>

struct server {
	struct capnp_server *rpc;
	struct service *service;
};

struct client {
	struct capnp_client *rpc;
};

static void *open_server(const struct plan *plan)
{
	struct server *s = calloc(1, sizeof *s);

	(void)plan;
	need(s);
	s->rpc = capnp_server_new();
	return s;
}

static void invite(void *server, struct ticket *ticket)
{
	struct server *s = server;
	int ends[2];

	need(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
	capnp_server_accept(s->rpc, ends[0]);
	ticket->fds[0] = ends[1];
}

static enum capnp_reaction react(void *server, const char *data, size_t size, size_t *answer)
{
	switch (service_react(((struct server *)server)->service, data, size, answer)) {
	case REACT_ANSWER:
		return CAPNP_ANSWER;
	case REACT_PASS:
		return CAPNP_PASS;
	case REACT_MAKE:
		return CAPNP_MAKE;
	case REACT_NOT:
	default:
		return CAPNP_NOT;
	}
}

static int is_done(void *server)
{
	return ((struct server *)server)->service->n_clients == 0;
}

static void serve(void *server, struct service *service)
{
	struct server *s = server;
	struct capnp_handler handler = { .react = react, .write = answer_write, .is_done = is_done, .context = s };

	s->service = service;
	capnp_server_run(s->rpc, &handler);
}

static void close_server(void *server)
{
	struct server *s = server;

	capnp_server_free(s->rpc);
	free(s);
}

static void *join(const struct ticket *ticket)
{
	struct client *c = calloc(1, sizeof *c);

	need(c);
	c->rpc = capnp_client_new(ticket->fds[0]);
	return c;
}

static char *buffer(void *client, enum request_kind kind, size_t size)
{
	struct client *c = client;

	return capnp_client_buffer(c->rpc, size, kind == REQUEST_POST, kind == REQUEST_PASS || kind == REQUEST_MAKE);
}

static const char *call(void *client, size_t size)
{
	struct client *c = client;
	const char *answer;

	answer = capnp_client_call(c->rpc, &size);
	need(size >= REQUEST_SIZE_MIN);
	return answer;
}

static void post(void *client, size_t size)
{
	(void)size;
	capnp_client_post(((struct client *)client)->rpc);
}

static void drop(void *client)
{
	capnp_client_drop(((struct client *)client)->rpc);
}

static void leave(void *client)
{
	struct client *c = client;

	capnp_client_free(c->rpc);
	free(c);
}

static void endpoint_new(void *server, struct endpoint *e)
{
	(void)server;
	e->object = capnp_object_new();
}

static void endpoint_free(void *server, struct endpoint *e)
{
	(void)server;
	capnp_object_free(e->object);
}

static const char *unfit(const struct work *work)
{
	return files_unfit(2 * (work->n_clients + work->n_idle));
}

const struct contestant capnproto = {
	.name = "capnproto",
	.what = "Cap'n Proto RPC (C++)",
	.unfit = unfit,
	.open = open_server,
	.invite = invite,
	.serve = serve,
	.close = close_server,
	.join = join,
	.buffer = buffer,
	.call = call,
	.post = post,
	.drop = drop,
	.leave = leave,
	.endpoint = "a capability, exported to nobody",
	.endpoint_new = endpoint_new,
	.endpoint_free = endpoint_free,
};
