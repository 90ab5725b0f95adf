/* SPDX-License-Identifier: MIT */
/* What one thread sends to one port, or to several that are in one set, arrives in that order, whatever its size. */
#include "family.h"

#include <stdlib.h>

struct stream {
	mach_port_t to[4]; /* in turn */
	unsigned n_to, n_messages;
};

enum { BIG = 200000, N_SIZES = 7 };

/* Inline bytes of the n-th message, and its memory out of line. */
static unsigned inline_size(unsigned n)
{
	static const unsigned sizes[N_SIZES] = { 0, 24, 4000, 17000, 70000, BIG, 100 };

	return sizes[n % N_SIZES];
}

static unsigned memory_size(unsigned n)
{
	return n % 5 == 1 ? 3000 : n % 5 == 3 ? 90000 : 0;
}

static size_t add_type(unsigned char *at, unsigned number, bool is_inline)
{
	mach_msg_type_long_t type = { 0 };

	type.msgtl_name = MACH_MSG_TYPE_BYTE;
	type.msgtl_size = 8;
	type.msgtl_number = number;
	type.msgtl_header.msgt_inline = is_inline;
	type.msgtl_header.msgt_longform = 1;
	memcpy(at, &type, sizeof type);
	return sizeof type;
}

static size_t padded(size_t n)
{
	return (n + MACH_MSG_USER_ALIGNMENT - 1) / MACH_MSG_USER_ALIGNMENT * MACH_MSG_USER_ALIGNMENT;
}

static mach_msg_size_t build(mach_msg_header_t *h, mach_port_t to, unsigned n, const unsigned char *memory)
{
	unsigned char *bytes = (unsigned char *)h;
	size_t size = sizeof *h;

	*h = (mach_msg_header_t){ .msgh_bits = MACH_MSGH_BITS(MACH_MSG_TYPE_COPY_SEND, 0) };
	h->msgh_remote_port = to;
	h->msgh_id = (int)n;
	size += add_type(bytes + size, inline_size(n), true);
	memset(bytes + size, (int)n, padded(inline_size(n)));
	size += padded(inline_size(n));
	if (memory_size(n)) {
		h->msgh_bits |= MACH_MSGH_BITS_COMPLEX;
		size += add_type(bytes + size, memory_size(n), false);
		memcpy(bytes + size, &memory, sizeof memory);
		size += sizeof memory;
	}
	return (mach_msg_size_t)size;
}

static void do_send_stream(void *arg)
{
	struct stream *stream = arg;
	mach_msg_header_t *h = malloc(BIG + 4096);
	unsigned char *memory = malloc(90000);

	for (unsigned n = 0; n < stream->n_messages; n++) {
		mach_msg_size_t size;

		memset(memory, (int)n + 1, 90000);
		size = build(h, stream->to[n % stream->n_to], n, memory);
		expect_ok(
			mach_msg(h, MACH_SEND_MSG | MACH_SEND_TIMEOUT, size, 0, MACH_PORT_NULL, 60000, MACH_PORT_NULL));
	}
	free(memory);
	free(h);
}

static void expect_bytes(const unsigned char *bytes, unsigned n, unsigned char value)
{
	if (n) {
		assert_int_equal(bytes[0], value);
		assert_int_equal(bytes[n / 2], value);
		assert_int_equal(bytes[n - 1], value);
	}
}

static void expect_nth(const mach_msg_header_t *h, unsigned n)
{
	const unsigned char *at = (const unsigned char *)(h + 1) + sizeof(mach_msg_type_long_t);
	void *memory;

	expect_eq(h->msgh_id, (int)n);
	expect_bytes(at, inline_size(n), (unsigned char)n);
	if (memory_size(n) == 0)
		return;
	memcpy(&memory, at + padded(inline_size(n)) + sizeof(mach_msg_type_long_t), sizeof memory);
	expect_bytes(memory, memory_size(n), (unsigned char)(n + 1));
	expect_ok(vm_deallocate(here(), (vm_address_t)memory, memory_size(n)));
}

static void do_receive_stream(void *arg)
{
	struct stream *stream = arg;
	mach_msg_header_t *h = malloc(BIG + 4096);
	mach_port_seqno_t seqno[4] = { 0 };

	for (unsigned n = 0; n < stream->n_messages; n++) {
		expect_ok(mach_msg(h, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, BIG + 4096, stream->to[0], 60000,
				   MACH_PORT_NULL));
		expect_nth(h, n);
		expect_eq(h->msgh_seqno, seqno[n % stream->n_to]++);
	}
	free(h);
}

