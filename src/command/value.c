/* SPDX-License-Identifier: MIT */
#include "value.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <portunus/fileport.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command.h"
#include "output.h"
#include "service.h"
#include "show.h"

/* Of what is being read: for messages, and for rights. */
struct context {
	const char *what;
	value_results results;
};

static void __attribute__((noreturn, format(printf, 3, 4)))
wrong(const struct context *c, const struct type *t, const char *format, ...)
{
	char *text = NULL;
	va_list arguments;

	va_start(arguments, format);
	if (vasprintf(&text, format, arguments) < 0)
		text = NULL;
	va_end(arguments);
	fail(STATUS_USAGE, "%s has to be %s, %s", c->what, type_text(t), text ? text : "");
}

/* ---- numbers */

static bool is_byte_like(const struct type *t)
{
	return t->kind == TYPE_SCALAR && t->bits == 8 &&
	       (t->sent == MACH_MSG_TYPE_CHAR || t->sent == MACH_MSG_TYPE_BYTE);
}

static bool is_text(const struct type *t)
{
	return t->kind == TYPE_ARRAY && is_byte_like(t->of);
}

/* Of either sign: whether it counts as one is the program's affair. */
static bool read_integer(const char *text, unsigned int bits, uint64_t *number)
{
	bool is_negative = *text == '-';
	uint64_t most = bits == 64 ? UINT64_MAX : (1ULL << bits) - 1, least = 1ULL << (bits - 1);
	char *end;

	errno = 0;
	*number = strtoull(text + is_negative, &end, 0);
	if (errno || end == text + is_negative || *end || strchr("+- \t", text[is_negative]))
		return false;
	if (*number > (is_negative ? least : most))
		return false;
	if (is_negative)
		*number = -*number;
	return true;
}

static bool read_word(const struct type *t, const char *text, uint64_t *number)
{
	if (t->sent == MACH_MSG_TYPE_BOOLEAN && strcmp(text, "true") == 0)
		*number = 1;
	else if (t->sent == MACH_MSG_TYPE_BOOLEAN && strcmp(text, "false") == 0)
		*number = 0;
	else if (t->sent == MACH_MSG_TYPE_CHAR && text[0] && !text[1] && (text[0] < '0' || text[0] > '9'))
		*number = (unsigned char)text[0];
	else
		return false;
	return true;
}

static void put_real(const struct context *c, const struct type *t, const char *text, unsigned char *at)
{
	char *end;
	double number = strtod(text, &end);
	float shorter = (float)number;

	if (end == text || *end)
		wrong(c, t, "not \"%s\"", text);
	if (t->bits == 32)
		memcpy(at, &shorter, sizeof shorter);
	else
		memcpy(at, &number, sizeof number);
}

static void put_number(const struct context *c, const struct type *t, const char *text, unsigned char *at)
{
	uint64_t number;

	if (t->sent == MACH_MSG_TYPE_REAL && (t->bits == 32 || t->bits == 64)) {
		put_real(c, t, text, at);
		return;
	}
	if (t->bits != 8 && t->bits != 16 && t->bits != 32 && t->bits != 64)
		fail(STATUS_USAGE, "%s is %s, and of such nothing can be written here", c->what, type_text(t));
	if (!read_word(t, text, &number) && !read_integer(text, t->bits, &number))
		wrong(c, t, "not \"%s\"", text);
	memcpy(at, &number, t->bits / 8); /* the low end comes first */
}

/* ---- rights */

static mach_port_t right_of_descriptor(const struct context *c, const char *text)
{
	mach_port_t right;

	if (fileport_makeport((int)number_of(text, c->what, 0, INT_MAX), &right) < 0)
		fail(STATUS_FAILED, "%s: descriptor %s: %s; redirect it, as in %s<FILE", c->what, text, strerror(errno),
		     text);
	return right;
}

static mach_port_t right_of_result(const struct context *c, const char *name)
{
	mach_port_t right = c->results(name);

	if (!MACH_PORT_VALID(right))
		fail(STATUS_USAGE, "%s: no earlier call has given a right \"%s\"", c->what, name);
	return right;
}

