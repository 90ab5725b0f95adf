/* SPDX-License-Identifier: MIT */
/* Pairs of threads, a client and a server, that do round trips.
 *
 * A *way* is how the two talk. All clients draw round trips from one counter until it is empty, so the time until the
 * last one is done is the time of the whole work, however unevenly the scheduler treats them. */
#ifndef BENCH_PAIRS_H
#define BENCH_PAIRS_H

#include "bench.h"

struct way {
	void *(*open)(void);
	void (*close)(void *channel);
	void (*serve)(void *channel);		 /* answers until stop() */
	void (*call)(void *channel, uint64_t n); /* n round trips */
	void (*stop)(void *channel);		 /* makes serve() return; the client's last act */
};

struct pairs_plan {
	const struct way *way;
	enum placement placement;
	unsigned n_pairs;
};

/* The three functions of a side; its argument is a plan. */
void *pairs_open(const void *plan);
double pairs_run(void *pairs, uint64_t n);
void pairs_close(void *pairs);

#define PAIRS_SIDE(text, ...) \
	{ \
		.what = text, .open = pairs_open, .run = pairs_run, .close = pairs_close, \
		.arg = &(const struct pairs_plan) \
		{ \
			__VA_ARGS__ \
		} \
	}

/* contestants.c */
extern const struct way pipe_way, seqpacket_way, futex_way, spin_way;

/* rpc.c: our own, both threads in one task or each in its own */
extern const struct way rpc_way, rpc_tasks_way;

#endif
