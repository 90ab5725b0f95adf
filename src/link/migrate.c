/* SPDX-License-Identifier: MIT */
#include "link/migrate.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/after.h"
#include "kernel/message.h"
#include "kernel/notify.h"
#include "kernel/port.h"
#include "kernel/right.h"
#include "kernel/send.h"
#include "link/export.h"
#include "link/frame.h"
#include "link/handoff.h"
#include "link/heir.h"
#include "link/inbound.h"
#include "link/link.h"
#include "link/outbound.h"
#include "link/proxy.h"
#include "link/table.h"

/* At B: a port that is not settled. */
struct move {
	struct list link;  /* in node.moves */
	struct link *from; /* A; its end ends the move */
	uint32_t index;	   /* h */
	struct port *port; /* one reference, and until it has arrived that of the receive right */
	bool has_arrived;  /* its right has been received, with the message that carries it */
	bool is_returning; /* B1 to B3 for ourselves: the guard is ours, and held is port.held */
	bool had_senders;  /* there is or was a send right, beside the guard */
	bool is_flushed;   /* A has said that nothing more of ours comes */
	bool has_to_admit; /* those who were blocked here when it was a proxy may have room now */
	unsigned n_settlers;
	struct list held;
};

/* At B: a holder that is to come here. */
struct settler {
	struct list link;  /* in node.settlers */
	struct move *move; /* NULL: A is gone, and the units are in our hands */
	struct port *port; /* one reference */
	uint64_t giver, number, holder;
	uint32_t sends, onces; /* its units; from FLUSHED on as that says */
	struct export *export; /* y; NULL: the holder is not linked to us yet, or not any more */
	bool is_gone;	       /* it died after B2: A will say what it had */
	bool is_flushed;
};

/* At H: a proxy on its way from A to B. */
struct relocation {
	struct list link; /* in node.relocations */
	uint64_t giver, home, number;
	struct proxy *proxy;		 /* NULL: it was gone before, or is by now */
	uint32_t old_index;		 /* at A */
	struct link *to;		 /* the link to B, once its offer has come: then what follows is valid */
	uint32_t index, limit;		 /* y; of y's queue */
	bool is_orphan;			 /* A is gone: in limbo, with or without an offer */
	bool is_dead;			 /* A has said that the port has died, and was answered with FLUSH */
	bool is_void;			 /* B has said that, before A: no offer comes */
	uint64_t payer;			 /* on whose account it is */
	uint32_t sends, onces;		 /* what H had when it stopped, as it was told */
	uint32_t left_sends, left_onces; /* of these, when the proxy ended */
};

/* At A: a FLUSH that waits for a message. */
struct flush {
	struct list link; /* in node.flushes */
	struct export *export;
};

/* A message kept back. */
struct kept {
	struct list link; /* in node.kept */
	struct message *message;
};

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

static void send_ticket(struct link *link, enum frame_type type, uint64_t about, uint64_t number,
			const struct wire_right *right, uint32_t sends, uint32_t onces)
{
	struct frame_ticket f = {
		.header = { sizeof f, (uint16_t)type, 0 },
		.node = about,
		.number = number,
		.sends = (int32_t)sends,
		.onces = (int32_t)onces,
	};

	if (right)
		f.right = *right;
	link_send_locked(link, &f.header, URGENCY_HIGH, NULL, 0);
}

static void port_take_ref(struct port *port)
{
	lock_take(&port->lock);
	port_ref_locked(port);
	lock_drop(&port->lock);
}

/* Rights in our hands that are gone without consequences, because something else keeps the port and counts. */
static void forget_rights(struct port *port, uint32_t sends, uint32_t onces)
{
	lock_take(&port->lock);
	port->n_srights -= sends;
	port->n_sorights -= onces;
	port->n_refs -= sends + onces; /* not the last */
	lock_drop(&port->lock);
}

/* With all consequences. */
static void drop_rights(struct port *port, uint32_t sends, uint32_t onces)
{
	port_drop_sends(port, sends);
	for (; onces > 0; onces--)
		notify_send_once(port);
}

/* A guard goes. It may have been the last send right only if there ever was another: who wants to hear that there are no
 * senders is not told so of a port that had none when it came. */
static void drop_guard(struct port *port, bool had_senders)
{
	bool is_last;

	lock_take(&port->lock);
	is_last = had_senders || port->mscount > 0;
	if (!is_last)
		port->n_srights--;
	lock_drop(&port->lock);
	if (is_last)
		port_drop_send(port);
	else
		port_unref(port);
}

/* ---- A: out ------------------------------------------------------------------------------------------------------- */

/* A1 */
static void tell_holder_locked(struct link *home, struct export *x)
{
	struct wire_right right = { .form = WIRE_MINE, .kind = RIGHT_NONE, .value = x->index };

	link_introduce_locked(x->link, home);
	x->moved_ticket = ++node.next_ticket;
	x->is_heir = false; /* it forgets that by MOVED */
	send_ticket(x->link, FRAME_MOVED, home->peer_id, x->moved_ticket, &right, 0, 0);
}

/* Whether an export is that of a holder, who is to follow the port to @home. One that could not follow it before stays, and so
 * does one whose end has begun: it is too late for end_relay_locked(). */
static bool export_has_to_follow(const struct export *x, const struct link *home)
{
	return x->link != home && x->link->state != LINK_ENDED && !x->moved_ticket && !x->is_void;
}

/* What the new home held is its own from now on. Its export stays for what is under way, without units. */
static uint32_t give_up_units_locked(struct link *home, struct port *port)
{
	struct export *x = port->exports;

	while (x && (x->link != home || x->moved_ticket || x->is_void))
		x = x->next;
	if (!x)
		return INDEX_NONE;
	forget_rights(port, x->sends, x->onces);
	x->sends = x->onces = 0;
	x->is_void = true;
	x->is_heir = false;
	return x->index;
}

/* A2: MOVE, of which all but the counts is known. */
static struct frame_move *move_frame_new(struct link *home, struct port *port, uint32_t index)
{
	uint32_t n = 0;
	struct frame_move *f;
	struct move_holder *holder;