static void messages_of_all_sizes_keep_their_order(struct process *owner, struct process *holder)
{
	mach_port_t port = port_at(owner), name = give_send_to(owner, port, holder);
	struct stream out = { { name }, 1, 700 }, in = { { port }, 1, 700 };

	begin_at(holder, 1, do_send_stream, &out, sizeof out);
	at(owner, do_receive_stream, &in, sizeof in);
	end_at(holder, 1, &out, sizeof out);
	expect_ok(destroy_at(owner, port));
	await(type_at(holder, name) == MACH_PORT_TYPE_DEAD_NAME);
	expect_ok(deallocate_at(holder, name));
}

static void do_make_set(long *n)
{
	mach_port_t set = set_in(here());

	for (int i = 0; i < 4; i++)
		expect_ok(mach_port_move_member(here(), (mach_port_t)n[i], set));
	n[0] = set;
}

/* Each of 4 ports in turn; the set hands them out as they were sent. */
static void a_set_keeps_the_order_of_its_members_messages(struct process *owner, struct process *holder)
{
	struct stream out = { .n_to = 4, .n_messages = 700 }, in = { .n_to = 4, .n_messages = 700 };
	long ports[NUMBERS], set[NUMBERS];

	for (int i = 0; i < 4; i++) {
		ports[i] = set[i] = port_at(owner);
		out.to[i] = give_send_to(owner, (mach_port_t)ports[i], holder);
	}
	in.to[0] = (mach_port_t)ask_all(owner, do_make_set, set);
	begin_at(holder, 1, do_send_stream, &out, sizeof out);
	at(owner, do_receive_stream, &in, sizeof in);
	end_at(holder, 1, &out, sizeof out);
	for (int i = 0; i < 4; i++) {
		expect_ok(destroy_at(owner, (mach_port_t)ports[i]));
		await(type_at(holder, out.to[i]) == MACH_PORT_TYPE_DEAD_NAME);
		expect_ok(deallocate_at(holder, out.to[i]));
	}
	expect_ok(destroy_at(owner, in.to[0]));
}

/* A set whose members have senders here and there. */
static void a_set_has_members_whose_senders_are_anywhere(struct process *owner, struct process *holder)
{
	long ports[NUMBERS], set[NUMBERS];
	mach_port_t names[4];
	struct letter l;

	for (int i = 0; i < 4; i++) {
		ports[i] = set[i] = i % 2 ? port_at(owner) : port_with_send_at(owner);
		names[i] = i % 2 ? give_send_to(owner, (mach_port_t)ports[i], holder) : (mach_port_t)ports[i];
	}
	ask_all(owner, do_make_set, set);
	for (int round = 0; round < 3; round++)
		for (int i = 0; i < 4; i++) {
			expect_ok(send_id_at(i % 2 ? holder : owner, names[i], 10 * round + i));
			expect_ok(receive_at(owner, (mach_port_t)set[0], &l));
			expect_eq(l.header.msgh_id, 10 * round + i);
			expect_eq(l.header.msgh_local_port, ports[i]);
			expect_eq(l.header.msgh_seqno, round);
		}
	/* and a thread that waits on the set gets what comes from either */
	for (int i = 0; i < 4; i++) {
		begin_receive_at(owner, 1, (mach_port_t)set[0], 0, 0);
		await_sleep_at(owner, 1);
		expect_ok(send_id_at(i % 2 ? holder : owner, names[i], 100 + i));
		expect_ok(end_message_at(owner, 1, &l));
		expect_eq(l.header.msgh_id, 100 + i);
	}
	for (int i = 0; i < 4; i++) {
		expect_ok(destroy_at(owner, (mach_port_t)ports[i]));
		if (i % 2) {
			await(type_at(holder, names[i]) == MACH_PORT_TYPE_DEAD_NAME);
			expect_ok(deallocate_at(holder, names[i]));
		}
	}
	expect_ok(destroy_at(owner, (mach_port_t)set[0]));
}

/* ---- what was sent before a call that does not wait is seen by it */

static void what_was_sent_is_there(struct process *owner, struct process *holder)
{
	mach_port_t port = port_at(owner), name = give_send_to(owner, port, holder);
	struct letter l;

	for (int i = 0; i < 200; i++) {
		expect_ok(send_id_at(holder, name, i)); /* has been sent when this returns */
		if (i % 2)
			expect_eq(status_at(owner, port).mps_msgcount, 1);
		expect_ok(fetch_at(owner, port, &l));
		expect_eq(l.header.msgh_id, i);
	}
	expect_ok(destroy_at(owner, port));
	await(type_at(holder, name) == MACH_PORT_TYPE_DEAD_NAME);
	expect_ok(deallocate_at(holder, name));
}

