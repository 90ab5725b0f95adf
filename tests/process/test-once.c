/* SPDX-License-Identifier: MIT */
/* A send-once right yields exactly one message, whatever becomes of it. */
#include "family.h"

static void expect_send_once_notice(struct process *owner, mach_port_t port)
{
	expect_message_at(owner, port, MACH_NOTIFY_SEND_ONCE);
	expect_no_message_at(owner, port);
	expect_eq(status_at(owner, port).mps_sorights, 0);
	expect_ok(destroy_at(owner, port));
}

static void it_brings_one_message_and_is_gone(struct process *owner, struct process *holder)
{
	mach_port_t port = port_at(owner), once = give_send_once_to(owner, port, holder);
	struct letter l;

	letter_to(&l, once, MACH_MSG_TYPE_MOVE_SEND_ONCE, 5);
	expect_ok(post_at(holder, &l));
	expect_eq(type_at(holder, once), 0);
	expect_message_at(owner, port, 5);
	expect_no_message_at(owner, port);
	expect_eq(status_at(owner, port).mps_sorights, 0);
	expect_ok(destroy_at(owner, port));
}

static void one_that_is_deallocated_says_so(struct process *owner, struct process *holder)
{
	mach_port_t port = port_at(owner);

	expect_ok(deallocate_at(holder, give_send_once_to(owner, port, holder)));
	expect_send_once_notice(owner, port);
}

static void one_that_is_destroyed_says_so(struct process *owner, struct process *holder)
{
	mach_port_t port = port_at(owner);

	expect_ok(destroy_at(holder, give_send_once_to(owner, port, holder)));
	expect_send_once_notice(owner, port);
}

static void one_whose_reference_is_dropped_says_so(struct process *owner, struct process *holder)
{
	mach_port_t port = port_at(owner), once = give_send_once_to(owner, port, holder);

	expect_ok(mod_refs_at(holder, once, MACH_PORT_RIGHT_SEND_ONCE, -1));
	expect_send_once_notice(owner, port);
}

static void do_post_to_task_that_ends(long *n)
{
	task_t task;

	expect_ok(task_create(here(), FALSE, &task));
	expect_ok(mach_port_insert_right(task, 0x5000, (mach_port_t)n[0], MACH_MSG_TYPE_MOVE_SEND_ONCE));
	expect_ok(task_terminate(task));
	expect_ok(mach_port_deallocate(here(), task));
}

static void one_of_a_task_that_ends_says_so(struct process *owner, struct process *holder)
{
	mach_port_t port = port_at(owner), once = give_send_once_to(owner, port, holder);

	ask(holder, do_post_to_task_that_ends, once);
	expect_send_once_notice(owner, port);
}

/* In the body, as reply port: it dies with the queue it lies in, at the other end or at home. */
static void one_in_a_message_that_nobody_receives_says_so(struct process *owner, struct process *holder)
{
	mach_port_t port = port_at(owner), queue = port_at(holder), to = give_send_to(holder, queue, owner);
	struct letter l;

	letter_to(&l, to, MACH_MSG_TYPE_COPY_SEND, 1);
	letter_add_port(&l, port, MACH_MSG_TYPE_MAKE_SEND_ONCE);
	expect_ok(post_at(owner, &l));
	await(status_at(holder, queue).mps_msgcount == 1);
	expect_eq(status_at(owner, port).mps_sorights, 1);
	expect_ok(destroy_at(holder, queue));
	expect_send_once_notice(owner, port);
	await(type_at(owner, to) == MACH_PORT_TYPE_DEAD_NAME);
	expect_ok(deallocate_at(owner, to));
}

static void a_reply_right_in_a_message_that_nobody_receives_says_so(struct process *owner, struct process *holder)
{
	mach_port_t port = port_at(owner), queue = port_at(holder), to = give_send_to(holder, queue, owner);
	struct letter l;

	letter_to(&l, to, MACH_MSG_TYPE_COPY_SEND, 1);
	letter_reply_to(&l, port, MACH_MSG_TYPE_MAKE_SEND_ONCE);
	expect_ok(post_at(owner, &l));
	expect_ok(destroy_at(holder, queue)); /* perhaps before it has come */
	expect_send_once_notice(owner, port);
	await(type_at(owner, to) == MACH_PORT_TYPE_DEAD_NAME);
	expect_ok(deallocate_at(owner, to));
}

