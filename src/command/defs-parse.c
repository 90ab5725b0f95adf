/* SPDX-License-Identifier: MIT */
/* The grammar of .defs files. */
#include <stdlib.h>
#include <string.h>

#include "body.h"
#include "command.h"
#include "defs.h"
#include "scan.h"

struct parse {
	struct scan s;
	struct interface *interface;
	const struct type **types; /* known by name */
	unsigned int n_types;
	bool has_subsystem;
	mach_msg_id_t next_id;
};

/* ---- types by name */

static const struct type *find_type(const struct parse *p, const char *name)
{
	for (unsigned int i = p->n_types; i-- > 0;)
		if (strcmp(p->types[i]->name, name) == 0)
			return p->types[i];
	return NULL;
}

static void add_type(struct parse *p, const char *name, const struct type *type)
{
	struct type *named = must_alloc(sizeof *named);

	*named = *type;
	named->name = name;
	p->types = must_grow(p->types, p->n_types + 1, sizeof(struct type *));
	p->types[p->n_types++] = named;
}

static struct type *scalar(unsigned int sent, unsigned int received, unsigned int bits)
{
	struct type *t = must_alloc(sizeof *t);

	*t = (struct type){
		.kind = TYPE_SCALAR,
		.count = 1,
		.sent = sent,
		.received = received,
		.bits = bits,
		.number = 1,
		.alignment = bits / 8 < 1 ? 1 : bits / 8,
	};
	return t;
}

/* ---- MACH_MSG_TYPE_*: what there is, what the receiver finds, and the bits of an element. 0 bits: must be said. */

static const struct word {
	const char *name;
	unsigned int sent, received, bits;
} words[] = {
	{ "MACH_MSG_TYPE_UNSTRUCTURED", 0, 0, 0 },
	{ "MACH_MSG_TYPE_BIT", 0, 0, 1 },
	{ "MACH_MSG_TYPE_BOOLEAN", 0, 0, 32 },
	{ "MACH_MSG_TYPE_INTEGER_16", 1, 1, 16 },
	{ "MACH_MSG_TYPE_INTEGER_32", 2, 2, 32 },
	{ "MACH_MSG_TYPE_CHAR", 8, 8, 8 },
	{ "MACH_MSG_TYPE_BYTE", 9, 9, 8 },
	{ "MACH_MSG_TYPE_INTEGER_8", 9, 9, 8 },
	{ "MACH_MSG_TYPE_REAL", 10, 10, 0 },
	{ "MACH_MSG_TYPE_INTEGER_64", 11, 11, 64 },
	{ "MACH_MSG_TYPE_STRING", 12, 12, 0 },
	{ "MACH_MSG_TYPE_STRING_C", 12, 12, 0 },
	{ "MACH_MSG_TYPE_PORT_NAME", 15, 15, 32 },
	{ "MACH_MSG_TYPE_MOVE_RECEIVE", 16, 16, 32 },
	{ "MACH_MSG_TYPE_MOVE_SEND", 17, 17, 32 },
	{ "MACH_MSG_TYPE_MOVE_SEND_ONCE", 18, 18, 32 },
	{ "MACH_MSG_TYPE_COPY_SEND", 19, 17, 32 },
	{ "MACH_MSG_TYPE_MAKE_SEND", 20, 17, 32 },
	{ "MACH_MSG_TYPE_MAKE_SEND_ONCE", 21, 18, 32 },
	{ "MACH_MSG_TYPE_PORT_RECEIVE", TYPE_UNKNOWN, 16, 32 },
	{ "MACH_MSG_TYPE_PORT_SEND", TYPE_UNKNOWN, 17, 32 },
	{ "MACH_MSG_TYPE_PORT_SEND_ONCE", TYPE_UNKNOWN, 18, 32 },
	{ "MACH_MSG_TYPE_POLYMORPHIC", TYPE_UNKNOWN, TYPE_UNKNOWN, 32 },
	{ "polymorphic", TYPE_UNKNOWN, TYPE_UNKNOWN, 32 },
};

static const struct word *find_word(const char *name)
{
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (strcmp(words[i].name, name) == 0)
			return &words[i];
	return NULL;
}

/* ---- numbers: + - * / and parentheses */

static uint64_t parse_sum(struct parse *p);

