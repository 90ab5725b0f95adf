/* SPDX-License-Identifier: MIT */
#include "link/migrate.h"

#include <assert.h>
#include <stdlib.h>

#include "kernel/after.h"
#include "kernel/message.h"
#include "kernel/notify.h"
#include "kernel/port.h"
#include "kernel/right.h"
#include "kernel/send.h"
#include "link/export.h"
#include "link/frame.h"
#include "link/handoff.h"
#include "link/inbound.h"
#include "link/link.h"
#include "link/outbound.h"
#include "link/proxy.h"

/* At B: a receive right that MOVE has announced, until the message comes that carries it; and, as long as something may
 * come back by way of A, what P' holds. */
struct move {
	struct list link;  /* in the moves of the link to A */
	uint32_t index;	   /* h */
	struct port *port; /* the right's reference until it has arrived, then one of our own */
	bool has_arrived;
	bool is_settling; /* B1 to B3: the guard is ours */
	struct list held; /* port.held */
};

/* At B: a holder that is to come here. */
struct settler {
	struct list link; /* in node.settlers */
	uint64_t giver, number, holder;
	struct export *via;    /* h, of the link to A */
	struct export *export; /* y; NULL: the holder is not linked to us yet */
};

/* At H: a proxy on its way from A to B. */
struct relocation {
	struct list link; /* in node.relocations */
	uint64_t giver, home, number;
	bool has_moved, has_offer, is_flushed;
	struct proxy *proxy;		  /* NULL: it was gone before, or is by now */
	uint32_t old_index, index, limit; /* at A; y; of y's queue */
	uint32_t sends, onces;		  /* what READY brings, when there is no proxy any more */
};

/* At H: a message kept back. */
struct kept {
	struct list link; /* in node.kept */
	struct message *message;
};

static void relocations_go_on_locked(struct proxy *proxy);

static void send_index(struct link *link, enum frame_type type, uint32_t index, uint32_t sends, uint32_t onces)
{
	struct frame_index f = {
		.header = { sizeof f, (uint16_t)type, 0 },
		.index = index,
		.sends = (int32_t)sends,
		.onces = (int32_t)onces,
	};

	link_send_locked(link, &f.header, URGENCY_HIGH, NULL, 0);
}

static void send_ticket(struct link *link, enum frame_type type, uint64_t about, uint64_t number, uint32_t index)
{
	struct frame_ticket f = {
		.header = { sizeof f, (uint16_t)type, 0 },
		.node = about,
		.number = number,
		.right = { .form = WIRE_YOURS, .kind = RIGHT_NONE, .value = index },
	};

	link_send_locked(link, &f.header, URGENCY_HIGH, NULL, 0);
}

/* ---- A: out ------------------------------------------------------------------------------------------------------- */

/* A1, and the number of the ticket for A3. */
static void tell_holder_locked(struct link *home, struct export *x)
{
	link_introduce_locked(x->link, home);
	x->moved_ticket = ++node.next_ticket;
	send_ticket(x->link, FRAME_MOVED, home->peer_id, x->moved_ticket, x->index);
}

static struct export *export_tell_holders_locked(struct link *home, struct port *port)
{
	struct export *of_home = NULL;

	for (struct export *x = port->exports; x; x = x->next) {
		if (x->link == home && !x->moved_ticket)
			of_home = x;
		else if (!x->moved_ticket)
			tell_holder_locked(home, x);
	}
	return of_home;
}

/* What the new home held is its own from now on. Its export stays for what is under way, without units. */
static void give_up_units_locked(struct export *x)
{
	struct port *port = x->port;

	lock_take(&port->lock);
	port->n_srights -= x->sends;
	port->n_sorights -= x->onces;
	port->n_refs -= x->sends + x->onces;
	lock_drop(&port->lock);
	x->is_void = true;
}

