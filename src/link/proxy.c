/* SPDX-License-Identifier: MIT */
#include "link/proxy.h"

#include <assert.h>
#include <stdlib.h>
#include <time.h>

#include "kernel/accept.h"
#include "kernel/after.h"
#include "kernel/port.h"
#include "kernel/send.h"
#include "link/frame.h"
#include "link/link.h"

struct proxy *proxy_find_locked(struct link *link, uint32_t index)
{
	lock_assert_held(&node.lock);
	return table_get(&link->proxies, index);
}

static struct port *proxy_new_port(uint32_t limit)
{
	static const struct timespec pause = { .tv_nsec = 1000000 };
	struct port *port;

	while (!(port = port_new()))
		nanosleep(&pause, NULL);
	port->qlimit = limit;
	return port;
}

struct proxy *proxy_of_locked(struct link *link, uint32_t index, uint32_t limit)
{
	struct proxy *x = proxy_find_locked(link, index);

	if (x || index >= LINK_MAX_EXPORTS)
		return x;
	x = certain_alloc(sizeof *x);
	*x = (struct proxy){ .noted.kind = NOTED_PROXY, .link = link, .port = proxy_new_port(limit), .index = index };
	table_set(&link->proxies, index, x);
	lock_take(&x->port->lock);
	port_become_proxy_locked(x->port, x);
	lock_drop(&x->port->lock);
	return x;
}

void proxy_receive_unit_locked(struct proxy *x, enum right_kind kind, struct right *right)
{
	struct port *port = x->port;

	*right = (struct right){ port, kind };
	lock_take(&port->lock);
	port_ref_locked(port);
	if (kind == RIGHT_SEND) {
		port->n_srights++;
		x->told_sends++;
	} else {
		port->n_sorights++;
		x->told_onces++;
	}
	lock_drop(&port->lock);
}

/* What is here differs from what the owner believes, or nothing is left. The port's lock is held. */
static bool proxy_is_unsettled_locked(const struct proxy *x)
{
	const struct port *port = x->port;

	return port->n_srights != x->told_sends || port->n_sorights != x->told_onces ||
	       port->n_srights + port->n_sorights == 0;
}

void proxy_note_count_locked(struct port *port)
{
	node_note(&port->proxy->noted);
}

bool proxy_give_locked(struct proxy *x, const struct right *right)
{
	struct port *port = x->port;
	bool has_unit = true;

	lock_take(&port->lock);
	port->n_refs--; /* not the last: there is ours */
	if (right->kind == RIGHT_SEND) {
		has_unit = x->told_sends > --port->n_srights;
		x->told_sends -= has_unit;
	} else {
		port->n_sorights--;
		x->told_onces--;
	}
	if (proxy_is_unsettled_locked(x))
		node_note(&x->noted);
	lock_drop(&port->lock);
	return has_unit;
}

void proxy_use_locked(struct proxy *x, enum right_kind kind)
{
	struct port *port = x->port;

	lock_take(&port->lock);
	port->n_refs--;
	if (kind == RIGHT_SEND) {
		port->n_srights--;
	} else {
		port->n_sorights--;
		x->told_onces--;
	}
	if (proxy_is_unsettled_locked(x))
		node_note(&x->noted);
	lock_drop(&port->lock);
}

/* Out of the table. The memory goes, unless it is noted. */
static void proxy_leave_locked(struct proxy *x)
{
	table_unset(&x->link->proxies, x->index);
	x->link = NULL;
	if (x->noted.is_listed)
		x->noted.is_condemned = true;
	else
		free(x);
}

static void proxy_tell_counts(struct proxy *x, int64_t sends, int64_t onces)
{
	struct frame_index f = {
		.header = { sizeof f, FRAME_COUNT, 0 },
		.index = x->index,
		.sends = (int32_t)sends,
		.onces = (int32_t)onces,
	};

	if (sends || onces)
		link_send_locked(x->link, &f.header, true, NULL, 0);
}

void proxy_settle_locked(struct proxy *x)
{
	struct port *port = x->port;
	int64_t sends, onces;
	bool is_unused;

	if (x->noted.is_condemned) {
		free(x);
		return;
	}
	lock_take(&port->lock);
	atomic_store(&x->noted.is_listed, false);
	sends = (int64_t)port->n_srights - x->told_sends;
	onces = (int64_t)port->n_sorights - x->told_onces;
	x->told_sends = port->n_srights;
	x->told_onces = port->n_sorights;
	is_unused = port->n_srights + port->n_sorights == 0 && !x->relocation;
	if (is_unused)
		port_end_proxy_locked(port);
	lock_drop(&port->lock);
	proxy_tell_counts(x, sends, onces);
	if (is_unused) {
		assert(!x->forced);
		proxy_leave_locked(x);
		port_unref(port);
	}
}

/* Requests whose message is among the first @n_received. */
static struct forced *proxy_take_accepted_locked(struct proxy *x)
{
	struct forced *first = x->forced, **at = &x->forced;

	while (*at && (int32_t)((*at)->number - x->n_received) <= 0)
		at = &(*at)->next;
	if (at == &x->forced)
		return NULL;
	x->forced = *at;
	*at = NULL;
	return first;
}

void proxy_note_received_locked(struct proxy *x, uint32_t n, struct after *after, struct forced **accepted)
{
	struct port *port = x->port;

	lock_take(&port->lock);
	if (n > port->n_queued)
		n = port->n_queued;
	port->n_queued -= n;
	x->n_received += n;
	*accepted = proxy_take_accepted_locked(x);
	send_admit_locked(port, after);
	lock_drop(&port->lock);
}

void forced_fire_all(struct forced *forced)
{
	while (forced) {
		struct forced *next = forced->next;

		accept_request_fire(forced->request);
		free(forced);
		forced = next;
	}
}

struct port *proxy_end_locked(struct proxy *x, struct forced **forced)
{
	struct port *port = x->port;

	*forced = x->forced;
	proxy_tell_counts(x, -(int64_t)x->told_sends, -(int64_t)x->told_onces);
	lock_take(&port->lock);
	port_cease_proxy_locked(port);
	proxy_leave_locked(x);
	lock_drop(&port->lock);
	return port;
}
