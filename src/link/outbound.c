/* SPDX-License-Identifier: MIT */
#include "link/outbound.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/after.h"
#include "kernel/message.h"
#include "kernel/object.h"
#include "kernel/port.h"
#include "kernel/right.h"
#include "kernel/send.h"
#include "link/bulk.h"
#include "link/export.h"
#include "link/frame.h"
#include "link/handoff.h"
#include "link/link.h"
#include "link/migrate.h"
#include "link/proxy.h"

/* A frame being written, and the descriptors that go with it. node.lock is held all the while. */
struct writer {
	unsigned char *bytes;
	size_t size, capacity;
	bool is_large; /* bytes are malloc'ed */
	int *fds;
	unsigned n_fds, fds_capacity;
	int first_fds[4];
};

/* Guarded by node.lock: most frames are written here, and few are larger. */
static _Alignas(8) unsigned char scratch[2048];

static void writer_init(struct writer *w)
{
	w->bytes = scratch;
	w->size = 0;
	w->capacity = sizeof scratch;
	w->is_large = false;
	w->fds = w->first_fds;
	w->n_fds = 0;
	w->fds_capacity = sizeof w->first_fds / sizeof *w->first_fds;
}

static void writer_deinit(struct writer *w)
{
	if (w->is_large)
		free(w->bytes);
	if (w->fds != w->first_fds)
		free(w->fds);
}

static void writer_grow(struct writer *w, size_t size)
{
	size_t capacity = w->is_large ? 2 * w->capacity : RING_FRAME_MAX;
	unsigned char *bytes;

	while (capacity < size)
		capacity *= 2;
	bytes = certain_realloc(w->is_large ? w->bytes : NULL, capacity);
	if (!w->is_large)
		memcpy(bytes, w->bytes, w->size);
	w->bytes = bytes;
	w->capacity = capacity;
	w->is_large = true;
}

/* Room for @n bytes, which the caller fills; what pads them to 8 is zero. */
static void *writer_add(struct writer *w, size_t n)
{
	size_t padded = (n + 7) & ~(size_t)7, at = w->size;

	if (w->size + padded > w->capacity)
		writer_grow(w, w->size + padded);
	w->size += padded;
	if (padded > n)
		memset(w->bytes + w->size - 8, 0, 8);
	return w->bytes + at;
}

static void writer_add_fd(struct writer *w, int fd)
{
	if (w->n_fds == w->fds_capacity) {
		int *fds = certain_alloc(2 * w->fds_capacity * sizeof *fds);

		memcpy(fds, w->fds, w->n_fds * sizeof *fds);
		if (w->fds != w->first_fds)
			free(w->fds);
		w->fds = fds;
		w->fds_capacity *= 2;
	}
	w->fds[w->n_fds++] = fd;
}

/* ---- rights ------------------------------------------------------------------------------------------------------- */

void right_drop_dead(const struct right *right)
{
	lock_take(&right->port->lock);
	assert(port_is_dead(right->port));
	if (right->kind == RIGHT_SEND)
		right->port->n_srights--;
	else
		right->port->n_sorights--;
	port_unlock_unref(right->port);
}

static void write_proxy_locked(struct link *link, const struct right *right, struct wire_right *wire,
			       struct wire_ticket *ticket)
{
	struct proxy *proxy = right->port->proxy;

	if (migrate_home_locked(proxy, &wire->value) == link) {
		wire->form = proxy_give_locked(proxy, right) ? WIRE_YOURS_MOVED : WIRE_YOURS;
	} else {
		wire->form = WIRE_TICKET;
		*ticket = handoff_begin_locked(link, proxy, right);
	}
}

