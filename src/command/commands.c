/* SPDX-License-Identifier: MIT */
#include "command.h"

/* A new command: a line in each of these two lists, its file in meson.build, and its section in man/portunus.1.scd. */
extern const struct command graph_command, ls_command, names_command, ps_command, top_command, trace_command;
extern const struct command call_command, completion_command, recv_command, run_command, send_command;

const struct command *const commands[] = {
	&ps_command,   &ls_command,   &names_command, &graph_command, &top_command,	   &trace_command,
	&send_command, &recv_command, &call_command,  &run_command,   &completion_command, NULL,
};
