/* SPDX-License-Identifier: MIT */
#include "scan.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <portunus/abi.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "command.h"

extern char **environ;

/* ---- the preprocessor */

/* MIG of the layout of 4 bytes hides from the files for which processor they are read. */
static const char *const mig_way[] = {
#if defined(PORTUNUS_MIG_ABI_PACKED4)
	"-undef",
	"-ansi",
#endif
	NULL,
};

static char *read_all(FILE *from)
{
	char *text = NULL;
	size_t size = 0, n, room = 0;

	do {
		room = 2 * room + 65536;
		text = must_grow(text, room, 1);
		n = fread(text + size, 1, room - size - 1, from);
		size += n;
	} while (size == room - 1);
	text[size] = '\0';
	return text;
}

/* The line of its messages that says what is wrong. */
static void __attribute__((noreturn)) preprocessor_failed(const char *file, const char *said)
{
	const char *error = strstr(said, "error: "), *start = error ? error : said;

	while (start > said && start[-1] != '\n')
		start--;
	if (!*start)
		fail(STATUS_DEFS, "%s: the C preprocessor failed and did not say why; look at CPP and CC", file);
	fail(STATUS_DEFS, "%.*s", (int)strcspn(start, "\n"), start);
}

/* $CPP, or $CC -E, or cc -E, as MIG has it; what these hold may be several words. */
static char *preprocessor(void)
{
	const char *cpp = getenv("CPP"), *cc = getenv("CC");

	if (cpp && *cpp)
		return must_print("%s", cpp);
	return must_print("%s -E -x c", cc && *cc ? cc : "cc");
}

static char **preprocessor_words(const char *file, const struct defs_flags *flags)
{
	char **words = must_alloc((64 + flags->n) * sizeof *words), *rest = preprocessor();
	size_t n = 0;

	for (char *word; n < 32 && (word = strtok_r(rest, " \t", &rest));)
		words[n++] = word;
	for (const char *const *word = mig_way; *word; word++)
		words[n++] = (char *)*word;
	for (unsigned int i = 0; i < flags->n; i++)
		words[n++] = (char *)flags->words[i];
	words[n++] = (char *)"-I" PORTUNUS_INCLUDE_DIR;
	words[n] = (char *)file;
	return words;
}

/* Returns what it ends with, or -1 with errno if it cannot be run. */
static int run_preprocessor(char **words, FILE *out, FILE *err)
{
	posix_spawn_file_actions_t actions;
	int status;
	pid_t pid;

	if (!out || !err)
		fail(STATUS_FAILED, "no temporary file: %s", strerror(errno));
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, fileno(out), STDOUT_FILENO);
	posix_spawn_file_actions_adddup2(&actions, fileno(err), STDERR_FILENO);
	errno = posix_spawnp(&pid, words[0], &actions, NULL, words, environ);
	posix_spawn_file_actions_destroy(&actions);
	if (errno)
		return -1;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	return status;
}

bool scan_is_possible(void)
{
	struct defs_flags flags = { 0 };
	FILE *out = tmpfile(), *err = tmpfile();
	char **words;
	int status;

	defs_add_flag(&flags, "-include", "mach/std_types.defs");
	words = preprocessor_words("/dev/null", &flags);
	status = run_preprocessor(words, out, err);
	fclose(out);
	fclose(err);
	return status == 0;
}

static char *preprocess(const char *file, const struct defs_flags *flags)
{
	char **words = preprocessor_words(file, flags), *text, *said;
	FILE *out = tmpfile(), *err = tmpfile();
	int status = run_preprocessor(words, out, err);

	if (status < 0)
		fail(STATUS_FAILED, "the C preprocessor \"%s\" cannot be run: %s; install a C compiler, or set CPP",
		     words[0], strerror(errno));
	rewind(out);
	rewind(err);
	text = read_all(out);
	said = read_all(err);
	if (status)
		preprocessor_failed(file, said);
	free(said);
	fclose(out);
	fclose(err);
	return text;
}

/* ---- tokens */

