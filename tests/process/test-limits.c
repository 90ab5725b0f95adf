/* SPDX-License-Identifier: MIT */
/* Queues of other processes: their limit, and senders that wait for room. */
#include "family.h"

#include <signal.h>

enum { LIMIT = MACH_PORT_QLIMIT_DEFAULT };

static void do_set_qlimit(long *n)
{
	n[0] = mach_port_set_qlimit(here(), (mach_port_t)n[0], (mach_port_msgcount_t)n[1]);
}

static void set_qlimit(struct process *p, mach_port_t port, unsigned limit)
{
	expect_ok((kern_return_t)ask(p, do_set_qlimit, port, limit));
}

static struct letter letter_with_id(mach_port_t to, int id)
{
	struct letter l;

	letter_to(&l, to, MACH_MSG_TYPE_COPY_SEND, id);
	return l;
}

static void fill(struct process *p, mach_port_t name, int n)
{
	for (int i = 0; i < n; i++)
		expect_ok(send_id_at(p, name, i));
}

/* A message that could not be sent comes back with a reference of its right. */
static void expect_full(struct process *p, mach_port_t name)
{
	expect_result(send_id_at(p, name, 99), MACH_SEND_TIMED_OUT);
	expect_ok(deallocate_at(p, name));
}

static void expect_ids(struct process *p, mach_port_t port, int from, int to)
{
	for (; from < to; from++)
		expect_message_at(p, port, from);
	expect_no_message_at(p, port);
}

/* The port and its name are gone. */
static void end(struct process *owner, mach_port_t port, struct process *holder, mach_port_t name)
{
	expect_ok(destroy_at(owner, port));
	await(type_at(holder, name) == MACH_PORT_TYPE_DEAD_NAME);
	expect_ok(destroy_at(holder, name));
}

static void a_full_queue_refuses_a_sender_who_does_not_wait(struct process *owner, struct process *holder)
{
	mach_port_t port = port_at(owner), name = give_send_to(owner, port, holder);

	fill(holder, name, LIMIT);
	expect_full(holder, name);
	await(status_at(owner, port).mps_msgcount == LIMIT);
	expect_ids(owner, port, 0, LIMIT);
	end(owner, port, holder, name);
}

/* Each message that is received makes room for one, and the sender finds it without being told by any other way. */
static void there_is_room_for_as_many_as_were_received(struct process *owner, struct process *holder)
{
	mach_port_t port = port_at(owner), name = give_send_to(owner, port, holder);

	for (int n = 1; n <= LIMIT; n++) {
		fill(holder, name, LIMIT);
		for (int i = 0; i < n; i++)
			expect_message_at(owner, port, i);
		for (int i = 0; i < n; i++)
			expect_ok(send_id_at(holder, name, LIMIT + i));
		expect_full(holder, name);
		expect_ids(owner, port, n, LIMIT + n);
	}
	end(owner, port, holder, name);
}

static void there_is_room_however_late_the_sender_fills_the_queue(struct process *owner, struct process *holder)
{
	mach_port_t port = port_at(owner), name = give_send_to(owner, port, holder);

	fill(holder, name, 3);
	expect_message_at(owner, port, 0);
	for (int i = 3; i < LIMIT + 1; i++)
		expect_ok(send_id_at(holder, name, i)); /* the owner is not in a call, and does not see it */
	expect_full(holder, name);
	expect_ids(owner, port, 1, LIMIT + 1);
	end(owner, port, holder, name);
}

static void a_timeout_passes(struct process *owner, struct process *holder)
{
	mach_port_t port = port_at(owner), name = give_send_to(owner, port, holder);
	struct letter l = letter_with_id(name, 99);

	fill(holder, name, LIMIT);
	expect_result(send_at(holder, &l, MACH_SEND_TIMEOUT, 30), MACH_SEND_TIMED_OUT);
	expect_ids(owner, port, 0, LIMIT);
	end(owner, port, holder, name);
}

static void a_sender_that_waits_goes_on_when_there_is_room(struct process *owner, struct process *holder)
{
	mach_port_t port = port_at(owner), name = give_send_to(owner, port, holder);
	struct letter l = letter_with_id(name, LIMIT);

	fill(holder, name, LIMIT);
	begin_send_at(holder, 1, &l, 0, 0);
	await_sleep_at(holder, 1);
	expect_eq(status_at(owner, port).mps_msgcount, LIMIT);
	expect_message_at(owner, port, 0);
	expect_ok(end_message_at(holder, 1, NULL));
	expect_ids(owner, port, 1, LIMIT + 1);
	end(owner, port, holder, name);
}

