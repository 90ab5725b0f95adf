/* SPDX-License-Identifier: MIT */
/* A program as an input describes it: sends, receives, and changes of its rights, all without waiting, in the task that the
 * thread is in. */
#ifndef TESTS_FUZZ_PROGRAM_H
#define TESTS_FUZZ_PROGRAM_H

#include <mach/port.h>

#include "input.h"

enum {
	FIRST_NAME = 0x1001, /* three receive rights, a set, a dead name and a send-once right follow each other */
};

/* What it begins with. */
void program_begin(void);
/* What comes next in the input. */
void program_step(struct input *in);

/* Mostly names that it has, and dispositions that there are. */
mach_port_name_t program_take_name(struct input *in);
unsigned program_take_disposition(struct input *in);

#endif
