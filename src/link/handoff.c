/* SPDX-License-Identifier: MIT */
#include "link/handoff.h"

#include <assert.h>
#include <search.h>
#include <stdlib.h>

#include "kernel/message.h"
#include "kernel/port.h"
#include "kernel/send.h"
#include "link/export.h"
#include "link/link.h"
#include "link/migrate.h"
#include "link/outbound.h"
#include "link/proxy.h"

/* An offer that waits for its ticket, or a ticket that waits for its offer. */
enum meeting_state {
	MEETING_OFFER,	/* right is here */
	MEETING_ONWARD, /* the port had moved on: right comes by another ticket, other */
	MEETING_TICKET, /* for a place in a message (parked), or for an onward offer (other), or for nobody any more */
};

struct meeting {
	uint64_t giver, owner, number;
	enum right_kind kind;
	enum meeting_state state;
	bool giver_is_gone; /* a ticket's: the owner is to be asked, as soon as it is linked */
	struct right right; /* naked */
	struct meeting *other;
	struct place place;
	struct parked *parked;
};

/* A right that was deposited for a node that is still greeting us. */
struct deposit {
	struct list link; /* in node.deposits */
	uint64_t receiver, giver, number;
	struct right right;
};

/* A node asks whether a deposit is still to come. */
struct query {
	struct list link; /* in node.queries */
	uint64_t asker, giver, number;
};

static int meeting_compare(const void *a, const void *b)
{
	const struct meeting *x = a, *y = b;

	if (x->number != y->number)
		return x->number < y->number ? -1 : 1;
	if (x->giver != y->giver)
		return x->giver < y->giver ? -1 : 1;
	return x->owner < y->owner ? -1 : x->owner > y->owner;
}

static struct meeting *meeting_find_locked(uint64_t giver, uint64_t owner, uint64_t number)
{
	struct meeting key = { .giver = giver, .owner = owner, .number = number };
	void *found;

	lock_assert_held(&node.lock);
	found = tfind(&key, &node.meetings, meeting_compare);
	return found ? *(struct meeting **)found : NULL;
}

/* Offers that wait, in owner.offers. They are counted for each giver, because of one that is never asked for it cannot be told
 * who of the two has lied. So nobody can use up what others may have. */
struct offer_count {
	uint64_t giver;
	uint32_t n;
};

static int offer_count_compare(const void *a, const void *b)
{
	const struct offer_count *x = a, *y = b;

	return x->giver < y->giver ? -1 : x->giver > y->giver;
}

/* False: there are too many. */
static bool offer_count_up_locked(struct link *owner, uint64_t giver)
{
	struct offer_count key = { .giver = giver }, *count;
	void *found = tfind(&key, &owner->offers, offer_count_compare);

	if (found) {
		count = *(struct offer_count **)found;
		if (count->n == LINK_MAX_OFFERS)
			return false;
		count->n++;
		return true;
	}
	count = certain_alloc(sizeof *count);
	*count = (struct offer_count){ giver, 1 };
	while (!tsearch(count, &owner->offers, offer_count_compare))
		free(certain_alloc(4 * sizeof(void *))); /* waits for memory */
	return true;
}

static void offer_count_down_locked(struct link *owner, uint64_t giver)
{
	struct offer_count key = { .giver = giver }, *count;
	void *found = tfind(&key, &owner->offers, offer_count_compare);

	if (!found)
		return;
	count = *(struct offer_count **)found;
	if (--count->n)
		return;
	tdelete(&key, &owner->offers, offer_count_compare);
	free(count);
}

/* On the account of the giver, who has sent the ticket, or of the owner, who has made the offer. False: there are too many. */
static bool meeting_charge_locked(uint64_t giver, uint64_t owner, enum meeting_state state)
{
	struct link *link = link_find_locked(state == MEETING_TICKET ? giver : owner);

	if (!link)
		return true;
	if (state != MEETING_TICKET)
		return offer_count_up_locked(link, giver);
	if (link->n_tickets == LINK_MAX_MEETINGS)
		return false;
	link->n_tickets++;
	return true;
}

