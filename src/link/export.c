/* SPDX-License-Identifier: MIT */
#include "link/export.h"

#include <assert.h>
#include <stdlib.h>
#include <unistd.h>

#include "kernel/kernel.h"
#include "kernel/message.h"
#include "kernel/object.h"
#include "kernel/port.h"
#include "link/frame.h"
#include "link/heir.h"
#include "link/link.h"
#include "link/migrate.h"
#include "link/proxy.h"

/* The one by which new rights are granted. */
struct export *export_lookup_locked(const struct link *link, const struct port *port)
{
	struct export *x = port->exports;

	while (x && (x->link != link || x->moved_ticket || x->is_void))
		x = x->next;
	return x;
}

/* Out of the table; the memory goes now, or with the last message that came through it. The port's lock is held. */
static bool export_is_over_locked(const struct export *x)
{
	return !x->link && x->arrived == x->received && !x->noted.is_listed;
}

/* A message that came through an export which is out of the table counts as one of @x from now on. */
static void export_take_over_locked(struct export *x, struct message *m)
{
	struct export *former = m->origin;

	m->origin = x;
	x->arrived++;
	x->inherited++;
	former->received++;
	if (export_is_over_locked(former)) {
		former->port->n_refs--; /* not the last: there is that of @x */
		spares_put(&node.exports, former);
	}
}

static void export_inherit_locked(struct export *x)
{
	list_for_each(m, &x->port->messages, struct message, port_link)
		if (m->origin && !m->origin->link && m->origin->peer_id == x->peer_id)
			export_take_over_locked(x, m);
	if (x->inherited)
		node_note(&x->noted);
}

static struct export *export_make_locked(struct link *link, struct port *port)
{
	struct export *x = spares_take(&node.exports);

	if (!x)
		x = certain_alloc(sizeof *x);
	lock_assert_held(&node.lock);
	*x = (struct export){ .noted.kind = NOTED_EXPORT, .link = link, .peer_id = link->peer_id, .port = port };
	lock_take(&port->lock);
	port_ref_locked(port);
	export_inherit_locked(x);
	x->told_limit = port->qlimit;
	x->next = port->exports;
	port->exports = x;
	lock_drop(&port->lock);
	return x;
}

struct export *export_new_locked(struct link *link, struct port *port)
{
	struct export *x = export_make_locked(link, port);

	x->index = table_add(&link->exports, x);
	return x;
}

struct export *export_adopt_locked(struct link *link, uint32_t index, struct port *port)
{
	struct export *x = export_make_locked(link, port);

	x->index = index;
	sparse_set(&link->adopted_exports, index, x);
	return x;
}

/* Who may look into this process: the same user, and root. */
struct export *export_node_locked(struct link *link)
{
	if (link->peer.uid != 0 && link->peer.uid != geteuid())
		return NULL;
	return export_adopt_locked(link, INDEX_OF_NODE, kernel_node()->port);
}

struct export *export_of_locked(struct link *link, struct port *port)
{
	struct export *x = export_lookup_locked(link, port);

	return x ? x : export_new_locked(link, port);
}

struct export *export_find_locked(struct link *link, uint32_t index)
{
	return index & INDEX_IS_ADOPTED ? sparse_get(&link->adopted_exports, index) : table_get(&link->exports, index);
}

bool export_has_room_locked(const struct link *link)
{
	return link->exports.n_used + link->adopted_exports.n_used < limits.exports;
}

void export_grant_locked(struct export *x, const struct right *right)
{
	assert(right->port == x->port);
	x->is_given_back = false; /* the other end will know it again */
	if (right->kind == RIGHT_SEND)
		x->sends++;
	else
		x->onces++;
}

bool export_withdraw_locked(struct export *x, enum right_kind kind, struct right *right)
{
	uint32_t *units = kind == RIGHT_SEND ? &x->sends : &x->onces;

	if (*units == 0)
		return false;
	--*units;
	*right = (struct right){ x->port, kind };
	return true;
}

/* A right from nowhere, to a port that the other end holds although no unit says so: it is where the port is now, or is
 * about to be known here as one of its holders. */
static bool export_may_mint(const struct export *x)
{
	return x->is_void || x->is_settling;
}

static void export_mint_locked(struct export *x, enum right_kind kind, struct right *right)
{
	*right = (struct right){ x->port, kind };
	if (port_is_proxy(x->port))
		proxy_mint_locked(x->port->proxy, kind);
	else
		port_add_rights(x->port, kind == RIGHT_SEND, kind == RIGHT_SEND_ONCE);
}

