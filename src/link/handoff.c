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
struct meeting {
	uint64_t giver, owner, number;
	enum right_kind kind;
	bool has_offer;
	bool giver_is_gone;	   /* a ticket's: the owner is to be asked, as soon as it is linked */
	struct right right;	   /* an offer's: naked, NULL if the port had moved on: then */
	struct wire_ticket onward; /* by the owner's ticket it will come from there */
	struct place place;	   /* a ticket's */
	struct parked *parked;	   /* a ticket's */
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

/* NULL: the giver has too many of them. */
static struct meeting *meeting_new_locked(uint64_t giver, uint64_t owner, uint64_t number, enum right_kind kind)
{
	struct link *link = link_find_locked(giver);
	struct meeting *x;

	if (link && link->n_meetings == LINK_MAX_MEETINGS)
		return NULL;
	x = certain_alloc(sizeof *x);
	*x = (struct meeting){ .giver = giver, .owner = owner, .number = number, .kind = kind };
	while (!tsearch(x, &node.meetings, meeting_compare))
		free(certain_alloc(4 * sizeof(void *))); /* waits for memory */
	if (link)
		link->n_meetings++;
	return x;
}

static void meeting_free_locked(struct meeting *x)
{
	struct link *link = link_find_locked(x->giver);

	if (link)
		link->n_meetings--;
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
	struct wire_ticket ticket = { proxy->link->peer_id, ++node.next_ticket };
	struct wire_right wire = { .kind = (uint8_t)right->kind, .value = proxy->index };
	struct link *owner = proxy->link;

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
		frame_send_ticket_locked(receiver, FRAME_VOID, giver, number, NULL);
		return; /* a dead right has no consequences any more; the caller drops it */
	}
	outbound_write_right_locked(receiver, right, &f.right, &f.onward);
	right->port = NULL;
	link_send_locked(receiver, &f.header, URGENCY_HIGH, NULL, 0);
}

static void deposit_keep_locked(uint64_t receiver, uint64_t giver, uint64_t number, struct right *right)
{
	struct deposit *deposit = certain_alloc(sizeof *deposit);

	*deposit = (struct deposit){ .receiver = receiver, .giver = giver, .number = number, .right = *right };
	list_append(&node.deposits, &deposit->link);
	right->port = NULL;
}

/* Whether a node is linked to us or will be, after all introductions that @giver made have been read. Drops and retakes
 * node.lock. */
bool handoff_is_introduced_locked(struct link *giver, uint64_t id)
{
	if (link_is_expected_locked(id))
		return true;
	lock_drop(&node.lock);
	(void)link_read_socket(giver);
	lock_take(&node.lock);
	return link_is_expected_locked(id);
}