static void meeting_discharge_locked(const struct meeting *x)
{
	struct link *link = link_find_locked(x->state == MEETING_TICKET ? x->giver : x->owner);

	if (!link)
		return;
	if (x->state != MEETING_TICKET)
		offer_count_down_locked(link, x->giver);
	else if (link->n_tickets)
		link->n_tickets--;
}

/* NULL: there are too many of them. */
static struct meeting *meeting_new_locked(uint64_t giver, uint64_t owner, uint64_t number, enum right_kind kind,
					  enum meeting_state state)
{
	struct meeting *x;

	if (!meeting_charge_locked(giver, owner, state))
		return NULL;
	x = certain_alloc(sizeof *x);
	*x = (struct meeting){ .giver = giver, .owner = owner, .number = number, .kind = kind, .state = state };
	while (!tsearch(x, &node.meetings, meeting_compare))
		free(certain_alloc(4 * sizeof(void *))); /* waits for memory */
	return x;
}

static void meeting_free_locked(struct meeting *x)
{
	meeting_discharge_locked(x);
	tdelete(x, &node.meetings, meeting_compare);
	free(x);
}

static void frame_send_ticket_locked(struct link *to, enum frame_type type, uint64_t about, uint64_t number,
				     const struct wire_right *right)
{
	struct frame_ticket f = {
		.header = { sizeof f, (uint16_t)type, 0 },
		.node = about,
		.number = number,
	};

	if (right)
		f.right = *right;
	link_send_locked(to, &f.header, URGENCY_HIGH, NULL, 0);
}

/* ---- the giver ---------------------------------------------------------------------------------------------------- */

struct wire_ticket handoff_begin_locked(struct link *to, struct proxy *proxy, const struct right *right)
{
	struct wire_right wire = { .kind = (uint8_t)right->kind };
	struct link *owner = migrate_home_locked(proxy, &wire.value);
	struct wire_ticket ticket = { owner->peer_id, ++node.next_ticket };

	link_introduce_locked(to, owner); /* S0 */
	wire.form = proxy_give_locked(proxy, right) ? WIRE_YOURS_MOVED : WIRE_YOURS;
	frame_send_ticket_locked(owner, FRAME_DEPOSIT, to->peer_id, ticket.number, &wire); /* S1 */
	return ticket;
}

/* ---- the owner ---------------------------------------------------------------------------------------------------- */

/* T1. Takes the right. */
static void offer_locked(struct link *receiver, uint64_t giver, uint64_t number, struct right *right)
{
	struct frame_ticket f = {
		.header = { sizeof f, FRAME_OFFER, 0 },
		.node = giver,
		.number = number,
		.right.kind = (uint8_t)right->kind,
	};

	if (!right_is_valid(right) || port_is_dead(right->port)) {
		frame_send_ticket_locked(receiver, FRAME_VOID, giver, number, &f.right);
		return; /* a dead right has no consequences any more; the caller drops it */
	}
	outbound_write_right_locked(receiver, right, &f.right, &f.onward);
	right->port = NULL;
	if (f.right.form == WIRE_DEAD) /* just now */
		frame_send_ticket_locked(receiver, FRAME_VOID, giver, number, &f.right);
	else
		link_send_locked(receiver, &f.header, URGENCY_HIGH, NULL, 0);
}

static void deposit_keep_locked(uint64_t receiver, uint64_t giver, uint64_t number, struct right *right)
{
	struct deposit *deposit = certain_alloc(sizeof *deposit);

	*deposit = (struct deposit){ .receiver = receiver, .giver = giver, .number = number, .right = *right };
	list_append(&node.deposits, &deposit->link);
	(void)link_charge_waiting_locked(link_find_locked(giver));
	right->port = NULL;
}