/* A port that dies in this moment tells those who have an export of it then; a new one may come too late for that. */
static void write_ours_locked(struct link *link, const struct right *right, struct wire_right *wire)
{
	struct export *x;

	if (!export_lookup_locked(link, right->port) && !export_has_room_locked(link)) {
		wire->form = WIRE_DEAD;
		node_drop_later_locked(right);
		return;
	}
	x = export_of_locked(link, right->port);
	if (port_is_dead(right->port)) {
		wire->form = WIRE_DEAD;
		export_check_unused_locked(x);
		right_drop_dead(right);
		return;
	}
	export_grant_locked(x, right);
	wire->form = WIRE_MINE;
	if (object_is_behind(right->port))
		wire->form |= object_is_file(right->port) ? WIRE_IS_OBJECT | WIRE_IS_FILE : WIRE_IS_OBJECT;
	wire->value = x->index;
	wire->limit = (uint16_t)x->told_limit;
}

void outbound_write_right_locked(struct link *link, const struct right *right, struct wire_right *wire,
				 struct wire_ticket *ticket)
{
	struct port *port = right->port;

	*wire = (struct wire_right){ .form = WIRE_NULL, .kind = (uint8_t)right->kind };
	if (!port)
		return;
	if (!right_is_valid(right)) {
		wire->form = WIRE_DEAD;
	} else if (right->kind == RIGHT_RECEIVE) {
		wire->form = WIRE_RECEIVE;
		wire->value = port->proxy->index; /* FRAME_MOVE has gone before */
	} else if (port_is_dead(port)) {
		wire->form = WIRE_DEAD;
		right_drop_dead(right);
	} else if (port_is_proxy(port)) {
		write_proxy_locked(link, right, wire, ticket);
	} else {
		write_ours_locked(link, right, wire);
	}
}

/* Puts the right, naked, into the frame, and takes it. */
static void write_right(struct writer *w, struct link *link, const struct right *right)
{
	struct wire_ticket ticket;
	struct wire_right wire;

	outbound_write_right_locked(link, right, &wire, &ticket);
	memcpy(writer_add(w, sizeof wire), &wire, sizeof wire);
	if (wire.form == WIRE_TICKET)
		memcpy(writer_add(w, sizeof ticket), &ticket, sizeof ticket);
}

static void write_item(struct writer *w, struct link *link, struct item *item)
{
	struct wire_memory wire;

	for (uint32_t i = 0; i < item->n_rights; i++) {
		struct right right = { item_ports(item)[i], item->right };

		write_right(w, link, &right);
	}
	if (item->n_rights > 1)
		free(item->ports);
	if (item->kind == ITEM_ARRAY_RIGHTS)
		memory_drop(&item->memory); /* its bytes are names of ours, or nothing */
	if (item->kind != ITEM_MEMORY)
		return;
	wire.size = item->memory.size;
	wire.form = memory_is_lost(&item->memory) ? MEMORY_LOST
		    : bulk_is_large(wire.size)	  ? MEMORY_STREAMED
						  : MEMORY_INLINE;
	memcpy(writer_add(w, sizeof wire), &wire, sizeof wire);
	if (wire.form == MEMORY_LOST)
		return;
	if (wire.form == MEMORY_STREAMED) {
		link_send_memory_locked(link, &item->memory, FRAME_DATA, item->source);
		return;
	}
	if (wire.size)
		memcpy(writer_add(w, wire.size), item->memory.address, wire.size);
	memory_drop(&item->memory);
}

/* ---- messages ----------------------------------------------------------------------------------------------------- */

