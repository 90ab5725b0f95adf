/* SPDX-License-Identifier: MIT */
/* bench: options, the choice of rows, the table. */
#include "bench.h"
#include "peer.h"

#include <argp.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct options options = { .rounds = 11, .sample = 0.05, .json = "build/bench.json" };

static const struct row *const tables[] = {
	message_rows, rpc_rows, port_rows, many_rows, memory_rows, scale_rows, oneway_rows, process_rows, stall_rows,
};

enum { MAX_ROWS = 128 };

static struct {
	const struct row *rows[MAX_ROWS];
	size_t n_rows;
	bool strict;
} wanted;

/* A name chooses the row of that name, or all rows whose names begin with it and a dash. */
static bool row_matches(const struct row *row, const char *name)
{
	size_t n = strlen(name);

	return strncmp(row->name, name, n) == 0 && (row->name[n] == '\0' || row->name[n] == '-');
}

/* Adds the rows that name chooses (NULL: all); false if there is none. */
static bool choose(const char *name)
{
	bool any = false;

	for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
		for (const struct row *row = tables[i]; row->name; row++)
			if ((!name || row_matches(row, name)) && wanted.n_rows < MAX_ROWS) {
				wanted.rows[wanted.n_rows++] = row;
				any = true;
			}
	return any;
}

enum { KEY_SOLO = OPTIONS_KEY_END, KEY_STRICT };

static const struct argp_option argp_options[] = {
	{ "solo", KEY_SOLO, NULL, 0, "Only our side, in this process: for perf, gdb and callgrind", 0 },
	{ "strict", KEY_STRICT, NULL, 0, "Exit with 1 if a row is over its limit", 0 },
	{ 0 },
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	switch (key) {
	case KEY_SOLO:
		options.solo = true;
		return 0;
	case KEY_STRICT:
		wanted.strict = true;
		return 0;
	case ARGP_KEY_ARG:
		if (!choose(arg))
			argp_error(state, "%s: no such row (see --list)", arg);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const char doc[] =
	"Measure Portunus beside what a program would use instead, in one run, and show the ratios.\v"
	"NAME is a row, or the first words of several: 'rpc' means rpc-cpu, rpc-cpus and so on. Without one, all rows are "
	"measured, in 11 turns of 50 ms for each side, and the results are in build/bench.json. A row in brackets is for "
	"information and has no limit. The exit status is 0 even if a row is over its "
	"limit, unless --strict is given.";

static const struct argp_child children[] = { { &options_argp, 0, NULL, 0 }, { 0 } };

static const struct argp argp = { argp_options, parse, "[NAME...]", doc, children, NULL, NULL };

/* A few digits and a unit. */
static const char *pretty(double value, enum row_kind kind, char *out, size_t size)
{
	if (!isfinite(value))
		snprintf(out, size, "-");
	else if (kind == ROW_BYTES)
		snprintf(out, size, "%.1f B", value);
	else if (kind == ROW_COUNT)
		snprintf(out, size, "%.2f", value);
	else if (value < 1e-6)
		snprintf(out, size, "%.1f ns", value * 1e9);
	else if (value < 1e-3)
		snprintf(out, size, "%.2f us", value * 1e6);
	else
		snprintf(out, size, "%.2f ms", value * 1e3);
	return out;
}

static void print_head(void)
{
	printf("%-62s %10s %10s %8s %17s  %-10s %s\n", "work", "ours", "contestant", "ratio", "(min .. max)", "must",
	       "verdict");
}

static void print_result(const struct result *r)
{
	const struct row *row = r->row;
	bool measured = r->verdict < VERDICT_SKIPPED;
	char ours[32], other[32], ratio[16] = "-", spread[32] = "", work[128];

	snprintf(work, sizeof work, row->limit > 0 ? "%s" : "[%s]", row->work);
	if (measured && row->other.what && !options.solo && isfinite(r->ratio)) {
		snprintf(ratio, sizeof ratio, "%.3f", r->ratio);
		snprintf(spread, sizeof spread, "(%.3f .. %.3f)", r->ratio_min, r->ratio_max);
	}
	printf("%-62s %10s %10s %8s %17s  %-10s %s\n", work,
	       pretty(measured ? r->ours : NAN, row->kind, ours, sizeof ours),
	       pretty(measured && row->other.what ? r->other : NAN, row->kind, other, sizeof other), ratio, spread,
	       row->must ? row->must : "", r->verdict == VERDICT_SHOWN ? "" : verdict_name(r->verdict));
	fflush(stdout);
}

static void print_list(void)
{
	for (size_t i = 0; i < wanted.n_rows; i++) {
		const struct row *row = wanted.rows[i];

		printf("%-22s %s: %s%s%s%s%s\n", row->name, row->work, row->ours.what ? row->ours.what : "(not built)",
		       row->other.what ? " / " : "", row->other.what ? row->other.what : "",
		       row->must ? ", must be " : "", row->must ? row->must : "");
	}
}

int main(int argc, char **argv)
{
	static struct result results[MAX_ROWS];
	size_t n_over = 0, n_failed = 0;

	peer_born = now();
	if (argc == 3 && strncmp(argv[1], PEER_OPTION, strlen(PEER_OPTION)) == 0) {
		options.quick = strcmp(argv[1], PEER_OPTION_QUICK) == 0;
		return peer_main(argv[2]);
	}
	peer_reserve();
	files_raise();
	argp_parse(&argp, argc, argv, 0, NULL, NULL);
	if (wanted.n_rows == 0)
		choose(NULL);
	if (options.list) {
		print_list();
		return EXIT_SUCCESS;
	}
	cpus_usable(); /* remembered before anything is pinned */
	print_head();
	for (size_t i = 0; i < wanted.n_rows; i++) {
		row_measure(wanted.rows[i], &results[i]);
		print_result(&results[i]);
		n_over += results[i].verdict == VERDICT_OVER;
		n_failed += results[i].verdict == VERDICT_FAILED;
	}
	if (json_write(options.json, results, wanted.n_rows) != 0) {
		fprintf(stderr, "bench: %s: %s\n", options.json, strerror(errno));
		return EXIT_FAILURE;
	}
	printf("%zu over the limit, %zu failed; written to %s\n", n_over, n_failed, options.json);
	if (options.check && (n_failed || json_check(options.json, wanted.n_rows) != 0))
		return EXIT_FAILURE;
	return wanted.strict && (n_over || n_failed) ? EXIT_FAILURE : EXIT_SUCCESS;
}
