/* SPDX-License-Identifier: MIT */
#include "link/inbound.h"

#include <assert.h>
#include <mach/notify.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernel/after.h"
#include "kernel/charge.h"
#include "kernel/image.h"
#include "kernel/message.h"
#include "kernel/notify.h"
#include "kernel/port.h"
#include "kernel/right.h"
#include "kernel/send.h"
#include "link/bulk.h"
#include "link/export.h"
#include "link/frame.h"
#include "link/handoff.h"
#include "link/heir.h"
#include "link/link.h"
#include "link/migrate.h"
#include "link/outbound.h"
#include "link/proxy.h"
#include "link/table.h"

/* What is left to read of a frame. The bytes may change while we look: each is read once. */
struct reader {
	const unsigned char *at;
	size_t left;
};

static const unsigned char *reader_take(struct reader *r, uint64_t n)
{
	const unsigned char *at = r->at;
	uint64_t padded = (n + 7) & ~(uint64_t)7;

	if (n > r->left || padded > r->left)
		return NULL;
	r->at += padded;
	r->left -= padded;
	return at;
}

static bool reader_read(struct reader *r, void *to, size_t n)
{
	const unsigned char *at = reader_take(r, n);

	if (at && n)
		memcpy(to, at, n);
	return at != NULL;
}

/* A message on its way in. */
struct arrival {
	struct link *from;
	struct reader reader;
	struct message *message;
	struct parked *parked; /* NULL: no ticket is missing so far */
	bool is_in_turn;       /* nothing that came before waits */
};

/* ---- rights ------------------------------------------------------------------------------------------------------- */

static bool take_theirs_locked(struct link *from, const struct wire_right *wire, struct right *right)
{
	struct proxy *x = proxy_of_wire_locked(from, wire);

	if (!x)
		return false;
	proxy_receive_unit_locked(x, wire->kind, right);
	return true;
}

/* Reads a right into its place, which is empty. False: the peer breaks the rules. */
static bool read_right_locked(struct arrival *a, enum right_kind kind, const struct place *place)
{
	struct right right = { NULL, kind };
	struct wire_ticket ticket;
	struct wire_right wire;
	unsigned wire_form;

	if (!reader_read(&a->reader, &wire, sizeof wire))
		return false;
	wire_form = wire.form;
	if (wire.form == WIRE_NULL || wire.form == WIRE_DEAD) {
		*place_port(place) = wire.form == WIRE_DEAD ? PORT_DEAD : NULL;
		return true;
	}
	if ((wire.form & WIRE_FORM) == WIRE_MINE)
		wire_form = WIRE_MINE; /* which alone has marks */
	if (kind == RIGHT_NONE || wire.kind != kind || (kind == RIGHT_RECEIVE) != (wire_form == WIRE_RECEIVE))
		return false;
	switch (wire_form) {
	case WIRE_MINE:
		if (!take_theirs_locked(a->from, &wire, &right))
			return false;
		break;
	case WIRE_YOURS:
	case WIRE_YOURS_MOVED:
		if (!export_take_locked(a->from, &wire, &right))
			return false;
		break;
	case WIRE_TICKET:
		return reader_read(&a->reader, &ticket, sizeof ticket) &&
		       handoff_claim_locked(a->from, &ticket, kind, place, &a->parked);
	case WIRE_RECEIVE:
		right.port = migrate_arrive_locked(a->from, wire.value);
		if (!right.port)
			return false;
		break;
	default:
		return false;
	}
	*place_port(place) = right.port;
	return true;
}

static bool read_reply_locked(struct arrival *a)
{
	struct place place = { a->message, PLACE_REPLY, 0 };
	struct wire_right wire;

	if (a->reader.left < sizeof wire)
		return false;
	memcpy(&wire, a->reader.at,
	       sizeof wire); /* the kind alone; read_right_locked() checks it against what it reads */
	if (wire.kind != RIGHT_NONE && wire.kind != RIGHT_SEND && wire.kind != RIGHT_SEND_ONCE)
		return false;
	a->message->reply.kind = wire.kind;
	return read_right_locked(a, wire.kind, &place) && (wire.kind != RIGHT_NONE || !a->message->reply.port);
}

