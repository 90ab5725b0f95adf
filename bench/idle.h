/* SPDX-License-Identifier: MIT */
/* What a client costs that is there and does nothing. */
#ifndef BENCH_IDLE_H
#define BENCH_IDLE_H

#include "clients.h"

enum idle_figure {
	IDLE_SERVER_BYTES, /* memory that is nobody else's, and a share of what is shared; for each client */
	IDLE_CLIENT_BYTES, /* the same in a client, beyond what it would have without the server */
	IDLE_SERVER_FILES, /* descriptors for each client */
	IDLE_CLIENT_FILES,
	IDLE_WAKES, /* of all threads of all these processes, over a few seconds */
	IDLE_CPU,   /* microseconds on a CPU of all of them, per second */
};

struct idle_plan {
	struct clients_plan clients;
	enum idle_figure figure;
};

extern const struct wire linked_only;

double idle_run(void *plan, uint64_t n);

#define IDLE_SIDE(text, of, which) \
	{ \
		.what = text, .run = idle_run, .arg = &(const struct idle_plan) \
		{ \
			.clients = { .wire = &of, .placement = PLACE_FREE, .n_idle = 100, .n_idle_quick = 4 }, \
			.figure = which \
		} \
	}

#endif