static void deposit_for_holders_locked(struct link *home, struct port *port, uint32_t index)
{
	for (struct export *x = port->exports; x; x = x->next)
		if (x->link != home && x->moved_ticket && !x->is_deposited) {
			x->is_deposited = true;
			send_ticket(home, FRAME_DEPOSIT, x->link->peer_id, x->moved_ticket, index);
		}
}

/* A4: a notification that was asked for goes with the port. */
static void move_request_locked(struct link *home, uint32_t index, struct message *notice)
{
	if (!notice)
		return;
	notice->reply = notice->dest;
	notice->dest = (struct right){ NULL, RIGHT_SEND };
	notice->is_request = true;
	notice->is_complex = false;
	notice->size = sizeof notice->header;
	outbound_send_locked(home, index, URGENCY_NORMAL, notice);
	notice_free(notice);
}

static void move_queue_locked(struct proxy *proxy, struct list *queue)
{
	list_for_each(m, queue, struct message, port_link) {
		list_unlink(&m->port_link);
		if (m->origin)
			message_leave_origin(m);
		if (!migrate_keep_back_locked(m))
			outbound_send_to_proxy_locked(proxy, m);
	}
}

static void move_port_out_locked(struct link *home, struct port *port)
{
	struct message *no_senders = port->no_senders, *port_destroyed = port->port_destroyed;
	struct frame_move f = { .header = { sizeof f, FRAME_MOVE, 0 }, .index = proxy_new_index_locked(home) };
	struct export *of_home = export_tell_holders_locked(home, port);
	struct proxy *proxy;
	struct list queue;

	f.mine = of_home ? of_home->index : INDEX_NONE;
	if (of_home)
		give_up_units_locked(of_home);
	list_init(&queue);
	lock_take(&port->lock);
	port->no_senders = port->port_destroyed = NULL;
	list_splice(&queue, &port->messages);
	proxy = proxy_adopt_locked(home, f.index, port);
	f.sends = port->n_srights;
	f.onces = port->n_sorights;
	f.limit = port->qlimit;
	lock_drop(&port->lock);
	link_send_locked(home, &f.header, URGENCY_NORMAL, NULL, 0);
	deposit_for_holders_locked(home, port, f.index);
	move_request_locked(home, f.index, no_senders);
	move_request_locked(home, f.index, port_destroyed);
	move_queue_locked(proxy, &queue);
	node_note(&proxy->noted); /* perhaps no right is left here */
}

void migrate_move_out_locked(struct link *link, struct message *m)
{
	for (uint32_t i = 0; i < m->n_items; i++) {
		struct item *item = &m->items[i];

		for (uint32_t j = 0; item->right == RIGHT_RECEIVE && j < item->n_rights; j++) {
			struct port *port = item_ports(item)[j];

			if (!port || port == PORT_DEAD)
				continue;
			port_leave_transit(port);
			move_port_out_locked(link, port);
		}
	}
}

/* A6 */
bool migrate_take_flush(struct link *from, const struct frame_index *f)
{
	struct frame_ticket flushed = { .header = { sizeof flushed, FRAME_FLUSHED, 0 } };
	struct proxy *proxy;
	struct export *x;
	bool ok = false;

	lock_take(&node.lock);
	x = export_find_locked(from, f->index);
	if (x && (x->is_void || (x->moved_ticket && x->sends == (uint32_t)f->sends && x->onces == (uint32_t)f->onces)))
		ok = true;
	if (ok && port_is_proxy(x->port)) {
		proxy = x->port->proxy;
		flushed.node = from->peer_id;
		flushed.number = x->moved_ticket;
		flushed.right = (struct wire_right){ .form = WIRE_YOURS, .value = proxy->index };
		if (!x->is_void)
			proxy_pass_units_locked(proxy, x, &flushed);
		link_send_locked(proxy->link, &flushed.header, URGENCY_HIGH, NULL, 0);
		x->sends = x->onces = 0;
		export_leave_locked(x);
		relocations_go_on_locked(proxy);
	} else if (ok) {
		export_discard_locked(x);
	}
	lock_drop(&node.lock);
	return ok;
}

