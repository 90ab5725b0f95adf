/* SPDX-License-Identifier: MIT */
#pragma once

/* Bulk: memory out of line that is too large for a frame goes before its message, piece by piece, through the ring. The
 * sender copies into the ring while the receiver copies out of it into memory of its own, so what came can be changed by
 * nobody, and no descriptor is needed for it. One memory at a time, in the order in which the messages need them. Handing over
 * pages instead would take longer: docs/performance.md, process-move.
 *
 * Memory that a program keeps is *lent* to the link for as long as it is in the call that sends (link_send_lent()):
 *   L1  it has been read once before anything of the message is sent, so that a bad address is the call's error
 *   L2  it is looked at with no lock held; meanwhile its frame stays the first that waits for room, so nobody else puts
 *   L3  what is left when the receiver stops taking is copied into memory of the message's own, which was mapped at L1
 *   L4  if the link ends, the frame is out of the backlog, but only the lender frees it
 * What leaves later than in the call (send.c, outbound.c) is not lent but copied before. */

#include <stdbool.h>
#include <stddef.h>

#include "kernel/memory.h"
#include "link/ring.h"
#include "platform/list.h"

struct link;

/* The content of a frame that is larger than a ring takes goes likewise, before the frame (FRAME_CONTENT). For that the receiver
 * waits if there is no memory, though not for ever: then the link ends. */
enum { CONTENT_PATIENCE_MS = 1000 };

enum {
	BULK_FROM = 4096 + 1, /* bytes */
	BULK_LENT_FROM =
		RING_SIZE, /* what is sent straight out of the memory of a program that keeps it: link_send_lent() */
};

static inline bool bulk_is_large(size_t size)
{
	return size >= BULK_FROM;
}

/* Sends what is in @m, which it takes. */
void bulk_send_locked(struct link *link, struct memory *m);

/* The receiving side, part of a link; the poller's. */
struct bulk {
	unsigned patience_ms; /* how long memory is waited for; then it is lost */
	struct memory coming; /* a memory of which not all has come */
	size_t n_come;
	struct list done; /* struct arrived: complete, oldest first */
	size_t n_bytes;	  /* in all of them */
};

void bulk_init(struct bulk *bulk, unsigned patience_ms);
void bulk_deinit(struct bulk *bulk);

/* A piece: @total is not 0 for the first of a memory. False: the peer breaks the rules. */
bool bulk_take_piece(struct bulk *bulk, size_t total, const void *bytes, size_t size);
/* The oldest complete memory, which must have that size, or what was lost of it. False: it is another, or none. */
bool bulk_claim(struct bulk *bulk, size_t size, struct memory *m);