static void deposit_free_locked(struct deposit *deposit)
{
	link_discharge_waiting_locked(deposit->giver);
	list_unlink(&deposit->link);
	free(deposit);
}

bool handoff_take_deposit(struct link *from, const struct frame_ticket *f)
{
	struct right right = { NULL, f->right.kind };
	struct link *receiver;
	bool ok;

	lock_take(&node.lock);
	ok = export_take_locked(from, &f->right, &right) && link_charge_waiting_locked(from);
	if (ok)
		link_discharge_waiting_locked(from->peer_id); /* there is room for one more */
	if (ok && link_is_expected_locked(f->node)) {
		receiver = link_find_locked(f->node);
		if (receiver && !migrate_is_in_limbo(right.port))
			offer_locked(receiver, from->peer_id, f->number, &right);
		else
			deposit_keep_locked(f->node, from->peer_id, f->number, &right);
	}
	lock_drop(&node.lock);
	right_destroy(&right);
	return ok;
}

/* That what a node asks about is not to come, unless it has been deposited and waits. */
static void answer_query_locked(struct link *asker, uint64_t giver, uint64_t number)
{
	list_for_each(deposit, &node.deposits, struct deposit, link)
		if (deposit->receiver == asker->peer_id && deposit->giver == giver && deposit->number == number)
			return;
	frame_send_ticket_locked(asker, FRAME_VOID, giver, number, NULL);
}

bool handoff_take_query(struct link *from, const struct frame_ticket *f)
{
	struct query *query;
	bool ok = true;

	lock_take(&node.lock);
	if (link_is_expected_locked(f->node)) {
		ok = link_charge_waiting_locked(from);
		query = certain_alloc(sizeof *query);
		*query = (struct query){ .asker = from->peer_id, .giver = f->node, .number = f->number };
		list_append(&node.queries, &query->link);
	} else {
		answer_query_locked(from, f->node, f->number);
	}
	lock_drop(&node.lock);
	return ok;
}

/* ---- the receiver ------------------------------------------------------------------------------------------------- */

struct port **place_port(const struct place *place)
{
	struct message *m = place->message;

	return place->item == PLACE_REPLY ? &m->reply.port : &item_ports(&m->items[place->item])[place->right];
}

/* A request that was asked for of a port is there before whoever receives the port can ask for another. */
static bool message_carries(const struct message *m, const struct port *port)
{
	for (uint32_t i = 0; i < m->n_items; i++)
		for (uint32_t j = 0; m->items[i].right == RIGHT_RECEIVE && j < m->items[i].n_rights; j++)
			if (item_ports(&m->items[i])[j] == port)
				return true;
	return false;
}

static bool parked_precedes(const struct parked *earlier, const struct parked *later)
{
	struct port *port = earlier->message->dest.port;

	return earlier->giver == later->giver &&
	       (port == later->message->dest.port ||
		(earlier->message->is_request && message_carries(later->message, port)));
}

static bool parked_is_held_back_locked(const struct parked *parked)
{
	if (parked->n_missing)
		return true;
	list_for_each(earlier, &node.parked, struct parked, link) {
		if (earlier == parked)
			return false;
		if (parked_precedes(earlier, parked))
			return true;
	}
	return false;
}

bool handoff_is_parked_locked(uint64_t giver, const struct port *port)
{
	list_for_each(parked, &node.parked, struct parked, link)
		if (parked->giver == giver && parked->message->dest.port == port)
			return true;
	return false;
}

/* R2. What nothing holds back any more goes to @ready, in order. */
static void parked_release_locked(struct list *ready)
{
	list_for_each(parked, &node.parked, struct parked, link) {
		if (parked_is_held_back_locked(parked))
			continue;
		list_unlink(&parked->link);
		list_append(ready, &parked->message->port_link);
		free(parked);
	}
}

void handoff_deliver_at_once(struct message *m)
{
	if (m->is_request)
		migrate_deliver_request(m);
	else
		send_always(m);
}

