/* SPDX-License-Identifier: MIT */
#include "relations.h"

#include <stdlib.h>
#include <unistd.h>

#include "command.h"

/* What is to be found quickly while the names are put together. */
struct reading {
	struct view *view;
	struct relations *r;
	bool all;
	uint64_t broker;
	/* By which number a holder knows a port of a home. */
	struct holding {
		uint64_t home, holder, port;
		uint32_t index;
	} * holdings;
	size_t n_holdings;
};

static bool is_wanted(const struct reading *g, const struct node_view *node)
{
	return node->who.pid != (uint32_t)getpid() && (g->all || !node->who.is_broker);
}

/* ---- boxes */

static size_t box_of(struct reading *g, const struct node_view *node, uint64_t id, uint64_t task)
{
	struct relations *r = g->r;

	for (size_t i = 0; i < r->n_boxes; i++)
		if (r->boxes[i].id == id && r->boxes[i].task == task)
			return i;
	r->boxes = must_grow(r->boxes, r->n_boxes + 1, sizeof *r->boxes);
	r->boxes[r->n_boxes] = (struct box){ .node = node, .id = id, .task = task };
	return r->n_boxes++;
}

/* ---- circles */

static int compare_keys(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

static int compare_circles(const void *a, const void *b)
{
	const struct circle *x = a, *y = b;
	int order = compare_keys(x->home, y->home);

	return order ? order : compare_keys(x->port, y->port);
}

/* Once all are there they are sorted. */
static struct circle *circle_find(const struct reading *g, uint64_t home, uint64_t port)
{
	struct circle key = { .home = home, .port = port };

	return bsearch(&key, g->r->circles, g->r->n_circles, sizeof key, compare_circles);
}

static void add_circle(struct reading *g, const struct node_view *node, const struct task_view *task,
		       const portunus_inspect_name_t *name)
{
	struct relations *r = g->r;

	r->circles = must_grow(r->circles, r->n_circles + 1, sizeof *r->circles);
	r->circles[r->n_circles++] = (struct circle){
		.home = node->who.node,
		.port = name->port,
		.receiver = box_of(g, node, node->who.node, task->task.task),
		.n_queued = name->n_queued,
		.qlimit = name->qlimit,
		.n_blocked = name->n_blocked,
	};
}

static void add_holdings(struct reading *g, const struct node_view *node, const struct task_view *task)
{
	g->holdings = must_grow(g->holdings, g->n_holdings + task->n_holders, sizeof *g->holdings);
	for (size_t i = 0; i < task->n_holders; i++) {
		const portunus_inspect_holder_t *h = &task->holders[i];

		g->holdings[g->n_holdings++] = (struct holding){ node->who.node, h->holder, h->port, h->index };
	}
}

static int compare_holdings(const void *a, const void *b)
{
	const struct holding *x = a, *y = b;
	int order = compare_keys(x->home, y->home);

	if (!order)
		order = compare_keys(x->holder, y->holder);
	return order ? order : compare_keys(x->index, y->index);
}

static void read_ports(struct reading *g, const struct node_view *node)
{
	for (size_t i = 0; i < node->n_tasks; i++) {
		const struct task_view *task = &node->tasks[i];

		(void)box_of(g, node, node->who.node, task->task.task);
		for (size_t j = 0; j < task->n_names; j++)
			if (task->names[j].type & MACH_PORT_TYPE_RECEIVE)
				add_circle(g, node, task, &task->names[j]);
		add_holdings(g, node, task);
	}
}

/* ---- arrows */

static struct circle *circle_by_index(const struct reading *g, uint64_t home, uint64_t holder, uint32_t index)
{
	struct holding key = { .home = home, .holder = holder, .index = index };
	const struct holding *found = bsearch(&key, g->holdings, g->n_holdings, sizeof key, compare_holdings);

	return found ? circle_find(g, home, found->port) : NULL;
}

static void add_arrow(struct reading *g, size_t box, const struct circle *circle, enum right kind)
{
	struct relations *r = g->r;

	r->arrows = must_grow(r->arrows, r->n_arrows + 1, sizeof *r->arrows);
	r->arrows[r->n_arrows++] = (struct arrow){ box, (size_t)(circle - r->circles), kind };
}

static void read_right(struct reading *g, const struct node_view *node, size_t box, const portunus_inspect_name_t *name)
{
	const struct circle *circle = NULL;

	if (name->place == PORTUNUS_PLACE_TASK)
		circle = circle_find(g, node->who.node, name->port);
	else if (name->place == PORTUNUS_PLACE_NODE)
		circle = circle_by_index(g, name->home, node->who.node, name->index);
	if (!circle || circle->receiver == box)
		return; /* of a kernel object, or of a process that is not shown; or its own */
	add_arrow(g, box, circle, name->type & MACH_PORT_TYPE_SEND ? RIGHT_SEND : RIGHT_ONCE);
}

static void read_rights(struct reading *g, const struct node_view *node)
{
	for (size_t i = 0; i < node->n_tasks; i++) {
		const struct task_view *task = &node->tasks[i];
		size_t box = box_of(g, node, node->who.node, task->task.task);

		for (size_t j = 0; j < task->n_names; j++)
			if (task->names[j].type & (MACH_PORT_TYPE_SEND | MACH_PORT_TYPE_SEND_ONCE))
				read_right(g, node, box, &task->names[j]);
	}
}

/* ---- all of it */

static void read_registered(struct reading *g, const struct name_view *names, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const nodes_name_t *name = &names[i].name;
		struct circle *circle = name->home == g->broker
						? circle_find(g, name->home, name->port)
						: circle_by_index(g, name->home, g->broker, name->index);

		if (circle) {
			circle->name = name->name;
			circle->is_shown = true;
		}
	}
}

static void count(struct relations *r)
{
	for (size_t i = 0; i < r->n_arrows; i++) {
		struct circle *circle = &r->circles[r->arrows[i].to];

		circle->is_shown = true;
		r->boxes[r->arrows[i].from].n_relations++;
		r->boxes[circle->receiver].n_relations++;
	}
	for (size_t i = 0; i < r->n_circles; i++) {
		r->circles[i].is_shown |= r->circles[i].n_queued > 0;
		r->boxes[r->circles[i].receiver].n_private += !r->circles[i].is_shown;
	}
}

struct relations *relations_read(struct view *view, const struct name_view *names, size_t n_names, bool all)
{
	struct reading g = { .view = view, .r = must_alloc(sizeof *g.r), .all = all };

	view_read_all(view, VIEW_NAMES);
	for (size_t i = 0; i < view->n_nodes; i++) {
		struct node_view *node = &view->nodes[i];

		if (node->who.is_broker)
			g.broker = node->who.node;
		if (is_wanted(&g, node) && !node->result)
			read_ports(&g, node);
	}
	qsort(g.r->circles, g.r->n_circles, sizeof *g.r->circles, compare_circles);
	qsort(g.holdings, g.n_holdings, sizeof *g.holdings, compare_holdings);
	for (size_t i = 0; i < view->n_nodes; i++)
		if (is_wanted(&g, &view->nodes[i]) && !view->nodes[i].result)
			read_rights(&g, &view->nodes[i]);
	read_registered(&g, names, n_names);
	count(g.r);
	free(g.holdings);
	return g.r;
}