/* A naked send right to what the other end holds send rights to. False: it holds none. */
static bool export_copy_send_locked(struct export *x, struct right *right)
{
	if (x->is_void || (x->is_settling && x->sends == 0)) {
		export_mint_locked(x, RIGHT_SEND, right);
		return true;
	}
	if (x->sends == 0)
		return false;
	*right = (struct right){ x->port, RIGHT_SEND };
	lock_take(&x->port->lock);
	port_copy_send_locked(x->port);
	lock_drop(&x->port->lock);
	return true;
}

static bool export_use_once_locked(struct export *x, struct right *right)
{
	if (x->is_void) {
		export_mint_locked(x, RIGHT_SEND_ONCE, right);
		return true;
	}
	return export_withdraw_locked(x, RIGHT_SEND_ONCE, right);
}

/* A unit less, or one that is owed. */
static bool export_take_unit_locked(struct export *x, enum right_kind kind, struct right *right)
{
	if (export_withdraw_locked(x, kind, right))
		return true;
	if (!export_may_mint(x))
		return false;
	export_mint_locked(x, kind, right);
	x->owed_sends += x->is_settling && kind == RIGHT_SEND;
	x->owed_onces += x->is_settling && kind == RIGHT_SEND_ONCE;
	return true;
}

bool export_take_locked(struct link *from, const struct wire_right *wire, struct right *right)
{
	struct export *x = export_find_locked(from, wire->value);

	if (!x || (wire->kind != RIGHT_SEND && wire->kind != RIGHT_SEND_ONCE))
		return false;
	if (wire->form == WIRE_YOURS)
		return wire->kind == RIGHT_SEND && export_copy_send_locked(x, right);
	if (wire->form != WIRE_YOURS_MOVED || !export_take_unit_locked(x, wire->kind, right))
		return false;
	export_check_unused_locked(x);
	return true;
}

void export_return_locked(struct export *x)
{
	x->is_back = x->moved_ticket != 0;
	x->moved_ticket = 0;
}

static void export_unlink_locked(struct export *x)
{
	struct export **at = &x->port->exports;

	while (*at != x)
		at = &(*at)->next;
	*at = x->next;
	if (x->index & INDEX_IS_ADOPTED)
		sparse_unset(&x->link->adopted_exports, x->index);
	else
		table_remove(&x->link->exports, x->index);
	migrate_forget_export_locked(x);
	heir_forget_export_locked(x);
	x->link = NULL;
	if (port_is_proxy(x->port))
		node_note(&x->port->proxy->noted); /* perhaps that was what it was kept for */
}

void export_leave_locked(struct export *x)
{
	struct port *port = x->port;
	bool is_over;

	lock_take(&port->lock);
	export_unlink_locked(x);
	is_over = export_is_over_locked(x);
	if (is_over)
		port_unlock_unref(port);
	else
		lock_drop(&port->lock);
	if (is_over)
		spares_put(&node.exports, x);
}

static bool export_is_unused(const struct export *x)
{
	return x->sends == 0 && x->onces == 0 && !x->moved_ticket && !x->is_void && !x->is_settling && !x->is_heir;
}

void export_check_unused_locked(struct export *x)
{
	if (export_is_unused(x) && (x->is_given_back || !(x->index & INDEX_IS_ADOPTED)))
		export_leave_locked(x);
}

void export_give_back_locked(struct export *x)
{
	x->is_given_back = true;
	if (port_is_dead(x->port) && !x->moved_ticket && !x->is_void)
		export_discard_locked(x);
	else
		export_check_unused_locked(x);
}

/* The port has died: nobody counts what is held of it. */
void export_discard_locked(struct export *x)
{
	if (!x->is_void) {
		lock_take(&x->port->lock);
		x->port->n_srights -= x->sends;
		x->port->n_sorights -= x->onces;
		x->port->n_refs -= x->sends + x->onces; /* not the last: there is the export's */
		lock_drop(&x->port->lock);
	}
	export_leave_locked(x);
}

struct port *export_end_locked(struct export *x, uint32_t *sends, uint32_t *onces)
{
	struct port *port = x->port;

	*sends = x->is_void ? 0 : x->sends;
	*onces = x->is_void ? 0 : x->onces;
	x->sends = x->onces = 0;
	lock_take(&port->lock);
	port_ref_locked(port);
	lock_drop(&port->lock);
	export_leave_locked(x);
	return port;
}

/* Somebody there wants to be notified of a message; or threads there wait for room, or may do so soon, because all that the
 * limit allows has come. */
static enum urgency export_received_urgency_locked(const struct export *x)
{
	uint32_t n_there = x->arrived - x->told, limit = x->port->qlimit;

	if ((int32_t)(x->awaited - x->told) > 0)
		return URGENCY_HIGH;
	return n_there < limit && !x->is_asked ? URGENCY_NONE : URGENCY_NORMAL;
}

