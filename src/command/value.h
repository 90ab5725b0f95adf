/* SPDX-License-Identifier: MIT */
#ifndef COMMAND_VALUE_H
#define COMMAND_VALUE_H

/* Values of arguments, between how a user writes them and the bytes that travel.
 *
 *   number     12, -3, 0x1f; boolean also true, false; real 1.5; char also one character
 *   string     as it is
 *   bytes      (array of char or byte) as they are; @FILE the contents of FILE, @@... what begins with @
 *   right      null, dead, self (this task), fd:N (an open file), result:NAME (what an earlier call gave), else a service
 *   array      JSON: [1, 2, 3]; or 1,2,3
 *   record     JSON: {"member": 1}; or its members in order, as an array */

#include <json.h>

#include "body.h"
#include "defs.h"

/* Where rights come from that earlier calls have given. Returns null if there is none of that name. */
typedef mach_port_t (*value_results)(const char *name);

struct value {
	unsigned char *data; /* rights as mach_port_t */
	size_t size;
	uint32_t number; /* of elements, as in the descriptor */
};

/* What does not fit the type ends the command: "ROUTINE: ARGUMENT: what". */
struct value value_read(const struct type *t, const char *text, const char *what, value_results results);

/* Adds it to a message. @deallocates: as the interface says. */
void value_add(struct draft *d, const struct type *t, const struct value *v);

/* Whether the item is one of this type, as its receiver must find it. */
bool value_fits(const struct type *t, const struct item *item);

/* An item that fits. */
json_object *value_show(const struct type *t, const struct item *item);

/* On one line, for people. Owned by the caller. */
char *value_text(const struct type *t, json_object *value);

#endif
