/* SPDX-License-Identifier: MIT */
/* The benchmark: our calls beside what a user would pick instead, as ratios.
 *
 * A *row* compares two *sides*, ours and a contestant. Each side lives in a process of its own (a *worker*), forked for
 * this row alone, so neither finds the other's heap, caches of names or threads. One worker runs at a time; they take
 * turns, round after round, and what is judged is the median of the ratios of neighbouring turns: whatever slows the
 * machine for a second slows both.
 *
 * A side that cannot go on says why and ends its worker (must(), need()); that row fails, the others still run. */
#ifndef BENCH_H
#define BENCH_H

#include <argp.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { ROUNDS_MAX = 101, FIGURES_MAX = 48 };

struct side {
	const char *what;			  /* a few words for the table; NULL ends nothing, means no such side */
	void *(*open)(const void *arg);		  /* builds what all runs share; may be NULL */
	double (*run)(void *context, uint64_t n); /* n operations: the seconds that they took */
	void (*close)(void *context);		  /* may be NULL */
	void (*figures)(void *context, double *out); /* what else there is to say of the last run; may be NULL */
	const void *arg;
};

enum row_kind {
	ROW_TIME, /* ratio = time of ours / time of the contestant; the limit is an upper bound */
	ROW_RATE, /* ratio = rate of ours / rate of the contestant; the limit is a lower bound */
	/* These are judged by themselves, whatever a contestant shows beside them; the limit is an upper bound. */
	ROW_SECONDS,
	ROW_BYTES, /* run() returns bytes, once */
	ROW_COUNT, /* run() returns a number, once */
};

struct row {
	const char *name; /* what one types; NULL ends a table */
	const char *work; /* what one reads */
	enum row_kind kind;
	double limit;	  /* 0: shown, not judged */
	const char *must; /* the limit as written in the requirements */
	unsigned n_cpus;  /* needed; with fewer the row is skipped */
	uint64_t n;	  /* operations per turn; 0: found by calibration */
	struct side ours, other;
};

enum verdict { VERDICT_OK, VERDICT_OVER, VERDICT_SHOWN, VERDICT_SKIPPED, VERDICT_FAILED };

struct result {
	const struct row *row;
	enum verdict verdict;
	double ours, other;		    /* median of one operation: seconds, or bytes */
	double ratio, ratio_min, ratio_max; /* median and extremes over the rounds */
	unsigned n_rounds;
	uint64_t n_ours, n_other; /* operations per turn */
};

struct options {
	unsigned rounds;
	double sample;	  /* seconds that one turn should last at least */
	bool quick;	  /* only see that everything runs: small sizes, nothing judged */
	bool solo;	  /* only our side, in this process: for perf, gdb and callgrind */
	const char *json; /* where the results go */
	bool list;	  /* only what there is to measure */
	bool check;	  /* a failure fails the program */
};

extern struct options options;

/* options.c: those that every program here takes; its own keys begin at OPTIONS_KEY_END. */
enum { OPTIONS_KEY_END = 512 };

extern const struct argp options_argp;

/* the rows, by file */
extern const struct row message_rows[], rpc_rows[], port_rows[], many_rows[], memory_rows[], scale_rows[];
extern const struct row oneway_rows[], process_rows[], stall_rows[];

/* measure.c */
void row_measure(const struct row *row, struct result *out);

/* json.c */
const char *verdict_name(enum verdict v);
int json_write(const char *path, const struct result *results, size_t n);
int json_check(const char *path, size_t n_rows); /* 0 if the file is one JSON value that names n_rows rows */

/* util.c */
enum placement {
	PLACE_ONE_CPU,	    /* all on the first CPU */
	PLACE_ACROSS,	    /* clients on the first, servers on the second */
	PLACE_PAIR_PER_CPU, /* pair i, both, on CPU i mod 2 */
	PLACE_FREE,	    /* anywhere on the first two */
};

double now(void);
uint64_t scaled(uint64_t n, uint64_t quick); /* n, or the other if the options say quick */
unsigned cpus_usable(void);
void pin(unsigned i);	       /* the calling thread, to the i-th usable CPU */
void pin_to_first(unsigned n); /* the calling thread, to any of the first n */
void unpin(void);	       /* the calling thread, to where the program was started */
void place(enum placement placement, unsigned pair, bool server); /* the calling thread */
double median(const double *values, unsigned n);		  /* at most ROUNDS_MAX */
double least(const double *values, unsigned n);			  /* at least one */
double greatest(const double *values, unsigned n);
uint64_t draw(_Atomic uint64_t *left); /* takes a chunk of the operations that are left: how many, 0 if none are */
void files_raise(void);		       /* as many open files as the system allows */
size_t resident(void);		       /* bytes of memory this process really has */
_Noreturn void fail(const char *what, const char *file, int line, const char *why);
void must_at(int kr, const char *what, const char *file, int line);

/* must: a Mach call succeeds. need: anything else holds (errno is told). */
#define must(call)	must_at((call), #call, __FILE__, __LINE__)
#define need(condition) ((condition) ? (void)0 : fail(#condition, __FILE__, __LINE__, NULL))

#endif
