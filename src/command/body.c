/* SPDX-License-Identifier: MIT */
#include "body.h"

#include <stdlib.h>
#include <string.h>

#include "command.h"

#define UNIT	   MACH_MSG_USER_ALIGNMENT
#define FIRST_ROOM 4096

static size_t whole_units(size_t size)
{
	return (size + UNIT - 1) & ~(size_t)(UNIT - 1);
}

/* ---- taking apart */

void body_init(struct body *b, const mach_msg_header_t *header, size_t size)
{
	b->start = (const unsigned char *)header;
	b->at = b->start + sizeof *header;
	b->end = b->start + size;
}

/* The bytes of the descriptor, or 0 if it is cut short. */
static size_t read_type(const struct body *b, struct item *item)
{
	size_t room = (size_t)(b->end - b->at);
	mach_msg_type_long_t long_type;
	mach_msg_type_t type;

	if (room < sizeof type)
		return 0;
	memcpy(&type, b->at, sizeof type);
	*item = (struct item){
		.type = type.msgt_name,
		.bits = type.msgt_size,
		.number = type.msgt_number,
		.is_inline = type.msgt_inline,
		.deallocates = type.msgt_deallocate,
	};
	if (!type.msgt_longform || sizeof long_type == sizeof type)
		return sizeof type;
	if (room < sizeof long_type)
		return 0;
	memcpy(&long_type, b->at, sizeof long_type);
	item->type = long_type.msgtl_name;
	item->bits = long_type.msgtl_size;
	item->number = long_type.msgtl_number;
	return sizeof long_type;
}

enum body_result body_next(struct body *b, struct item *item)
{
	const unsigned char *data;
	size_t head, room, here;

	if (b->at == b->end)
		return BODY_END;
	head = read_type(b, item);
	if (!head)
		return BODY_MALFORMED;
	data = b->at + head;
	room = (size_t)(b->end - data);
	item->size = ((size_t)item->number * item->bits + 7) / 8;
	here = item->is_inline ? item->size : sizeof(void *);
	if (room < here)
		return BODY_MALFORMED;
	b->at = room < whole_units(here) ? b->end : data + whole_units(here);
	if (item->is_inline)
		item->data = data;
	else
		memcpy(&item->data, data, sizeof item->data);
	return BODY_ITEM;
}

mach_port_t item_right(const struct item *item, uint32_t i)
{
	mach_port_t right;

	memcpy(&right, item->data + i * (size_t)(item->bits / 8), sizeof right);
	return right;
}

/* ---- putting together */

void draft_init(struct draft *d, mach_msg_id_t id)
{
	*d = (struct draft){ .bytes = must_alloc(FIRST_ROOM), .size = sizeof(mach_msg_header_t), .room = FIRST_ROOM };
	draft_header(d)->msgh_id = id;
}

void draft_deinit(struct draft *d)
{
	free(d->bytes);
}

mach_msg_header_t *draft_header(struct draft *d)
{
	return (mach_msg_header_t *)d->bytes;
}

/* @size more bytes, zeroed. */
static unsigned char *extend(struct draft *d, size_t size)
{
	unsigned char *at;

	if (d->size + size > d->room) {
		d->room = (d->size + size) * 2;
		d->bytes = must_grow(d->bytes, d->room, 1);
	}
	at = d->bytes + d->size;
	memset(at, 0, size);
	d->size += size;
	return at;
}

/* Field by field through memory: a descriptor may stand at half its alignment in the layout of 4 bytes. */
static void add_type(struct draft *d, const struct item_type *t, uint32_t number, unsigned int bits)
{
	bool is_other_form = t->is_long && sizeof(mach_msg_type_long_t) != sizeof(mach_msg_type_t);
	mach_msg_type_long_t long_type;
	mach_msg_type_t type;

	memset(&type, 0, sizeof type);
	type.msgt_inline = t->is_inline;
	type.msgt_longform = t->is_long;
	type.msgt_deallocate = t->deallocates;
	if (!is_other_form) {
		type.msgt_name = t->type & 0xff;
		type.msgt_size = bits;
		type.msgt_number = number;
		memcpy(extend(d, sizeof type), &type, sizeof type);
		return;
	}
	memset(&long_type, 0, sizeof long_type);
	memcpy(&long_type, &type, sizeof type);
	long_type.msgtl_name = (unsigned short)t->type;
	long_type.msgtl_size = (unsigned short)bits;
	long_type.msgtl_number = number;
	memcpy(extend(d, sizeof long_type), &long_type, sizeof long_type);
}

