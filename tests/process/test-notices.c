/* SPDX-License-Identifier: MIT */
/* Notifications across processes: no-senders, dead-name, port-deleted, msg-accepted. */
#include "family.h"

/* ---- no senders */

static void no_senders_fires_when_the_last_right_goes(struct process *owner, struct process *holder)
{
	mach_port_t port = port_at(owner), name = give_send_to(owner, port, holder);

	expect_ok(watch_at(owner, NO_SENDERS, port));
	expect_no_notice_at(owner);
	expect_ok(mod_refs_at(holder, name, MACH_PORT_RIGHT_SEND, 1));
	expect_ok(deallocate_at(holder, name));
	expect_no_notice_at(owner);
	expect_ok(deallocate_at(holder, name));
	expect_notice_at(owner, NO_SENDERS, port);
	expect_ok(destroy_at(owner, port));
}

/* Never while a right is in flight: the last one goes back and forth. */
static void no_senders_waits_for_a_right_that_travels(struct process *owner, struct process *holder)
{
	mach_port_t port = port_with_send_at(owner), name;

	expect_ok(watch_at(owner, NO_SENDERS, port));
	for (int i = 0; i < 50; i++) {
		name = give(owner, port, MACH_MSG_TYPE_MOVE_SEND, holder);
		expect_no_notice_at(owner);
		expect_eq(give(holder, name, MACH_MSG_TYPE_MOVE_SEND, owner), port);
		expect_no_notice_at(owner);
	}
	expect_eq(srights_at(owner, port), 1);
	expect_ok(mod_refs_at(owner, port, MACH_PORT_RIGHT_SEND, -1));
	expect_notice_at(owner, NO_SENDERS, port);
	expect_ok(destroy_at(owner, port));
}

/* The same without a pause: a server that gets the right in each request and answers with it. */
struct game {
	mach_port_t queue, to;
};

enum { ROUNDS = 2000 };

static void do_play(void *arg)
{
	const struct game *game = arg;
	struct letter l;
	mach_port_t right;

	for (int i = 0; i < ROUNDS; i++) {
		expect_ok(mach_msg(&l.header, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof l.bytes, game->queue, 30000,
				   MACH_PORT_NULL));
		l.size = l.header.msgh_size;
		right = letter_port(&l);
		letter_to(&l, game->to, MACH_MSG_TYPE_COPY_SEND, 1);
		letter_add_port(&l, right, MACH_MSG_TYPE_MOVE_SEND);
		expect_ok(post(here(), &l));
	}
}

static void do_begin_game(long *n)
{
	struct letter l;

	letter_to(&l, (mach_port_t)n[1], MACH_MSG_TYPE_COPY_SEND, 1);
	letter_add_port(&l, (mach_port_t)n[0], MACH_MSG_TYPE_MOVE_SEND);
	expect_ok(post(here(), &l));
}

static void no_senders_never_fires_early_in_a_fast_exchange(struct process *owner, struct process *holder)
{
	mach_port_t port = port_with_send_at(owner), here_queue = port_at(owner), there_queue = port_at(holder);
	mach_port_t to_here = give_send_to(owner, here_queue, holder),
		    to_there = give_send_to(holder, there_queue, owner);
	struct game owners = { here_queue, to_there }, holders = { there_queue, to_here };
	struct letter l;

	expect_ok(watch_at(owner, NO_SENDERS, port));
	begin_at(owner, 1, do_play, &owners, sizeof owners);
	begin_at(holder, 1, do_play, &holders, sizeof holders);
	ask(owner, do_begin_game, port, to_there);
	end_at(holder, 1, &holders, sizeof holders);
	end_at(owner, 1, &owners, sizeof owners);
	expect_no_notice_at(owner);
	/* the last one sent it to the holder, whose player has ended */
	expect_ok(receive_at(holder, there_queue, &l));
	expect_ok(destroy_at(holder, letter_port(&l)));
	expect_notice_at(owner, NO_SENDERS, port);
	expect_ok(destroy_at(owner, port));
	expect_ok(destroy_at(owner, here_queue));
	expect_ok(destroy_at(holder, there_queue));
	await(type_at(owner, to_there) == MACH_PORT_TYPE_DEAD_NAME);
	await(type_at(holder, to_here) == MACH_PORT_TYPE_DEAD_NAME);
	expect_ok(deallocate_at(owner, to_there));
	expect_ok(deallocate_at(holder, to_here));
}

