/* SPDX-License-Identifier: MIT */
/* What a type is in a message. */
#include <stdlib.h>

#include "body.h"
#include "command.h"
#include "defs.h"

bool type_is_right(const struct type *t)
{
	return t->sent == TYPE_UNKNOWN || MACH_MSG_TYPE_PORT_ANY(t->sent) || MACH_MSG_TYPE_PORT_ANY(t->received);
}

bool type_is_variable(const struct type *t)
{
	return t->extent != EXTENT_FIXED;
}

size_t type_size(const struct type *t)
{
	switch (t->kind) {
	case TYPE_ARRAY:
		return t->count * type_size(t->of);
	case TYPE_STRING:
		return t->count;
	default:
		return t->number * t->bits / 8;
	}
}

size_t type_element_size(const struct type *t)
{
	return t->kind == TYPE_ARRAY ? type_size(t->of) : 1;
}

uint64_t type_units(const struct type *t)
{
	return t->kind == TYPE_ARRAY ? t->of->number : 1;
}

/* As MIG: by what the number can be, not by what it is. */
bool type_is_long(const struct type *t)
{
	return t->extent == EXTENT_INDEFINITE || item_needs_long(t->bits, t->number);
}

static const char *right_text(const struct type *t)
{
	switch (t->sent == TYPE_UNKNOWN ? t->received : t->sent) {
	case MACH_MSG_TYPE_MOVE_RECEIVE:
		return "receive right";
	case MACH_MSG_TYPE_MOVE_SEND_ONCE:
	case MACH_MSG_TYPE_MAKE_SEND_ONCE:
		return "send-once right";
	case TYPE_UNKNOWN:
		return "right";
	default:
		return "send right";
	}
}

static char *scalar_text(const struct type *t)
{
	if (type_is_right(t))
		return must_print("%s", right_text(t));
	switch (t->sent) {
	case MACH_MSG_TYPE_BOOLEAN:
		return t->bits == 32 ? must_print("boolean") : must_print("bits%u", t->bits);
	case MACH_MSG_TYPE_CHAR:
		return must_print("char");
	case MACH_MSG_TYPE_BYTE:
		return must_print("byte");
	case MACH_MSG_TYPE_REAL:
		return must_print("real%u", t->bits);
	case MACH_MSG_TYPE_PORT_NAME:
		return must_print("port-name");
	default:
		return must_print("int%u", t->bits);
	}
}

static char *record_text(const struct type *t)
{
	char *text = must_print("struct"), *longer;

	for (unsigned int i = 0; i < t->n_members; i++) {
		longer = must_print("%s%s%s", text, i ? ", " : " {", t->members[i].name);
		free(text);
		text = longer;
	}
	return must_print("%s}", text);
}

char *type_text(const struct type *t)
{
	switch (t->kind) {
	case TYPE_STRING:
		return must_print("string[..%zu]", type_size(t) - 1);
	case TYPE_RECORD:
		return record_text(t);
	case TYPE_ARRAY:
		if (t->extent == EXTENT_INDEFINITE)
			return must_print("%s[]", type_text(t->of));
		return must_print("%s[%s%llu]", type_text(t->of), t->extent == EXTENT_BOUNDED ? ".." : "",
				  (unsigned long long)t->count);
	default:
		return scalar_text(t);
	}
}
