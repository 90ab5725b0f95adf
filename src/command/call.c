/* SPDX-License-Identifier: MIT */
/* portunus call: RPCs to any MIG server, from the text of its interface. */
#include <mach_error.h>
#include <mach/mig_errors.h>
#include <stdlib.h>
#include <string.h>

#include "body.h"
#include "command.h"
#include "defs.h"
#include "output.h"
#include "service.h"
#include "value.h"

#define REPLY_DISTANCE 100

struct arguments {
	char **words;
	struct defs_flags flags;
	mach_msg_timeout_t timeout;
	bool is_list;
};

/* One call: ROUTINE[@RESULT] ARGUMENT... */
struct call {
	const struct routine *routine;
	mach_port_t port;
	char **words; /* of the arguments, in order */
	unsigned int n_words;
	mach_msg_timeout_t timeout;
	json_object *results;
};

/* ---- results of earlier calls, for later ones */

static struct result {
	const char *name;
	mach_port_t right;
} * results;
static unsigned int n_results;

static void keep_result(const char *name, mach_port_t right)
{
	results = must_grow(results, n_results + 1, sizeof *results);
	results[n_results++] = (struct result){ name, right };
}

static mach_port_t find_result(const char *name)
{
	for (unsigned int i = n_results; i-- > 0;)
		if (strcmp(results[i].name, name) == 0)
			return results[i].right;
	return MACH_PORT_NULL;
}

/* ---- the request */

static bool is_given(const struct argument *a)
{
	return argument_is_sent(a) || a->direction == DIRECTION_TIMEOUT;
}

static unsigned int count_given(const struct routine *r)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < r->n_arguments; i++)
		n += is_given(&r->arguments[i]);
	return n;
}

/* "NAME(a: int, out b: int)", as one would call it. */
static char *usage_of(const struct routine *r)
{
	static const char *const ways[] = { "", "out ", "inout ", "", "", "", "", "" };
	char *text = must_print("%s", r->name), *longer;

	for (unsigned int i = 0; i < r->n_arguments; i++) {
		const struct argument *a = &r->arguments[i];

		if (!is_given(a) && !argument_is_received(a))
			continue;
		longer = must_print("%s%s%s%s: %s", text, strchr(text, '(') ? ", " : "(", ways[a->direction], a->name,
				    type_text(a->type));
		free(text);
		text = longer;
	}
	return must_print("%s%s", text, strchr(text, '(') ? ")" : "()");
}

static uint32_t number_in(const struct value *v)
{
	uint32_t number = 0;

	memcpy(&number, v->data, v->size < sizeof number ? v->size : sizeof number);
	return number;
}

static void read_arguments(struct call *c, struct draft *d)
{
	const struct routine *r = c->routine;
	char **word = c->words;

	for (unsigned int i = 0; i < r->n_arguments; i++) {
		const struct argument *a = &r->arguments[i];
		struct value v;

		if (!is_given(a))
			continue;
		v = value_read(a->type, *word++, must_print("%s: %s", r->name, a->name), find_result);
		if (a->direction == DIRECTION_TIMEOUT)
			c->timeout = number_in(&v);
		else
			value_add(d, a->type, &v);
	}
}

static const struct argument *find_direction(const struct routine *r, enum direction direction)
{
	for (unsigned int i = 0; i < r->n_arguments; i++)
		if (r->arguments[i].direction == direction)
			return &r->arguments[i];
	return NULL;
}

/* How the port that is asked is named in the message. A send right that a client would move is copied: it may be asked again. */
static mach_msg_type_name_t request_disposition(const struct routine *r)
{
	const struct type *type = find_direction(r, DIRECTION_REQUEST)->type;

	return type->received == MACH_MSG_TYPE_PORT_SEND_ONCE ? MACH_MSG_TYPE_MOVE_SEND_ONCE : MACH_MSG_TYPE_COPY_SEND;
}

/* ---- the answer */

static void __attribute__((noreturn)) cannot_call(const struct call *c, mach_msg_return_t mr)
{
	switch (mr) {
	case MACH_SEND_INVALID_DEST:
	case MIG_SERVER_DIED:
		fail(STATUS_NOT_THERE, "%s: the server has died, or dropped the request", c->routine->name);
	case MACH_SEND_TIMED_OUT:
	case MACH_RCV_TIMED_OUT:
		fail(STATUS_TIMED_OUT, "%s: no answer in time; wait longer (--timeout)", c->routine->name);
	default:
		fail_result(mr, c->routine->name);
	}
}

