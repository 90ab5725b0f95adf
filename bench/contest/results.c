/* SPDX-License-Identifier: MIT */
/* Tables and JSON. */
#include "results.h"

#include <ctype.h>
#include <math.h>
#include <portunus/abi.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <time.h>

#ifndef BENCH_BUILD
#define BENCH_BUILD "unknown"
#endif

#if defined __clang__
#define COMPILER "clang " __clang_version__
#else
#define COMPILER "gcc " __VERSION__
#endif

/* ---- the terminal ---- */

static const char *pretty(double value, bool is_bytes, char *out, size_t size)
{
	if (is_bytes)
		snprintf(out, size, "%.1f KiB", value / 1024);
	else if (value < 1e-6)
		snprintf(out, size, "%.1f ns", value * 1e9);
	else if (value < 1e-3)
		snprintf(out, size, "%.2f us", value * 1e6);
	else
		snprintf(out, size, "%.2f ms", value * 1e3);
	return out;
}

static double quantile_of(const struct cell *c, double q)
{
	unsigned i = 0;

	while (i + 1 < N_QUANTILES && quantiles[i] < q)
		i++;
	return c->figures[FIGURE_QUANTILES + i];
}

static void print_load(const struct cell *c)
{
	char p50[32], p99[32], p999[32], cpu[32];

	printf("  p50 %s, p99 %s, p99.9 %s; CPU %s; at %.0f/s, %.0f %% late",
	       pretty(quantile_of(c, 0.5), false, p50, 32), pretty(quantile_of(c, 0.99), false, p99, 32),
	       pretty(quantile_of(c, 0.999), false, p999, 32), pretty(c->figures[FIGURE_CPU], false, cpu, 32), c->rate,
	       c->figures[FIGURE_LATE] * 100);
}

static void print_cell(const struct cell *c)
{
	bool is_bytes = c->work->kind == WORK_MEMORY;
	char value[32], low[32], high[32], spread[80];

	printf("  %-13s", c->contestant->name);
	if (c->state != CELL_DONE) {
		printf(" %s\n", c->state == CELL_FAILED ? "failed" : c->why);
		return;
	}
	snprintf(spread, sizeof spread, "(%s .. %s)", pretty(c->least, is_bytes, low, 32),
		 pretty(c->greatest, is_bytes, high, 32));
	printf("%12s  %-26s", pretty(c->value, is_bytes, value, 32), spread);
	if (c->is_compared)
		printf("%8.3f  (%.3f .. %.3f)", c->ratio, c->ratio_least, c->ratio_greatest);
	if (c->work->kind == WORK_LOAD)
		print_load(c);
	if (is_bytes)
		printf("  in the client %s, elsewhere %s", pretty(c->figures[FIGURE_CLIENT], true, low, 32),
		       pretty(c->figures[FIGURE_HELPER], true, high, 32));
	printf("\n");
}

void results_print(const struct cell *cells, size_t n)
{
	if (n == 0)
		return;
	printf("%s: %s\n  %-13s%12s  %-26s%8s\n", cells->work->name, cells->work->what, "", "median", "(spread)",
	       "ratio");
	for (size_t i = 0; i < n; i++)
		print_cell(&cells[i]);
	printf("\n");
	fflush(stdout);
}

/* ---- JSON ---- */

static void put_string(FILE *f, const char *name, const char *text)
{
	fprintf(f, "\"%s\": \"", name);
	for (; text && *text; text++) {
		if (*text == '"' || *text == '\\')
			putc('\\', f);
		putc(iscntrl((unsigned char)*text) ? ' ' : *text, f);
	}
	fputs("\", ", f);
}

static void put_number(FILE *f, const char *name, double value)
{
	if (isfinite(value))
		fprintf(f, "\"%s\": %.9g, ", name, value);
	else
		fprintf(f, "\"%s\": null, ", name);
}

/* What follows the colon in the first line of a file that begins so; an empty string if there is none. */
static const char *line_of(const char *path, const char *start, char separator)
{
	static char line[256];
	char *at = NULL;
	FILE *f = fopen(path, "re");

	while (f && !at && fgets(line, sizeof line, f))
		if (strncmp(line, start, strlen(start)) == 0)
			at = strchr(line, separator);
	if (f)
		fclose(f);
	if (!at)
		return "";
	at[strcspn(at, "\n")] = '\0';
	for (at++; *at == ' ' || *at == '"'; at++)
		;
	at[strcspn(at, "\"")] = '\0';
	return at;
}

static void put_machine(FILE *f)
{
	struct utsname host;
	char date[32];
	double load[3] = { NAN, NAN, NAN };
	time_t at = time(NULL);
	struct tm utc;

	gmtime_r(&at, &utc);
	strftime(date, sizeof date, "%Y-%m-%d %H:%M UTC", &utc);
	uname(&host);
	fputs("\"machine\": { ", f);
	put_string(f, "date", date);
	put_string(f, "processor", line_of("/proc/cpuinfo", "model name", ':'));
	put_string(f, "hypervisor", strstr(line_of("/proc/cpuinfo", "flags", ':'), " hypervisor") ? "yes" : "");
	put_string(f, "kernel", host.release);
	put_string(f, "architecture", host.machine);
	put_string(f, "system", line_of("/etc/os-release", "PRETTY_NAME", '='));
	put_string(f, "compiler", COMPILER);
	put_string(f, "memory", line_of("/proc/meminfo", "MemTotal", ':'));
	if (getloadavg(load, 3) > 0)
		put_number(f, "load", load[0]);
	fprintf(f, "\"cpus\": %u },\n", cpus_usable());
}

