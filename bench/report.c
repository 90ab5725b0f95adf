/* SPDX-License-Identifier: MIT */
#include "report.h"

#include "bench.h"

#include <math.h>
#include <portunus/abi.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#ifndef BENCH_BUILD
#define BENCH_BUILD "unknown"
#endif

#if defined PORTUNUS_MIG_ABI_PACKED4 && PORTUNUS_MIG_ABI_PACKED4
#define ABI "packed4"
#else
#define ABI "lp64"
#endif

void report_add_text(json_object *to, const char *name, const char *text)
{
	json_object_object_add(to, name, text ? json_object_new_string(text) : NULL);
}

void report_add_number(json_object *to, const char *name, double value)
{
	char digits[32];

	snprintf(digits, sizeof digits, "%.9g", value);
	json_object_object_add(to, name, isfinite(value) ? json_object_new_double_s(value, digits) : NULL);
}

void report_add_count(json_object *to, const char *name, uint64_t count)
{
	json_object_object_add(to, name, json_object_new_uint64(count));
}

json_object *report_new(void)
{
	json_object *report = json_object_new_object();

	report_add_count(report, "format", 1);
	report_add_text(report, "abi", ABI);
	report_add_text(report, "build", BENCH_BUILD);
	report_add_count(report, "cpus", cpus_usable());
	report_add_count(report, "rounds", options.rounds);
	report_add_number(report, "sample_seconds", options.sample);
	json_object_object_add(report, "quick", json_object_new_boolean(options.quick));
	return report;
}

static void make_parent(const char *path)
{
	char *copy = strdup(path), *slash = copy ? strrchr(copy, '/') : NULL;

	if (slash && slash != copy) {
		*slash = '\0';
		mkdir(copy, 0777);
	}
	free(copy);
}

int report_write(const char *path, json_object *report)
{
	int result;

	make_parent(path);
	result = json_object_to_file_ext(path, report, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE);
	json_object_put(report);
	return result;
}
