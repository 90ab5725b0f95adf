/* SPDX-License-Identifier: MIT */
/* A client in a hall: a process or a thread that does what it is ordered to. */
#ifndef BENCH_CLIENT_H
#define BENCH_CLIENT_H

#include "work.h"

#include <pthread.h>

/* Shared by all that are in the hall. */
struct board {
	pthread_barrier_t warm; /* the active clients start together */
	_Alignas(64) _Atomic uint64_t left;
};

/* The first thing that a client hears. */
struct brief {
	size_t contestant, work;
	double rate;
	struct board *board; /* of a thread */
	struct ticket ticket;
};

/* And then, each turn. */
struct order {
	enum placement placement;
	unsigned warm; /* operations before the clock starts */
	uint64_t n;    /* 0: no more than that */
	bool tells_memory;
};

struct report {
	double start, uncounted;
	double cpu;    /* seconds of this process in its calls */
	double late;   /* share of them that began late */
	double memory; /* beyond what it had before it joined */
	double quantiles[N_QUANTILES];
};

void client_loop(int control);

void *map_shared(int fd, size_t size);
int memory_file(const char *name, size_t size);

#endif
