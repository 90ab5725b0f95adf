/* SPDX-License-Identifier: MIT */
/* A worker: a process of its own in which one side of a comparison lives, and does as many operations as it is told. */
#ifndef BENCH_WORKER_H
#define BENCH_WORKER_H

#include "bench.h"

#include <sys/types.h>

/* A worker answers each count of operations with one struct turn. The first answer comes unasked: it is open. */
struct turn {
	double seconds; /* what run() said */
	double wall;	/* what the whole run took, unmeasured parts included */
	double figures[FIGURES_MAX];
};

struct worker {
	const struct side *side;
	void *context; /* solo: the side runs here */
	pid_t pid;     /* else it runs there, 0 if it does not */
	int socket;
};

/* All but the last return false if the worker fell silent. */
bool worker_start(struct worker *w, const struct side *side);
bool worker_turn(struct worker *w, uint64_t n, struct turn *t);
/* Finds how many operations make one turn long enough to measure; fixed, if that is not 0. */
bool worker_calibrate(struct worker *w, uint64_t fixed, uint64_t *n);
/* Says whether the side came to its end in good order. One that fell silent is not alive, and is killed. */
bool worker_stop(struct worker *w, bool alive);

#endif
