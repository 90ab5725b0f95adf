/* SPDX-License-Identifier: MIT */
#ifndef COMMAND_PROGRAM_H
#define COMMAND_PROGRAM_H

/* A program that is started with rights, and whose end is waited for. */

#include <mach.h>
#include <sys/types.h>

/* Starts @argv with copies of the send rights @ports, and @envp if that is not null. If it cannot, says so and ends the
 * command as a shell would: 127 if there is no such program, 126 if it is none, 125 for other reasons. */
pid_t program_start(char **argv, const mach_port_t *ports, unsigned int n_ports, char **envp);

/* From now on the terminal's signals are the program's affair, and SIGTERM and SIGHUP are passed on. */
void program_pass_signals(pid_t pid);

/* Until it ends, with signals as above. Returns its exit status, or 128 and the number of the signal that ended it. */
int program_wait(pid_t pid);

#endif
