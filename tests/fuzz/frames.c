/* SPDX-License-Identifier: MIT */
#include "frames.h"

#include <mach/message.h>
#include <mach/notify.h>
#include <mach/port.h>
#include <string.h>

#include "kernel/callmsg.h"

/* ---- what a frame may name ---------------------------------------------------------------------------------------- */

static uint32_t take_index(struct input *in)
{
	uint32_t which = (uint32_t)take(in, 1);

	if (which < 128)
		return which % 8;
	if (which < 192)
		return INDEX_IS_ADOPTED | which % 8;
	if (which < 208)
		return INDEX_OF_NODE;
	return which < 216 ? INDEX_NONE : (uint32_t)take(in, 4);
}

static uint32_t take_number(struct input *in)
{
	static const uint32_t numbers[] = { 255,	   4096,      65535,	65536, 1 << 20,
					    (1 << 24) + 1, INT32_MAX, 1u << 31, ~0u,   ~1u };
	uint32_t which = (uint32_t)take(in, 1);

	if (which < 200)
		return which % 5;
	return which < 240 ? numbers[which % 10] : (uint32_t)take(in, 2);
}

/* Of what takes time for each: few, or too many. */
static uint32_t take_few(struct input *in)
{
	static const uint32_t numbers[] = { 100, 1 << 20, INT32_MAX, 1u << 31, ~0u, ~1u };
	uint32_t which = (uint32_t)take(in, 1);

	return which < 200 ? which % 5 : numbers[which % 6];
}

static uint64_t take_node(struct input *in, const struct frames_world *world)
{
	uint32_t which = take_below(in, FRAMES_NODES + 1);

	return which == FRAMES_NODES ? take(in, 8) : world->nodes[which];
}

static uint64_t take_ticket_number(struct input *in)
{
	uint32_t which = (uint32_t)take(in, 1);

	return which < 240 ? which % 16 : take(in, 8);
}

static uint8_t take_kind(struct input *in)
{
	static const uint8_t kinds[] = { MACH_MSG_TYPE_PORT_SEND, MACH_MSG_TYPE_PORT_SEND_ONCE,
					 MACH_MSG_TYPE_PORT_RECEIVE, 0 };
	uint32_t which = (uint32_t)take(in, 1);

	return which < 240 ? kinds[which % 4] : (uint8_t)take(in, 1);
}

static uint8_t take_form(struct input *in)
{
	static const uint8_t forms[] = {
		WIRE_NULL,
		WIRE_DEAD,
		WIRE_MINE,
		WIRE_YOURS,
		WIRE_YOURS_MOVED,
		WIRE_TICKET,
		WIRE_RECEIVE,
		WIRE_MINE | WIRE_IS_OBJECT,
		WIRE_MINE | WIRE_IS_FILE,
	};
	uint32_t which = (uint32_t)take(in, 1);

	return which < 240 ? forms[which % sizeof forms] : (uint8_t)take(in, 1);
}

static struct wire_right take_right(struct input *in)
{
	return (struct wire_right){
		.form = take_form(in),
		.kind = take_kind(in),
		.limit = (uint16_t)take_number(in),
		.value = take_index(in),
	};
}

static struct wire_ticket take_ticket(struct input *in, const struct frames_world *world)
{
	uint64_t owner = take_node(in, world);

	return (struct wire_ticket){ owner, take_ticket_number(in) };
}

/* ---- messages ----------------------------------------------------------------------------------------------------- */

/* What follows the body. */
struct rest {
	unsigned char bytes[4096];
	size_t size;
};

static void rest_add(struct rest *rest, const void *bytes, size_t size)
{
	size_t padded = (size + 7) & ~(size_t)7;

	if (padded > sizeof rest->bytes - rest->size)
		return;
	memcpy(rest->bytes + rest->size, bytes, size);
	rest->size += padded;
}

static void rest_add_right(struct rest *rest, struct input *in, const struct frames_world *world, uint8_t kind)
{
	struct wire_right right = take_right(in);
	struct wire_ticket ticket;

	if (right.kind != 0) /* most are what the item says */
		right.kind = kind;
	rest_add(rest, &right, sizeof right);
	if (right.form != WIRE_TICKET)
		return;
	ticket = take_ticket(in, world);
	rest_add(rest, &ticket, sizeof ticket);
}

struct body {
	unsigned char bytes[4096];
	size_t size;
};

static void body_add(struct body *b, const void *bytes, size_t size)
{
	size_t padded = (size + MACH_MSG_USER_ALIGNMENT - 1) / MACH_MSG_USER_ALIGNMENT * MACH_MSG_USER_ALIGNMENT;

	if (padded > sizeof b->bytes - b->size)
		return;
	memcpy(b->bytes + b->size, bytes, size);
	b->size += padded;
}

