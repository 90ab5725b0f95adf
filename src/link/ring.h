/* SPDX-License-Identifier: MIT */
#pragma once

/* Ring: frames from one process to another through memory that only the sender writes.
 *
 * Each end of a link has one memory of its own (a sealed memfd), which the other maps read-only. It holds the ring of
 * what this end sends, and what this end, as the consumer of the other's ring, lets the other know:
 *
 *   offset  bytes  field     meaning
 *        0     16  constants: magic, version, layout of messages, size of the ring; looked at once, in the greeting
 *       64      4  tail      bytes ever put into this ring, mod 2^32
 *       68      4  cpu       on which this end last put something
 *       72      4  is_full   1: something waits for room in this ring
 *      128      4  head      bytes ever taken out of the other's ring, mod 2^32
 *      132      4  head_cpu  on which this end last took something; ~0: nothing yet
 *      192      8  sleep     not 0: whoever serves the links of this end sleeps, for that many times now, and wants its
 *                            doorbell rung for the first frame that comes
 *      256      4  is_attended   0: nobody serves the links of this end: urgent frames want a packet on the socket
 *      512      n  data      n = RING_SIZE; from the first page on, which is all that a link with little under way touches
 *
 *   I1  tail - head <= n.
 *   I2  bytes in [head, tail) stay as they are until head passes them. (An honest end's; the other copies them once.)
 *   I3  a frame is contiguous, starts at a multiple of 8, and begins with struct frame. What does not fit before the end
 *       of the data is preceded by a FRAME_PAD up to there, and large content by one that makes it begin a line.
 *
 *   put:   P1 data     P2 tail (release)    P3 fence seq_cst     P4 urgent and not is_attended: a packet on the socket
 *                                                                P5 else sleep, not rung for: ring the doorbell
 *   take:  C1 sleep = next   C2 fence seq_cst   C3 tail (acquire)   C4 nothing there: sleep   C0 awake: sleep = 0, look
 *   room:  P6 is_full = 1  P7 fence  P8 head again            C5 head (release)  C6 fence  C7 is_full: ring the doorbell
 *          (not P6 as long as somebody watches head; the last to stop that does P6 to P8)
 *   No lost wake: of two seq_cst fences one is first, so C3 sees P2 or P5 sees C1; C7 sees P6 or P8 sees C5. Leaving is
 *   as C1..C3 with is_attended = 0 for sleep. A doorbell that was rung is heard: what it ends is the sleep that it was rung
 *   for or a later one. So who sees at P5 a sleep that was rung for already, by a frame before, has nothing to do.
 *   Death: the other end may be killed between any two steps; what is not before tail was never sent.
 *   Trust: none. tail is read once for each look and checked against I1; a header is read once, checked, and only the
 *   copy is used. An end that breaks I1 or I3 loses the link.
 *   Not promised: that head is published for each frame; it is at the end of each look and every quarter of the ring. */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	RING_SIZE = 1 << 16, /* bytes of data */
	RING_FRAME_MAX = RING_SIZE / 4,
	RING_DATA = 512, /* offset of the data */
	RING_MEMORY = RING_DATA + RING_SIZE,
};

/* Every frame begins so. */
struct frame {
	uint32_t size; /* bytes, this header included; a multiple of 8 */
	uint16_t type; /* enum frame_type */
	uint16_t flags;
};

/* The first page of an end's memory. */
struct ring_page {
	uint32_t magic, version, layout, size;
	_Alignas(64) atomic_uint tail;
	atomic_uint cpu, is_full;
	_Alignas(64) atomic_uint head, head_cpu;
	_Alignas(64) atomic_ullong sleep;
	_Alignas(64) atomic_uint is_attended;
};

/* One end: its own memory, the other's, and where it is in both rings. */
struct ring {
	struct ring_page *own;	       /* NULL: none */
	const struct ring_page *other; /* NULL until the greeting has come */
	uint32_t tail;		       /* of the own ring: put */
	atomic_uint known_head;	       /* known to be taken */
	/* As it was said when we last looked; ring_has_new_room() may be asked by whoever likes. */
	atomic_uint seen_head;
	atomic_bool is_wrong;	  /* the other end has said that it took what was not there, or took something back */
	uint32_t head, told_head; /* of the other's: taken; published */
	uint64_t n_sleeps;	  /* of this end */
	uint64_t rung;		  /* the sleep of the other end for which its doorbell was rung last */
	unsigned n_watchers;	  /* who look for room without being told; guarded by node.lock */
};

