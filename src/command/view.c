/* SPDX-License-Identifier: MIT */
#include "view.h"

#include <mach_error.h>
#include <pthread.h>
#include <pwd.h>
#include <servers/netname.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "inspect_user.h"
#include "nodes_user.h"
#include "output.h"
#include "service.h"

/* How many records a stub may put into a page: it wants to be told, and says how many it has put there. */
#define ROOM_OF(page) ((mach_msg_type_number_t)(sizeof(page) / sizeof *(page)))

/* A list of records that grows by pages. */
static void *append(void *list, size_t *n, size_t size, const void *page, size_t n_page)
{
	list = must_grow(list, *n + n_page, size);
	memcpy((char *)list + *n * size, page, n_page * size);
	*n += n_page;
	return list;
}

/* ---- nodes */

static int compare_nodes(const void *a, const void *b)
{
	uint64_t x = ((const struct node_view *)a)->who.node, y = ((const struct node_view *)b)->who.node;

	return x < y ? -1 : x > y;
}

static void __attribute__((noreturn)) broker_failed(kern_return_t kr)
{
	if (kr == MIG_BAD_ID)
		fail(STATUS_FAILED, "the broker is of a version that does not tell of its nodes; restart it");
	if (kr == MIG_SERVER_DIED || kr == MACH_SEND_INVALID_DEST)
		fail(STATUS_NO_BROKER, "no broker listens any more: it ended while it was asked; try again");
	if (kr == MACH_RCV_TIMED_OUT)
		fail(STATUS_FAILED, "the broker does not answer; is it stopped?");
	fail_result(kr, "the broker");
}

struct view *view_new(void)
{
	struct view *view = must_alloc(sizeof *view);
	mach_msg_type_number_t n;
	nodes_nodes_t page;
	uint64_t after = 0;
	kern_return_t kr;

	service_need_broker();
	while (n = ROOM_OF(page), (kr = nodes_list(name_server_port, after, page, &n)) == KERN_SUCCESS && n > 0) {
		after = page[n - 1].node;
		view->nodes = must_grow(view->nodes, view->n_nodes + n, sizeof *view->nodes);
		for (unsigned int i = 0; i < n; i++)
			view->nodes[view->n_nodes++] = (struct node_view){ .who = page[i] };
	}
	if (kr)
		broker_failed(kr);
	qsort(view->nodes, view->n_nodes, sizeof *view->nodes, compare_nodes);
	return view;
}

static void forget_tasks(struct node_view *node)
{
	for (size_t i = 0; i < node->n_tasks; i++) {
		free(node->tasks[i].names);
		free(node->tasks[i].holders);
	}
	free(node->tasks);
	node->tasks = NULL;
	node->n_tasks = 0;
}

void view_free(struct view *view)
{
	for (size_t i = 0; i < view->n_nodes; i++) {
		struct node_view *node = &view->nodes[i];

		forget_tasks(node);
		if (MACH_PORT_VALID(node->port))
			mach_port_deallocate(mach_task_self(), node->port);
	}
	free(view->nodes);
	free(view);
}

/* A pid may have been used twice, by a node that has just ended and a new one: the last is meant. */
struct node_view *view_find_pid(struct view *view, uint32_t pid)
{
	for (size_t i = view->n_nodes; i-- > 0;)
		if (view->nodes[i].who.pid == pid)
			return &view->nodes[i];
	return NULL;
}

struct node_view *view_find_node(struct view *view, uint64_t node)
{
	struct node_view key = { .who.node = node };

	return bsearch(&key, view->nodes, view->n_nodes, sizeof key, compare_nodes);
}

const char *view_program(const struct node_view *node)
{
	if (node->info.program[0])
		return node->info.program;
	return node->who.program[0] ? node->who.program : "?";
}

const char *view_user(const struct node_view *node)
{
	static char number[16];
	const struct passwd *user = getpwuid(node->who.uid);

	if (user)
		return user->pw_name;
	snprintf(number, sizeof number, "%u", node->who.uid);
	return number;
}