static void no_senders_fires_once_and_not_again(struct process *owner, struct process *holder)
{
	mach_port_t port = port_at(owner), name = give_send_to(owner, port, holder);

	expect_ok(watch_at(owner, NO_SENDERS, port));
	expect_ok(destroy_at(holder, name));
	expect_notice_at(owner, NO_SENDERS, port);
	name = give_send_to(owner, port, holder);
	expect_ok(destroy_at(holder, name));
	await(srights_at(owner, port) == 0);
	expect_no_notice_at(owner);
	expect_ok(destroy_at(owner, port));
}

static void do_await_notice(long *n)
{
	n[0] = await_notice(here(), 30000);
}

/* Nobody calls there after the right is dropped: who holds it has gone back to what it does without us. */
static void who_sleeps_hears_of_the_last_right(struct process *owner, struct process *holder)
{
	mach_port_t port = port_at(owner), name = give_send_to(owner, port, holder);

	expect_ok(watch_at(owner, NO_SENDERS, port));
	begin_ask(owner, 1, do_await_notice, (long[NUMBERS]){ 0 });
	await_sleep_at(owner, 1);
	expect_ok(deallocate_at(holder, name));
	expect_eq(end_ask(owner, 1, NULL), 1);
	expect_notice_at(owner, NO_SENDERS, port);
	expect_ok(destroy_at(owner, port));
}

/* ---- dead names */

static void the_holder_hears_that_the_port_has_died(struct process *owner, struct process *holder)
{
	mach_port_t port = port_at(owner), name = give_send_to(owner, port, holder);

	expect_ok(watch_at(holder, DEAD_NAME, name));
	expect_ok(end_receive_at(owner, port));
	expect_notice_at(holder, DEAD_NAME, name);
	expect_eq(type_at(holder, name), MACH_PORT_TYPE_DEAD_NAME);
	expect_eq(refs_at(holder, name, MACH_PORT_RIGHT_DEAD_NAME), 1);
	expect_ok(deallocate_at(holder, name));
}

static void the_holder_of_a_send_once_right_hears_it_too(struct process *owner, struct process *holder)
{
	mach_port_t port = port_at(owner), once = give_send_once_to(owner, port, holder);

	expect_ok(watch_at(holder, DEAD_NAME, once));
	expect_ok(destroy_at(owner, port));
	expect_notice_at(holder, DEAD_NAME, once);
	expect_ok(deallocate_at(holder, once));
}

static void every_holder_hears_it(void **state)
{
	struct process *a = process_start(), *b = process_start();
	mach_port_t port = port_at(self), in_a = give_send_to(self, port, a);
	mach_port_t in_b = give(a, in_a, MACH_MSG_TYPE_COPY_SEND, b);

	(void)state;
	await(srights_at(self, port) == 2);
	expect_ok(watch_at(a, DEAD_NAME, in_a));
	expect_ok(watch_at(b, DEAD_NAME, in_b));
	expect_ok(destroy_at(self, port));
	expect_notice_at(a, DEAD_NAME, in_a);
	expect_notice_at(b, DEAD_NAME, in_b);
	expect_ok(deallocate_at(a, in_a));
	expect_ok(deallocate_at(b, in_b));
}

static void a_message_in_flight_does_not_keep_the_notice_back(struct process *owner, struct process *holder)
{
	mach_port_t port = port_at(owner), name = give_send_to(owner, port, holder);

	expect_ok(watch_at(holder, DEAD_NAME, name));
	expect_ok(send_id_at(holder, name, 1));
	expect_ok(destroy_at(owner, port));
	expect_notice_at(holder, DEAD_NAME, name);
	expect_ok(deallocate_at(holder, name));
}

