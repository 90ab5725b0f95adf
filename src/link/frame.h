/* SPDX-License-Identifier: MIT */
#pragma once

/* Frames: what the two ends of a link say to each other. docs/links.md describes the protocol; this is its vocabulary.
 *
 * An *index* is a place in the table of exports of the end that grants (export.h). "mine" and "yours" are said from the
 * sender's point of view. Numbers are of the host's byte order: both ends are on one machine. */

#include <mach/message.h>
#include <stdint.h>

#include "link/ring.h"

enum frame_type {
	FRAME_PAD,	    /* nothing: up to the end of the ring */
	FRAME_MESSAGE,	    /* a Mach message for yours, or for a port that is about to move to you */
	FRAME_COUNT,	    /* I hold fewer, or more, rights to yours */
	FRAME_RECEIVED,	    /* messages of yours have left the queue of mine */
	FRAME_LIMIT,	    /* the queue limit of mine has changed */
	FRAME_DIED,	    /* mine is dead; give back what you hold */
	FRAME_INTRODUCTION, /* the other end of the next descriptor, a socket, is that node */
	FRAME_DEPOSIT,	    /* grant a right to yours to another node, for which I have given it a ticket */
	FRAME_OFFER,	    /* by a deposit of that node, this right to mine is yours */
	FRAME_QUERY,	    /* is that deposit still to come? */
	FRAME_VOID,	    /* it is not */
	FRAME_MOVE,    /* the receive right of a port comes to you; its queue and the message that carries it follow */
	FRAME_MOVED,   /* mine is at another node now, which has a ticket for you */
	FRAME_FLUSH,   /* that was all that comes by way of yours, which had moved */
	FRAME_FLUSHED, /* by way of me nothing more comes from that node; these units of mine are its own now */
	FRAME_READY,   /* what you send to mine directly is in order now */
	FRAME_DATA,    /* a piece of memory for a message to come (bulk.h) */
	FRAME_ASK,     /* tell me when there is room in the queue of yours */
	FRAME_HEIR,    /* when I die, mine is yours, and you are to be notified */
	FRAME_CONTENT, /* a piece of what is in the next frame that is elsewhere; like FRAME_DATA */
	FRAME_TYPES
};

enum {
	FRAME_IS_ELSEWHERE =
		1, /* what follows the header is struct frame_elsewhere: the rest has come in FRAME_CONTENT */
};

struct frame_elsewhere {
	struct frame header;
	uint64_t size; /* bytes that came, what would have followed the header */
};

enum wire_form {
	WIRE_NULL,
	WIRE_DEAD,
	WIRE_MINE,	  /* value: index of mine; limit is its queue's. One more unit of it is yours. */
	WIRE_YOURS,	  /* value: index of yours; I keep my units, the right is one more */
	WIRE_YOURS_MOVED, /* the same, and a unit of mine goes with it */
	WIRE_TICKET,	  /* followed by struct wire_ticket: what that node will offer to you */
	WIRE_RECEIVE,	  /* value: index of mine whose receive right FRAME_MOVE has announced */
};

/* In form, with WIRE_MINE: the port of a kernel object, to be served even while nobody attends; and of a file. */
#define WIRE_IS_OBJECT 0x40
#define WIRE_IS_FILE   0x80
#define WIRE_FORM      0x3f

/* A right. */
struct wire_right {
	uint8_t form; /* enum wire_form */
	uint8_t kind; /* enum right_kind */
	uint16_t limit;
	uint32_t value;
};

struct wire_ticket {
	uint64_t owner; /* node id */
	uint64_t number;
};

/* Memory out of line. */
enum memory_form {
	MEMORY_INLINE,	 /* the bytes follow, padded to 8 */
	MEMORY_STREAMED, /* it has come before, in FRAME_DATA */
	MEMORY_LOST,	 /* there was no memory for it on its way */
};

struct wire_memory {
	uint64_t size;
	uint64_t form; /* enum memory_form */
};