static void body_add_type(struct body *b, unsigned name, unsigned bits, uint32_t number, bool is_inline)
{
	mach_msg_type_long_t t;
	bool is_long = bits > 255 || number > 4095;

	memset(&t, 0, sizeof t);
	t.msgtl_header.msgt_inline = is_inline;
	t.msgtl_header.msgt_longform = is_long;
	t.msgtl_header.msgt_name = name & 0xff;
	t.msgtl_header.msgt_size = bits & 0xff;
	t.msgtl_header.msgt_number = number & 0xfff;
	if (is_long) {
		t.msgtl_name = name & 0xff;
		t.msgtl_size = bits & 0xffff;
		t.msgtl_number = number;
	}
	body_add(b, &t, is_long ? sizeof t : sizeof t.msgtl_header);
}

static void add_rights(struct body *b, struct rest *rest, struct input *in, const struct frames_world *world,
		       bool is_inline)
{
	static const mach_port_name_inlined_t none[8];
	static const void *const nowhere = NULL;
	uint32_t n = take_below(in, 5);
	uint8_t kind = take_kind(in);

	body_add_type(b, kind, 8 * (is_inline ? sizeof *none : sizeof(mach_port_name_t)), n, is_inline);
	if (is_inline)
		body_add(b, none, n * sizeof *none);
	else
		body_add(b, &nowhere, sizeof nowhere);
	for (uint32_t i = 0; i < n; i++)
		rest_add_right(rest, in, world, kind);
}

static void add_numbers(struct body *b, struct input *in)
{
	uint32_t n = take_below(in, 4), numbers[4] = { 0 };
	bool is_wide = take(in, 1) & 1;

	for (uint32_t i = 0; i < n; i++)
		numbers[i] = take_number(in);
	body_add_type(b, is_wide ? MACH_MSG_TYPE_INTEGER_64 : MACH_MSG_TYPE_INTEGER_32, is_wide ? 64 : 32,
		      is_wide ? n / 2 : n, true);
	body_add(b, numbers, is_wide ? n / 2 * 8 : n * 4);
}

static void add_memory(struct body *b, struct rest *rest, struct input *in)
{
	static const unsigned char bytes[256];
	static const void *const nowhere = NULL;
	struct wire_memory memory = { .size = take_number(in), .form = MEMORY_INLINE };
	uint32_t which = (uint32_t)take(in, 1);

	body_add_type(b, MACH_MSG_TYPE_BYTE, 8, (uint32_t)memory.size, false);
	body_add(b, &nowhere, sizeof nowhere);
	memory.form = which < 200 ? which % 2 : which;
	rest_add(rest, &memory, sizeof memory);
	if (memory.form == MEMORY_INLINE)
		rest_add(rest, bytes, memory.size < sizeof bytes ? memory.size : sizeof bytes);
}

static void add_item(struct body *b, struct rest *rest, struct input *in, const struct frames_world *world)
{
	switch (take_below(in, 6)) {
	case 0:
		add_numbers(b, in);
		break;
	case 1:
		add_memory(b, rest, in);
		break;
	case 2:
		add_rights(b, rest, in, world, false);
		break;
	default:
		add_rights(b, rest, in, world, true);
	}
}

/* Notifications, calls on tasks (but for the one that makes a task, which lives until somebody ends it), and words of nobody's. */
static mach_msg_id_t take_id(struct input *in)
{
	uint32_t which = (uint32_t)take(in, 1);

	if (which < 64)
		return MACH_NOTIFY_FIRST + (mach_msg_id_t)which % 12;
	if (which < 160)
		return CALL_MESSAGE_ID + (mach_msg_id_t)(which % CALL_OPS == CALL_TASK_CREATE ? 0 : which % CALL_OPS);
	if (which < 200)
		return 5300 + (mach_msg_id_t)which % 16; /* <portunus/inspect.defs> */
	return which < 240 ? (mach_msg_id_t)which : 0;
}

static void build_message(struct writing *w, struct input *in, const struct frames_world *world)
{
	struct frame_message f = { .header = { 0, FRAME_MESSAGE, 0 }, .index = take_index(in) };
	uint32_t how = (uint32_t)take(in, 1), n_items = how % 4, lie;
	struct rest rest = { .size = 0 };
	struct body body = { .size = 0 };

	f.kind = how & 0x80 ? MACH_MSG_TYPE_PORT_SEND_ONCE : MACH_MSG_TYPE_PORT_SEND;
	f.flags = how & 0x40 ? (uint8_t)take(in, 1) & 15 : 0;
	f.id = take_id(in);
	if (how & 0x20)
		rest_add_right(&rest, in, world, take_kind(in));
	else
		rest_add(&rest, &right_none, sizeof right_none);
	lie = how & 0x10 ? (uint32_t)take(in, 1) : 0;
	writing_add(w, &f, sizeof f);
	writing_add(w, rest.bytes, rest.size);
	rest.size = 0;
	if (n_items)
		f.flags |= MESSAGE_IS_COMPLEX;
	for (; n_items > 0; n_items--)
		add_item(&body, &rest, in, world);
	f.body_size = (uint32_t)body.size;
	if (lie == 1)
		f.kind = (uint8_t)take(in, 1);
	if (lie == 2)
		f.body_size = (uint32_t)take(in, 4);
	if (lie == 3)
		f.bits = (mach_msg_bits_t)take(in, 4);
	if (lie == 4)
		f.flags ^= MESSAGE_IS_COMPLEX;
	memcpy(w->bytes, &f, sizeof f);
	writing_add(w, body.bytes, body.size);
	writing_add(w, rest.bytes, rest.size);
}

