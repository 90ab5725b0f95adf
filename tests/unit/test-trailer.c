/* SPDX-License-Identifier: MIT */
/* Receive trailers: who sent a message, for those who ask. */
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel/message.h"
#include "kernel/right.h"
#include "kernel/send.h"
#include "kernel/task.h"
#include "kernel/thread.h"
#include "world.h"

#define ELEMENTS(which) \
	(MACH_RCV_TRAILER_TYPE(MACH_MSG_TRAILER_FORMAT_0) | MACH_RCV_TRAILER_ELEMENTS(MACH_RCV_TRAILER_##which))

static mach_msg_audit_trailer_t *trailer_of(struct letter *l)
{
	return (mach_msg_audit_trailer_t *)(l->bytes + round_msg(l->header.msgh_size));
}

/* A letter that is all 0x5a, to see what is written. */
static mach_msg_return_t fetch_clean(mach_port_t p, struct letter *l, mach_msg_option_t option, mach_msg_size_t limit)
{
	memset(l->bytes, 0x5a, sizeof l->bytes);
	return fetch_with(here(), p, l, option, limit);
}

static bool is_clean(const struct letter *l, size_t from)
{
	for (size_t i = from; i < sizeof l->bytes; i++)
		if (l->bytes[i] != 0x5a)
			return false;
	return true;
}

static void expect_self(const mach_msg_audit_trailer_t *t)
{
	expect_eq(t->msgh_sender.val[0], geteuid());
	expect_eq(t->msgh_sender.val[1], getegid());
	expect_eq(t->msgh_audit.val[0], 0xffffffff);
	expect_eq(t->msgh_audit.val[1], geteuid());
	expect_eq(t->msgh_audit.val[2], getegid());
	expect_eq(t->msgh_audit.val[3], getuid());
	expect_eq(t->msgh_audit.val[4], getgid());
	expect_eq(t->msgh_audit.val[5], getpid());
	expect_eq(t->msgh_audit.val[6], 0);
	expect_eq(t->msgh_audit.val[7], 0);
}

static void expect_kernel(const mach_msg_audit_trailer_t *t)
{
	const security_token_t security = KERNEL_SECURITY_TOKEN_VALUE;
	const audit_token_t audit = KERNEL_AUDIT_TOKEN_VALUE;

	assert_memory_equal(&t->msgh_sender, &security, sizeof security);
	assert_memory_equal(&t->msgh_audit, &audit, sizeof audit);
}

static void who_does_not_ask_gets_none(void **state)
{
	mach_port_t p = port_with_send_in(here());
	struct letter l;

	(void)state;
	expect_ok(send_id(here(), p, 1));
	expect_ok(fetch_clean(p, &l, 0, sizeof l.bytes));
	assert_true(is_clean(&l, sizeof l.header));
	expect_ok(send_id(here(), p, 1));
	expect_ok(fetch_clean(p, &l, ELEMENTS(NULL), sizeof l.header));
	assert_true(is_clean(&l, sizeof l.header));
	expect_ok(mach_port_destroy(here(), p));
}

static void each_trailer_is_as_long_as_it_says(void **state)
{
	mach_port_t p = port_with_send_in(here());
	const struct {
		mach_msg_option_t option;
		size_t size;
	} kinds[] = {
		{ ELEMENTS(SEQNO), 12 },
		{ ELEMENTS(SENDER), 20 },
		{ ELEMENTS(AUDIT), 52 },
	};
	struct letter l;

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		expect_ok(send_id(here(), p, 1));
		expect_ok(fetch_clean(p, &l, kinds[i].option, sizeof l.header + (mach_msg_size_t)kinds[i].size));
		expect_eq(l.header.msgh_size, sizeof l.header);
		expect_eq(trailer_of(&l)->msgh_trailer_type, MACH_MSG_TRAILER_FORMAT_0);
		expect_eq(trailer_of(&l)->msgh_trailer_size, kinds[i].size);
		expect_eq(REQUESTED_TRAILER_SIZE(kinds[i].option), kinds[i].size);
		expect_eq(trailer_of(&l)->msgh_seqno, i);
		expect_eq(l.header.msgh_seqno, i);
		assert_true(is_clean(&l, sizeof l.header + kinds[i].size));
	}
	expect_self(trailer_of(&l));
	expect_ok(mach_port_destroy(here(), p));
}

static void it_lies_behind_the_body(void **state)
{
	mach_port_t p = port_with_send_in(here());
	struct letter l;

	(void)state;
	for (unsigned n = 0; n < 40; n++) {
		mach_msg_size_t size;

		letter_to(&l, p, MACH_MSG_TYPE_COPY_SEND, 1);
		for (unsigned i = 0; i < n; i++)
			letter_add_int(&l, (int)i);
		size = l.size;
		expect_ok(post(here(), &l));
		expect_ok(fetch_clean(p, &l, ELEMENTS(AUDIT), sizeof l.bytes));
		expect_eq(l.header.msgh_size, size);
		expect_self(trailer_of(&l));
	}
	expect_ok(mach_port_destroy(here(), p));
}

static void a_message_with_rights_has_one_too(void **state)
{
	mach_port_t p = port_with_send_in(here()), carried = port_with_send_in(here());
	struct letter l;

	(void)state;
	letter_to(&l, p, MACH_MSG_TYPE_COPY_SEND, 1);
	letter_reply_to(&l, carried, MACH_MSG_TYPE_MAKE_SEND_ONCE);
	letter_add_port(&l, carried, MACH_MSG_TYPE_MOVE_SEND);
	expect_ok(post(here(), &l));
	expect_ok(fetch_clean(p, &l, ELEMENTS(AUDIT), sizeof l.bytes));
	expect_eq(letter_port(&l), carried);
	expect_self(trailer_of(&l));
	mach_msg_destroy(&l.header);
	expect_ok(mach_port_destroy(here(), p));
	expect_ok(mach_port_destroy(here(), carried));
}

/* ---- too little room */

static void room_for_the_message_alone_is_too_small(void **state)
{
	mach_port_t p = port_with_send_in(here());
	struct letter l;

	(void)state;
	expect_ok(send_id(here(), p, 1));
	for (mach_msg_size_t room = sizeof l.header; room < sizeof l.header + 52; room += 4) {
		expect_result(fetch_clean(p, &l, ELEMENTS(AUDIT) | MACH_RCV_LARGE, room), MACH_RCV_TOO_LARGE);
		expect_eq(l.header.msgh_size, sizeof l.header); /* what the message has, the trailer not counted */
		assert_true(is_clean(&l, sizeof l.header));
	}
	expect_result(fetch_clean(p, &l, ELEMENTS(AUDIT), sizeof l.header + 51), MACH_RCV_TOO_LARGE);
	assert_true(is_clean(&l, sizeof l.header));
	expect_no_message(here(), p);
	expect_ok(mach_port_destroy(here(), p));
}

static void room_for_less_than_a_trailer_is_too_small(void **state)
{
	mach_port_t p = port_with_send_in(here());
	struct letter l;

	(void)state;
	for (mach_msg_size_t room = 0; room <= 32; room += 8) {
		expect_ok(send_id(here(), p, 1));
		expect_result(fetch_clean(p, &l, ELEMENTS(AUDIT), room), MACH_RCV_TOO_LARGE);
		assert_true(is_clean(&l, room));
	}
	expect_no_message(here(), p);
	expect_ok(mach_port_destroy(here(), p));
}

static void a_thread_that_waits_gets_no_message_without_room_for_its_trailer(void **state)
{
	mach_port_t p = port_with_send_in(here());
	struct caller c;
	struct letter l;

	(void)state;
	letter_to(&l, p, MACH_MSG_TYPE_COPY_SEND, 1);
	l.size = sizeof c.letter.bytes - 48;
	memset(l.bytes + sizeof l.header, 0, l.size - sizeof l.header);
	caller_start_receive(&c, here(), p, ELEMENTS(AUDIT) | MACH_RCV_LARGE);
	expect_ok(post(here(), &l));
	expect_result(caller_join(&c), MACH_RCV_TOO_LARGE);
	expect_message(here(), p, 1);
	expect_ok(mach_port_destroy(here(), p));
}

static void a_trailer_that_leads_nowhere_is_an_error(void **state)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	mach_port_t p = port_with_send_in(here());
	char *pages = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	mach_msg_header_t *at_end = (mach_msg_header_t *)(void *)(pages + page - sizeof *at_end);

	(void)state;
	expect_wild_pointers();
	munmap(pages + page, page);
	expect_ok(send_id(here(), p, 1));
	expect_result(mach_msg(at_end, MACH_RCV_MSG | MACH_RCV_TIMEOUT | ELEMENTS(AUDIT), 0, sizeof *at_end + 52, p, 0,
			       MACH_PORT_NULL),
		      MACH_RCV_INVALID_DATA);
	munmap(pages, page);
	expect_ok(mach_port_destroy(here(), p));
}

