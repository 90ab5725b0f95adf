/* SPDX-License-Identifier: MIT */
#pragma once

/* Packets: what goes over a link's socket, one datagram each, beside the frames in the rings. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

enum packet_type {
	PACKET_GREETING,   /* who I am; with my memory and my doorbell */
	PACKET_DESCRIPTOR, /* with a descriptor for a frame to come */
	PACKET_WAKE,	   /* look at my ring although nobody attends */
};

struct packet {
	uint32_t magic;
	uint32_t type;
	uint64_t node; /* GREETING: mine */
};

enum { PACKET_MAX_FDS = 2 };

/* A packet that came. */
struct parcel {
	struct packet packet;
	int fds[PACKET_MAX_FDS]; /* the receiver's to close; -1: none, or (DESCRIPTOR) lost for want of descriptors */
	bool has_sender;
	struct ucred sender; /* as the host vouches for it */
};

/* False: the socket is full (errno EAGAIN) or dead. Descriptors stay the caller's. */
bool packet_send(int socket, enum packet_type type, uint64_t node, const int *fds, unsigned n_fds);

/* LOST: a greeting, for whose descriptors we have no room. */
enum packet_received { PACKET_NONE, PACKET_CAME, PACKET_END, PACKET_BROKEN, PACKET_LOST };
enum packet_received packet_receive(int socket, struct parcel *parcel);
void parcel_close(struct parcel *parcel);