/* Makes the own memory; *memfd, sealed, is for the other end. False with errno: no memory or descriptor. */
bool ring_init(struct ring *ring, int *memfd);
/* Maps the other end's memory. False: it is not what it should be (size, seals, constants), or cannot be mapped (errno
 * ENOMEM). */
bool ring_join(struct ring *ring, int memfd);
void ring_deinit(struct ring *ring);

/* Puts a frame of @size bytes, at most RING_FRAME_MAX. False: no room; is_full is set, and the other end will ring, unless somebody
 * watches. */
bool ring_put(struct ring *ring, const void *frame, uint32_t size);
/* The same of a frame in two parts, of which the first has a size that is a multiple of 8; the second is padded to that. */
bool ring_put_parts(struct ring *ring, const void *head, uint32_t head_size, const void *rest, uint32_t rest_size);
/* The same in two steps, for a second part that takes its time: where it belongs, or NULL: no room; then the other end sees the
 * frame. Nobody else puts in between. */
void *ring_begin_put(struct ring *ring, const void *head, uint32_t head_size, uint32_t rest_size);
void ring_end_put(struct ring *ring, uint32_t head_size, uint32_t rest_size);
/* So many bytes are better written past the cache, because the other end runs on another CPU. */
bool ring_is_far(const struct ring *ring, uint32_t size);
/* Whether there is room for @size bytes; if not, the other end will ring as for ring_put(). */
bool ring_await_room(struct ring *ring, uint32_t size);
/* What waits for something else than room has to look, too, or room that it does not need stays new. */
void ring_look_for_room(struct ring *ring);
/* As long as somebody watches, nobody needs to be told of room. Who stops watching puts what is left, or sets is_full so. */
static inline void ring_begin_watching(struct ring *ring)
{
	ring->n_watchers++;
	atomic_store_explicit(&ring->own->is_full, 0, memory_order_relaxed);
}

static inline void ring_end_watching(struct ring *ring)
{
	ring->n_watchers--;
}

/* The other end has taken something since we last looked. */
static inline bool ring_has_new_room(const struct ring *ring)
{
	return ring->other && atomic_load_explicit(&ring->other->head, memory_order_relaxed) !=
				      atomic_load_explicit(&ring->seen_head, memory_order_relaxed);
}

/* Whether the other end has to be woken for a frame: not at all, because it need not act on it until it looks; if it sleeps;
 * or even if nobody there attends, be it soon, with what is sent next or in a tick (poller.h), or at once. */
enum urgency { URGENCY_NONE, URGENCY_NORMAL, URGENCY_SOON, URGENCY_HIGH };

/* P3 to P5: what the other end needs to notice, which the caller does. Call after one or several puts. */
enum ring_wake { RING_WAKE_NONE, RING_WAKE_DOORBELL, RING_WAKE_SOCKET };
enum ring_wake ring_wake_needed(struct ring *ring, enum urgency urgency);

/* More has been put and not been taken than is good to leave lying there. */
bool ring_is_filling(struct ring *ring);

/* Whether the other end has put something that was not taken yet. */
static inline bool ring_has_more(const struct ring *ring)
{
	return ring->other && atomic_load_explicit(&ring->other->tail, memory_order_acquire) != ring->head;
}

/* The next frame: its header, checked, and where its bytes are, in memory that may change under our eyes: copy, then
 * check. RING_BROKEN: the other end breaks the rules. */
enum ring_taken { RING_EMPTY, RING_TAKEN, RING_BROKEN };
enum ring_taken ring_peek(struct ring *ring, struct frame *header, const unsigned char **bytes);
/* The frame has been copied. */
void ring_advance(struct ring *ring, const struct frame *header);
/* C5 to C7 at the end of a look. True: the other end waits for room, ring its doorbell. */
bool ring_publish_head(struct ring *ring);

/* C1 and C0. */
static inline void ring_set_asleep(struct ring *ring, bool is_asleep)
{
	atomic_store_explicit(&ring->own->sleep, is_asleep ? ++ring->n_sleeps : 0, memory_order_relaxed);
}

static inline void ring_set_attended(struct ring *ring, bool is_attended)
{
	atomic_store_explicit(&ring->own->is_attended, is_attended, memory_order_relaxed);
}

/* Where the other end last took something, and where it last put something; ~0u: unknown. */
static inline unsigned ring_taker_cpu(const struct ring *ring)
{
	return ring->other ? atomic_load_explicit(&ring->other->head_cpu, memory_order_relaxed) : ~0u;
}

static inline unsigned ring_cpu(const struct ring *ring)
{
	return ring->other ? atomic_load_explicit(&ring->other->cpu, memory_order_relaxed) : ~0u;
}
