/* SPDX-License-Identifier: MIT */
/* Whether a process has nothing under way to other processes or from them, and nothing that waits for them. */
#ifndef SEMANTICS_IDLE_H
#define SEMANTICS_IDLE_H

#include <stdbool.h>

/* Takes in all that has come, be it by the thread that waits for it at the moment. @look: remote_ops.look of the node. */
void node_take_in(void (*look)(bool thoroughly));
/* *moved: a sum of what has gone in and out, which stays the same while nothing does. */
bool node_is_idle(unsigned *moved);
/* No other thread of the process is at work. */
bool process_is_asleep(void);
/* Why not, to stderr. */
void node_print_work(void);

#endif
