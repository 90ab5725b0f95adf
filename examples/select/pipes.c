/* SPDX-License-Identifier: MIT */
#include "pipes.h"

#include <err.h>
#include <errno.h>
#include <mach_error.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* A client that wants to be told: a send-once right, good for one answer. */
struct waiting {
	struct waiting *next;
	mach_port_t reply;
	int types;
};

struct pipe {
	struct pipe *next;
	mach_port_t port;
	char bytes[IO_BYTES_MAX];
	int n_bytes;
	struct waiting *waiting;
};

static struct {
	pthread_mutex_t mutex; /* of what follows: pipes are made and ended by others than the server's thread */
	struct pipe *pipes;
	mach_port_t set, notify; /* both are the server's for ever */
} server = { .mutex = PTHREAD_MUTEX_INITIALIZER };

static void must(const char *what, kern_return_t r)
{
	if (r != KERN_SUCCESS)
		errx(1, "%s: %s", what, mach_error_string(r));
}

static void *must_have(void *memory)
{
	if (!memory)
		errx(1, "no memory");
	return memory;
}

static void answer(mach_port_t reply, int id, struct io_message *m)
{
	m->header.msgh_id = id + IO_REPLY;
	m->header.msgh_bits = 0;
	m->header.msgh_local_port = MACH_PORT_NULL;
	if (io_send(m, reply, MACH_MSG_TYPE_MOVE_SEND_ONCE) != MACH_MSG_SUCCESS)
		mach_port_deallocate(mach_task_self(), reply); /* the client is gone */
}

static int pipe_state(const struct pipe *p)
{
	return (p->n_bytes ? IO_READ : 0) | (p->n_bytes < IO_BYTES_MAX ? IO_WRITE : 0);
}

/* ---- who waits */

/* The reply right is to tell when its port dies, or else who never gets an answer would be kept for ever. */
static void wait_add(struct pipe *p, mach_port_t reply, int types)
{
	struct waiting *w = must_have(malloc(sizeof *w));
	mach_port_t previous;

	*w = (struct waiting){ p->waiting, reply, types };
	p->waiting = w;
	must("notification", mach_port_request_notification(mach_task_self(), reply, MACH_NOTIFY_DEAD_NAME, 1,
							    server.notify, MACH_MSG_TYPE_MAKE_SEND_ONCE, &previous));
}

static void wait_end(struct waiting **w)
{
	struct waiting *gone = *w;

	*w = gone->next;
	free(gone);
}

/* The right will be used up, and is not to be told of. If it has died, that was told already. */
static void wait_forget(const struct waiting *w)
{
	mach_port_t previous = MACH_PORT_NULL;

	mach_port_request_notification(mach_task_self(), w->reply, MACH_NOTIFY_DEAD_NAME, 0, MACH_PORT_NULL,
				       MACH_MSG_TYPE_MAKE_SEND_ONCE, &previous);
	if (MACH_PORT_VALID(previous))
		mach_port_deallocate(mach_task_self(), previous);
}

static void wait_answer(const struct waiting *w, int types)
{
	struct io_message m = { .number = types };

	wait_forget(w);
	answer(w->reply, IO_SELECT, &m);
}

static void pipe_changed(struct pipe *p)
{
	struct waiting **w = &p->waiting;

	while (*w) {
		int types = (*w)->types & pipe_state(p);

		if (types) {
			wait_answer(*w, types);
			wait_end(w);
		} else {
			w = &(*w)->next;
		}
	}
}

/* A client gave up: its name is dead, with the reference that the notification brought. */
static void wait_died(mach_port_t reply)
{
	mach_port_deallocate(mach_task_self(), reply);
	for (struct pipe *p = server.pipes; p; p = p->next)
		for (struct waiting **w = &p->waiting; *w;)
			if ((*w)->reply == reply) {
				mach_port_deallocate(mach_task_self(), reply);
				wait_end(w);
			} else {
				w = &(*w)->next;
			}
}

/* ---- requests */

static void pipe_select(struct pipe *p, const struct io_message *request)
{
	struct io_message m = { .number = request->number & pipe_state(p) };

	if (!MACH_PORT_VALID(request->header.msgh_remote_port)) /* the client is gone */
		return;
	if (m.number || (request->number & IO_NOW))
		answer(request->header.msgh_remote_port, IO_SELECT, &m);
	else
		wait_add(p, request->header.msgh_remote_port, request->number);
}