	for (struct export *x = port->exports; x; x = x->next)
		n += export_has_to_follow(x, home);
	f = certain_alloc(sizeof *f + n * sizeof *holder);
	*f = (struct frame_move){ .index = index, .n_holders = n };
	f->header = (struct frame){ (uint32_t)(sizeof *f + n * sizeof *holder), FRAME_MOVE, 0 };
	holder = (struct move_holder *)(f + 1);
	for (struct export *x = port->exports; x; x = x->next)
		if (export_has_to_follow(x, home)) {
			tell_holder_locked(home, x);
			*holder++ = (struct move_holder){ x->link->peer_id, x->moved_ticket, x->sends, x->onces };
		}
	return f;
}

/* A3: a notification that was asked for goes with the port. */
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
		if (!migrate_keep_back_locked(m))
			outbound_send_to_proxy_locked(proxy, m);
	}
}

static void move_port_out_locked(struct link *home, struct port *port)
{
	struct message *no_senders = port->no_senders, *port_destroyed = port->port_destroyed;
	uint32_t index = proxy_new_index_locked(home);
	struct frame_move *f = move_frame_new(home, port, index);
	struct proxy *proxy;
	struct list queue;

	f->mine = give_up_units_locked(home, port);
	list_init(&queue);
	lock_take(&port->lock);
	port->no_senders = port->port_destroyed = NULL;
	list_splice(&queue, &port->messages);
	port->queued_bytes = 0;
	proxy = proxy_adopt_locked(home, index, port);
	f->sends = port->n_srights;
	f->onces = port->n_sorights;
	f->limit = port->qlimit;
	lock_drop(&port->lock);
	link_send_locked(home, &f->header, URGENCY_NORMAL, NULL, 0);
	free(f);
	move_request_locked(home, index, no_senders);
	move_request_locked(home, index, port_destroyed);
	move_queue_locked(proxy, &queue);
	proxy_ask_if_waited_for_locked(proxy);
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

/* ---- A: flushed --------------------------------------------------------------------------------------------------- */

static bool kept_is_from(const struct message *m, const struct link *link)
{
	return m->sent_by == SENDER_OTHER && m->sender.pid == link->peer.pid;
}

/* Whether something that the holder sent before has not been sent on. */
static bool flush_waits_locked(const struct export *x)
{
	if (handoff_is_parked_locked(x->link->peer_id, x->port))
		return true;
	list_for_each(kept, &node.kept, struct kept, link)
		if (kept->message->dest.port == x->port && kept_is_from(kept->message, x->link))
			return true;
	return false;
}

/* A5. The export ends. */
static void flush_answer_locked(struct export *x)
{
	struct wire_right right = { .form = WIRE_YOURS, .kind = RIGHT_NONE };
	struct proxy *proxy;

	if (!port_is_proxy(x->port)) {
		export_discard_locked(x); /* it has died since */
		return;
	}
	proxy = x->port->proxy;
	right.value = proxy->index;
	if (!x->is_void)
		proxy_pass_units_locked(proxy, x->sends, x->onces);
	send_ticket(proxy->link, FRAME_FLUSHED, x->link->peer_id, x->is_void ? 0 : x->moved_ticket, &right, x->sends,
		    x->onces);
	x->sends = x->onces = 0;
	export_leave_locked(x);
}

static void flushes_go_on_locked(void)
{
	list_for_each(flush, &node.flushes, struct flush, link) {
		struct export *x = flush->export;

		if (flush_waits_locked(x))
			continue;
		list_unlink(&flush->link);
		free(flush);
		flush_answer_locked(x);
	}
}

void migrate_forget_export_locked(struct export *x)
{
	list_for_each(flush, &node.flushes, struct flush, link)
		if (flush->export == x) {
			list_unlink(&flush->link);
			free(flush);
		}
}

/* The new home has died, and the port is here again: the holder, who was between the two, has lost it. */
static bool take_back_locked(struct export *x, struct port **port, uint32_t *sends, uint32_t *onces)
{
	if (!x || !x->is_back)
		return false;
	*port = export_end_locked(x, sends, onces);
	return true;
}

bool migrate_take_flush(struct link *from, const struct frame_index *f)
{
	uint32_t sends = 0, onces = 0;
	struct port *port = NULL;
	struct flush *flush;
	struct export *x;
	bool ok;

	lock_take(&node.lock);
	x = export_find_locked(from, f->index);
	if (take_back_locked(x, &port, &sends, &onces)) {
		lock_drop(&node.lock);
		drop_rights(port, sends, onces);
		port_unref(port);
		return true;
	}
	ok = x && !x->is_flushing &&
	     (x->is_void || (x->moved_ticket && x->sends == (uint32_t)f->sends && x->onces == (uint32_t)f->onces));
	if (ok && flush_waits_locked(x)) {
		flush = certain_alloc(sizeof *flush);
		flush->export = x;
		x->is_flushing = true;
		list_append(&node.flushes, &flush->link);
	} else if (ok) {
		flush_answer_locked(x);
	}
	lock_drop(&node.lock);
	return ok;
}

/* H dies: B is not to wait for it. Its units are dropped with its exports. */
static void end_relay_locked(void *export)
{
	struct export *x = export;
	struct wire_right right = { .form = WIRE_YOURS, .kind = RIGHT_NONE };

	if (!x->moved_ticket || !port_is_proxy(x->port))
		return;
	right.value = x->port->proxy->index;
	send_ticket(x->port->proxy->link, FRAME_FLUSHED, x->link->peer_id, x->moved_ticket, &right, 0, 0);
}

/* ---- B: in -------------------------------------------------------------------------------------------------------- */

static struct move *move_find_locked(struct link *from, uint32_t index)
{
	list_for_each(move, &node.moves, struct move, link)
		if (move->from == from && move->index == index)
			return move;
	return NULL;
}

static bool port_is_unsettled_locked(const struct port *port)
{
	list_for_each(move, &node.moves, struct move, link)
		if (move->port == port)
			return true;
	return false;
}

static void move_free_locked(struct move *move)
{
	link_discharge_waiting_locked(move->from->peer_id);
	list_unlink(&move->link);
	free(move);
}

/* B4. Not the last reference: whoever has the receive right has one. */
static void move_check_settled_locked(struct move *move)
{
	struct port *port = move->port;

	if (!move->has_arrived || move->is_returning || move->n_settlers || move->has_to_admit)
		return;
	move_free_locked(move);
	port_unref(port);
}

/* B1 for what was a proxy. Its rights stay as they are, and one more is the guard. What was to leave has arrived. */
static struct port *return_home_locked(struct link *from, uint32_t mine, struct move *move, struct forced **forced)
{
	struct proxy *proxy = proxy_find_locked(from, mine);
	struct port *port = proxy ? proxy_come_home_locked(proxy, forced) : proxy_new_port(0);

	move->is_returning = true;
	move->has_to_admit = true;
	lock_take(&port->lock);
	port_hold_locked(port, &move->held);
	port->n_srights++;
	port->n_refs++;
	list_for_each(kept, &node.kept, struct kept, link) {
		if (kept->message->dest.port != port)
			continue;
		list_append(&move->held, &kept->message->port_link);
		port->n_queued++;
		list_unlink(&kept->link);
		free(kept);
	}
	lock_drop(&port->lock);
	send_index(from, FRAME_FLUSH, mine, 0, 0);
	return port;
}

static struct move *move_new_locked(struct link *from, const struct frame_move *f, struct forced **forced)
{
	struct move *move = certain_alloc(sizeof *move);
	struct export *x;

	*move = (struct move){ .from = from, .index = f->index };
	move->port = f->mine == INDEX_NONE ? proxy_new_port(0) : return_home_locked(from, f->mine, move, forced);
	lock_take(&move->port->lock);
	port_ref_locked(move->port);
	move->port->qlimit = f->limit;
	lock_drop(&move->port->lock);
	port_add_rights(move->port, f->sends, f->onces);
	x = export_adopt_locked(from, f->index, move->port);
	x->sends = f->sends;
	x->onces = f->onces;
	move->had_senders = move->port->n_srights > move->is_returning;
	list_append(&node.moves, &move->link);
	return move;
}

struct port *migrate_announced_locked(struct link *from, uint32_t index, bool *had_senders)
{
	struct move *move = move_find_locked(from, index);

	if (!move || move->has_arrived)
		return NULL;
	*had_senders = move->had_senders;
	return move->port;
}

void migrate_note_senders_locked(struct link *from, uint32_t index)
{
	struct move *move = move_find_locked(from, index);

	if (move)
		move->had_senders = true;
}

bool migrate_is_settling_locked(struct link *from, uint32_t index)
{
	struct move *move = move_find_locked(from, index);

	return move && move->is_returning;
}

struct port *migrate_arrive_locked(struct link *from, uint32_t index)
{
	struct move *move = move_find_locked(from, index);
	struct port *port;

	if (!move || move->has_arrived)
		return NULL;
	port = move->port;
	move->has_arrived = true;
	move_check_settled_locked(move);
	return port;
}

/* A request stays one when nobody is left to hear of it: the status of the port shows it. */
static struct right right_to_dead_port(void)
{
	struct port *port = proxy_new_port(0);

	port_add_rights(port, 0, 1);
	port_destroy(port);
	return (struct right){ port, RIGHT_SEND_ONCE };
}

void migrate_deliver_request(struct message *m)
{
	struct port *port = m->dest.port;
	struct right notify = m->reply.port == PORT_DEAD ? right_to_dead_port() : m->reply;
	struct message *notice = NULL;
	struct right previous = { NULL, RIGHT_SEND_ONCE };
	bool had_senders = m->header.msgh_seqno;

	m->dest.port = m->reply.port = NULL;
	if (right_is_valid(&notify))
		while (!(notice = notice_new(m->header.msgh_id)))
			;
	if (notice) {
		notice_arm(notice, &notify);
		notify_request_port(port, m->header.msgh_id, notice, &previous);
	}
	message_free(m);
	drop_guard(port, had_senders);
	right_destroy(&previous);
}

/* ---- B: who follows ----------------------------------------------------------------------------------------------- */

static void settler_free_locked(struct settler *s)
{
	struct link *former = link_find_locked(s->giver);
	struct move *move = s->move;

	if (former && former->n_settlers)
		former->n_settlers--;
	list_unlink(&s->link);
	port_unref(s->port);
	free(s);
	if (move && --move->n_settlers == 0)
		move_check_settled_locked(move);
}

/* B2: a new export, even if the holder has one already from when the port was here before. */
static void settler_offer_locked(struct settler *s, struct link *holder)
{
	struct wire_right right = { .form = WIRE_MINE, .kind = RIGHT_NONE };
	struct export *y = export_new_locked(holder, s->port);

	y->is_settling = true;
	s->export = y;
	right.limit = (uint16_t)y->told_limit;
	right.value = y->index;
	send_ticket(holder, FRAME_OFFER, s->giver, s->number, &right, 0, 0);
}

static void settler_new_locked(struct move *move, const struct move_holder *holder)
{
	struct link *link = link_find_locked(holder->node);
	struct settler *s;

	/* It is dead, or cannot come to us, or A has named too many: it goes on by way of A. */
	if (!link_is_expected_locked(holder->node) || move->from->n_settlers == LINK_MAX_SETTLERS)
		return;
	move->from->n_settlers++;
	s = certain_alloc(sizeof *s);
	*s = (struct settler){
		.move = move,
		.port = move->port,
		.giver = move->from->peer_id,
		.number = holder->number,
		.holder = holder->node,
		.sends = holder->sends,
		.onces = holder->onces,
	};
	port_take_ref(s->port);
	list_append(&node.settlers, &s->link);
	move->n_settlers++;
	if (link)
		settler_offer_locked(s, link);
}

static bool move_frame_is_sound(const struct frame_move *f, const struct move_holder *holders)
{
	if (!(f->index & INDEX_IS_ADOPTED) || f->index == INDEX_NONE || f->limit > UINT16_MAX ||
	    f->sends > LINK_MAX_UNITS || f->onces > LINK_MAX_ONCES)
		return false;
	for (uint32_t i = 0; i < f->n_holders; i++)
		if (holders[i].number == 0 || holders[i].sends > f->sends || holders[i].onces > f->onces)
			return false;
	return true;
}

bool migrate_take_move(struct link *from, const struct frame_move *f, const struct move_holder *holders)
{
	struct forced *forced = NULL;
	struct move *move;

	if (!move_frame_is_sound(f, holders))
		return false;
	lock_take(&node.lock);
	if (export_find_locked(from, f->index) || !export_has_room_locked(from) || !link_charge_waiting_locked(from)) {
		lock_drop(&node.lock);
		return false;
	}
	heir_forget_locked(from, f->mine);
	move = move_new_locked(from, f, &forced);
	for (uint32_t i = 0; i < f->n_holders; i++)
		settler_new_locked(move, &holders[i]);
	lock_drop(&node.lock);
	forced_fire_all(forced);
	return true;
}

static struct settler *settler_find_locked(uint64_t giver, uint64_t number)
{
	list_for_each(s, &node.settlers, struct settler, link)
		if (s->giver == giver && s->number == number)
			return s;
	return NULL;
}

static bool flush_own_locked(struct link *from, const struct export *via, const struct frame_ticket *f)
{
	struct move *move = move_find_locked(from, f->right.value);

	if (port_is_dead(via->port))
		return true; /* nothing was held for it any more */
	if (!move || !move->is_returning || move->is_flushed || f->node != node.id)
		return false;
	move->is_flushed = true;
	return true;
}

/* Units of a holder that is not expected any more. */
static struct port *take_units_locked(struct export *via, uint32_t sends, uint32_t onces)
{
	struct port *port = via->port;

	port_take_ref(port);
	via->sends -= sends;
	via->onces -= onces;
	export_check_unused_locked(via);
	return port;
}

bool migrate_take_flushed(struct link *from, const struct frame_ticket *f)
{
	uint32_t sends = (uint32_t)f->sends, onces = (uint32_t)f->onces;
	struct port *orphaned = NULL;
	struct settler *s = NULL;
	struct export *via;
	bool ok;

	lock_take(&node.lock);
	via = export_find_locked(from, f->right.value);
	if (f->number == 0) {
		ok = via && flush_own_locked(from, via, f);
	} else {
		ok = via && f->sends >= 0 && f->onces >= 0 && via->sends >= sends && via->onces >= onces;
		s = ok && !port_is_dead(via->port) ? settler_find_locked(from->peer_id, f->number) : NULL;
		ok = ok && (!s || (!s->is_flushed && s->move && s->port == via->port));
		if (ok && !s)
			orphaned = take_units_locked(via, sends, onces);
	}
	if (ok && s) {
		s->is_flushed = true;
		s->sends = sends;
		s->onces = onces;
	}
	lock_drop(&node.lock);
	if (orphaned) {
		drop_rights(orphaned, sends, onces);
		port_unref(orphaned);
	}
	migrate_go_on();
	return ok;
}

static uint32_t less(uint32_t n, uint32_t by)
{
	return n > by ? n - by : 0;
}

/* Rights for the caller to drop. */
struct leftover {
	uint32_t sends, onces;
};

/* B3. The units, which are naked rights of no export any more, become those of y, but for what it has given already; those of a
 * holder that is gone are left. */
static void settler_settle_locked(struct settler *s, struct leftover *left)
{
	struct export *y = s->export;

	if (!y) {
		left->sends += s->sends;
		left->onces += s->onces;
		return;
	}
	y->is_settling = false;
	y->sends += less(s->sends, y->owed_sends);
	y->onces += less(s->onces, y->owed_onces);
	left->sends += s->sends - less(s->sends, y->owed_sends);
	forget_rights(s->port, 0, s->onces - less(s->onces, y->owed_onces));
	y->owed_sends = y->owed_onces = 0;
	send_index(y->link, FRAME_READY, y->index, s->sends, s->onces);
	export_check_unused_locked(y);
}

/* One holder that has been flushed. True: there was one. */
static bool settle_holder(void)
{
	struct port *port = NULL;
	struct leftover left = { 0 };

	lock_take(&node.lock);
	list_for_each(s, &node.settlers, struct settler, link) {
		struct export *via;

		if (!s->is_flushed || !s->move || handoff_is_parked_locked(s->giver, s->port))
			continue;
		via = export_find_locked(s->move->from, s->move->index);
		/* As much as FLUSHED said; less only if A has taken something back since. */
		s->sends = via && via->sends > s->sends ? s->sends : via ? via->sends : 0;
		s->onces = via && via->onces > s->onces ? s->onces : via ? via->onces : 0;
		if (via) {
			via->sends -= s->sends;
			via->onces -= s->onces;
			export_check_unused_locked(via);
		}
		port = s->port;
		port_take_ref(port);
		settler_settle_locked(s, &left);
		settler_free_locked(s);
		break;
	}
	lock_drop(&node.lock);
	if (!port)
		return false;
	drop_rights(port, left.sends, left.onces);
	port_unref(port);
	return true;
}

/* B3 for ourselves: what was held is delivered. */
static void move_release_locked(struct move *move, struct after *after)
{
	lock_take(&move->port->lock);
	port_release_held_locked(move->port, after);
	lock_drop(&move->port->lock);
	move->is_returning = false;
}

/* What had been sent before is in the queue again. */
static bool move_has_to_admit(const struct move *move)
{
	return move->has_to_admit && move->has_arrived && !move->is_returning;
}

static void move_admit_locked(struct move *move, struct after *after)
{
	lock_take(&move->port->lock);
	send_admit_locked(move->port, after);
	lock_drop(&move->port->lock);
	move->has_to_admit = false;
}

/* One port that has come back to us. True: there was one. */
static bool settle_ourselves(void)
{
	struct port *port = NULL;
	bool was_returning = false, had_senders = false;
	struct after after;

	after_init(&after);
	lock_take(&node.lock);
	list_for_each(move, &node.moves, struct move, link) {
		was_returning = move->is_flushed && move->is_returning &&
				!handoff_is_parked_locked(move->from->peer_id, move->port);
		if (!was_returning && !move_has_to_admit(move))
			continue;
		port = move->port;
		had_senders = move->had_senders;
		port_take_ref(port);
		if (was_returning)
			move_release_locked(move, &after);
		if (move_has_to_admit(move))
			move_admit_locked(move, &after);
		move_check_settled_locked(move);
		break;
	}
	lock_drop(&node.lock);
	after_run(&after);
	if (!port)
		return false;
	if (was_returning)
		drop_guard(port, had_senders);
	port_unref(port);
	return true;
}

/* ---- H: from one home to the other -------------------------------------------------------------------------------- */

static struct relocation *relocation_find_locked(uint64_t giver, uint64_t home, uint64_t number)
{
	list_for_each(r, &node.relocations, struct relocation, link)
		if (r->giver == giver && r->home == home && r->number == number)
			return r;
	return NULL;
}

static struct relocation *relocation_of_ready_locked(uint64_t home, uint32_t index)
{
	list_for_each(r, &node.relocations, struct relocation, link)
		if (r->home == home && r->index == index && r->to)
			return r;
	return NULL;
}

static struct relocation *relocation_new_locked(uint64_t giver, uint64_t home, uint64_t number)
{
	struct relocation *r = certain_alloc(sizeof *r);

	*r = (struct relocation){ .giver = giver, .home = home, .number = number };
	list_append(&node.relocations, &r->link);
	return r;
}

static void relocation_free_locked(struct relocation *r)
{
	if (r->proxy && r->proxy->relocation == r)
		r->proxy->relocation = NULL;
	link_discharge_waiting_locked(r->payer);
	list_unlink(&r->link);
	free(r);
}

/* A has not had FLUSH yet, and is there to wait for it. */
static bool relocation_owes_flush(const struct relocation *r)
{
	return !r->to && !r->is_orphan && !r->is_dead;
}

static struct relocation *relocation_owing_locked(const struct link *giver, uint32_t old_index)
{
	list_for_each(r, &node.relocations, struct relocation, link)
		if (r->giver == giver->peer_id && r->old_index == old_index && relocation_owes_flush(r))
			return r;
	return NULL;
}

bool migrate_take_moved(struct link *from, const struct frame_ticket *f)
{
	struct relocation *r;
	bool ok;

	lock_take(&node.lock);
	heir_forget_locked(from, f->right.value);
	ok = !relocation_find_locked(from->peer_id, f->node, f->number);
	r = ok ? relocation_owing_locked(from, f->right.value) : NULL;
	if (r)
		relocation_free_locked(r); /* it had come back to A */
	/* If this node cannot come to be linked to the new home it goes on by way of the old one. */
	ok = ok && link_charge_waiting_locked(from);
	if (ok) {
		r = relocation_new_locked(from->peer_id, f->node, f->number);
		r->payer = from->peer_id;
		r->old_index = f->right.value;
		r->proxy = proxy_find_locked(from, f->right.value);
	}
	lock_drop(&node.lock);
	return ok;
}

/* Into limbo. */
static void relocation_stop_locked(struct relocation *r)
{
	struct proxy *proxy = r->proxy;

	if (!proxy)
		return;
	if (!r->is_orphan)
		proxy_settle_counts_locked(proxy);
	proxy->relocation = r;
	r->sends = proxy->told_sends;
	r->onces = proxy->told_onces;
}

/* With FLUSH the old index is A's again, which may grant another port by it before READY. */
static void relocation_rename_locked(struct relocation *r)
{
	struct proxy *proxy = r->proxy;

	proxy_leave_table_locked(proxy->link, proxy->index, proxy);
	proxy->link = r->to;
	proxy->index = r->index;
	proxy_enter_table_locked(proxy->link, proxy->index, proxy);
}

/* H1 */
static void relocation_flush_locked(struct relocation *r, struct link *home)
{
	struct link *giver = link_find_locked(r->giver);

	if (!r->is_orphan)
		relocation_stop_locked(r);
	r->to = home;
	if (r->proxy)
		relocation_rename_locked(r);
	if (giver && !r->is_orphan && !r->is_dead)
		send_index(giver, FRAME_FLUSH, r->old_index, r->sends, r->onces);
}

void migrate_answer_death_locked(struct link *from, uint32_t index)
{
	struct relocation *r = relocation_owing_locked(from, index);

	if (!r)
		return; /* FLUSH is under way */
	send_index(from, FRAME_FLUSH, index, 0, 0);
	r->is_dead = true;
	if (r->is_void || !link_is_expected_locked(r->home))
		relocation_free_locked(r);
}

/* MOVED was put before MOVE, by which the offer is made or VOID said, so it has come, if it has not been taken yet. To read
 * on in the giver's ring until there it is does not go round in circles: of two offers that would need each other's MOVED
 * one was made first. */
static void await_moved(uint64_t giver, uint64_t home, uint64_t number)
{
	bool has_more = true;
	struct link *link;

	for (unsigned n = 0; has_more && n < RING_SIZE / sizeof(struct frame); n++) { /* what was there when we began */
		lock_take(&node.lock);
		link = link_find_locked(giver);
		if (link && relocation_find_locked(giver, home, number))
			link = NULL;
		if (link)
			link_ref_locked(link);
		lock_drop(&node.lock);
		if (!link)
			return;
		has_more = inbound_take_one(link);
		lock_take(&node.lock);
		link_unref_locked(link);
		lock_drop(&node.lock);
	}
}

bool migrate_take_offer(struct link *from, const struct frame_ticket *f)
{
	struct relocation *r;
	bool ok;

	await_moved(f->node, from->peer_id, f->number);
	lock_take(&node.lock);
	r = relocation_find_locked(f->node, from->peer_id, f->number);
	ok = f->right.value < LINK_MAX_EXPORTS && !proxy_find_locked(from, f->right.value) &&
	     !relocation_of_ready_locked(from->peer_id, f->right.value) &&
	     ((r && !r->to) || link_charge_waiting_locked(from));
	/* A is gone, and so is our proxy; or A has told B of us, but not us of B, or told B twice, which is no fault of B's.
	 * What READY brings is to be given back. */
	if (ok && (!r || r->to)) {
		r = relocation_new_locked(f->node, from->peer_id, f->number);
		r->is_orphan = true;
		r->payer = from->peer_id;
	}
	if (ok) {
		r->index = f->right.value;
		r->limit = f->right.limit;
		relocation_flush_locked(r, from);
	}
	lock_drop(&node.lock);
	return ok;
}

/* ---- limbo -------------------------------------------------------------------------------------------------------- */

static const struct relocation *limbo_of(const struct port *port)
{
	return port && port != PORT_DEAD && port_is_proxy(port) ? port->proxy->relocation : NULL;
}

bool migrate_is_in_limbo(const struct port *port)
{
	return limbo_of(port) != NULL;
}

struct link *migrate_home_locked(const struct proxy *proxy, uint32_t *index)
{
	const struct relocation *r = proxy->relocation;

	*index = r ? r->index : proxy->index;
	return r ? r->to : proxy->link;
}

/* A1 of all @n_rights that a message carries has to be in the rings of their holders before A2: what waits for room is behind B's
 * offer, if it comes at all. */
static bool holders_can_be_told_locked(struct link *home, const struct port *port, uint32_t n_rights)
{
	uint32_t bytes = 4 * sizeof(struct frame_ticket) + 2 * sizeof(struct frame_ticket) * n_rights;
	bool can = true;

	for (struct export *x = port->exports; x; x = x->next) {
		if (!export_has_to_follow(x, home))
			continue;
		link_introduce_locked(x->link, home);
		can &= link_has_room_locked(x->link, bytes < RING_SIZE / 2 ? bytes : RING_SIZE / 2);
	}
	return can;
}

static uint32_t receive_rights_of(const struct message *m)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < m->n_items; i++)
		n += m->items[i].right == RIGHT_RECEIVE ? m->items[i].n_rights : 0;
	return n;
}