static uint64_t parse_factor(struct parse *p)
{
	uint64_t number = p->s.number;

	if (scan_skip(&p->s, "(")) {
		number = parse_sum(p);
		scan_need(&p->s, ")");
		return number;
	}
	if (p->s.token != TOKEN_NUMBER)
		scan_wrong(&p->s, "here has to be a number, not \"%s\"", p->s.word);
	scan_next(&p->s);
	return number;
}

static uint64_t parse_product(struct parse *p)
{
	uint64_t number = parse_factor(p), divisor;

	for (;;)
		if (scan_skip(&p->s, "*")) {
			number *= parse_factor(p);
		} else if (scan_skip(&p->s, "/")) {
			divisor = parse_factor(p);
			if (!divisor)
				scan_wrong(&p->s, "a division by 0");
			number /= divisor;
		} else {
			return number;
		}
}

static uint64_t parse_sum(struct parse *p)
{
	uint64_t number = parse_product(p);

	for (;;)
		if (scan_skip(&p->s, "+"))
			number += parse_product(p);
		else if (scan_skip(&p->s, "-"))
			number -= parse_product(p);
		else
			return number;
}

/* A count or size that messages can have. */
static uint64_t parse_count(struct parse *p)
{
	uint64_t number = parse_sum(p);

	if (number > UINT32_MAX / 64)
		scan_wrong(&p->s, "%llu is too large a number here", (unsigned long long)number);
	return number;
}

/* ---- type specifications */

static const struct type *parse_type(struct parse *p);

static const struct word *parse_word(struct parse *p)
{
	const struct word *w;

	if (p->s.token == TOKEN_NUMBER) {
		for (size_t i = 0; i < sizeof words / sizeof *words; i++)
			if (words[i].sent == p->s.number) {
				scan_next(&p->s);
				return &words[i];
			}
		scan_wrong(&p->s, "there is no type %s", p->s.word);
	}
	w = find_word(p->s.word);
	if (!w)
		scan_wrong(&p->s, "there is no type \"%s\"", p->s.word);
	scan_next(&p->s);
	return w;
}

/* "A" or "A | B": what is sent, and what is received. */
static struct word parse_words(struct parse *p)
{
	struct word w = *parse_word(p);

	if (scan_skip(&p->s, "|"))
		w.received = parse_word(p)->received;
	return w;
}

/* (TYPE, BITS [, words]): an old way to write it. A string in one element of so many bits is one. */
static struct type *parse_full(struct parse *p)
{
	struct word w = parse_words(p);
	struct type *t;

	scan_need(&p->s, ",");
	w.bits = (unsigned int)parse_count(p);
	while (scan_skip(&p->s, ","))
		scan_word(&p->s, "\"dealloc\" or the like");
	scan_need(&p->s, ")");
	t = scalar(w.sent, w.received, w.bits);
	if (w.sent == MACH_MSG_TYPE_STRING) {
		t->kind = TYPE_STRING;
		t->count = w.bits / 8;
	}
	t->alignment = w.bits > 64 ? 1 : t->alignment;
	return t;
}

static struct type *parse_primitive(struct parse *p)
{
	struct word w = parse_words(p);

	if (!w.bits)
		scan_wrong(&p->s, "of this type the size has to be said, too: (%s, BITS)", w.name);
	return scalar(w.sent, w.received, w.bits);
}

/* [n], [*:n], [] or [*]. */
static void parse_extent(struct parse *p, struct type *t)
{
	bool is_bounded;

	scan_need(&p->s, "[");
	is_bounded = scan_skip(&p->s, "*");
	if (scan_skip(&p->s, "]")) {
		t->extent = EXTENT_INDEFINITE;
		return;
	}
	if (is_bounded)
		scan_need(&p->s, ":");
	t->extent = is_bounded ? EXTENT_BOUNDED : EXTENT_FIXED;
	t->count = parse_count(p);
	scan_need(&p->s, "]");
}

static struct type *parse_array(struct parse *p, bool may_vary)
{
	struct type *t = must_alloc(sizeof *t);

	t->kind = TYPE_ARRAY;
	parse_extent(p, t);
	if (!may_vary && t->extent != EXTENT_FIXED)
		scan_wrong(&p->s, "a struct has a fixed number of elements");
	scan_need(&p->s, "of");
	t->of = parse_type(p);
	if (type_is_variable(t->of) || t->of->is_out_of_line)
		scan_wrong(&p->s, "the elements of an array have to be of a fixed size");
	t->sent = t->of->sent;
	t->received = t->of->received;
	t->bits = t->of->bits;
	t->number = t->count * t->of->number;
	t->alignment = t->of->alignment;
	return t;
}

