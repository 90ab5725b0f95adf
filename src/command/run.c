/* SPDX-License-Identifier: MIT */
/* portunus run: a program that holds rights to services from its first step. */
#include <mach.h>
#include <portunus/spawn.h>

#include "command.h"
#include "program.h"
#include "service.h"

struct arguments {
	const char *names[PORTUNUS_SPAWN_PORTS_MAX];
	unsigned int n_names;
	char **program;
};

static const struct argp_option options[] = {
	{ "with", 'w', "NAME", 0, "Give it a send right to the service NAME; may be repeated", 0 },
	{ 0 },
};

static error_t parse(int key, char *value, struct argp_state *state)
{
	struct arguments *a = state->input;

	switch (key) {
	case 'w':
		if (a->n_names == PORTUNUS_SPAWN_PORTS_MAX)
			fail(STATUS_USAGE, "a program can be given %d rights at most", PORTUNUS_SPAWN_PORTS_MAX);
		a->names[a->n_names++] = value;
		return 0;
	case ARGP_KEY_ARG:
		a->program = state->argv + state->next - 1;
		state->next = state->argc;
		return 0;
	case ARGP_KEY_NO_ARGS:
		fail(STATUS_USAGE, "which program? portunus run [--with NAME]... -- COMMAND [ARGUMENT...]");
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	.options = options,
	.parser = parse,
	.args_doc = "-- COMMAND [ARGUMENT...]",
	.doc = "Start a program that holds the named rights; it finds them with mach_ports_lookup(), in the order given."
	       "\vThe exit status is the program's, 128+N if signal N ended it; 125 if a right could not be had, 126 if "
	       "COMMAND cannot be run, 127 if there is none.",
};

static int run(int argc, char **argv)
{
	mach_port_t ports[PORTUNUS_SPAWN_PORTS_MAX];
	struct arguments a = { 0 };

	command_parse(&argp, argc, argv, ARGP_IN_ORDER, &a);
	service_fail_with(STATUS_RUN_FAILED);
	for (unsigned int i = 0; i < a.n_names; i++)
		ports[i] = service_look_up(a.names[i]);
	return program_wait(program_start(a.program, ports, a.n_names, NULL));
}

const struct command run_command = {
	.name = "run",
	.summary = "start a program that holds the named rights",
	.argp = &argp,
	.operand = OPERAND_PROGRAM,
	.run = run,
};