void scan_wrong(const struct scan *s, const char *format, ...)
{
	va_list arguments;
	char *what = NULL;

	va_start(arguments, format);
	if (vasprintf(&what, format, arguments) < 0)
		what = NULL;
	va_end(arguments);
	fail(STATUS_DEFS, "%s:%d: %s", s->token_file, s->token_line, what ? what : "out of memory");
}

/* # LINE "FILE" FLAGS: what follows stands there. */
static void read_mark(struct scan *s)
{
	const char *end = s->at + strcspn(s->at, "\n"), *open = memchr(s->at, '"', (size_t)(end - s->at)), *close;

	s->line = atoi(s->at + 1) - 1; /* the end of this line counts */
	close = open ? memchr(open + 1, '"', (size_t)(end - open - 1)) : NULL;
	if (close)
		s->file = strndup(open + 1, (size_t)(close - open - 1));
	s->at = end;
}

static void skip_blanks(struct scan *s)
{
	for (;; s->at++) {
		if (*s->at == '\n')
			s->line++;
		else if (*s->at == '#' && (s->at == s->text || s->at[-1] == '\n'))
			read_mark(s), s->at--;
		else if (!isspace((unsigned char)*s->at))
			return;
	}
}

static void take(struct scan *s, enum token token, size_t length, size_t quotes)
{
	s->token = token;
	s->word = strndup(s->at + quotes, length - 2 * quotes);
	s->at += length;
}

static void take_number(struct scan *s)
{
	char *end;

	errno = 0;
	s->number = strtoull(s->at, &end, 0);
	if (errno || isalnum((unsigned char)*end) || *end == '_')
		scan_wrong(s, "\"%.*s\" is no number",
			   (int)strspn(s->at, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_"),
			   s->at);
	take(s, TOKEN_NUMBER, (size_t)(end - s->at), 0);
}

static void take_quoted(struct scan *s, enum token token, char end)
{
	const char *close = s->at + 1 + strcspn(s->at + 1, (const char[]){ end, '\n', 0 });

	if (*close != end)
		scan_wrong(s, "%c is never closed", *s->at);
	take(s, token, (size_t)(close + 1 - s->at), 1);
}

void scan_next(struct scan *s)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789";
	bool follows_import = s->token == TOKEN_WORD && strstr(s->word, "import");

	skip_blanks(s);
	s->token_file = s->file;
	s->token_line = s->line;
	if (!*s->at)
		take(s, TOKEN_END, 0, 0);
	else if (isdigit((unsigned char)*s->at))
		take_number(s);
	else if (isalpha((unsigned char)*s->at) || *s->at == '_')
		take(s, TOKEN_WORD, strspn(s->at, letters), 0);
	else if (*s->at == '"')
		take_quoted(s, TOKEN_STRING, '"');
	else if (*s->at == '<' && follows_import)
		take_quoted(s, TOKEN_FILE, '>');
	else
		take(s, TOKEN_SIGN, 1, 0);
}

void scan_init(struct scan *s, const char *file, const struct defs_flags *flags)
{
	if (access(file, R_OK) < 0)
		fail(STATUS_DEFS, "%s: %s; give the path of an interface file (.defs)", file, strerror(errno));
	*s = (struct scan){ .text = preprocess(file, flags), .file = (char *)file, .line = 1 };
	s->at = s->text;
	s->word = (char *)"";
	scan_next(s);
}

bool scan_is(const struct scan *s, const char *word)
{
	return (s->token == TOKEN_WORD || s->token == TOKEN_SIGN) && strcasecmp(s->word, word) == 0;
}

bool scan_skip(struct scan *s, const char *word)
{
	bool is = scan_is(s, word);

	if (is)
		scan_next(s);
	return is;
}

static char *present(const struct scan *s)
{
	return s->token == TOKEN_END ? must_print("the end of the file") : must_print("\"%s\"", s->word);
}

void scan_need(struct scan *s, const char *word)
{
	if (!scan_skip(s, word))
		scan_wrong(s, "here has to be \"%s\", not %s", word, present(s));
}

char *scan_word(struct scan *s, const char *what)
{
	char *word = s->word;

	if (s->token != TOKEN_WORD)
		scan_wrong(s, "here has to be %s, not %s", what, present(s));
	scan_next(s);
	return word;
}