/* ---- B: in -------------------------------------------------------------------------------------------------------- */

static struct move *move_find_locked(struct link *from, uint32_t index)
{
	list_for_each(move, &from->moves, struct move, link)
		if (move->index == index)
			return move;
	return NULL;
}

/* B1 for what was a proxy. Its rights stay as they are, and one more is the guard. */
static struct port *settle_in_proxy_locked(struct link *from, uint32_t mine, struct move *move, struct forced **forced)
{
	struct proxy *proxy = proxy_find_locked(from, mine);
	struct port *port;

	move->is_settling = true;
	if (!proxy) {
		port = proxy_new_port(0);
	} else {
		port = proxy_come_home_locked(proxy, forced);
	}
	lock_take(&port->lock);
	port_hold_locked(port, &move->held);
	port->n_srights++;
	port->n_refs++;
	lock_drop(&port->lock);
	send_index(from, FRAME_FLUSH, mine, 0, 0);
	return port;
}

bool migrate_take_move(struct link *from, const struct frame_move *f)
{
	struct forced *forced = NULL;
	struct move *move;
	struct export *x;

	if (!(f->index & INDEX_IS_ADOPTED) || f->index == INDEX_NONE || f->limit > UINT16_MAX ||
	    f->sends > LINK_MAX_UNITS || f->onces > LINK_MAX_UNITS)
		return false;
	lock_take(&node.lock);
	if (export_find_locked(from, f->index)) {
		lock_drop(&node.lock);
		return false;
	}
	move = certain_alloc(sizeof *move);
	*move = (struct move){ .index = f->index };
	list_init(&move->link);
	move->port = f->mine == INDEX_NONE ? proxy_new_port(0) : settle_in_proxy_locked(from, f->mine, move, &forced);
	lock_take(&move->port->lock);
	move->port->qlimit = f->limit;
	move->port->n_srights += f->sends;
	move->port->n_sorights += f->onces;
	move->port->n_refs += f->sends + f->onces;
	lock_drop(&move->port->lock);
	x = export_adopt_locked(from, f->index, move->port);
	x->sends = f->sends;
	x->onces = f->onces;
	list_append(&from->moves, &move->link);
	lock_drop(&node.lock);
	forced_fire_all(forced);
	return true;
}

struct port *migrate_announced_locked(struct link *from, uint32_t index)
{
	struct move *move = move_find_locked(from, index);

	return move && !move->has_arrived ? move->port : NULL;
}

bool migrate_is_settling_locked(struct link *from, uint32_t index)
{
	struct move *move = move_find_locked(from, index);

	return move && move->is_settling;
}

static void move_free_locked(struct move *move)
{
	list_unlink(&move->link);
	free(move);
}

struct port *migrate_arrive_locked(struct link *from, uint32_t index)
{
	struct move *move = move_find_locked(from, index);
	struct port *port;

	if (!move || move->has_arrived)
		return NULL;
	port = move->port;
	move->has_arrived = true;
	if (!move->is_settling) {
		move_free_locked(move);
		return port;
	}
	lock_take(&port->lock);
	port_ref_locked(port);
	lock_drop(&port->lock);
	return port;
}

void migrate_deliver_request(struct message *m)
{
	struct port *port = m->dest.port;
	struct right notify = m->reply;
	struct message *notice = NULL;
	struct right previous = { NULL, RIGHT_SEND_ONCE };

	m->reply.port = NULL;
	if (right_is_valid(&notify))
		while (!(notice = notice_new(m->header.msgh_id)))
			;
	if (notice) {
		notice_arm(notice, &notify);
		notify_request_port(port, m->header.msgh_id, notice, &previous);
	}
	message_destroy(m);
	right_destroy(&previous);
}