static void deliver_all(struct list *ready)
{
	if (list_is_empty(ready))
		return;
	list_for_each(m, ready, struct message, port_link) {
		list_unlink(&m->port_link);
		handoff_deliver_at_once(m);
	}
	migrate_go_on();
}

/* What comes of a change of meetings, once node.lock is dropped. */
struct outcome {
	struct list ready;	/* messages */
	struct right unclaimed; /* a naked right that nobody waits for any more */
};

static void outcome_init(struct outcome *outcome)
{
	list_init(&outcome->ready);
	outcome->unclaimed = (struct right){ NULL, RIGHT_NONE };
}

static void outcome_run(struct outcome *outcome)
{
	right_destroy(&outcome->unclaimed);
	deliver_all(&outcome->ready);
}

/* A ticket has met its offer, or will not (PORT_DEAD). Takes the right. */
static void ticket_settle_locked(struct meeting *ticket, struct port *port, struct outcome *outcome)
{
	struct parked *parked = ticket->parked;
	struct meeting *onward = ticket->other;

	if (parked) {
		*place_port(&ticket->place) = port;
	} else if (onward) {
		onward->state = MEETING_OFFER;
		onward->right = (struct right){ port, onward->kind };
		onward->other = NULL;
	} else {
		outcome->unclaimed = (struct right){ port, ticket->kind };
	}
	meeting_free_locked(ticket);
	if (parked && --parked->n_missing == 0)
		parked_release_locked(&outcome->ready);
}

/* The giver has gone, and perhaps before it could deposit what the ticket is for. */
static void ticket_ask_locked(struct meeting *ticket)
{
	struct link *owner = link_find_locked(ticket->owner);

	ticket->giver_is_gone = owner == NULL; /* else when it is linked */
	if (owner)
		frame_send_ticket_locked(owner, FRAME_QUERY, ticket->giver, ticket->number, NULL);
}

/* What a ticket stands for: *port, or *ticket is what waits for it. False: the peer broke the rules. */
static bool ticket_follow_locked(uint64_t giver, const struct wire_ticket *wire, enum right_kind kind,
				 struct port **port, struct meeting **ticket)
{
	struct meeting *x = meeting_find_locked(giver, wire->owner, wire->number);

	*ticket = NULL;
	*port = PORT_DEAD;
	if (x && (x->state == MEETING_TICKET || x->kind != kind))
		return false;
	if (x) {
		*port = x->right.port;
		*ticket = x->other;
		if (x->other)
			x->other->other = NULL;
		meeting_free_locked(x);
		return true;
	}
	if (!link_is_expected_locked(wire->owner))
		return true;
	*ticket = meeting_new_locked(giver, wire->owner, wire->number, kind, MEETING_TICKET);
	if (*ticket && !link_is_expected_locked(giver))
		ticket_ask_locked(*ticket);
	return *ticket != NULL;
}

bool handoff_claim_locked(struct link *from, const struct wire_ticket *wire, enum right_kind kind,
			  const struct place *place, struct parked **parked)
{
	struct meeting *x;
	struct port *port;

	if (!ticket_follow_locked(from->peer_id, wire, kind, &port, &x))
		return false;
	*place_port(place) = x ? NULL : port;
	if (!x)
		return true;
	if (!*parked) {
		*parked = certain_alloc(sizeof **parked);
		**parked = (struct parked){ .giver = from->peer_id, .message = place->message };
		list_init(&(*parked)->link);
	}
	x->place = *place;
	x->parked = *parked;
	x->parked->n_missing++;
	return true;
}