static bool read_rights(struct arrival *a, struct item *item)
{
	struct place place = { a->message, (uint32_t)(item - a->message->items), 0 };
	bool ok = true;

	lock_take(&node.lock);
	for (; place.right < item->n_rights && ok; place.right++)
		ok = read_right_locked(a, item->right, &place);
	lock_drop(&node.lock);
	return ok;
}

/* ---- the body ----------------------------------------------------------------------------------------------------- */

/* What finds no memory is lost, and whoever receives the message is told. */
static bool read_memory(struct arrival *a, const struct descriptor *d, struct memory *memory)
{
	const unsigned char *bytes;
	struct wire_memory wire;

	if (!reader_read(&a->reader, &wire, sizeof wire) || wire.size != d->length)
		return false;
	switch (wire.form) {
	case MEMORY_INLINE:
		bytes = reader_take(&a->reader, wire.size);
		if (!bytes)
			return false;
		*memory = memory_new(wire.size);
		if (memory->address)
			memcpy(memory->address, bytes, wire.size);
		memory->size = wire.size;
		return true;
	case MEMORY_LOST:
		memory->size = wire.size;
		return true;
	default:
		return wire.form == MEMORY_STREAMED && bulk_claim(&a->from->bulk, wire.size, memory);
	}
}

static bool read_item_rights(struct arrival *a, const struct descriptor *d, struct item *item)
{
	/* Each right takes room in the frame, so a lie about their number ends here. */
	if (d->number > a->reader.left / sizeof(struct wire_right))
		return false;
	item->right = d->type;
	while (!item_alloc_ports(item, (uint32_t)d->number))
		;
	if (!read_rights(a, item))
		return false;
	if (!d->is_inline) {
		item->memory = memory_new(d->number * sizeof(mach_port_name_t));
		item->memory.size = d->number * sizeof(mach_port_name_t);
	}
	return true;
}

/* One item, as its descriptor in the image says: the peer's program wrote it, its kernel checked it, and we do so again. */
static bool read_item(struct arrival *a, const struct descriptor *d)
{
	bool has_rights = MACH_MSG_TYPE_PORT_ANY(d->type);
	struct message *m = a->message;
	struct item *item;

	if (!has_rights && d->is_inline)
		return true;
	if (has_rights && d->type != RIGHT_RECEIVE && d->type != RIGHT_SEND && d->type != RIGHT_SEND_ONCE)
		return false;
	if (m->n_items == LINK_MAX_ITEMS)
		return false;
	while (!(item = message_add_item(m)))
		;
	item->offset = d->data;
	item->kind = !has_rights ? ITEM_MEMORY : d->is_inline ? ITEM_INLINE_RIGHTS : ITEM_ARRAY_RIGHTS;
	if (!has_rights)
		return read_memory(a, d, &item->memory);
	return read_item_rights(a, d, item);
}

static bool read_body(struct arrival *a)
{
	struct message *m = a->message;

	for (uint32_t at = sizeof m->header; at < m->size;) {
		struct descriptor d;

		if (image_read_descriptor(m->image, m->size, at, &d) || image_check_descriptor(&d, m->size) ||
		    !read_item(a, &d))
			return false;
		at = d.end;
	}
	return true;
}

/* ---- messages ----------------------------------------------------------------------------------------------------- */

/* A request for a port that is about to arrive, which is nothing but a header. The send right that it seems to come through keeps
 * the port counted. */
static bool take_request_dest_locked(struct link *from, const struct frame_message *f, struct message *m)
{
	bool had_senders;
	struct port *port = migrate_announced_locked(from, f->index, &had_senders);

	if (!port || m->reply.kind != RIGHT_SEND_ONCE || f->body_size ||
	    (f->flags & (MESSAGE_IS_COMPLEX | MESSAGE_HAS_DESCRIPTOR)) ||
	    (f->id != MACH_NOTIFY_NO_SENDERS && f->id != MACH_NOTIFY_PORT_DESTROYED))
		return false;
	port_add_rights(port, 1, 0);
	m->dest = (struct right){ port, RIGHT_SEND };
	m->header.msgh_seqno = had_senders; /* nobody else's header */
	return true;
}

