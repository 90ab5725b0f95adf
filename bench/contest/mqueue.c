/* SPDX-License-Identifier: MIT */
/* POSIX message queues: one for the requests of all clients, one for the answers to each.
 *
 * For speed: no timeouts, no notification, all messages of one priority (so the queue is a list), queues no wider than their
 * messages. Length and width are what an ordinary user gets by default: 10 messages of at most 8 KiB. Larger payloads
 * go in pieces of that size. */
#include "contestant.h"
#include "reader.h"
#include "work.h"

#include <fcntl.h>
#include <mqueue.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { LENGTH = 10, WIDTH_MAX = 8192, QUEUES_MAX = 200 };

struct server {
	struct plan plan;
	size_t width;
	char name[ADDRESS_SIZE];
	mqd_t requests;
	char *data;
	unsigned n_clients;
	mqd_t answers[];
};

struct client {
	size_t width;
	mqd_t requests, answers;
	size_t room;
	char *out, *in;
};

static size_t width_of(const struct plan *plan)
{
	return plan->size < WIDTH_MAX ? plan->size : WIDTH_MAX;
}

static size_t room_of(const struct plan *plan)
{
	return (plan->size + WIDTH_MAX - 1) / WIDTH_MAX * WIDTH_MAX;
}

static mqd_t queue_new(const char *name, size_t width)
{
	struct mq_attr attr = { .mq_maxmsg = LENGTH, .mq_msgsize = (long)width };
	mqd_t q = mq_open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600, &attr);

	need(q >= 0);
	return q;
}

static void data_send(mqd_t q, size_t width, const char *data, size_t size)
{
	size_t n;

	for (; size; size -= n, data += n) {
		n = size < width ? size : width;
		need(mq_send(q, data, n, 0) == 0);
	}
}

static size_t data_receive(mqd_t q, size_t width, char *data)
{
	size_t done = 0;
	ssize_t n;

	do {
		n = mq_receive(q, data + done, width, NULL);
		need(n > 0);
		done += (size_t)n;
	} while (done < request_size(data));
	return done;
}

static void *open_server(const struct plan *plan)
{
	struct server *s = calloc(1, sizeof *s + plan->n_clients * sizeof *s->answers);

	need(s);
	s->plan = *plan;
	s->width = width_of(plan);
	snprintf(s->name, sizeof s->name, "/bench-%d", (int)getpid());
	s->requests = queue_new(s->name, s->width);
	mq_unlink(s->name);
	s->data = memory_new(room_of(plan));
	return s;
}

/* A queue is a descriptor on Linux and can be inherited, so its name can go at once. */
static void invite(void *server, struct ticket *ticket)
{
	struct server *s = server;
	char name[ADDRESS_SIZE];
	mqd_t q;

	snprintf(name, sizeof name, "/bench-%d-%u", (int)getpid(), ticket->index);
	q = queue_new(name, s->width);
	mq_unlink(name);
	need(ticket->index == s->n_clients);
	s->answers[s->n_clients++] = q;
	ticket->fds[0] = fcntl(s->requests, F_DUPFD_CLOEXEC, 0);
	ticket->fds[1] = fcntl(q, F_DUPFD_CLOEXEC, 0);
	need(ticket->fds[0] >= 0 && ticket->fds[1] >= 0);
}

static void serve(void *server, struct service *service)
{
	struct server *s = server;
	size_t size, answer;

	while (service->n_clients > 0) {
		size = data_receive(s->requests, s->width, s->data);
		switch (service_react(service, s->data, size, &answer)) {
		case REACT_ANSWER:
			answer_finish(s->data, answer);
			data_send(s->answers[request_client(s->data)], s->width, s->data, answer);
			break;
		case REACT_NOT:
			break;
		case REACT_PASS:
		case REACT_MAKE:
			fail("a request", __FILE__, __LINE__, "a queue carries no objects");
		}
	}
}

static void close_server(void *server)
{
	struct server *s = server;

	while (s->n_clients)
		mq_close(s->answers[--s->n_clients]);
	mq_close(s->requests);
	munmap(s->data, room_of(&s->plan));
	free(s);
}

static void *join(const struct ticket *ticket)
{
	struct client *c = calloc(1, sizeof *c);

	need(c);
	c->width = width_of(&ticket->plan);
	c->requests = ticket->fds[0];
	c->answers = ticket->fds[1];
	c->room = room_of(&ticket->plan);
	c->out = memory_new(c->room);
	c->in = memory_new(c->room);
	return c;
}

static char *buffer(void *client, enum request_kind kind, size_t size)
{
	(void)kind;
	(void)size;
	return ((struct client *)client)->out;
}

static void post(void *client, size_t size)
{
	struct client *c = client;

	data_send(c->requests, c->width, c->out, size);
}

static const char *call(void *client, size_t size)
{
	struct client *c = client;

	post(client, size);
	data_receive(c->answers, c->width, c->in);
	return c->in;
}

static void leave(void *client)
{
	struct client *c = client;

	mq_close(c->requests);
	mq_close(c->answers);
	munmap(c->out, c->room);
	munmap(c->in, c->room);
	free(c);
}

static void endpoint_new(void *server, struct endpoint *e)
{
	const struct server *s = server;

	e->fds[0] = queue_new(s->name, s->width);
}

static void endpoint_free(void *server, struct endpoint *e)
{
	const struct server *s = server;

	need(mq_unlink(s->name) == 0 && mq_close(e->fds[0]) == 0);
}

static const char *unfit(const struct work *work)
{
	if (work->request == REQUEST_PASS || work->request == REQUEST_MAKE)
		return "carries no objects";
	if (work->n_clients + work->n_idle > QUEUES_MAX || work->n_endpoints > 0)
		return "there are 256 queues in all (fs.mqueue.queues_max)";
	if (work->n_clients > 1 && work->size > WIDTH_MAX)
		return "would mix the payloads of several clients";
	return NULL;
}

const struct contestant posix_queue = {
	.name = "mqueue",
	.what = "POSIX message queues",
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
	.endpoint = "a queue",
	.endpoint_new = endpoint_new,
	.endpoint_free = endpoint_free,
};