/* Whether the other end is to hear how much room there is: at once if it may be waiting for it, else when half of it has been
 * received. */
static bool export_has_to_tell_locked(const struct export *x)
{
	uint32_t n = x->received - x->told;

	return n > 0 && (export_received_urgency_locked(x) || 2 * n >= x->port->qlimit);
}

static void export_note_arrival_locked(struct export *x, struct message *m, bool is_awaited)
{
	m->origin = x;
	x->arrived++;
	if (is_awaited)
		x->awaited = x->arrived;
	if (export_has_to_tell_locked(x))
		node_note(&x->noted);
}

void export_note_received_locked(struct export *x)
{
	lock_assert_held(&x->port->lock);
	x->received++;
	if (x->link && export_has_to_tell_locked(x)) {
		node_note(&x->noted);
	} else if (export_is_over_locked(x)) {
		x->port->n_refs--; /* not the last: there is the message's */
		free(x);
	}
}

void export_note_limit_locked(struct port *port)
{
	for (struct export *x = port->exports; x; x = x->next)
		node_note(&x->noted);
}

static void export_tell(struct export *x, enum frame_type type, uint32_t number, enum urgency urgency)
{
	struct frame_index f = {
		.header = { sizeof f, (uint16_t)type, 0 },
		.index = x->index,
		.sends = (int32_t)number,
	};

	link_send_locked(x->link, &f.header, urgency, NULL, 0);
}

bool export_take_message_locked(struct export *x, enum right_kind kind, struct message *m, bool is_awaited)
{
	bool is_copy = kind == RIGHT_SEND && x->sends > 0 && !x->is_void, has_moved = port_is_proxy(x->port);

	if (is_copy)
		m->dest = (struct right){ x->port, RIGHT_SEND };
	else if (kind == RIGHT_SEND ? !export_copy_send_locked(x, &m->dest) : !export_use_once_locked(x, &m->dest))
		return false;
	lock_take(&x->port->lock);
	if (is_copy)
		port_copy_send_locked(x->port);
	if (!has_moved)
		export_note_arrival_locked(x, m, is_awaited);
	lock_drop(&x->port->lock);
	if (has_moved)
		export_tell(x, FRAME_RECEIVED, 1, URGENCY_NORMAL); /* and goes on to where it is now */
	export_check_unused_locked(x);
	return true;
}

static uint32_t export_take_untold_locked(struct export *x)
{
	uint32_t n = x->received - x->told;

	x->told = x->received;
	if (n)
		x->is_asked = false;
	return n;
}

void export_answer_locked(struct export *x, bool at_once)
{
	struct frame_index f = { .header = { sizeof f, FRAME_RECEIVED, 0 }, .index = x->index, .onces = at_once };
	uint32_t n;

	lock_take(&x->port->lock);
	n = export_take_untold_locked(x);
	x->is_asked |= n == 0 && !at_once;
	lock_drop(&x->port->lock);
	f.sends = (int32_t)n;
	if (n || at_once)
		link_send_locked(x->link, &f.header, URGENCY_NORMAL, NULL, 0);
}

void export_tell_limit_locked(struct export *x)
{
	export_tell(x, FRAME_LIMIT, x->told_limit, URGENCY_NORMAL);
}

void export_settle_locked(struct export *x)
{
	struct port *port = x->port;
	uint32_t n, n_inherited, limit;
	enum urgency urgency;
	bool is_over;

	lock_take(&port->lock);
	atomic_store(&x->noted.is_listed, false);
	limit = port->qlimit;
	urgency = export_received_urgency_locked(x);
	n = export_take_untold_locked(x);
	n_inherited = x->inherited;
	x->inherited = 0;
	is_over = export_is_over_locked(x);
	if (is_over)
		port_unlock_unref(port);
	else
		lock_drop(&port->lock);
	if (x->link && n_inherited)
		export_tell(x, FRAME_RECEIVED, -n_inherited, URGENCY_NORMAL);
	if (x->link && n)
		export_tell(x, FRAME_RECEIVED, n, urgency);
	if (x->link && limit != x->told_limit) {
		x->told_limit = limit;
		export_tell(x, FRAME_LIMIT, limit, URGENCY_NORMAL);
	}
	if (is_over)
		spares_put(&node.exports, x);
}

void export_tell_death(struct port *port)
{
	lock_take(&node.lock);
	for (struct export *x = port->exports; x; x = x->next)
		export_tell(x, FRAME_DIED, x->moved_ticket != 0, URGENCY_HIGH);
	migrate_note_death_locked(port);
	lock_drop(&node.lock);
}
