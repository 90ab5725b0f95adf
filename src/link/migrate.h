/* SPDX-License-Identifier: MIT */
#pragma once

/* Migration: a receive right moves, in a message, from its home A to B. Rights to the port are at A, at B, and at other
 * holders H. Names: P is the port at A, and the proxy that it becomes there; P' is the port at B.
 *
 *   A1  MOVED to each H: your export is at B now; my ticket n. H and B are introduced. As long as that would not find room in
 *       H's ring at once, the message that carries the right waits: so MOVED can be read there before anything that comes of A2
 *   A2  MOVE to B: under an *adopted* index h, which A chooses, B is to export P' to A, with units for all rights but B's own;
 *       and who the holders are, with which ticket. P becomes a proxy for h
 *   A3  the requests (no-senders, port-destroyed) and the queue follow as messages to h, then the message with the right
 *   A4  the exports of P to each H stay, as relays: what H sends by them goes on to h; H's units are part of A's
 *   B1  P' is made; if B had a proxy for P, that becomes P', with its names. What B sent before by way of A comes back by h,
 *       so B holds what it sends itself (port.held) until B3. FLUSH to A for the index it held under
 *   B2  OFFER, of no kind, to each H, as soon as it is linked: a new export y, without units yet
 *   H1  on OFFER, before which MOVED has been put, H stops: nothing for the port leaves H from now on (it is in *limbo*), and
 *       no right to it. FLUSH to A, with the units that H has: that was all by the old way, and the old index, which A may use
 *       for another port at once, is not H's any more. The proxy is for y from now on, so that a right that B grants is known
 *   A5  on FLUSH, after all that H had sent: the relay ends. FLUSHED to B: ticket n, and the units, which are H's from now on.
 *       On B's FLUSH: FLUSHED without a ticket
 *   B3  on FLUSHED, after all that came from A for the port has been delivered, the units of h become units of y; READY to H.
 *       On its own: what was held is delivered
 *   H2  on READY what was kept back leaves
 *   B4  the port is *settled* when its right has arrived and each H and B itself have done B3. Until then it does not move
 *       on: a message that carries it waits. So there is one A and one B at a time, and each H is at A, or between them
 *
 * Order: what H sent by way of A is before FLUSH, so before FLUSHED, so before READY, so before what H sends directly. The
 * same for B itself with B1 and B3.
 * Counts: B counts each right from A2 on, under h or as its own; A5 and B3 move units without changing the sum. What B had
 * under way to A or others at B1 is not in the sum yet: a guard, one send right more, keeps no-senders from B1 to B3.
 * No waiting in circles: B3 waits for offers of rights in messages (handoff.h), and they wait for nothing here: a right in a
 * message that only passes by H is granted at once, although it is in limbo (export.owed_sends); it is the messages of H's own
 * that are kept back because of what they carry. A5 waits for a message of H's that A keeps because it carries a receive right
 * that is not settled; such a circle is one of receive rights in each other's queues, which nobody can receive in Mach either.
 *
 * Deaths.
 *   B dies, or P' does: P dies at A, which tells each H (DIED), and keeps the relay until FLUSH, so that it knows when the
 *       index is free. H that had not begun with H1 answers with FLUSH; others have sent it, and hear of B's death by the end
 *       of their link to it. Of that of P' B tells each H, too, in the place of READY or of the offer (VOID). H is done when it
 *       has heard of both, whichever comes first. An offered y has no units that H could give back: B keeps it, and takes what H
 *       may have given by it, until H answers VOID (COUNT, is_end). Of a dead port nobody counts
 *   H dies: A takes its units back and says so (FLUSHED, no units), unless it has had its FLUSH. B waits for that, if it had come
 *       to B2, before the port moves on: else A's FLUSHED would speak of units that B had given away with the port.
 *   A dies before its message had come: P' dies. After that, B grants each H what A2 said that it has, and READY comes without
 *       A5. H waits for it as in limbo, and asks (QUERY), in case A died between A1 and A2: then B knows no such ticket (VOID),
 *       and the port dies. What H had sent and A had not sent on is lost with A, as is what A held itself.
 *
 * Limits.
 *   - H that is stopped (SIGSTOP) holds up B4: the port moves once, and then waits for H to run or to die. If its ring is full it
 *     holds up A1. Of one message with hundreds of receive rights to such a port MOVED may still come too late.
 *   - After H2 H believes the queue to be empty: as many messages as its limit may come beyond the limit.
 *   - Receive rights that are moved into each other's queues by two nodes at the same moment stay there until one ends. */

#include <stdbool.h>
#include <stdint.h>

struct export;
struct frame_index;
struct frame_move;
struct frame_ticket;
struct link;
struct message;
struct move_holder;
struct port;
struct proxy;

/* ---- at home: sending */

/* A1 to A4: the receive rights in @m, out of transit, go to the link's peer. */
void migrate_move_out_locked(struct link *link, struct message *m);

/* Whether @m has to wait, because something in it is in limbo or not settled; then it is kept, and sent in its turn. */
bool migrate_keep_back_locked(struct message *m);
bool migrate_keeps_back_locked(const struct message *m); /* whether that would be so */
bool migrate_is_in_limbo(const struct port *port);
/* The node that grants rights to a proxy's port, and the index there: in limbo the new home. */
struct link *migrate_home_locked(const struct proxy *proxy, uint32_t *index);
/* What waited here for messages that were parked, or for a port that has died, goes on. No lock is held. */
void migrate_go_on(void);

/* ---- what comes; false: the peer broke the rules. No lock is held, unless _locked says so. */

bool migrate_take_move(struct link *from, const struct frame_move *f, const struct move_holder *holders);
/* The right that MOVE has announced, in the hands of the caller; NULL: none. */
struct port *migrate_arrive_locked(struct link *from, uint32_t index);
/* Whether a port announced under @index has not arrived yet: only then may requests come for it. */
struct port *migrate_announced_locked(struct link *from, uint32_t index, bool *had_senders);
/* Whether what we had sent by way of the port's former home may still come back from there. */
bool migrate_is_settling_locked(struct link *from, uint32_t index);
/* Send rights have come to it. */
void migrate_note_senders_locked(struct link *from, uint32_t index);
/* A request has come to its port. Takes the message. */
void migrate_deliver_request(struct message *m);

bool migrate_take_moved(struct link *from, const struct frame_ticket *f);
bool migrate_take_offer(struct link *from, const struct frame_ticket *f);
bool migrate_take_flush(struct link *from, const struct frame_index *f);
bool migrate_take_flushed(struct link *from, const struct frame_ticket *f);
bool migrate_take_ready(struct link *from, const struct frame_index *f);
void migrate_take_void(struct link *from, const struct frame_ticket *f);
/* DIED has come for a relay. */
void migrate_answer_death_locked(struct link *from, uint32_t index);

/* ---- ends */

/* A greeting is done; B2 for what waited for that. */
void migrate_take_link_locked(struct link *link);
/* A proxy ends while it is being relocated; an export does while its FLUSH waits. */
void migrate_forget_proxy_locked(struct proxy *x);
void migrate_forget_export_locked(struct export *x);
/* A port of ours has died, and those who hold it have been told. */
void migrate_note_death_locked(struct port *port);
void migrate_end_link(struct link *link);
