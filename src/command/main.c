/* SPDX-License-Identifier: MIT */
/* portunus(1): finds the subcommand, and leaves the rest to it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "output.h"

const char *argp_program_version = "portunus (Portunus) " PORTUNUS_VERSION;

/* The list of commands stands at the end of the help. Owned by argp. */
static char *list_commands(int key, const char *text, void *input)
{
	char *list = NULL;
	size_t size;
	FILE *to;

	(void)input;
	if (key != ARGP_KEY_HELP_POST_DOC)
		return (char *)text;
	to = open_memstream(&list, &size);
	if (!to)
		return NULL;
	fputs("Commands:\n", to);
	for (const struct command *const *c = commands; *c; c++)
		fprintf(to, "  %-12s%s\n", (*c)->name, (*c)->summary);
	fputs("\n\"portunus COMMAND --help\" tells of each, portunus(1) of all.", to);
	fclose(to);
	return list;
}

static error_t parse(int key, char *word, struct argp_state *state)
{
	char ***rest = state->input;

	switch (key) {
	case ARGP_KEY_ARG:
		(void)word;
		*rest = state->argv + state->next - 1;
		state->next = state->argc; /* all that follows is the subcommand's */
		return 0;
	case ARGP_KEY_NO_ARGS:
		fail(STATUS_USAGE, "no command; \"portunus --help\" lists them");
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	.parser = parse,
	.args_doc = "COMMAND [ARGUMENT...]",
	.doc = "See, trace and use Mach ports from a shell.\v ",
	.help_filter = list_commands,
};

int main(int argc, char **argv)
{
	const struct command *command;
	char **rest = NULL;
	int status;

	argp_err_exit_status = STATUS_USAGE;
	command_set_name("portunus");
	output_init();
	command_parse(&argp, argc, argv, ARGP_IN_ORDER, &rest);
	if (!rest)
		return STATUS_USAGE;
	command = command_find(*rest);
	if (!command)
		fail(STATUS_USAGE, "there is no command \"%s\"; \"portunus --help\" lists them", *rest);
	*rest = must_print("portunus %s", command->name);
	command_set_name(*rest);
	status = command->run(argc - (int)(rest - argv), rest);
	output_flush();
	return status;
}