/* B2: a new export, even if the holder has one already from when the port was here before. */
static void settler_offer_locked(struct settler *settler, struct link *holder)
{
	struct frame_ticket f = {
		.header = { sizeof f, FRAME_OFFER, 0 },
		.node = settler->giver,
		.number = settler->number,
	};
	struct export *y = export_new_locked(holder, settler->via->port);

	y->is_settling = true;
	settler->export = y;
	f.right = (struct wire_right){ WIRE_MINE, RIGHT_NONE, (uint16_t)y->told_limit, y->index };
	link_send_locked(holder, &f.header, URGENCY_HIGH, NULL, 0);
}

bool migrate_take_deposit(struct link *from, const struct frame_ticket *f)
{
	struct settler *settler;
	struct link *holder;
	struct export *via;

	lock_take(&node.lock);
	via = export_find_locked(from, f->right.value);
	if (!via || !(via->index & INDEX_IS_ADOPTED) || f->number == 0) {
		lock_drop(&node.lock);
		return false;
	}
	settler = certain_alloc(sizeof *settler);
	*settler = (struct settler){ .giver = from->peer_id, .number = f->number, .holder = f->node, .via = via };
	list_append(&node.settlers, &settler->link);
	if (!handoff_is_introduced_locked(from, f->node)) {
		list_unlink(&settler->link); /* it is dead: its units come back to A */
		free(settler);
	} else if ((holder = link_find_locked(f->node))) {
		settler_offer_locked(settler, holder);
	}
	lock_drop(&node.lock);
	return true;
}

static struct settler *settler_find_locked(uint64_t giver, uint64_t number)
{
	list_for_each(settler, &node.settlers, struct settler, link)
		if (settler->giver == giver && settler->number == number)
			return settler;
	return NULL;
}

/* What came by way of A has all come: B3 for ourselves. */
static void move_settle_locked(struct move *move, struct after *after)
{
	struct port *port = move->port;

	lock_take(&port->lock);
	port_release_held_locked(port, after);
	lock_drop(&port->lock);
}

/* Drops what a settled move still has: the guard, and perhaps our reference. */
static void drop_guard(struct port *port, bool has_reference)
{
	port_drop_send(port);
	if (has_reference)
		port_unref(port);
}

static bool settle_ourselves(struct link *from, uint32_t index)
{
	struct port *port = NULL;
	bool has_arrived = false;
	struct after after;
	struct move *move;

	after_init(&after);
	lock_take(&node.lock);
	move = move_find_locked(from, index);
	if (move && move->is_settling) {
		move_settle_locked(move, &after);
		port = move->port;
		has_arrived = move->has_arrived;
		move->is_settling = false;
		if (has_arrived)
			move_free_locked(move);
	}
	lock_drop(&node.lock);
	after_run(&after);
	if (port)
		drop_guard(port, has_arrived);
	return port != NULL;
}

/* B3: units of h become units of y. */
bool migrate_take_flushed(struct link *from, const struct frame_ticket *f)
{
	uint32_t sends = (uint32_t)f->sends, onces = (uint32_t)f->onces;
	struct settler *settler;
	struct port *port = NULL;
	struct export *via, *y;
	bool ok;

	if (f->number == 0)
		return f->node == node.id && settle_ourselves(from, f->right.value);
	lock_take(&node.lock);
	via = export_find_locked(from, f->right.value);
	ok = via && f->sends >= 0 && f->onces >= 0 && via->sends >= sends && via->onces >= onces;
	settler = ok ? settler_find_locked(from->peer_id, f->number) : NULL;
	if (ok) {
		port = via->port;
		lock_take(&port->lock);
		port_ref_locked(port);
		lock_drop(&port->lock);
		via->sends -= sends;
		via->onces -= onces;
		export_check_unused_locked(via);
	}
	if (settler && settler->export) {
		y = settler->export;
		y->sends += sends;
		y->onces += onces;
		y->is_settling = false;
		send_index(y->link, FRAME_READY, y->index, sends, onces);
		export_check_unused_locked(y);
		sends = onces = 0;
	}
	if (settler) {
		list_unlink(&settler->link);
		free(settler);
	}
	lock_drop(&node.lock);
	for (; ok && sends > 0; sends--)
		port_drop_send(port);
	for (; ok && onces > 0; onces--)
		notify_send_once(port);
	if (port)
		port_unref(port);
	return ok;
}

