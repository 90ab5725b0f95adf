/* SPDX-License-Identifier: MIT */
/* Messages that lie, break off or point nowhere; and what a send that fails takes. */
#include "world.h"

#include <sys/mman.h>
#include <unistd.h>

/* a page that can be used, followed by one that cannot */
static unsigned char *page_before_nothing(size_t *size)
{
	unsigned char *p;

	*size = (size_t)sysconf(_SC_PAGESIZE);
	p = mmap(NULL, 2 * *size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(p != MAP_FAILED);
	assert_int_equal(munmap(p + *size, *size), 0);
	return p;
}

static mach_msg_return_t send_raw(mach_msg_header_t *buffer, mach_msg_size_t size)
{
	return mach_msg(buffer, MACH_SEND_MSG | MACH_SEND_TIMEOUT, size, 0, MACH_PORT_NULL, 0, MACH_PORT_NULL);
}

/* A bad item takes what is before it, and the header's rights; what is after it stays. [probe 09-body] */
static void bad_item_takes_what_is_before_it_only(void **state)
{
	struct world *w = *state;
	mach_port_t p = port_with_send_in(w->a), before = port_with_send_in(w->a), after = port_with_send_in(w->a);
	mach_port_t reply = port_in(w->a);
	struct letter l;

	letter_to(&l, p, MACH_MSG_TYPE_MOVE_SEND, 1);
	letter_reply_to(&l, reply, MACH_MSG_TYPE_MAKE_SEND_ONCE);
	letter_add_port(&l, before, MACH_MSG_TYPE_MOVE_SEND);
	letter_add_port(&l, UNUSED_NAME, MACH_MSG_TYPE_COPY_SEND);
	letter_add_port(&l, after, MACH_MSG_TYPE_MOVE_SEND);
	expect_result(post(w->a, &l), MACH_SEND_INVALID_RIGHT);
	expect_eq(type_of(w->a, p), MACH_PORT_TYPE_RECEIVE);
	expect_eq(type_of(w->a, before), MACH_PORT_TYPE_RECEIVE);
	expect_eq(send_rights(w->a, before), 0);
	expect_eq(type_of(w->a, after), MACH_PORT_TYPE_SEND_RECEIVE);
	expect_message(w->a, reply, MACH_NOTIFY_SEND_ONCE);
	expect_no_message(w->a, p);
}

static void bad_header_takes_nothing(void **state)
{
	struct world *w = *state;
	mach_port_t p = port_with_send_in(w->a), carried = port_with_send_in(w->a), s = set_in(w->a);
	struct letter l;

	for (int i = 0; i < 4; i++) {
		letter_to(&l, i == 0 ? UNUSED_NAME : i == 1 ? s : p, MACH_MSG_TYPE_MOVE_SEND, 1);
		if (i >= 2)
			letter_reply_to(&l, i == 2 ? UNUSED_NAME : s, MACH_MSG_TYPE_MAKE_SEND_ONCE);
		letter_add_port(&l, carried, MACH_MSG_TYPE_MOVE_RECEIVE);
		expect_result(post(w->a, &l), i < 2 ? MACH_SEND_INVALID_DEST : MACH_SEND_INVALID_REPLY);
	}
	letter_to(&l, p, 99, 1);
	expect_result(post(w->a, &l), MACH_SEND_INVALID_HEADER);
	expect_eq(type_of(w->a, carried), MACH_PORT_TYPE_SEND_RECEIVE);
	expect_eq(refs_of(w->a, p, MACH_PORT_RIGHT_SEND), 1);
	expect_no_message(w->a, p);
}

static void failed_send_does_not_begin_to_receive(void **state)
{
	struct world *w = *state;
	mach_port_t p = port_with_send_in(here());
	struct letter l;

	(void)w;
	expect_ok(send_id(here(), p, 1));
	letter_to(&l, UNUSED_NAME, MACH_MSG_TYPE_COPY_SEND, 2);
	expect_result(mach_msg(&l.header, MACH_SEND_MSG | MACH_RCV_MSG, l.size, sizeof(l.bytes), p, 0, MACH_PORT_NULL),
		      MACH_SEND_INVALID_DEST);
	expect_eq(status_of(here(), p).mps_msgcount, 1);
	expect_ok(mach_port_destroy(here(), p));
}

static void sizes_below_a_header_are_refused(void **state)
{
	struct world *w = *state;
	mach_port_t p = port_with_send_in(here());
	struct letter l;

	(void)w;
	for (mach_msg_size_t size = 0; size < sizeof(l.header); size++) {
		letter_to(&l, p, MACH_MSG_TYPE_COPY_SEND, 1);
		expect_result(send_raw(&l.header, size), MACH_SEND_MSG_TOO_SMALL);
	}
	for (mach_msg_size_t odd = 1; odd < MACH_MSG_USER_ALIGNMENT; odd++) {
		letter_to(&l, p, MACH_MSG_TYPE_COPY_SEND, 1);
		memset(l.bytes + l.size, 0, 16);
		expect_result(send_raw(&l.header, l.size + odd), MACH_SEND_MSG_TOO_SMALL);
	}
	expect_no_message(here(), p);
	expect_ok(mach_port_destroy(here(), p));
}

static void enormous_sizes_are_refused(void **state)
{
	struct world *w = *state;
	static const mach_msg_size_t sizes[] = { 0xfffffff8, 0x80000000, 0x7ffffff8, 0x40000000 };
	mach_port_t p = port_with_send_in(here());
	size_t page;
	unsigned char *at = page_before_nothing(&page);

	expect_wild_pointers();
	(void)w;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct letter l;
		mach_msg_return_t r;

		letter_to(&l, p, MACH_MSG_TYPE_COPY_SEND, 1);
		memcpy(at, &l.header, sizeof(l.header));
		r = send_raw((mach_msg_header_t *)at, sizes[i]);
		assert_true(r == MACH_SEND_INVALID_DATA || r == MACH_SEND_NO_BUFFER);
	}
	expect_eq(refs_of(here(), p, MACH_PORT_RIGHT_SEND), 1);
	expect_no_message(here(), p);
	munmap(at, page);
	expect_ok(mach_port_destroy(here(), p));
}