static void __attribute__((noreturn)) answered_with(const struct call *c, kern_return_t kr)
{
	if (output_is_json()) {
		json_object *o = json_object_new_object();

		json_object_object_add(o, "routine", json_object_new_string(c->routine->name));
		json_object_object_add(o, "error", json_object_new_int(kr));
		json_object_object_add(o, "message", json_object_new_string(mach_error_string(kr)));
		output_json(o);
	}
	if (kr == MIG_BAD_ID)
		fail(STATUS_ANSWER, "%s: the server does not know this routine (MIG_BAD_ID); is it its interface?",
		     c->routine->name);
	if (kr == MIG_BAD_ARGUMENTS)
		fail(STATUS_ANSWER, "%s: the server expects other arguments (MIG_BAD_ARGUMENTS); is it its interface?",
		     c->routine->name);
	fail(STATUS_ANSWER, "%s: the server answered: %s (%d)", c->routine->name, mach_error_string(kr), kr);
}

static void __attribute__((noreturn)) answer_is_wrong(const struct call *c, const char *what)
{
	fail(STATUS_FAILED, "%s: the answer does not fit the interface: %s; is it the server's?", c->routine->name,
	     what);
}

static void take_code(const struct call *c, struct body *b)
{
	kern_return_t code;
	struct item item;

	if (body_next(b, &item) != BODY_ITEM || item.type != MACH_MSG_TYPE_INTEGER_32 || item.bits != 32 ||
	    item.number != 1 || !item.is_inline)
		answer_is_wrong(c, "it has no code");
	memcpy(&code, item.data, sizeof code);
	if (code)
		answered_with(c, code);
}

static void take_result(struct call *c, const struct argument *a, const struct item *item)
{
	if (!value_fits(a->type, item))
		answer_is_wrong(c, must_print("%s is no %s", a->name, type_text(a->type)));
	json_object_object_add(c->results, a->name, value_show(a->type, item));
	if (type_is_right(a->type) && a->type->kind == TYPE_SCALAR)
		keep_result(a->name, item_right(item, 0));
}

static void take_answer(struct call *c, const struct received *r)
{
	struct body body;
	struct item item;

	if (r->message->msgh_id == MACH_NOTIFY_SEND_ONCE)
		cannot_call(c, MIG_SERVER_DIED);
	if (r->message->msgh_id != c->routine->id + REPLY_DISTANCE)
		answer_is_wrong(c, must_print("it has id %d", r->message->msgh_id));
	body_init(&body, r->message, r->message->msgh_size);
	take_code(c, &body);
	for (unsigned int i = 0; i < c->routine->n_arguments; i++) {
		const struct argument *a = &c->routine->arguments[i];

		if (!argument_is_received(a))
			continue;
		if (body_next(&body, &item) != BODY_ITEM)
			answer_is_wrong(c, must_print("it has no %s", a->name));
		take_result(c, a, &item);
	}
	if (body_next(&body, &item) != BODY_END)
		answer_is_wrong(c, "it has more than the results");
}

static void print_results(const struct call *c)
{
	if (output_is_json()) {
		json_object *o = json_object_new_object();

		json_object_object_add(o, "routine", json_object_new_string(c->routine->name));
		json_object_object_add(o, "results", json_object_get(c->results));
		output_json(o);
		return;
	}
	for (unsigned int i = 0; i < c->routine->n_arguments; i++) {
		const struct argument *a = &c->routine->arguments[i];
		json_object *value;
		char *text;

		if (!argument_is_received(a) || !json_object_object_get_ex(c->results, a->name, &value))
			continue;
		text = value_text(a->type, value);
		output_text("%s%s:%s %s\n", colour_begin(COLOUR_BOLD), a->name, colour_end(), text);
		free(text);
	}
	output_flush();
}

/* ---- a call */

static void call(struct call *c)
{
	mach_port_t reply = c->routine->is_simple ? MACH_PORT_NULL : mach_reply_port();
	struct received r;
	mach_msg_return_t mr;
	struct draft d;

	c->results = json_object_new_object();
	draft_init(&d, c->routine->id);
	read_arguments(c, &d);
	mr = draft_send(&d, c->port, request_disposition(c->routine), reply, c->timeout);
	draft_deinit(&d);
	if (mr)
		cannot_call(c, mr);
	if (!c->routine->is_simple) {
		received_init(&r);
		mr = receive(&r, reply, c->timeout);
		if (mr)
			cannot_call(c, mr);
		take_answer(c, &r);
		received_deinit(&r);
		mach_port_mod_refs(mach_task_self(), reply, MACH_PORT_RIGHT_RECEIVE, -1);
	}
	print_results(c);
	json_object_put(c->results);
}

/* ROUTINE or ROUTINE@RESULT. */
static void choose(struct call *c, const struct interface *i, char *word, mach_port_t service)
{
	char *at = strchr(word, '@');

	if (at)
		*at++ = '\0';
	c->routine = defs_find(i, word);
	if (!c->routine)
		fail(STATUS_NOT_THERE, "%s has no routine \"%s\"; \"portunus call --list NAME %s\" lists them", i->file,
		     word, i->file);
	c->port = at ? find_result(at) : service;
	if (!MACH_PORT_VALID(c->port))
		fail(STATUS_USAGE, "%s: no earlier call has given a right \"%s\"", word, at ? at : "");
}