static mach_port_t find_right(const struct context *c, const char *text)
{
	if (strcmp(text, "null") == 0)
		return MACH_PORT_NULL;
	if (strcmp(text, "dead") == 0)
		return MACH_PORT_DEAD;
	if (strcmp(text, "self") == 0)
		return mach_task_self();
	if (strncmp(text, "fd:", 3) == 0)
		return right_of_descriptor(c, text + 3);
	if (strncmp(text, "result:", 7) == 0)
		return right_of_result(c, text + 7);
	return service_look_up(text);
}

/* How we send it where the interface leaves that open. */
static unsigned int disposition_of(const struct type *t)
{
	if (t->sent != TYPE_UNKNOWN)
		return t->sent;
	switch (t->received) {
	case MACH_MSG_TYPE_PORT_RECEIVE:
		return MACH_MSG_TYPE_MOVE_RECEIVE;
	case MACH_MSG_TYPE_PORT_SEND_ONCE:
		return MACH_MSG_TYPE_MAKE_SEND_ONCE;
	default:
		return MACH_MSG_TYPE_COPY_SEND;
	}
}

/* Rights that are made from a receive right are made from one of ours, to a port that nobody reads. */
static mach_port_t new_port(const struct context *c, const struct type *t, const char *text)
{
	mach_port_t port;
	kern_return_t kr;

	if (strcmp(text, "null") == 0)
		return MACH_PORT_NULL;
	if (strcmp(text, "dead") == 0)
		return MACH_PORT_DEAD;
	if (strcmp(text, "new") != 0)
		wrong(c, t, "which is made for the call: write new, null or dead, not \"%s\"", text);
	kr = mach_port_allocate(mach_task_self(), MACH_PORT_RIGHT_RECEIVE, &port);
	if (kr)
		fail_result(kr, c->what);
	return port;
}

static void put_right(const struct context *c, const struct type *t, const char *text, unsigned char *at)
{
	unsigned int disposition = disposition_of(t);
	mach_port_t right;

	if (disposition == MACH_MSG_TYPE_MOVE_SEND_ONCE)
		fail(STATUS_USAGE, "%s is a send-once right that moves, and this command holds none", c->what);
	if (disposition == MACH_MSG_TYPE_COPY_SEND || disposition == MACH_MSG_TYPE_MOVE_SEND)
		right = find_right(c, text);
	else
		right = new_port(c, t, text);
	memcpy(at, &right, sizeof right);
}

/* ---- values of any type, from JSON */

static void put(const struct context *c, const struct type *t, json_object *json, unsigned char *at);

static void put_string(const struct context *c, const struct type *t, const char *text, unsigned char *at)
{
	size_t length = strlen(text);

	if (length >= t->count)
		wrong(c, t, "and this one has %zu", length);
	memcpy(at, text, length + 1);
}

static void put_elements(const struct context *c, const struct type *t, json_object *json, unsigned char *at)
{
	size_t n = json_object_array_length(json);

	for (size_t i = 0; i < n; i++)
		put(c, t->of, json_object_array_get_idx(json, i), at + i * type_size(t->of));
}

/* A text for bytes that are less is filled with zeros. */
static void put_array(const struct context *c, const struct type *t, json_object *json, unsigned char *at)
{
	if (is_text(t) && json_object_is_type(json, json_type_string)) {
		size_t length = (size_t)json_object_get_string_len(json);

		if (length > t->count)
			wrong(c, t, "and these are %zu bytes", length);
		memcpy(at, json_object_get_string(json), length);
		return;
	}
	if (!json_object_is_type(json, json_type_array))
		wrong(c, t, "written [..., ...], not %s", json_object_to_json_string(json));
	if (json_object_array_length(json) != t->count)
		wrong(c, t, "not of %zu", json_object_array_length(json));
	put_elements(c, t, json, at);
}

static void put_record(const struct context *c, const struct type *t, json_object *json, unsigned char *at)
{
	bool is_object = json_object_is_type(json, json_type_object);
	json_object *member;

	if (!is_object && !json_object_is_type(json, json_type_array))
		wrong(c, t, "written {\"%s\": ...}, not %s", t->members[0].name, json_object_to_json_string(json));
	if ((is_object ? (size_t)json_object_object_length(json) : json_object_array_length(json)) != t->n_members)
		wrong(c, t, "with a value for each member and no others");
	for (unsigned int i = 0; i < t->n_members; i++) {
		if (!is_object)
			member = json_object_array_get_idx(json, i);
		else if (!json_object_object_get_ex(json, t->members[i].name, &member))
			wrong(c, t, "and one without the member \"%s\"", t->members[i].name);
		put(c, t->members[i].type, member, at + t->members[i].offset);
	}
}