static struct type *parse_string(struct parse *p)
{
	struct type *t = scalar(MACH_MSG_TYPE_STRING_C, MACH_MSG_TYPE_STRING_C, 8);

	t->kind = TYPE_STRING;
	parse_extent(p, t);
	if (t->extent == EXTENT_INDEFINITE || t->count == 0)
		scan_wrong(&p->s, "a c_string has to have a size");
	t->number = t->count;
	return t;
}

/* As MIG: the elements are those of the largest alignment, which is at most that of the message. */
static void lay_out(struct type *t, struct member *members)
{
	size_t offset = 0, largest = 1;

	for (unsigned int i = 0; i < t->n_members; i++) {
		size_t alignment = members[i].type->alignment;

		alignment = alignment > MACH_MSG_USER_ALIGNMENT ? MACH_MSG_USER_ALIGNMENT : alignment;
		largest = alignment > largest ? alignment : largest;
		offset = (offset + alignment - 1) / alignment * alignment;
		members[i].offset = offset;
		offset += type_size(members[i].type);
	}
	t->alignment = largest;
	t->bits = 8 * (unsigned int)largest;
	t->number = (offset + largest - 1) / largest;
	t->sent = t->received = largest == 8   ? MACH_MSG_TYPE_INTEGER_64
				: largest == 4 ? MACH_MSG_TYPE_INTEGER_32
				: largest == 2 ? MACH_MSG_TYPE_INTEGER_16
					       : MACH_MSG_TYPE_BYTE;
}

static struct type *parse_record(struct parse *p)
{
	struct type *t = must_alloc(sizeof *t);
	struct member *members = NULL;

	t->kind = TYPE_RECORD;
	while (!scan_skip(&p->s, "}")) {
		members = must_grow(members, t->n_members + 1, sizeof *members);
		members[t->n_members].type = parse_type(p);
		if (type_is_variable(members[t->n_members].type) || type_is_right(members[t->n_members].type))
			scan_wrong(&p->s, "a member of a struct has to be plain data of a fixed size");
		members[t->n_members].name = scan_word(&p->s, "the name of a member");
		scan_need(&p->s, ";");
		t->n_members++;
	}
	if (!t->n_members)
		scan_wrong(&p->s, "a struct has to have members");
	t->count = 1;
	t->members = members;
	lay_out(t, members);
	return t;
}

/* An out-of-line type is the same, elsewhere. */
static struct type *parse_pointer(struct parse *p)
{
	const struct type *to = parse_type(p);
	struct type *t = must_alloc(sizeof *t);

	if (to->extent == EXTENT_BOUNDED)
		scan_wrong(&p->s, "what is out of line has no upper bound");
	*t = *to;
	t->is_out_of_line = true;
	return t;
}

static const struct type *parse_type(struct parse *p)
{
	const struct type *t;

	if (scan_skip(&p->s, "^"))
		return parse_pointer(p);
	if (scan_skip(&p->s, "("))
		return parse_full(p);
	if (scan_skip(&p->s, "array"))
		return parse_array(p, true);
	if (scan_skip(&p->s, "c_string"))
		return parse_string(p);
	if (scan_skip(&p->s, "struct"))
		return scan_skip(&p->s, "{") ? parse_record(p) : parse_array(p, false);
	t = p->s.token == TOKEN_WORD ? find_type(p, p->s.word) : NULL;
	if (!t && (p->s.token == TOKEN_NUMBER || (p->s.token == TOKEN_WORD && find_word(p->s.word))))
		return parse_primitive(p);
	if (!t)
		scan_wrong(&p->s, "the type \"%s\" is not defined", p->s.word);
	scan_next(&p->s);
	return t;
}

/* What a stub makes of it is in no message. */
static bool is_translation(const struct parse *p)
{
	static const char *const clauses[] = { "ctype",	  "cusertype",	   "cservertype", "intran",
					       "outtran", "intranpayload", "destructor" };

	for (size_t i = 0; i < sizeof clauses / sizeof *clauses; i++)
		if (scan_is(&p->s, clauses[i]))
			return true;
	return false;
}

static bool is_part_of_translation(const struct parse *p)
{
	return (p->s.token == TOKEN_WORD && !is_translation(p)) || scan_is(&p->s, "(") || scan_is(&p->s, ")") ||
	       scan_is(&p->s, "*");
}