static void count_beyond_the_message_is_refused(void **state)
{
	struct world *w = *state;
	static const unsigned counts[] = { 2, 1000, 0x10000000, 0x20000001, 0x7fffffff, 0xffffffff };
	mach_port_t p = port_with_send_in(w->a), carried = port_with_send_in(w->a);
	mach_port_name_inlined_t in = { .name = carried };

	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		struct letter l;

		letter_to(&l, p, MACH_MSG_TYPE_COPY_SEND, 1);
		letter_add_long_type(&l, MACH_MSG_TYPE_MOVE_SEND, 8 * sizeof(in), counts[i], true, false);
		letter_add_raw(&l, &in, sizeof(in));
		l.header.msgh_bits |= MACH_MSGH_BITS_COMPLEX;
		expect_result(post(w->a, &l), MACH_SEND_MSG_TOO_SMALL);
	}
	expect_eq(type_of(w->a, carried), MACH_PORT_TYPE_SEND_RECEIVE);
	expect_no_message(w->a, p);
}

/* 2^29 + 1 elements of 8 bytes are 4 GiB and 8 bytes, not 8 bytes */
static void out_of_line_sizes_do_not_wrap(void **state)
{
	struct world *w = *state;
	static const unsigned counts[] = { 0x20000001, 0x40000001, 0x80000001, 0xffffffff };
	mach_port_t p = port_with_send_in(here());
	size_t page;
	unsigned char *at = page_before_nothing(&page);

	(void)w;
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		struct letter l;
		mach_msg_return_t r;

		letter_to(&l, p, MACH_MSG_TYPE_COPY_SEND, 1);
		letter_add_long_type(&l, MACH_MSG_TYPE_INTEGER_64, 64, counts[i], false, false);
		letter_add_raw(&l, &at, sizeof(at));
		l.header.msgh_bits |= MACH_MSGH_BITS_COMPLEX;
		r = post(here(), &l);
		assert_true(r == MACH_SEND_INVALID_MEMORY || r == MACH_SEND_NO_BUFFER);
		letter_to(&l, p, MACH_MSG_TYPE_COPY_SEND, 1);
		letter_add_long_type(&l, MACH_MSG_TYPE_COPY_SEND, 32, counts[i], false, false);
		letter_add_raw(&l, &at, sizeof(at));
		l.header.msgh_bits |= MACH_MSGH_BITS_COMPLEX;
		r = post(here(), &l);
		assert_true(r == MACH_SEND_INVALID_MEMORY || r == MACH_SEND_NO_BUFFER || r == MACH_SEND_INVALID_RIGHT);
	}
	expect_no_message(here(), p);
	munmap(at, page);
	expect_ok(mach_port_destroy(here(), p));
}

