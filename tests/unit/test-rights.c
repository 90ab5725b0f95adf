/* SPDX-License-Identifier: MIT */
/* Rights: how they are counted, and where they go when what holds them dies. */
#include "world.h"

#define SEND_REFS_MAX 65534
#define DEAD_REFS_MAX 65535

/* A right inside a message that nobody receives is dropped with the queue. [probe 11-notify] */
static void unreceived_right_is_dropped_with_its_queue(void **state)
{
	struct world *w = *state;
	mach_port_t queue = port_in(w->a), carried = port_with_send_in(w->a);

	expect_ok(watch_no_senders(w->a, carried));
	expect_ok(send_moving(w->a, queue, carried));
	expect_eq(send_rights(w->a, carried), 1); /* the queued message holds it */
	expect_no_notice(w->a);
	expect_ok(mach_port_destroy(w->a, queue));
	expect_notice(w->a, NO_SENDERS, carried);
}

static void receive_right_in_a_queue_dies_with_it(void **state)
{
	struct world *w = *state;
	mach_port_t queue = port_in(w->a), carried = port_in(w->a), holder = give_send(w->a, carried, w->b);

	expect_ok(send_moving_receive(w->a, queue, carried));
	expect_ok(send_id(w->b, holder, 1)); /* alive, though nobody can receive from it */
	expect_ok(mach_port_destroy(w->a, queue));
	expect_eq(type_of(w->b, holder), MACH_PORT_TYPE_DEAD_NAME);
	expect_result(send_id(w->b, holder, 2), MACH_SEND_INVALID_DEST);
}

static void send_right_in_transit_arrives_dead_when_its_port_died(void **state)
{
	struct world *w = *state;
	mach_port_t queue = port_in(w->a), p = port_with_send_in(w->a);
	struct letter l;

	expect_ok(send_moving(w->a, queue, p));
	expect_ok(mach_port_destroy(w->a, p));
	expect_ok(fetch(w->a, queue, &l));
	expect_eq(letter_port(&l), MACH_PORT_DEAD);
	expect_eq(names_in(w->a), 1);
}

static void send_once_right_that_nobody_received_answers(void **state)
{
	struct world *w = *state;
	mach_port_t queue = port_in(w->a), client = port_in(w->b), to = give_send(w->a, queue, w->b);
	struct letter l;

	letter_to(&l, to, MACH_MSG_TYPE_COPY_SEND, 1);
	letter_reply_to(&l, client, MACH_MSG_TYPE_MAKE_SEND_ONCE);
	letter_add_port(&l, client, MACH_MSG_TYPE_MAKE_SEND_ONCE);
	expect_ok(post(w->b, &l));
	expect_eq(status_of(w->b, client).mps_sorights, 2);
	expect_ok(task_terminate(w->a));
	expect_message(w->b, client, MACH_NOTIFY_SEND_ONCE);
	expect_message(w->b, client, MACH_NOTIFY_SEND_ONCE);
	expect_no_message(w->b, client);
	expect_eq(status_of(w->b, client).mps_sorights, 0);
}

static void all_rights_of_a_task_to_one_port_share_a_name(void **state)
{
	struct world *w = *state;
	mach_port_t p = port_in(w->a), s = give_send(w->a, p, w->b), queue = port_in(w->b);
	struct letter l;
	mach_port_t via = give_send(w->b, queue, w->a);

	letter_to(&l, via, MACH_MSG_TYPE_COPY_SEND, 1);
	letter_add_port(&l, p, MACH_MSG_TYPE_MAKE_SEND);
	expect_ok(post(w->a, &l));
	expect_eq(send_rights(w->a, p), 2);
	expect_ok(fetch(w->b, queue, &l));
	expect_eq(letter_port(&l), s);
	expect_eq(refs_of(w->b, s, MACH_PORT_RIGHT_SEND), 2);
	expect_eq(send_rights(w->a, p), 1); /* the name holds one right, twice referenced */
}

static void send_rights_that_arrive_above_the_limit_are_dropped(void **state)
{
	struct world *w = *state;
	mach_port_t p = port_with_send_in(w->a), queue = port_in(w->a);
	struct letter l;

	expect_ok(mach_port_mod_refs(w->a, p, MACH_PORT_RIGHT_SEND, SEND_REFS_MAX - 1));
	expect_result(mach_port_mod_refs(w->a, p, MACH_PORT_RIGHT_SEND, 1), KERN_UREFS_OVERFLOW);
	letter_to(&l, queue, MACH_MSG_TYPE_MAKE_SEND, 1);
	letter_add_port(&l, p, MACH_MSG_TYPE_COPY_SEND);
	expect_ok(post(w->a, &l));
	expect_eq(send_rights(w->a, p), 2);
	expect_ok(fetch(w->a, queue, &l));
	expect_eq(letter_port(&l), p);
	expect_eq(refs_of(w->a, p, MACH_PORT_RIGHT_SEND), SEND_REFS_MAX);
	expect_eq(send_rights(w->a, p), 1); /* dropped, not leaked */
	expect_ok(watch_no_senders(w->a, p));
	expect_ok(mach_port_mod_refs(w->a, p, MACH_PORT_RIGHT_SEND, -SEND_REFS_MAX));
	expect_notice(w->a, NO_SENDERS, p);
}

