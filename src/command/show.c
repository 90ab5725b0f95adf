/* SPDX-License-Identifier: MIT */
#include "show.h"

#include <portunus/fileport.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "output.h"
#include "command.h"

#define SHOWN_BYTES    256 /* of bytes, as text: more is counted */
#define SHOWN_ELEMENTS 32
#define BYTES_A_LINE   16

static const char *type_name(const struct item *item)
{
	switch (item->type) {
	case MACH_MSG_TYPE_UNSTRUCTURED:
		return item->bits == 32 ? "boolean" : "bits";
	case MACH_MSG_TYPE_INTEGER_16:
		return "int16";
	case MACH_MSG_TYPE_INTEGER_32:
		return "int32";
	case MACH_MSG_TYPE_INTEGER_64:
		return "int64";
	case MACH_MSG_TYPE_CHAR:
		return "char";
	case MACH_MSG_TYPE_BYTE:
		return "byte";
	case MACH_MSG_TYPE_REAL:
		return "real";
	case MACH_MSG_TYPE_STRING:
		return "string";
	case MACH_MSG_TYPE_PORT_NAME:
		return "port-name";
	default:
		return item_is_right(item) ? "right" : "unknown";
	}
}

const char *show_right(unsigned int type)
{
	switch (type) {
	case MACH_MSG_TYPE_MOVE_RECEIVE:
		return "receive";
	case MACH_MSG_TYPE_MOVE_SEND:
	case MACH_MSG_TYPE_COPY_SEND:
	case MACH_MSG_TYPE_MAKE_SEND:
		return "send";
	case MACH_MSG_TYPE_MOVE_SEND_ONCE:
	case MACH_MSG_TYPE_MAKE_SEND_ONCE:
		return "send-once";
	default:
		return "none";
	}
}

static bool is_text(const struct item *item)
{
	return item->type == MACH_MSG_TYPE_STRING || (item->type == MACH_MSG_TYPE_CHAR && item->bits == 8);
}

static bool is_number(const struct item *item)
{
	switch (item->type) {
	case MACH_MSG_TYPE_INTEGER_16:
		return item->bits == 16;
	case MACH_MSG_TYPE_UNSTRUCTURED:
	case MACH_MSG_TYPE_INTEGER_32:
	case MACH_MSG_TYPE_PORT_NAME:
		return item->bits == 32;
	case MACH_MSG_TYPE_INTEGER_64:
		return item->bits == 64;
	case MACH_MSG_TYPE_REAL:
		return item->bits == 32 || item->bits == 64;
	default:
		return false;
	}
}

/* ---- as JSON */

static json_object *hexadecimal(const unsigned char *data, size_t size)
{
	char *text = must_alloc(2 * size + 1);
	json_object *string;

	for (size_t i = 0; i < size; i++)
		sprintf(text + 2 * i, "%02x", data[i]);
	string = json_object_new_string(text);
	free(text);
	return string;
}

/* What stands in a string is before its 0. */
static size_t text_length(const struct item *item)
{
	return item->type == MACH_MSG_TYPE_STRING ? strnlen((const char *)item->data, item->size) : item->size;
}

static json_object *name_json(mach_port_t name)
{
	char text[16];

	if (name == MACH_PORT_NULL)
		return NULL;
	if (name == MACH_PORT_DEAD)
		return json_object_new_string("dead");
	snprintf(text, sizeof text, "0x%x", name);
	return json_object_new_string(text);
}

/* Where an open file is known to be, and what it is. */
static void describe_file(json_object *right, int fd)
{
	char link[32], path[4096];
	struct stat status;
	ssize_t length;

	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	length = readlink(link, path, sizeof path);
	if (length > 0)
		json_object_object_add(right, "file", json_text(path, (size_t)length));
	if (fstat(fd, &status) == 0)
		json_object_object_add(right, "size", json_object_new_int64(status.st_size));
}

static json_object *right_json(const struct item *item, uint32_t i)
{
	json_object *right = json_object_new_object();
	mach_port_t name = item_right(item, i);
	int fd = -1;

	json_object_object_add(right, "right", json_object_new_string(show_right(item->type)));
	json_object_object_add(right, "name", name_json(name));
	if (item->type == MACH_MSG_TYPE_PORT_SEND && MACH_PORT_VALID(name))
		fd = fileport_makefd(name);
	if (fd >= 0) {
		describe_file(right, fd);
		close(fd);
	}
	return right;
}

static json_object *number_json(const struct item *item, uint32_t i)
{
	const unsigned char *at = item->data + (size_t)i * (item->bits / 8);
	int16_t word;
	int32_t integer;
	int64_t large;
	float real;
	double big_real;

	switch (item->bits) {
	case 16:
		memcpy(&word, at, sizeof word);
		return json_object_new_int(word);
	case 32:
		memcpy(&integer, at, sizeof integer);
		memcpy(&real, at, sizeof real);
		if (item->type == MACH_MSG_TYPE_PORT_NAME)
			return name_json((mach_port_t)integer);
		return item->type == MACH_MSG_TYPE_REAL ? json_object_new_double(real) : json_object_new_int(integer);
	default:
		memcpy(&large, at, sizeof large);
		memcpy(&big_real, at, sizeof big_real);
		return item->type == MACH_MSG_TYPE_REAL ? json_object_new_double(big_real)
							: json_object_new_int64(large);
	}
}

static json_object *element_json(const struct item *item, uint32_t i)
{
	return item_is_right(item) ? right_json(item, i) : number_json(item, i);
}

json_object *show_elements(const struct item *item, uint32_t first, uint32_t number)
{
	json_object *array = json_object_new_array();

	for (uint32_t i = first; i < first + number; i++)
		json_object_array_add(array, element_json(item, i));
	return array;
}

