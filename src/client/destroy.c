/* SPDX-License-Identifier: MIT */
/* mach_msg_destroy: give back what a message holds. It reads the message as the two ends of a queue agree to write it and
 * asks the task for nothing but to give up rights and memory, so it works alike in both layouts. */
#include <mach.h>

#include <stdint.h>
#include <string.h>

/* One item of a body, whatever the form of its descriptor. */
struct item {
	mach_msg_type_name_t name;
	uint64_t number;
	uint64_t bytes; /* of the data: size times number, in whole bytes */
	boolean_t is_inline;
	boolean_t deallocate;
	const char *data;	 /* inline: in the message; else what the pointer says */
	boolean_t sized_as_port; /* its elements have the size of a right in this place */
};

/* What is left of a body. */
struct cursor {
	const char *at;
	const char *end;
};

static const char *cursor_take(struct cursor *c, uint64_t n)
{
	const char *at = c->at;

	if (n > (uint64_t)(c->end - c->at))
		return NULL;
	c->at += n;
	return at;
}

static uint64_t padded(uint64_t n)
{
	return (n + MACH_MSG_USER_ALIGNMENT - 1) & ~(uint64_t)(MACH_MSG_USER_ALIGNMENT - 1);
}

/* Reads one descriptor; FALSE at the end of the body, or where it does not make sense. Descriptors may lie at any
 * address that the layout allows, so they are copied. */
static boolean_t item_read_type(struct cursor *c, struct item *it)
{
	mach_msg_type_t t;
	mach_msg_type_long_t l;
	const char *start = c->at;
	uint64_t bits;

	if (!cursor_take(c, sizeof t))
		return FALSE;
	memcpy(&t, start, sizeof t);
	it->name = t.msgt_name;
	it->number = t.msgt_number;
	bits = t.msgt_size;
	it->is_inline = t.msgt_inline;
	it->deallocate = t.msgt_deallocate;
	if (t.msgt_longform) {
		if (!cursor_take(c, sizeof l - sizeof t))
			return FALSE;
		memcpy(&l, start, sizeof l);
		it->name = l.msgtl_name;
		it->number = l.msgtl_number;
		bits = l.msgtl_size;
	}
	it->sized_as_port = bits == 8 * (it->is_inline ? sizeof(mach_port_name_inlined_t) : sizeof(mach_port_t));
	it->bytes = (bits * it->number + 7) / 8;
	return TRUE;
}

static boolean_t item_read(struct cursor *c, struct item *it)
{
	const char *where;

	if (!item_read_type(c, it))
		return FALSE;
	if (it->is_inline) {
		it->data = cursor_take(c, padded(it->bytes));
		return it->data != NULL;
	}
	where = cursor_take(c, sizeof it->data);
	if (!where)
		return FALSE;
	memcpy(&it->data, where, sizeof it->data);
	return TRUE;
}

/* A right that was to be made is made and dropped: whoever waits for the last sender hears that there was none. */
static void right_destroy(mach_msg_type_name_t disposition, mach_port_t name)
{
	mach_msg_type_name_t made;
	mach_port_t once;

	if (!MACH_PORT_VALID(name))
		return;
	switch (disposition) {
	case MACH_MSG_TYPE_MOVE_RECEIVE:
		mach_port_mod_refs(mach_task_self(), name, MACH_PORT_RIGHT_RECEIVE, -1);
		break;
	case MACH_MSG_TYPE_MOVE_SEND:
	case MACH_MSG_TYPE_MOVE_SEND_ONCE:
		mach_port_deallocate(mach_task_self(), name);
		break;
	case MACH_MSG_TYPE_MAKE_SEND:
		if (mach_port_insert_right(mach_task_self(), name, name, MACH_MSG_TYPE_MAKE_SEND) == KERN_SUCCESS)
			mach_port_deallocate(mach_task_self(), name);
		break;
	case MACH_MSG_TYPE_MAKE_SEND_ONCE:
		if (mach_port_extract_right(mach_task_self(), name, disposition, &once, &made) == KERN_SUCCESS)
			mach_port_deallocate(mach_task_self(), once);
		break;
	default: /* a copy takes nothing from anybody */
		break;
	}
}

static void item_destroy_rights(const struct item *it)
{
	size_t stride = it->is_inline ? sizeof(mach_port_name_inlined_t) : sizeof(mach_port_t);
	mach_port_t name;

	for (uint64_t i = 0; i < it->number; i++) {
		memcpy(&name, it->data + i * stride, sizeof name); /* a name leads its padding */
		right_destroy(it->name, name);
	}
}

static void item_destroy(const struct item *it)
{
	if (MACH_MSG_TYPE_PORT_ANY(it->name) && it->sized_as_port && it->data)
		item_destroy_rights(it);
	if (!it->is_inline && it->deallocate && it->bytes > 0)
		vm_deallocate(mach_task_self(), (vm_address_t)it->data, it->bytes);
}

void mach_msg_destroy(mach_msg_header_t *msg)
{
	mach_msg_size_t size = msg->msgh_size;
	struct cursor c = { (const char *)(msg + 1), (const char *)msg + size };
	struct item it;

	right_destroy(MACH_MSGH_BITS_REMOTE(msg->msgh_bits), msg->msgh_remote_port);
	if (!(msg->msgh_bits & MACH_MSGH_BITS_COMPLEX) || size < sizeof *msg)
		return;
	while (item_read(&c, &it))
		item_destroy(&it);
}
