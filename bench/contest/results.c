/* SPDX-License-Identifier: MIT */
/* Tables and JSON. */
#include "results.h"

#include "../report.h"

#include <math.h>
#include <stdlib.h>
#include <sys/utsname.h>
#include <time.h>

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

static json_object *machine(void)
{
	json_object *to = json_object_new_object();
	struct utsname host;
	char date[32];
	double load[3] = { NAN, NAN, NAN };
	time_t at = time(NULL);
	struct tm utc;

	gmtime_r(&at, &utc);
	strftime(date, sizeof date, "%Y-%m-%d %H:%M UTC", &utc);
	uname(&host);
	report_add_text(to, "date", date);
	report_add_text(to, "processor", line_of("/proc/cpuinfo", "model name", ':'));
	report_add_text(to, "hypervisor", strstr(line_of("/proc/cpuinfo", "flags", ':'), " hypervisor") ? "yes" : "");
	report_add_text(to, "kernel", host.release);
	report_add_text(to, "architecture", host.machine);
	report_add_text(to, "system", line_of("/etc/os-release", "PRETTY_NAME", '='));
	report_add_text(to, "compiler", COMPILER);
	report_add_text(to, "memory", line_of("/proc/meminfo", "MemTotal", ':'));
	if (getloadavg(load, 3) > 0)
		report_add_number(to, "load", load[0]);
	report_add_count(to, "cpus", cpus_usable());
	return to;
}

static const char *state_name(enum cell_state state)
{
	static const char *const names[] = { "done", "absent", "unfit", "failed" };

	return names[state];
}

static json_object *quantile_list(const double *values)
{
	json_object *list = json_object_new_array_ext(N_QUANTILES);

	for (unsigned i = 0; i < N_QUANTILES; i++)
		json_object_array_add(list, json_object_new_double(isfinite(values[i]) ? values[i] : 0));
	return list;
}

static void add_values(json_object *to, const struct cell *c)
{
	report_add_number(to, "value", c->value);
	report_add_number(to, "least", c->least);
	report_add_number(to, "greatest", c->greatest);
	report_add_count(to, "rounds", c->n_rounds);
	report_add_count(to, "operations", c->n_operations);
	if (c->is_compared) {
		report_add_number(to, "ratio", c->ratio);
		report_add_number(to, "ratio_least", c->ratio_least);
		report_add_number(to, "ratio_greatest", c->ratio_greatest);
	}
	if (c->work->kind == WORK_LOAD) {
		report_add_number(to, "rate", c->rate);
		report_add_number(to, "late", c->figures[FIGURE_LATE]);
		report_add_number(to, "cpu", c->figures[FIGURE_CPU]);
		json_object_object_add(to, "latencies", quantile_list(c->figures + FIGURE_QUANTILES));
	}
	if (c->work->kind == WORK_MEMORY) {
		report_add_number(to, "client", c->figures[FIGURE_CLIENT]);
		report_add_number(to, "helper", c->figures[FIGURE_HELPER]);
	}
}

static json_object *cell_list(const struct cell *cells, size_t n)
{
	json_object *list = json_object_new_array();

	for (const struct cell *c = cells; c < cells + n; c++) {
		json_object *to = json_object_new_object();

		report_add_text(to, "work", c->work->name);
		report_add_text(to, "contestant", c->contestant->name);
		report_add_text(to, "state", state_name(c->state));
		if (c->state == CELL_DONE)
			add_values(to, c);
		else
			report_add_text(to, "why", c->why);
		json_object_array_add(list, to);
	}
	return list;
}

static json_object *work_list(const struct cell *cells, size_t n)
{
	json_object *list = json_object_new_array();

	for (size_t i = 0; i < n; i++) {
		const struct work *w = cells[i].work;
		json_object *to;

		if (i > 0 && w == cells[i - 1].work)
			continue;
		to = json_object_new_object();
		report_add_text(to, "name", w->name);
		report_add_text(to, "curve", w->curve);
		report_add_text(to, "what", w->what);
		report_add_count(to, "x", w->x);
		report_add_count(to, "size", w->size);
		report_add_count(to, "clients", w->n_clients);
		json_object_array_add(list, to);
	}
	return list;
}

static json_object *contestant_list(void)
{
	json_object *list = json_object_new_array();

	for (size_t i = 0; i < n_contestants; i++) {
		json_object *to = json_object_new_object();

		report_add_text(to, "name", contestants[i]->name);
		report_add_text(to, "what", contestants[i]->what);
		report_add_text(to, "endpoint", contestants[i]->endpoint);
		json_object_object_add(to, "here", json_object_new_boolean(!contestants[i]->absent));
		json_object_array_add(list, to);
	}
	return list;
}

int results_write(const char *path, const struct cell *cells, size_t n)
{
	json_object *report = report_new();

	report_add_text(report, "reference", reference->name);
	json_object_object_add(report, "machine", machine());
	json_object_object_add(report, "quantiles", quantile_list(quantiles));
	json_object_object_add(report, "works", work_list(cells, n));
	json_object_object_add(report, "contestants", contestant_list());
	json_object_object_add(report, "cells", cell_list(cells, n));
	return report_write(path, report);
}