static bool receive_right_holds_back_locked(const struct message *m, const struct port *port)
{
	const struct port *dest = m->dest.port;

	return port_is_unsettled_locked(port) ||
	       (port_is_proxy(dest) && !holders_can_be_told_locked(dest->proxy->link, port, receive_rights_of(m)));
}

/* Messages that only pass by are not held up by a right in limbo, unless nobody could grant it yet. */
static bool right_holds_back_locked(const struct message *m, const struct port *port, enum right_kind kind)
{
	const struct relocation *r = limbo_of(port);

	if (r)
		return m->sent_by != SENDER_OTHER || !r->to;
	return kind == RIGHT_RECEIVE && port && port != PORT_DEAD && receive_right_holds_back_locked(m, port);
}

static bool message_has_to_wait_locked(const struct message *m)
{
	if (migrate_is_in_limbo(m->dest.port) || right_holds_back_locked(m, m->reply.port, m->reply.kind))
		return true;
	for (uint32_t i = 0; i < m->n_items; i++)
		for (uint32_t j = 0; j < m->items[i].n_rights; j++)
			if (right_holds_back_locked(m, item_ports(&m->items[i])[j], m->items[i].right))
				return true;
	return false;
}

static bool message_has_same_way(const struct message *a, const struct message *b)
{
	bool a_is_foreign = a->sent_by == SENDER_OTHER, b_is_foreign = b->sent_by == SENDER_OTHER;

	return a->dest.port == b->dest.port && a_is_foreign == b_is_foreign &&
	       (!a_is_foreign || a->sender.pid == b->sender.pid);
}