void handoff_deliver(struct link *from, struct message *m, struct parked *parked)
{
	struct parked here = { .giver = from->peer_id, .message = m };
	bool is_held_back;

	lock_take(&node.lock);
	if (list_is_empty(&node.parked) && !parked) {
		lock_drop(&node.lock);
		handoff_deliver_at_once(m);
		return;
	}
	is_held_back = parked_is_held_back_locked(parked ? parked : &here);
	if (is_held_back && !parked) {
		parked = certain_alloc(sizeof *parked);
		*parked = here;
		list_init(&parked->link);
	}
	if (is_held_back)
		list_append(&node.parked, &parked->link);
	lock_drop(&node.lock);
	if (is_held_back)
		return;
	free(parked); /* its last ticket has met its offer meanwhile */
	handoff_deliver_at_once(m);
}

/* What twalk_r() collects: meetings that a predicate chooses. */
struct selection {
	bool (*is_wanted)(const struct meeting *x, const void *what);
	const void *what;
	struct meeting *found;
};

static void selection_visit(const void *nodep, VISIT which, void *closure)
{
	struct selection *selection = closure;
	struct meeting *x = *(struct meeting *const *)nodep;

	if ((which == postorder || which == leaf) && !selection->found && selection->is_wanted(x, selection->what))
		selection->found = x;
}

static struct meeting *meeting_select_locked(bool (*is_wanted)(const struct meeting *, const void *), const void *what)
{
	struct selection selection = { is_wanted, what, NULL };

	twalk_r(node.meetings, selection_visit, &selection);
	return selection.found;
}

static bool is_of_parked(const struct meeting *x, const void *parked)
{
	return x->state == MEETING_TICKET && x->parked == parked;
}

void handoff_discard(struct parked *parked)
{
	struct meeting *x;

	lock_take(&node.lock);
	while ((x = meeting_select_locked(is_of_parked, parked)))
		meeting_free_locked(x);
	lock_drop(&node.lock);
	free(parked);
}

/* R1, the offer's side. Takes the right, unless nobody is going to claim it. */
static void meet_locked(struct link *owner, const struct frame_ticket *f, struct right *right, struct outcome *outcome)
{
	struct meeting *x = meeting_find_locked(f->node, owner->peer_id, f->number);

	/* Twice, or of another kind than the ticket. The owner may have been told so by the giver, and is not to suffer. */
	if (x && (x->state != MEETING_TICKET || x->kind != right->kind)) {
		if (x->state == MEETING_TICKET)
			ticket_settle_locked(x, PORT_DEAD, outcome);
		return;
	}
	if (!x && !link_is_expected_locked(f->node))
		return;
	if (x) {
		ticket_settle_locked(x, right->port, outcome);
	} else {
		x = meeting_new_locked(f->node, owner->peer_id, f->number, right->kind, MEETING_OFFER);
		if (!x)
			return;
		x->right = *right;
	}
	right->port = NULL;
}

/* A node is the giver and the owner of a ticket, which stands for itself. */
static bool offers_itself(const struct link *owner, const struct frame_ticket *f)
{
	return f->node == owner->peer_id && f->onward.owner == owner->peer_id && f->onward.number == f->number;
}

/* The owner's port has moved, and what it was to offer another node will, by a ticket of the owner's. */
static bool meet_onward_locked(struct link *owner, const struct frame_ticket *f, struct outcome *outcome)
{
	struct meeting *x = meeting_find_locked(f->node, owner->peer_id, f->number), *onward;
	enum right_kind kind = f->right.kind;
	struct port *port;

	bool is_wanted = !x || (x->state == MEETING_TICKET && x->kind == kind); /* as in meet_locked() */

	if (offers_itself(owner, f) || !ticket_follow_locked(owner->peer_id, &f->onward, kind, &port, &onward))
		return false;
	if (!is_wanted) {
		outcome->unclaimed = (struct right){ onward ? NULL : port, kind };
	} else if (x && !onward) {
		ticket_settle_locked(x, port, outcome);
	} else if (x) {
		onward->place = x->place;
		onward->parked = x->parked;
		onward->other = x->other;
		if (x->other)
			x->other->other = onward;
		meeting_free_locked(x);
	} else if (!link_is_expected_locked(f->node)) {
		outcome->unclaimed = (struct right){ onward ? NULL : port, kind };
	} else {
		x = meeting_new_locked(f->node, owner->peer_id, f->number, kind,
				       onward ? MEETING_ONWARD : MEETING_OFFER);
		if (!x) {
			outcome->unclaimed = (struct right){ onward ? NULL : port, kind };
			return true;
		}
		x->right = (struct right){ onward ? NULL : port, kind };
		x->other = onward;
		if (onward)
			onward->other = x;
	}
	return true;
}

