/* SPDX-License-Identifier: MIT */
/* What a message carries, of every size: bytes inline, memory out of line, arrays of rights. */
#include "family.h"

#include <portunus/poll.h>
#include <portunus/port.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kernel/space.h"
#include "platform/usercopy.h"

/* A message with one item. */
struct parcel {
	mach_port_t port; /* of the receiver; to the sender a right */
	unsigned type, disposition;
	unsigned long number; /* of elements */
	bool is_inline, deallocate;
	mach_port_t right; /* what an array consists of, if not of bytes */
	unsigned every;	   /* only each so-many-th, the others being null and dead; 0: each */
	mach_port_t name;  /* what the receiver calls it */
	unsigned long n_names;
	unsigned char *memory; /* where what is out of line has arrived */
};

static size_t padded(size_t n)
{
	return (n + MACH_MSG_USER_ALIGNMENT - 1) / MACH_MSG_USER_ALIGNMENT * MACH_MSG_USER_ALIGNMENT;
}

static size_t item_size(const struct parcel *p)
{
	if (p->type == MACH_MSG_TYPE_BYTE)
		return 1;
	return p->is_inline ? sizeof(mach_port_name_inlined_t) : sizeof(mach_port_t);
}

static unsigned char byte_at(size_t i)
{
	return (unsigned char)(i * 7 + i / 4096);
}

static size_t put_type(unsigned char *at, const struct parcel *p)
{
	mach_msg_type_long_t type = { 0 };

	type.msgtl_name = (unsigned short)p->disposition;
	type.msgtl_size = (unsigned short)(8 * item_size(p));
	type.msgtl_number = (unsigned)p->number;
	type.msgtl_header.msgt_inline = p->is_inline;
	type.msgtl_header.msgt_deallocate = p->deallocate;
	type.msgtl_header.msgt_longform = 1;
	memcpy(at, &type, sizeof type);
	return sizeof type;
}

static mach_port_t element(const struct parcel *p, unsigned long i)
{
	if (p->every == 0 || i % p->every == 0)
		return p->right;
	return i % p->every == 1 ? MACH_PORT_NULL : MACH_PORT_DEAD;
}

static void fill(unsigned char *at, const struct parcel *p)
{
	for (size_t i = 0; i < p->number; i++) {
		mach_port_t name;

		if (p->type == MACH_MSG_TYPE_BYTE) {
			at[i] = byte_at(i);
			continue;
		}
		name = element(p, i);
		memset(at + i * item_size(p), 0, item_size(p));
		memcpy(at + i * item_size(p), &name, sizeof name);
	}
}

static void do_send_parcel(void *arg)
{
	struct parcel *p = arg;
	size_t bytes = p->number * item_size(p), size = sizeof(mach_msg_header_t);
	mach_msg_header_t *h = calloc(1, size + sizeof(mach_msg_type_long_t) + 16 + (p->is_inline ? bytes : 0));
	unsigned char *at = (unsigned char *)h, *memory = NULL;

	h->msgh_bits = MACH_MSGH_BITS(MACH_MSG_TYPE_COPY_SEND, 0);
	if (!p->is_inline || p->type != MACH_MSG_TYPE_BYTE)
		h->msgh_bits |= MACH_MSGH_BITS_COMPLEX;
	h->msgh_remote_port = p->port;
	size += put_type(at + size, p);
	if (p->is_inline) {
		fill(at + size, p);
		size += padded(bytes);
	} else {
		if (bytes)
			expect_ok(vm_allocate(here(), (vm_address_t *)&memory, bytes, TRUE));
		fill(memory, p);
		memcpy(at + size, &memory, sizeof memory);
		size += sizeof memory;
	}
	expect_ok(mach_msg(h, MACH_SEND_MSG | MACH_SEND_TIMEOUT, (mach_msg_size_t)size, 0, MACH_PORT_NULL, 60000,
			   MACH_PORT_NULL));
	if (memory && !p->deallocate)
		expect_ok(vm_deallocate(here(), (vm_address_t)memory, bytes));
	free(h);
}

static void check_bytes(const unsigned char *at, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (at[i] != byte_at(i))
			fail_msg("byte %zu of %zu is %u", i, n, at[i]);
}

enum { SPOILT = 0xee };

/* What pads the last page says nothing of what was there before; and what the receiver leaves there nobody shall see. */
static void check_padding_and_spoil(unsigned char *at, size_t n)
{
	size_t padded_to = (n + vm_page_size - 1) / vm_page_size * vm_page_size;

	for (size_t i = n; i < padded_to; i++)
		if (at[i])
			fail_msg("byte %zu, behind the last of %zu, is %u", i, n, at[i]);
	if (padded_to)
		memset(at, SPOILT, padded_to);
}