/* Numbers, words and rights, as the text that they are written with. */
static void put_scalar(const struct context *c, const struct type *t, json_object *json, unsigned char *at)
{
	const char *text = json ? json_object_get_string(json) : "null";

	if (json_object_is_type(json, json_type_array) || json_object_is_type(json, json_type_object))
		wrong(c, t, "not %s", text);
	if (type_is_right(t))
		put_right(c, t, text, at);
	else
		put_number(c, t, text, at);
}

static void put(const struct context *c, const struct type *t, json_object *json, unsigned char *at)
{
	switch (t->kind) {
	case TYPE_SCALAR:
		put_scalar(c, t, json, at);
		break;
	case TYPE_STRING:
		put_string(c, t, json ? json_object_get_string(json) : "", at);
		break;
	case TYPE_ARRAY:
		put_array(c, t, json, at);
		break;
	case TYPE_RECORD:
		put_record(c, t, json, at);
		break;
	}
}

/* ---- values of arguments, from what stands on the command line */

static json_object *contents_of(const struct context *c, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *text = NULL;
	size_t size = 0;
	ssize_t n;

	if (fd < 0)
		fail(STATUS_FAILED, "%s: %s: %s", c->what, path, strerror(errno));
	do {
		text = must_grow(text, size + 65536, 1);
		n = read(fd, text + size, 65536);
		if (n < 0)
			fail(STATUS_FAILED, "%s: %s: %s", c->what, path, strerror(errno));
		size += (size_t)n;
		if (size > INT_MAX)
			fail(STATUS_FAILED, "%s: %s: too large for an argument", c->what, path);
	} while (n > 0);
	close(fd);
	return json_object_new_string_len(text, (int)size);
}

static json_object *split_at_commas(const char *text)
{
	json_object *array = json_object_new_array();

	while (*text) {
		size_t length = strcspn(text, ",");

		json_object_array_add(array, json_object_new_string_len(text, (int)length));
		text += length + (text[length] == ',');
	}
	return array;
}

static json_object *parse_json(const struct context *c, const struct type *t, const char *text)
{
	enum json_tokener_error error;
	json_object *json = json_tokener_parse_verbose(text, &error);

	if (!json)
		wrong(c, t, "and %s is no JSON: %s", text, json_tokener_error_desc(error));
	return json;
}

static json_object *json_of(const struct context *c, const struct type *t, const char *text)
{
	if (is_text(t) && *text == '@')
		return text[1] == '@' ? json_object_new_string(text + 1) : contents_of(c, text + 1);
	if (t->kind == TYPE_SCALAR || t->kind == TYPE_STRING)
		return json_object_new_string(text);
	if (*text == '[' || *text == '{')
		return parse_json(c, t, text);
	if (is_text(t))
		return json_object_new_string(text);
	return split_at_commas(text);
}

static void read_variable_array(const struct context *c, const struct type *t, json_object *json, struct value *v)
{
	bool text = is_text(t) && json_object_is_type(json, json_type_string);
	size_t n;

	if (!text && !json_object_is_type(json, json_type_array))
		wrong(c, t, "written [..., ...], not %s", json_object_to_json_string(json));
	n = text ? (size_t)json_object_get_string_len(json) : json_object_array_length(json);
	if (t->extent == EXTENT_BOUNDED && n > t->count)
		wrong(c, t, "not of %zu", n);
	v->size = n * type_size(t->of);
	v->number = (uint32_t)(n * type_units(t));
	v->data = must_alloc(v->size);
	if (text)
		memcpy(v->data, json_object_get_string(json), n);
	else
		put_elements(c, t, json, v->data);
}

struct value value_read(const struct type *t, const char *text, const char *what, value_results results)
{
	struct context c = { what, results };
	json_object *json = json_of(&c, t, text);
	struct value v = { 0 };

	if (t->kind == TYPE_ARRAY && type_is_variable(t)) {
		read_variable_array(&c, t, json, &v);
	} else {
		v.size = type_size(t);
		v.data = must_alloc(v.size);
		put(&c, t, json, v.data);
		v.number = (uint32_t)t->number;
	}
	if (t->kind == TYPE_STRING && type_is_variable(t)) {
		v.size = strlen((const char *)v.data) + 1;
		v.number = (uint32_t)v.size;
	}
	json_object_put(json);
	return v;
}

