/* SPDX-License-Identifier: MIT */
#ifndef COMMAND_PIPE_H
#define COMMAND_PIPE_H

/* The messages of <portunus/pipe.defs>, which says what they are. */

enum pipe_id {
	PIPE_LINE = 47000,
	PIPE_DATA,
	PIPE_FILE,
	PIPE_DESCRIPTOR,
	PIPE_END,
	PIPE_DESCRIPTOR_ANSWER = PIPE_DESCRIPTOR + 100,
};

#define PIPE_NAME_MAX	256  /* bytes of a name, its final 0 included */
#define PIPE_INLINE_MAX 2048 /* bytes that travel in the message */

#endif
