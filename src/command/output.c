/* SPDX-License-Identifier: MIT */
#include "output.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command.h"

static bool is_json, is_terminal, has_colours;

/* ---- options */

enum { OPTION_JSON = 0x200, OPTION_COLOR };

static const struct argp_option options[] = {
	{ "json", OPTION_JSON, NULL, 0, "Print JSON, one object on each line", 0 },
	{ "color", OPTION_COLOR, "WHEN", OPTION_ARG_OPTIONAL, "Use colours: auto (on a terminal), always, never", 0 },
	{ 0 },
};

static void choose_colours(const char *when)
{
	if (!when || strcmp(when, "always") == 0)
		has_colours = true;
	else if (strcmp(when, "never") == 0)
		has_colours = false;
	else if (strcmp(when, "auto") != 0)
		fail(STATUS_USAGE, "--color must be auto, always or never, not \"%s\"", when);
}

static error_t parse_option(int key, char *value, struct argp_state *state)
{
	(void)state;
	switch (key) {
	case OPTION_JSON:
		is_json = true;
		return 0;
	case OPTION_COLOR:
		choose_colours(value);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

const struct argp output_argp = { .options = options, .parser = parse_option };

void output_init(void)
{
	const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");

	is_terminal = isatty(STDOUT_FILENO);
	has_colours = is_terminal && !(no_color && *no_color) && !(term && strcmp(term, "dumb") == 0);
	signal(SIGPIPE, SIG_IGN); /* write() tells */
}

bool output_is_json(void)
{
	return is_json;
}

bool output_is_terminal(void)
{
	return is_terminal;
}

/* ---- writing */

static void check(bool ok)
{
	if (ok)
		return;
	if (errno == EPIPE)
		_exit(STATUS_OK); /* not exit(): it would flush once more */
	fprintf(stderr, "%s: standard output: %s\n", program_invocation_name, strerror(errno));
	_exit(STATUS_FAILED);
}

void output_bytes(const void *data, size_t size)
{
	check(fwrite(data, 1, size, stdout) == size);
}

void output_text(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	check(vprintf(format, arguments) >= 0);
	va_end(arguments);
}

void output_flush(void)
{
	check(fflush(stdout) == 0);
}

void output_json(json_object *record)
{
	output_text("%s\n", json_object_to_json_string_ext(record, JSON_C_TO_STRING_NOSLASHESCAPE));
	output_flush();
	json_object_put(record);
}

/* ---- colours */

const char *colour_begin(enum colour colour)
{
	static const char *const sequences[] = {
		[COLOUR_NONE] = "",	    [COLOUR_BOLD] = "\033[1m",	 [COLOUR_DIM] = "\033[2m",
		[COLOUR_RED] = "\033[31m",  [COLOUR_GREEN] = "\033[32m", [COLOUR_YELLOW] = "\033[33m",
		[COLOUR_BLUE] = "\033[34m", [COLOUR_CYAN] = "\033[36m",
	};

	return has_colours ? sequences[colour] : "";
}

const char *colour_end(void)
{
	return has_colours ? "\033[0m" : "";
}

/* ---- text of others */

/* The length of the UTF-8 character at @text that may be shown as it is, or 0. */
static size_t shown_length(const unsigned char *text, size_t size)
{
	static const unsigned int least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	unsigned int code, n;

	if (*text < 0x80)
		return *text >= 0x20 && *text != 0x7f;
	n = *text >= 0xf0 && *text < 0xf8   ? 4
	    : *text >= 0xe0 && *text < 0xf0 ? 3
	    : *text >= 0xc0 && *text < 0xe0 ? 2
					    : 0;
	if (n == 0 || n > size)
		return 0;
	code = *text & (0xff >> (n + 1));
	for (unsigned int i = 1; i < n; i++) {
		if ((text[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (text[i] & 0x3f);
	}
	/* Nothing longer than need be, no surrogates, no C1 controls. */
	return code >= least[n] && code <= 0x10ffff && code >= 0xa0 && (code < 0xd800 || code > 0xdfff) ? n : 0;
}

static void print_escaped(FILE *to, unsigned char c)
{
	static const char from[] = "\n\t\r\a\b\f\v\033", as[] = "ntrabfve";
	const char *at = c ? strchr(from, c) : NULL;

	if (at)
		fprintf(to, "\\%c", as[at - from]);
	else
		fprintf(to, "\\x%02x", c);
}

char *printable(const char *text, size_t size)
{
	char *shown = NULL;
	size_t length, n;
	FILE *to = open_memstream(&shown, &length);

	if (!to)
		fail(STATUS_FAILED, "out of memory");
	for (size_t i = 0; i < size; i += n ? n : 1) {
		n = shown_length((const unsigned char *)text + i, size - i);
		if (!n)
			print_escaped(to, (unsigned char)text[i]);
		else
			fwrite(text + i, 1, n, to);
	}
	if (fclose(to) != 0)
		fail(STATUS_FAILED, "out of memory");
	return shown;
}

json_object *json_text(const char *text, size_t size)
{
	char *copy = must_alloc(size * 3 + 1);
	json_object *string;
	size_t length = 0, n;

	for (size_t i = 0; i < size; i += n ? n : 1) {
		n = shown_length((const unsigned char *)text + i, size - i);
		if (!n && (unsigned char)text[i] < 0x80)
			n = 1; /* json-c escapes control characters */
		memcpy(copy + length, n ? text + i : "\xef\xbf\xbd", n ? n : 3);
		length += n ? n : 3;
	}
	string = json_object_new_string_len(copy, (int)length);
	free(copy);
	return string;
}

/* ---- tables */

struct table {
	const struct column *columns;
	json_object **rows;
	size_t n_rows;
};

struct table *table_new(const struct column *columns)
{
	struct table *t = must_alloc(sizeof *t);

	t->columns = columns;
	return t;
}

void table_add(struct table *t, json_object *row)
{
	if (is_json) {
		output_json(row);
		return;
	}
	t->rows = must_grow(t->rows, t->n_rows + 1, sizeof *t->rows);
	t->rows[t->n_rows++] = row;
}

/* Owned by the caller. */
static char *cell_text(json_object *row, const struct column *column)
{
	json_object *value;
	const char *text;

	if (!json_object_object_get_ex(row, column->key, &value) || !value)
		return must_print("-");
	text = json_object_get_string(value);
	return printable(text, strlen(text));
}

/* Characters, not bytes; that some are wider than others is not taken into account. */
static int width_of(const char *text)
{
	int width = 0;

	for (; *text; text++)
		width += (*text & 0xc0) != 0x80;
	return width;
}

static int column_width(const struct table *t, const struct column *column)
{
	int width = width_of(column->title), w;

	for (size_t i = 0; i < t->n_rows; i++) {
		char *text = cell_text(t->rows[i], column);

		w = width_of(text);
		width = w > width ? w : width;
		free(text);
	}
	return width;
}

static void print_cell(const char *text, enum colour colour, const struct column *column, int width)
{
	int pad = width - width_of(text);
	bool is_last = !column[1].key;

	if (column->kind == COLUMN_NUMBER)
		output_text("%*s%s%s%s%s", pad, "", colour_begin(colour), text, colour ? colour_end() : "",
			    is_last ? "\n" : "  ");
	else if (is_last)
		output_text("%s%s%s\n", colour_begin(colour), text, colour ? colour_end() : "");
	else
		output_text("%s%s%s%*s  ", colour_begin(colour), text, colour ? colour_end() : "", pad, "");
}

static void print_head(const struct table *t, const int *widths)
{
	for (int i = 0; t->columns[i].key; i++)
		print_cell(t->columns[i].title, COLOUR_BOLD, &t->columns[i], widths[i]);
}

static void print_row(const struct table *t, json_object *row, const int *widths)
{
	for (int i = 0; t->columns[i].key; i++) {
		char *text = cell_text(row, &t->columns[i]);

		print_cell(text, t->columns[i].colour, &t->columns[i], widths[i]);
		free(text);
	}
}

void table_print(struct table *t)
{
	int *widths, n = 0;

	while (t->columns[n].key)
		n++;
	widths = must_alloc((size_t)n * sizeof *widths);
	for (int i = 0; i < n; i++)
		widths[i] = column_width(t, &t->columns[i]);
	if (!is_json)
		print_head(t, widths);
	for (size_t i = 0; i < t->n_rows; i++) {
		print_row(t, t->rows[i], widths);
		json_object_put(t->rows[i]);
	}
	output_flush();
	free(widths);
	free(t->rows);
	free(t);
}
