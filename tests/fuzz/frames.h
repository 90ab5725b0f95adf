/* SPDX-License-Identifier: MIT */
/* Frames as an input describes them: mostly of a right form, about small numbers, which are those that there are. */
#ifndef TESTS_FUZZ_FRAMES_H
#define TESTS_FUZZ_FRAMES_H

#include "hostile/wire.h"
#include "input.h"

enum { FRAMES_NODES = 8 };

/* Which nodes there are to speak of. */
struct frames_world {
	uint64_t nodes[FRAMES_NODES];
};

/* A frame of that type, its size set. */
void frame_build(struct writing *w, struct input *in, const struct frames_world *world, enum frame_type type);
/* Bytes of the input's choice. */
void frame_build_raw(struct writing *w, struct input *in);

#endif
