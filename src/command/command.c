/* SPDX-License-Identifier: MIT */
#include "command.h"

#include <errno.h>
#include <mach_error.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *own_name = "portunus";

void command_set_name(const char *name)
{
	own_name = name;
	program_invocation_name = program_invocation_short_name = (char *)name; /* what argp and getopt write */
}

const struct command *command_find(const char *name)
{
	for (const struct command *const *c = commands; *c; c++)
		if (strcmp((*c)->name, name) == 0)
			return *c;
	return NULL;
}

void command_parse(const struct argp *argp, int argc, char **argv, unsigned int flags, void *input)
{
	error_t error = argp_parse(argp, argc, argv, flags, NULL, input);

	if (error)
		fail(STATUS_FAILED, "%s", strerror(error));
}

/* ---- saying what is wrong */

static void say(const char *format, va_list arguments)
{
	fflush(stdout); /* what came before it comes before it */
	fprintf(stderr, "%s: ", own_name);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
}

void warn(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	say(format, arguments);
	va_end(arguments);
}

static void (*before_fail)(void);

void command_before_fail(void (*f)(void))
{
	before_fail = f;
}

void fail(enum status status, const char *format, ...)
{
	va_list arguments;

	if (before_fail)
		before_fail();
	va_start(arguments, format);
	say(format, arguments);
	va_end(arguments);
	exit(status);
}

void fail_result(kern_return_t result, const char *what)
{
	fail(STATUS_FAILED, "%s: %s", what, mach_error_string(result));
}

/* ---- reading words */

unsigned long number_of(const char *text, const char *what, unsigned long least, unsigned long most)
{
	unsigned long number;
	char *end;

	errno = 0;
	number = strtoul(text, &end, 0);
	if (errno || end == text || *end || *text == '-' || number < least || number > most)
		fail(STATUS_USAGE, "%s must be a number from %lu to %lu, not \"%s\"", what, least, most, text);
	return number;
}

unsigned int milliseconds_of(const char *text, const char *what)
{
	char *end;
	double seconds = strtod(text, &end);

	if (end == text || *end || !(seconds >= 0 && seconds <= 1e6))
		fail(STATUS_USAGE, "%s must be seconds, 0 to 1000000, not \"%s\"", what, text);
	return seconds < 0.001 ? 1 : (unsigned int)(seconds * 1000);
}

/* ---- memory */

static void *checked(void *memory)
{
	if (!memory)
		fail(STATUS_FAILED, "out of memory");
	return memory;
}

void *must_alloc(size_t size)
{
	return checked(calloc(1, size ? size : 1));
}

void *must_grow(void *memory, size_t n, size_t size)
{
	return checked(reallocarray(memory, n ? n : 1, size));
}

char *must_print(const char *format, ...)
{
	char *text = NULL;
	va_list arguments;

	va_start(arguments, format);
	if (vasprintf(&text, format, arguments) < 0)
		text = NULL;
	va_end(arguments);
	return checked(text);
}
