/* SPDX-License-Identifier: MIT */
/* The rows as JSON, and a check of what was written. */
#include "bench.h"
#include "report.h"

#include <math.h>

const char *verdict_name(enum verdict v)
{
	static const char *const names[] = { "ok", "over", "shown", "skipped", "failed" };

	return names[v];
}

static const char *kind_name(enum row_kind kind)
{
	static const char *const names[] = { "time", "rate", "seconds", "bytes", "count" };

	return names[kind];
}

static json_object *row_of(const struct result *r)
{
	bool measured = r->verdict != VERDICT_SKIPPED && r->verdict != VERDICT_FAILED;
	bool compared = measured && r->row->other.what;
	json_object *row = json_object_new_object(), *operations = json_object_new_array();

	report_add_text(row, "name", r->row->name);
	report_add_text(row, "work", r->row->work);
	report_add_text(row, "kind", kind_name(r->row->kind));
	report_add_text(row, "ours_is", r->row->ours.what);
	report_add_text(row, "contestant_is", r->row->other.what);
	report_add_number(row, "ours", measured ? r->ours : NAN);
	report_add_number(row, "contestant", compared ? r->other : NAN);
	report_add_number(row, "ratio", compared ? r->ratio : NAN);
	report_add_number(row, "ratio_min", compared ? r->ratio_min : NAN);
	report_add_number(row, "ratio_max", compared ? r->ratio_max : NAN);
	report_add_number(row, "limit", r->row->limit > 0 ? r->row->limit : NAN);
	report_add_text(row, "must", r->row->must);
	report_add_count(row, "rounds", r->n_rounds);
	json_object_array_add(operations, json_object_new_uint64(r->n_ours));
	json_object_array_add(operations, json_object_new_uint64(r->n_other));
	json_object_object_add(row, "operations", operations);
	report_add_text(row, "verdict", verdict_name(r->verdict));
	return row;
}

int json_write(const char *path, const struct result *results, size_t n)
{
	json_object *report = report_new(), *rows = json_object_new_array();

	for (size_t i = 0; i < n; i++)
		json_object_array_add(rows, row_of(&results[i]));
	json_object_object_add(report, "rows", rows);
	return report_write(path, report);
}

int json_check(const char *path, size_t n_rows)
{
	json_object *report = json_object_from_file(path), *rows, *verdict;
	size_t n = 0;

	if (json_object_object_get_ex(report, "rows", &rows))
		for (size_t i = 0; i < json_object_array_length(rows); i++)
			n += json_object_object_get_ex(json_object_array_get_idx(rows, i), "verdict", &verdict);
	json_object_put(report);
	return n == n_rows ? 0 : -1;
}