/* A request at the name of a port that lives on, when the name goes. */
static void the_end_of_a_name_is_told(struct process *owner, struct process *holder)
{
	mach_port_t port = port_at(owner), name = give_send_to(owner, port, holder);

	expect_ok(watch_at(holder, DEAD_NAME, name));
	expect_ok(deallocate_at(holder, name));
	expect_notice_at(holder, PORT_DELETED, name);
	await(srights_at(owner, port) == 0);
	expect_ok(destroy_at(owner, port));
}

/* ---- messages accepted */

static void do_send_notify(long *n)
{
	struct letter l;

	letter_to(&l, (mach_port_t)n[0], MACH_MSG_TYPE_COPY_SEND, (int)n[2]);
	n[0] = mach_msg(&l.header, MACH_SEND_MSG | MACH_SEND_NOTIFY | MACH_SEND_TIMEOUT, l.size, 0, MACH_PORT_NULL, 0,
			(mach_port_t)n[1]);
}

static void a_message_forced_into_a_full_queue_is_told_when_it_is_taken(struct process *owner, struct process *holder)
{
	mach_port_t port = port_at(owner), name = give_send_to(owner, port, holder), notify = port_at(holder);
	unsigned i;

	for (i = 0; i < MACH_PORT_QLIMIT_DEFAULT; i++)
		expect_ok(send_id_at(holder, name, (int)i));
	expect_result((kern_return_t)ask(holder, do_send_notify, name, notify, i), MACH_SEND_WILL_NOTIFY);
	expect_result((kern_return_t)ask(holder, do_send_notify, name, notify, 99), MACH_SEND_NOTIFY_IN_PROGRESS);
	for (i = 0; i < MACH_PORT_QLIMIT_DEFAULT; i++)
		expect_message_at(owner, port, (int)i);
	expect_no_message_at(holder, notify);
	expect_message_at(owner, port, (int)i);
	expect_message_at(holder, notify, MACH_NOTIFY_MSG_ACCEPTED);
	expect_no_message_at(holder, notify);
	expect_ok(destroy_at(owner, port));
	await(type_at(holder, name) == MACH_PORT_TYPE_DEAD_NAME);
	expect_ok(
		mod_refs_at(holder, name, MACH_PORT_RIGHT_DEAD_NAME, -2)); /* the message that came back brought one */
	expect_ok(destroy_at(holder, notify));
}

static void a_forced_message_that_dies_with_its_port_is_told(struct process *owner, struct process *holder)
{
	mach_port_t port = port_at(owner), name = give_send_to(owner, port, holder), notify = port_at(holder);

	for (unsigned i = 0; i < MACH_PORT_QLIMIT_DEFAULT; i++)
		expect_ok(send_id_at(holder, name, (int)i));
	expect_result((kern_return_t)ask(holder, do_send_notify, name, notify, 9), MACH_SEND_WILL_NOTIFY);
	expect_ok(destroy_at(owner, port));
	expect_message_at(holder, notify, MACH_NOTIFY_MSG_ACCEPTED);
	await(type_at(holder, name) == MACH_PORT_TYPE_DEAD_NAME);
	expect_ok(deallocate_at(holder, name));
	expect_ok(destroy_at(holder, notify));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		pair_tests(no_senders_fires_when_the_last_right_goes),
		pair_tests(no_senders_waits_for_a_right_that_travels),
		pair_tests(no_senders_never_fires_early_in_a_fast_exchange),
		pair_tests(no_senders_fires_once_and_not_again),
		pair_tests(who_sleeps_hears_of_the_last_right),
		pair_tests(the_holder_hears_that_the_port_has_died),
		pair_tests(the_holder_of_a_send_once_right_hears_it_too),
		family_test(every_holder_hears_it),
		pair_tests(a_message_in_flight_does_not_keep_the_notice_back),
		pair_tests(the_end_of_a_name_is_told),
		pair_tests(a_message_forced_into_a_full_queue_is_told_when_it_is_taken),
		pair_tests(a_forced_message_that_dies_with_its_port_is_told),
	};

	return family_main(argc, argv, tests);
}