static bool kept_precedes_locked(const struct message *m)
{
	list_for_each(kept, &node.kept, struct kept, link) {
		if (kept->message == m)
			return false;
		if (message_has_same_way(kept->message, m))
			return true;
	}
	return false;
}

bool migrate_keeps_back_locked(const struct message *m)
{
	if (list_is_empty(&node.relocations) && list_is_empty(&node.moves) && list_is_empty(&node.kept) &&
	    !receive_rights_of(m))
		return false;
	return message_has_to_wait_locked(m) || kept_precedes_locked(m);
}

bool migrate_keep_back_locked(struct message *m)
{
	struct kept *kept;

	if (!migrate_keeps_back_locked(m))
		return false;
	kept = certain_alloc(sizeof *kept);
	kept->message = m;
	list_append(&node.kept, &kept->link);
	return true;
}

/* Sends, in order, what may leave now; what is for no proxy any more goes to @others. */
static bool kept_release_locked(struct list *others)
{
	bool has_any = false;

	list_for_each(kept, &node.kept, struct kept, link) {
		struct message *m = kept->message;

		if (message_has_to_wait_locked(m) || kept_precedes_locked(m))
			continue;
		list_unlink(&kept->link);
		free(kept);
		has_any = true;
		if (port_is_proxy(m->dest.port))
			outbound_send_to_proxy_locked(m->dest.port->proxy, m);
		else
			list_append(others, &m->port_link);
	}
	return has_any;
}

