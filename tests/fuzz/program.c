/* SPDX-License-Identifier: MIT */
#include "program.h"

#include <mach.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define N_PAGES	 4
#define PAGE	 4096
#define MAX_BODY 3000

union buffer {
	mach_msg_header_t header;
	unsigned char bytes[8192];
};

struct body {
	size_t size;
	unsigned char bytes[MAX_BODY];
};

static unsigned char *pages; /* N_PAGES full of names, then one that cannot be read */

mach_port_name_t program_take_name(struct input *in)
{
	uint32_t which = take(in, 1) % 16;

	if (which < 10)
		return FIRST_NAME + which;
	switch (which) {
	case 10:
		return MACH_PORT_NULL;
	case 11:
		return MACH_PORT_DEAD;
	case 12:
		return mach_task_self();
	case 13:
		return mach_thread_self();
	default:
		return take(in, which == 14 ? 1 : 4);
	}
}

unsigned program_take_disposition(struct input *in)
{
	uint32_t which = take(in, 1);

	return which < 224 ? MACH_MSG_TYPE_MOVE_RECEIVE + which % 6 : which;
}

/* ---- messages */

static void put(struct body *b, const void *data, size_t n)
{
	size_t padded = (n + MACH_MSG_USER_ALIGNMENT - 1) & ~(size_t)(MACH_MSG_USER_ALIGNMENT - 1);

	if (padded > MAX_BODY - b->size)
		return;
	memcpy(b->bytes + b->size, data, n);
	b->size += padded;
}

static void put_descriptor(struct body *b, unsigned name, unsigned bits, uint32_t number, unsigned flags)
{
	mach_msg_type_long_t type;
	bool is_long = flags & 2;

	memset(&type, 0, sizeof type);
	type.msgtl_header.msgt_inline = flags & 1;
	type.msgtl_header.msgt_longform = is_long;
	type.msgtl_header.msgt_deallocate = (flags >> 2) & 1;
	type.msgtl_header.msgt_name = name & 0xff;
	type.msgtl_header.msgt_size = bits & (MACH_MSG_USER_ALIGNMENT == 8 ? 0xffff : 0xff);
	type.msgtl_header.msgt_number = number & (MACH_MSG_USER_ALIGNMENT == 8 ? 0xffffffff : 0xfff);
	if (is_long) {
		type.msgtl_name = name & 0xff;
		type.msgtl_size = bits & 0xffff;
		type.msgtl_number = number;
	}
	put(b, &type, is_long ? sizeof type : sizeof type.msgtl_header);
}

static uint32_t take_number(struct input *in)
{
	uint32_t which = take(in, 1);

	if (which < 200)
		return which % 5;
	return take(in, which < 230 ? 1 : which < 245 ? 2 : 4);
}

static const void *take_address(struct input *in)
{
	vm_address_t fresh = 0;

	switch (take(in, 1) % 8) {
	case 0:
		return NULL;
	case 1:
		return pages + N_PAGES * PAGE; /* unreadable */
	case 2:
		return pages + take(in, 2) % (N_PAGES * PAGE);
	case 3:
		return (void *)(uintptr_t)0xffff800000000000; /* the host's kernel */
	case 4:
	case 5:
		if (vm_allocate(mach_task_self(), &fresh, 2 * PAGE, TRUE) == KERN_SUCCESS)
			memcpy((void *)fresh, pages, PAGE);
		return (void *)fresh;
	default:
		return pages;
	}
}

static void put_item(struct body *b, struct input *in)
{
	static const unsigned bits_of[] = { 8, 32, 64, 8 * sizeof(mach_port_name_inlined_t) };
	uint32_t kind = take(in, 1), flags = take(in, 1), number = take_number(in);
	bool right = kind < 140;
	unsigned name = right ? program_take_disposition(in) : kind;
	unsigned bits = flags & 0xf0 ? bits_of[right ? (flags & 1 ? 3 : 1) : flags % 4] : take(in, 2);

	put_descriptor(b, name, bits, number, flags);
	if (!(flags & 1)) {
		const void *address = take_address(in);

		put(b, &address, sizeof address);
		return;
	}
	for (uint32_t i = 0; i < number && i < 64; i++) {
		mach_port_name_inlined_t inlined;

		memset(&inlined, 0, sizeof inlined);
		inlined.name = program_take_name(in);
		put(b, &inlined, bits <= 8 ? 1 : sizeof inlined);
	}
}

static void build_header(mach_msg_header_t *h, struct input *in)
{
	uint32_t remote = take(in, 1), local = take(in, 1);

	/* Mostly to one of the ports: what goes nowhere is not looked at. */
	if (remote < 200) {
		h->msgh_remote_port = FIRST_NAME + remote % 3;
		h->msgh_bits = MACH_MSG_TYPE_COPY_SEND + remote / 3 % 2;
	} else {
		h->msgh_remote_port = program_take_name(in);
		h->msgh_bits = program_take_disposition(in);
	}
	if (local >= 200) {
		h->msgh_local_port = program_take_name(in);
		h->msgh_bits |= MACH_MSGH_BITS(0, program_take_disposition(in));
	}
	h->msgh_id = (mach_msg_id_t)take(in, 1);
}

