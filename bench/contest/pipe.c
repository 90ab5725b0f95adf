/* SPDX-License-Identifier: MIT */
/* Pipes: one for the requests of all clients, one for the answers to each.
 *
 * For speed: one write() for a request, straight from the program's buffer; a reader takes all that is there at once. Writes
 * of up to PIPE_BUF bytes are not mixed with others', so many clients need one pipe and no epoll. For large
 * payloads and streams the pipe is made 1 MiB long. */
#include "contestant.h"
#include "reader.h"
#include "work.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PIPE_SIZE = 1024 * 1024 };

struct server {
	struct plan plan;
	int requests_in; /* the write end, for clients to come */
	struct reader requests;
	unsigned n_clients;
	int answers[];
};

struct client {
	int requests;
	struct reader answers;
	char *out;
};

static size_t room_of(const struct plan *plan)
{
	return plan->size > READ_AHEAD ? plan->size : READ_AHEAD;
}

static void pipe_new(int ends[2], const struct plan *plan)
{
	need(pipe2(ends, O_CLOEXEC) == 0);
	if (plan->posts || plan->size > 65536)
		need(fcntl(ends[0], F_SETPIPE_SZ, PIPE_SIZE) >= 0);
}

static void data_write(int fd, const char *data, size_t size)
{
	ssize_t n;

	while (size) {
		n = write(fd, data, size);
		need(n > 0);
		data += n;
		size -= (size_t)n;
	}
}

static void *open_server(const struct plan *plan)
{
	struct server *s = calloc(1, sizeof *s + plan->n_clients * sizeof *s->answers);
	int ends[2];

	need(s);
	s->plan = *plan;
	pipe_new(ends, plan);
	s->requests_in = ends[1];
	reader_init(&s->requests, ends[0], room_of(plan));
	return s;
}

static void invite(void *server, struct ticket *ticket)
{
	struct server *s = server;
	int ends[2];

	pipe_new(ends, &s->plan);
	need(ticket->index == s->n_clients);
	s->answers[s->n_clients++] = ends[1];
	ticket->fds[0] = fcntl(s->requests_in, F_DUPFD_CLOEXEC, 0);
	ticket->fds[1] = ends[0];
	need(ticket->fds[0] >= 0);
}

static void serve(void *server, struct service *service)
{
	struct server *s = server;
	size_t size, answer;
	char *data;

	while (service->n_clients > 0) {
		data = reader_next(&s->requests, &size);
		switch (service_react(service, data, size, &answer)) {
		case REACT_ANSWER:
			answer_finish(data, answer);
			data_write(s->answers[request_client(data)], data, answer);
			break;
		case REACT_NOT:
			break;
		case REACT_PASS:
		case REACT_MAKE:
			fail("a request", __FILE__, __LINE__, "a pipe carries no objects");
		}
	}
}

static void close_server(void *server)
{
	struct server *s = server;

	while (s->n_clients)
		close(s->answers[--s->n_clients]);
	close(s->requests_in);
	reader_deinit(&s->requests);
	free(s);
}

static void *join(const struct ticket *ticket)
{
	struct client *c = calloc(1, sizeof *c);

	need(c);
	c->requests = ticket->fds[0];
	reader_init(&c->answers, ticket->fds[1], room_of(&ticket->plan));
	c->out = memory_new(ticket->plan.size);
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

	data_write(c->requests, c->out, size);
}

static const char *call(void *client, size_t size)
{
	struct client *c = client;
	size_t n;

	post(client, size);
	return reader_next(&c->answers, &n);
}

static void leave(void *client)
{
	struct client *c = client;

	close(c->requests);
	reader_deinit(&c->answers);
	free(c);
}

static void endpoint_new(void *server, struct endpoint *e)
{
	(void)server;
	need(pipe2(e->fds, O_CLOEXEC) == 0 && pipe2(e->fds + 2, O_CLOEXEC) == 0);
}

static void endpoint_free(void *server, struct endpoint *e)
{
	(void)server;
	for (unsigned i = 0; i < 4; i++)
		close(e->fds[i]);
}

struct set {
	unsigned n;
	int epoll;
	int fds[][2];
};

static void *set_new(unsigned n_members)
{
	struct set *s = calloc(1, sizeof *s + n_members * sizeof *s->fds);
	struct epoll_event event = { .events = EPOLLIN };

	need(s);
	s->n = n_members;
	s->epoll = epoll_create1(EPOLL_CLOEXEC);
	need(s->epoll >= 0);
	for (unsigned i = 0; i < n_members; i++) {
		need(pipe2(s->fds[i], O_CLOEXEC) == 0);
		event.data.fd = s->fds[i][0];
		need(epoll_ctl(s->epoll, EPOLL_CTL_ADD, s->fds[i][0], &event) == 0);
	}
	return s;
}

static void set_pass(void *set, unsigned member, const char *data, size_t size)
{
	struct set *s = set;
	struct epoll_event event;
	char got[REQUEST_SIZE_MIN];

	need(write(s->fds[member][1], data, size) == (ssize_t)size);
	need(epoll_wait(s->epoll, &event, 1, -1) == 1);
	need(read(event.data.fd, got, sizeof got) == (ssize_t)size && memcmp(got, data, size) == 0);
}

static void set_free(void *set)
{
	struct set *s = set;

	for (unsigned i = 0; i < s->n; i++) {
		close(s->fds[i][0]);
		close(s->fds[i][1]);
	}
	close(s->epoll);
	free(s);
}

static const char *unfit(const struct work *work)
{
	if (work->request == REQUEST_PASS || work->request == REQUEST_MAKE)
		return "carries no objects";
	if (work->n_clients > 1 && work->size > PIPE_BUF)
		return "would mix the payloads of several clients";
	return files_unfit((work->kind == WORK_SET ? 2 : 4) * work->n_endpoints + work->n_idle);
}

const struct contestant pipes = {
	.name = "pipe",
	.what = "pipes",
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
	.endpoint = "two pipes",
	.endpoint_new = endpoint_new,
	.endpoint_free = endpoint_free,
	.set_new = set_new,
	.set_pass = set_pass,
	.set_free = set_free,
};