static bool release_kept(void)
{
	struct list others;
	bool has_any;

	list_init(&others);
	lock_take(&node.lock);
	has_any = kept_release_locked(&others);
	flushes_go_on_locked();
	lock_drop(&node.lock);
	list_for_each(m, &others, struct message, port_link) {
		list_unlink(&m->port_link);
		send_always(m);
	}
	return has_any;
}

void migrate_go_on(void)
{
	bool is_idle;

	do {
		lock_take(&node.lock);
		is_idle = list_is_empty(&node.settlers) && list_is_empty(&node.moves) && list_is_empty(&node.kept) &&
			  list_is_empty(&node.flushes);
		lock_drop(&node.lock);
	} while (!is_idle && (settle_holder() || settle_ourselves() || release_kept()));
}

/* ---- H: arrived --------------------------------------------------------------------------------------------------- */

/* What B believes to be here now: what READY says, but for what has left since H1. Most often READY says what FLUSH did. If A is
 * gone it is what MOVE said; and B may know that before we do. */
static uint32_t told_by(int32_t ready, uint32_t at_stop, uint32_t now)
{
	int64_t told = (int64_t)ready - at_stop + now;

	return told > 0 ? (uint32_t)told : 0;
}

/* The proxy has ended meanwhile, or never was: what it was to have is given back. */
static void give_back_locked(struct link *home, const struct relocation *r, const struct frame_index *f)
{
	uint32_t sends = told_by(f->sends, r->sends, r->left_sends);
	uint32_t onces = told_by(f->onces, r->onces, r->left_onces);

	if (sends || onces)
		send_index(home, FRAME_COUNT, r->index, (uint32_t) - (int64_t)sends, (uint32_t) - (int64_t)onces);
}