static void check_rights(const unsigned char *at, struct parcel *p)
{
	for (unsigned long i = 0; i < p->number; i++) {
		mach_port_t name;

		memcpy(&name, at + i * item_size(p), sizeof name);
		if (!MACH_PORT_VALID(element(p, i))) {
			assert_int_equal(name, element(p, i));
			continue;
		}
		assert_true(MACH_PORT_VALID(name));
		p->n_names++;
		p->name = name;
		if (p->type == MACH_MSG_TYPE_PORT_SEND_ONCE)
			expect_ok(mach_port_deallocate(here(), name));
	}
}

static void do_receive_parcel(void *arg)
{
	struct parcel *p = arg;
	size_t bytes = p->number * item_size(p), room = sizeof(mach_msg_header_t) + 64 + (p->is_inline ? bytes : 0);
	mach_msg_header_t *h = malloc(room);
	mach_msg_type_long_t type;
	unsigned char *at;

	expect_ok(
		mach_msg(h, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, (mach_msg_size_t)room, p->port, 60000, MACH_PORT_NULL));
	memcpy(&type, h + 1, sizeof type);
	assert_int_equal(type.msgtl_name, p->type);
	assert_int_equal(type.msgtl_number, p->number);
	assert_int_equal(type.msgtl_header.msgt_inline, p->is_inline);
	at = (unsigned char *)(h + 1) + sizeof type;
	if (!p->is_inline)
		memcpy(&at, at, sizeof at);
	p->memory = at;
	if (p->type == MACH_MSG_TYPE_BYTE)
		check_bytes(at, p->number);
	else
		check_rights(at, p);
	if (!p->is_inline && p->type == MACH_MSG_TYPE_BYTE)
		check_padding_and_spoil(at, bytes);
	if (!p->is_inline && bytes)
		expect_ok(vm_deallocate(here(), (vm_address_t)at, bytes));
	free(h);
}

/* The port and its name are gone. */
static void end(struct process *owner, mach_port_t port, struct process *holder, mach_port_t name)
{
	expect_ok(destroy_at(owner, port));
	await(type_at(holder, name) == MACH_PORT_TYPE_DEAD_NAME);
	expect_ok(deallocate_at(holder, name));
}

static void pass(struct process *from, struct process *to, struct parcel *p)
{
	mach_port_t port = port_at(to), name = give_send_to(to, port, from);

	p->port = name;
	begin_at(from, 1, do_send_parcel, p, sizeof *p);
	p->port = port;
	at(to, do_receive_parcel, p, sizeof *p);
	end_at(from, 1, NULL, 0);
	end(to, port, from, name);
}

/* ---- bytes */

static void bytes_inline_of_every_size(struct process *owner, struct process *holder)
{
	static const unsigned long sizes[] = { 0,     1,     3,	    4,	   8,	  100,	 1000,	 4000,	  4096,
					       16000, 16320, 16336, 16384, 65000, 65536, 100000, 1 << 20, 8 << 20 };

	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		struct parcel p = { .type = MACH_MSG_TYPE_BYTE, .number = sizes[i], .is_inline = true };

		p.disposition = p.type;
		pass(holder, owner, &p);
	}
}

static void bytes_out_of_line_of_every_size(struct process *owner, struct process *holder)
{
	static const unsigned long sizes[] = { 0,     1,     4095,   4096,    4097,    8192,	16384,
					       65536, 65537, 300000, 1 << 20, 5000000, 64 << 20 };

	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
		for (int deallocate = 0; deallocate < 2; deallocate++) {
			struct parcel p = { .type = MACH_MSG_TYPE_BYTE, .number = sizes[i], .deallocate = deallocate };

			p.disposition = p.type;
			pass(holder, owner, &p);
		}
}

/* Each fits into what the one before has left. */
static void memory_that_held_a_message_has_nothing_of_it(struct process *owner, struct process *holder)
{
	static const unsigned long sizes[] = { 5000000, 4999999, 2600000, 2500001, 140001, 140000,
					       70001,	70000,	 60001,	  60000,   5001,   5000 };

	for (int deallocate = 0; deallocate < 2; deallocate++)
		for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
			struct parcel p = { .type = MACH_MSG_TYPE_BYTE, .number = sizes[i], .deallocate = deallocate };

			p.disposition = p.type;
			pass(holder, owner, &p);
		}
}

