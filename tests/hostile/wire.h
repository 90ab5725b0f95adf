/* SPDX-License-Identifier: MIT */
/* A peer that speaks the protocol of docs/links.md by hand, so that it can say what no library would. It shares the names
 * and layouts of frames with the library, and no code. */
#ifndef TESTS_HOSTILE_WIRE_H
#define TESTS_HOSTILE_WIRE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "link/frame.h"
#include "link/packet.h"

/* A node of our own choice, and its link to one other. */
struct peer {
	int socket;
	uint64_t id, other_id;	/* other_id: 0 before its greeting */
	int memfd, doorbell[2]; /* ours: memory; the other end watches doorbell[0] */
	int their_doorbell;
	mode_t their_mode; /* of their memory */
	struct ring_page *own;
	const struct ring_page *theirs;
	uint32_t tail, head;
	bool reads;					    /* takes what comes while it waits; true at first */
	void (*skipped)(struct peer *p, const void *frame); /* or NULL: what is done about frames that nobody takes */
};

/* What a greeting says; each field can be spoilt between peer_init() and peer_greet(). */
struct greeting {
	uint32_t magic, type;
	uint64_t id;
	int fds[4];
	unsigned n_fds;
	size_t size; /* of the packet */
};

enum { PACKET_MAGIC = 0x6b505055, RING_MAGIC = 0x50724e75, RING_VERSION = 1 };

/* ---- making one */

uint64_t peer_id_new(void); /* of this process, each time another */
/* Takes the socket. Memory and doorbell are made, and the memory is not sealed yet. */
void peer_init(struct peer *p, int socket, uint64_t id);
void peer_seal(struct peer *p);
struct greeting peer_greeting(const struct peer *p);
void peer_send_greeting(struct peer *p, const struct greeting *g);
/* What it should be: seals, greets and takes the other's greeting. False: that does not come. */
bool peer_greet(struct peer *p);
bool peer_await_greeting(struct peer *p);
void peer_deinit(struct peer *p);

/* ---- sending */

bool peer_send_packet(struct peer *p, const void *bytes, size_t size, const int *fds, unsigned n_fds);
bool peer_pass(struct peer *p, int fd); /* for a frame to come; stays open here */
bool peer_wake(struct peer *p);
void peer_ring(struct peer *p);
/* Puts a frame, of which header.size has been set, waiting for room; then wakes the other end in every way. False: the link is
 * over. */
bool peer_put(struct peer *p, const void *frame, uint32_t size);
/* Bytes that need be no frame, without looking for room. */
void peer_put_raw(struct peer *p, const void *bytes, uint32_t size);
void peer_publish(struct peer *p, uint32_t tail);

/* ---- receiving */

/* The next frame, waited for; @size is its room. False: the link is over, or nothing comes. */
bool peer_take(struct peer *p, void *frame, uint32_t size);
/* The next one of a type; others are skipped. */
bool peer_take_type(struct peer *p, enum frame_type type, void *frame, uint32_t size);
/* Reads until the other end has closed the socket. False: it does not. */
bool peer_is_dropped(struct peer *p);
/* Takes in what is there, without waiting. */
void peer_drain(struct peer *p);

/* ---- frames */

/* A message with a body, and rights: as it is put. */
struct letter_frame {
	union {
		struct frame_message message;
		unsigned char bytes[RING_FRAME_MAX];
	};
};

/* A right of theirs, or of ours. */
#define right_yours(kind, index) ((struct wire_right){ WIRE_YOURS, (kind), 0, (index) })
#define right_moved(kind, index) ((struct wire_right){ WIRE_YOURS_MOVED, (kind), 0, (index) })
#define right_mine(kind, index)	 ((struct wire_right){ WIRE_MINE, (kind), 5, (index) })
#define right_none		 ((struct wire_right){ WIRE_NULL, 0, 0, 0 })

/* A message frame under construction. */
struct writing {
	_Alignas(8) unsigned char bytes[RING_FRAME_MAX];
	uint32_t size;
};

struct frame_message *message_begin(struct writing *w, uint32_t index, uint8_t kind, mach_msg_id_t id);
void writing_add(struct writing *w, const void *bytes, size_t size);
bool message_put(struct peer *p, struct writing *w); /* sets the frame's size */
/* One without a body. */
bool message_send(struct peer *p, uint32_t index, uint8_t kind, mach_msg_id_t id);
/* One whose body has one descriptor of @n rights of a type; their wire_rights are to be added. The reply right is @reply. */
struct frame_message *complex_begin(struct writing *w, uint32_t index, mach_msg_id_t id, struct wire_right reply,
				    unsigned type, unsigned n);

bool index_send(struct peer *p, enum frame_type type, uint32_t index, int32_t sends, int32_t onces, uint32_t is_end);
bool ticket_send(struct peer *p, enum frame_type type, uint64_t node, uint64_t number, struct wire_right right);
bool introduction_send(struct peer *p, uint64_t node, int fd);

/* False, after a while: it does not become true. */
#define soon(condition) \
	({ \
		int tries_ = 0; \
		bool is_true_; \
		while (!(is_true_ = (condition)) && tries_++ < 40000) \
			nap(); \
		is_true_; \
	})
void nap(void);

#endif
