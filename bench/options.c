/* SPDX-License-Identifier: MIT */
#include "bench.h"

#include <errno.h>
#include <stdlib.h>

enum { KEY_LIST = 256, KEY_JSON, KEY_ROUNDS, KEY_SAMPLE, KEY_QUICK, KEY_CHECK };

static const struct argp_option argp_options[] = {
	{ "list", KEY_LIST, NULL, 0, "List what there is to measure, and end", 0 },
	{ "json", KEY_JSON, "FILE", 0, "Write the results there", 0 },
	{ "rounds", KEY_ROUNDS, "N", 0, "Turns of each side", 0 },
	{ "sample", KEY_SAMPLE, "MS", 0, "Milliseconds that a turn lasts at least", 0 },
	{ "quick", KEY_QUICK, NULL, 0, "Small sizes, short turns, nothing judged: only see that everything runs", 0 },
	{ "check", KEY_CHECK, NULL, 0, "Exit with 1 if something failed", 0 },
	{ 0 },
};

static unsigned long parse_count(struct argp_state *state, const char *text, unsigned long max)
{
	char *end;
	unsigned long n;

	errno = 0;
	n = strtoul(text, &end, 10);
	if (errno || end == text || *end || n < 1 || n > max)
		argp_error(state, "%s: a number from 1 to %lu is needed", text, max);
	return n;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	switch (key) {
	case KEY_LIST:
		options.list = true;
		return 0;
	case KEY_JSON:
		options.json = arg;
		return 0;
	case KEY_ROUNDS:
		options.rounds = (unsigned)parse_count(state, arg, ROUNDS_MAX);
		return 0;
	case KEY_SAMPLE:
		options.sample = (double)parse_count(state, arg, 10000) / 1000;
		return 0;
	case KEY_QUICK:
		options.quick = true;
		options.rounds = 2;
		options.sample = 0.001;
		return 0;
	case KEY_CHECK:
		options.check = true;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* How often and how long by default, and where to, the program says in its own documentation. */
const struct argp options_argp = { argp_options, parse, NULL, NULL, NULL, NULL, NULL };
