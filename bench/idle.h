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
	const struct wire *own; /* what a client would be without the server */
	enum idle_figure figure;
};

/* The library is linked and not used; it has a port and has sent itself a message. */
extern const struct wire linked_only, port_alone;

double idle_run(void *plan, uint64_t n);

#define IDLE_SIDE_BEYOND(text, of, what_own, which) \
	{ \
		.what = text, .run = idle_run, .arg = &(const struct idle_plan) \
		{ \
			.clients = { .wire = &of, .placement = PLACE_FREE, .n_idle = 100, .n_idle_quick = 4 }, \
			.own = &what_own, .figure = which \
		} \
	}

#define IDLE_SIDE(text, of, which) IDLE_SIDE_BEYOND(text, of, linked_only, which)

#endif
