/* SPDX-License-Identifier: MIT */
/* portunus send: lines, whole files and descriptors as messages to a registered port. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <mach_error.h>
#include <mach/mig_errors.h>
#include <portunus/fileport.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "body.h"
#include "command.h"
#include "pipe.h"
#include "service.h"

enum { OPTION_FILE = 'f', OPTION_WHOLE = 'w', OPTION_END = 'e', OPTION_TIMEOUT = 't', OPTION_FD = 'd' };

/* A thing to be sent besides standard input, in the order of the command line. */
struct thing {
	int option;
	const char *value;
};

struct arguments {
	const char *name;
	char **words;
	struct thing *things;
	unsigned int n_things;
	bool is_whole, is_ended;
	mach_msg_timeout_t timeout;
};

struct sender {
	const char *name;
	mach_port_t port;
	mach_msg_timeout_t timeout;
};

static const struct item_type bytes_inline = { MACH_MSG_TYPE_CHAR, 8, true, true, false };
static const struct item_type bytes_copied = { MACH_MSG_TYPE_CHAR, 8, true, false, false };
static const struct item_type bytes_moved = { MACH_MSG_TYPE_CHAR, 8, true, false, true };
static const struct item_type name_type = { MACH_MSG_TYPE_STRING_C, 8, false, true, false };
static const struct item_type right_type = { MACH_MSG_TYPE_COPY_SEND, 0, false, true, false };

/* ---- sending */

static void __attribute__((noreturn)) cannot_send(const struct sender *s, mach_msg_return_t mr)
{
	switch (mr) {
	case MACH_SEND_INVALID_DEST:
	case MIG_SERVER_DIED:
		fail(STATUS_NOT_THERE, "\"%s\" has died, or dropped the message; start its receiver again", s->name);
	case MACH_SEND_TIMED_OUT:
		fail(STATUS_TIMED_OUT,
		     "the queue of \"%s\" stayed full; wait longer (--timeout), or start its receiver", s->name);
	case MACH_RCV_TIMED_OUT:
		fail(STATUS_TIMED_OUT, "\"%s\" has not taken the descriptor in time; wait longer (--timeout)", s->name);
	default:
		fail_result(mr, s->name);
	}
}

static void send_draft(const struct sender *s, struct draft *d, mach_port_t reply)
{
	mach_msg_return_t mr = draft_send(d, s->port, MACH_MSG_TYPE_COPY_SEND, reply, s->timeout);

	draft_deinit(d);
	if (mr)
		cannot_send(s, mr);
}

static void send_line(const struct sender *s, const char *line, size_t size)
{
	struct draft d;

	draft_init(&d, PIPE_LINE);
	draft_add(&d, size > PIPE_INLINE_MAX ? &bytes_copied : &bytes_inline, (uint32_t)size, line, size);
	send_draft(s, &d, MACH_PORT_NULL);
}

static void send_end(const struct sender *s)
{
	struct draft d;

	draft_init(&d, PIPE_END);
	send_draft(s, &d, MACH_PORT_NULL);
}

/* ---- standard input, line by line */

static void send_lines(const struct sender *s)
{
	char *line = NULL;
	size_t room = 0;
	ssize_t size;

	while ((size = getline(&line, &room, stdin)) >= 0) {
		if (size > 0 && line[size - 1] == '\n')
			size--;
		if (size > UINT32_MAX)
			fail(STATUS_FAILED,
			     "standard input: a line of 4 gigabytes is too long for a message; try --whole");
		send_line(s, line, (size_t)size);
	}
	if (ferror(stdin))
		fail(STATUS_FAILED, "standard input: %s", strerror(errno));
	free(line);
}

/* ---- what is read whole, into pages that then belong to the message */

struct pages {
	vm_address_t at;
	size_t size, room;
};

static void pages_grow(struct pages *p, size_t room)
{
	vm_address_t larger;
	kern_return_t kr = vm_allocate(mach_task_self(), &larger, room, TRUE);

	if (kr)
		fail_result(kr, "no memory for what is to be sent");
	if (p->size)
		memcpy((void *)larger, (const void *)p->at, p->size);
	if (p->room)
		vm_deallocate(mach_task_self(), p->at, p->room);
	p->at = larger;
	p->room = room;
}