const char *view_reason(kern_return_t result)
{
	switch (result) {
	case KERN_NO_ACCESS:
		return "another user's";
	case KERN_INVALID_ARGUMENT:
	case MACH_SEND_INVALID_DEST:
	case MIG_SERVER_DIED:
		return "has ended";
	case MACH_RCV_TIMED_OUT:
		return "does not answer; it may be stopped";
	case MIG_BAD_ID:
		return "its version of Portunus cannot be looked into";
	default:
		return mach_error_string(result);
	}
}

/* ---- what is in a node */

static kern_return_t node_fails(struct node_view *node, kern_return_t kr)
{
	if (kr)
		node->result = kr;
	return kr;
}

static kern_return_t need_port(struct node_view *node)
{
	kern_return_t kr;

	if (node->result || node->port)
		return node->result;
	kr = nodes_port(name_server_port, node->who.node, &node->port);
	if (!kr && !MACH_PORT_VALID(node->port))
		kr = MIG_SERVER_DIED;
	return node_fails(node, kr);
}

kern_return_t view_tasks(struct node_view *node)
{
	portunus_inspect_tasks_t page;
	mach_msg_type_number_t n;
	uint64_t after = 0;
	kern_return_t kr = need_port(node);

	if (kr || (kr = portunus_inspect_node(node->port, &node->info)))
		return node_fails(node, kr);
	forget_tasks(node);
	while (n = ROOM_OF(page), (kr = portunus_inspect_tasks(node->port, after, page, &n)) == KERN_SUCCESS && n > 0) {
		after = page[n - 1].task;
		node->tasks = must_grow(node->tasks, node->n_tasks + n, sizeof *node->tasks);
		for (unsigned int i = 0; i < n; i++)
			node->tasks[node->n_tasks++] = (struct task_view){ .task = page[i] };
	}
	return node_fails(node, kr);
}

static void add_totals(portunus_inspect_totals_t *sum, const portunus_inspect_totals_t *part)
{
	sum->n_names += part->n_names;
	sum->n_sets += part->n_sets;
	sum->n_dead += part->n_dead;
	sum->n_receive += part->n_receive;
	sum->n_send += part->n_send;
	sum->n_once += part->n_once;
	sum->send_refs += part->send_refs;
	sum->n_queued += part->n_queued;
	sum->queued_bytes += part->queued_bytes;
	sum->n_blocked += part->n_blocked;
}

/* A task that has ended meanwhile is no failure. */
static kern_return_t unless_ended(kern_return_t kr)
{
	return kr == KERN_INVALID_TASK ? KERN_SUCCESS : kr;
}

static kern_return_t read_totals(mach_port_t port, struct task_view *task)
{
	portunus_inspect_totals_t part;
	uint64_t cursor = 0;
	kern_return_t kr;

	do {
		kr = portunus_inspect_totals(port, task->task.task, &cursor, &part);
		if (kr)
			return unless_ended(kr);
		add_totals(&task->totals, &part);
	} while (cursor);
	return KERN_SUCCESS;
}

kern_return_t view_totals(struct node_view *node)
{
	for (size_t i = 0; i < node->n_tasks && !node->result; i++)
		node_fails(node, read_totals(node->port, &node->tasks[i]));
	return node->result;
}

static int compare_names(const void *a, const void *b)
{
	uint32_t x = ((const portunus_inspect_name_t *)a)->name, y = ((const portunus_inspect_name_t *)b)->name;

	return x < y ? -1 : x > y;
}

static kern_return_t read_names(mach_port_t port, struct task_view *task)
{
	portunus_inspect_names_t page;
	mach_msg_type_number_t n;
	uint64_t cursor = 0;
	kern_return_t kr;

	do {
		n = ROOM_OF(page);
		kr = portunus_inspect_names(port, task->task.task, &cursor, page, &n);
		if (kr)
			return unless_ended(kr);
		task->names = append(task->names, &task->n_names, sizeof *page, page, n);
	} while (cursor);
	qsort(task->names, task->n_names, sizeof *task->names, compare_names);
	return KERN_SUCCESS;
}

static kern_return_t read_holders(mach_port_t port, struct task_view *task)
{
	portunus_inspect_holders_t page;
	mach_msg_type_number_t n;
	uint64_t cursor = 0;
	uint32_t from = 0;
	kern_return_t kr;

	do {
		n = ROOM_OF(page);
		kr = portunus_inspect_holders(port, task->task.task, &cursor, &from, page, &n);
		if (kr)
			return unless_ended(kr);
		task->holders = append(task->holders, &task->n_holders, sizeof *page, page, n);
	} while (cursor || from);
	return KERN_SUCCESS;
}

