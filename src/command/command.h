/* SPDX-License-Identifier: MIT */
#ifndef COMMAND_COMMAND_H
#define COMMAND_COMMAND_H

/* The command `portunus`: one program, and a subcommand for each thing that one wants to see or do. Each is a file of its
 * own that offers one `struct command`; commands.c has the table of them, from which help and completion are made. A
 * subcommand runs once in a process, so it leaves its memory and its rights to the end of the process, unless it works
 * without end.
 *
 * It uses the public interface only, as anybody's program would. */

#include <argp.h>
#include <stdbool.h>

#include <mach/kern_return.h>

/* The exit statuses, as portunus(1) documents them. */
enum status {
	STATUS_OK = 0,
	STATUS_FAILED = 1,	    /* it could not be done; the message says why */
	STATUS_USAGE = 2,	    /* wrong options or arguments */
	STATUS_NO_BROKER = 3,	    /* none listens and none could be started */
	STATUS_NOT_THERE = 4,	    /* no such name, process or routine; or it has died meanwhile */
	STATUS_REFUSED = 5,	    /* it is there, but another user's */
	STATUS_DEFS = 6,	    /* an interface file is wrong */
	STATUS_ANSWER = 7,	    /* call: the server answered with an error */
	STATUS_TIMED_OUT = 8,	    /* nothing came in the time that --timeout gave */
	STATUS_RUN_FAILED = 125,    /* run, trace: the program was not started: what 1, 3 and 4 are elsewhere */
	STATUS_RUN_CANNOT = 126,    /* run, trace: it is no program */
	STATUS_RUN_NOT_FOUND = 127, /* run, trace: there is no such program */
};

/* What the words after a subcommand are, for completion in a shell. */
enum operand { OPERAND_NONE, OPERAND_NAME, OPERAND_PID, OPERAND_PROGRAM, OPERAND_SHELL, OPERAND_CALL };

struct command {
	const char *name;
	const char *summary;	 /* a few words, for the list of commands */
	const struct argp *argp; /* its options, for completion too */
	enum operand operand;
	int (*run)(int argc, char **argv); /* argv[0] is "portunus NAME". Returns a status */
};

/* All commands, in the order of the list in the help; ends with a null pointer. */
extern const struct command *const commands[];

const struct command *command_find(const char *name); /* NULL if there is none */

/* The name for messages: "portunus", then "portunus SUBCOMMAND". */
void command_set_name(const char *name);

/* argp_parse() with our name, and with everything that is no option left where it stands (a COMMAND has options, too). */
void command_parse(const struct argp *argp, int argc, char **argv, unsigned int flags, void *input);

/* One line on standard error; then the end. The line says what is wrong and what to do. */
void fail(enum status status, const char *format, ...) __attribute__((noreturn, format(printf, 2, 3)));
/* What has to be done before such a line can be seen. */
void command_before_fail(void (*f)(void));
void warn(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* For a result that says nothing special here: "what: the result's text". */
void fail_result(kern_return_t result, const char *what) __attribute__((noreturn));

/* A whole number between @least and @most, or a line about the option that it was given for, and the end. */
unsigned long number_of(const char *text, const char *what, unsigned long least, unsigned long most);

/* Seconds, with a fraction if one likes, as milliseconds, at least one. */
unsigned int milliseconds_of(const char *text, const char *what);

/* Memory, or the end. */
void *must_alloc(size_t size); /* zeroed */
void *must_grow(void *memory, size_t n, size_t size);
char *must_print(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