/* The right that the message was sent through, and where it goes. */
static bool take_dest_locked(struct link *from, const struct frame_message *f, struct message *m)
{
	struct export *x = export_find_locked(from, f->index);

	if (!x)
		return false;
	if (m->is_request)
		return take_request_dest_locked(from, f, m);
	return export_take_message_locked(x, f->kind, m, f->flags & MESSAGE_IS_AWAITED);
}

static bool read_message(struct arrival *a, const struct frame_message *f)
{
	struct message *m = a->message;
	bool ok;

	memset(&m->header, 0, sizeof m->header);
	m->header.msgh_bits = MACH_MSGH_BITS_OTHER(f->bits);
	m->header.msgh_id = f->id;
	m->is_complex = f->flags & MESSAGE_IS_COMPLEX;
	m->cpu = ring_cpu(&a->from->ring);
	m->sent_by = SENDER_OTHER;
	m->sender = a->from->peer;
	if (f->flags & MESSAGE_HAS_DESCRIPTOR)
		m->fd = inbound_take_fd(a->from);
	m->is_relayed = f->index & INDEX_IS_ADOPTED;
	m->is_request = f->flags & MESSAGE_IS_REQUEST;
	lock_take(&node.lock);
	ok = read_reply_locked(a) && take_dest_locked(a->from, f, m);
	a->is_in_turn = handoff_is_idle_locked();
	lock_drop(&node.lock);
	return ok && reader_read(&a->reader, m->image + sizeof m->header, f->body_size) &&
	       (!m->is_complex || read_body(a)) && a->reader.left == 0;
}

/* A receive right inside is under way to the message's destination, as after a copyin. */
static void enter_transit(struct message *m)
{
	for (uint32_t i = 0; i < m->n_items; i++) {
		struct item *item = &m->items[i];

		for (uint32_t j = 0; item->right == RIGHT_RECEIVE && j < item->n_rights; j++) {
			struct port *port = item_ports(item)[j];

			if (port && port != PORT_DEAD)
				m->is_circular |= !port_enter_transit(port, m->dest.port);
		}
	}
}

static size_t item_weight(const struct item *item)
{
	return (item->memory.address ? item->memory.size : 0) + item->n_rights * sizeof(struct port *);
}

static void charge(struct link *from, struct message *m)
{
	size_t n = sizeof *m + m->capacity;

	if (m->items != m->inline_items)
		n += m->items_capacity * sizeof *m->items;
	for (uint32_t i = 0; i < m->n_items; i++)
		n += item_weight(&m->items[i]);
	m->weight = n;
	m->charge = from->charge;
	charge_add(from->charge, n);
}

static const char *take_message(struct link *from, struct reader r)
{
	struct arrival a = { .from = from, .reader = r };
	struct frame_message f;
	bool is_complex;

	if (!reader_read(&a.reader, (unsigned char *)&f + sizeof f.header, sizeof f - sizeof f.header) ||
	    f.body_size > a.reader.left || f.body_size % MACH_MSG_USER_ALIGNMENT ||
	    (f.kind != RIGHT_SEND && f.kind != RIGHT_SEND_ONCE))
		return "a message that is cut short";
	while (!(a.message = message_new((uint32_t)sizeof(mach_msg_header_t) + f.body_size)))
		;
	if (!read_message(&a, &f)) {
		if (a.parked)
			handoff_discard(a.parked);
		message_destroy(a.message);
		return "a message with something that it may not have";
	}
	is_complex = a.message->is_complex;
	charge(from, a.message);
	if (is_complex)
		enter_transit(a.message);
	if (a.is_in_turn && !a.parked)
		handoff_deliver_at_once(a.message);
	else
		handoff_deliver(from, a.message, a.parked);
	if (is_complex)
		migrate_go_on(); /* a receive right may have arrived */
	return NULL;
}

/* ---- counts ------------------------------------------------------------------------------------------------------- */

/* More rights: to send, to what the peer has one of already, or to our node, for which it needs none; or what we ourselves had
 * under way to it when the port that it is about moved from there to here. */
static bool take_more_locked(struct link *from, struct export *x, uint32_t n_sends, uint32_t n_onces)
{
	bool is_owed = migrate_is_settling_locked(from, x->index) || port_is_dead(x->port);

	if ((n_sends && x->sends == 0 && !is_owed && x->index != INDEX_OF_NODE) || (n_onces && !is_owed) ||
	    n_sends > LINK_MAX_UNITS - x->sends || (n_onces && n_onces + (uint64_t)x->onces > LINK_MAX_ONCES))
		return false;
	if (n_sends)
		migrate_note_senders_locked(from, x->index);
	port_add_rights(x->port, n_sends, n_onces);
	x->sends += n_sends;
	x->onces += n_onces;
	return true;
}