/* What the receiver left in it. */
static void do_is_there(long *n)
{
	unsigned char byte;

	n[0] = user_read(&byte, (const void *)n[0], 1) && byte == SPOILT;
}

static void do_poll(long *n)
{
	n[0] = portunus_port_fd((mach_port_t)n[0]);
}

static void do_close(long *n)
{
	n[0] = close((int)n[0]);
}

/* Of a receiver that makes no more calls, be there somebody who polls or not. */
static void memory_goes_back_to_the_host(struct process *owner, struct process *holder)
{
	for (int polls = 0; polls < 2; polls++) {
		mach_port_t port = port_at(owner), name = give_send_to(owner, port, holder);
		struct parcel p = { .type = MACH_MSG_TYPE_BYTE, .number = 500000, .port = name };
		long fd = polls ? ask(owner, do_poll, port) : -1;

		p.disposition = p.type;
		begin_at(holder, 1, do_send_parcel, &p, sizeof p);
		p.port = port;
		at(owner, do_receive_parcel, &p, sizeof p);
		end_at(holder, 1, NULL, 0);
		await(!ask(owner, do_is_there, (long)p.memory));
		if (polls)
			expect_eq(ask(owner, do_close, fd), 0);
		end(owner, port, holder, name);
	}
}

/* An owner who is stopped takes nothing: all but what the ring holds is still to come when one of the two dies. */
static void begin_stream(struct process *owner, struct process *holder, mach_port_t name, unsigned long size)
{
	struct parcel p = { .type = MACH_MSG_TYPE_BYTE, .number = size, .deallocate = size % 2, .port = name };

	p.disposition = p.type;
	kill(owner->pid, SIGSTOP);
	at(holder, do_send_parcel, &p, sizeof p);
}

static const unsigned long cut_sizes[] = { 100000, 900000, 900001, 32000001 };
enum { N_CUT_SIZES = sizeof cut_sizes / sizeof *cut_sizes };

static void memory_is_cut_off_by_the_death_of_its_sender(void **state)
{
	(void)state;
	for (int i = 0; i < N_CUT_SIZES; i++) {
		struct process *owner = process_start(), *holder = process_start();
		mach_port_t port = port_at(owner);

		begin_stream(owner, holder, give_send_to(owner, port, holder), cut_sizes[i]);
		process_kill(holder, SIGKILL);
		kill(owner->pid, SIGCONT);
		await(srights_at(owner, port) == 0);
		expect_no_message_at(owner, port);
		expect_ok(destroy_at(owner, port));
		process_end(owner);
		processes_forget();
	}
}

static void memory_is_cut_off_by_the_death_of_its_receiver(void **state)
{
	(void)state;
	for (int i = 0; i < N_CUT_SIZES; i++) {
		struct process *owner = process_start(), *holder = process_start();
		mach_port_t name = give_send_to(owner, port_at(owner), holder);

		begin_stream(owner, holder, name, cut_sizes[i]);
		process_kill(owner, SIGKILL);
		await(type_at(holder, name) == MACH_PORT_TYPE_DEAD_NAME);
		expect_ok(deallocate_at(holder, name));
		process_end(holder);
		processes_forget();
	}
}

/* ---- memory that its sender keeps, of which the bytes go straight to the other process */

static unsigned char *kept_new(size_t size)
{
	vm_address_t memory;

	expect_ok(vm_allocate(here(), &memory, size, TRUE));
	for (size_t i = 0; i < size; i++)
		((unsigned char *)memory)[i] = byte_at(i);
	return (unsigned char *)memory;
}

static void kept_free(unsigned char *memory, size_t size)
{
	expect_ok(vm_deallocate(here(), (vm_address_t)memory, size));
}

static mach_msg_return_t kept_send(struct letter *l, mach_port_t to, const unsigned char *memory, size_t size,
				   mach_msg_timeout_t timeout)
{
	letter_to(l, to, MACH_MSG_TYPE_COPY_SEND, 7);
	letter_add_memory(l, memory, (unsigned)size, false);
	return mach_msg(&l->header, MACH_SEND_MSG | MACH_SEND_TIMEOUT, l->size, 0, MACH_PORT_NULL, timeout,
			MACH_PORT_NULL);
}

static void do_send_and_spoil(long *n)
{
	size_t size = (size_t)n[1];
	unsigned char *memory = kept_new(size);
	struct letter l;

	expect_ok(kept_send(&l, (mach_port_t)n[0], memory, size, 60000));
	memset(memory, SPOILT, size);
	kept_free(memory, size);
}