void outbound_send_locked(struct link *link, uint32_t index, enum urgency urgency, struct message *m)
{
	struct frame_message f = {
		.header.type = FRAME_MESSAGE,
		.index = index,
		.kind = (uint8_t)m->dest.kind,
		.flags = (uint8_t)((m->is_complex ? MESSAGE_IS_COMPLEX : 0) | (m->is_request ? MESSAGE_IS_REQUEST : 0) |
				   (m->accept ? MESSAGE_IS_AWAITED : 0)),
		.bits = MACH_MSGH_BITS_OTHER(m->header.msgh_bits),
		.id = m->header.msgh_id,
		.body_size = m->size - (uint32_t)sizeof m->header,
	};
	struct writer w;

	writer_init(&w);
	(void)writer_add(&w, sizeof f);
	if (m->fd >= 0) {
		f.flags |= MESSAGE_HAS_DESCRIPTOR;
		writer_add_fd(&w, m->fd);
		m->fd = -1;
	}
	write_right(&w, link, &m->reply);
	m->reply.port = NULL;
	if (f.body_size)
		memcpy(writer_add(&w, f.body_size), m->image + sizeof m->header, f.body_size);
	for (uint32_t i = 0; i < m->n_items; i++)
		write_item(&w, link, &m->items[i]);
	m->n_items = 0;
	f.header.size = (uint32_t)w.size;
	memcpy(w.bytes, &f, sizeof f);
	link_send_locked(link, (struct frame *)(void *)w.bytes, urgency, w.fds, w.n_fds);
	writer_deinit(&w);
}

/* The owner will tell when the message has left the queue. */
static void proxy_count_sent_locked(struct proxy *proxy, struct message *m)
{
	struct forced **at = &proxy->forced, *forced;

	proxy->n_sent++;
	if (!m->accept)
		return;
	forced = certain_alloc(sizeof *forced);
	*forced = (struct forced){ NULL, m->accept, proxy->n_sent };
	m->accept = NULL;
	while (*at)
		at = &(*at)->next;
	*at = forced;
}

void outbound_send_to_proxy_locked(struct proxy *proxy, struct message *m)
{
	enum right_kind kind = m->dest.kind;

	if (m->origin)
		message_leave_origin(m); /* the port has moved since it came */
	migrate_move_out_locked(proxy->link, m);
	outbound_send_locked(proxy->link, proxy->index, proxy->is_object ? URGENCY_HIGH : URGENCY_NORMAL, m);
	proxy_count_sent_locked(proxy, m);
	m->dest.port = NULL;
	proxy_use_locked(proxy, kind);
	message_free(m);
}

/* Its destination is a proxy. Returns the link that it went, or will go, by. */
static struct link *transmit_locked(struct message *m)
{
	struct proxy *proxy = m->dest.port->proxy;
	struct link *link = proxy->link;

	if (!migrate_keep_back_locked(m))
		outbound_send_to_proxy_locked(proxy, m);
	return link;
}

void outbound_transmit_admitted_locked(struct after *after)
{
	struct message *first = after->outgoing;
	struct list messages;

	if (!first)
		return;
	after->outgoing = NULL;
	list_init(&messages);
	list_append(&first->port_link, &messages);
	list_for_each(m, &messages, struct message, port_link) {
		list_unlink(&m->port_link);
		(void)transmit_locked(m);
	}
}

/* What does not go into the ring while the sender waits is copied before, too late to refuse it: what he has unmapped meanwhile is
 * zero. */
static void fill_unless_it_leaves_locked(struct message *m)
{
	if (!m->is_unfilled || (port_is_proxy(m->dest.port) && !migrate_keeps_back_locked(m)))
		return;
	lock_drop(&node.lock);
	(void)message_fill(m);
	lock_take(&node.lock);
}

void outbound_transmit(struct message *m)
{
	struct link *behind = NULL;
	bool is_sent = false, is_lent;

	lock_take(&node.lock);
	fill_unless_it_leaves_locked(m);
	is_lent = m->is_unfilled;
	if (port_is_proxy(m->dest.port)) {
		struct link *link = transmit_locked(m);

		is_sent = true;
		/* There is none while nobody knows where the port is. */
		if (__builtin_expect(link && (is_lent || link_is_behind_locked(link)), 0)) {
			behind = link;
			link_ref_locked(behind);
		}
	}
	lock_drop(&node.lock);
	if (!is_sent)
		send_always(m); /* it has died, or has come home */
	if (!behind)
		return;
	if (is_lent)
		link_send_lent(behind);
	link_help(behind);
	lock_take(&node.lock);
	link_unref_locked(behind);
	lock_drop(&node.lock);
}
