/* SPDX-License-Identifier: MIT */
/* The contestant between processes: AF_UNIX SOCK_SEQPACKET, one socket pair for each client. */
#include "clients.h"
#include "packet.h"
#include "touch.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/* Bulk data goes in chunks of the size that was best of those from 8 KiB to 256 KiB; the buffer, if the system allows as
 * much (net.core.wmem_max), takes several. Where the system allows its default, 208 KiB, this size is the best still. */
enum { CHUNK = 128 * 1024, SEND_BUFFER = 1024 * 1024 };

/* SCM_MAX_FD of Linux is 253. */
enum { RIGHTS_IN_PACKET = 250 };

struct sockets {
	struct clients *all;
	int epoll;	 /* -1: one client, whom to wait for */
	int passed;	 /* the descriptor that an answer brings */
	uint64_t number; /* of the next packet in a stream, the next region, the rights that are held */
	char *memory;	 /* where a region arrives */
	int *rights;
	int fds[];
};

struct socket_client {
	uint64_t number, amount;
	char *memory;
	int passed;
};

static void packet_write(int fd, const struct packet *p)
{
	need(write(fd, p, sizeof *p) == sizeof *p);
}

static void packet_read(int fd, struct packet *p)
{
	need(read(fd, p, sizeof *p) == sizeof *p);
}

/* ---- descriptors in packets ---- */

union ancillary {
	char bytes[CMSG_SPACE(RIGHTS_IN_PACKET * sizeof(int))];
	struct cmsghdr align;
};

