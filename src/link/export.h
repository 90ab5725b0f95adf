/* SPDX-License-Identifier: MIT */
#pragma once

/* Export: what the other end of a link holds of one port of ours, and its place in the link's table.
 *
 * The other end can name only what is in that table: this is what makes rights unforgeable between processes. Each right
 * that it holds is one *unit*: a naked right (kernel/right.h), a reference and a count, in the export's hands. When a
 * right comes to the other end the units become more; when it says that it holds fewer, or uses a send-once right, they
 * become fewer. An index is free again when no unit is left: all frames that name it have come by then, because they come
 * in order.
 *
 * Queued messages that came from the other end keep the export's memory (not its place in the table): when they are
 * received, the other end is told, so that its threads know how much room the queue has for them. It is told at once when
 * it may be waiting for that, else now and then. A node that
 * gives up all its rights and gets one again is a new export's; what it had sent before that is still queued counts as
 * sent by that, and it is told so.
 *
 * Locks: node.lock; what is marked [port] by the port's lock. */

#include <stdbool.h>
#include <stdint.h>

#include "kernel/right.h"
#include "link/node.h"

struct link;
struct message;
struct port;

struct export
{
	struct noted noted;
	struct link *link;   /* NULL once it is out of the table */
	uint64_t peer_id;    /* the link's */
	struct port *port;   /* one reference */
	struct export *next; /* of the same port, in port.exports [port, too] */
	uint32_t index;
	uint32_t sends, onces;		  /* units */
	uint32_t arrived, received, told; /* messages from the other end, mod 2^32 [port] */
	uint32_t inherited;		  /* of these by former exports, not told of yet [port] */
	uint32_t awaited;		  /* the last of them of which somebody there wants to hear [port] */
	bool is_asked;			  /* a thread there waits for room [port] */
	uint32_t told_limit;		  /* of the port's queue */
	/* migrate.h: a relay, because the port is elsewhere now and the other end has been told so, under this ticket; or what
	 * the other end was granted before the port came to it, so that these units are not ours any more */
	uint64_t moved_ticket;
	bool is_void;
	bool is_flushing; /* its FLUSH waits */
	bool is_given_back; /* an adopted index, by the other end, which does not know it any more; units may be left to move */
	bool is_back; /* it was a relay, and is none any more (heir.h) */
	bool is_heir; /* the other end gets the port if we die */
	/* Made for a holder that comes from the port's former home. Its units are still to come, but what it gives of them
	 * meanwhile is owed. */
	bool is_settling;
	uint32_t owed_sends, owed_onces;
};

/* All with node.lock held. */

/* The export of a port to a link, made if there is none; and the one that there is, or NULL. */
struct export *export_lookup_locked(const struct link *link, const struct port *port);
struct export *export_of_locked(struct link *link, struct port *port);
/* The one of this process itself, kernel_node(), which a peer who may look into it can take at any time (INDEX_OF_NODE).
 * NULL: the peer may not. */
struct export *export_node_locked(struct link *link);
/* One more, and one under an index that the other end has chosen. */
struct export *export_new_locked(struct link *link, struct port *port);
struct export *export_adopt_locked(struct link *link, uint32_t index, struct port *port);
struct export *export_find_locked(struct link *link, uint32_t index); /* NULL: none */
/* Whether the other end may hold more ports than it does. */
bool export_has_room_locked(const struct link *link);
/* A unit more: takes the naked right (send or send-once, valid). */
void export_grant_locked(struct export *x, const struct right *right);
/* A unit less: *right is it, naked. False: the other end has none. */
bool export_withdraw_locked(struct export *x, enum right_kind kind, struct right *right);
/* A right that comes home, or that is to be granted to somebody else: *right is it. False: the other end has none. */
struct wire_right;
bool export_take_locked(struct link *from, const struct wire_right *wire, struct right *right);
/* Ends the export if no unit is left; an adopted one only when the other end gives its index back. */
void export_check_unused_locked(struct export *x);
void export_give_back_locked(struct export *x);
/* The port is here again, although the other end has been told that it had moved; it may be on its way there. */
void export_return_locked(struct export *x);

/* Out of the table, whatever units are left: they have been moved elsewhere, or go with a port that has died. */
void export_leave_locked(struct export *x);
void export_discard_locked(struct export *x);

/* A message from the other end, through a right of that kind, is about to be queued: m->dest is that right, naked.
 * @is_awaited: somebody there waits for it to leave the queue. False: the other end has no such right. */
bool export_take_message_locked(struct export *x, enum right_kind kind, struct message *m, bool is_awaited);
/* [port]: remote_ops.note_received_locked() */
void export_note_received_locked(struct export *x);
/* [port]: remote_ops.note_limit_locked() */
void export_note_limit_locked(struct port *port);
/* The limit of the port's queue, where the other end cannot know it. */
void export_tell_limit_locked(struct export *x);
/* Somebody there looks for room in the queue. */
void export_answer_locked(struct export *x, bool at_once);
/* Tells what was noted. */
void export_settle_locked(struct export *x);

/* The link is over: out of the table with all units, which are left in *sends and *onces naked rights of export.port. The
 * caller drops them, and a reference to the port, when no lock is held. */
struct port *export_end_locked(struct export *x, uint32_t *sends, uint32_t *onces);

/* remote_ops.port_died(), with no lock held. */
void export_tell_death(struct port *port);