/* A right fills a unit in a message, and half of it may be padding. */
static void add_rights(struct draft *d, uint32_t number, const mach_port_t *rights)
{
	for (uint32_t i = 0; i < number; i++)
		memcpy(extend(d, sizeof(mach_port_name_inlined_t)), &rights[i], sizeof rights[i]);
}

void draft_add(struct draft *d, const struct item_type *t, uint32_t number, const void *data, size_t size)
{
	bool is_right = MACH_MSG_TYPE_PORT_ANY(t->type);
	unsigned int bits = t->bits;

	if (is_right)
		bits = 8 * (t->is_inline ? sizeof(mach_port_name_inlined_t) : sizeof(mach_port_t));
	add_type(d, t, number, bits);
	if (!t->is_inline)
		memcpy(extend(d, sizeof data), &data, sizeof data);
	else if (is_right)
		add_rights(d, number, data);
	else if (size)
		memcpy(extend(d, whole_units(size)), data, size);
	d->is_complex |= is_right || !t->is_inline;
}

mach_msg_return_t draft_send(struct draft *d, mach_port_t port, mach_msg_type_name_t disposition, mach_port_t reply,
			     mach_msg_timeout_t timeout)
{
	mach_msg_header_t *h = draft_header(d);
	mach_msg_option_t option = MACH_SEND_MSG | (timeout ? MACH_SEND_TIMEOUT : 0);

	h->msgh_bits = MACH_MSGH_BITS(disposition, reply ? MACH_MSG_TYPE_MAKE_SEND_ONCE : 0) |
		       (d->is_complex ? MACH_MSGH_BITS_COMPLEX : 0);
	h->msgh_size = (mach_msg_size_t)d->size;
	h->msgh_remote_port = port;
	h->msgh_local_port = reply;
	return mach_msg(h, option, h->msgh_size, 0, MACH_PORT_NULL, timeout, MACH_PORT_NULL);
}

/* ---- receiving */

#define WITH_SENDER \
	((mach_msg_option_t)(MACH_RCV_TRAILER_TYPE(MACH_MSG_TRAILER_FORMAT_0) | \
			     MACH_RCV_TRAILER_ELEMENTS(MACH_RCV_TRAILER_AUDIT)))

void received_init(struct received *r)
{
	*r = (struct received){ .message = must_alloc(FIRST_ROOM), .room = FIRST_ROOM };
}

void received_deinit(struct received *r)
{
	free(r->message);
}

mach_msg_return_t receive(struct received *r, mach_port_t port, mach_msg_timeout_t timeout)
{
	mach_msg_option_t option = MACH_RCV_MSG | MACH_RCV_LARGE | WITH_SENDER | (timeout ? MACH_RCV_TIMEOUT : 0);
	mach_msg_return_t mr;

	memset(&r->trailer, 0, sizeof r->trailer);
	while ((mr = mach_msg(r->message, option, 0, (mach_msg_size_t)r->room, port, timeout, MACH_PORT_NULL)) ==
	       MACH_RCV_TOO_LARGE) {
		r->room = round_msg(r->message->msgh_size) + MAX_TRAILER_SIZE;
		r->message = must_grow(r->message, r->room, 1);
	}
	if (mr == MACH_MSG_SUCCESS)
		memcpy(&r->trailer, (unsigned char *)r->message + round_msg(r->message->msgh_size), sizeof r->trailer);
	return mr;
}