static void packet_write_with(int fd, struct packet *p, const int *passed, size_t n)
{
	struct iovec data = { .iov_base = p, .iov_len = sizeof *p };
	union ancillary a;
	struct msghdr m = {
		.msg_iov = &data, .msg_iovlen = 1, .msg_control = &a, .msg_controllen = CMSG_SPACE(n * sizeof *passed)
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	*c = (struct cmsghdr){ .cmsg_len = CMSG_LEN(n * sizeof *passed),
			       .cmsg_level = SOL_SOCKET,
			       .cmsg_type = SCM_RIGHTS };
	memcpy(CMSG_DATA(c), passed, n * sizeof *passed);
	need(sendmsg(fd, &m, 0) == sizeof *p);
}

/* Returns how many descriptors came, at most RIGHTS_IN_PACKET. */
static size_t packet_read_with(int fd, struct packet *p, int *passed)
{
	struct iovec data = { .iov_base = p, .iov_len = sizeof *p };
	union ancillary a;
	struct msghdr m = { .msg_iov = &data, .msg_iovlen = 1, .msg_control = &a, .msg_controllen = sizeof a };
	struct cmsghdr *c;
	size_t n;

	need(recvmsg(fd, &m, MSG_CMSG_CLOEXEC) == sizeof *p && !(m.msg_flags & MSG_CTRUNC));
	c = CMSG_FIRSTHDR(&m);
	if (!c)
		return 0;
	need(c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS);
	n = (c->cmsg_len - CMSG_LEN(0)) / sizeof *passed;
	memcpy(passed, CMSG_DATA(c), n * sizeof *passed);
	return n;
}

/* ---- servers ---- */

static void *sockets_open(struct clients *all)
{
	struct sockets *s = calloc(1, sizeof *s + all->n * sizeof *s->fds);

	need(s);
	s->all = all;
	s->epoll = -1;
	s->passed = open("/dev/null", O_RDONLY | O_CLOEXEC);
	need(s->passed >= 0);
	return s;
}

static void *sockets_open_set(struct clients *all)
{
	struct sockets *s = sockets_open(all);

	s->epoll = epoll_create1(EPOLL_CLOEXEC);
	need(s->epoll >= 0);
	return s;
}

static void *sockets_open_memory(struct clients *all)
{
	struct sockets *s = sockets_open(all);

	s->memory = pages_new(all->board->amount);
	memset(s->memory, 0, all->board->amount);
	return s;
}

static void *sockets_open_rights(struct clients *all)
{
	struct sockets *s = sockets_open(all);

	s->rights = calloc(all->board->amount + RIGHTS_IN_PACKET, sizeof *s->rights);
	need(s->rights);
	return s;
}

static void sockets_start(void *server, unsigned i)
{
	struct sockets *s = server;
	struct epoll_event event = { .events = EPOLLIN };
	int ends[2], size = SEND_BUFFER;

	need(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
	if (s->memory)
		need(setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof size) == 0);
	clients_start(s->all, i, ends[1], launch_plain, NULL);
	close(ends[1]);
	s->fds[i] = event.data.fd = ends[0];
	if (s->epoll >= 0)
		need(epoll_ctl(s->epoll, EPOLL_CTL_ADD, ends[0], &event) == 0);
}

static void sockets_close(void *server)
{
	struct sockets *s = server;

	for (unsigned i = 0; i < s->all->n; i++)
		close(s->fds[i]);
	if (s->epoll >= 0)
		close(s->epoll);
	if (s->memory)
		munmap(s->memory, s->all->board->amount);
	close(s->passed);
	free(s->rights);
	free(s);
}

/* Reads one packet and answers it; false if it was a stop. */
static bool answer(const struct sockets *s, int fd)
{
	struct packet p;

	packet_read(fd, &p);
	if (p.kind == PACKET_STOP)
		return false;
	p.number++;
	if (p.kind == PACKET_OPEN)
		packet_write_with(fd, &p, &s->passed, 1);
	else
		packet_write(fd, &p);
	return true;
}

static void serve_one(void *server, unsigned n_clients)
{
	const struct sockets *s = server;

	need(n_clients == 1);
	while (answer(s, s->fds[0]))
		;
}

static void serve_set(void *server, unsigned n_clients)
{
	const struct sockets *s = server;
	struct epoll_event events[64];

	while (n_clients > 0) {
		int n = epoll_wait(s->epoll, events, sizeof events / sizeof *events, -1);

		need(n > 0);
		for (int i = 0; i < n; i++)
			n_clients -= !answer(s, events[i].data.fd);
	}
}

static void serve_stream(void *server, unsigned n_clients)
{
	struct sockets *s = server;
	struct packet p;

	need(n_clients == 1);
	for (;;) {
		packet_read(s->fds[0], &p);
		if (p.kind == PACKET_STOP)
			return;
		need(p.number == s->number++);
	}
}

/* A region is done when all of it came and was touched; then the client hears of it. */
static void serve_bulk(void *server, unsigned n_clients)
{
	struct sockets *s = server;
	size_t size = s->all->board->amount, done = 0;
	ssize_t got;

	need(n_clients == 1);
	for (;;) {
		got = read(s->fds[0], s->memory + done, CHUNK);
		if (done == 0 && got == sizeof(struct packet))
			return;
		need(got == CHUNK);
		done += CHUNK;
		if (done < size)
			continue;
		pages_check(s->memory, size, (unsigned char)s->number++);
		packet_write(s->fds[0], &(struct packet){ .number = s->number });
		done = 0;
	}
}

static void serve_rights(void *server, unsigned n_clients)
{
	struct sockets *s = server;
	struct packet p;
	size_t n;

	need(n_clients == 1);
	for (;;) {
		n = packet_read_with(s->fds[0], &p, s->rights + s->number);
		switch (p.kind) {
		case PACKET_STOP:
			return;
		case PACKET_RIGHTS:
			s->number += n;
			break;
		case PACKET_RELEASE:
			need(s->number == s->all->board->amount);
			while (s->number > 0)
				need(close(s->rights[--s->number]) == 0);
			packet_write(s->fds[0], &p);
			break;
		}
	}
}

/* ---- clients ---- */

static void *socket_join(const struct board *board)
{
	struct socket_client *c = calloc(1, sizeof *c);

	need(c);
	c->amount = board->amount;
	c->passed = -1;
	return c;
}

static void *socket_join_memory(const struct board *board)
{
	struct socket_client *c = socket_join(board);

	c->memory = pages_new(c->amount);
	return c;
}

static void *socket_join_rights(const struct board *board)
{
	struct socket_client *c = socket_join(board);

	c->passed = open("/dev/null", O_RDONLY | O_CLOEXEC);
	need(c->passed >= 0);
	return c;
}

static void socket_stop(void *client)
{
	(void)client;
	packet_write(CLIENT_FD, &(struct packet){ .kind = PACKET_STOP });
}

static void socket_leave(void *client)
{
	struct socket_client *c = client;

	if (c->memory)
		munmap(c->memory, c->amount);
	if (c->passed >= 0)
		close(c->passed);
	free(c);
}

static double call(void *client, uint64_t n)
{
	struct packet p = { .kind = PACKET_CALL };

	(void)client;
	for (; n; n--) {
		p.number = n;
		packet_write(CLIENT_FD, &p);
		packet_read(CLIENT_FD, &p);
		need(p.number == n + 1);
	}
	return 0;
}

static double call_open(void *client, uint64_t n)
{
	struct packet p = { .kind = PACKET_OPEN };
	int fd[RIGHTS_IN_PACKET];

	(void)client;
	for (; n; n--) {
		p.number = n;
		packet_write(CLIENT_FD, &p);
		need(packet_read_with(CLIENT_FD, &p, fd) == 1);
		need(p.number == n + 1 && close(fd[0]) == 0);
	}
	return 0;
}

static double stream(void *client, uint64_t n)
{
	struct socket_client *c = client;
	struct packet p = { .kind = PACKET_STREAM };

	for (; n; n--) {
		p.number = c->number++;
		packet_write(CLIENT_FD, &p);
	}
	return 0;
}

/* Filling is not counted. */
static double bulk(void *client, uint64_t n)
{
	struct socket_client *c = client;
	struct packet p;
	double uncounted = 0, start;

	for (; n; n--) {
		start = now();
		memset(c->memory, (unsigned char)c->number++, c->amount);
		uncounted += now() - start;
		for (size_t done = 0; done < c->amount; done += CHUNK)
			need(write(CLIENT_FD, c->memory + done, CHUNK) == CHUNK);
		packet_read(CLIENT_FD, &p);
		need(p.number == c->number);
	}
	return uncounted;
}

static double give_rights(void *client, uint64_t n)
{
	struct socket_client *c = client;
	struct packet p;
	int passed[RIGHTS_IN_PACKET];

	for (size_t i = 0; i < RIGHTS_IN_PACKET; i++)
		passed[i] = c->passed;
	for (; n; n--) {
		p = (struct packet){ .kind = PACKET_RIGHTS };
		for (size_t done = 0; done < c->amount; done += RIGHTS_IN_PACKET)
			packet_write_with(CLIENT_FD, &p, passed, RIGHTS_IN_PACKET);
		p = (struct packet){ .kind = PACKET_RELEASE };
		packet_write(CLIENT_FD, &p);
		packet_read(CLIENT_FD, &p);
	}
	return 0;
}

#define WIRE(role, n_warm, open_it, serve_it, close_it, join_it, work_it) \
	{ \
		.name = role, .warm = n_warm, .open = open_it, .start = sockets_start, .serve = serve_it, \
		.close = close_it, .join = join_it, .work = work_it, .stop = socket_stop, .leave = socket_leave \
	}

const struct wire socket_call = WIRE("socket-call", 100, sockets_open, serve_one, sockets_close, socket_join, call);
const struct wire socket_set = WIRE("socket-set", 100, sockets_open_set, serve_set, sockets_close, socket_join, call);
const struct wire socket_open =
	WIRE("socket-open", 100, sockets_open, serve_one, sockets_close, socket_join, call_open);
const struct wire socket_stream =
	WIRE("socket-stream", 100, sockets_open, serve_stream, sockets_close, socket_join, stream);
const struct wire socket_bulk =
	WIRE("socket-bulk", 1, sockets_open_memory, serve_bulk, sockets_close, socket_join_memory, bulk);
const struct wire socket_rights =
	WIRE("socket-rights", 1, sockets_open_rights, serve_rights, sockets_close, socket_join_rights, give_rights);