static void long_descriptors_carry_rights(void **state)
{
	struct world *w = *state;
	mach_port_t p = port_with_send_in(w->a), carried = port_in(w->a), array[2] = { carried, MACH_PORT_NULL };
	mach_port_name_inlined_t in = { .name = carried };
	const void *pointer = array;
	struct letter l;

	letter_to(&l, p, MACH_MSG_TYPE_COPY_SEND, 1);
	letter_add_long_type(&l, MACH_MSG_TYPE_MAKE_SEND, 8 * sizeof(in), 1, true, false);
	letter_add_raw(&l, &in, sizeof(in));
	letter_add_long_type(&l, MACH_MSG_TYPE_MAKE_SEND_ONCE, 32, 2, false, false);
	letter_add_raw(&l, &pointer, sizeof(pointer));
	l.header.msgh_bits |= MACH_MSGH_BITS_COMPLEX;
	expect_ok(post(w->a, &l));
	expect_eq(send_rights(w->a, carried), 1);
	expect_eq(status_of(w->a, carried).mps_sorights, 1);
	expect_ok(fetch(w->a, p, &l));
	expect_eq(letter_port(&l), carried);
	destroy_letter(w->a, &l);
	expect_eq(send_rights(w->a, carried), 0);
	expect_message(w->a, carried, MACH_NOTIFY_SEND_ONCE);
}

static void wrong_element_sizes_are_refused(void **state)
{
	struct world *w = *state;
	static const unsigned bits[] = { 0, 1, 8, 16, 24, 40, 128 };
	mach_port_t p = port_with_send_in(w->a), carried = port_with_send_in(w->a);
	mach_port_name_inlined_t in = { .name = carried };

	for (size_t i = 0; i < sizeof(bits) / sizeof(bits[0]); i++) {
		struct letter l;

		letter_to(&l, p, MACH_MSG_TYPE_COPY_SEND, 1);
		letter_add_long_type(&l, MACH_MSG_TYPE_MOVE_SEND, bits[i], 1, true, false);
		letter_add_raw(&l, &in, sizeof(in));
		letter_add_raw(&l, "................", 16);
		l.header.msgh_bits |= MACH_MSGH_BITS_COMPLEX;
		expect_result(post(w->a, &l), MACH_SEND_INVALID_TYPE);
	}
	expect_eq(type_of(w->a, carried), MACH_PORT_TYPE_SEND_RECEIVE);
}

static void buffers_that_are_not_there_cannot_be_sent(void **state)
{
	struct world *w = *state;
	mach_port_t p = port_with_send_in(here());
	size_t page;
	unsigned char *at = page_before_nothing(&page);
	struct letter l;

	expect_wild_pointers();
	(void)w;
	expect_result(send_raw(NULL, 64), MACH_SEND_INVALID_DATA);
	expect_result(send_raw(WILD_POINTER, 64), MACH_SEND_INVALID_DATA);
	expect_result(send_raw((void *)0xffffffffffffff00, 64), MACH_SEND_INVALID_DATA);
	expect_result(send_raw((void *)0x8000000000000000, 64), MACH_SEND_INVALID_DATA);
	letter_to(&l, p, MACH_MSG_TYPE_MOVE_SEND, 1);
	memcpy(at + page - sizeof(l.header), &l.header, sizeof(l.header));
	expect_result(send_raw((void *)(at + page - sizeof(l.header)), 64), MACH_SEND_INVALID_DATA);
	expect_ok(send_raw((void *)(at + page - sizeof(l.header)), sizeof(l.header)));
	expect_message(here(), p, 1);
	munmap(at, page);
	expect_ok(mach_port_destroy(here(), p));
}

static void message_stays_queued_when_the_buffer_is_not_there(void **state)
{
	struct world *w = *state;
	mach_port_t p = port_with_send_in(here());
	void *const wild[] = { NULL, WILD_POINTER, (void *)0x8000000000000000, (void *)0xfffffffffffffff8 };

	expect_wild_pointers();
	(void)w;
	expect_ok(send_id(here(), p, 1));
	for (size_t i = 0; i < sizeof(wild) / sizeof(wild[0]); i++)
		expect_result(mach_msg(wild[i], MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, 1000, p, 0, MACH_PORT_NULL),
			      MACH_RCV_INVALID_DATA);
	expect_message(here(), p, 1);
	expect_ok(mach_port_destroy(here(), p));
}

