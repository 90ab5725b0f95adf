/* SPDX-License-Identifier: MIT */
#ifndef COMMAND_SAMPLE_H
#define COMMAND_SAMPLE_H

/* What top shows: one line for each task, or each port, with how fast its counters have grown since the sample before. */

#include <stddef.h>
#include <stdint.h>

enum sample_kind { SAMPLE_TASKS, SAMPLE_PORTS };

enum { SAMPLE_RATES = 4, SAMPLE_LEVELS = 3 };

struct line {
	uint64_t node, key;   /* which task or port */
	uint32_t pid, number; /* number: of the task, or the name of the receive right */
	char program[32];
	uint64_t counters
		[SAMPLE_RATES]; /* tasks: messages sent and received, bytes sent and received; ports: messages, bytes */
	double rates[SAMPLE_RATES];	/* of them, in a second */
	uint64_t levels[SAMPLE_LEVELS]; /* tasks: queued, blocked, ports; ports: queued, limit, blocked */
};

struct sample {
	enum sample_kind kind;
	struct line *lines; /* in the order of their nodes and keys */
	size_t n;
	double time;
	unsigned int n_unread; /* processes that could not be looked into */
};

/* Ends the command if there is no broker any more. @before: NULL, or one of the same kind. */
struct sample *sample_take(enum sample_kind kind, const struct sample *before);
void sample_free(struct sample *sample);

#endif