/* It fills the queue with messages that the owner has not seen when it last received. */
static void a_sender_that_waits_finds_room_that_it_was_not_told_of(struct process *owner, struct process *holder)
{
	mach_port_t port = port_at(owner), name = give_send_to(owner, port, holder);
	struct letter l = letter_with_id(name, LIMIT);

	fill(holder, name, 2);
	expect_message_at(owner, port, 0);
	for (int i = 2; i < LIMIT; i++)
		expect_ok(send_id_at(holder, name, i));
	begin_send_at(holder, 1, &l, 0, 0);
	expect_ok(end_message_at(holder, 1, NULL)); /* while the owner is not in a call */
	expect_ids(owner, port, 1, LIMIT + 1);
	end(owner, port, holder, name);
}

static void senders_that_wait_are_let_in_in_order(struct process *owner, struct process *holder)
{
	enum { N = 6 };
	mach_port_t port = port_at(owner), name = give_send_to(owner, port, holder);

	fill(holder, name, LIMIT);
	for (int i = 0; i < N; i++) {
		struct letter l = letter_with_id(name, LIMIT + i);

		begin_send_at(holder, 1 + (unsigned)i, &l, 0, 0);
		await_sleep_at(holder, 1 + (unsigned)i);
	}
	for (int i = 0; i < LIMIT + N; i++)
		expect_message_at(owner, port, i);
	for (unsigned i = 0; i < N; i++)
		expect_ok(end_message_at(holder, 1 + i, NULL));
	expect_no_message_at(owner, port);
	end(owner, port, holder, name);
}

static void the_death_of_the_port_releases_senders_that_wait(struct process *owner, struct process *holder)
{
	enum { N = 3 };
	mach_port_t port = port_at(owner), name = give_send_to(owner, port, holder), carried = port_at(holder);

	fill(holder, name, LIMIT);
	expect_ok(watch_at(holder, NO_SENDERS, carried));
	for (unsigned i = 0; i < N; i++) {
		struct letter l = letter_with_id(name, 50);

		letter_add_port(&l, carried, MACH_MSG_TYPE_MAKE_SEND);
		begin_send_at(holder, 1 + i, &l, 0, 0);
		await_sleep_at(holder, 1 + i);
	}
	expect_ok(destroy_at(owner, port));
	for (unsigned i = 0; i < N; i++)
		expect_ok(end_message_at(holder, 1 + i, NULL)); /* the message is gone with the port */
	await(type_at(holder, name) == MACH_PORT_TYPE_DEAD_NAME);
	expect_notice_at(holder, NO_SENDERS, carried);
	expect_ok(destroy_at(holder, name));
	expect_ok(destroy_at(holder, carried));
}

/* ---- limits that change */

static void a_limit_is_known_to_who_gets_a_right(struct process *owner, struct process *holder)
{
	mach_port_t port = port_at(owner), name;

	set_qlimit(owner, port, 2);
	name = give_send_to(owner, port, holder);
	fill(holder, name, 2);
	expect_full(holder, name);
	expect_ids(owner, port, 0, 2);
	end(owner, port, holder, name);
}

static void a_limit_that_grows_lets_senders_in(struct process *owner, struct process *holder)
{
	mach_port_t port = port_at(owner), name = give_send_to(owner, port, holder);
	struct letter l = letter_with_id(name, LIMIT);

	fill(holder, name, LIMIT);
	begin_send_at(holder, 1, &l, 0, 0);
	await_sleep_at(holder, 1);
	set_qlimit(owner, port, LIMIT + 3);
	expect_ok(end_message_at(holder, 1, NULL));
	expect_ok(send_id_at(holder, name, LIMIT + 1));
	expect_ok(send_id_at(holder, name, LIMIT + 2));
	expect_full(holder, name);
	expect_ids(owner, port, 0, LIMIT + 3);
	end(owner, port, holder, name);
}

static void a_limit_that_shrinks_is_kept_from_then_on(struct process *owner, struct process *holder)
{
	mach_port_t port = port_at(owner), name = give_send_to(owner, port, holder);
	struct letter l;

	fill(holder, name, 4);
	await(status_at(owner, port).mps_msgcount == 4);
	set_qlimit(owner, port, 1);
	await(send_id_at(holder, name, 99) == MACH_SEND_TIMED_OUT || (fetch_at(owner, port, &l), false));
	while (fetch_at(owner, port, &l) == MACH_MSG_SUCCESS)
		continue;
	await(send_id_at(holder, name, 5) == MACH_MSG_SUCCESS);
	expect_result(send_id_at(holder, name, 99), MACH_SEND_TIMED_OUT);
	expect_message_at(owner, port, 5);
	expect_no_message_at(owner, port);
	end(owner, port, holder, name);
}

