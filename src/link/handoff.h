/* SPDX-License-Identifier: MIT */
#pragma once

/* Handoff: a right to a port of T, passed by S to R.
 *
 *   S1  S gives T a DEPOSIT: grant this right to R, under my ticket n
 *   S2  S sends R the message, with ticket n of owner T in the place of the right
 *   S0  Before that, S introduces R and T to each other, unless it has done so already: it gives each an end of a socketpair,
 *       with a frame. Those who are linked already throw it away
 *   T1  T, as the deposit comes, grants the right to R and sends it an OFFER: giver S, ticket n; if they are not linked yet,
 *       as soon as they are. If the port is dead it sends VOID in its place, which waits for the ticket like that
 *   R1  the offer, or the ticket, whichever comes first, waits at R. When both have met the message has its right
 *   R2  the message is delivered when it has all its rights; those that came after it for the same port from the same node
 *       wait for it
 * Why the message waits: only the offer tells which port it is, so under which name it arrives; and whoever is named by it
 * is granted by its owner, whatever S says. Why causes stay before effects: what S sent to the port before it passed the
 * right on is before S1 in the same ring, and R cannot send to the port before T1.
 *
 * Deaths. The ring of a dead node is read to its end before its death is noticed, and S1 comes before S2.
 *   T dies: the ticket means a dead name. R hears by the end of its link to T, be it one in the middle of its greeting.
 *   R dies: T takes the grant back as it takes all that R held, or when the greeting fails.
 *   S dies before S2: R has an offer without a ticket; when S's link ends it is dropped, as if R had received it. R has
 *       known S since before S1, because S sends nothing before the greeting.
 *   S dies after S2: T has the deposit by then. A ticket without an offer at the end of S's link makes R ask T (QUERY), which
 *       answers when S's link to T has ended, after its last offer: VOID, in case the offer never was. So a lie of S is
 *       found out at the latest when S is gone; until then R has a message less, which S might as well not have sent. */

#include <stdbool.h>
#include <stdint.h>

#include "kernel/right.h"
#include "link/frame.h"
#include "link/node.h"
#include "platform/list.h"

struct link;
struct message;
struct proxy;

/* S1 and the ticket for S2: @right, a naked right to a proxy of another link, is given up. */
struct wire_ticket handoff_begin_locked(struct link *to, struct proxy *proxy, const struct right *right);

/* What came. False: the peer broke the rules. No lock is held. */
bool handoff_take_deposit(struct link *from, const struct frame_ticket *f);
bool handoff_take_offer(struct link *from, const struct frame_ticket *f);
bool handoff_take_query(struct link *from, const struct frame_ticket *f);
bool handoff_take_void(struct link *from, const struct frame_ticket *f);
/* A port that was in limbo is not any more (migrate.h). */
void handoff_retry_deposits(void);
/* A greeting is done: what waited for that link goes on. */
void handoff_take_link(struct link *link);
/* A link is over, or its greeting failed: giver, owner or receiver is dead. */
void handoff_end_link(struct link *link);

/* A message that is complete but for some rights. */
struct parked {
	struct list link; /* in node.parked, in the order of arrival */
	uint64_t giver;	  /* from whom it came */
	struct message *message;
	uint32_t n_missing; /* tickets */
};

/* Where in a message a right belongs. */
struct place {
	struct message *message;
	uint32_t item, right; /* item PLACE_REPLY: the reply right */
};

#define PLACE_REPLY (~0u)

struct port **place_port(const struct place *place);

/* The right that the peer's ticket stands for, if its offer is here already. Else the place is filled when it comes; then
 * *parked, made if it is NULL, is what the message waits as. False: the peer broke the rules. */
bool handoff_claim_locked(struct link *from, const struct wire_ticket *ticket, enum right_kind kind,
			  const struct place *place, struct parked **parked);
/* A message from the peer: delivered if nothing holds it back. Takes it, and @parked (NULL: it waits for no ticket). */
void handoff_deliver(struct link *from, struct message *m, struct parked *parked);
/* No message waits for a ticket: one that waits for none cannot overtake any. As only the holder of the role takes messages in,
 * it stays so until he goes on. */
static inline bool handoff_is_idle_locked(void)
{
	return list_is_empty(&node.parked);
}
void handoff_deliver_at_once(struct message *m);
/* It will not be delivered: nothing refers to it any more. */
void handoff_discard(struct parked *parked);
/* Whether a message from that node for @port waits. */
bool handoff_is_parked_locked(uint64_t giver, const struct port *port);
