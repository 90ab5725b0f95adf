/* SPDX-License-Identifier: MIT */
#include "inspect/look.h"

#include "kernel/object.h"
#include "kernel/port.h"
#include "kernel/portset.h"
#include "kernel/space.h"
#include "kernel/task.h"
#include "link/export.h"
#include "link/link.h"
#include "link/node.h"
#include "link/proxy.h"

enum { BLOCKED_MAX = 1024 }; /* are counted, of one port */

void look_at_task(struct task *task, portunus_inspect_task_t *record)
{
	struct traffic traffic;

	*record = (portunus_inspect_task_t){ .task = task->id };
	record->n_threads = task_read_traffic(task, &traffic);
	record->n_sent = traffic.n_sent;
	record->sent_bytes = traffic.sent_bytes;
	record->n_received = traffic.n_received;
	record->received_bytes = traffic.received_bytes;
	lock_take(&task->space->lock);
	record->n_names = task->space->n_used;
	lock_drop(&task->space->lock);
}

/* ---- names -------------------------------------------------------------------------------------------------------- */

/* As anybody sees it who looks the name up: a port that has died makes a dead name of it. */
static mach_port_type_t type_of(const struct name *name)
{
	bool has_died = (name->type & MACH_PORT_TYPE_PORT_RIGHTS) && port_is_dead(name->port);

	return has_died ? MACH_PORT_TYPE_DEAD_NAME : name->type;
}

static uint32_t count_blocked_locked(const struct port *port)
{
	uint32_t n = 0;

	for (const struct list *at = port->senders.next; at != &port->senders && n < BLOCKED_MAX; at = at->next)
		n++;
	return n;
}

static void look_at_proxy_locked(const struct proxy *x, portunus_inspect_name_t *record)
{
	record->place = PORTUNUS_PLACE_NODE;
	record->home = x->link->peer_id;
	record->index = x->index;
	if (x->is_file)
		record->object = PORTUNUS_OBJECT_FILE;
	else if (x->is_object)
		record->object = PORTUNUS_OBJECT_OTHER;
}

static uint32_t object_number(enum object_type type)
{
	static const uint32_t numbers[] = {
		[OBJECT_TASK] = PORTUNUS_OBJECT_TASK, [OBJECT_THREAD] = PORTUNUS_OBJECT_THREAD,
		[OBJECT_HOST] = PORTUNUS_OBJECT_HOST, [OBJECT_FILE] = PORTUNUS_OBJECT_FILE,
		[OBJECT_NODE] = PORTUNUS_OBJECT_NODE,
	};

	return numbers[type];
}

static void look_at_place_locked(const struct port *port, portunus_inspect_name_t *record)
{
	record->home = node.id;
	switch (atomic_load_explicit(&port->where, memory_order_relaxed)) {
	case PORT_IN_SPACE:
		record->place = PORTUNUS_PLACE_TASK;
		record->receiver = port->space->task_id;
		break;
	case PORT_IN_MESSAGE:
		record->place = PORTUNUS_PLACE_MESSAGE;
		break;
	case PORT_IN_KERNEL:
		record->place = PORTUNUS_PLACE_KERNEL;
		record->object = object_number(port->object->type);
		break;
	case PORT_IS_PROXY:
		look_at_proxy_locked(port->proxy, record);
		break;
	case PORT_IS_DEAD: /* a moment ago */
		record->type = MACH_PORT_TYPE_DEAD_NAME;
	}
}

static void look_at_port_locked(const struct port *port, portunus_inspect_name_t *record)
{
	record->port = (uintptr_t)port;
	look_at_place_locked(port, record);
	if ((record->type & MACH_PORT_TYPE_RECEIVE) && port->set)
		record->set = atomic_load_explicit(&port->set->name, memory_order_relaxed);
	record->flags = (port->no_senders ? PORTUNUS_HAS_NO_SENDERS : 0) |
			(port->port_destroyed ? PORTUNUS_HAS_PORT_DESTROYED : 0) |
			(port->exports ? PORTUNUS_HAS_HOLDERS : 0);
	record->qlimit = port->qlimit;
	record->n_queued = port->n_queued;
	record->queued_bytes = port->queued_bytes;
	record->seqno = port->seqno;
	record->mscount = port->mscount;
	record->n_srights = port->n_srights;
	record->n_sorights = port->n_sorights;
	record->n_blocked = count_blocked_locked(port);
	record->n_passed = port->n_passed;
	record->passed_bytes = port->passed_bytes;
}