static void skip_translations(struct parse *p)
{
	while (is_translation(p)) {
		scan_next(&p->s);
		scan_need(&p->s, ":");
		while (is_part_of_translation(p))
			scan_next(&p->s);
	}
}

static void parse_type_definition(struct parse *p)
{
	char *name = scan_word(&p->s, "the name of a type");
	const struct type *type;

	scan_need(&p->s, "=");
	type = parse_type(p);
	skip_translations(p);
	scan_need(&p->s, ";");
	add_type(p, name, type);
}

/* ---- routines */

static const struct {
	const char *word;
	enum direction direction;
} directions[] = {
	{ "in", DIRECTION_IN },
	{ "out", DIRECTION_OUT },
	{ "inout", DIRECTION_INOUT },
	{ "requestport", DIRECTION_REQUEST },
	{ "replyport", DIRECTION_REPLY },
	{ "ureplyport", DIRECTION_REPLY },
	{ "sreplyport", DIRECTION_HIDDEN },
	{ "waittime", DIRECTION_TIMEOUT },
	{ "msgoption", DIRECTION_OPTION },
	{ "msgseqno", DIRECTION_HIDDEN },
};
#define DIRECTION_NOT_SAID (DIRECTION_HIDDEN + 1)

static int parse_direction(struct parse *p)
{
	for (size_t i = 0; i < sizeof directions / sizeof *directions; i++)
		if (scan_skip(&p->s, directions[i].word))
			return (int)directions[i].direction;
	return DIRECTION_NOT_SAID;
}

/* "TYPE", or a type of the argument's own with a name: "NAME = TYPE". */
static const struct type *parse_argument_type(struct parse *p)
{
	struct scan after = p->s;
	const struct type *type;

	scan_next(&after);
	if (p->s.token == TOKEN_WORD && scan_skip(&after, "="))
		p->s = after;
	type = parse_type(p);
	skip_translations(p);
	return type;
}

static bool needs_support(const struct argument *a)
{
	return argument_is_sent(a) || argument_is_received(a);
}

/* The words behind the type that concern us: whether memory leaves its sender. */
static void parse_flags(struct parse *p, struct argument *a)
{
	while (scan_skip(&p->s, ",")) {
		if (scan_is(&p->s, "dealloc"))
			a->deallocates = true;
		scan_word(&p->s, "\"dealloc\" or the like");
		if (scan_skip(&p->s, "["))
			scan_need(&p->s, "]");
	}
}

static struct argument parse_argument(struct parse *p, bool is_first)
{
	int direction = parse_direction(p);
	struct argument a = { .line = p->s.token_line };

	a.name = scan_word(&p->s, "the name of an argument");
	scan_need(&p->s, ":");
	a.type = parse_argument_type(p);
	parse_flags(p, &a);
	if (direction != (int)DIRECTION_NOT_SAID)
		a.direction = (enum direction)direction;
	else
		a.direction = is_first ? DIRECTION_REQUEST : DIRECTION_IN;
	if (a.direction == DIRECTION_REQUEST && !type_is_right(a.type))
		scan_wrong(&p->s, "\"%s\" is to be the port that is asked, and is no right", a.name);
	if (needs_support(&a) && a.type->is_out_of_line && !type_is_variable(a.type))
		scan_wrong(&p->s, "\"%s\" is out of line and of a fixed size; MIG's stubs send nothing of such",
			   a.name);
	return a;
}

static bool has_request(const struct routine *r)
{
	for (unsigned int i = 0; i < r->n_arguments; i++)
		if (r->arguments[i].direction == DIRECTION_REQUEST)
			return true;
	return false;
}

static void parse_routine(struct parse *p, bool is_simple)
{
	struct interface *i = p->interface;
	struct routine *r;

	if (!p->has_subsystem)
		scan_wrong(&p->s, "before the first routine there has to be \"subsystem NAME NUMBER;\"");
	i->routines = must_grow(i->routines, i->n_routines + 1, sizeof *i->routines);
	r = &i->routines[i->n_routines++];
	*r = (struct routine){ .id = p->next_id++, .is_simple = is_simple };
	r->name = scan_word(&p->s, "the name of a routine");
	scan_need(&p->s, "(");
	while (!scan_is(&p->s, ")")) {
		r->arguments = must_grow(r->arguments, r->n_arguments + 1, sizeof *r->arguments);
		r->arguments[r->n_arguments] = parse_argument(p, !has_request(r));
		r->n_arguments++;
		if (!scan_is(&p->s, ")"))
			scan_need(&p->s, ";");
	}
	if (!has_request(r))
		scan_wrong(&p->s, "\"%s\" has no argument for the port that is asked", r->name);
	scan_need(&p->s, ")");
	scan_need(&p->s, ";");
}