/* ---- H: from one home to the other -------------------------------------------------------------------------------- */

static struct relocation *relocation_find_locked(uint64_t giver, uint64_t home, uint64_t number)
{
	struct relocation *x;

	list_for_each(r, &node.relocations, struct relocation, link)
		if (r->giver == giver && r->home == home && r->number == number)
			return r;
	x = certain_alloc(sizeof *x);
	*x = (struct relocation){ .giver = giver, .home = home, .number = number };
	list_append(&node.relocations, &x->link);
	return x;
}

static void relocation_free_locked(struct relocation *r)
{
	if (r->proxy && r->proxy->relocation == r)
		r->proxy->relocation = NULL;
	list_unlink(&r->link);
	free(r);
}

/* Relays of ours still go through it: their FLUSHED has to come first. */
static bool proxy_has_relays(const struct proxy *proxy)
{
	for (const struct export *x = proxy->port->exports; x; x = x->next)
		if (x->moved_ticket || x->is_void)
			return true;
	return false;
}

/* H1. From here on the proxy is in the table of its new home as well, so that rights that come from there are known. */
static void relocation_flush_locked(struct relocation *r)
{
	struct link *giver = link_find_locked(r->giver), *home = link_find_locked(r->home);
	struct proxy *proxy = r->proxy;

	if (!r->has_moved || !r->has_offer || r->is_flushed || !giver || !home)
		return;
	if (proxy && (proxy->relocation || proxy_has_relays(proxy)))
		return;
	r->is_flushed = true;
	if (!proxy) {
		send_index(giver, FRAME_FLUSH, r->old_index, 0, 0);
		return;
	}
	proxy_settle_counts_locked(proxy);
	proxy->relocation = r;
	node.n_limbo++;
	r->sends = proxy->told_sends;
	r->onces = proxy->told_onces;
	proxy_enter_table_locked(home, r->index, proxy);
	send_index(giver, FRAME_FLUSH, r->old_index, proxy->told_sends, proxy->told_onces);
}

static void relocations_go_on_locked(struct proxy *proxy)
{
	list_for_each(r, &node.relocations, struct relocation, link) {
		if (r->proxy == proxy && !r->is_flushed) {
			relocation_flush_locked(r);
			return;
		}
	}
}

bool migrate_take_moved(struct link *from, const struct frame_ticket *f)
{
	struct relocation *r;
	bool ok = true;

	lock_take(&node.lock);
	r = relocation_find_locked(from->peer_id, f->node, f->number);
	if (r->has_moved) {
		ok = false;
	} else {
		r->has_moved = true;
		r->old_index = f->right.value;
		r->proxy = proxy_find_locked(from, f->right.value);
		/* If it cannot come to be linked to the new home it goes on by way of the old one. */
		(void)handoff_is_introduced_locked(from, f->node);
		relocation_flush_locked(r);
	}
	lock_drop(&node.lock);
	return ok;
}

/* MOVED was put before the deposit that this offer is made by, so it has come, if it has not been taken yet. */
static void await_moved(uint64_t giver, uint64_t home, uint64_t number)
{
	struct link *link;
	bool has_moved;

	lock_take(&node.lock);
	link = link_find_locked(giver);
	has_moved = relocation_find_locked(giver, home, number)->has_moved;
	if (link)
		link_ref_locked(link);
	lock_drop(&node.lock);
	if (link && !has_moved)
		(void)inbound_drain(link);
	if (!link)
		return;
	lock_take(&node.lock);
	link_unref_locked(link);
	lock_drop(&node.lock);
}

