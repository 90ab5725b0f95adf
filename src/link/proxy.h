/* SPDX-License-Identifier: MIT */
#pragma once

/* Proxy: a port of another node, as it appears in this kernel. Its struct port is in state PORT_IS_PROXY: this node's names
 * and messages hold rights to it as to any other port, and what is sent to it goes over the link to its owner.
 *
 * The owner counts this node's rights as units of its export (export.h). told_sends and told_onces are what it believes;
 * what the port itself counts is the truth. Whoever changes the truth notes it, and at the end of the call the difference is
 * told (proxy_settle_locked). As frames stay in order, a right under way to us and a release that crosses it never
 * free too early: the owner counts both.
 *   P1  told_sends > 0 as long as a right to send exists here, so the owner never believes that we hold none while we do
 *   P2  the frame that takes the last unit back to the owner gives it the index, too; the proxy is out of the table before
 *       another frame is read. An adopted index (migrate.h) is the owner's again when COUNT says so (is_end)
 *
 * One proxy for each export that is granted to us, so rights coalesce however they came. Lives as long as there are rights
 * here or units there. Locks: node.lock; the port's counts by its own lock. */

#include <stdbool.h>
#include <stdint.h>

#include "kernel/port.h"
#include "kernel/right.h"
#include "link/node.h"

struct link;
struct port;

/* A message that was forced into the owner's full queue (kernel/accept.h). */
struct forced {
	struct forced *next;
	struct accept_request *request;
	uint32_t number; /* of messages sent through the proxy, mod 2^32 */
};

struct proxy {
	struct noted noted;
	struct link
		*link; /* NULL: it is no proxy any more, or in limbo, and nobody knows where its port is (migrate.h) */
	struct port *port; /* one reference */
	uint32_t index;
	bool is_object, is_file; /* of a kernel object; a file port (kernel/file.h) */
	uint32_t told_sends, told_onces;
	uint32_t n_sent, n_received;   /* messages, mod 2^32 */
	uint32_t n_answers;	       /* of the owner, to questions after room */
	bool is_mute;		       /* there was none to the last */
	struct forced *forced;	       /* oldest first */
	struct relocation *relocation; /* NULL: its owner is where it was; migrate.h */
};

/* All with node.lock held. */

struct proxy *proxy_find_locked(struct link *link, uint32_t index); /* NULL: none */
/* The proxy for an export of the other end, made if there is none. NULL: the index is beyond all limits. */
struct proxy *proxy_of_locked(struct link *link, uint32_t index, uint32_t limit);
/* The same for a right that was granted, as it was put into words (WIRE_MINE). */
struct wire_right;
struct proxy *proxy_of_wire_locked(struct link *link, const struct wire_right *wire);
/* A unit came: *right is a naked right here. */
void proxy_receive_unit_locked(struct proxy *x, enum right_kind kind, struct right *right);
/* A naked right of ours leaves for its owner, or for somebody else at the owner's. True: a unit goes with it. Takes it. */
bool proxy_give_locked(struct proxy *x, const struct right *right);
/* A naked right of ours was used up by a message: a send-once right with its unit, a send right without. */
void proxy_use_locked(struct proxy *x, enum right_kind kind);
/* migrate.h. An index for a port that is about to move to the other end. */
uint32_t proxy_new_index_locked(struct link *link);
/* A port of ours, locked, whose receive right goes to the other end under that index: takes the right's reference. */
struct proxy *proxy_adopt_locked(struct link *link, uint32_t index, struct port *port);
/* The receive right has come here: the port, with the reference of that right; its counts are what is held here. */
struct forced;
struct port *proxy_come_home_locked(struct proxy *x, struct forced **forced);
/* A port in nobody's hands. */
struct port *proxy_new_port(uint32_t limit);
/* A right here that the owner does not know of yet, and is told of before anything else. */
void proxy_mint_locked(struct proxy *x, enum right_kind kind);
/* Units that a relay has counted for its holder become that holder's own. */
void proxy_pass_units_locked(struct proxy *x, uint32_t sends, uint32_t onces);
/* Also known under an index of its new home; and not any more. */
void proxy_enter_table_locked(struct link *link, uint32_t index, struct proxy *x);
void proxy_leave_table_locked(struct link *link, uint32_t index, struct proxy *x);
/* From its old home, and that index, to the new one, where it is in the table already. */
struct after;
void proxy_relocate_locked(struct proxy *x, struct link *home, uint32_t index, uint32_t limit, struct after *after,
			   struct forced **accepted);
/* Threads that waited for room before the port moved do so at its new home. */
void proxy_ask_if_waited_for_locked(struct proxy *x);
/* Tells the owner how many rights are here. */
void proxy_settle_counts_locked(struct proxy *x);
/* Tells the owner how many rights are here; the proxy ends when there are none. */
void proxy_settle_locked(struct proxy *x);
/* The owner says that @n messages have left the queue. The caller runs what follows. */
void proxy_note_received_locked(struct proxy *x, uint32_t n, struct after *after, struct forced **accepted);
/* The owner says that @n messages are in the queue since before the proxy was made: this node sent them. */
void proxy_note_queued_locked(struct proxy *x, uint32_t n);
void forced_fire_all(struct forced *forced);

/* The link is over, or the owner says that the port is dead: out of the table, and the port dies. In one hold of node.lock: what
 * is neither a proxy nor dead would pass for a port of ours. The rest is for when no lock is held. */
struct ended_proxy {
	struct port *port; /* NULL: none has ended */
	struct remains remains;
	struct forced *forced;
};

void proxy_end_locked(struct proxy *x, struct ended_proxy *ended);
void ended_proxy_settle(struct ended_proxy *ended);

/* After some have been let in: threads that still wait want to hear of more. */
void proxy_ask_again_locked(struct proxy *x);

/* remote_ops */
void proxy_ask_for_room(struct port *port);
void proxy_look_for_room(struct port *port);

/* remote_ops.is_file(), .cpu(), .note_count_locked() */
unsigned proxy_cpu(struct port *port);
bool proxy_is_file(struct port *port);
void proxy_note_count_locked(struct port *port);