enum {
	MESSAGE_IS_COMPLEX = 1,
	MESSAGE_HAS_DESCRIPTOR = 2, /* the message's own attachment is the next descriptor */
	MESSAGE_IS_REQUEST =
		4, /* a notification asked for of a port that is moving: its id, its right as reply right */
	MESSAGE_IS_AWAITED = 8, /* forced into a full queue: I want to hear at once when it has left it */
};

/* FRAME_MESSAGE. The reply right follows; then the body, which is what follows the header of the Mach message; then, for each
 * item of a complex body that has rights or memory out of line, in order, its rights and its memory. */
struct frame_message {
	struct frame header;
	uint32_t index;
	uint8_t kind; /* of the right that it is sent through, which it uses up */
	uint8_t flags, unused[2];
	mach_msg_bits_t bits; /* without dispositions */
	mach_msg_id_t id;
	uint32_t body_size;
	uint32_t unused_either;
};

/* FRAME_COUNT, FRAME_RECEIVED, FRAME_LIMIT, FRAME_DIED, FRAME_FLUSH, FRAME_READY, FRAME_ASK */
struct frame_index {
	struct frame header;
	uint32_t index;
	int32_t sends; /* COUNT: change of send rights; FLUSH: what I hold; READY: what is yours; RECEIVED: messages,
			* or if negative, messages that you sent before I granted this to you, and that are queued;
			* LIMIT: the limit */
	int32_t onces; /* COUNT, FLUSH, READY: likewise of send-once rights; RECEIVED: 1, an answer; ASK: 1, answer at once */
	uint32_t is_end; /* COUNT: I do not know it any more, if it is an adopted one, or one of a port that has died */
};

/* FRAME_INTRODUCTION */
struct frame_introduction {
	struct frame header;
	uint64_t node;
};

/* FRAME_DEPOSIT, FRAME_OFFER, FRAME_QUERY, FRAME_VOID, FRAME_MOVED, FRAME_FLUSHED */
struct frame_ticket {
	struct frame header;
	uint64_t node;	 /* DEPOSIT: for whom; OFFER, QUERY, VOID: the giver; MOVED: the new home; FLUSHED: for whom */
	uint64_t number; /* the giver's */
	struct wire_right
		right; /* DEPOSIT: yours; OFFER: any form; MOVED: mine (value); FLUSHED: yours (value); VOID: of a
				    * deposit its kind */
	int32_t sends, onces;	   /* FLUSHED: units */
	struct wire_ticket onward; /* OFFER, where right.form is WIRE_TICKET: that node will offer it, by my ticket */
};

/* An index with this bit was chosen by the end that is granted it: by the former home of a port that has moved. */
#define INDEX_IS_ADOPTED 0x80000000u
#define INDEX_NONE	 (~0u)
/* The peer's kernel_node(): an adopted index that is there without a word, for whoever may look into the peer. COUNT takes
 * a first unit of it, as it takes more of others. */
#define INDEX_OF_NODE (~0u - 1)

/* FRAME_DATA, followed by the bytes of the piece. */
struct frame_data {
	struct frame header; /* its size ends with the piece, padded to 8 */
	uint64_t total;	     /* of a first piece: bytes of all; of the others 0 */
	uint64_t size;	     /* bytes of this one */
};

/* FRAME_HEIR */
struct frame_heir {
	struct frame header;
	uint32_t index;	 /* mine */
	uint32_t notify; /* yours, by which I have a send-once right; INDEX_NONE: not any more */
	uint32_t limit, unused;
};

/* FRAME_MOVE. A struct move_holder for each that holds the port by way of me follows. */
struct frame_move {
	struct frame header;
	uint32_t index;	       /* an adopted one, new: yours from now on, for the port that is yours from now on */
	uint32_t mine;	       /* under which of mine you held rights to it, or INDEX_NONE */
	uint32_t sends, onces; /* units of the new index: all rights to the port but yours */
	uint32_t limit, n_holders;
};

struct move_holder {
	uint64_t node, number; /* number: of the ticket that it has of me */
	uint32_t sends, onces; /* which of the units are its */
};
