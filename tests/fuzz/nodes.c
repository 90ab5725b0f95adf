/* SPDX-License-Identifier: MIT */
#include "nodes.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "balance.h"
#include "kernel/thread.h"
#include "link/export.h"
#include "link/poller.h"

/* ---- the node ----------------------------------------------------------------------------------------------------- */

enum { OUR_NUMBER = 0x80000000 };

static bool is_starting;

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument);

static void *volatile background; /* what the thread would have been; kept, for leak checkers */

/* As the node is made, its background thread is not. */
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument)
{
	if (!is_starting)
		return __real_pthread_create(thread, attributes, start, argument);
	background = argument;
	return 0;
}

static unsigned n_lines;

static ssize_t take_line(void *unused, const char *line, size_t size)
{
	(void)unused;
	if (strncmp(line, "portunus: link to process ", 26) == 0)
		n_lines++;
	else if (write(2, line, size) < 0)
		return 0;
	return (ssize_t)size;
}

static void count_lines(void)
{
	static char buffer[1024];
	FILE *counter = fopencookie(NULL, "w", (cookie_io_functions_t){ .write = take_line });

	check(counter && setvbuf(counter, buffer, _IOLBF, sizeof buffer) == 0);
	stderr = counter;
}

void nodes_init(void)
{
	(void)thread_self();
	signal(SIGPIPE, SIG_IGN);
	is_starting = true;
	check(node_init(OUR_NUMBER));
	is_starting = false;
	count_lines();
	limits.links = 8;
	limits.queued = 4 << 20;
	limits.announced = 1 << 20;
}

unsigned nodes_take_lines(void)
{
	unsigned n = n_lines;

	n_lines = 0;
	return n;
}

void nodes_look(void)
{
	poller_look(true);
}

/* ---- the others --------------------------------------------------------------------------------------------------- */

struct link *node_new(struct peer *p, uint32_t number, enum link_role role)
{
	uint64_t id = (uint64_t)(uint32_t)getpid() << 32 | number;
	struct link *link;
	int ends[2];

	check(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
	peer_init(p, ends[1], id);
	link = link_new(ends[0], role, id);
	check(link);
	lock_take(&node.lock);
	link_ref_locked(link);
	lock_drop(&node.lock);
	check(link_begin(link));
	return link;
}

void node_drop_link(struct link *link)
{
	lock_take(&node.lock);
	link_unref_locked(link);
	lock_drop(&node.lock);
}

bool node_greet(struct peer *p)
{
	struct greeting g = peer_greeting(p);
	bool is_first = p->id > node.id;

	peer_seal(p);
	if (!is_first && !peer_await_greeting(p))
		return false;
	peer_send_greeting(p, &g);
	nodes_look();
	return !is_first || peer_await_greeting(p);
}

void node_end(struct peer *p)
{
	peer_deinit(p);
	p->socket = -1;
}

static unsigned char *ring_at(const struct ring_page *page, uint32_t at)
{
	return (unsigned char *)page + RING_DATA + at % RING_SIZE;
}

bool node_put(struct peer *p, const void *frame, uint32_t size)
{
	uint32_t left = RING_SIZE - p->tail % RING_SIZE, padding = size > left ? left : 0;
	struct frame pad = { padding, FRAME_PAD, 0 };

	if (p->socket < 0 || !p->theirs || RING_SIZE - (p->tail - atomic_load(&p->theirs->head)) < padding + size)
		return false;
	if (padding)
		memcpy(ring_at(p->own, p->tail), &pad, sizeof pad);
	p->tail += padding;
	memcpy(ring_at(p->own, p->tail), frame, size);
	p->tail += size;
	atomic_store(&p->own->tail, p->tail);
	return true;
}

static void drain_socket(struct peer *p)
{
	char bytes[64], control[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(4 * sizeof(int))];
	struct iovec iov = { bytes, sizeof bytes };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control };

	for (;;) {
		msg.msg_controllen = sizeof control;
		if (recvmsg(p->socket, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) <= 0)
			return;
		for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
			size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

			for (size_t i = 0; c->cmsg_type == SCM_RIGHTS && i < n; i++) {
				int fd;

				memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
				close(fd);
			}
		}
	}
}

bool node_drain(struct peer *p, void (*each)(struct peer *p, const void *frame))
{
	bool has_any = false;

	if (p->socket < 0 || !p->theirs)
		return false;
	drain_socket(p);
	while (atomic_load(&p->theirs->tail) != p->head) {
		const void *at = ring_at(p->theirs, p->head);
		struct frame header;

		memcpy(&header, at, sizeof header);
		check(header.size >= sizeof header && header.size % 8 == 0);
		if (each)
			each(p, at);
		p->head += header.size;
		has_any = true;
	}
	atomic_store(&p->own->head, p->head);
	return has_any;
}

static void answer(struct peer *p, enum frame_type type, uint32_t index, int32_t sends, int32_t onces)
{
	struct frame_index f = { { sizeof f, (uint16_t)type, 0 }, index, sends, onces, 0 };

	(void)node_put(p, &f, sizeof f);
}

/* It knows of no such tickets, and gives back what it never asked for. */
void node_answer_honestly(struct peer *p, const void *frame)
{
	const struct frame *header = frame;
	const struct frame_index *index = frame;
	const struct frame_ticket *ticket = frame;
	struct frame_ticket no = { .header = { sizeof no, FRAME_VOID, 0 } };
	bool is_send;

	if (header->type == FRAME_QUERY) {
		no.node = ticket->node;
		no.number = ticket->number;
		(void)node_put(p, &no, sizeof no);
	} else if (header->type == FRAME_READY && (index->sends || index->onces)) {
		answer(p, FRAME_COUNT, index->index, -index->sends, -index->onces);
	} else if (header->type == FRAME_OFFER && (ticket->right.form & WIRE_FORM) == WIRE_MINE && ticket->right.kind) {
		is_send = ticket->right.kind == MACH_MSG_TYPE_PORT_SEND;
		answer(p, FRAME_COUNT, ticket->right.value, -is_send, -!is_send);
	}
}

bool link_is_well(const struct link *link)
{
	return link->state == LINK_LIVE && !link->is_broken;
}

void nodes_check_empty(const struct link *friend, unsigned n_exports)
{
	check(list_first(&node.all_links, struct link, node_link) == friend &&
	      node.all_links.prev == node.all_links.next);
	check(node.n_links == 1 && !node.meetings && !node.noted);
	check(list_is_empty(&node.parked) && list_is_empty(&node.deposits) && list_is_empty(&node.queries));
	check(list_is_empty(&node.moves) && list_is_empty(&node.settlers) && list_is_empty(&node.relocations));
	check(list_is_empty(&node.flushes) && list_is_empty(&node.kept) && list_is_empty(&node.unsent));
	check(link_is_well(friend) && friend->n_waiting == 0 && friend->n_tickets == 0);
	check(friend->proxies.n_used == 0 && friend->adopted_proxies.n_used == 0 && friend->n_settlers == 0);
	check(friend->exports.n_used == n_exports && friend->adopted_exports.n_used == 0 &&
	      list_is_empty(&friend->backlog));
}