static size_t build_message(union buffer *m, struct input *in)
{
	struct body body = { 0 };
	uint32_t n_items = take(in, 1) % 5, lie = take(in, 1) % 16;
	size_t size;

	memset(m, 0, sizeof *m);
	build_header(&m->header, in);
	if (n_items > 0)
		m->header.msgh_bits |= MACH_MSGH_BITS_COMPLEX;
	for (; n_items > 0; n_items--)
		put_item(&body, in);
	memcpy(m->bytes + sizeof m->header, body.bytes, body.size);
	size = sizeof m->header + body.size;
	if (lie == 1)
		size += take(in, 1) % 32 - 16;
	if (lie == 2)
		m->header.msgh_bits ^= take(in, 4);
	return size;
}

static size_t raw_message(union buffer *m, struct input *in)
{
	size_t size = take(in, 1);

	memset(m, 0, sizeof *m);
	for (size_t i = 0; i < size; i++)
		m->bytes[i] = (unsigned char)take(in, 1);
	return size;
}

/* ---- what the task does */

static void do_receive(struct input *in)
{
	union buffer m;
	mach_msg_option_t option = MACH_RCV_MSG | MACH_RCV_TIMEOUT;
	uint32_t how = take(in, 1);
	mach_port_name_t name;

	option |= how & 1 ? MACH_RCV_LARGE : 0;
	option |= how / 128 ? MACH_RCV_NOTIFY : 0;
	option |= MACH_RCV_TRAILER_ELEMENTS(how >> 1);
	name = how & 8 ? program_take_name(in) : FIRST_NAME + how % 4;
	if (mach_msg(&m.header, option, 0, how & 0x70 ? sizeof m : take(in, 1), name, 0, program_take_name(in)) == 0)
		mach_msg_destroy(&m.header);
}

static void do_send(struct input *in, size_t (*make)(union buffer *, struct input *))
{
	union buffer m;
	size_t size = make(&m, in);
	uint32_t how = take(in, 1);
	mach_msg_option_t option = MACH_SEND_MSG | MACH_SEND_TIMEOUT | MACH_RCV_TIMEOUT;
	mach_port_name_t receive = program_take_name(in), notify = program_take_name(in);

	option |= how & 1 ? MACH_SEND_NOTIFY : 0;
	option |= (how & 6) == 6 ? MACH_SEND_CANCEL : 0;
	option |= (how & 24) == 24 ? MACH_RCV_MSG : 0;
	if (mach_msg(&m.header, option, (mach_msg_size_t)size, sizeof m, receive, 0, notify) == 0 &&
	    (option & MACH_RCV_MSG))
		mach_msg_destroy(&m.header);
}

static void do_change(struct input *in)
{
	task_t self = mach_task_self();
	mach_port_name_t name = program_take_name(in), other = program_take_name(in), got;
	mach_msg_type_name_t type;
	uint32_t value = take(in, 1);

	switch (take(in, 1) % 12) {
	case 0:
		mach_port_insert_right(self, name, other, program_take_disposition(in));
		return;
	case 1:
		mach_port_mod_refs(self, name, value % 6, (mach_port_delta_t)take(in, 4) >> value % 32);
		return;
	case 2:
		mach_port_deallocate(self, name);
		return;
	case 3:
		mach_port_destroy(self, name);
		return;
	case 4:
		mach_port_move_member(self, name, other);
		return;
	case 5:
		mach_port_rename(self, name, other);
		return;
	case 6:
		mach_port_allocate_name(self, value % 6, name);
		return;
	case 7:
		mach_port_set_qlimit(self, name, value % 20);
		return;
	case 8:
		mach_port_extract_right(self, name, program_take_disposition(in), &got, &type);
		return;
	case 9:
		mach_port_set_protected_payload(self, name, take(in, 4));
		return;
	default:
		mach_port_request_notification(self, name, (mach_msg_id_t)(MACH_NOTIFY_FIRST + value % 12), value & 1,
					       other, program_take_disposition(in), &got);
	}
}

/* ---- the whole */

static void *map_pages(void)
{
	unsigned char *p = mmap(NULL, (N_PAGES + 1) * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED || mprotect(p + N_PAGES * PAGE, PAGE, PROT_NONE))
		abort();
	for (mach_port_name_t i = 0; i < N_PAGES * PAGE / sizeof i; i++)
		((mach_port_name_t *)(void *)p)[i] = i % 7 == 6 ? MACH_PORT_NULL : FIRST_NAME + i % 7;
	return p;
}

void program_begin(void)
{
	task_t self = mach_task_self();

	if (!pages)
		pages = map_pages();
	for (mach_port_name_t name = FIRST_NAME; name < FIRST_NAME + 3; name++) {
		mach_port_allocate_name(self, MACH_PORT_RIGHT_RECEIVE, name);
		mach_port_insert_right(self, name, name, MACH_MSG_TYPE_MAKE_SEND);
	}
	mach_port_allocate_name(self, MACH_PORT_RIGHT_PORT_SET, FIRST_NAME + 3);
	mach_port_move_member(self, FIRST_NAME + 2, FIRST_NAME + 3);
	mach_port_allocate_name(self, MACH_PORT_RIGHT_DEAD_NAME, FIRST_NAME + 4);
	mach_port_insert_right(self, FIRST_NAME + 5, FIRST_NAME, MACH_MSG_TYPE_MAKE_SEND_ONCE);
}

void program_step(struct input *in)
{
	uint32_t what = take_below(in, 16);

	if (what < 8)
		do_send(in, build_message);
	else if (what < 12)
		do_receive(in);
	else if (what < 15)
		do_change(in);
	else
		do_send(in, raw_message);
}
