/* SPDX-License-Identifier: MIT */
#include "link/packet.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define PACKET_MAGIC 0x6b505055u

/* Room for what a peer may send at once; what does not fit the host drops and flags. */
union control {
	char bytes[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(PACKET_MAX_FDS * sizeof(int))];
	struct cmsghdr align;
};

static void control_add(struct msghdr *msg, int type, const void *data, size_t size)
{
	struct cmsghdr *c = (struct cmsghdr *)((char *)msg->msg_control + msg->msg_controllen);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = type;
	c->cmsg_len = CMSG_LEN(size);
	memcpy(CMSG_DATA(c), data, size);
	msg->msg_controllen += CMSG_SPACE(size);
}

bool packet_send(int socket, enum packet_type type, uint64_t node, const int *fds, unsigned n_fds)
{
	struct packet packet = { PACKET_MAGIC, type, node };
	struct iovec iov = { &packet, sizeof packet };
	union control control = { 0 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control };
	struct ucred self = { getpid(), geteuid(), getegid() };
	ssize_t n;

	if (type == PACKET_GREETING)
		control_add(&msg, SCM_CREDENTIALS, &self, sizeof self);
	if (n_fds)
		control_add(&msg, SCM_RIGHTS, fds, n_fds * sizeof *fds);
	if (!msg.msg_controllen)
		msg.msg_control = NULL;
	do {
		n = sendmsg(socket, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	return n == (ssize_t)sizeof packet;
}

static void parcel_take_control(struct parcel *parcel, struct msghdr *msg, unsigned *n_fds)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		size_t size = c->cmsg_len - CMSG_LEN(0);

		if (c->cmsg_level != SOL_SOCKET)
			continue;
		if (c->cmsg_type == SCM_CREDENTIALS && size == sizeof parcel->sender) {
			memcpy(&parcel->sender, CMSG_DATA(c), size);
			parcel->has_sender = true;
		} else if (c->cmsg_type == SCM_RIGHTS) {
			*n_fds = (unsigned)(size / sizeof(int));
			memcpy(parcel->fds, CMSG_DATA(c), *n_fds * sizeof(int));
		}
	}
}

static bool packet_is_sound(const struct packet *packet, unsigned n_fds)
{
	static const unsigned expected[] = {
		[PACKET_GREETING] = 2,
		[PACKET_DESCRIPTOR] = 1,
		[PACKET_WAKE] = 0,
	};

	return packet->magic == PACKET_MAGIC && packet->type < sizeof expected / sizeof *expected &&
	       n_fds == expected[packet->type];
}

enum packet_received packet_receive(int socket, struct parcel *parcel)
{
	struct iovec iov = { &parcel->packet, sizeof parcel->packet };
	union control control;
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof control,
	};
	unsigned n_fds = 0, was_reset = 0;
	ssize_t n;

	parcel->has_sender = false;
	for (unsigned i = 0; i < PACKET_MAX_FDS; i++)
		parcel->fds[i] = -1;
	/* If the peer died with something unread, the host says so once (ECONNRESET), before what the peer had sent. */
	do {
		n = recvmsg(socket, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	} while (n < 0 && (errno == EINTR || (errno == ECONNRESET && !was_reset++)));
	if (n < 0)
		return errno == EAGAIN || errno == EWOULDBLOCK ? PACKET_NONE : PACKET_END;
	if (n == 0)
		return PACKET_END;
	parcel_take_control(parcel, &msg, &n_fds);
	if (n == (ssize_t)sizeof parcel->packet && !(msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) &&
	    packet_is_sound(&parcel->packet, n_fds))
		return PACKET_CAME;
	/* Those that find no room in our table are lost; perhaps the first of two does. */
	if (n == (ssize_t)sizeof parcel->packet && (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == MSG_CTRUNC) {
		if (n_fds == 0 && packet_is_sound(&parcel->packet, 1) && parcel->packet.type == PACKET_DESCRIPTOR)
			return PACKET_CAME;
		parcel_close(parcel);
		if (n_fds < 2 && packet_is_sound(&parcel->packet, 2))
			return PACKET_LOST;
	}
	parcel_close(parcel);
	return PACKET_BROKEN;
}

void parcel_close(struct parcel *parcel)
{
	for (unsigned i = 0; i < PACKET_MAX_FDS; i++) {
		if (parcel->fds[i] >= 0)
			close(parcel->fds[i]);
		parcel->fds[i] = -1;
	}
}
