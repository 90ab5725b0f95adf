/* SPDX-License-Identifier: MIT */
/* What the contestants do. */
#ifndef BENCH_WORK_H
#define BENCH_WORK_H

#include "contestant.h"

enum work_kind {
	WORK_CALL,     /* round trips */
	WORK_STREAM,   /* one way */
	WORK_LOAD,     /* round trips at a rate that is given */
	WORK_ENDPOINT, /* an endpoint made, and destroyed */
	WORK_SET,      /* one of many that one thread waits for */
	WORK_MEMORY,   /* bytes for each client that is idle */
};

/* The share of a rate at which a WORK_LOAD is done. */
enum work_load {
	LOAD_NONE,
	LOAD_SAME /* half of what the reference can do */,
	LOAD_OWN /* half of what it can do itself */
};

struct work {
	const char *name;  /* what one types; NULL ends the table */
	const char *what;  /* what one reads */
	const char *curve; /* of which it is a point; NULL: it stands alone */
	uint64_t x;	   /* where on the curve */
	enum work_kind kind;
	enum request_kind request;
	enum placement placement;
	enum work_load load;
	bool threads;	    /* the client is a thread of the server's process */
	bool counts_making; /* the time in which the payload is written counts */
	unsigned n_clients; /* active */
	unsigned n_idle;
	size_t size;
	uint64_t n_endpoints; /* that the server has besides, or members of its set */
	unsigned n_cpus;
};

/* Figures of a turn beside its seconds. */
enum {
	FIGURE_CPU,	  /* seconds of all processes for one operation, beyond those of keeping the pace */
	FIGURE_LATE,	  /* share of the calls that came later than the pace */
	FIGURE_HELPER,	  /* memory: bytes for each client in another process that has to be there */
	FIGURE_CLIENT,	  /* memory: bytes in the client itself */
	FIGURE_QUANTILES, /* seconds, at quantiles[] */
	N_QUANTILES = 30,
	N_FIGURES = FIGURE_QUANTILES + N_QUANTILES,
};

_Static_assert((int)N_FIGURES <= (int)FIGURES_MAX, "a turn has room for them");

extern const double quantiles[N_QUANTILES];

extern const struct work works[];

/* What the options leave of it. */
size_t work_size(const struct work *work);
uint64_t work_endpoints(const struct work *work);
unsigned work_idle(const struct work *work);

/* A cell of the matrix. */
struct pairing {
	const struct work *work;
	const struct contestant *contestant;
	double rate; /* calls a second: of a WORK_LOAD */
};

/* A side (bench.h) whose arg is the pairing. */
struct side work_side(const struct pairing *pairing);
/* How many operations a turn has; 0: as many as take the time of a turn. */
uint64_t work_operations(const struct pairing *pairing);
/* Why it cannot be done here by that contestant, or NULL. */
const char *work_unfit(const struct work *work, const struct contestant *contestant);

/* alone.c: works that need no clients */
extern const struct side endpoint_side, set_side;

#endif
