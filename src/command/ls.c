/* SPDX-License-Identifier: MIT */
/* portunus ls: the name space of a process. */
#include <string.h>

#include "command.h"
#include "output.h"
#include "view.h"

static const struct column columns[] = {
	{ "task", "TASK", COLUMN_NUMBER, COLOUR_NONE },
	{ "name", "NAME", COLUMN_NUMBER, COLOUR_BOLD },
	{ "type_text", "TYPE", COLUMN_TEXT, COLOUR_CYAN },
	{ "references", "REFS", COLUMN_NUMBER, COLOUR_NONE },
	{ "queue_text", "QUEUE", COLUMN_NUMBER, COLOUR_NONE },
	{ "seqno", "SEQNO", COLUMN_NUMBER, COLOUR_NONE },
	{ "set", "SET", COLUMN_NUMBER, COLOUR_NONE },
	{ "send_rights", "SEND", COLUMN_NUMBER, COLOUR_NONE },
	{ "once_rights", "ONCE", COLUMN_NUMBER, COLOUR_NONE },
	{ "others_text", "OTHER END", COLUMN_TEXT, COLOUR_NONE },
	{ 0 },
};

static error_t parse(int key, char *value, struct argp_state *state)
{
	unsigned long *pid = state->input;

	switch (key) {
	case ARGP_KEY_ARG:
		if (*pid)
			fail(STATUS_USAGE, "\"%s\": one process at a time; portunus ls PID", value);
		*pid = number_of(value, "PID", 1, 0x7fffffff);
		return 0;
	case ARGP_KEY_NO_ARGS:
		fail(STATUS_USAGE, "which process? portunus ls PID; portunus ps lists those there are");
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_child children[] = { OUTPUT_CHILD, { 0 } };

static const struct argp argp = {
	.parser = parse,
	.children = children,
	.args_doc = "PID",
	.doc = "List the names of a process."
	       "\vREFS are user references. QUEUE is messages and limit; of a port of another process, the messages that "
	       "are on their way. SEND and ONCE count the rights that there are to a port of this process. OTHER END is who "
	       "has the receive right, or to whom the rights went: processes, or tasks of the same.",
};

/* ---- the other end */

/* Processes and how many rights they have, in words and for JSON. */
struct others {
	json_object *list;
	char *text;
};

static void others_add_text(struct others *others, const char *text)
{
	char *longer = others->text ? must_print("%s, %s", others->text, text) : must_print("%s", text);

	free(others->text);
	others->text = longer;
}

static json_object *others_add_node(struct others *others, struct view *view, uint64_t id)
{
	const struct node_view *node = view_find_node(view, id);
	json_object *o = json_object_new_object();
	char *text = node ? must_print("%u %s", node->who.pid, view_program(node))
			  : must_print("%u", (unsigned int)(id >> 32));

	if (node)
		json_add_node(o, node);
	else
		json_add_number(o, "pid", id >> 32);
	json_object_array_add(others->list, o);
	others_add_text(others, text);
	free(text);
	return o;
}

static void others_add_task(struct others *others, uint64_t task)
{
	json_object *o = json_object_new_object();
	char *text = must_print("task %llu", (unsigned long long)task);

	json_add_number(o, "task", task);
	json_object_array_add(others->list, o);
	others_add_text(others, text);
	free(text);
}

static const char *object_word(uint32_t object)
{
	static const char *const words[] = { "",       "a task",       "a thread",	 "the host",
					     "a file", "this process", "a kernel object" };

	return object < sizeof words / sizeof *words ? words[object] : "?";
}

/* Who has rights to a port that is received here. */
static void add_holders(struct others *others, struct view *view, const struct node_view *node,
			const struct task_view *task, const portunus_inspect_name_t *name)
{
	for (size_t i = 0; i < task->n_holders; i++) {
		const portunus_inspect_holder_t *h = &task->holders[i];
		json_object *o;

		if (h->port != name->port)
			continue;
		o = others_add_node(others, view, h->holder);
		json_add_number(o, "send_rights", h->n_srights);
		json_add_number(o, "once_rights", h->n_sorights);
	}
	for (size_t i = 0; i < node->n_tasks; i++)
		for (size_t j = 0; j < node->tasks[i].n_names; j++)
			if (&node->tasks[i] != task && node->tasks[i].names[j].port == name->port)
				others_add_task(others, node->tasks[i].task.task);
}

static struct others others_of(struct view *view, const struct node_view *node, const struct task_view *task,
			       const portunus_inspect_name_t *name)
{
	struct others others = { .list = json_object_new_array() };

	if (name->type & MACH_PORT_TYPE_RECEIVE)
		add_holders(&others, view, node, task, name);
	else if (name->place == PORTUNUS_PLACE_NODE)
		others_add_node(&others, view, name->home);
	else if (name->place == PORTUNUS_PLACE_TASK && name->receiver != task->task.task)
		others_add_task(&others, name->receiver);
	else if (name->place == PORTUNUS_PLACE_MESSAGE)
		others_add_text(&others, "in a message");
	if (name->object)
		others_add_text(&others, object_word(name->object));
	return others;
}

/* ---- names */

static const struct {
	mach_port_type_t type;
	const char *word;
} types[] = {
	{ MACH_PORT_TYPE_RECEIVE, "receive" }, { MACH_PORT_TYPE_SEND, "send" },
	{ MACH_PORT_TYPE_SEND_ONCE, "once" },  { MACH_PORT_TYPE_PORT_SET, "set" },
	{ MACH_PORT_TYPE_DEAD_NAME, "dead" },
};

static void add_type(json_object *row, mach_port_type_t type)
{
	json_object *list = json_object_new_array();
	char text[64] = "";

	for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
		if (!(type & types[i].type))
			continue;
		snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s", *text ? "," : "", types[i].word);
		json_object_array_add(list, json_object_new_string(types[i].word));
	}
	json_object_object_add(row, "type", list);
	if (!output_is_json())
		json_add_text(row, "type_text", text);
}

static void add_port(json_object *row, const portunus_inspect_name_t *name)
{
	char *queue = must_print("%u/%u", name->n_queued, name->qlimit);
	bool is_received = name->type & MACH_PORT_TYPE_RECEIVE;

	json_add_number(row, "queued", name->n_queued);
	json_add_number(row, "limit", name->qlimit);
	if (!output_is_json() && (is_received || name->n_queued))
		json_add_text(row, "queue_text", queue);
	free(queue);
	json_add_number(row, "blocked", name->n_blocked);
	json_add_number(row, "messages", name->n_passed);
	json_add_number(row, "bytes", name->passed_bytes);
	if (!is_received)
		return;
	json_add_number(row, "queued_bytes", name->queued_bytes);
	json_add_number(row, "seqno", name->seqno);
	json_add_number(row, "make_send_count", name->mscount);
	json_add_number(row, "send_rights", name->n_srights);
	json_add_number(row, "once_rights", name->n_sorights);
	json_add_flag(row, "no_senders_requested", name->flags & PORTUNUS_HAS_NO_SENDERS);
	json_add_flag(row, "port_destroyed_requested", name->flags & PORTUNUS_HAS_PORT_DESTROYED);
	if (name->set)
		json_add_number(row, "set", name->set);
}

static json_object *row_of(struct view *view, const struct node_view *node, const struct task_view *task,
			   const portunus_inspect_name_t *name)
{
	struct others others = others_of(view, node, task, name);
	json_object *row = json_object_new_object();

	json_add_number(row, "task", task->task.task);
	json_add_number(row, "name", name->name);
	add_type(row, name->type);
	if (name->urefs)
		json_add_number(row, "references", name->urefs);
	if (name->type & MACH_PORT_TYPE_PORT_RIGHTS)
		add_port(row, name);
	if (name->object)
		json_add_text(row, "object", object_word(name->object));
	if (name->type & MACH_PORT_TYPE_RECEIVE)
		json_object_object_add(row, "holders", others.list);
	else
		json_object_object_add(row, "receiver",
				       json_object_array_length(others.list)
					       ? json_object_get(json_object_array_get_idx(others.list, 0))
					       : NULL);
	if (!output_is_json() && others.text)
		json_add_text(row, "others_text", others.text);
	free(others.text);
	return row;
}

static struct node_view *find(struct view *view, unsigned long pid)
{
	struct node_view *node = view_find_pid(view, (uint32_t)pid);

	if (!node)
		fail(STATUS_NOT_THERE,
		     "process %lu has no ports here, or there is none; \"portunus ps\" lists those that have", pid);
	if (view_tasks(node) == KERN_SUCCESS)
		(void)view_names(node);
	if (node->result == KERN_NO_ACCESS)
		fail(STATUS_REFUSED, "process %lu is another user's (%s); only that user and root can look into it",
		     pid, view_user(node));
	if (node->result)
		fail(node->result == MACH_RCV_TIMED_OUT ? STATUS_TIMED_OUT : STATUS_NOT_THERE, "process %lu %s", pid,
		     view_reason(node->result));
	return node;
}

static int run(int argc, char **argv)
{
	struct table *table = table_new(columns);
	struct node_view *node;
	unsigned long pid = 0;
	struct view *view;

	command_parse(&argp, argc, argv, 0, &pid);
	view = view_new();
	node = find(view, pid);
	for (size_t i = 0; i < node->n_tasks; i++)
		for (size_t j = 0; j < node->tasks[i].n_names; j++)
			table_add(table, row_of(view, node, &node->tasks[i], &node->tasks[i].names[j]));
	table_print(table);
	return STATUS_OK;
}

const struct command ls_command = {
	.name = "ls",
	.summary = "list the names of a process",
	.argp = &argp,
	.operand = OPERAND_PID,
	.run = run,
};
