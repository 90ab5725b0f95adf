/* SPDX-License-Identifier: MIT */
#include "wire.h"

#include <errno.h>
#include <fcntl.h>
#include <mach/message.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

void nap(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = 500000 }, NULL);
}

/* ---- making one --------------------------------------------------------------------------------------------------- */

uint64_t peer_id_new(void)
{
	static uint32_t n;

	return (uint64_t)(uint32_t)getpid() << 32 | ++n;
}

void peer_init(struct peer *p, int socket, uint64_t id)
{
	int on = 1;

	*p = (struct peer){ .socket = socket, .id = id, .their_doorbell = -1, .reads = true };
	(void)setsockopt(socket, SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
	p->memfd = memfd_create("hostile-link", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (p->memfd < 0 || ftruncate(p->memfd, RING_MEMORY) < 0 || pipe2(p->doorbell, O_CLOEXEC | O_NONBLOCK) < 0)
		abort();
	p->own = mmap(NULL, RING_MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED, p->memfd, 0);
	if (p->own == MAP_FAILED)
		abort();
	p->own->magic = RING_MAGIC;
	p->own->version = RING_VERSION;
	p->own->layout = MACH_MSG_USER_ALIGNMENT;
	p->own->size = RING_SIZE;
	p->own->sleep = 1;
}

void peer_seal(struct peer *p)
{
	(void)fcntl(p->memfd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL);
}

struct greeting peer_greeting(const struct peer *p)
{
	return (struct greeting){
		.magic = PACKET_MAGIC,
		.type = PACKET_GREETING,
		.id = p->id,
		.fds = { p->memfd, p->doorbell[0] },
		.n_fds = 2,
		.size = sizeof(struct packet),
	};
}

void peer_send_greeting(struct peer *p, const struct greeting *g)
{
	unsigned char bytes[64] = { 0 };
	struct packet packet = { g->magic, g->type, g->id };

	memcpy(bytes, &packet, sizeof packet);
	(void)peer_send_packet(p, bytes, g->size, g->fds, g->n_fds);
}

static bool is_readable(int fd)
{
	struct pollfd pollfd = { .fd = fd, .events = POLLIN };

	return poll(&pollfd, 1, 20000) > 0;
}

/* The next packet; descriptors beyond the second are closed. 0: the end. */
static ssize_t packet_take(struct peer *p, struct packet *packet, int fds[2], int flags)
{
	char control[512];
	struct iovec iov = { packet, sizeof *packet };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control
	};
	ssize_t n = recvmsg(p->socket, &msg, MSG_CMSG_CLOEXEC | flags);

	fds[0] = fds[1] = -1;
	if (n <= 0)
		return n;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
		unsigned n_fds = (unsigned)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));

		for (unsigned i = 0; c->cmsg_type == SCM_RIGHTS && i < n_fds; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
			if (i < 2)
				fds[i] = fd;
			else
				close(fd);
		}
	}
	return n;
}

bool peer_await_greeting(struct peer *p)
{
	struct packet packet;
	struct stat st;
	void *theirs;
	int fds[2];

	do {
		if (!is_readable(p->socket) || packet_take(p, &packet, fds, 0) <= 0)
			return false;
	} while (packet.type != PACKET_GREETING);
	theirs = mmap(NULL, RING_MEMORY, PROT_READ, MAP_SHARED, fds[0], 0);
	if (theirs == MAP_FAILED)
		return false;
	p->theirs = theirs;
	if (fstat(fds[0], &st) == 0)
		p->their_mode = st.st_mode & 07777;
	p->their_doorbell = fds[1];
	p->other_id = packet.node;
	close(fds[0]);
	return true;
}

bool peer_greet(struct peer *p)
{
	struct greeting g = peer_greeting(p);
	bool is_first = !p->other_id || p->id > p->other_id;

	peer_seal(p);
	if (!is_first && !peer_await_greeting(p))
		return false;
	peer_send_greeting(p, &g);
	return !is_first || peer_await_greeting(p);
}

void peer_deinit(struct peer *p)
{
	close(p->socket);
	close(p->memfd);
	close(p->doorbell[0]);
	close(p->doorbell[1]);
	if (p->their_doorbell >= 0)
		close(p->their_doorbell);
	munmap(p->own, RING_MEMORY);
	if (p->theirs)
		munmap((void *)p->theirs, RING_MEMORY);
}

/* ---- sending ------------------------------------------------------------------------------------------------------ */

