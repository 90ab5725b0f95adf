/* SPDX-License-Identifier: MIT */
/* portunus ps: nodes and tasks. */
#include "command.h"
#include "output.h"
#include "view.h"

static const struct column columns[] = {
	{ "pid", "PID", COLUMN_NUMBER, COLOUR_BOLD },
	{ "user", "USER", COLUMN_TEXT, COLOUR_NONE },
	{ "program", "PROGRAM", COLUMN_TEXT, COLOUR_CYAN },
	{ "task", "TASK", COLUMN_NUMBER, COLOUR_NONE },
	{ "ports", "PORTS", COLUMN_NUMBER, COLOUR_NONE },
	{ "send_rights", "SEND", COLUMN_NUMBER, COLOUR_NONE },
	{ "once_rights", "ONCE", COLUMN_NUMBER, COLOUR_NONE },
	{ "queued", "QUEUED", COLUMN_NUMBER, COLOUR_NONE },
	{ "queued_text", "BYTES", COLUMN_NUMBER, COLOUR_NONE },
	{ "links", "LINKS", COLUMN_NUMBER, COLOUR_NONE },
	{ "memory_text", "MEMORY", COLUMN_NUMBER, COLOUR_NONE },
	{ "note", "", COLUMN_TEXT, COLOUR_DIM },
	{ 0 },
};

static error_t parse(int key, char *value, struct argp_state *state)
{
	(void)state;
	if (key != ARGP_KEY_ARG)
		return ARGP_ERR_UNKNOWN;
	fail(STATUS_USAGE, "\"%s\": ps takes no arguments; portunus ls PID shows one process", value);
}

static const struct argp_child children[] = { OUTPUT_CHILD, { 0 } };

static const struct argp argp = {
	.parser = parse,
	.children = children,
	.doc = "List processes that have ports, and their tasks."
	       "\vPORTS counts receive rights, SEND names of send rights, ONCE send-once rights, QUEUED messages in the queues of "
	       "the task's ports, and BYTES what is in them. MEMORY is the whole process's. Of processes of other users "
	       "only the name can be seen; root sees everything.",
};

/* What is only for people. */
static void add_bytes(json_object *row, const char *key, uint64_t bytes)
{
	char *text = text_of_bytes(bytes);

	if (!output_is_json())
		json_add_text(row, key, text);
	free(text);
}

static void add_task(json_object *row, const struct node_view *node, const struct task_view *task)
{
	const portunus_inspect_totals_t *t = &task->totals;

	json_add_number(row, "task", task->task.task);
	json_add_number(row, "names", t->n_names);
	json_add_number(row, "ports", t->n_receive);
	json_add_number(row, "send_rights", t->n_send);
	json_add_number(row, "send_references", t->send_refs);
	json_add_number(row, "once_rights", t->n_once);
	json_add_number(row, "sets", t->n_sets);
	json_add_number(row, "dead_names", t->n_dead);
	json_add_number(row, "queued", t->n_queued);
	json_add_number(row, "queued_bytes", t->queued_bytes);
	json_add_number(row, "blocked", t->n_blocked);
	json_add_number(row, "threads", task->task.n_threads);
	json_add_number(row, "sent", task->task.n_sent);
	json_add_number(row, "sent_bytes", task->task.sent_bytes);
	json_add_number(row, "received", task->task.n_received);
	json_add_number(row, "received_bytes", task->task.received_bytes);
	json_add_number(row, "links", node->info.n_links);
	json_add_number(row, "memory", node->info.memory);
	add_bytes(row, "queued_text", t->queued_bytes);
	add_bytes(row, "memory_text", node->info.memory);
	if (!output_is_json())
		json_add_text(row, "note", node->who.is_broker ? "the broker" : "");
}

static json_object *row_of(const struct node_view *node)
{
	json_object *row = json_object_new_object();

	json_add_node(row, node);
	json_add_flag(row, "is_broker", node->who.is_broker);
	return row;
}

static void add_node(struct table *table, struct node_view *node)
{
	json_object *row;

	if (node->result) {
		row = row_of(node);
		json_add_text(row, output_is_json() ? "error" : "note", view_reason(node->result));
		table_add(table, row);
		return;
	}
	for (size_t i = 0; i < node->n_tasks; i++) {
		row = row_of(node);
		add_task(row, node, &node->tasks[i]);
		table_add(table, row);
	}
}

static int run(int argc, char **argv)
{
	struct table *table = table_new(columns);
	struct view *view;

	command_parse(&argp, argc, argv, 0, NULL);
	view = view_new();
	view_read_all(view, VIEW_TOTALS);
	for (size_t i = 0; i < view->n_nodes; i++)
		add_node(table, &view->nodes[i]);
	table_print(table);
	return STATUS_OK;
}

const struct command ps_command = {
	.name = "ps",
	.summary = "list processes with ports, and their tasks",
	.argp = &argp,
	.operand = OPERAND_NONE,
	.run = run,
};
