/* SPDX-License-Identifier: MIT */
/* What came of it: on the terminal, and as JSON for scripts/bench-report. */
#ifndef BENCH_RESULTS_H
#define BENCH_RESULTS_H

#include "work.h"

enum cell_state { CELL_DONE, CELL_ABSENT, CELL_UNFIT, CELL_FAILED };

struct cell {
	const struct work *work;
	const struct contestant *contestant;
	enum cell_state state;
	const char *why;	       /* absent or unfit */
	double value, least, greatest; /* one operation: seconds, or bytes; median and extremes over the rounds */
	bool is_compared;
	double ratio, ratio_least, ratio_greatest; /* to the reference */
	double rate;
	unsigned n_rounds;
	uint64_t n_operations; /* of a turn */
	double figures[N_FIGURES];
};

/* The cells of one work. */
void results_print(const struct cell *cells, size_t n);
int results_write(const char *path, const struct cell *cells, size_t n);

#endif