static const unsigned long kept_sizes[] = { 65535, 65536, 65537, 140000, 900001, 3000000 };
enum { N_KEPT_SIZES = sizeof kept_sizes / sizeof *kept_sizes };

/* Whether the receiver takes it out meanwhile, or nobody there is in a call. */
static void kept_memory_is_as_it_was_sent(struct process *owner, struct process *holder)
{
	mach_port_t port = port_at(owner), name = give_send_to(owner, port, holder);

	for (size_t i = 0; i < N_KEPT_SIZES; i++) {
		struct parcel p = { .type = MACH_MSG_TYPE_BYTE, .number = kept_sizes[i], .port = port };
		long n[NUMBERS] = { name, (long)kept_sizes[i] };

		begin_ask(holder, 1, do_send_and_spoil, n);
		at(owner, do_receive_parcel, &p, sizeof p);
		end_ask(holder, 1, NULL);
		ask_all(holder, do_send_and_spoil, n);
		at(owner, do_receive_parcel, &p, sizeof p);
	}
	end(owner, port, holder, name);
}

static void do_set_qlimit(long *n)
{
	n[0] = mach_port_set_qlimit(here(), (mach_port_t)n[0], (mach_port_msgcount_t)n[1]);
}

static void do_send_to_full(long *n)
{
	size_t size = (size_t)n[1];
	unsigned char *memory = kept_new(size), *back;
	unsigned back_size;
	struct letter l;

	for (mach_msg_timeout_t timeout = 0; timeout < 100; timeout += 50) {
		expect_result(kept_send(&l, (mach_port_t)n[0], memory, size, timeout), MACH_SEND_TIMED_OUT);
		back = letter_memory(&l, &back_size);
		expect_eq(back_size, size);
		assert_true(back != memory);
		check_bytes(back, size);
		check_bytes(memory, size);
		kept_free(back, size);
		expect_ok(mach_port_deallocate(here(), l.header.msgh_remote_port)); /* given back, too */
	}
	kept_free(memory, size);
}

static void kept_memory_for_a_full_queue_comes_back_or_waits(struct process *owner, struct process *holder)
{
	mach_port_t port = port_at(owner), name;

	expect_ok((kern_return_t)ask(owner, do_set_qlimit, port, 1));
	name = give_send_to(owner, port, holder);
	for (size_t i = 0; i < N_KEPT_SIZES; i++) {
		struct parcel p = { .type = MACH_MSG_TYPE_BYTE, .number = kept_sizes[i], .port = port };
		long n[NUMBERS] = { name, (long)kept_sizes[i] };

		expect_ok(send_id_at(holder, name, 1));
		ask_all(holder, do_send_to_full, n);
		begin_ask(holder, 1, do_send_and_spoil, n);
		await_sleep_at(holder, 1);
		expect_message_at(owner, port, 1);
		at(owner, do_receive_parcel, &p, sizeof p);
		end_ask(holder, 1, NULL);
	}
	expect_no_message_at(owner, port);
	end(owner, port, holder, name);
}

/* Each page in turn, of the first, some in the middle, and the last. */
static void do_send_unreadable(long *n)
{
	size_t size = (size_t)n[1], pages = (size + vm_page_size - 1) / vm_page_size;
	unsigned char *memory = kept_new(size);
	struct letter l;

	for (size_t i = 0; i < pages; i += i + 7 < pages ? 7 : pages - i > 1 ? pages - i - 1 : 1) {
		expect_eq(mprotect(memory + i * vm_page_size, vm_page_size, PROT_NONE), 0);
		expect_result(kept_send(&l, (mach_port_t)n[0], memory, size, 0), MACH_SEND_INVALID_MEMORY);
		expect_eq(mprotect(memory + i * vm_page_size, vm_page_size, PROT_READ | PROT_WRITE), 0);
	}
	kept_free(memory, size);
}

static void kept_memory_that_cannot_be_read_is_not_sent(struct process *owner, struct process *holder)
{
	mach_port_t port = port_at(owner), name = give_send_to(owner, port, holder);

	ask(holder, do_send_unreadable, name, 300000);
	expect_no_message_at(owner, port);
	end(owner, port, holder, name);
}

enum { TORN = 1000001, TORN_FROM = 512 << 10, N_TORN = 40 };

