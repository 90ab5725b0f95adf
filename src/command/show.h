/* SPDX-License-Identifier: MIT */
#ifndef COMMAND_SHOW_H
#define COMMAND_SHOW_H

/* Any message in a form that a person or a program can read, by its type descriptors. */

#include <json.h>

#include "body.h"

/* {"id", "size", "seqno", "reply", "items": [{"type", "number", "inline", "value"}]}; the value is a string for text, in
 * hexadecimal for bytes, else a number, a right, or an array of such. Of a message that is cut short: "malformed": true. */
json_object *show_json(const mach_msg_header_t *header, size_t size);

/* A line for the header, then one or several for each item. @name: of the routine, or NULL. */
void show_text(const mach_msg_header_t *header, size_t size, const char *name);

/* Only the value of an item, or of @number elements from the @first on. */
json_object *show_value(const struct item *item);
json_object *show_elements(const struct item *item, uint32_t first, uint32_t number);

/* "send", "receive", "send-once", or what else the disposition makes of it. */
const char *show_right(unsigned int type);

#endif