static void unknown_trailers_are_refused(void **state)
{
	static const mach_msg_option_t unknown[] = {
		MACH_RCV_TRAILER_ELEMENTS(4),
		MACH_RCV_TRAILER_ELEMENTS(7),
		(mach_msg_option_t)MACH_RCV_TRAILER_ELEMENTS(8u),
		(mach_msg_option_t)MACH_RCV_TRAILER_ELEMENTS(15u),
		MACH_RCV_TRAILER_TYPE(1),
		(mach_msg_option_t)MACH_RCV_TRAILER_TYPE(15u),
		MACH_RCV_TRAILER_TYPE(1) | MACH_RCV_TRAILER_ELEMENTS(3),
	};
	mach_port_t p = port_with_send_in(here());
	struct letter l;

	(void)state;
	expect_ok(send_id(here(), p, 1));
	for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
		expect_result(fetch_clean(p, &l, unknown[i], sizeof l.bytes), MACH_RCV_INVALID_TRAILER);
		assert_true(is_clean(&l, 0));
	}
	expect_message(here(), p, 1);
	expect_ok(mach_port_destroy(here(), p));
}

static void sending_does_not_mind_the_bits(void **state)
{
	mach_port_t p = port_with_send_in(here());
	struct letter l;

	(void)state;
	letter_to(&l, p, MACH_MSG_TYPE_COPY_SEND, 1);
	expect_ok(mach_msg(&l.header, MACH_SEND_MSG | MACH_RCV_MSG | ELEMENTS(AUDIT), l.size, sizeof l.bytes, p, 0,
			   MACH_PORT_NULL));
	expect_self(trailer_of(&l));
	expect_ok(mach_port_destroy(here(), p));
}