/* Send-once rights that are gone without a word. */
static void forget_onces_locked(struct export *x, uint32_t n)
{
	lock_take(&x->port->lock);
	x->port->n_sorights -= n;
	x->port->n_refs -= n; /* not the last: there is the export's */
	lock_drop(&x->port->lock);
	x->onces -= n;
}

static void take_less_locked(struct export *x, uint32_t n_less, uint32_t n_gone, bool is_end)
{
	x->sends -= n_less;
	forget_onces_locked(x, n_gone);
	if (is_end)
		export_give_back_locked(x); /* the units that are to be dropped keep the port */
	else
		export_check_unused_locked(x);
}

static bool take_count(struct link *from, const struct frame_index *f)
{
	uint32_t n_less = f->sends < 0 ? (uint32_t) - (int64_t)f->sends : 0;
	uint32_t n_gone = f->onces < 0 ? (uint32_t) - (int64_t)f->onces : 0;
	struct port *port = NULL;
	struct export *x;
	bool ok;

	lock_take(&node.lock);
	x = export_find_locked(from, f->index);
	if (!x && f->index == INDEX_OF_NODE && f->sends > 0)
		x = export_node_locked(from);
	if (x ? x->is_void : f->is_end && f->sends == 0 && f->onces == 0) {
		lock_drop(&node.lock); /* its own rights to its own port; or told twice */
		return true;
	}
	ok = x && x->sends >= n_less && x->onces >= n_gone &&
	     take_more_locked(from, x, f->sends > 0 ? (uint32_t)f->sends : 0, f->onces > 0 ? (uint32_t)f->onces : 0);
	if (ok) {
		port = x->port;
		take_less_locked(x, n_less, n_gone, f->is_end);
	}
	lock_drop(&node.lock);
	if (ok)
		port_drop_sends(port, n_less);
	return ok;
}

static bool take_received(struct link *from, const struct frame_index *f)
{
	struct forced *accepted = NULL;
	struct after after;
	struct proxy *x;

	if (f->sends < -(int32_t)UINT16_MAX)
		return false;
	after_init(&after);
	lock_take(&node.lock);
	x = proxy_find_locked(from, f->index);
	if (x) {
		if (f->sends < 0)
			proxy_note_queued_locked(x, (uint32_t)-f->sends);
		else
			proxy_note_received_locked(x, (uint32_t)f->sends, &after, &accepted);
		x->n_answers += f->onces == 1;
		x->is_mute &= f->onces != 1;
		outbound_transmit_admitted_locked(&after);
		proxy_ask_again_locked(x);
	}
	lock_drop(&node.lock);
	after_run(&after);
	forced_fire_all(accepted);
	return true;
}

static bool take_ask(struct link *from, const struct frame_index *f)
{
	struct export *x;

	lock_take(&node.lock);
	x = export_find_locked(from, f->index);
	if (x)
		export_answer_locked(x, f->onces == 1);
	lock_drop(&node.lock);
	return true;
}

static bool take_limit(struct link *from, const struct frame_index *f)
{
	struct after after;
	struct proxy *x;

	if (f->sends < 0 || f->sends > UINT16_MAX)
		return false;
	after_init(&after);
	lock_take(&node.lock);
	x = proxy_find_locked(from, f->index);
	if (x) {
		lock_take(&x->port->lock);
		port_set_qlimit_locked(x->port, (uint32_t)f->sends, &after);
		lock_drop(&x->port->lock);
		outbound_transmit_admitted_locked(&after);
		proxy_ask_again_locked(x);
	}
	lock_drop(&node.lock);
	after_run(&after);
	return true;
}

static bool take_death(struct link *from, const struct frame_index *f)
{
	struct ended_proxy ended = { 0 };
	struct proxy *x;

	lock_take(&node.lock);
	heir_forget_locked(from, f->index);
	x = proxy_find_locked(from, f->index);
	if (x)
		proxy_end_locked(x, &ended);
	if (f->sends)
		migrate_answer_death_locked(from, f->index);
	lock_drop(&node.lock);
	ended_proxy_settle(&ended);
	migrate_go_on();
	return true;
}

