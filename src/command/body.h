/* SPDX-License-Identifier: MIT */
#ifndef COMMAND_BODY_H
#define COMMAND_BODY_H

/* The bodies of messages, item by item, in the layout of this library (<mach/message.h>): taken apart, and put together.
 * Which of the two forms a descriptor has is decided as MIG does, whose stubs compare. */

#include <mach.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- taking apart */

struct item {
	unsigned int type; /* MACH_MSG_TYPE_* */
	unsigned int bits; /* of an element */
	uint32_t number;   /* of elements */
	bool is_inline, deallocates;
	const unsigned char *data; /* in the message, or where that points to */
	size_t size;		   /* bytes at data */
};

struct body {
	const unsigned char *start, *at, *end;
};

/* @size: of the message, which is at @header. */
void body_init(struct body *b, const mach_msg_header_t *header, size_t size);

enum body_result { BODY_END, BODY_ITEM, BODY_MALFORMED };
enum body_result body_next(struct body *b, struct item *item);

static inline bool item_is_right(const struct item *item)
{
	return MACH_MSG_TYPE_PORT_ANY(item->type);
}

mach_port_t item_right(const struct item *item, uint32_t i);

/* ---- putting together */

struct item_type {
	unsigned int type, bits;
	bool is_long; /* has the long form of a descriptor, in the layout where that is another */
	bool is_inline;
	bool deallocates; /* out of line: the memory leaves us */
};

/* Whether MIG gives the long form to what has at most so many elements of so many bits. */
static inline bool item_needs_long(unsigned int bits, uint64_t most)
{
	return bits > 255 || most > 4095;
}

struct draft {
	unsigned char *bytes; /* the message, header first */
	size_t size, room;
	bool is_complex;
};

void draft_init(struct draft *d, mach_msg_id_t id);
void draft_deinit(struct draft *d);
mach_msg_header_t *draft_header(struct draft *d);

/* Copies @size bytes from @data into the message, or writes where they are. Rights come as an array of mach_port_t
 * in either case. */
void draft_add(struct draft *d, const struct item_type *type, uint32_t number, const void *data, size_t size);

/* Sends it to @port; the message and what it carries are gone then. @timeout: milliseconds, or MACH_MSG_TIMEOUT_NONE. */
mach_msg_return_t draft_send(struct draft *d, mach_port_t port, mach_msg_type_name_t disposition, mach_port_t reply,
			     mach_msg_timeout_t timeout);

/* ---- receiving */

struct received {
	mach_msg_header_t *message;
	mach_msg_audit_trailer_t trailer; /* who sent it; 0 if that is not known */
	size_t room;
};

void received_init(struct received *r);
void received_deinit(struct received *r);

/* The next message of @port, however large. */
mach_msg_return_t receive(struct received *r, mach_port_t port, mach_msg_timeout_t timeout);

#endif