/* ---- who sent it */

static void notifications_are_the_kernels(void **state)
{
	mach_port_t p = port_with_send_in(here()), notify = port_in(here()), previous;
	struct letter l;

	(void)state;
	expect_ok(mach_port_request_notification(here(), p, MACH_NOTIFY_DEAD_NAME, 1, notify,
						 MACH_MSG_TYPE_MAKE_SEND_ONCE, &previous));
	expect_ok(end_receive(here(), p));
	expect_ok(fetch_clean(notify, &l, ELEMENTS(AUDIT), sizeof l.bytes));
	expect_eq(l.header.msgh_id, MACH_NOTIFY_DEAD_NAME);
	expect_kernel(trailer_of(&l));
	expect_ok(mach_port_deallocate(here(), send_once_in(here(), notify)));
	expect_ok(fetch_clean(notify, &l, ELEMENTS(AUDIT), sizeof l.bytes));
	expect_eq(l.header.msgh_id, MACH_NOTIFY_SEND_ONCE);
	expect_kernel(trailer_of(&l));
	expect_ok(mach_port_deallocate(here(), p));
	expect_ok(mach_port_deallocate(here(), p));
	expect_ok(mach_port_destroy(here(), notify));
}

static void a_message_that_looks_like_a_notification_is_its_senders(void **state)
{
	mach_port_t p = port_with_send_in(here());
	struct letter l;

	(void)state;
	expect_ok(send_id(here(), p, MACH_NOTIFY_SEND_ONCE));
	expect_ok(fetch_clean(p, &l, ELEMENTS(AUDIT), sizeof l.bytes));
	expect_self(trailer_of(&l));
	expect_ok(mach_port_destroy(here(), p));
}

static void answers_of_kernel_objects_are_the_kernels(void **state)
{
	mach_port_t reply = port_in(here());
	struct letter l;

	(void)state;
	letter_to(&l, mach_host_self(), MACH_MSG_TYPE_COPY_SEND, 4711);
	letter_reply_to(&l, reply, MACH_MSG_TYPE_MAKE_SEND_ONCE);
	expect_ok(post(here(), &l));
	expect_ok(fetch_clean(reply, &l, ELEMENTS(AUDIT), sizeof l.bytes));
	expect_eq(l.header.msgh_id, 4811);
	expect_kernel(trailer_of(&l));
	expect_ok(mach_port_destroy(here(), reply));
}

/* As the messages that come from another process. */
static void send_as_other(mach_port_t p, struct sender sender)
{
	struct message *m = message_new(sizeof(mach_msg_header_t));

	assert_non_null(m);
	memset(&m->header, 0, sizeof m->header);
	expect_ok(right_copyin(thread_self()->task->space, p, MACH_MSG_TYPE_COPY_SEND, &m->dest));
	m->cpu = 0;
	m->sent_by = SENDER_OTHER;
	m->sender = sender;
	send_always(m);
}