/* ---- statements */

static void parse_subsystem(struct parse *p)
{
	while (scan_skip(&p->s, "kerneluser") || scan_skip(&p->s, "kernelserver"))
		continue;
	if (p->has_subsystem)
		scan_wrong(&p->s, "there is a second subsystem");
	p->interface->name = scan_word(&p->s, "the name of the subsystem");
	p->interface->base = p->next_id = (mach_msg_id_t)parse_sum(p);
	p->has_subsystem = true;
	scan_need(&p->s, ";");
}

static void parse_skip(struct parse *p)
{
	p->next_id += p->s.token == TOKEN_NUMBER ? (mach_msg_id_t)parse_count(p) : 1;
	scan_need(&p->s, ";");
}

/* What is for stubs and not for messages. */
static void skip_statement(struct parse *p)
{
	while (!scan_is(&p->s, ";") && p->s.token != TOKEN_END)
		scan_next(&p->s);
	scan_need(&p->s, ";");
}

static void parse_statement(struct parse *p)
{
	static const char *const skipped[] = { "msgoption",    "waittime",	"nowaittime",	  "error",
					       "serverprefix", "userprefix",	"serverdemux",	  "rcsid",
					       "import",       "uimport",	"simport",	  "iimport",
					       "dimport",      "usertypelimit", "servertypelimit" };

	if (scan_skip(&p->s, ";"))
		return;
	if (scan_skip(&p->s, "subsystem")) {
		parse_subsystem(p);
	} else if (scan_skip(&p->s, "type")) {
		parse_type_definition(p);
	} else if (scan_skip(&p->s, "routine")) {
		parse_routine(p, false);
	} else if (scan_skip(&p->s, "simpleroutine")) {
		parse_routine(p, true);
	} else if (scan_skip(&p->s, "skip")) {
		parse_skip(p);
	} else {
		for (size_t i = 0; i < sizeof skipped / sizeof *skipped; i++)
			if (scan_is(&p->s, skipped[i])) {
				skip_statement(p);
				return;
			}
		scan_wrong(&p->s, "\"%s\" begins no statement of an interface", p->s.word);
	}
}

/* ---- interfaces */

void defs_add_flag(struct defs_flags *f, const char *option, const char *value)
{
	f->words = must_grow(f->words, f->n + 1, sizeof *f->words);
	f->words[f->n++] = must_print("%s%s", option, value);
}

const struct interface *defs_read(const char *file, const struct defs_flags *flags)
{
	struct parse p = { .interface = must_alloc(sizeof *p.interface) };

	p.interface->file = file;
	add_type(&p, "int", scalar(MACH_MSG_TYPE_INTEGER_32, MACH_MSG_TYPE_INTEGER_32, 32));
	add_type(&p, "short", scalar(MACH_MSG_TYPE_INTEGER_16, MACH_MSG_TYPE_INTEGER_16, 16));
	add_type(&p, "char", scalar(MACH_MSG_TYPE_CHAR, MACH_MSG_TYPE_CHAR, 8));
	scan_init(&p.s, file, flags);
	while (p.s.token != TOKEN_END)
		parse_statement(&p);
	if (!p.has_subsystem)
		scan_wrong(&p.s, "there is no subsystem here; is this an interface file?");
	free(p.types);
	return p.interface;
}

const struct routine *defs_find(const struct interface *i, const char *routine)
{
	for (unsigned int n = 0; n < i->n_routines; n++)
		if (strcmp(i->routines[n].name, routine) == 0)
			return &i->routines[n];
	return NULL;
}

#define REPLY_DISTANCE 100

const struct routine *defs_find_id(const struct interface *i, mach_msg_id_t id, bool *is_reply)
{
	for (unsigned int n = 0; n < i->n_routines; n++) {
		const struct routine *r = &i->routines[n];

		*is_reply = !r->is_simple && id == r->id + REPLY_DISTANCE;
		if (*is_reply || id == r->id)
			return r;
	}
	return NULL;
}
