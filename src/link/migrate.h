/* SPDX-License-Identifier: MIT */
#pragma once

/* Migration: a receive right moves, in a message, from its home A to B. Rights to the port are at A, at B, and at other
 * holders H. Names: P is the port at A, and the proxy that it becomes there; P' is the port at B.
 *
 *   A1  MOVED to each H: your export is at B now; my ticket n. H and B are introduced
 *   A2  MOVE to B: under an *adopted* index h, which A chooses, B is to export P' to A, with units for all rights but B's own.
 *       P becomes a proxy for h
 *   A3  DEPOSIT to B for each H: ticket n, of no kind
 *   A4  the requests (no-senders, port-destroyed) and the queue follow as messages to h, then the message with the right
 *   A5  the exports of P to each H stay, as relays: what H sends by them goes on to h; H's units are part of A's
 *   B1  P' is made; if B had a proxy for P, that becomes P', with its names. What B sent before by way of A comes back by h,
 *       so B holds what it sends itself (port.held) until B3. FLUSH to A for the index it held under
 *   B2  OFFER, of no kind, to H for each deposit: a new export y, without units yet
 *   H1  when MOVED and OFFER have met H stops: nothing that concerns the port leaves H from now on (the port is in *limbo*).
 *       FLUSH to A, with the units that H has: that was all by the old way
 *   A6  on FLUSH, after all that H had sent: the relay ends. FLUSHED to B: ticket n, and the units, which are H's from now on.
 *       On B's FLUSH: FLUSHED without a ticket
 *   B3  on FLUSHED the units of h become units of y; READY to H. On its own: what was held is delivered
 *   H2  on READY the proxy is for y; what was kept back leaves
 *
 * Order: what H sent by way of A is before FLUSH, so before FLUSHED, so before READY, so before what H sends directly. The
 * same for B itself with B1 and B3.
 * Counts: B counts each right from A2 on, under h or as its own; A6 and B3 move units without changing the sum. What B had
 * under way to A or others at B1 is not in the sum yet: a guard, one send right more, keeps no-senders from B1 to B3.
 * Once an H has begun with H1 for a move from A to B, and B moves the port on to C, it does the second when it has done the
 * first. A itself, as one of B's holders, does H1 only when all its relays have ended, because their FLUSHED goes by h.
 * Deaths. B dies: P' dies. H dies: A takes its units back, or B at B3. A dies: what had not been flushed is lost with it, as
 * what it had in its own hands; holders that still go by way of A (until H2) see the port die. */

#include <stdbool.h>
#include <stdint.h>

struct after;
struct export;
struct frame_index;
struct frame_move;
struct frame_ticket;
struct link;
struct message;
struct port;
struct proxy;

/* ---- at home: sending */

/* A1 to A5: the receive rights in @m, out of transit, go to the link's peer. */
void migrate_move_out_locked(struct link *link, struct message *m);

/* Whether @m has to wait, because something in it is in limbo; then it is kept, and sent in its turn. */
bool migrate_keep_back_locked(struct message *m);
bool migrate_is_in_limbo(const struct port *port);

/* ---- what comes; false: the peer broke the rules. No lock is held, unless _locked says so. */

bool migrate_take_move(struct link *from, const struct frame_move *f);
/* The right that MOVE has announced, in the hands of the caller; NULL: none. */
struct port *migrate_arrive_locked(struct link *from, uint32_t index);
/* Whether a port announced under @index has not arrived yet: only then may requests come for it. */
struct port *migrate_announced_locked(struct link *from, uint32_t index);
/* Whether what we had sent by way of the port's former home may still come back from there. */
bool migrate_is_settling_locked(struct link *from, uint32_t index);
/* A request has come to its port. Takes the message. */
void migrate_deliver_request(struct message *m);

bool migrate_take_moved(struct link *from, const struct frame_ticket *f);
bool migrate_take_deposit(struct link *from, const struct frame_ticket *f);
bool migrate_take_offer(struct link *from, const struct frame_ticket *f);
bool migrate_take_flush(struct link *from, const struct frame_index *f);
bool migrate_take_flushed(struct link *from, const struct frame_ticket *f);
bool migrate_take_ready(struct link *from, const struct frame_index *f);

/* ---- ends */

/* A greeting is done; B2 for what waited for that. */
void migrate_take_link(struct link *link);
/* A proxy ends while it is being relocated. */
void migrate_forget_proxy_locked(struct proxy *x);
void migrate_end_link(struct link *link);