static void references_outlive_their_port_as_dead_names(void **state)
{
	struct world *w = *state;
	mach_port_t p = port_with_send_in(w->a);

	expect_ok(mach_port_mod_refs(w->a, p, MACH_PORT_RIGHT_SEND, SEND_REFS_MAX - 1));
	expect_ok(end_receive(w->a, p));
	expect_eq(refs_of(w->a, p, MACH_PORT_RIGHT_DEAD_NAME), SEND_REFS_MAX);
	expect_ok(mach_port_mod_refs(w->a, p, MACH_PORT_RIGHT_DEAD_NAME, 1));
	expect_result(mach_port_mod_refs(w->a, p, MACH_PORT_RIGHT_DEAD_NAME, 1), KERN_UREFS_OVERFLOW);
	expect_eq(refs_of(w->a, p, MACH_PORT_RIGHT_DEAD_NAME), DEAD_REFS_MAX);
	expect_ok(mach_port_mod_refs(w->a, p, MACH_PORT_RIGHT_DEAD_NAME, -DEAD_REFS_MAX));
	expect_eq(type_of(w->a, p), 0);
}

static void counts_do_not_wrap(void **state)
{
	struct world *w = *state;
	mach_port_t p = port_with_send_in(w->a);

	expect_result(mach_port_mod_refs(w->a, p, MACH_PORT_RIGHT_SEND, 0x7fffffff), KERN_UREFS_OVERFLOW);
	expect_result(mach_port_mod_refs(w->a, p, MACH_PORT_RIGHT_SEND, (mach_port_delta_t)0x80000000),
		      KERN_INVALID_VALUE);
	expect_result(mach_port_mod_refs(w->a, p, MACH_PORT_RIGHT_RECEIVE, 0x7fffffff), KERN_INVALID_VALUE);
	expect_result(mach_port_mod_refs(w->a, p, MACH_PORT_RIGHT_SEND, -2), KERN_INVALID_VALUE);
	expect_eq(refs_of(w->a, p, MACH_PORT_RIGHT_SEND), 1);
	expect_eq(refs_of(w->a, p, MACH_PORT_RIGHT_RECEIVE), 1);
}

/* p's queue holds the right to receive from p: nobody can reach it any more */
static void circle_of_receive_rights_dies(void **state)
{
	struct world *w = *state;
	mach_port_t p = port_with_send_in(w->a), q = port_with_send_in(w->a);

	expect_ok(send_moving_receive(w->a, p, q));
	expect_ok(send_moving_receive(w->a, q, p));
	expect_eq(type_of(w->a, p), MACH_PORT_TYPE_DEAD_NAME);
	expect_eq(type_of(w->a, q), MACH_PORT_TYPE_DEAD_NAME);
}

static void port_in_its_own_queue_dies(void **state)
{
	struct world *w = *state;
	mach_port_t p = port_with_send_in(w->a);

	expect_ok(send_moving_receive(w->a, p, p));
	expect_eq(type_of(w->a, p), MACH_PORT_TYPE_DEAD_NAME);
}

/* a chain of 20,000 ports, each in the queue of the next, dies without recursion eating the stack */
static void long_chain_of_queued_ports_dies_at_once(void **state)
{
	struct world *w = *state;
	mach_port_t p = port_with_send_in(w->a), first = p;

	for (int i = 0; i < 20000; i++) {
		mach_port_t outer = port_in(w->a);

		expect_ok(send_moving_receive(w->a, outer, p));
		p = outer;
	}
	expect_ok(mach_port_destroy(w->a, p));
	expect_eq(type_of(w->a, first), MACH_PORT_TYPE_DEAD_NAME);
	expect_eq(names_in(w->a), 1);
}

static void moved_receive_right_takes_queue_and_senders_along(void **state)
{
	struct world *w = *state;
	mach_port_t p = port_with_send_in(w->a), queue = port_in(w->b), via = give_send(w->b, queue, w->a), q;
	struct letter l;

	expect_ok(send_id(w->a, p, 1));
	expect_ok(send_moving_receive(w->a, via, p));
	expect_ok(send_id(w->a, p, 2)); /* while it is on its way */
	expect_ok(fetch(w->b, queue, &l));
	q = letter_port(&l);
	expect_ok(send_id(w->a, p, 3));
	for (int id = 1; id <= 3; id++)
		expect_message(w->b, q, id);
	expect_result(fetch(w->a, p, &l), MACH_RCV_INVALID_NAME);
}

static void refused_insertion_uses_the_right_up(void **state)
{
	struct world *w = *state;
	mach_port_t p = port_with_send_in(here());

	expect_ok(mach_port_allocate_name(w->a, MACH_PORT_RIGHT_RECEIVE, 9));
	expect_ok(watch_no_senders(here(), p));
	expect_result(mach_port_insert_right(w->a, 9, p, MACH_MSG_TYPE_MOVE_SEND), KERN_NAME_EXISTS);
	expect_notice(here(), NO_SENDERS, p);
	expect_eq(type_of(here(), p), MACH_PORT_TYPE_RECEIVE);
	expect_ok(mach_port_destroy(here(), p));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		world_test(unreceived_right_is_dropped_with_its_queue),
		world_test(receive_right_in_a_queue_dies_with_it),
		world_test(send_right_in_transit_arrives_dead_when_its_port_died),
		world_test(send_once_right_that_nobody_received_answers),
		world_test(all_rights_of_a_task_to_one_port_share_a_name),
		world_test(send_rights_that_arrive_above_the_limit_are_dropped),
		world_test(references_outlive_their_port_as_dead_names),
		world_test(counts_do_not_wrap),
		world_test(circle_of_receive_rights_dies),
		world_test(port_in_its_own_queue_dies),
		world_test(long_chain_of_queued_ports_dies_at_once),
		world_test(moved_receive_right_takes_queue_and_senders_along),
		world_test(refused_insertion_uses_the_right_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