/* ---- the others --------------------------------------------------------------------------------------------------- */

static void build_index(struct writing *w, struct input *in, enum frame_type type)
{
	struct frame_index f = { .header = { 0, (uint16_t)type, 0 } };
	uint32_t signs;

	f.index = take_index(in);
	signs = (uint32_t)take(in, 1);
	f.sends = (int32_t)take_number(in);
	f.onces = (int32_t)take_few(in);
	if (signs & 1)
		f.sends = (int32_t) - (uint32_t)f.sends;
	if (signs & 2)
		f.onces = (int32_t) - (uint32_t)f.onces;
	f.is_end = signs & 4;
	writing_add(w, &f, sizeof f);
}

static void build_ticket(struct writing *w, struct input *in, const struct frames_world *world, enum frame_type type)
{
	struct frame_ticket f = { .header = { 0, (uint16_t)type, 0 } };

	f.node = take_node(in, world);
	f.number = take_ticket_number(in);
	f.right = take_right(in);
	if (type == FRAME_FLUSHED) {
		f.sends = (int32_t)take_number(in);
		f.onces = (int32_t)take_few(in);
	}
	if (f.right.form == WIRE_TICKET)
		f.onward = take_ticket(in, world);
	writing_add(w, &f, sizeof f);
}

static void build_move(struct writing *w, struct input *in, const struct frames_world *world)
{
	struct frame_move f = { .header = { 0, FRAME_MOVE, 0 } };
	uint32_t n = take_below(in, 4);

	f.index = INDEX_IS_ADOPTED | take_index(in);
	f.mine = take_index(in);
	f.sends = take_number(in);
	f.onces = take_few(in);
	f.limit = take_number(in);
	f.n_holders = take_below(in, 16) ? n : take_number(in);
	writing_add(w, &f, sizeof f);
	for (uint32_t i = 0; i < n; i++) {
		struct move_holder holder = { .node = take_node(in, world) };

		holder.number = take_ticket_number(in);
		holder.sends = take_number(in);
		holder.onces = take_few(in);
		writing_add(w, &holder, sizeof holder);
	}
}

static void build_data(struct writing *w, struct input *in)
{
	static const unsigned char bytes[4096];
	struct frame_data f = { .header = { 0, FRAME_DATA, 0 } };
	uint32_t n = (uint32_t)take(in, 1) * 16;

	f.total = take_below(in, 2) ? take_number(in) : 0;
	f.size = take_below(in, 16) ? n : take_number(in);
	writing_add(w, &f, sizeof f);
	writing_add(w, bytes, n);
}

static void build_heir(struct writing *w, struct input *in)
{
	struct frame_heir f = { .header = { 0, FRAME_HEIR, 0 } };

	f.index = take_index(in);
	f.notify = take_index(in);
	f.limit = take_number(in);
	writing_add(w, &f, sizeof f);
}

static void build_introduction(struct writing *w, struct input *in, const struct frames_world *world)
{
	struct frame_introduction f = { { 0, FRAME_INTRODUCTION, 0 }, take_node(in, world) };

	writing_add(w, &f, sizeof f);
}

void frame_build(struct writing *w, struct input *in, const struct frames_world *world, enum frame_type type)
{
	w->size = 0;
	switch (type) {
	case FRAME_MESSAGE:
		build_message(w, in, world);
		break;
	case FRAME_INTRODUCTION:
		build_introduction(w, in, world);
		break;
	case FRAME_DEPOSIT:
	case FRAME_OFFER:
	case FRAME_QUERY:
	case FRAME_VOID:
	case FRAME_MOVED:
	case FRAME_FLUSHED:
		build_ticket(w, in, world, type);
		break;
	case FRAME_MOVE:
		build_move(w, in, world);
		break;
	case FRAME_DATA:
		build_data(w, in);
		break;
	case FRAME_HEIR:
		build_heir(w, in);
		break;
	default:
		build_index(w, in, type);
	}
	((struct frame *)(void *)w->bytes)->size = w->size;
}

void frame_build_raw(struct writing *w, struct input *in)
{
	struct frame header = { 0 };
	unsigned char byte;
	uint32_t n;

	w->size = 0;
	header.type = (uint16_t)take(in, 1);
	header.flags = header.type & 0x80 ? (uint16_t)take(in, 1) : 0;
	header.type &= 0x7f;
	n = (uint32_t)take(in, 1) & ~7u;
	writing_add(w, &header, sizeof header);
	memset(w->bytes + w->size, 0, n);
	for (uint32_t i = 0; i < n; i++) {
		byte = (unsigned char)take(in, 1);
		w->bytes[w->size + i] = byte;
	}
	w->size += n;
	((struct frame *)(void *)w->bytes)->size = w->size;
}