/* H2. What B believes that is not so is settled like any other difference. */
static void relocation_arrive_locked(struct relocation *r, struct link *home, const struct frame_index *f,
				     struct after *after, struct forced **accepted)
{
	struct proxy *proxy = r->proxy;

	proxy->told_sends = told_by(f->sends, r->sends, proxy->told_sends);
	proxy->told_onces = told_by(f->onces, r->onces, proxy->told_onces);
	proxy->relocation = NULL;
	r->proxy = NULL;
	proxy_relocate_locked(proxy, home, r->index, r->limit, after, accepted);
	proxy_ask_if_waited_for_locked(proxy);
	node_note(&proxy->noted);
}

bool migrate_take_ready(struct link *from, const struct frame_index *f)
{
	struct forced *accepted = NULL;
	struct relocation *r;
	struct after after;

	after_init(&after);
	lock_take(&node.lock);
	r = relocation_of_ready_locked(from->peer_id, f->index);
	if (r && r->proxy)
		relocation_arrive_locked(r, from, f, &after, &accepted);
	else if (r)
		give_back_locked(from, r, f);
	if (r)
		relocation_free_locked(r);
	outbound_transmit_admitted_locked(&after);
	lock_drop(&node.lock);
	after_run(&after);
	forced_fire_all(accepted);
	handoff_retry_deposits();
	migrate_go_on();
	return r != NULL;
}

