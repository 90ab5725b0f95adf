/* SPDX-License-Identifier: MIT */
/* AF_UNIX sockets: SOCK_STREAM, SOCK_SEQPACKET, and the latter with large payloads in a memfd. A socket pair for each client.
 *
 * For speed: one system call for a request and one for an answer, straight from and to the program's buffer; no epoll
 * where there is one client. Payloads beyond one packet go in packets of 128 KiB (the best of 8 KiB to 256 KiB), and
 * the send buffer takes several of them if the system lets it. A reader of a stream takes all that is there at once, up to
 * 64 KiB, so many small messages cost one read(); a reader of packets has recvmmsg() for the same. A payload in a memfd
 * is written there to begin with, so that nothing is copied; it is sealed, as the reader could be killed by a SIGBUS
 * otherwise. */
#include "contestant.h"
#include "reader.h"
#include "work.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	PACKET_MAX = 128 * 1024,
	SEND_BUFFER = 1024 * 1024,
	PACKETS_AT_ONCE = 64,
	FILE_MIN = 64 * 1024, /* smaller payloads go through the socket in any case */
};

enum way { WAY_STREAM, WAY_PACKETS, WAY_FILE };

struct server {
	enum way way;
	struct plan plan;
	int epoll, passed;
	unsigned n_ends;
	struct reader ends[];
};

struct client {
	enum way way;
	struct reader end;
	char *out; /* the next payload, if it goes through the socket */
	int file;  /* else it is there */
	size_t file_size;
	char *file_data;
	int brought;
};

/* ---- bytes ---- */

static void end_init(struct reader *e, int fd, const struct plan *plan)
{
	int size = SEND_BUFFER;

	reader_init(e, fd, plan->posts ? READ_AHEAD : plan->size);
	if (plan->size > PACKET_MAX || plan->posts)
		need(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size) == 0);
}

static void data_write(enum way way, int fd, const char *data, size_t size)
{
	size_t most = way == WAY_STREAM ? size : PACKET_MAX;
	ssize_t n;

	while (size) {
		n = write(fd, data, size < most ? size : most);
		need(n > 0);
		data += n;
		size -= (size_t)n;
	}
}

/* The next payload, where it was read: good until the next one is. */
static char *packets_read(struct reader *e, size_t *size)
{
	size_t done = 0;
	ssize_t n;

	do {
		n = read(e->fd, e->data + done, e->room - done);
		need(n >= (ssize_t)(done ? 1 : sizeof(struct request)));
		done += (size_t)n;
	} while (done < request_size(e->data));
	*size = done;
	return e->data;
}

static char *data_read(enum way way, struct reader *e, size_t *size)
{
	return way == WAY_STREAM ? reader_next(e, size) : packets_read(e, size);
}

/* ---- descriptors ---- */

union ancillary {
	char bytes[CMSG_SPACE(sizeof(int))];
	struct cmsghdr align;
};

static void write_with(int fd, const char *data, size_t size, int passed)
{
	struct iovec iov = { .iov_base = (char *)data, .iov_len = size };
	union ancillary a = { 0 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &a, .msg_controllen = sizeof a };
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	*c = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof passed), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS };
	memcpy(CMSG_DATA(c), &passed, sizeof passed);
	need(sendmsg(fd, &m, 0) == (ssize_t)size);
}

/* One message, and the descriptor that came with it or -1. */
static size_t read_with(int fd, char *data, size_t room, int *passed)
{
	struct iovec iov = { .iov_base = data, .iov_len = room };
	union ancillary a;
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &a, .msg_controllen = sizeof a };
	ssize_t n = recvmsg(fd, &m, MSG_CMSG_CLOEXEC);
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	need(n > 0);
	*passed = -1;
	if (c) {
		need(c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS);
		memcpy(passed, CMSG_DATA(c), sizeof *passed);
	}
	return (size_t)n;
}

/* ---- the server ---- */

static struct server *server_new(const struct plan *plan, enum way way)
{
	struct server *s = calloc(1, sizeof *s + plan->n_clients * sizeof *s->ends);

	need(s);
	s->way = way;
	s->plan = *plan;
	s->epoll = plan->n_clients > 1 ? epoll_create1(EPOLL_CLOEXEC) : -1;
	s->passed = open("/dev/null", O_RDONLY | O_CLOEXEC);
	need(s->passed >= 0);
	return s;
}

static void *stream_open(const struct plan *plan)
{
	return server_new(plan, WAY_STREAM);
}

static void *seqpacket_open(const struct plan *plan)
{
	return server_new(plan, WAY_PACKETS);
}

static void *file_open(const struct plan *plan)
{
	return server_new(plan, WAY_FILE);
}

