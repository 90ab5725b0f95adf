/* SPDX-License-Identifier: MIT */
#pragma once

/* Family: a process and the programs that it started with portunus_spawn(). They are linked from the beginning: the child
 * inherits its end of the socket, and the variable says which descriptor that is, under which number it is a node, and who
 * its parent is. The child's export 0 is its task. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct right;

#define FAMILY_VARIABLE "PORTUNUS_PARENT"

/* Makes this process a node, if it is none yet. False with errno. */
bool family_begin(void);
uint64_t family_own_id(void);

/* The parent's side of a child that has been started: takes the socket; on success takes @rights, which the child begins
 * with (kernel/call.h, CALL_TASK_SETUP), and *child is a naked send right to its task. False: no memory or descriptor. */
bool family_adopt(int socket, pid_t pid, uint32_t number, struct right *rights, unsigned n_rights, struct right *child);

/* In a new process, before its first call does anything: if it has a parent, links to it and waits for what it is given. */
void family_join(void);
