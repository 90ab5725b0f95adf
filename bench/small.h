/* SPDX-License-Identifier: MIT */
/* The message that most rows send: 64 bytes in all, in either layout. */
#ifndef BENCH_SMALL_H
#define BENCH_SMALL_H

#include "bench.h"

#include <mach.h>
#include <string.h>

enum { SMALL_SIZE = 64 };

struct small {
	mach_msg_header_t head;
	mach_msg_type_t type;
	char data[SMALL_SIZE - sizeof(mach_msg_header_t) - sizeof(mach_msg_type_t)];
};

_Static_assert(sizeof(struct small) == SMALL_SIZE, "the contestants carry as much");

/* The descriptor of data or rights that follow it. */
static inline mach_msg_type_t type_inline(unsigned name, unsigned bits, unsigned number)
{
	mach_msg_type_t type = { 0 };

	type.msgt_name = name & 0xff;
	type.msgt_size = bits & 0xff;
	type.msgt_number = number & 0xfff;
	type.msgt_inline = 1;
	return type;
}

static inline void head_init(mach_msg_header_t *head, size_t size, mach_port_t to, unsigned disposition)
{
	*head = (mach_msg_header_t){ 0 };
	head->msgh_bits = MACH_MSGH_BITS(disposition, 0);
	head->msgh_size = (mach_msg_size_t)size;
	head->msgh_remote_port = to;
}

static inline void small_init(struct small *m, mach_port_t to, unsigned disposition)
{
	*m = (struct small){ 0 };
	head_init(&m->head, sizeof *m, to, disposition);
	m->type = type_inline(MACH_MSG_TYPE_BYTE, 8, sizeof m->data);
}

static inline void send_to(mach_msg_header_t *head, mach_port_t to, unsigned disposition)
{
	head->msgh_bits = (head->msgh_bits & MACH_MSGH_BITS_COMPLEX) | MACH_MSGH_BITS(disposition, 0);
	head->msgh_remote_port = to;
	head->msgh_local_port = MACH_PORT_NULL;
	must(mach_msg(head, MACH_SEND_MSG, head->msgh_size, 0, MACH_PORT_NULL, MACH_MSG_TIMEOUT_NONE, MACH_PORT_NULL));
}

static inline void receive(mach_msg_header_t *head, size_t room, mach_port_t from)
{
	must(mach_msg(head, MACH_RCV_MSG, 0, (mach_msg_size_t)room, from, MACH_MSG_TIMEOUT_NONE, MACH_PORT_NULL));
}

/* A receive right, and one send right under the same name. */
static inline mach_port_t port_with_send_right(void)
{
	mach_port_t port;

	must(mach_port_allocate(mach_task_self(), MACH_PORT_RIGHT_RECEIVE, &port));
	must(mach_port_insert_right(mach_task_self(), port, port, MACH_MSG_TYPE_MAKE_SEND));
	return port;
}

/* Both rights of the port go. */
static inline void port_release(mach_port_t port)
{
	must(mach_port_destroy(mach_task_self(), port));
}

/* Context pointers that carry no more than a name. */
static inline void *name_context(mach_port_t name)
{
	return (void *)(uintptr_t)name;
}

static inline mach_port_t context_name(void *context)
{
	return (mach_port_t)(uintptr_t)context;
}

#endif