/* The same while other threads of the owner wait, one of which serves the links. */
static void what_was_sent_is_there_while_others_wait(struct process *owner, struct process *holder)
{
	mach_port_t port = port_at(owner), name = give_send_to(owner, port, holder), other = port_at(owner);
	struct letter l;

	for (unsigned i = 1; i < 4; i++) {
		begin_receive_at(owner, i, other, 0, 0);
		await_sleep_at(owner, i);
	}
	for (int i = 0; i < 200; i++) {
		expect_ok(send_id_at(holder, name, i));
		if (i % 2)
			expect_eq(status_at(owner, port).mps_msgcount, 1);
		expect_ok(fetch_at(owner, port, &l));
		expect_eq(l.header.msgh_id, i);
	}
	expect_ok(destroy_at(owner, other));
	for (unsigned i = 1; i < 4; i++)
		expect_result(end_message_at(owner, i, NULL), MACH_RCV_PORT_DIED);
	expect_ok(destroy_at(owner, port));
	await(type_at(holder, name) == MACH_PORT_TYPE_DEAD_NAME);
	expect_ok(deallocate_at(holder, name));
}

/* Nobody has heard of the link for long, or ever. */
static void the_first_message_of_a_quiet_process_is_seen(struct process *owner, struct process *holder)
{
	mach_port_t port = port_at(owner), name = give_send_to(owner, port, holder);
	struct letter l;

	expect_ok(send_id_at(holder, name, 1));
	expect_eq(status_at(owner, port).mps_msgcount, 1);
	expect_ok(send_id_at(holder, name, 2));
	expect_eq(status_at(owner, port).mps_msgcount, 2);
	expect_ok(fetch_at(owner, port, &l));
	expect_ok(fetch_at(owner, port, &l));
	expect_no_message_at(owner, port);
	expect_ok(destroy_at(owner, port));
	await(type_at(holder, name) == MACH_PORT_TYPE_DEAD_NAME);
	expect_ok(deallocate_at(holder, name));
}

static void do_set_seqno(long *n)
{
	n[0] = mach_port_set_seqno(here(), (mach_port_t)n[0], (mach_port_seqno_t)n[1]);
}

static void do_set_payload(long *n)
{
	n[0] = mach_port_set_protected_payload(here(), (mach_port_t)n[0], (rpc_uintptr_t)n[1]);
}

static void sequence_numbers_are_the_owners(struct process *owner, struct process *holder)
{
	mach_port_t port = port_at(owner), name = give_send_to(owner, port, holder);
	struct letter l;

	expect_ok((kern_return_t)ask(owner, do_set_seqno, port, 1000));
	for (unsigned i = 0; i < 5; i++) {
		expect_ok(send_id_at(holder, name, 1));
		expect_ok(receive_at(owner, port, &l));
		expect_eq(l.header.msgh_seqno, 1000 + i);
	}
	expect_eq(status_at(owner, port).mps_seqno, 1005);
	expect_ok(destroy_at(owner, port));
	await(type_at(holder, name) == MACH_PORT_TYPE_DEAD_NAME);
	expect_ok(deallocate_at(holder, name));
}

static void a_protected_payload_comes_instead_of_the_name(struct process *owner, struct process *holder)
{
	mach_port_t port = port_at(owner), name = give_send_to(owner, port, holder);
	struct letter l;

	expect_ok((kern_return_t)ask(owner, do_set_payload, port, 0x123456789a));
	expect_ok(send_id_at(holder, name, 1));
	expect_ok(receive_at(owner, port, &l));
	assert_true(l.header.msgh_protected_payload == 0x123456789a);
	expect_eq(MACH_MSGH_BITS_LOCAL(l.header.msgh_bits), MACH_MSG_TYPE_PROTECTED_PAYLOAD);
	expect_ok(destroy_at(owner, port));
	await(type_at(holder, name) == MACH_PORT_TYPE_DEAD_NAME);
	expect_ok(deallocate_at(holder, name));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		pair_tests(messages_of_all_sizes_keep_their_order),
		pair_tests(a_set_keeps_the_order_of_its_members_messages),
		pair_tests(a_set_has_members_whose_senders_are_anywhere),
		pair_tests(what_was_sent_is_there),
		pair_tests(what_was_sent_is_there_while_others_wait),
		pair_tests(the_first_message_of_a_quiet_process_is_seen),
		pair_tests(sequence_numbers_are_the_owners),
		pair_tests(a_protected_payload_comes_instead_of_the_name),
	};

	return family_main(argc, argv, tests);
}