static void a_limit_of_nothing_lets_nothing_in(struct process *owner, struct process *holder)
{
	mach_port_t port = port_at(owner), name;

	set_qlimit(owner, port, 0);
	name = give_send_to(owner, port, holder);
	expect_full(holder, name);
	set_qlimit(owner, port, 1);
	await(send_id_at(holder, name, 7) == MACH_MSG_SUCCESS);
	expect_ids(owner, port, 7, 8);
	end(owner, port, holder, name);
}

/* ---- signals */

static atomic_int n_signals;

static void on_signal(int sig)
{
	(void)sig;
	n_signals++;
}

static void do_handle_signals(long *n)
{
	(void)n;
	struct sigaction action = { .sa_handler = on_signal };

	n_signals = 0;
	sigaction(SIGUSR1, &action, NULL);
}

static void do_count_signals(long *n)
{
	n[0] = n_signals;
}

static void a_signal_ends_a_send_that_says_so(struct process *owner, struct process *holder)
{
	mach_port_t port = port_at(owner), name = give_send_to(owner, port, holder);
	struct letter l = letter_with_id(name, 99);

	ask(holder, do_handle_signals);
	fill(holder, name, LIMIT);
	begin_send_at(holder, 1, &l, MACH_SEND_INTERRUPT, 0);
	await_sleep_at(holder, 1);
	signal_at(holder, 1, SIGUSR1);
	expect_result(end_message_at(holder, 1, NULL), MACH_SEND_INTERRUPTED);
	expect_ids(owner, port, 0, LIMIT);
	end(owner, port, holder, name);
}

static void a_signal_does_not_end_others(struct process *owner, struct process *holder)
{
	mach_port_t port = port_at(owner), name = give_send_to(owner, port, holder);
	struct letter l = letter_with_id(name, LIMIT);

	ask(holder, do_handle_signals);
	fill(holder, name, LIMIT);
	begin_send_at(holder, 1, &l, 0, 0);
	await_sleep_at(holder, 1);
	signal_at(holder, 1, SIGUSR1);
	await(ask(holder, do_count_signals) == 1);
	await_sleep_at(holder, 1);
	expect_message_at(owner, port, 0);
	expect_ok(end_message_at(holder, 1, NULL));
	expect_ids(owner, port, 1, LIMIT + 1);
	end(owner, port, holder, name);
}

static void signals_and_receivers(struct process *owner, struct process *holder)
{
	mach_port_t port = port_at(owner), name = give_send_to(owner, port, holder);
	struct letter l;

	ask(owner, do_handle_signals);
	begin_receive_at(owner, 1, port, MACH_RCV_INTERRUPT, 0);
	begin_receive_at(owner, 2, port, 0, 0); /* of the two one serves the links */
	await_sleep_at(owner, 1);
	await_sleep_at(owner, 2);
	signal_at(owner, 2, SIGUSR1);
	await(ask(owner, do_count_signals) == 1);
	await_sleep_at(owner, 2);
	signal_at(owner, 1, SIGUSR1);
	expect_result(end_message_at(owner, 1, NULL), MACH_RCV_INTERRUPTED);
	expect_ok(send_id_at(holder, name, 4));
	expect_ok(end_message_at(owner, 2, &l));
	expect_eq(l.header.msgh_id, 4);
	end(owner, port, holder, name);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		pair_tests(a_full_queue_refuses_a_sender_who_does_not_wait),
		pair_tests(there_is_room_for_as_many_as_were_received),
		pair_tests(there_is_room_however_late_the_sender_fills_the_queue),
		pair_tests(a_timeout_passes),
		pair_tests(a_sender_that_waits_goes_on_when_there_is_room),
		pair_tests(a_sender_that_waits_finds_room_that_it_was_not_told_of),
		pair_tests(senders_that_wait_are_let_in_in_order),
		pair_tests(the_death_of_the_port_releases_senders_that_wait),
		pair_tests(a_limit_is_known_to_who_gets_a_right),
		pair_tests(a_limit_that_grows_lets_senders_in),
		pair_tests(a_limit_that_shrinks_is_kept_from_then_on),
		pair_tests(a_limit_of_nothing_lets_nothing_in),
		pair_tests(a_signal_ends_a_send_that_says_so),
		pair_tests(a_signal_does_not_end_others),
		pair_tests(signals_and_receivers),
	};

	return family_main(argc, argv, tests);
}