static void invite(void *server, struct ticket *ticket)
{
	struct server *s = server;
	struct reader *e = &s->ends[s->n_ends];
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = e };
	int ends[2];

	need(socketpair(AF_UNIX, (s->way == WAY_STREAM ? SOCK_STREAM : SOCK_SEQPACKET) | SOCK_CLOEXEC, 0, ends) == 0);
	end_init(e, ends[0], &s->plan);
	s->n_ends++;
	if (s->epoll >= 0)
		need(epoll_ctl(s->epoll, EPOLL_CTL_ADD, ends[0], &event) == 0);
	ticket->fds[0] = ends[1];
}

/* The client's end of a new pair goes to it; the server is not asked to notice when the client lets go of it. */
static void answer_with_new(int fd, const char *data, size_t size, int type)
{
	int ends[2];

	need(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends) == 0);
	write_with(fd, data, size, ends[1]);
	close(ends[0]);
	close(ends[1]);
}

static void answer(const struct server *s, struct service *service, struct reader *e, char *data, size_t size)
{
	size_t n;

	switch (service_react(service, data, size, &n)) {
	case REACT_ANSWER:
		answer_finish(data, n);
		data_write(s->way, e->fd, data, n);
		break;
	case REACT_PASS:
		answer_finish(data, n);
		write_with(e->fd, data, n, s->passed);
		break;
	case REACT_MAKE:
		answer_finish(data, n);
		answer_with_new(e->fd, data, n, s->way == WAY_STREAM ? SOCK_STREAM : SOCK_SEQPACKET);
		break;
	case REACT_NOT:
		break;
	}
}

/* A payload that came in a memfd: read where it is, and given back. */
static void answer_file(struct service *service, struct reader *e, int file)
{
	const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
	off_t size = lseek(file, 0, SEEK_END);
	char *data, reply[REQUEST_SIZE_MIN];
	size_t n;

	need(size > 0 && (fcntl(file, F_GET_SEALS) & seals) == seals);
	data = mmap(NULL, (size_t)size, PROT_READ, MAP_SHARED, file, 0);
	need(data != MAP_FAILED);
	need(service_react(service, data, (size_t)size, &n) == REACT_ANSWER && n == sizeof reply);
	answer_write(reply, data, sizeof reply);
	munmap(data, (size_t)size);
	close(file);
	data_write(WAY_PACKETS, e->fd, reply, sizeof reply);
}

static void serve_end(struct server *s, struct service *service, struct reader *e)
{
	size_t size;
	int file = -1;
	char *data = e->data;

	if (s->way == WAY_FILE)
		size = read_with(e->fd, data, e->room, &file);
	else
		data = data_read(s->way, e, &size);
	if (file >= 0)
		answer_file(service, e, file);
	else
		answer(s, service, e, data, size);
}

/* All packets that are there with one call. */
static void serve_packets(struct server *s, struct service *service)
{
	struct reader *e = s->ends;
	struct mmsghdr messages[PACKETS_AT_ONCE] = { 0 };
	struct iovec iovs[PACKETS_AT_ONCE];
	int n;

	for (unsigned i = 0; i < PACKETS_AT_ONCE; i++) {
		iovs[i] = (struct iovec){ .iov_base = e->data + i * (READ_AHEAD / PACKETS_AT_ONCE),
					  .iov_len = READ_AHEAD / PACKETS_AT_ONCE };
		messages[i].msg_hdr = (struct msghdr){ .msg_iov = &iovs[i], .msg_iovlen = 1 };
	}
	while (service->n_clients > 0) {
		n = recvmmsg(e->fd, messages, PACKETS_AT_ONCE, MSG_WAITFORONE, NULL);
		need(n > 0);
		for (int i = 0; i < n; i++)
			answer(s, service, e, iovs[i].iov_base, messages[i].msg_len);
	}
}

static void serve_set(struct server *s, struct service *service)
{
	struct epoll_event events[64];
	int n;

	while (service->n_clients > 0) {
		n = epoll_wait(s->epoll, events, sizeof events / sizeof *events, -1);
		need(n > 0 || errno == EINTR);
		for (int i = 0; i < n; i++)
			serve_end(s, service, events[i].data.ptr);
	}
}

static void serve(void *server, struct service *service)
{
	struct server *s = server;

	if (s->epoll >= 0)
		serve_set(s, service);
	else if (s->plan.posts && s->way == WAY_PACKETS)
		serve_packets(s, service);
	else
		while (service->n_clients > 0)
			serve_end(s, service, s->ends);
}

static void server_close(void *server)
{
	struct server *s = server;

	while (s->n_ends)
		reader_deinit(&s->ends[--s->n_ends]);
	if (s->epoll >= 0)
		close(s->epoll);
	close(s->passed);
	free(s);
}

/* ---- clients ---- */

static struct client *client_new(const struct ticket *ticket, enum way way)
{
	struct client *c = calloc(1, sizeof *c);