static void buffer_that_cannot_be_written_is_an_error(void **state)
{
	struct world *w = *state;
	mach_port_t p = port_with_send_in(here());
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *at = mmap(NULL, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	expect_wild_pointers();
	(void)w;
	expect_ok(send_id(here(), p, 1));
	expect_result(mach_msg(at, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, 1000, p, 0, MACH_PORT_NULL),
		      MACH_RCV_INVALID_DATA);
	munmap(at, page);
	expect_ok(mach_port_destroy(here(), p));
}

static void null_buffer_serves_to_sleep(void **state)
{
	struct world *w = *state;
	mach_port_t p = port_in(here());

	(void)w;
	expect_result(mach_msg(NULL, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, 0, p, 1, MACH_PORT_NULL), MACH_RCV_TIMED_OUT);
	expect_ok(mach_port_destroy(here(), p));
}

/* whatever is in a body: an error or a message, and the rights balance */
static void random_bodies_do_no_harm(void **state)
{
	struct world *w = *state;
	mach_port_t p = port_with_send_in(w->a), x = port_with_send_in(w->a);
	uint64_t random = 88172645463325252u;

	expect_wild_pointers();
	for (int i = 0; i < 3000; i++) {
		struct letter l;

		letter_to(&l, p, MACH_MSG_TYPE_COPY_SEND, i);
		for (unsigned n = 0; n < 12; n++) {
			random ^= random << 13;
			random ^= random >> 7;
			random ^= random << 17;
			uint32_t word = random % 3   ? (uint32_t)random
					: random % 5 ? x
						     : 0x20114000u | (random >> 40 & 0x1f);

			letter_add_raw(&l, &word, sizeof(word));
		}
		l.header.msgh_bits |= MACH_MSGH_BITS_COMPLEX;
		if (post(w->a, &l) == MACH_MSG_SUCCESS && fetch(w->a, p, &l) == MACH_MSG_SUCCESS)
			destroy_letter(w->a, &l);
	}
	expect_ok(mach_port_destroy(w->a, p));
	if (type_of(w->a, x))
		expect_ok(mach_port_destroy(w->a, x));
}

/* ---- queues in sets */

/* the message that the set's receiver takes makes room for the one that waits */
static void blocked_sender_is_let_in_when_its_port_joins_a_set(void **state)
{
	struct world *w = *state;
	mach_port_t p = port_with_send_in(w->a), s = set_in(w->a);
	static struct caller receiver, sender;

	expect_ok(mach_port_set_qlimit(w->a, p, 1));
	expect_ok(send_id(w->a, p, 1));
	letter_to(&sender.letter, p, MACH_MSG_TYPE_COPY_SEND, 2);
	caller_start_send(&sender, w->a, 0);
	caller_start_receive(&receiver, w->a, s, 0);
	expect_ok(mach_port_move_member(w->a, p, s));
	expect_ok(caller_join(&receiver));
	expect_eq(receiver.letter.header.msgh_id, 1);
	expect_ok(caller_join(&sender));
	expect_message(w->a, s, 2);
}

/* What a server counts on that answers with a right to an object, when nobody takes the answer. Source: GNU. */
static void destroying_makes_the_rights_that_were_to_be_made(void **state)
{
	mach_port_t p = port_in(here());
	struct letter l;

	(void)state;
	expect_ok(watch_no_senders(here(), p));
	letter_to(&l, MACH_PORT_NULL, 0, 1);
	letter_add_port(&l, p, MACH_MSG_TYPE_MAKE_SEND);
	l.header.msgh_size = l.size;
	mach_msg_destroy(&l.header);
	expect_eq(status_of(here(), p).mps_mscount, 1);
	expect_eq(send_rights(here(), p), 0);
	expect_notice(here(), NO_SENDERS, p);
	letter_to(&l, p, MACH_MSG_TYPE_MAKE_SEND_ONCE, 1);
	mach_msg_destroy(&l.header);
	expect_message(here(), p, MACH_NOTIFY_SEND_ONCE);
	expect_ok(mach_port_destroy(here(), p));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		world_test(bad_item_takes_what_is_before_it_only),
		world_test(destroying_makes_the_rights_that_were_to_be_made),
		world_test(bad_header_takes_nothing),
		world_test(failed_send_does_not_begin_to_receive),
		world_test(sizes_below_a_header_are_refused),
		world_test(enormous_sizes_are_refused),
		world_test(count_beyond_the_message_is_refused),
		world_test(out_of_line_sizes_do_not_wrap),
		world_test(long_descriptors_carry_rights),
		world_test(wrong_element_sizes_are_refused),
		world_test(buffers_that_are_not_there_cannot_be_sent),
		world_test(message_stays_queued_when_the_buffer_is_not_there),
		world_test(buffer_that_cannot_be_written_is_an_error),
		world_test(null_buffer_serves_to_sleep),
		world_test(random_bodies_do_no_harm),
		world_test(blocked_sender_is_let_in_when_its_port_joins_a_set),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