static void pipe_read(struct pipe *p, const struct io_message *request, struct io_message *m)
{
	int n = request->number < p->n_bytes ? request->number : p->n_bytes;

	m->error = p->n_bytes ? 0 : EAGAIN;
	if (n <= 0)
		return;
	m->number = n;
	memcpy(m->bytes, p->bytes, (size_t)n);
	p->n_bytes -= n;
	memmove(p->bytes, p->bytes + n, (size_t)p->n_bytes);
}

static void pipe_write(struct pipe *p, const struct io_message *request, struct io_message *m)
{
	int room = IO_BYTES_MAX - p->n_bytes, n = request->number < room ? request->number : room;

	m->error = room ? 0 : EAGAIN;
	if (n <= 0)
		return;
	m->number = n;
	memcpy(p->bytes + p->n_bytes, request->bytes, (size_t)n);
	p->n_bytes += n;
}

static void pipe_count(const struct pipe *p, struct io_message *m)
{
	for (const struct waiting *w = p->waiting; w; w = w->next)
		m->number++;
}

static void pipe_serve(struct pipe *p, const struct io_message *request)
{
	struct io_message m = { 0 };

	switch (request->header.msgh_id) {
	case IO_SELECT:
		pipe_select(p, request);
		return;
	case IO_READ_BYTES:
		pipe_read(p, request, &m);
		break;
	case IO_WRITE_BYTES:
		pipe_write(p, request, &m);
		break;
	case IO_COUNT_WAITING:
		pipe_count(p, &m);
		break;
	default:
		m.error = ENOSYS;
	}
	answer(request->header.msgh_remote_port, request->header.msgh_id, &m);
	pipe_changed(p);
}

static struct pipe *pipe_find(mach_port_t port)
{
	struct pipe *p = server.pipes;

	while (p && p->port != port)
		p = p->next;
	return p;
}

static void serve(union io_buffer *b)
{
	struct pipe *p = pipe_find(b->header.msgh_local_port);

	if (b->header.msgh_local_port == server.notify) {
		if (b->header.msgh_id == MACH_NOTIFY_DEAD_NAME)
			wait_died(b->dead_name.not_port);
	} else if (p && b->header.msgh_size == sizeof b->io && !(b->header.msgh_bits & MACH_MSGH_BITS_COMPLEX)) {
		pipe_serve(p, &b->io);
	} else {
		mach_msg_destroy(&b->header);
	}
}

static void *serve_all(void *unused)
{
	union io_buffer b;

	for (;;) {
		mach_msg_return_t r = mach_msg(&b.header, MACH_RCV_MSG, 0, sizeof b, server.set, 0, MACH_PORT_NULL);

		if (r == MACH_RCV_TOO_LARGE) /* who sends that wants nothing of us */
			continue;
		must("receive", r);
		pthread_mutex_lock(&server.mutex);
		serve(&b);
		pthread_mutex_unlock(&server.mutex);
	}
	return unused;
}

void pipes_start(void)
{
	pthread_t thread;

	must("set", mach_port_allocate(mach_task_self(), MACH_PORT_RIGHT_PORT_SET, &server.set));
	must("port", mach_port_allocate(mach_task_self(), MACH_PORT_RIGHT_RECEIVE, &server.notify));
	must("member", mach_port_move_member(mach_task_self(), server.notify, server.set));
	if (pthread_create(&thread, NULL, serve_all, NULL))
		errx(1, "no thread");
	pthread_detach(thread);
}

io_t pipe_new(void)
{
	struct pipe *p = must_have(calloc(1, sizeof *p));

	must("port", mach_port_allocate(mach_task_self(), MACH_PORT_RIGHT_RECEIVE, &p->port));
	must("right", mach_port_insert_right(mach_task_self(), p->port, p->port, MACH_MSG_TYPE_MAKE_SEND));
	pthread_mutex_lock(&server.mutex);
	p->next = server.pipes;
	server.pipes = p;
	pthread_mutex_unlock(&server.mutex);
	must("member", mach_port_move_member(mach_task_self(), p->port, server.set));
	return p->port;
}

static void pipe_free(struct pipe *p)
{
	while (p->waiting) {
		wait_forget(p->waiting);
		mach_port_deallocate(mach_task_self(), p->waiting->reply); /* unused: that is an answer, too */
		wait_end(&p->waiting);
	}
	mach_port_mod_refs(mach_task_self(), p->port, MACH_PORT_RIGHT_RECEIVE, -1);
	free(p);
}

void pipe_end(io_t pipe)
{
	struct pipe **p = &server.pipes, *gone;

	pthread_mutex_lock(&server.mutex);
	while ((*p)->port != pipe)
		p = &(*p)->next;
	gone = *p;
	*p = gone->next;
	pipe_free(gone);
	pthread_mutex_unlock(&server.mutex);
}