static bool read_offer_locked(struct link *from, const struct wire_right *wire, struct right *right)
{
	struct proxy *proxy;

	if (wire->form == WIRE_YOURS || wire->form == WIRE_YOURS_MOVED)
		return export_take_locked(from, wire, right);
	if ((wire->form & WIRE_FORM) != WIRE_MINE)
		return false;
	proxy = proxy_of_wire_locked(from, wire);
	if (!proxy)
		return false;
	proxy_receive_unit_locked(proxy, wire->kind, right);
	return true;
}

bool handoff_take_offer(struct link *from, const struct frame_ticket *f)
{
	struct right right = { NULL, f->right.kind };
	struct outcome outcome;
	bool ok;

	if (f->right.kind == RIGHT_NONE)
		return migrate_take_offer(from, f);
	if (f->right.kind != RIGHT_SEND && f->right.kind != RIGHT_SEND_ONCE)
		return false;
	outcome_init(&outcome);
	lock_take(&node.lock);
	if (f->right.form == WIRE_TICKET)
		ok = meet_onward_locked(from, f, &outcome);
	else
		ok = read_offer_locked(from, &f->right, &right);
	if (ok && f->right.form != WIRE_TICKET)
		meet_locked(from, f, &right, &outcome);
	lock_drop(&node.lock);
	right_destroy(&right);
	outcome_run(&outcome);
	return ok;
}

/* A deposit of a right to a dead port is like an offer: whichever of it and the ticket comes first waits. An answer to a question
 * does not say of what kind it is, nor what the question was about. */
bool handoff_take_void(struct link *from, const struct frame_ticket *f)
{
	bool is_deposit = f->right.kind == RIGHT_SEND || f->right.kind == RIGHT_SEND_ONCE;
	struct right dead = { PORT_DEAD, f->right.kind };
	struct outcome outcome;
	struct meeting *x;

	outcome_init(&outcome);
	lock_take(&node.lock);
	x = meeting_find_locked(f->node, from->peer_id, f->number);
	if (is_deposit)
		meet_locked(from, f, &dead, &outcome);
	else if (x && x->state == MEETING_TICKET)
		ticket_settle_locked(x, PORT_DEAD, &outcome);
	lock_drop(&node.lock);
	outcome_run(&outcome);
	if (!x && !is_deposit)
		migrate_take_void(from, f);
	return true;
}

/* ---- links come and go -------------------------------------------------------------------------------------------- */

static bool is_unasked_of(const struct meeting *x, const void *owner)
{
	return x->state == MEETING_TICKET && x->giver_is_gone && x->owner == *(const uint64_t *)owner;
}

/* What may be offered to a node that is linked to us. */
static void offer_deposits_locked(struct link *receiver)
{
	list_for_each(deposit, &node.deposits, struct deposit, link) {
		if (deposit->receiver != receiver->peer_id || migrate_is_in_limbo(deposit->right.port))
			continue;
		offer_locked(receiver, deposit->giver, deposit->number, &deposit->right);
		if (deposit->right.port)
			right_drop_dead(&deposit->right);
		deposit_free_locked(deposit);
	}
}

void handoff_retry_deposits(void)
{
	lock_take(&node.lock);
	list_for_each(link, &node.all_links, struct link, node_link)
		if (link->state == LINK_LIVE && !list_is_empty(&node.deposits))
			offer_deposits_locked(link);
	lock_drop(&node.lock);
}