/* While one thread sends it, another takes away half of it and gives it back. */
static void do_send_torn(long *n)
{
	struct letter l;

	for (int i = 0; i < N_TORN; i++) {
		mach_msg_return_t r = kept_send(&l, (mach_port_t)n[0], (unsigned char *)n[1], TORN, 60000);

		assert_true(r == MACH_MSG_SUCCESS || r == MACH_SEND_INVALID_MEMORY);
	}
	letter_to(&l, (mach_port_t)n[0], MACH_MSG_TYPE_COPY_SEND, 8);
	expect_ok(mach_msg(&l.header, MACH_SEND_MSG, l.size, 0, MACH_PORT_NULL, 0, MACH_PORT_NULL));
}

static void do_tear(long *n)
{
	for (int i = 0; i < 100; i++) {
		expect_eq(mprotect((char *)n[1] + TORN_FROM, TORN - TORN_FROM, PROT_NONE), 0);
		expect_eq(mprotect((char *)n[1] + TORN_FROM, TORN - TORN_FROM, PROT_READ | PROT_WRITE), 0);
	}
}

static void do_new_kept(long *n)
{
	n[0] = (long)kept_new((size_t)n[0]);
}

static void do_free_kept(long *n)
{
	kept_free((unsigned char *)n[0], (size_t)n[1]);
}

/* What was taken away is zero. */
static void do_receive_torn(long *n)
{
	unsigned char *memory;
	struct letter l;
	unsigned size;

	for (;;) {
		expect_ok(mach_msg(&l.header, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof l.bytes, (mach_port_t)n[0],
				   60000, MACH_PORT_NULL));
		if (l.header.msgh_id == 8)
			return;
		memory = letter_memory(&l, &size);
		expect_eq(size, TORN);
		for (size_t i = 0; i < size; i++)
			if (memory[i] != byte_at(i) && memory[i])
				fail_msg("byte %zu is %u", i, memory[i]);
		kept_free(memory, size);
	}
}

static void memory_that_is_taken_away_while_it_is_sent_harms_nobody(struct process *owner, struct process *holder)
{
	mach_port_t port = port_at(owner), name = give_send_to(owner, port, holder);
	long n[NUMBERS] = { name, ask(holder, do_new_kept, TORN) };

	begin_ask(holder, 1, do_send_torn, n);
	begin_ask(holder, 2, do_tear, n);
	ask(owner, do_receive_torn, port);
	end_ask(holder, 1, NULL);
	end_ask(holder, 2, NULL);
	ask(holder, do_free_kept, n[1], TORN);
	end(owner, port, holder, name);
}

enum { N_THREADS = 3, N_EACH = 5, CROWDED = 400000 };

static void do_send_several(long *n)
{
	for (int i = 0; i < N_EACH; i++)
		do_send_and_spoil((long[NUMBERS]){ n[0], CROWDED });
}

static void do_receive_several(long *n)
{
	struct parcel p = { .type = MACH_MSG_TYPE_BYTE, .number = CROWDED, .port = (mach_port_t)n[0] };

	for (int i = 0; i < N_THREADS * N_EACH; i++)
		do_receive_parcel(&p);
}

static void many_threads_send_what_they_keep_both_ways(struct process *owner, struct process *holder)
{
	mach_port_t port = port_at(owner), name = give_send_to(owner, port, holder);
	mach_port_t back = port_at(holder), back_name = give_send_to(holder, back, owner);

	for (unsigned lane = 1; lane <= N_THREADS; lane++) {
		begin_ask(holder, lane, do_send_several, (long[NUMBERS]){ name });
		begin_ask(owner, 4 + lane, do_send_several, (long[NUMBERS]){ back_name });
	}
	begin_ask(holder, 4, do_receive_several, (long[NUMBERS]){ back });
	begin_ask(owner, 4, do_receive_several, (long[NUMBERS]){ port });
	for (unsigned lane = 1; lane <= N_THREADS; lane++) {
		end_ask(holder, lane, NULL);
		end_ask(owner, 4 + lane, NULL);
	}
	end_ask(holder, 4, NULL);
	end_ask(owner, 4, NULL);
	end(owner, port, holder, name);
	end(holder, back, owner, back_name);
}

/* Hundreds that do not fit into the ring, to an owner who is not in a call. */
static void do_send_many(long *n)
{
	struct parcel p = { .type = MACH_MSG_TYPE_BYTE, .disposition = MACH_MSG_TYPE_BYTE, .is_inline = true };

	p.port = (mach_port_t)n[0];
	p.number = (unsigned long)n[2];
	for (long i = 0; i < n[1]; i++)
		do_send_parcel(&p);
}

