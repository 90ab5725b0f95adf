/* SPDX-License-Identifier: MIT */
#ifndef COMMAND_VIEW_H
#define COMMAND_VIEW_H

/* What there is to be seen: nodes, their tasks and names, and who holds what, read by <servers/nodes.defs> and
 * <portunus/inspect.defs>. What is read together is of nearly the same time, not of one moment; processes may go meanwhile. */

#include <json.h>
#include <mach.h>
#include <portunus/inspect_types.h>
#include <servers/nodes_types.h>
#include <stdbool.h>
#include <stddef.h>

struct task_view {
	portunus_inspect_task_t task;
	portunus_inspect_totals_t totals;
	portunus_inspect_name_t *names; /* once view_names() has been called */
	size_t n_names;
	portunus_inspect_holder_t *holders;
	size_t n_holders;
};

struct node_view {
	nodes_node_t who;
	mach_port_t port;     /* MACH_PORT_NULL: it was refused, or did not come */
	kern_return_t result; /* why */
	portunus_inspect_node_t info;
	struct task_view *tasks;
	size_t n_tasks;
};

struct view {
	struct node_view *nodes; /* in the order of their pids */
	size_t n_nodes;
};

/* All nodes that the broker knows, this process among them; nothing of them has been read. Ends the command if there is no
 * broker. */
struct view *view_new(void);
void view_free(struct view *view);

/* The node of that process, or with that id; NULL: none. */
struct node_view *view_find_pid(struct view *view, uint32_t pid);
struct node_view *view_find_node(struct view *view, uint64_t node);
/* What it is called; owned by the view. "?" if nobody says. */
const char *view_program(const struct node_view *node);
const char *view_user(const struct node_view *node);

/* All three are KERN_SUCCESS, or why it cannot be read, which is in node->result from then on. */
kern_return_t view_tasks(struct node_view *node);  /* and the node itself */
kern_return_t view_totals(struct node_view *node); /* after view_tasks() */
kern_return_t view_names(struct node_view *node);  /* likewise: names and holders */

/* Reads all nodes at once, so that those that do not answer are waited for together, not one after the other. What could not be
 * read is in node->result. */
enum view_depth { VIEW_TOTALS, VIEW_NAMES };
void view_read_all(struct view *view, enum view_depth depth);

/* Why a node cannot be read, in a few words. */
const char *view_reason(kern_return_t result);

/* One name of the broker's tables. */
struct name_view {
	nodes_name_t name;
	int which; /* NODES_NETNAME, NODES_BOOTSTRAP */
};

/* All names, sorted; *n of them, for the caller to free. */
struct name_view *view_registered(size_t *n);

/* ---- for JSON */

void json_add_text(json_object *o, const char *key, const char *text);
void json_add_number(json_object *o, const char *key, uint64_t number);
void json_add_flag(json_object *o, const char *key, bool flag);
/* pid, uid, user, program */
void json_add_node(json_object *o, const struct node_view *node);

/* A number of bytes for people: "1.2M". Owned by the caller. */
char *text_of_bytes(uint64_t bytes);

#endif