json_object *show_value(const struct item *item)
{
	if (is_text(item))
		return json_text((const char *)item->data, text_length(item));
	if (!is_number(item) && !item_is_right(item))
		return hexadecimal(item->data, item->size);
	return item->number == 1 ? element_json(item, 0) : show_elements(item, 0, item->number);
}

static json_object *item_json(const struct item *item)
{
	json_object *o = json_object_new_object();

	json_object_object_add(o, "type", json_object_new_string(type_name(item)));
	json_object_object_add(o, "number", json_object_new_int64(item->number));
	json_object_object_add(o, "inline", json_object_new_boolean(item->is_inline));
	json_object_object_add(o, "value", show_value(item));
	return o;
}

json_object *show_json(const mach_msg_header_t *header, size_t size)
{
	json_object *o = json_object_new_object(), *items = json_object_new_array();
	enum body_result result;
	struct item item;
	struct body body;

	json_object_object_add(o, "id", json_object_new_int(header->msgh_id));
	json_object_object_add(o, "size", json_object_new_int64((int64_t)size));
	json_object_object_add(o, "seqno", json_object_new_int64(header->msgh_seqno));
	if (MACH_PORT_VALID(header->msgh_remote_port))
		json_object_object_add(o, "reply",
				       json_object_new_string(show_right(MACH_MSGH_BITS_REMOTE(header->msgh_bits))));
	body_init(&body, header, size);
	while ((result = body_next(&body, &item)) == BODY_ITEM)
		json_object_array_add(items, item_json(&item));
	json_object_object_add(o, "items", items);
	if (result == BODY_MALFORMED)
		json_object_object_add(o, "malformed", json_object_new_boolean(true));
	return o;
}

/* ---- as text */

static void print_hexadecimal_line(const unsigned char *data, size_t offset, size_t n)
{
	output_text("      %s%04zx%s ", colour_begin(COLOUR_DIM), offset, colour_end());
	for (size_t i = 0; i < BYTES_A_LINE; i++)
		if (i < n)
			output_text(" %02x", data[i]);
		else
			output_text("   ");
	output_text("  ");
	for (size_t i = 0; i < n; i++)
		output_text("%c", data[i] >= 0x20 && data[i] < 0x7f ? data[i] : '.');
	output_text("\n");
}

static void print_bytes(const struct item *item)
{
	size_t shown = item->size < SHOWN_BYTES ? item->size : SHOWN_BYTES;

	output_text("\n");
	for (size_t at = 0; at < shown; at += BYTES_A_LINE)
		print_hexadecimal_line(item->data + at, at, shown - at < BYTES_A_LINE ? shown - at : BYTES_A_LINE);
	if (shown < item->size)
		output_text("      and %zu bytes more\n", item->size - shown);
}

static void print_text(const struct item *item)
{
	size_t length = text_length(item), shown = length < SHOWN_BYTES ? length : SHOWN_BYTES;
	char *text = printable((const char *)item->data, shown);

	output_text(" %s\"%s\"%s", colour_begin(COLOUR_GREEN), text, colour_end());
	if (shown < length)
		output_text(" and %zu bytes more", length - shown);
	output_text("\n");
	free(text);
}

static void print_right(const struct item *item, uint32_t i)
{
	json_object *right = right_json(item, i), *file, *size;

	output_text(" %s%s right 0x%x%s", colour_begin(COLOUR_CYAN), show_right(item->type), item_right(item, i),
		    colour_end());
	if (json_object_object_get_ex(right, "file", &file)) {
		char *path = printable(json_object_get_string(file), (size_t)json_object_get_string_len(file));

		output_text(" (an open file: %s", path);
		if (json_object_object_get_ex(right, "size", &size))
			output_text(", %s bytes", json_object_get_string(size));
		output_text(")");
		free(path);
	}
	json_object_put(right);
}

static void print_elements(const struct item *item)
{
	for (uint32_t i = 0; i < item->number && i < SHOWN_ELEMENTS; i++) {
		if (item_is_right(item)) {
			print_right(item, i);
		} else {
			json_object *number = number_json(item, i);

			output_text(" %s", number ? json_object_get_string(number) : "null");
			json_object_put(number);
		}
	}
	if (item->number > SHOWN_ELEMENTS)
		output_text(" and %u more", item->number - SHOWN_ELEMENTS);
	output_text("\n");
}

static void print_item(unsigned int index, const struct item *item)
{
	output_text("  %u: %s", index, type_name(item));
	if (item->number != 1)
		output_text("[%u]", item->number);
	if (!item->is_inline)
		output_text(", out of line");
	if (is_text(item))
		print_text(item);
	else if (is_number(item) || item_is_right(item))
		print_elements(item);
	else
		print_bytes(item);
}

void show_text(const mach_msg_header_t *header, size_t size, const char *name)
{
	enum body_result result;
	unsigned int n = 0;
	struct item item;
	struct body body;

	output_text("%smessage %d%s%s%s%s, %zu bytes", colour_begin(COLOUR_BOLD), header->msgh_id, name ? " (" : "",
		    name ? name : "", name ? ")" : "", colour_end(), size);
	if (MACH_PORT_VALID(header->msgh_remote_port))
		output_text(", with a %s right for the reply", show_right(MACH_MSGH_BITS_REMOTE(header->msgh_bits)));
	output_text("\n");
	body_init(&body, header, size);
	while ((result = body_next(&body, &item)) == BODY_ITEM)
		print_item(++n, &item);
	if (result == BODY_MALFORMED)
		output_text("  the rest is no sequence of items: %zu bytes\n", (size_t)(body.end - body.at));
}
