/* SPDX-License-Identifier: MIT */
/* The results as JSON, and a check that what was written is JSON. */
#include "bench.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <portunus/abi.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#ifndef BENCH_BUILD
#define BENCH_BUILD "unknown"
#endif

const char *verdict_name(enum verdict v)
{
	static const char *const names[] = { "ok", "over", "shown", "skipped", "failed" };

	return names[v];
}

static const char *abi_name(void)
{
#if defined PORTUNUS_MIG_ABI_PACKED4 && PORTUNUS_MIG_ABI_PACKED4
	return "packed4";
#else
	return "lp64";
#endif
}

static const char *kind_name(enum row_kind kind)
{
	static const char *const names[] = { "time", "rate", "seconds", "bytes", "count" };

	return names[kind];
}

/* None of our texts holds a control character. */
static void put_string(FILE *f, const char *name, const char *text)
{
	fprintf(f, "\"%s\": ", name);
	if (!text) {
		fputs("null", f);
		return;
	}
	putc('"', f);
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			putc('\\', f);
		putc(*text, f);
	}
	putc('"', f);
}

/* JSON knows no infinity and no NaN: what was not measured is null. */
static void put_number(FILE *f, const char *name, double value, bool known)
{
	if (known && isfinite(value))
		fprintf(f, "\"%s\": %.9g", name, value);
	else
		fprintf(f, "\"%s\": null", name);
}

static void put_row(FILE *f, const struct result *r)
{
	bool measured = r->verdict != VERDICT_SKIPPED && r->verdict != VERDICT_FAILED;
	bool compared = measured && r->row->other.what;

	fputs("\t\t{ ", f);
	put_string(f, "name", r->row->name);
	fputs(", ", f);
	put_string(f, "work", r->row->work);
	fputs(", ", f);
	put_string(f, "kind", kind_name(r->row->kind));
	fputs(",\n\t\t  ", f);
	put_string(f, "ours_is", r->row->ours.what);
	fputs(", ", f);
	put_string(f, "contestant_is", r->row->other.what);
	fputs(",\n\t\t  ", f);
	put_number(f, "ours", r->ours, measured);
	fputs(", ", f);
	put_number(f, "contestant", r->other, compared);
	fputs(", ", f);
	put_number(f, "ratio", r->ratio, compared);
	fputs(", ", f);
	put_number(f, "ratio_min", r->ratio_min, compared);
	fputs(", ", f);
	put_number(f, "ratio_max", r->ratio_max, compared);
	fputs(",\n\t\t  ", f);
	put_number(f, "limit", r->row->limit, r->row->limit > 0);
	fputs(", ", f);
	put_string(f, "must", r->row->must);
	fprintf(f, ", \"rounds\": %u, \"operations\": [%llu, %llu], ", r->n_rounds, (unsigned long long)r->n_ours,
		(unsigned long long)r->n_other);
	put_string(f, "verdict", verdict_name(r->verdict));
	fputs(" }", f);
}

/* build/bench.json should just work where nobody has made build yet. */
static void make_parent(const char *path)
{
	char *copy = strdup(path), *slash = copy ? strrchr(copy, '/') : NULL;

	if (slash && slash != copy) {
		*slash = '\0';
		mkdir(copy, 0777);
	}
	free(copy);
}

int json_write(const char *path, const struct result *results, size_t n)
{
	FILE *f;
	bool bad;

	make_parent(path);
	f = fopen(path, "we");
	if (!f)
		return -1;
	fprintf(f, "{\n\t\"format\": 1, \"abi\": \"%s\", \"build\": \"%s\", \"cpus\": %u, \"rounds\": %u, ", abi_name(),
		BENCH_BUILD, cpus_usable(), options.rounds);
	fprintf(f, "\"sample_seconds\": %g, \"quick\": %s,\n\t\"rows\": [\n", options.sample,
		options.quick ? "true" : "false");
	for (size_t i = 0; i < n; i++) {
		put_row(f, &results[i]);
		fputs(i + 1 < n ? ",\n" : "\n", f);
	}
	fputs("\t]\n}\n", f);
	bad = ferror(f);
	return (fclose(f) != 0 || bad) ? -1 : 0;
}

/* ---- a reader that only says yes or no ---- */

struct reader {
	const char *at;
	unsigned depth;
	size_t n_verdicts; /* members of that name: one per row */
};

static bool read_value(struct reader *r);

static void skip_space(struct reader *r)
{
	while (*r->at && strchr(" \t\r\n", *r->at))
		r->at++;
}

static bool read_char(struct reader *r, char c)
{
	skip_space(r);
	if (*r->at != c)
		return false;
	r->at++;
	return true;
}

static bool read_word(struct reader *r, const char *word)
{
	size_t n = strlen(word);

	if (strncmp(r->at, word, n) != 0)
		return false;
	r->at += n;
	return true;
}

static bool read_string(struct reader *r)
{
	if (!read_char(r, '"'))
		return false;
	while (*r->at && *r->at != '"') {
		if ((unsigned char)*r->at < ' ')
			return false;
		if (*r->at == '\\' && !strchr("\"\\/bfnrtu", *++r->at))
			return false;
		if (!*r->at)
			return false;
		r->at++;
	}
	return read_char(r, '"');
}

static bool read_number(struct reader *r)
{
	char *end;

	if (*r->at != '-' && !isdigit((unsigned char)*r->at))
		return false; /* strtod would also take inf and nan */
	strtod(r->at, &end);
	r->at = end;
	return true;
}

static bool read_member(struct reader *r)
{
	skip_space(r);
	if (strncmp(r->at, "\"verdict\"", 9) == 0)
		r->n_verdicts++;
	return read_string(r) && read_char(r, ':') && read_value(r);
}

static bool read_list(struct reader *r, char end, bool (*element)(struct reader *))
{
	r->at++;
	if (read_char(r, end))
		return true;
	do {
		if (!element(r))
			return false;
	} while (read_char(r, ','));
	return read_char(r, end);
}

static bool read_value(struct reader *r)
{
	bool good;

	skip_space(r);
	if (++r->depth > 16)
		return false;
	if (*r->at == '{')
		good = read_list(r, '}', read_member);
	else if (*r->at == '[')
		good = read_list(r, ']', read_value);
	else if (*r->at == '"')
		good = read_string(r);
	else
		good = read_word(r, "true") || read_word(r, "false") || read_word(r, "null") || read_number(r);
	r->depth--;
	return good;
}

int json_check(const char *path, size_t n_rows)
{
	struct reader r = { 0 };
	size_t used;
	bool good;
	char *text = calloc(1, 1 << 20);
	FILE *f = fopen(path, "re");

	if (!text || !f) {
		free(text);
		if (f)
			fclose(f);
		return -1;
	}
	used = fread(text, 1, (1 << 20) - 1, f);
	fclose(f);
	r.at = text;
	good = read_value(&r);
	skip_space(&r);
	good = good && r.at == text + used && r.n_verdicts == n_rows;
	free(text);
	return good ? 0 : -1;
}
