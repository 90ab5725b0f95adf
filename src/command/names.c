/* SPDX-License-Identifier: MIT */
/* portunus names: registered names and who holds them. */
#include "command.h"
#include "output.h"
#include "view.h"

static const struct column columns[] = {
	{ "name", "NAME", COLUMN_TEXT, COLOUR_BOLD },
	{ "service", "SERVICE", COLUMN_TEXT, COLOUR_NONE },
	{ "state", "STATE", COLUMN_TEXT, COLOUR_NONE },
	{ "pid", "PID", COLUMN_NUMBER, COLOUR_NONE },
	{ "user", "USER", COLUMN_TEXT, COLOUR_NONE },
	{ "program", "PROGRAM", COLUMN_TEXT, COLOUR_CYAN },
	{ 0 },
};

static error_t parse(int key, char *value, struct argp_state *state)
{
	(void)state;
	if (key != ARGP_KEY_ARG)
		return ARGP_ERR_UNKNOWN;
	fail(STATUS_USAGE, "\"%s\": names takes no arguments; it lists all names", value);
}

static const struct argp_child children[] = { OUTPUT_CHILD, { 0 } };

static const struct argp argp = {
	.parser = parse,
	.children = children,
	.doc = "List registered names, and who has the receive rights of their ports."
	       "\vSERVICE is what knows the name: netname or bootstrap. STATE is active, or kept: the broker has the port "
	       "until somebody checks in for it.",
};

static void add(struct table *table, struct view *view, const struct name_view *name)
{
	const struct node_view *home = view_find_node(view, name->name.home);
	json_object *row = json_object_new_object();

	json_add_text(row, "name", name->name.name);
	json_add_text(row, "service", name->which == NODES_NETNAME ? "netname" : "bootstrap");
	json_add_text(row, "state", name->name.state == NODES_NAME_KEPT ? "kept" : "active");
	if (home)
		json_add_node(row, home);
	table_add(table, row);
}

static int run(int argc, char **argv)
{
	struct table *table = table_new(columns);
	struct name_view *names;
	struct view *view;
	size_t n;

	command_parse(&argp, argc, argv, 0, NULL);
	view = view_new();
	names = view_registered(&n);
	for (size_t i = 0; i < n; i++)
		add(table, view, &names[i]);
	table_print(table);
	return STATUS_OK;
}

const struct command names_command = {
	.name = "names",
	.summary = "list registered names and their holders",
	.argp = &argp,
	.operand = OPERAND_NONE,
	.run = run,
};