kern_return_t view_names(struct node_view *node)
{
	for (size_t i = 0; i < node->n_tasks && !node->result; i++)
		if (!node_fails(node, read_names(node->port, &node->tasks[i])))
			node_fails(node, read_holders(node->port, &node->tasks[i]));
	return node->result;
}

/* ---- all nodes at once */

enum { READERS_MAX = 1024, READER_STACK = 256 * 1024 };

/* Nodes are taken from a list until there is none left. */
struct reading {
	struct view *view;
	enum view_depth depth;
	atomic_size_t next;
};

static void *read_nodes(void *context)
{
	struct reading *r = context;
	size_t i;

	while ((i = atomic_fetch_add(&r->next, 1)) < r->view->n_nodes) {
		struct node_view *node = &r->view->nodes[i];

		if (view_tasks(node) == KERN_SUCCESS)
			(void)(r->depth == VIEW_NAMES ? view_names(node) : view_totals(node));
	}
	return NULL;
}

/* A thread for each: most of their time they wait. What they cannot be started for, this one does. */
void view_read_all(struct view *view, enum view_depth depth)
{
	struct reading r = { .view = view, .depth = depth };
	size_t n = 0, wanted = view->n_nodes < READERS_MAX ? view->n_nodes : READERS_MAX;
	pthread_t *readers = must_alloc((wanted + 1) * sizeof *readers);
	pthread_attr_t small;

	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, READER_STACK);
	while (n + 1 < wanted && pthread_create(&readers[n], &small, read_nodes, &r) == 0)
		n++;
	(void)read_nodes(&r);
	while (n > 0)
		pthread_join(readers[--n], NULL);
	pthread_attr_destroy(&small);
	free(readers);
}

/* ---- registered names */

static int compare_registered(const void *a, const void *b)
{
	const struct name_view *x = a, *y = b;
	int order = strcmp(x->name.name, y->name.name);

	return order ? order : x->which - y->which;
}

struct name_view *view_registered(size_t *n)
{
	struct name_view *list = NULL;
	mach_msg_type_number_t n_page;
	nodes_names_t page;
	kern_return_t kr;

	*n = 0;
	service_need_broker();
	for (int which = NODES_NETNAME; which <= NODES_BOOTSTRAP; which++) {
		uint64_t cursor = 0;

		do {
			n_page = ROOM_OF(page);
			kr = nodes_names(name_server_port, which, &cursor, page, &n_page);
			if (kr)
				broker_failed(kr);
			list = must_grow(list, *n + n_page, sizeof *list);
			for (unsigned int i = 0; i < n_page; i++)
				list[(*n)++] = (struct name_view){ page[i], which };
		} while (cursor);
	}
	qsort(list, *n, sizeof *list, compare_registered);
	return list;
}

/* ---- for JSON */

void json_add_text(json_object *o, const char *key, const char *text)
{
	json_object_object_add(o, key, json_text(text, strlen(text)));
}

void json_add_number(json_object *o, const char *key, uint64_t number)
{
	json_object_object_add(o, key, json_object_new_uint64(number));
}

void json_add_flag(json_object *o, const char *key, bool flag)
{
	json_object_object_add(o, key, json_object_new_boolean(flag));
}

void json_add_node(json_object *o, const struct node_view *node)
{
	json_add_number(o, "pid", node->who.pid);
	json_add_number(o, "uid", node->who.uid);
	json_add_text(o, "user", view_user(node));
	json_add_text(o, "program", view_program(node));
}

char *text_of_bytes(uint64_t bytes)
{
	static const char units[] = "KMGTPE";
	double value = (double)bytes;
	int unit = -1;

	while (value >= 1000 && units[unit + 1]) {
		value /= 1024;
		unit++;
	}
	if (unit < 0)
		return must_print("%llu", (unsigned long long)bytes);
	return must_print(value < 10 ? "%.1f%c" : "%.0f%c", value, units[unit]);
}