static void another_process_is_told_as_it_is_known(void **state)
{
	struct sender other = { 12345, 1001, 1002 };
	mach_port_t p = port_with_send_in(here());
	struct letter l;

	(void)state;
	send_as_other(p, other);
	expect_ok(send_id(here(), p, 1));
	expect_ok(fetch_clean(p, &l, ELEMENTS(AUDIT), sizeof l.bytes));
	expect_eq(trailer_of(&l)->msgh_sender.val[0], 1001);
	expect_eq(trailer_of(&l)->msgh_sender.val[1], 1002);
	assert_memory_equal(&trailer_of(&l)->msgh_audit,
			    &((audit_token_t){ { 0xffffffff, 1001, 1002, 1001, 1002, 12345, 0, 0 } }),
			    sizeof(audit_token_t));
	expect_ok(fetch_clean(p, &l, ELEMENTS(AUDIT), sizeof l.bytes));
	expect_self(trailer_of(&l)); /* in memory that was the other's */
	expect_ok(mach_port_destroy(here(), p));
}

/* In the child of a fork: sends to itself and looks. 0 if all is well. */
static int look_at_oneself(uid_t uid)
{
	struct {
		mach_msg_header_t header;
		mach_msg_audit_trailer_t trailer;
	} m = { .header = { .msgh_bits = MACH_MSGH_BITS(MACH_MSG_TYPE_MAKE_SEND, 0) } };

	if (seteuid(uid))
		return 1;
	m.header.msgh_remote_port = mach_reply_port();
	if (mach_msg(&m.header, MACH_SEND_MSG | MACH_RCV_MSG | ELEMENTS(AUDIT), sizeof m.header, sizeof m,
		     m.header.msgh_remote_port, 0, MACH_PORT_NULL))
		return 2;
	if (m.trailer.msgh_audit.val[5] != (unsigned)getpid() || m.trailer.msgh_sender.val[0] != uid)
		return 3;
	return m.trailer.msgh_audit.val[3] == getuid() ? 0 : 4;
}

static void expect_in_child(uid_t uid)
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0)
		_exit(look_at_oneself(uid));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void a_fork_and_another_user_are_seen(void **state)
{
	mach_port_t p = port_with_send_in(here());
	struct letter l;

	(void)state;
	expect_ok(send_id(here(), p, 1));
	expect_ok(fetch_clean(p, &l, ELEMENTS(AUDIT), sizeof l.bytes));
	expect_in_child(geteuid());
	if (geteuid() == 0)
		expect_in_child(65534);
	expect_ok(mach_port_destroy(here(), p));
}

/* ---- the server loop */

static boolean_t look_and_answer(mach_msg_header_t *request, mach_msg_header_t *reply)
{
	const mach_msg_audit_trailer_t *t = (const void *)((const char *)request + round_msg(request->msgh_size));

	((mig_reply_header_t *)reply)->RetCode = KERN_SUCCESS;
	reply->msgh_id = t->msgh_trailer_size == sizeof *t && t->msgh_audit.val[5] == (unsigned)getpid() ? 1 : -1;
	return TRUE;
}

static void a_server_that_asks_finds_them(void **state)
{
	mach_port_t p = port_with_send_in(here()), reply = port_in(here());
	struct letter l;

	(void)state;
	for (mach_msg_size_t size = 32; size <= 1024; size *= 2) { /* the larger ones make the buffer grow */
		letter_to(&l, p, MACH_MSG_TYPE_COPY_SEND, 1);
		letter_reply_to(&l, reply, MACH_MSG_TYPE_MAKE_SEND_ONCE);
		memset(l.bytes + l.size, 0, size - l.size);
		l.size = size;
		expect_ok(post(here(), &l));
		expect_result(mach_msg_server_timeout(look_and_answer, 64, p, MACH_RCV_TIMEOUT | ELEMENTS(AUDIT), 0),
			      MACH_RCV_TIMED_OUT);
		expect_message(here(), reply, 1);
	}
	expect_ok(mach_port_destroy(here(), p));
	expect_ok(mach_port_destroy(here(), reply));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		world_test(who_does_not_ask_gets_none),
		world_test(each_trailer_is_as_long_as_it_says),
		world_test(it_lies_behind_the_body),
		world_test(a_message_with_rights_has_one_too),
		world_test(room_for_the_message_alone_is_too_small),
		world_test(room_for_less_than_a_trailer_is_too_small),
		world_test(a_thread_that_waits_gets_no_message_without_room_for_its_trailer),
		world_test(a_trailer_that_leads_nowhere_is_an_error),
		world_test(unknown_trailers_are_refused),
		world_test(sending_does_not_mind_the_bits),
		world_test(notifications_are_the_kernels),
		world_test(a_message_that_looks_like_a_notification_is_its_senders),
		world_test(answers_of_kernel_objects_are_the_kernels),
		world_test(another_process_is_told_as_it_is_known),
		world_test(a_fork_and_another_user_are_seen),
		world_test(a_server_that_asks_finds_them),
	};

	return cmocka_run_group_tests_name("trailer", tests, NULL, NULL);
}
