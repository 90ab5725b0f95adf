/* SPDX-License-Identifier: MIT */
#pragma once

/* A worker: a thread that gets lines of text by message and answers each with the line in capitals. */

#include <mach.h>

#define LINE_MAX_SIZE 120 /* bytes, with the null at the end */

struct line_message {
	mach_msg_header_t header;
	mach_msg_type_t type;
	char text[LINE_MAX_SIZE];
};

/* Starts it; a send right to it. It ends when nobody can send to it any more. */
mach_port_t worker_start(void);
/* Asks for an answer, which goes to @reply. */
void worker_ask(mach_port_t worker, mach_port_t reply, const char *line);
/* Takes an answer that has come; 0: there is none. */
int worker_take_answer(mach_port_t reply, struct line_message *answer);