bool migrate_take_offer(struct link *from, const struct frame_ticket *f)
{
	struct relocation *r;
	bool ok;

	await_moved(f->node, from->peer_id, f->number);
	lock_take(&node.lock);
	r = relocation_find_locked(f->node, from->peer_id, f->number);
	ok = !r->has_offer && !table_get(&from->proxies, f->right.value) && f->right.value < LINK_MAX_EXPORTS;
	if (ok) {
		r->has_offer = true;
		r->index = f->right.value;
		r->limit = f->right.limit;
		relocation_flush_locked(r);
	}
	lock_drop(&node.lock);
	return ok;
}

/* ---- limbo -------------------------------------------------------------------------------------------------------- */

bool migrate_is_in_limbo(const struct port *port)
{
	return port && port != PORT_DEAD && port_is_proxy(port) && port->proxy->relocation;
}

static bool message_is_in_limbo(const struct message *m)
{
	if (migrate_is_in_limbo(m->dest.port) || migrate_is_in_limbo(m->reply.port))
		return true;
	for (uint32_t i = 0; i < m->n_items; i++)
		for (uint32_t j = 0; j < m->items[i].n_rights; j++)
			if (migrate_is_in_limbo(item_ports(&m->items[i])[j]))
				return true;
	return false;
}

static bool kept_precedes_locked(const struct message *m)
{
	list_for_each(kept, &node.kept, struct kept, link) {
		if (kept->message == m)
			return false;
		if (kept->message->dest.port == m->dest.port)
			return true;
	}
	return false;
}

bool migrate_keep_back_locked(struct message *m)
{
	struct kept *kept;

	if (node.n_limbo == 0 && list_is_empty(&node.kept))
		return false;
	if (!message_is_in_limbo(m) && !kept_precedes_locked(m))
		return false;
	kept = certain_alloc(sizeof *kept);
	kept->message = m;
	list_append(&node.kept, &kept->link);
	return true;
}

/* Takes out, in order, what may leave now. */
static void kept_release_locked(struct list *ready)
{
	list_for_each(kept, &node.kept, struct kept, link) {
		struct message *m = kept->message;

		if (message_is_in_limbo(m) || kept_precedes_locked(m))
			continue;
		list_unlink(&kept->link);
		list_append(ready, &m->port_link);
		free(kept);
	}
}

static void transmit_all(struct list *ready)
{
	list_for_each(m, ready, struct message, port_link) {
		list_unlink(&m->port_link);
		outbound_transmit(m);
	}
}

/* H2 */
static struct relocation *relocation_of_ready_locked(uint64_t home, uint32_t index)
{
	list_for_each(r, &node.relocations, struct relocation, link)
		if (r->home == home && r->index == index && r->is_flushed)
			return r;
	return NULL;
}

/* The proxy has ended meanwhile: what it was to have is given back. */
static void give_back_locked(struct link *home, const struct relocation *r)
{
	if (r->sends || r->onces)
		send_index(home, FRAME_COUNT, r->index, (uint32_t) - (int64_t)r->sends, (uint32_t) - (int64_t)r->onces);
}

bool migrate_take_ready(struct link *from, const struct frame_index *f)
{
	struct forced *accepted = NULL;
	struct relocation *r;
	struct proxy *proxy;
	struct after after;
	struct list ready;

	after_init(&after);
	list_init(&ready);
	lock_take(&node.lock);
	r = relocation_of_ready_locked(from->peer_id, f->index);
	if (!r) {
		lock_drop(&node.lock);
		return false;
	}
	proxy = r->proxy;
	if (!proxy)
		give_back_locked(from, r);
	else
		proxy_relocate_locked(proxy, from, r->index, r->limit, &after, &accepted);
	if (proxy)
		node.n_limbo--;
	relocation_free_locked(r);
	if (proxy) {
		kept_release_locked(&ready);
		node_note(&proxy->noted);
		relocations_go_on_locked(proxy);
	}
	lock_drop(&node.lock);
	after_run(&after);
	transmit_all(&ready);
	forced_fire_all(accepted);
	handoff_retry_deposits();
	return true;
}

