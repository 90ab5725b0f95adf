/* SPDX-License-Identifier: MIT */
#ifndef COMMAND_OUTPUT_H
#define COMMAND_OUTPUT_H

/* What subcommands print. Each datum is a json object; with --json it is printed as one line as soon as it is there. Without,
 * it becomes a row of a table, or whatever text the subcommand makes of it.
 *
 * Colours appear on a terminal only, and nowhere when NO_COLOR is set and not empty, or TERM is "dumb"; --color says
 * otherwise. When nobody reads our output any more (a closed pipe), the command ends at once, quietly and well; any
 * other failure to write ends it with a message. */

#include <argp.h>
#include <json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* The options --json and --color: to be a child of the argp of each subcommand that prints data. */
extern const struct argp output_argp;
#define OUTPUT_CHILD \
	{ \
		&output_argp, 0, "Output:", 10 \
	}

void output_init(void); /* first of all, in main() */
bool output_is_json(void);
bool output_is_terminal(void);

enum colour { COLOUR_NONE, COLOUR_BOLD, COLOUR_DIM, COLOUR_RED, COLOUR_GREEN, COLOUR_YELLOW, COLOUR_BLUE, COLOUR_CYAN };

/* Escape sequences for standard output, or "" where there are no colours. */
const char *colour_begin(enum colour colour);
const char *colour_end(void);

/* One line of JSON; takes @record. */
void output_json(json_object *record);

/* Bytes and text, and their way out: everything that was printed is written when output_flush() returns. */
void output_bytes(const void *data, size_t size);
void output_text(const char *format, ...) __attribute__((format(printf, 1, 2)));
void output_flush(void);

/* @text as it can be shown on a line: control characters as \x1b, \n and the like, and bytes that are no UTF-8. Owned by the
 * caller. */
char *printable(const char *text, size_t size);

/* As printable(), for a json string, which has to be UTF-8: other bytes become U+FFFD. */
json_object *json_text(const char *text, size_t size);

/* ---- tables */

enum column_kind { COLUMN_TEXT, COLUMN_NUMBER };

struct column {
	const char *key;       /* of the json object; what it has not prints as "-" */
	const char *title;     /* of the table */
	enum column_kind kind; /* numbers stand right */
	enum colour colour;
};

struct table;

/* @columns is borrowed and ends with a null key. */
struct table *table_new(const struct column *columns);

/* Takes @row. With --json it is printed now, with all its members; otherwise kept. */
void table_add(struct table *t, json_object *row);

/* Prints what was kept, with its head, and frees the table. Without rows the head is printed all the same. */
void table_print(struct table *t);

#endif