static void do_receive_many(long *n)
{
	struct parcel p = { .type = MACH_MSG_TYPE_BYTE, .disposition = MACH_MSG_TYPE_BYTE, .is_inline = true };

	p.port = (mach_port_t)n[0];
	p.number = (unsigned long)n[2];
	for (long i = 0; i < n[1]; i++)
		do_receive_parcel(&p);
	expect_no_message(here(), p.port);
}

static void do_set_long_qlimit(long *n)
{
	n[0] = portunus_port_set_qlimit((mach_port_t)n[0], 2000);
}

static void a_long_queue_holds_what_no_ring_holds(struct process *owner, struct process *holder)
{
	static const long sizes[] = { 500, 20000 };

	for (int i = 0; i < 2; i++) {
		mach_port_t port = port_at(owner), name;

		expect_ok((kern_return_t)ask(owner, do_set_long_qlimit, port));
		name = give_send_to(owner, port, holder);
		ask(holder, do_send_many, name, 700, sizes[i]);
		await(status_at(owner, port).mps_msgcount == 700);
		ask(owner, do_receive_many, port, 700, sizes[i]);
		end(owner, port, holder, name);
	}
}

/* ---- rights */

enum { MANY = 100000 };

static const unsigned long numbers[] = { 0, 1, 2, 1000, MANY };
enum { N_NUMBERS = sizeof numbers / sizeof *numbers };

static void arrays_of_send_rights(struct process *owner, struct process *holder)
{
	mach_port_t port = port_at(holder);

	for (size_t i = 0; i < N_NUMBERS; i++)
		for (int is_inline = 0; is_inline < 2; is_inline++) {
			struct parcel p = { .type = MACH_MSG_TYPE_PORT_SEND,
					    .disposition = MACH_MSG_TYPE_MAKE_SEND,
					    .number = numbers[i],
					    .is_inline = is_inline,
					    .right = port };

			pass(holder, owner, &p);
			expect_eq(p.n_names, numbers[i]);
			if (numbers[i] == 0)
				continue;
			expect_eq(refs_at(owner, p.name, MACH_PORT_RIGHT_SEND),
				  numbers[i] < UREFS_MAX ? numbers[i] : UREFS_MAX - 1);
			await(srights_at(holder, port) == 1);
			expect_ok(destroy_at(owner, p.name));
			await(srights_at(holder, port) == 0);
		}
	expect_ok(destroy_at(holder, port));
}

static void arrays_of_rights_to_ports_of_the_receiver(struct process *owner, struct process *holder)
{
	mach_port_t port = port_at(owner), name = give_send_to(owner, port, holder);

	for (size_t i = 0; i < N_NUMBERS - 1; i++) {
		struct parcel p = { .type = MACH_MSG_TYPE_PORT_SEND,
				    .disposition = MACH_MSG_TYPE_COPY_SEND,
				    .number = numbers[i],
				    .right = name };

		pass(holder, owner, &p);
		if (numbers[i] == 0)
			continue;
		expect_eq(p.name, port);
		expect_eq(refs_at(owner, port, MACH_PORT_RIGHT_SEND), numbers[i]);
		expect_ok(mod_refs_at(owner, port, MACH_PORT_RIGHT_SEND, -(int)numbers[i]));
	}
	expect_eq(srights_at(owner, port), 1);
	expect_ok(deallocate_at(holder, name));
	await(srights_at(owner, port) == 0);
	expect_ok(destroy_at(owner, port));
}

static void do_drain(long *n)
{
	struct letter l;

	for (long i = 0; i < n[1]; i++) {
		expect_ok(mach_msg(&l.header, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof l.bytes, (mach_port_t)n[0],
				   30000, MACH_PORT_NULL));
		expect_eq(l.header.msgh_id, MACH_NOTIFY_SEND_ONCE);
	}
	expect_no_message(here(), (mach_port_t)n[0]);
}

/* The receiver drops them all, and each says so. */
static void arrays_of_send_once_rights(struct process *owner, struct process *holder)
{
	mach_port_t port = port_at(holder);

	for (size_t i = 0; i < N_NUMBERS; i++)
		for (int is_inline = 0; is_inline < 2; is_inline++) {
			struct parcel p = { .type = MACH_MSG_TYPE_PORT_SEND_ONCE,
					    .disposition = MACH_MSG_TYPE_MAKE_SEND_ONCE,
					    .number = numbers[i],
					    .is_inline = is_inline,
					    .right = port };

			pass(holder, owner, &p);
			expect_eq(p.n_names, numbers[i]);
			ask(holder, do_drain, port, (long)numbers[i]);
			expect_eq(status_at(holder, port).mps_sorights, 0);
		}
	expect_ok(destroy_at(holder, port));
}