static void one_in_a_message_to_a_buffer_too_small_says_so(struct process *owner, struct process *holder)
{
	mach_port_t port = port_at(owner), queue = port_at(holder), to = give_send_to(holder, queue, owner);
	struct letter l;

	letter_to(&l, to, MACH_MSG_TYPE_COPY_SEND, 1);
	letter_add_port(&l, port, MACH_MSG_TYPE_MAKE_SEND_ONCE);
	expect_ok(post_at(owner, &l));
	await(status_at(holder, queue).mps_msgcount == 1);
	expect_result(receive_with_at(holder, queue, &l, MACH_RCV_TIMEOUT, 0, sizeof l.header), MACH_RCV_TOO_LARGE);
	expect_send_once_notice(owner, port);
	expect_ok(destroy_at(holder, queue));
	await(type_at(owner, to) == MACH_PORT_TYPE_DEAD_NAME);
	expect_ok(deallocate_at(owner, to));
}

static void one_used_on_a_port_that_is_full_is_not_held_up(struct process *owner, struct process *holder)
{
	mach_port_t port = port_at(owner), send = give_send_to(owner, port, holder),
		    once = give_send_once_to(owner, port, holder);
	struct letter l;

	for (unsigned i = 0; i < MACH_PORT_QLIMIT_DEFAULT; i++)
		expect_ok(send_id_at(holder, send, (int)i));
	expect_result(send_id_at(holder, send, 99), MACH_SEND_TIMED_OUT);
	letter_to(&l, once, MACH_MSG_TYPE_MOVE_SEND_ONCE, 77);
	expect_ok(post_at(holder, &l));
	await(status_at(owner, port).mps_msgcount == MACH_PORT_QLIMIT_DEFAULT + 1);
	for (unsigned i = 0; i < MACH_PORT_QLIMIT_DEFAULT; i++)
		expect_message_at(owner, port, (int)i);
	expect_message_at(owner, port, 77);
	expect_ok(destroy_at(owner, port));
	await(type_at(holder, send) == MACH_PORT_TYPE_DEAD_NAME);
	expect_ok(
		mod_refs_at(holder, send, MACH_PORT_RIGHT_DEAD_NAME, -2)); /* the message that came back brought one */
}

/* Used, dropped, passed back and forth: each yields its message. */
static void many_yield_as_many_messages(struct process *owner, struct process *holder)
{
	enum { N = 60 };
	mach_port_t port = port_at(owner);
	unsigned n_used = 0, n_dropped = 0;
	struct letter l;

	for (unsigned i = 0; i < N; i++) {
		mach_port_t once = give_send_once_to(owner, port, holder);

		if (i % 3 == 0) {
			letter_to(&l, once, MACH_MSG_TYPE_MOVE_SEND_ONCE, 5);
			expect_ok(post_at(holder, &l));
		} else if (i % 3 == 1) {
			expect_ok(destroy_at(holder, once));
		} else {
			once = give(holder, once, MACH_MSG_TYPE_MOVE_SEND_ONCE, owner);
			once = give(owner, once, MACH_MSG_TYPE_MOVE_SEND_ONCE, holder);
			expect_ok(deallocate_at(holder, once));
		}
	}
	for (unsigned i = 0; i < N; i++) {
		expect_ok(receive_at(owner, port, &l));
		n_used += l.header.msgh_id == 5;
		n_dropped += l.header.msgh_id == MACH_NOTIFY_SEND_ONCE;
	}
	expect_eq(n_used, N / 3);
	expect_eq(n_dropped, N - N / 3);
	expect_no_message_at(owner, port);
	expect_ok(destroy_at(owner, port));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		pair_tests(it_brings_one_message_and_is_gone),
		pair_tests(one_that_is_deallocated_says_so),
		pair_tests(one_that_is_destroyed_says_so),
		pair_tests(one_whose_reference_is_dropped_says_so),
		pair_tests(one_of_a_task_that_ends_says_so),
		pair_tests(one_in_a_message_that_nobody_receives_says_so),
		pair_tests(a_reply_right_in_a_message_that_nobody_receives_says_so),
		pair_tests(one_in_a_message_to_a_buffer_too_small_says_so),
		pair_tests(one_used_on_a_port_that_is_full_is_not_held_up),
		pair_tests(many_yield_as_many_messages),
	};

	return family_main(argc, argv, tests);
}
