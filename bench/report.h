/* SPDX-License-Identifier: MIT */
/* Results as JSON. */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include <json-c/json.h>

/* An object that says how the program was built and told to measure. The caller adds the results. */
json_object *report_new(void);
void report_add_text(json_object *to, const char *name, const char *text); /* NULL: null */
void report_add_number(json_object *to, const char *name, double value);   /* null if there is no such number */
void report_add_count(json_object *to, const char *name, uint64_t count);
/* Writes it and frees it, and makes the directory it goes to (build/bench.json should just work where nobody has made
 * build yet). -1: it could not be written, errno tells. */
int report_write(const char *path, json_object *report);

#endif