/* A page under way. */
struct page {
	void *records;
	unsigned n, max;
	uint32_t skip,
		reached; /* of holders: of the next port, those that have been listed; and to be skipped next time */
	bool is_full;
};

/* With node.lock, which keeps proxies what they are. */
static void note_name(const struct name *name, void *context)
{
	struct page *page = context;
	portunus_inspect_name_t *record = (portunus_inspect_name_t *)page->records + page->n++;

	*record = (portunus_inspect_name_t){ .name = name->name, .type = type_of(name), .urefs = name->urefs };
	if (!(record->type & MACH_PORT_TYPE_PORT_RIGHTS))
		return;
	lock_take(&name->port->lock);
	look_at_port_locked(name->port, record);
	lock_drop(&name->port->lock);
}

unsigned look_at_names(struct task *task, uint64_t *cursor, portunus_inspect_name_t *records, unsigned max)
{
	struct page page = { .records = records };
	unsigned budget = LOOK_BUDGET;

	lock_take(&task->space->lock);
	lock_take(&node.lock);
	space_walk_locked(task->space, cursor, max, &budget, note_name, &page);
	lock_drop(&node.lock);
	lock_drop(&task->space->lock);
	return page.n;
}

/* ---- holders ------------------------------------------------------------------------------------------------------ */

static void note_holder(struct page *page, const struct name *name, const struct export *x)
{
	((portunus_inspect_holder_t *)page->records)[page->n++] = (portunus_inspect_holder_t){
		.port = (uintptr_t)name->port,
		.holder = x->peer_id,
		.name = name->name,
		.index = x->index,
		.n_srights = x->sends,
		.n_sorights = x->onces,
	};
}

static void note_holders(const struct name *name, void *context)
{
	struct page *page = context;
	const struct export *x;
	uint32_t at = 0;

	if (!(type_of(name) & MACH_PORT_TYPE_RECEIVE))
		return;
	lock_take(&name->port->lock);
	for (x = name->port->exports; x && page->n < page->max; x = x->next)
		if (at++ >= page->skip && x->sends + x->onces > 0)
			note_holder(page, name, x);
	lock_drop(&name->port->lock);
	page->is_full = x != NULL;
	page->reached = at;
}

unsigned look_at_holders(struct task *task, uint64_t *cursor, uint32_t *skip, portunus_inspect_holder_t *records,
			 unsigned max)
{
	struct page page = { .records = records, .max = max, .skip = *skip };
	unsigned budget = LOOK_BUDGET;
	uint64_t before;

	lock_take(&task->space->lock);
	lock_take(&node.lock);
	do {
		before = *cursor;
		space_walk_locked(task->space, cursor, 1, &budget, note_holders, &page);
		page.skip = 0;
	} while (*cursor && !page.is_full && page.n < max && budget);
	lock_drop(&node.lock);
	lock_drop(&task->space->lock);
	*skip = 0;
	if (page.is_full) {
		*cursor = before;
		*skip = page.reached;
	}
	return page.n;
}

/* ---- totals ------------------------------------------------------------------------------------------------------- */

static void add_name(const struct name *name, void *context)
{
	portunus_inspect_totals_t *totals = context;
	mach_port_type_t type = type_of(name);

	totals->n_names++;
	totals->n_sets += (type & MACH_PORT_TYPE_PORT_SET) != 0;
	totals->n_dead += (type & MACH_PORT_TYPE_DEAD_NAME) != 0;
	totals->n_receive += (type & MACH_PORT_TYPE_RECEIVE) != 0;
	totals->n_once += (type & MACH_PORT_TYPE_SEND_ONCE) != 0;
	if (type & MACH_PORT_TYPE_SEND) {
		totals->n_send++;
		totals->send_refs += name->urefs;
	}
	if (!(type & MACH_PORT_TYPE_PORT_RIGHTS))
		return;
	lock_take(&name->port->lock);
	totals->n_blocked += count_blocked_locked(name->port);
	if (type & MACH_PORT_TYPE_RECEIVE) {
		totals->n_queued += name->port->n_queued;
		totals->queued_bytes += name->port->queued_bytes;
	}
	lock_drop(&name->port->lock);
}

void look_at_totals(struct task *task, uint64_t *cursor, portunus_inspect_totals_t *totals)
{
	unsigned budget = LOOK_BUDGET;

	lock_take(&task->space->lock);
	space_walk_locked(task->space, cursor, LOOK_BUDGET, &budget, add_name, totals);
	lock_drop(&task->space->lock);
}