void migrate_forget_proxy_locked(struct proxy *proxy)
{
	struct relocation *r = proxy->relocation;

	if (r) {
		r->left_sends = proxy->told_sends;
		r->left_onces = proxy->told_onces;
		if (r->to)
			proxy_leave_table_locked(r->to, r->index, proxy);
	}
	proxy->relocation = NULL;
	list_for_each(other, &node.relocations, struct relocation, link)
		if (other->proxy == proxy)
			other->proxy = NULL;
}

/* What had been offered is not named any more. */
static void give_back_offered_locked(const struct relocation *r)
{
	struct frame_index f = { .header = { sizeof f, FRAME_COUNT, 0 }, .index = r->index, .is_end = true };

	link_send_locked(r->to, &f.header, URGENCY_SOON, NULL, 0);
}

/* The port of a proxy in limbo has died, or nobody knows where it is. One that is not waits for A to say so. */
void migrate_take_void(struct link *from, const struct frame_ticket *f)
{
	struct ended_proxy ended = { 0 };
	struct relocation *r;

	await_moved(f->node, from->peer_id, f->number);
	lock_take(&node.lock);
	r = relocation_find_locked(f->node, from->peer_id, f->number);
	if (r && r->proxy && r->proxy->relocation == r)
		proxy_end_locked(r->proxy, &ended);
	if (r && r->to)
		give_back_offered_locked(r);
	if (r && relocation_owes_flush(r))
		r->is_void = true;
	else if (r)
		relocation_free_locked(r);
	lock_drop(&node.lock);
	ended_proxy_settle(&ended);
	handoff_retry_deposits();
	migrate_go_on();
}

/* ---- links -------------------------------------------------------------------------------------------------------- */

static void relocation_ask_locked(const struct relocation *r, struct link *home)
{
	send_ticket(home, FRAME_QUERY, r->giver, r->number, NULL, 0, 0);
}

void migrate_take_link_locked(struct link *link)
{
	list_for_each(s, &node.settlers, struct settler, link) {
		struct leftover none = { 0 };

		if (s->holder != link->peer_id || s->export || s->is_gone)
			continue;
		if (port_is_dead(s->port)) {
			send_ticket(link, FRAME_VOID, s->giver, s->number, NULL, 0, 0);
			forget_rights(s->port, s->move ? 0 : s->sends, s->move ? 0 : s->onces);
			settler_free_locked(s);
			continue;
		}
		settler_offer_locked(s, link);
		if (!s->move) { /* the former home has died since */
			settler_settle_locked(s, &none);
			settler_free_locked(s);
		}
	}
	list_for_each(r, &node.relocations, struct relocation, link)
		if (r->home == link->peer_id && r->is_orphan)
			relocation_ask_locked(r, link);
}

/* Exports without units that were kept for a purpose that is over. */
static void end_heirs_locked(struct port *port)
{
	struct export *next;

	for (struct export *x = port->exports; x; x = next) {
		next = x->next;
		x->is_heir = false;
		export_check_unused_locked(x);
	}
}

/* Of the units that were to be moved from them nobody hears any more. */
static void end_given_back_locked(struct port *port)
{
	struct export *next;

	for (struct export *x = port->exports; x; x = next) {
		next = x->next;
		if (x->is_given_back)
			export_give_back_locked(x);
	}
}

void migrate_note_death_locked(struct port *port)
{
	end_heirs_locked(port);
	list_for_each(s, &node.settlers, struct settler, link) {
		if (s->port != port || (!s->export && !s->is_gone))
			continue;
		if (s->export) /* which stays, and owes what comes, until the holder gives it back */
			send_ticket(s->export->link, FRAME_VOID, s->giver, s->number, NULL, 0, 0);
		settler_free_locked(s);
	}
	list_for_each(move, &node.moves, struct move, link) {
		if (move->port != port)
			continue;
		list_for_each(s, &node.settlers, struct settler, link)
			if (s->move == move) {
				s->move = NULL;
				s->sends = s->onces = 0;
			}
		forget_rights(port, move->is_returning, 0);
		move_free_locked(move);
		port_unref(port); /* not the last */
	}
	end_given_back_locked(port);
}