/* First the holders of ports that have moved here: what they are granted has to be known to them as what they hold. */
void handoff_take_link(struct link *link)
{
	struct meeting *x;

	lock_take(&node.lock);
	migrate_take_link_locked(link);
	offer_deposits_locked(link);
	while ((x = meeting_select_locked(is_unasked_of, &link->peer_id)))
		ticket_ask_locked(x);
	lock_drop(&node.lock);
}

/* R hears of T's death. */
static bool is_ticket_of_owner(const struct meeting *x, const void *owner)
{
	return x->state == MEETING_TICKET && x->owner == *(const uint64_t *)owner;
}

static void end_owner_locked(uint64_t id, struct outcome *outcome)
{
	struct meeting *x;

	while ((x = meeting_select_locked(is_ticket_of_owner, &id)))
		ticket_settle_locked(x, PORT_DEAD, outcome);
}

/* R hears of S's death: who gave what it did not come to say. */
static bool is_offer_of_giver(const struct meeting *x, const void *giver)
{
	return x->state != MEETING_TICKET && x->giver == *(const uint64_t *)giver;
}

/* Or of T's: a ticket that comes for its offer is dead, as if it had come before, and nobody's account is charged with it. */
static bool is_offer_of_owner(const struct meeting *x, const void *owner)
{
	return x->state != MEETING_TICKET && x->owner == *(const uint64_t *)owner;
}

/* Returns a right that nobody will claim. False: there is none. */
static bool end_giver_locked(uint64_t id, struct right *right)
{
	struct meeting *x = meeting_select_locked(is_offer_of_giver, &id);

	if (!x)
		x = meeting_select_locked(is_offer_of_owner, &id);
	if (!x)
		return false;
	*right = (struct right){ x->right.port, x->kind };
	if (x->other)
		x->other->other = NULL;
	meeting_free_locked(x);
	return true;
}

/* And who said what he may not have given. */
static void ask_visit(const void *nodep, VISIT which, void *giver)
{
	struct meeting *x = *(struct meeting *const *)nodep;

	if ((which == postorder || which == leaf) && x->state == MEETING_TICKET && x->giver == *(uint64_t *)giver)
		ticket_ask_locked(x);
}

/* T hears of R's death. */
static bool end_receiver_locked(uint64_t id, struct right *right)
{
	list_for_each(deposit, &node.deposits, struct deposit, link) {
		if (deposit->receiver != id)
			continue;
		*right = deposit->right;
		deposit_free_locked(deposit);
		return true;
	}
	return false;
}

/* T hears of S's death: nothing more comes from it. Or the asker's: nobody wants to know any more. */
static void answer_queries_locked(uint64_t giver)
{
	list_for_each(query, &node.queries, struct query, link) {
		struct link *asker = link_find_locked(query->asker);

		if (query->giver != giver && query->asker != giver)
			continue;
		if (asker)
			answer_query_locked(asker, query->giver, query->number);
		link_discharge_waiting_locked(query->asker);
		list_unlink(&query->link);
		free(query);
	}
}

static void drop_unclaimed(uint64_t id)
{
	struct right right = { NULL, RIGHT_NONE };
	bool has_more;

	do {
		lock_take(&node.lock);
		has_more = end_giver_locked(id, &right) || end_receiver_locked(id, &right);
		lock_drop(&node.lock);
		right_destroy(&right);
	} while (has_more);
}

void handoff_end_link(struct link *link)
{
	uint64_t id = link->peer_id;
	struct outcome outcome;
	bool is_over;

	outcome_init(&outcome);
	lock_take(&node.lock);
	is_over = !link_is_expected_locked(id);
	if (is_over) {
		end_owner_locked(id, &outcome);
		answer_queries_locked(id);
		twalk_r(node.meetings, ask_visit, &id);
	}
	lock_drop(&node.lock);
	if (is_over)
		drop_unclaimed(id);
	outcome_run(&outcome);
}
