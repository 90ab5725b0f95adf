/* SPDX-License-Identifier: MIT */
#include "link/heir.h"

#include <mach/notify.h>
#include <stdlib.h>

#include "kernel/after.h"
#include "kernel/message.h"
#include "kernel/notify.h"
#include "kernel/port.h"
#include "kernel/right.h"
#include "kernel/send.h"
#include "link/export.h"
#include "link/frame.h"
#include "link/link.h"
#include "link/migrate.h"
#include "link/proxy.h"
#include "link/table.h"

/* At X. */
struct heir {
	struct list link;      /* in the heirs of the link to O */
	uint32_t index;	       /* O's, of the port */
	uint32_t limit;	       /* of its queue */
	struct export *notify; /* of ours, O has a send-once right by it */
};

/* ---- the owner ---------------------------------------------------------------------------------------------------- */

static void send_heir(struct export *x, uint32_t notify)
{
	struct frame_heir f = {
		.header = { sizeof f, FRAME_HEIR, 0 },
		.index = x->index,
		.notify = notify,
		.limit = x->told_limit,
	};

	link_send_locked(x->link, &f.header, URGENCY_NONE, NULL, 0);
}

/* Whom to tell: the proxy of the port to be notified, if it is one that stays where it is for now. */
static struct proxy *find_heir_locked(struct port *port)
{
	struct port *notify = NULL;

	lock_take(&port->lock);
	if (!port_is_dead(port) && !port_is_proxy(port) && port->port_destroyed)
		notify = port->port_destroyed->dest.port;
	if (notify && !port_is_proxy(notify))
		notify = NULL;
	lock_drop(&port->lock);
	/* A proxy stays as long as node.lock is held. */
	return notify && !migrate_is_in_limbo(notify) ? notify->proxy : NULL;
}

static void heir_appoint_locked(struct port *port, const struct proxy *notify)
{
	struct export *x = export_of_locked(notify->link, port);

	if (port_is_dead(port)) { /* in this moment, and perhaps too early to tell by this export */
		export_check_unused_locked(x);
		return;
	}
	x->is_heir = true;
	send_heir(x, notify->index);
}

void heir_tell(struct port *port)
{
	struct proxy *notify;
	struct export *next;

	lock_take(&node.lock);
	notify = find_heir_locked(port);
	for (struct export *x = port->exports; x; x = next) {
		next = x->next;
		if (!x->is_heir || (notify && x->link == notify->link))
			continue;
		send_heir(x, INDEX_NONE);
		x->is_heir = false;
		export_check_unused_locked(x);
	}
	if (notify)
		heir_appoint_locked(port, notify);
	lock_drop(&node.lock);
}

/* ---- the heir ----------------------------------------------------------------------------------------------------- */

static void heir_free(struct heir *heir)
{
	list_unlink(&heir->link);
	free(heir);
}

void heir_forget_locked(struct link *from, uint32_t index)
{
	list_for_each(heir, &from->heirs, struct heir, link)
		if (heir->index == index)
			heir_free(heir);
}

void heir_forget_export_locked(const struct export *notify)
{
	list_for_each(heir, &notify->link->heirs, struct heir, link)
		if (heir->notify == notify)
			heir_free(heir);
}

/* Each has a right of its own to notify. */
static uint32_t heirs_by(const struct link *from, const struct export *notify)
{
	uint32_t n = 0;

	list_for_each(heir, &from->heirs, struct heir, link)
		n += heir->notify == notify;
	return n;
}

bool heir_take(struct link *from, const struct frame_heir *f)
{
	struct export *notify;
	struct heir *heir;
	bool ok = true;

	lock_take(&node.lock);
	heir_forget_locked(from, f->index);
	if (f->notify != INDEX_NONE) {
		notify = export_find_locked(from, f->notify);
		ok = notify && notify->onces > heirs_by(from, notify) && f->limit <= UINT16_MAX;
		if (ok) {
			heir = certain_alloc(sizeof *heir);
			*heir = (struct heir){ .index = f->index, .limit = f->limit, .notify = notify };
			list_append(&from->heirs, &heir->link);
		}
	}
	lock_drop(&node.lock);
	return ok;
}

/* Of what is here of the port: our rights, those who wait to send, and relays. */
static struct port *inherit_locked(struct link *link, const struct heir *heir, struct forced **forced)
{
	struct proxy *proxy = proxy_find_locked(link, heir->index);
	struct port *port;

	if (!proxy || proxy->relocation)
		return proxy_new_port(heir->limit);
	port = proxy_come_home_locked(proxy, forced);
	for (struct export *x = port->exports; x; x = x->next)
		export_return_locked(x);
	return port;
}

/* False: there is none left. */
static bool inherit_one(struct link *link)
{
	struct right right = { NULL, RIGHT_NONE };
	struct forced *forced = NULL;
	struct port *port = NULL;
	struct message *notice;
	struct after after;
	struct heir *heir;

	after_init(&after);
	lock_take(&node.lock);
	if (!list_is_empty(&link->heirs)) {
		heir = list_first(&link->heirs, struct heir, link);
		if (export_withdraw_locked(heir->notify, RIGHT_SEND_ONCE, &right)) {
			port = inherit_locked(link, heir, &forced);
			lock_take(&port->lock);
			send_admit_locked(port, &after);
			lock_drop(&port->lock);
		}
		heir_free(heir);
	}
	lock_drop(&node.lock);
	after_run(&after);
	forced_fire_all(forced);
	if (!port)
		return false;
	while (!(notice = notice_new(MACH_NOTIFY_PORT_DESTROYED)))
		;
	notice_arm(notice, &right);
	notify_port_destroyed(notice, port);
	return true;
}

void heir_end_link(struct link *link)
{
	while (inherit_one(link))
		;
}