static void null_and_dead_rights_stay_in_their_places(struct process *owner, struct process *holder)
{
	mach_port_t port = port_at(holder);

	for (int is_inline = 0; is_inline < 2; is_inline++) {
		struct parcel p = { .type = MACH_MSG_TYPE_PORT_SEND,
				    .disposition = MACH_MSG_TYPE_MAKE_SEND,
				    .number = 1001,
				    .is_inline = is_inline,
				    .right = port,
				    .every = 3 };

		pass(holder, owner, &p);
		expect_eq(p.n_names, 334);
		expect_ok(destroy_at(owner, p.name));
	}
	await(srights_at(holder, port) == 0);
	expect_ok(destroy_at(holder, port));
}

/* ---- receive rights */

static void do_send_receive_rights(long *n)
{
	mach_port_t *ports;
	struct letter l;

	expect_ok(vm_allocate(here(), (vm_address_t *)&ports, (vm_size_t)n[1] * sizeof *ports, TRUE));
	for (long i = 0; i < n[1]; i++)
		ports[i] = port_in(here());
	letter_to(&l, (mach_port_t)n[0], MACH_MSG_TYPE_COPY_SEND, 0);
	letter_add_type(&l, MACH_MSG_TYPE_MOVE_RECEIVE, 8 * sizeof *ports, (unsigned)n[1], false, true);
	letter_add_raw(&l, &ports, sizeof ports);
	l.header.msgh_bits |= MACH_MSGH_BITS_COMPLEX;
	expect_ok(post(here(), &l));
}

static void do_take_receive_rights(long *n)
{
	mach_port_t *ports;
	struct letter l;
	unsigned size;

	expect_ok(mach_msg(&l.header, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof l.bytes, (mach_port_t)n[0], 60000,
			   MACH_PORT_NULL));
	l.size = l.header.msgh_size;
	ports = letter_memory(&l, &size);
	expect_eq(size, n[1] * (long)sizeof *ports);
	for (long i = 0; i < n[1]; i++) {
		expect_eq(type_of(here(), ports[i]), MACH_PORT_TYPE_RECEIVE);
		expect_ok(mach_port_destroy(here(), ports[i]));
	}
	expect_ok(vm_deallocate(here(), (vm_address_t)ports, size));
}

static void arrays_of_receive_rights(struct process *owner, struct process *holder)
{
	static const long n_ports[] = { 1, 2, 1000 };
	mach_port_t queue = port_at(owner), to = give_send_to(owner, queue, holder);

	for (size_t i = 0; i < 3; i++) {
		ask(holder, do_send_receive_rights, to, n_ports[i]);
		ask(owner, do_take_receive_rights, queue, n_ports[i]);
	}
	end(owner, queue, holder, to);
}

/* Each into the queue of the other: nobody could ever receive either. */
static void two_receive_rights_in_each_others_queues_die(struct process *owner, struct process *holder)
{
	mach_port_t port = port_at(owner), other = port_at(holder);
	mach_port_t to_other = give_send_to(holder, other, owner), to_port = give_send_to(owner, port, holder);
	struct letter l;

	letter_to(&l, to_port, MACH_MSG_TYPE_COPY_SEND, 0);
	letter_add_port(&l, other, MACH_MSG_TYPE_MOVE_RECEIVE);
	expect_ok(post_at(holder, &l));
	letter_to(&l, to_other, MACH_MSG_TYPE_COPY_SEND, 0);
	letter_add_port(&l, port, MACH_MSG_TYPE_MOVE_RECEIVE);
	expect_ok(post_at(owner, &l));
	await(type_at(owner, to_other) == MACH_PORT_TYPE_DEAD_NAME);
	await(type_at(holder, to_port) == MACH_PORT_TYPE_DEAD_NAME);
	expect_ok(deallocate_at(owner, to_other));
	expect_ok(deallocate_at(holder, to_port));
}

/* ---- buffers and options of the receiver */

static void a_message_too_large_is_left_if_he_says_so(struct process *owner, struct process *holder)
{
	mach_port_t port = port_at(owner), name = give_send_to(owner, port, holder);
	struct letter l;

	letter_to(&l, name, MACH_MSG_TYPE_COPY_SEND, 4);
	letter_add_int(&l, 1234);
	expect_ok(post_at(holder, &l));
	expect_result(receive_with_at(owner, port, &l, MACH_RCV_TIMEOUT | MACH_RCV_LARGE, 30000, sizeof l.header),
		      MACH_RCV_TOO_LARGE);
	assert_true(l.header.msgh_size > sizeof l.header);
	expect_eq(status_at(owner, port).mps_msgcount, 1);
	expect_message_at(owner, port, 4);
	expect_ok(send_id_at(holder, name, 5));
	expect_message_at(owner, port, 5);
	end(owner, port, holder, name);
}

