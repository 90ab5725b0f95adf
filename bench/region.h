/* SPDX-License-Identifier: MIT */
/* A message with one region of memory out of line, and memory to send so. */
#ifndef BENCH_REGION_H
#define BENCH_REGION_H

#include "small.h"

/* A message with one region out of line. The long descriptor has the same members in both layouts; the pointer follows
 * it directly, aligned or not, hence the bytes. It may be padded at its end; the message is not. */
struct region_message {
	mach_msg_header_t head;
	mach_msg_type_long_t type;
	char address[sizeof(void *)];
};

enum { REGION_MESSAGE_SIZE = offsetof(struct region_message, address) + sizeof(void *) };

/* Where it goes is for the sender to add. */
static inline void region_load(struct region_message *m, const char *memory, size_t size, bool move)
{
	*m = (struct region_message){ 0 };
	head_init(&m->head, REGION_MESSAGE_SIZE, MACH_PORT_NULL, 0);
	m->head.msgh_bits |= MACH_MSGH_BITS_COMPLEX;
	m->type.msgtl_header.msgt_longform = 1;
	m->type.msgtl_header.msgt_deallocate = move;
	m->type.msgtl_name = MACH_MSG_TYPE_BYTE;
	m->type.msgtl_size = 8;
	m->type.msgtl_number = (mach_msg_type_number_t)size;
	memcpy(m->address, &memory, sizeof m->address);
}

/* The message has come: where is the memory now? */
static inline char *region_address(const struct region_message *m)
{
	char *memory;

	memcpy(&memory, m->address, sizeof memory);
	return memory;
}

static inline char *memory_new(size_t size, int mark)
{
	vm_address_t address = 0;

	must(vm_allocate(mach_task_self(), &address, size, TRUE));
	memset((void *)address, mark, size);
	return (char *)address;
}

static inline void memory_free(char *memory, size_t size)
{
	must(vm_deallocate(mach_task_self(), (vm_address_t)memory, size));
}

#endif