void value_add(struct draft *d, const struct type *t, const struct value *v)
{
	/* In a message a right is larger than its name, so it is by the message that MIG counts. */
	size_t unit = type_is_right(t) ? sizeof(mach_port_name_inlined_t) : t->bits / 8;
	struct item_type type = {
		.type = type_is_right(t) ? disposition_of(t) : t->sent,
		.bits = t->bits,
		.is_long = type_is_long(t),
		.is_inline =
			!t->is_out_of_line && (t->extent != EXTENT_INDEFINITE || v->number * unit <= TYPE_INLINE_MAX),
	};

	draft_add(d, &type, v->number, v->data, v->size);
}

/* ---- what came */

bool value_fits(const struct type *t, const struct item *item)
{
	size_t name = item->is_inline ? sizeof(mach_port_name_inlined_t) : sizeof(mach_port_t);
	bool is_right = type_is_right(t);

	if (is_right ? t->received != TYPE_UNKNOWN && item->type != t->received : item->type != t->received)
		return false;
	if (is_right && (!item_is_right(item) || item->bits != 8 * name))
		return false;
	if (!is_right && item->bits != t->bits)
		return false;
	if (t->extent != EXTENT_INDEFINITE && item->is_inline == t->is_out_of_line)
		return false;
	if (!type_is_variable(t))
		return item->number == t->number;
	return t->extent == EXTENT_INDEFINITE ? item->number % type_units(t) == 0 : item->number <= t->number;
}

static json_object *show(const struct type *t, const unsigned char *at);

static json_object *show_array(const struct type *t, const unsigned char *at, size_t n)
{
	json_object *array;

	if (is_text(t))
		return json_text((const char *)at, n);
	array = json_object_new_array();
	for (size_t i = 0; i < n; i++)
		json_object_array_add(array, show(t->of, at + i * type_size(t->of)));
	return array;
}

static json_object *show_record(const struct type *t, const unsigned char *at)
{
	json_object *o = json_object_new_object();

	for (unsigned int i = 0; i < t->n_members; i++)
		json_object_object_add(o, t->members[i].name, show(t->members[i].type, at + t->members[i].offset));
	return o;
}

/* Plain data of a fixed type. */
static json_object *show(const struct type *t, const unsigned char *at)
{
	struct item item = { .type = t->received, .bits = t->bits, .number = 1, .is_inline = true, .data = at };

	switch (t->kind) {
	case TYPE_ARRAY:
		return show_array(t, at, t->count);
	case TYPE_RECORD:
		return show_record(t, at);
	case TYPE_STRING:
		return json_text((const char *)at, strnlen((const char *)at, t->count));
	default:
		item.size = t->bits / 8;
		return is_byte_like(t) ? json_object_new_int(*at) : show_value(&item);
	}
}

json_object *value_show(const struct type *t, const struct item *item)
{
	if (type_is_right(t))
		return t->kind == TYPE_ARRAY ? show_elements(item, 0, item->number) : show_value(item);
	if (t->kind == TYPE_ARRAY && type_is_variable(t))
		return show_array(t, item->data, item->number / type_units(t));
	if (t->kind == TYPE_STRING)
		return json_text((const char *)item->data, strnlen((const char *)item->data, item->size));
	return show(t, item->data);
}

static char *right_text(json_object *right)
{
	json_object *kind, *name, *file;

	json_object_object_get_ex(right, "right", &kind);
	json_object_object_get_ex(right, "name", &name);
	if (!name)
		return must_print("null");
	if (json_object_object_get_ex(right, "file", &file))
		return must_print("%s right to the open file %s", json_object_get_string(kind),
				  printable(json_object_get_string(file), (size_t)json_object_get_string_len(file)));
	return must_print("%s right", json_object_get_string(kind));
}

char *value_text(const struct type *t, json_object *value)
{
	if (type_is_right(t) && t->kind == TYPE_SCALAR)
		return right_text(value);
	if (json_object_is_type(value, json_type_string))
		return printable(json_object_get_string(value), (size_t)json_object_get_string_len(value));
	return must_print("%s", value ? json_object_to_json_string_ext(value, JSON_C_TO_STRING_SPACED |
										      JSON_C_TO_STRING_NOSLASHESCAPE)
				      : "null");
}