/* All calls of the command line, each ended by a word "+". */
static void call_all(const struct interface *i, char **words, mach_port_t service, mach_msg_timeout_t timeout)
{
	while (*words) {
		struct call c = { .timeout = timeout };

		choose(&c, i, *words++, service);
		c.words = words;
		for (; *words && strcmp(*words, "+") != 0; words++)
			c.n_words++;
		if (c.n_words != count_given(c.routine))
			fail(STATUS_USAGE, "%s wants %u arguments, not %u: %s", c.routine->name, count_given(c.routine),
			     c.n_words, usage_of(c.routine));
		if (*words)
			words++;
		call(&c);
	}
}

static int list(const struct interface *i)
{
	for (unsigned int n = 0; n < i->n_routines; n++) {
		const struct routine *r = &i->routines[n];
		char *usage = usage_of(r);

		if (output_is_json()) {
			json_object *o = json_object_new_object();

			json_object_object_add(o, "routine", json_object_new_string(r->name));
			json_object_object_add(o, "id", json_object_new_int(r->id));
			json_object_object_add(o, "simple", json_object_new_boolean(r->is_simple));
			json_object_object_add(o, "usage", json_object_new_string(usage));
			output_json(o);
		} else {
			output_text("%d %s\n", r->id, usage);
		}
		free(usage);
	}
	return STATUS_OK;
}

/* ---- the command */

enum { OPTION_LIST = 'l', OPTION_TIMEOUT = 't', OPTION_INCLUDE = 'I', OPTION_DEFINE = 'D' };

static const struct argp_option options[] = {
	{ "include", OPTION_INCLUDE, "DIR", 0, "Look for included interfaces in DIR, too", 0 },
	{ "define", OPTION_DEFINE, "NAME[=VALUE]", 0, "Define NAME for the C preprocessor", 0 },
	{ "list", OPTION_LIST, NULL, 0, "Only list what the interface has", 0 },
	{ "timeout", OPTION_TIMEOUT, "SECONDS", 0, "Wait for each answer not longer than so", 0 },
	{ 0 },
};

static error_t parse(int key, char *value, struct argp_state *state)
{
	struct arguments *a = state->input;

	switch (key) {
	case OPTION_INCLUDE:
		defs_add_flag(&a->flags, "-I", value);
		return 0;
	case OPTION_DEFINE:
		defs_add_flag(&a->flags, "-D", value);
		return 0;
	case OPTION_LIST:
		a->is_list = true;
		return 0;
	case OPTION_TIMEOUT:
		a->timeout = milliseconds_of(value, "--timeout");
		return 0;
	case ARGP_KEY_ARG:
		a->words = state->argv + state->next - 1;
		state->next = state->argc; /* arguments may look like options: -1 */
		return 0;
	case ARGP_KEY_NO_ARGS:
		fail(STATUS_USAGE, "whom, and what? portunus call NAME INTERFACE.defs ROUTINE [ARGUMENT...]");
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_child children[] = { OUTPUT_CHILD, { 0 } };
static const struct argp argp = {
	.options = options,
	.parser = parse,
	.args_doc = "NAME INTERFACE.defs ROUTINE[@RESULT] [ARGUMENT...] [+ ROUTINE...]...",
	.doc = "Call a routine of a MIG server and print what it returns."
	       "\vArguments are those that the interface does not mark with out, without the port that is asked: numbers, "
	       "strings, [1,2,3] for arrays, {\"member\": 1} for structs, @FILE for bytes, and for rights the name of a service, "
	       "fd:N, result:NAME, self, null, dead. After \"+\" comes another call, with ROUTINE@RESULT of the port that an "
	       "earlier one gave as RESULT. Options come before NAME.",
	.children = children,
};

static int run(int argc, char **argv)
{
	struct arguments a = { 0 };
	const struct interface *i;

	command_parse(&argp, argc, argv, ARGP_IN_ORDER, &a);
	if (!a.words[1])
		fail(STATUS_USAGE, "with which interface? portunus call NAME INTERFACE.defs ROUTINE [ARGUMENT...]");
	i = defs_read(a.words[1], &a.flags);
	if (a.is_list)
		return list(i);
	if (!a.words[2])
		fail(STATUS_USAGE, "which routine? \"portunus call --list %s %s\" lists them", a.words[0], a.words[1]);
	call_all(i, a.words + 2, service_look_up(a.words[0]), a.timeout);
	return STATUS_OK;
}

const struct command call_command = {
	.name = "call",
	.summary = "call a routine of a MIG server",
	.argp = &argp,
	.operand = OPERAND_CALL,
	.run = run,
};