static const char *abi_name(void)
{
#if defined PORTUNUS_MIG_ABI_PACKED4 && PORTUNUS_MIG_ABI_PACKED4
	return "packed4";
#else
	return "lp64";
#endif
}

static const char *state_name(enum cell_state state)
{
	static const char *const names[] = { "done", "absent", "unfit", "failed" };

	return names[state];
}

static void put_list(FILE *f, const char *name, const double *values, unsigned n)
{
	fprintf(f, "\"%s\": [", name);
	for (unsigned i = 0; i < n; i++)
		fprintf(f, "%s%.9g", i ? ", " : "", isfinite(values[i]) ? values[i] : 0);
	fputs("], ", f);
}

static void put_cell(FILE *f, const struct cell *c)
{
	fputs("\t\t{ ", f);
	put_string(f, "work", c->work->name);
	put_string(f, "contestant", c->contestant->name);
	if (c->state != CELL_DONE) {
		put_string(f, "why", c->why);
	} else {
		put_number(f, "value", c->value);
		put_number(f, "least", c->least);
		put_number(f, "greatest", c->greatest);
		fprintf(f, "\"rounds\": %u, \"operations\": %llu, ", c->n_rounds, (unsigned long long)c->n_operations);
	}
	if (c->state == CELL_DONE && c->is_compared) {
		put_number(f, "ratio", c->ratio);
		put_number(f, "ratio_least", c->ratio_least);
		put_number(f, "ratio_greatest", c->ratio_greatest);
	}
	if (c->state == CELL_DONE && c->work->kind == WORK_LOAD) {
		put_number(f, "rate", c->rate);
		put_number(f, "late", c->figures[FIGURE_LATE]);
		put_number(f, "cpu", c->figures[FIGURE_CPU]);
		put_list(f, "latencies", c->figures + FIGURE_QUANTILES, N_QUANTILES);
	}
	if (c->state == CELL_DONE && c->work->kind == WORK_MEMORY) {
		put_number(f, "client", c->figures[FIGURE_CLIENT]);
		put_number(f, "helper", c->figures[FIGURE_HELPER]);
	}
	fprintf(f, "\"state\": \"%s\" }", state_name(c->state));
}

static void put_works(FILE *f, const struct cell *cells, size_t n)
{
	fputs("\t\"works\": [\n", f);
	for (size_t i = 0; i < n; i++) {
		const struct work *w = cells[i].work;

		if (i > 0 && w == cells[i - 1].work)
			continue;
		fputs(i ? ",\n\t\t{ " : "\t\t{ ", f);
		put_string(f, "name", w->name);
		put_string(f, "curve", w->curve);
		put_string(f, "what", w->what);
		fprintf(f, "\"x\": %llu, \"size\": %zu, \"clients\": %u }", (unsigned long long)w->x, w->size,
			w->n_clients);
	}
	fputs("\n\t],\n", f);
}

static void put_contestants(FILE *f)
{
	fputs("\t\"contestants\": [\n", f);
	for (size_t i = 0; i < n_contestants; i++) {
		fputs("\t\t{ ", f);
		put_string(f, "name", contestants[i]->name);
		put_string(f, "what", contestants[i]->what);
		put_string(f, "endpoint", contestants[i]->endpoint);
		fprintf(f, "\"here\": %s }%s\n", contestants[i]->absent ? "false" : "true",
			i + 1 < n_contestants ? "," : "");
	}
	fputs("\t],\n", f);
}

int results_write(const char *path, const struct cell *cells, size_t n)
{
	FILE *f = fopen(path, "we");
	bool bad;

	if (!f)
		return -1;
	fprintf(f, "{\n\t\"format\": 1, \"abi\": \"%s\", \"build\": \"%s\", \"rounds\": %u, \"sample_seconds\": %g, ",
		abi_name(), BENCH_BUILD, options.rounds, options.sample);
	fprintf(f, "\"quick\": %s, \"reference\": \"%s\",\n\t", options.quick ? "true" : "false", reference->name);
	put_machine(f);
	fputs("\t", f);
	put_list(f, "quantiles", quantiles, N_QUANTILES);
	fputs("\n", f);
	put_works(f, cells, n);
	put_contestants(f);
	fputs("\t\"cells\": [\n", f);
	for (size_t i = 0; i < n; i++) {
		put_cell(f, &cells[i]);
		fputs(i + 1 < n ? ",\n" : "\n", f);
	}
	fputs("\t]\n}\n", f);
	bad = ferror(f);
	return (fclose(f) != 0 || bad) ? -1 : 0;
}