void migrate_forget_proxy_locked(struct proxy *proxy)
{
	struct relocation *r = proxy->relocation;

	if (r) {
		node.n_limbo--;
		r->sends = proxy->told_sends;
		r->onces = proxy->told_onces;
		proxy_leave_table_locked(link_find_locked(r->home), r->index, proxy);
	}
	proxy->relocation = NULL;
	list_for_each(other, &node.relocations, struct relocation, link)
		if (other->proxy == proxy)
			other->proxy = NULL;
}

/* ---- links -------------------------------------------------------------------------------------------------------- */

void migrate_take_link(struct link *link)
{
	lock_take(&node.lock);
	list_for_each(settler, &node.settlers, struct settler, link)
		if (settler->holder == link->peer_id && !settler->export)
			settler_offer_locked(settler, link);
	list_for_each(r, &node.relocations, struct relocation, link)
		if (r->home == link->peer_id)
			relocation_flush_locked(r);
	lock_drop(&node.lock);
}

static void end_settlers_locked(const struct link *link)
{
	list_for_each(settler, &node.settlers, struct settler, link) {
		if (settler->holder == link->peer_id)
			settler->export = NULL; /* it ends with the link; what FLUSHED brings is dropped */
		if (settler->giver != link->peer_id)
			continue;
		if (settler->export) { /* the holder sees the port die with A, and us offer what it has no use for */
			settler->export->is_settling = false;
			export_check_unused_locked(settler->export);
		}
		list_unlink(&settler->link);
		free(settler);
	}
}

/* In the middle of it the port dies with either: it ends with the link that does. */
static void relocation_abandon_locked(struct relocation *r, const struct link *ending)
{
	struct link *home = link_find_locked(r->home);

	if (r->home != ending->peer_id) {
		proxy_leave_table_locked(home, r->index, r->proxy);
		return;
	}
	proxy_leave_table_locked(r->proxy->link, r->proxy->index, r->proxy);
	r->proxy->link = (struct link *)ending;
	r->proxy->index = r->index;
}

/* With A or B gone. */
static void end_relocations_locked(const struct link *link)
{
	list_for_each(r, &node.relocations, struct relocation, link) {
		if (r->giver != link->peer_id && r->home != link->peer_id)
			continue;
		if (r->proxy && r->proxy->relocation == r) {
			node.n_limbo--;
			relocation_abandon_locked(r, link);
		}
		relocation_free_locked(r);
	}
}

/* One that has not arrived dies; one that was settling has nothing more to wait for. */
static bool end_move(struct link *link)
{
	struct port *port = NULL;
	bool has_arrived = false, is_settling = false;
	struct after after;
	struct move *move;

	after_init(&after);
	lock_take(&node.lock);
	if (!list_is_empty(&link->moves)) {
		move = list_first(&link->moves, struct move, link);
		port = move->port;
		has_arrived = move->has_arrived;
		is_settling = move->is_settling;
		if (is_settling)
			move_settle_locked(move, &after);
		move_free_locked(move);
	}
	lock_drop(&node.lock);
	after_run(&after);
	if (!port)
		return false;
	if (is_settling)
		drop_guard(port, has_arrived);
	if (!has_arrived)
		port_destroy(port);
	return true;
}

void migrate_end_link(struct link *link)
{
	struct list ready;

	list_init(&ready);
	while (end_move(link))
		;
	lock_take(&node.lock);
	end_settlers_locked(link);
	end_relocations_locked(link);
	kept_release_locked(&ready);
	lock_drop(&node.lock);
	transmit_all(&ready);
}
