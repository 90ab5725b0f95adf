/* SPDX-License-Identifier: MIT */
#pragma once

/* A server of pipes: objects that hold up to 64 bytes. One thread serves all of them, and never waits for a client. */

#include "io.h"

void pipes_start(void);
/* A send right to a new one. */
io_t pipe_new(void);
/* Its server has had enough of it: the port dies, with whatever was asked. */
void pipe_end(io_t pipe);