	need(c);
	c->way = way;
	c->file = c->brought = -1;
	end_init(&c->end, ticket->fds[0], &ticket->plan);
	c->out = memory_new(c->end.room);
	return c;
}

static void *stream_join(const struct ticket *ticket)
{
	return client_new(ticket, WAY_STREAM);
}

static void *seqpacket_join(const struct ticket *ticket)
{
	return client_new(ticket, WAY_PACKETS);
}

static void *file_join(const struct ticket *ticket)
{
	return client_new(ticket, WAY_FILE);
}

static char *buffer(void *client, enum request_kind kind, size_t size)
{
	struct client *c = client;

	(void)kind;
	if (c->way != WAY_FILE || size < FILE_MIN)
		return c->out;
	c->file = memfd_create("payload", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	c->file_size = size;
	need(c->file >= 0 && ftruncate(c->file, (off_t)size) == 0);
	c->file_data = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, c->file, 0);
	need(c->file_data != MAP_FAILED);
	return c->file_data;
}

static void send_file(struct client *c)
{
	struct request r;

	memcpy(&r, c->file_data, sizeof r);
	munmap(c->file_data, c->file_size);
	need(fcntl(c->file, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) == 0);
	write_with(c->end.fd, (const char *)&r, sizeof r, c->file);
	close(c->file);
	c->file = -1;
}

static bool brings_object(const char *data)
{
	struct request r;

	memcpy(&r, data, sizeof r);
	return r.kind == REQUEST_PASS || r.kind == REQUEST_MAKE;
}

static const char *call(void *client, size_t size)
{
	struct client *c = client;
	size_t n;

	if (c->file >= 0)
		send_file(c);
	else
		data_write(c->way, c->end.fd, c->out, size);
	if (!brings_object(c->out))
		return data_read(c->way, &c->end, &n);
	read_with(c->end.fd, c->end.data, c->end.room, &c->brought);
	return c->end.data;
}

static void post(void *client, size_t size)
{
	struct client *c = client;

	data_write(c->way, c->end.fd, c->out, size);
}

static void drop(void *client)
{
	struct client *c = client;

	need(close(c->brought) == 0);
}

static void leave(void *client)
{
	struct client *c = client;

	munmap(c->out, c->end.room);
	reader_deinit(&c->end);
	free(c);
}

/* ---- endpoints ---- */

static void seqpacket_new(void *server, struct endpoint *e)
{
	(void)server;
	need(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, e->fds) == 0);
}

static void stream_new(void *server, struct endpoint *e)
{
	(void)server;
	need(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, e->fds) == 0);
}

static void endpoint_free(void *server, struct endpoint *e)
{
	(void)server;
	close(e->fds[0]);
	close(e->fds[1]);
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
		need(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, s->fds[i]) == 0);
		event.data.fd = s->fds[i][1];
		need(epoll_ctl(s->epoll, EPOLL_CTL_ADD, s->fds[i][1], &event) == 0);
	}
	return s;
}

static void set_pass(void *set, unsigned member, const char *data, size_t size)
{
	struct set *s = set;
	struct epoll_event event;
	char got[REQUEST_SIZE_MIN];

	need(write(s->fds[member][0], data, size) == (ssize_t)size);
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
	return files_unfit(2 * work->n_endpoints + 2 * (work->n_idle + work->n_clients));
}

static const char *file_unfit(const struct work *work)
{
	return work->request == REQUEST_TAKE && work->size >= FILE_MIN ? NULL : "as SOCK_SEQPACKET";
}

#define SOCKET(open_it, join_it) \
	.open = open_it, .invite = invite, .serve = serve, .close = server_close, .join = join_it, .buffer = buffer, \
	.call = call, .post = post, .drop = drop, .leave = leave

const struct contestant stream_socket = {
	.name = "stream",
	.what = "AF_UNIX SOCK_STREAM, epoll for many",
	.unfit = unfit,
	.endpoint = "a socket pair",
	.endpoint_new = stream_new,
	.endpoint_free = endpoint_free,
	SOCKET(stream_open, stream_join),
};

const struct contestant seqpacket = {
	.name = "seqpacket",
	.what = "AF_UNIX SOCK_SEQPACKET, epoll for many",
	.unfit = unfit,
	.endpoint = "a socket pair",
	.endpoint_new = seqpacket_new,
	.endpoint_free = endpoint_free,
	.set_new = set_new,
	.set_pass = set_pass,
	.set_free = set_free,
	SOCKET(seqpacket_open, seqpacket_join),
};

const struct contestant memory_file_socket = {
	.name = "memfd",
	.what = "a sealed memfd for each payload, passed over SOCK_SEQPACKET",
	.unfit = file_unfit,
	SOCKET(file_open, file_join),
};