bool handoff_take_deposit(struct link *from, const struct frame_ticket *f)
{
	struct right right = { NULL, f->right.kind };
	struct link *receiver;
	bool ok;

	if (f->right.kind == RIGHT_NONE)
		return migrate_take_deposit(from, f);
	if (f->right.kind != RIGHT_SEND && f->right.kind != RIGHT_SEND_ONCE)
		return false;
	lock_take(&node.lock);
	ok = export_take_locked(from, &f->right, &right);
	if (ok && handoff_is_introduced_locked(from, f->node)) {
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

bool handoff_take_query(struct link *from, const struct frame_ticket *f)
{
	struct query *query;

	lock_take(&node.lock);
	if (link_is_expected_locked(f->node)) {
		query = certain_alloc(sizeof *query);
		*query = (struct query){ .asker = from->peer_id, .giver = f->node, .number = f->number };
		list_append(&node.queries, &query->link);
	} else {
		frame_send_ticket_locked(from, FRAME_VOID, f->node, f->number, NULL);
	}
	lock_drop(&node.lock);
	return true;
}

/* ---- the receiver ------------------------------------------------------------------------------------------------- */

struct port **place_port(const struct place *place)
{
	struct message *m = place->message;

	return place->item == PLACE_REPLY ? &m->reply.port : &item_ports(&m->items[place->item])[place->right];
}

static bool parked_is_held_back_locked(const struct parked *parked)
{
	if (parked->n_missing)
		return true;
	list_for_each(earlier, &node.parked, struct parked, link) {
		if (earlier == parked)
			return false;
		if (earlier->giver == parked->giver && earlier->message->dest.port == parked->message->dest.port)
			return true;
	}
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

static void deliver(struct message *m)
{
	if (m->is_request)
		migrate_deliver_request(m);
	else
		send_always(m);
}

static void deliver_all(struct list *ready)
{
	list_for_each(m, ready, struct message, port_link) {
		list_unlink(&m->port_link);
		deliver(m);
	}
}

/* A ticket has met its offer, or will not. Takes the right. */
static void ticket_settle_locked(struct meeting *ticket, struct port *port, struct list *ready)
{
	struct parked *parked = ticket->parked;

	*place_port(&ticket->place) = port;
	meeting_free_locked(ticket);
	if (--parked->n_missing == 0)
		parked_release_locked(ready);
}

/* The offer was here first. */
static bool claim_offer_locked(struct meeting *offer, const struct place *place, struct parked **parked)
{
	struct link *owner = link_find_locked(offer->owner);
	struct wire_ticket onward = offer->onward;
	enum right_kind kind = offer->kind;
	bool has_moved_on = !offer->right.port;

	*place_port(place) = has_moved_on ? PORT_DEAD : offer->right.port;
	meeting_free_locked(offer);
	return !has_moved_on || !owner || handoff_claim_locked(owner, &onward, kind, place, parked);
}

bool handoff_claim_locked(struct link *from, const struct wire_ticket *wire, enum right_kind kind,
			  const struct place *place, struct parked **parked)
{
	struct meeting *x = meeting_find_locked(from->peer_id, wire->owner, wire->number);

	if (x && (!x->has_offer || x->kind != kind))
		return false;
	if (x)
		return claim_offer_locked(x, place, parked);
	*place_port(place) = PORT_DEAD;
	if (!handoff_is_introduced_locked(from, wire->owner))
		return true;
	x = meeting_new_locked(from->peer_id, wire->owner, wire->number, kind);
	if (!x)
		return false;
	*place_port(place) = NULL;
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
		deliver(m);
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
	deliver(m);
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
	return !x->has_offer && x->parked == parked;
}

void handoff_discard(struct link *from, struct parked *parked)
{
	struct meeting *x;

	(void)from;
	lock_take(&node.lock);
	while ((x = meeting_select_locked(is_of_parked, parked)))
		meeting_free_locked(x);
	lock_drop(&node.lock);
	free(parked);
}

/* R1, the offer's side. Takes the right, unless it returns false or leaves it: nobody is going to claim it. */
static bool meet_locked(struct link *owner, const struct frame_ticket *f, struct right *right, struct list *ready)
{
	struct meeting *x = meeting_find_locked(f->node, owner->peer_id, f->number);

	if (x && (x->has_offer || x->kind != right->kind))
		return false;
	if (!x && !link_is_expected_locked(f->node))
		return true;
	if (x) {
		ticket_settle_locked(x, right->port, ready);
	} else {
		x = meeting_new_locked(f->node, owner->peer_id, f->number, right->kind);
		if (!x)
			return false;
		x->has_offer = true;
		x->right = *right;
	}
	right->port = NULL;
	return true;
}

static bool note_redirect_locked(struct link *owner, const struct frame_ticket *f)
{
	struct meeting *x = meeting_new_locked(f->node, owner->peer_id, f->number, f->right.kind);

	if (!x)
		return false;
	x->has_offer = true;
	x->onward = f->onward;
	return true;
}

/* The owner's port has moved, and what it was to offer another node will. */
static bool redirect_locked(struct link *owner, const struct frame_ticket *f, struct list *ready)
{
	struct meeting *x = meeting_find_locked(f->node, owner->peer_id, f->number), *y, *z;

	if (!x)
		return !link_is_expected_locked(f->node) || note_redirect_locked(owner, f);
	if (x->has_offer)
		return false;
	z = meeting_find_locked(owner->peer_id, f->onward.owner, f->onward.number);
	if (z && z->has_offer && z->kind == x->kind) {
		ticket_settle_locked(x, z->right.port, ready);
		meeting_free_locked(z);
		return true;
	}
	if (z || !handoff_is_introduced_locked(owner, f->onward.owner)) {
		ticket_settle_locked(x, PORT_DEAD, ready);
		return !z;
	}
	y = meeting_new_locked(owner->peer_id, f->onward.owner, f->onward.number, x->kind);
	if (!y)
		return false;
	y->place = x->place;
	y->parked = x->parked;
	meeting_free_locked(x);
	return true;
}

bool handoff_take_offer(struct link *from, const struct frame_ticket *f)
{
	struct right right = { NULL, f->right.kind };
	struct proxy *proxy;
	struct list ready;
	bool ok;

	if (f->right.kind == RIGHT_NONE)
		return migrate_take_offer(from, f);
	if ((f->right.kind != RIGHT_SEND && f->right.kind != RIGHT_SEND_ONCE) ||
	    ((f->right.form & WIRE_FORM) != WIRE_MINE && f->right.form != WIRE_TICKET))
		return false;
	list_init(&ready);
	lock_take(&node.lock);
	if (f->right.form == WIRE_TICKET) {
		ok = redirect_locked(from, f, &ready);
	} else {
		proxy = proxy_of_wire_locked(from, &f->right);
		ok = proxy != NULL;
		if (ok) {
			proxy_receive_unit_locked(proxy, right.kind, &right);
			ok = meet_locked(from, f, &right, &ready);
		}
	}
	lock_drop(&node.lock);
	right_destroy(&right);
	deliver_all(&ready);
	return ok;
}

bool handoff_take_void(struct link *from, const struct frame_ticket *f)
{
	struct meeting *x;
	struct list ready;

	list_init(&ready);
	lock_take(&node.lock);
	x = meeting_find_locked(f->node, from->peer_id, f->number);
	if (x && !x->has_offer)
		ticket_settle_locked(x, PORT_DEAD, &ready);
	lock_drop(&node.lock);
	deliver_all(&ready);
	return true;
}

/* ---- links come and go -------------------------------------------------------------------------------------------- */

static bool is_unasked_of(const struct meeting *x, const void *owner)
{
	return !x->has_offer && x->giver_is_gone && x->owner == *(const uint64_t *)owner;
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
		list_unlink(&deposit->link);
		free(deposit);
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

void handoff_take_link(struct link *link)
{
	struct meeting *x;

	lock_take(&node.lock);
	offer_deposits_locked(link);
	while ((x = meeting_select_locked(is_unasked_of, &link->peer_id))) {
		x->giver_is_gone = false;
		frame_send_ticket_locked(link, FRAME_QUERY, x->giver, x->number, NULL);
	}
	lock_drop(&node.lock);
	migrate_take_link(link);
}

/* R hears of T's death. */
static bool is_ticket_of_owner(const struct meeting *x, const void *owner)
{
	return !x->has_offer && x->owner == *(const uint64_t *)owner;
}

static void end_owner_locked(uint64_t id, struct list *ready)
{
	struct meeting *x;

	while ((x = meeting_select_locked(is_ticket_of_owner, &id)))
		ticket_settle_locked(x, PORT_DEAD, ready);
}

/* R hears of S's death: who gave what it did not come to say, and who said what he may not have given. */
static bool is_of_gone_giver(const struct meeting *x, const void *giver)
{
	return x->giver == *(const uint64_t *)giver && (x->has_offer || !x->giver_is_gone);
}

static void ask_owner_locked(struct meeting *ticket, struct list *ready)
{
	struct link *owner = link_find_locked(ticket->owner);

	ticket->giver_is_gone = true;
	if (owner)
		frame_send_ticket_locked(owner, FRAME_QUERY, ticket->giver, ticket->number, NULL);
	else if (!link_is_expected_locked(ticket->owner))
		ticket_settle_locked(ticket, PORT_DEAD, ready);
}

/* Returns a right that nobody will claim; its port is NULL when there is no more. */
static struct right end_giver_locked(uint64_t id, struct list *ready)
{
	struct right right = { NULL, RIGHT_NONE };
	struct meeting *x;

	while (!right.port && (x = meeting_select_locked(is_of_gone_giver, &id))) {
		if (x->has_offer) {
			right = x->right;
			meeting_free_locked(x);
		} else {
			ask_owner_locked(x, ready);
		}
	}
	return right;
}

/* T hears of R's death. */
static struct right end_receiver_locked(uint64_t id)
{
	struct right right = { NULL, RIGHT_NONE };

	list_for_each(deposit, &node.deposits, struct deposit, link) {
		if (deposit->receiver != id)
			continue;
		right = deposit->right;
		list_unlink(&deposit->link);
		free(deposit);
		break;
	}
	return right;
}

/* T hears of S's death: nothing more comes from it. */
static void answer_queries_locked(uint64_t giver)
{
	list_for_each(query, &node.queries, struct query, link) {
		struct link *asker;

		if (query->giver != giver)
			continue;
		asker = link_find_locked(query->asker);
		if (asker)
			frame_send_ticket_locked(asker, FRAME_VOID, giver, query->number, NULL);
		list_unlink(&query->link);
		free(query);
	}
}

void handoff_end_link(struct link *link)
{
	uint64_t id = link->peer_id;
	struct right right = { NULL, RIGHT_NONE };
	struct list ready;

	list_init(&ready);
	do {
		right_destroy(&right);
		lock_take(&node.lock);
		if (!link_is_expected_locked(id)) {
			end_owner_locked(id, &ready);
			answer_queries_locked(id);
			right = end_giver_locked(id, &ready);
			if (!right.port)
				right = end_receiver_locked(id);
		}
		lock_drop(&node.lock);
	} while (right.port);
	deliver_all(&ready);
}