/* ---- frames ------------------------------------------------------------------------------------------------------- */

static bool read_index_frame(struct reader r, struct frame_index *f)
{
	return reader_read(&r, (unsigned char *)f + sizeof f->header, sizeof *f - sizeof f->header) && r.left == 0;
}

static bool read_ticket_frame(struct reader r, struct frame_ticket *f)
{
	return reader_read(&r, (unsigned char *)f + sizeof f->header, sizeof *f - sizeof f->header) && r.left == 0;
}

static const char *take_index_frame(struct link *from, enum frame_type type, struct reader r)
{
	static bool (*const take[FRAME_TYPES])(struct link *, const struct frame_index *) = {
		[FRAME_COUNT] = take_count, [FRAME_RECEIVED] = take_received,	[FRAME_LIMIT] = take_limit,
		[FRAME_DIED] = take_death,  [FRAME_FLUSH] = migrate_take_flush, [FRAME_READY] = migrate_take_ready,
		[FRAME_ASK] = take_ask,
	};
	struct frame_index f;

	if (!read_index_frame(r, &f))
		return "a frame of a wrong size";
	return take[type](from, &f) ? NULL : "a claim to rights that it does not have";
}

static const char *take_ticket_frame(struct link *from, enum frame_type type, struct reader r)
{
	static bool (*const take[FRAME_TYPES])(struct link *, const struct frame_ticket *) = {
		[FRAME_DEPOSIT] = handoff_take_deposit, [FRAME_OFFER] = handoff_take_offer,
		[FRAME_QUERY] = handoff_take_query,	[FRAME_VOID] = handoff_take_void,
		[FRAME_MOVED] = migrate_take_moved,	[FRAME_FLUSHED] = migrate_take_flushed,
	};
	struct frame_ticket f;

	if (!read_ticket_frame(r, &f))
		return "a frame of a wrong size";
	return take[type](from, &f) ? NULL : "a ticket or a right that it does not have";
}

static const char *take_move(struct link *from, struct reader r)
{
	struct move_holder *holders = NULL;
	struct frame_move f;
	bool ok;

	if (!reader_read(&r, (unsigned char *)&f + sizeof f.header, sizeof f - sizeof f.header) ||
	    f.n_holders > LINK_MAX_HOLDERS || r.left != f.n_holders * sizeof *holders)
		return "a frame of a wrong size";
	if (f.n_holders) {
		holders = certain_alloc(r.left);
		memcpy(holders, r.at, r.left);
	}
	ok = migrate_take_move(from, &f, holders);
	free(holders);
	return ok ? NULL : "a receive right that it does not have";
}

static const char *take_heir(struct link *from, struct reader r)
{
	struct frame_heir f;

	if (!reader_read(&r, (unsigned char *)&f + sizeof f.header, sizeof f - sizeof f.header) || r.left)
		return "a frame of a wrong size";
	return heir_take(from, &f) ? NULL : "a right to notify that it does not have";
}

static const char *take_introduction(struct link *from, struct reader r)
{
	uint64_t id;
	int fd;

	if (!reader_read(&r, &id, sizeof id) || r.left)
		return "a frame of a wrong size";
	fd = inbound_take_fd(from);
	if (fd >= 0)
		link_take_introduction(from, fd, id);
	return NULL; /* if we have no descriptor left it looks as if the other had died */
}

static const char *take_data(struct bulk *to, struct reader r)
{
	const unsigned char *bytes;
	struct frame_data f;

	if (!reader_read(&r, (unsigned char *)&f + sizeof f.header, sizeof f - sizeof f.header))
		return "a frame of a wrong size";
	bytes = reader_take(&r, f.size);
	if (!bytes || r.left || !bulk_take_piece(to, f.total, bytes, f.size))
		return "memory that is more, or less, than it says";
	return NULL;
}