bool peer_send_packet(struct peer *p, const void *bytes, size_t size, const int *fds, unsigned n_fds)
{
	char control[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(64 * sizeof(int))] = { 0 };
	struct iovec iov = { (void *)bytes, size };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	struct ucred self = { getpid(), geteuid(), getegid() };
	ssize_t n;

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_CREDENTIALS;
	c->cmsg_len = CMSG_LEN(sizeof self);
	memcpy(CMSG_DATA(c), &self, sizeof self);
	msg.msg_controllen = CMSG_SPACE(sizeof self);
	if (n_fds) {
		c = (struct cmsghdr *)(control + msg.msg_controllen);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n_fds * sizeof *fds);
		memcpy(CMSG_DATA(c), fds, n_fds * sizeof *fds);
		msg.msg_controllen += CMSG_SPACE(n_fds * sizeof *fds);
	}
	do {
		n = sendmsg(p->socket, &msg, MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	return n == (ssize_t)size;
}

bool peer_pass(struct peer *p, int fd)
{
	struct packet packet = { PACKET_MAGIC, PACKET_DESCRIPTOR, 0 };

	return peer_send_packet(p, &packet, sizeof packet, &fd, 1);
}

bool peer_wake(struct peer *p)
{
	struct packet packet = { PACKET_MAGIC, PACKET_WAKE, 0 };

	return peer_send_packet(p, &packet, sizeof packet, NULL, 0);
}

void peer_ring(struct peer *p)
{
	(void)!write(p->doorbell[1], "", 1);
}

static unsigned char *ring_at(const struct ring_page *page, uint32_t at)
{
	return (unsigned char *)page + RING_DATA + at % RING_SIZE;
}

void peer_publish(struct peer *p, uint32_t tail)
{
	atomic_store(&p->own->tail, tail);
	peer_ring(p);
	(void)peer_wake(p);
}

void peer_put_raw(struct peer *p, const void *bytes, uint32_t size)
{
	for (uint32_t i = 0; i < size; i++)
		*ring_at(p->own, p->tail + i) = ((const unsigned char *)bytes)[i];
	p->tail += size;
	peer_publish(p, p->tail);
}

static bool is_over(struct peer *p)
{
	struct pollfd pollfd = { .fd = p->socket, .events = POLLRDHUP };

	return poll(&pollfd, 1, 0) > 0 && (pollfd.revents & (POLLRDHUP | POLLHUP | POLLERR));
}

static bool has_room(struct peer *p, uint32_t size)
{
	return RING_SIZE - (p->tail - atomic_load(&p->theirs->head)) >= size;
}

bool peer_put(struct peer *p, const void *frame, uint32_t size)
{
	uint32_t left = RING_SIZE - p->tail % RING_SIZE, padding = size > left ? left : 0;
	struct frame pad = { padding, FRAME_PAD, 0 };

	for (int tries = 0; !has_room(p, padding + size); tries++) {
		if (is_over(p) || tries > 40000)
			return false;
		if (p->reads)
			peer_drain(p);
		nap();
	}
	if (padding) {
		memcpy(ring_at(p->own, p->tail), &pad, sizeof pad);
		p->tail += padding;
	}
	memcpy(ring_at(p->own, p->tail), frame, size);
	p->tail += size;
	atomic_store(&p->own->tail, p->tail);
	if (atomic_load(&p->theirs->sleep))
		peer_ring(p);
	if (!atomic_load(&p->theirs->is_attended))
		return peer_wake(p);
	return !is_over(p);
}

/* ---- receiving ---------------------------------------------------------------------------------------------------- */

static void took(struct peer *p, uint32_t size)
{
	p->head += size;
	atomic_store(&p->own->head, p->head);
	atomic_thread_fence(memory_order_seq_cst);
	if (p->theirs->is_full)
		peer_ring(p);
}

static bool has_more(struct peer *p)
{
	return p->theirs && atomic_load(&p->theirs->tail) != p->head;
}

void peer_drain(struct peer *p)
{
	unsigned char frame[RING_FRAME_MAX];

	while (has_more(p)) {
		struct frame header;

		memcpy(&header, ring_at(p->theirs, p->head), sizeof header);
		memcpy(frame, ring_at(p->theirs, p->head), header.type == FRAME_PAD ? sizeof header : header.size);
		took(p, header.size);
		if (p->skipped)
			p->skipped(p, frame);
	}
}

static bool take_any(struct peer *p, void *frame, uint32_t size, enum frame_type *type)
{
	struct frame header;

	for (;;) {
		if (!soon(has_more(p) || is_over(p)) || !has_more(p))
			return false;
		memcpy(&header, ring_at(p->theirs, p->head), sizeof header);
		if (header.type != FRAME_PAD)
			break;
		took(p, header.size);
	}
	memcpy(frame, ring_at(p->theirs, p->head), header.size < size ? header.size : size);
	*type = header.type;
	took(p, header.size);
	return true;
}

bool peer_take(struct peer *p, void *frame, uint32_t size)
{
	enum frame_type type;

	return take_any(p, frame, size, &type);
}

bool peer_take_type(struct peer *p, enum frame_type wanted, void *frame, uint32_t size)
{
	unsigned char any[RING_FRAME_MAX];
	enum frame_type type;

	for (;;) {
		if (!take_any(p, any, sizeof any, &type))
			return false;
		if (type == wanted)
			break;
		if (p->skipped)
			p->skipped(p, any);
	}
	memcpy(frame, any, size);
	return true;
}

bool peer_is_dropped(struct peer *p)
{
	struct packet packet;
	int fds[2];
	ssize_t n;

	do {
		if (!is_readable(p->socket))
			return false;
		n = packet_take(p, &packet, fds, 0);
		for (int i = 0; i < 2; i++)
			if (fds[i] >= 0)
				close(fds[i]);
	} while (n > 0);
	return true;
}

/* ---- frames ------------------------------------------------------------------------------------------------------- */

void writing_add(struct writing *w, const void *bytes, size_t size)
{
	size_t padded = (size + 7) & ~(size_t)7;

	if (w->size + padded > sizeof w->bytes)
		abort();
	memset(w->bytes + w->size, 0, padded);
	memcpy(w->bytes + w->size, bytes, size);
	w->size += (uint32_t)padded;
}

static struct frame_message *begin(struct writing *w, uint32_t index, uint8_t kind, mach_msg_id_t id)
{
	struct frame_message f = { .header = { 0, FRAME_MESSAGE, 0 }, .index = index, .kind = kind, .id = id };

	w->size = 0;
	writing_add(w, &f, sizeof f);
	return (struct frame_message *)(void *)w->bytes;
}

struct frame_message *message_begin(struct writing *w, uint32_t index, uint8_t kind, mach_msg_id_t id)
{
	struct frame_message *f = begin(w, index, kind, id);

	writing_add(w, &right_none, sizeof right_none);
	return f;
}

bool message_put(struct peer *p, struct writing *w)
{
	((struct frame *)(void *)w->bytes)->size = w->size;
	return peer_put(p, w->bytes, w->size);
}

bool message_send(struct peer *p, uint32_t index, uint8_t kind, mach_msg_id_t id)
{
	struct writing w;

	(void)message_begin(&w, index, kind, id);
	return message_put(p, &w);
}

struct frame_message *complex_begin(struct writing *w, uint32_t index, mach_msg_id_t id, struct wire_right reply,
				    unsigned type, unsigned n)
{
	struct frame_message *f = begin(w, index, MACH_MSG_TYPE_PORT_SEND, id);
	mach_port_name_inlined_t none[64] = { 0 };
	mach_msg_type_t t = { 0 };
	unsigned char body[sizeof t + sizeof none];

	t.msgt_name = type & 0xff;
	t.msgt_size = 8 * sizeof *none;
	t.msgt_number = n & 0xff;
	t.msgt_inline = 1;
	memcpy(body, &t, sizeof t);
	memcpy(body + sizeof t, none, n * sizeof *none);
	f->flags = MESSAGE_IS_COMPLEX;
	f->body_size = (uint32_t)(sizeof t + n * sizeof *none);
	writing_add(w, &reply, sizeof reply);
	writing_add(w, body, f->body_size);
	return f;
}

bool index_send(struct peer *p, enum frame_type type, uint32_t index, int32_t sends, int32_t onces, uint32_t is_end)
{
	struct frame_index f = { { sizeof f, (uint16_t)type, 0 }, index, sends, onces, is_end };

	return peer_put(p, &f, sizeof f);
}

bool ticket_send(struct peer *p, enum frame_type type, uint64_t node, uint64_t number, struct wire_right right)
{
	struct frame_ticket f = { .header = { sizeof f, (uint16_t)type, 0 }, .node = node, .number = number };

	f.right = right;
	return peer_put(p, &f, sizeof f);
}

bool introduction_send(struct peer *p, uint64_t node, int fd)
{
	struct frame_introduction f = { { sizeof f, FRAME_INTRODUCTION, 0 }, node };

	return peer_pass(p, fd) && peer_put(p, &f, sizeof f);
}