static void do_receive_small(long *n)
{
	struct letter l;

	n[0] = mach_msg(&l.header, MACH_RCV_MSG | MACH_RCV_LARGE, 0, sizeof l.header, (mach_port_t)n[0], 0,
			MACH_PORT_NULL);
	n[1] = l.header.msgh_size;
}

static void a_receiver_that_waits_is_told_of_a_message_too_large(struct process *owner, struct process *holder)
{
	mach_port_t port = port_at(owner), name = give_send_to(owner, port, holder);
	long n[NUMBERS] = { port };
	struct letter l;

	letter_to(&l, name, MACH_MSG_TYPE_COPY_SEND, 4);
	letter_add_int(&l, 1234);
	begin_ask(owner, 1, do_receive_small, n);
	await_sleep_at(owner, 1);
	expect_ok(post_at(holder, &l));
	expect_result((kern_return_t)end_ask(owner, 1, n), MACH_RCV_TOO_LARGE);
	expect_eq(n[1], l.size);
	expect_message_at(owner, port, 4);
	end(owner, port, holder, name);
}

static void do_receive_notify(long *n)
{
	struct letter l;

	n[0] = mach_msg(&l.header, MACH_RCV_MSG | MACH_RCV_TIMEOUT | MACH_RCV_NOTIFY, 0, sizeof l.bytes,
			(mach_port_t)n[0], 30000, (mach_port_t)n[1]);
	n[1] = l.header.msgh_remote_port;
}

static void a_request_for_the_reply_right_is_made_as_it_arrives(struct process *owner, struct process *holder)
{
	mach_port_t port = port_at(owner), name = give_send_to(owner, port, holder), reply = port_at(holder);
	mach_port_t notify = port_at(owner);
	long n[NUMBERS] = { port, notify };
	struct letter l;

	letter_to(&l, name, MACH_MSG_TYPE_COPY_SEND, 4);
	letter_reply_to(&l, reply, MACH_MSG_TYPE_MAKE_SEND_ONCE);
	expect_ok(post_at(holder, &l));
	expect_ok((kern_return_t)ask_all(owner, do_receive_notify, n));
	expect_eq(type_at(owner, (mach_port_t)n[1]) & ~MACH_PORT_TYPE_DNREQUEST, MACH_PORT_TYPE_SEND_ONCE);
	expect_ok(destroy_at(holder, reply));
	expect_message_at(owner, notify, MACH_NOTIFY_DEAD_NAME);
	expect_ok(destroy_at(owner, (mach_port_t)n[1]));
	expect_ok(destroy_at(owner, notify));
	end(owner, port, holder, name);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		pair_tests(bytes_inline_of_every_size),
		pair_tests(bytes_out_of_line_of_every_size),
		pair_tests(memory_that_held_a_message_has_nothing_of_it),
		pair_tests(memory_goes_back_to_the_host),
		family_test(memory_is_cut_off_by_the_death_of_its_sender),
		family_test(memory_is_cut_off_by_the_death_of_its_receiver),
		pair_tests(kept_memory_is_as_it_was_sent),
		pair_tests(kept_memory_for_a_full_queue_comes_back_or_waits),
		pair_tests(kept_memory_that_cannot_be_read_is_not_sent),
		pair_tests(memory_that_is_taken_away_while_it_is_sent_harms_nobody),
		pair_tests(many_threads_send_what_they_keep_both_ways),
		pair_tests(a_long_queue_holds_what_no_ring_holds),
		pair_tests(arrays_of_send_rights),
		pair_tests(arrays_of_rights_to_ports_of_the_receiver),
		pair_tests(arrays_of_send_once_rights),
		pair_tests(null_and_dead_rights_stay_in_their_places),
		pair_tests(arrays_of_receive_rights),
		pair_tests(two_receive_rights_in_each_others_queues_die),
		pair_tests(a_message_too_large_is_left_if_he_says_so),
		pair_tests(a_receiver_that_waits_is_told_of_a_message_too_large),
		pair_tests(a_request_for_the_reply_right_is_made_as_it_arrives),
	};

	return family_main(argc, argv, tests);
}