static const char *take_content(struct link *from, enum frame_type type, struct reader r)
{
	switch (type) {
	case FRAME_MESSAGE:
		return take_message(from, r);
	case FRAME_COUNT:
	case FRAME_RECEIVED:
	case FRAME_LIMIT:
	case FRAME_DIED:
	case FRAME_FLUSH:
	case FRAME_READY:
	case FRAME_ASK:
		return take_index_frame(from, type, r);
	case FRAME_DEPOSIT:
	case FRAME_OFFER:
	case FRAME_QUERY:
	case FRAME_VOID:
	case FRAME_MOVED:
	case FRAME_FLUSHED:
		return take_ticket_frame(from, type, r);
	case FRAME_HEIR:
		return take_heir(from, r);
	case FRAME_MOVE:
		return take_move(from, r);
	case FRAME_DATA:
		return take_data(&from->bulk, r);
	case FRAME_CONTENT:
		return take_data(&from->content, r);
	case FRAME_INTRODUCTION:
		return take_introduction(from, r);
	default:
		return "a frame of an unknown type";
	}
}

/* The next descriptor, which the peer passed before the frame that needs it. */
int inbound_take_fd(struct link *link)
{
	bool has_come = false;
	int fd = -1;

	for (int attempt = 0; attempt < 2 && !has_come; attempt++) {
		if (attempt && !link_read_socket(link))
			break;
		lock_take(&node.lock);
		has_come = link_take_fd_locked(link, &fd);
		lock_drop(&node.lock);
	}
	return fd;
}

static const char *take_elsewhere(struct link *from, enum frame_type type, struct reader r)
{
	const char *objection;
	struct memory content;
	uint64_t size;

	if (!reader_read(&r, &size, sizeof size) || r.left || size % 8)
		return "a large frame that makes no sense";
	if (!bulk_claim(&from->content, size, &content))
		return "a large frame without its content";
	if (memory_is_lost(&content))
		return "no memory is left for a large frame of its";
	objection = take_content(from, type, (struct reader){ content.address, size });
	memory_drop(&content);
	return objection;
}

static const char *take_frame(struct link *link, const struct frame *header, const unsigned char *bytes)
{
	struct reader r = { bytes + sizeof *header, header->size - sizeof *header };

	if (header->type == FRAME_PAD)
		return NULL;
	if (header->flags & FRAME_IS_ELSEWHERE)
		return take_elsewhere(link, header->type, r);
	return take_content(link, header->type, r);
}

/* The next frame. False: there is none. */
static bool take_next(struct link *link, const char **objection)
{
	const unsigned char *bytes;
	struct frame header;
	enum ring_taken taken = link->is_broken ? RING_EMPTY : ring_peek(&link->ring, &header, &bytes);

	if (taken == RING_EMPTY)
		return false;
	*objection = taken == RING_TAKEN ? take_frame(link, &header, bytes) : "its ring makes no sense";
	if (!*objection)
		ring_advance(&link->ring, &header);
	return true;
}

static void after_taking(struct link *link, const char *objection)
{
	bool has_to_tell = ring_publish_head(&link->ring);

	if (!objection && !has_to_tell && !atomic_load_explicit(&link->has_backlog, memory_order_relaxed))
		return;
	lock_take(&node.lock);
	if (objection)
		link_break_locked(link, objection);
	if (has_to_tell)
		link_tell_room_locked(link);
	if (!list_is_empty(&link->backlog))
		link_flush_locked(link);
	lock_drop(&node.lock);
}

bool inbound_take_one(struct link *link)
{
	const char *objection = NULL;
	bool has_any;

	/* What others wait for is taken even from a link that is held: one ring full, or some. */
	if (link->is_draining || link_is_overloaded(link))
		return false;
	link->is_draining = true;
	has_any = take_next(link, &objection);
	link->is_draining = false;
	if (has_any)
		after_taking(link, objection);
	return has_any && !objection;
}

bool inbound_drain(struct link *link)
{
	uint32_t from = link->ring.head;
	const char *objection = NULL;
	bool has_any = false;

	if (link->is_draining)
		return false;
	link->is_draining = true;
	/* A ring full, and then it is somebody else's turn. */
	while (!objection && link->ring.head - from < RING_SIZE && !link_is_held(link) && take_next(link, &objection))
		has_any = true;
	link->has_rest = link->ring.head - from >= RING_SIZE;
	link->is_draining = false;
	if (has_any)
		after_taking(link, objection);
	return has_any;
}
