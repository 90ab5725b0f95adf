/* SPDX-License-Identifier: MIT */
#pragma once

/* Limits: what one peer may have us keep. <portunus/limits.h> tells users of those that can be set; what else is bounded is
 * here, and needs no setting: an honest peer stays far below.
 *
 * Where a peer breaks the rules, or takes more than an honest one can need, its link ends. Where one may ask for more than
 * there is, its own doing fails or waits: nobody else notices. */

#include <stdatomic.h>
#include <stdint.h>

/* May be changed at any time, by whoever likes. */
extern struct limits {
	atomic_uint links, exports;
	atomic_ulong queued, backlog, announced; /* bytes */
} limits;

enum {
	LINK_MAX_EXPORTS = 1 << 20,
	LINK_MAX_FDS = 64,	     /* descriptors that came before the frames that need them */
	LINK_MAX_MEETINGS = 1 << 18, /* tickets by one giver that wait for their offers */
	LINK_MAX_OFFERS = 1 << 16,   /* offers by one owner that wait for tickets of one giver */
	LINK_MAX_WAITING = 1 << 16,  /* deposits, questions, moves, holders that move: what waits for others */
	LINK_MAX_SETTLERS = 1 << 14, /* holders that one former home has told us of */
	LINK_MAX_UNITS = 1 << 24,    /* of send rights to one port */
	LINK_MAX_ONCES = 1 << 18,    /* of send-once rights; each may make a notification */
	LINK_MAX_HOLDERS = 1 << 16,  /* of a port that moves */
	LINK_MAX_ITEMS = 1 << 20,    /* of a message */
};