static void pages_read(struct pages *p, int fd, const char *path)
{
	struct stat status;
	ssize_t n;

	*p = (struct pages){ 0 };
	if (fstat(fd, &status) < 0)
		fail(STATUS_FAILED, "%s: %s", path, strerror(errno));
	pages_grow(p, S_ISREG(status.st_mode) && status.st_size > 0 ? (size_t)status.st_size + 1 : 1 << 16);
	while ((n = read(fd, (char *)p->at + p->size, p->room - p->size)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			fail(STATUS_FAILED, "%s: %s", path, strerror(errno));
		p->size += (size_t)n;
		if (p->size > UINT32_MAX)
			fail(STATUS_FAILED, "%s: 4 gigabytes are too much for one message; pass its descriptor (--fd)",
			     path);
		if (p->size == p->room)
			pages_grow(p, 2 * p->room);
	}
}

/* What lies on the pages behind it is not sent. */
static void add_pages(struct draft *d, const struct pages *p)
{
	if (p->size)
		draft_add(d, &bytes_moved, (uint32_t)p->size, (const void *)p->at, p->size);
	else
		draft_add(d, &bytes_copied, 0, NULL, 0);
}

static void send_whole(const struct sender *s)
{
	struct pages pages;
	struct draft d;

	pages_read(&pages, STDIN_FILENO, "standard input");
	draft_init(&d, PIPE_DATA);
	if (pages.size > PIPE_INLINE_MAX)
		add_pages(&d, &pages);
	else
		draft_add(&d, &bytes_inline, (uint32_t)pages.size, (const void *)pages.at, pages.size);
	send_draft(s, &d, MACH_PORT_NULL);
}

static void add_name(struct draft *d, const char *name)
{
	size_t length = strlen(name);
	char text[PIPE_NAME_MAX] = { 0 };

	memcpy(text, name, length < sizeof text ? length : sizeof text - 1);
	length = strlen(text) + 1;
	draft_add(d, &name_type, (uint32_t)length, text, length);
}

static void send_file(const struct sender *s, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct pages pages;
	struct draft d;

	if (fd < 0)
		fail(STATUS_FAILED, "%s: %s", path, strerror(errno));
	pages_read(&pages, fd, path);
	close(fd);
	draft_init(&d, PIPE_FILE);
	add_name(&d, basename(path));
	add_pages(&d, &pages);
	send_draft(s, &d, MACH_PORT_NULL);
}

/* ---- descriptors */

/* Its end would be the end of the file, too: so until whoever receives has taken it. */
static void await_answer(const struct sender *s, mach_port_t reply)
{
	struct received r;
	mig_reply_header_t answer;
	mach_msg_return_t mr;

	received_init(&r);
	mr = receive(&r, reply, s->timeout);
	if (mr)
		cannot_send(s, mr);
	memcpy(&answer, r.message, sizeof answer);
	if (r.message->msgh_id != PIPE_DESCRIPTOR_ANSWER || r.message->msgh_size < sizeof answer)
		cannot_send(s, MIG_SERVER_DIED);
	if (answer.RetCode)
		fail(STATUS_ANSWER, "\"%s\" has not taken the descriptor: %s", s->name,
		     mach_error_string(answer.RetCode));
	received_deinit(&r);
}

static void name_of_descriptor(int fd, char *name, size_t room)
{
	char link[32];
	ssize_t length;

	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	length = readlink(link, name, room - 1);
	name[length < 0 ? 0 : length] = '\0';
}

static void send_descriptor(const struct sender *s, const char *number)
{
	int fd = (int)number_of(number, "--fd", 0, INT_MAX);
	char name[PIPE_NAME_MAX];
	mach_port_t right, reply = mach_reply_port();
	struct draft d;

	if (fileport_makeport(fd, &right) < 0)
		fail(STATUS_FAILED, "descriptor %d: %s; redirect it, as in %d<FILE", fd, strerror(errno), fd);
	name_of_descriptor(fd, name, sizeof name);
	draft_init(&d, PIPE_DESCRIPTOR);
	add_name(&d, name);
	draft_add(&d, &right_type, 1, &right, sizeof right);
	send_draft(s, &d, reply);
	await_answer(s, reply);
	mach_port_deallocate(mach_task_self(), right);
	mach_port_mod_refs(mach_task_self(), reply, MACH_PORT_RIGHT_RECEIVE, -1);
}

/* ---- the command */

/* As echo does. */
static void send_words(const struct sender *s, char **words)
{
	char *line = must_print("%s", *words), *longer;

	while (*++words) {
		longer = must_print("%s %s", line, *words);
		free(line);
		line = longer;
	}
	send_line(s, line, strlen(line));
	free(line);
}

static const struct argp_option options[] = {
	{ "file", OPTION_FILE, "FILE", 0, "Send FILE, out of line; may be repeated", 0 },
	{ "fd", OPTION_FD, "N", 0, "Pass descriptor N on, and wait until it is taken; may be repeated", 0 },
	{ "whole", OPTION_WHOLE, NULL, 0, "Send standard input as one message, not line by line", 0 },
	{ "end", OPTION_END, NULL, 0, "At last say that this was all: \"portunus recv\" ends then", 0 },
	{ "timeout", OPTION_TIMEOUT, "SECONDS", 0, "Give up on a message when the queue stays full so long", 0 },
	{ 0 },
};

static void add_thing(struct arguments *a, int option, const char *value)
{
	a->things = must_grow(a->things, a->n_things + 1, sizeof *a->things);
	a->things[a->n_things++] = (struct thing){ option, value };
}

static error_t parse(int key, char *value, struct argp_state *state)
{
	struct arguments *a = state->input;

	switch (key) {
	case OPTION_FILE:
	case OPTION_FD:
		add_thing(a, key, value);
		return 0;
	case OPTION_WHOLE:
		a->is_whole = true;
		return 0;
	case OPTION_END:
		a->is_ended = true;
		return 0;
	case OPTION_TIMEOUT:
		a->timeout = milliseconds_of(value, "--timeout");
		return 0;
	case ARGP_KEY_ARG:
		if (a->name)
			return ARGP_ERR_UNKNOWN; /* what follows comes as ARGP_KEY_ARGS */
		a->name = value;
		return 0;
	case ARGP_KEY_ARGS:
		a->words = state->argv + state->next;
		return 0;
	case ARGP_KEY_NO_ARGS:
		fail(STATUS_USAGE, "to whom? portunus send NAME");
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	.options = options,
	.parser = parse,
	.args_doc = "NAME [WORD...]",
	.doc = "Send messages to a registered port: each line of standard input, or the words, or what the options say."
	       "\vWhile the queue is full it waits, as one does who writes to a pipe. portunus(1) describes the messages.",
};

static int run(int argc, char **argv)
{
	struct arguments a = { 0 };
	struct sender s;

	command_parse(&argp, argc, argv, 0, &a);
	if (a.is_whole && (a.words || a.n_things))
		fail(STATUS_USAGE,
		     "--whole is about standard input, which is not sent along with words, --file or --fd");
	s = (struct sender){ .name = a.name, .port = service_look_up(a.name), .timeout = a.timeout };
	if (a.words)
		send_words(&s, a.words);
	for (unsigned int i = 0; i < a.n_things; i++)
		(a.things[i].option == OPTION_FILE ? send_file : send_descriptor)(&s, a.things[i].value);
	if (a.is_whole)
		send_whole(&s);
	else if (!a.words && !a.n_things)
		send_lines(&s);
	if (a.is_ended)
		send_end(&s);
	return STATUS_OK;
}

const struct command send_command = {
	.name = "send",
	.summary = "send lines, files or descriptors to a registered port",
	.argp = &argp,
	.operand = OPERAND_NAME,
	.run = run,
};
