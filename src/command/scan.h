/* SPDX-License-Identifier: MIT */
#ifndef COMMAND_SCAN_H
#define COMMAND_SCAN_H

/* The words of a .defs file after the preprocessor, with the place where each stands. */

#include <stdbool.h>
#include <stdint.h>

#include "defs.h"

enum token { TOKEN_END, TOKEN_WORD, TOKEN_NUMBER, TOKEN_STRING, TOKEN_FILE, TOKEN_SIGN };

struct scan {
	char *text; /* all of it, owned */
	const char *at;
	/* where at is, by the line marks that the preprocessor leaves */
	char *file;
	int line;
	/* the present token */
	enum token token;
	char *word; /* of a WORD, STRING or FILE, without quotes; for a SIGN, the character */
	uint64_t number;
	char *token_file;
	int token_line;
};

/* Runs the preprocessor, as MIG of this layout does, and stands at the first token. Its errors end the command. */
void scan_init(struct scan *s, const char *file, const struct defs_flags *flags);

/* Whether there is a preprocessor, and Mach's own interfaces, which nearly all others include. */
bool scan_is_possible(void);

void scan_next(struct scan *s);

/* Whether it stands at this word, or sign; scan_skip() goes on if it does. */
bool scan_is(const struct scan *s, const char *word);
bool scan_skip(struct scan *s, const char *word);
void scan_need(struct scan *s, const char *word);

/* The word that it stands at, which is no sign; goes on. @what: for the message if there is none. */
char *scan_word(struct scan *s, const char *what);

/* "FILE:LINE: ...", and the end. */
void scan_wrong(const struct scan *s, const char *format, ...) __attribute__((noreturn, format(printf, 2, 3)));

#endif