/* H is gone after B2. What it had is A's to say: it may have said so already, or H's FLUSH is under way. */
static void settler_wait_for_giver_locked(struct settler *s)
{
	s->export->is_settling = false;
	s->export = NULL;
	s->is_gone = true;
}

/* H is gone, or cannot come: it has no other way to us than that link. Returns the port of one that nobody waits for, with what
 * it was to have. */
static struct port *end_settler_of_holder_locked(const struct link *link, struct leftover *left)
{
	list_for_each(s, &node.settlers, struct settler, link) {
		struct port *port = s->port;

		if (s->holder != link->peer_id || s->is_gone ||
		    (s->export ? s->export->link != link : link_is_expected_locked(s->holder)))
			continue;
		if (s->export && s->move) {
			settler_wait_for_giver_locked(s);
			continue;
		}
		*left = (struct leftover){ s->move ? 0 : s->sends, s->move ? 0 : s->onces };
		if (s->export)
			s->export->is_settling = false;
		port_take_ref(port);
		settler_free_locked(s);
		return port;
	}
	return NULL;
}

static void end_settlers_of_holder(const struct link *link)
{
	struct leftover left;
	struct port *port;

	do {
		lock_take(&node.lock);
		port = end_settler_of_holder_locked(link, &left);
		lock_drop(&node.lock);
		if (port) {
			drop_rights(port, left.sends, left.onces);
			port_unref(port);
		}
	} while (port);
}

/* A is gone: what it said that H has is H's. Of A's units as far as they reach, so that none of H's dies with them. */
static void adopt_settler_locked(struct settler *s, struct export *via, struct leftover *left)
{
	uint32_t sends = via && via->sends < s->sends ? via->sends : s->sends;
	uint32_t onces = via && via->onces < s->onces ? via->onces : s->onces;

	if (via) {
		via->sends -= sends;
		via->onces -= onces;
	} else {
		sends = onces = 0;
	}
	port_add_rights(s->port, s->sends - sends, s->onces - onces);
	if (--s->move->n_settlers == 0)
		move_check_settled_locked(s->move);
	s->move = NULL;
	if (!s->export && !s->is_gone)
		return; /* B2 and B3 when it is linked */
	settler_settle_locked(s, left);
	settler_free_locked(s);
}

/* One that has not arrived dies; one that was returning has nothing more to wait for. */
static bool end_move(struct link *from)
{
	struct move *move = NULL;
	struct leftover left = { 0 };
	struct after after;
	bool was_returning;
	struct port *port;

	after_init(&after);
	lock_take(&node.lock);
	list_for_each(other, &node.moves, struct move, link)
		if (other->from == from)
			move = other;
	if (!move) {
		lock_drop(&node.lock);
		return false;
	}
	port = move->port;
	was_returning = move->is_returning;
	move->n_settlers++; /* so that it is not settled before we say so */
	list_for_each(s, &node.settlers, struct settler, link)
		if (s->move == move)
			adopt_settler_locked(s, export_find_locked(from, move->index), &left);
	if (was_returning)
		move_release_locked(move, &after);
	if (move_has_to_admit(move))
		move_admit_locked(move, &after);
	list_unlink(&move->link);
	lock_drop(&node.lock);
	after_run(&after);
	drop_rights(port, left.sends, left.onces);
	if (was_returning)
		drop_guard(port, move->had_senders);
	if (!move->has_arrived)
		port_destroy(port);
	port_unref(port);
	free(move);
	return true;
}

/* A is gone while we were to follow the port, or were about to: B knows whether there is one. */
static void relocation_orphan_locked(struct relocation *r)
{
	struct link *home = link_find_locked(r->home);
	struct proxy *proxy = r->proxy;

	r->is_orphan = true;
	if (home)
		relocation_ask_locked(r, home);
	if (!proxy || r->to)
		return;
	relocation_stop_locked(r);
	proxy_leave_table_locked(proxy->link, proxy->index, proxy);
	proxy->link = NULL;
	proxy->index = INDEX_NONE;
}

static void end_relocations_of_giver_locked(uint64_t giver)
{
	list_for_each(r, &node.relocations, struct relocation, link) {
		if (r->giver != giver || r->is_orphan)
			continue;
		if (link_is_expected_locked(r->home))
			relocation_orphan_locked(r);
		else if (!r->to)
			relocation_free_locked(r);
	}
}

/* B is gone. Who was in limbo dies with it, the others with what A has of it: they wait for A to say so. */
static struct relocation *end_relocation_of_home_locked(const struct link *link)
{
	list_for_each(r, &node.relocations, struct relocation, link) {
		if (r->home != link->peer_id || (r->to ? r->to != link : link_is_expected_locked(r->home)))
			continue;
		if (r->proxy && r->proxy->relocation == r)
			return r;
		if (!relocation_owes_flush(r))
			relocation_free_locked(r);
	}
	return NULL;
}

static void end_relocations_of_home(const struct link *link)
{
	struct relocation *r;

	do {
		struct ended_proxy ended = { 0 };

		lock_take(&node.lock);
		r = end_relocation_of_home_locked(link);
		if (r) {
			proxy_end_locked(r->proxy, &ended);
			relocation_free_locked(r);
		}
		lock_drop(&node.lock);
		ended_proxy_settle(&ended);
	} while (r);
}

static void end_relays(struct link *link)
{
	lock_take(&node.lock);
	for (uint32_t i = 0; i < link->exports.n_slots; i++)
		if (table_get(&link->exports, i))
			end_relay_locked(table_get(&link->exports, i));
	sparse_visit(&link->adopted_exports, end_relay_locked);
	lock_drop(&node.lock);
}

void migrate_end_link(struct link *link)
{
	end_relays(link);
	end_settlers_of_holder(link);
	while (end_move(link))
		;
	lock_take(&node.lock);
	end_relocations_of_giver_locked(link->peer_id);
	lock_drop(&node.lock);
	end_relocations_of_home(link);
	handoff_retry_deposits();
	migrate_go_on();
}
