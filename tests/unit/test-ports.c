/* SPDX-License-Identifier: MIT */
/* Ports, names and sets: what a task can do to them, and what wrong arguments do not do. */
#include <portunus/port.h>

#include "world.h"

static void port_of_another_task_is_used_through_its_task_port(void **state)
{
	struct world *w = *state;
	mach_port_t p = port_in(w->a);

	expect_eq(type_of(w->a, p), MACH_PORT_TYPE_RECEIVE);
	expect_ok(mach_port_set_qlimit(w->a, p, 3));
	expect_eq(status_of(w->a, p).mps_qlimit, 3);
	expect_ok(mach_port_destroy(w->a, p));
	expect_eq(names_in(w->a), 0);
}

static void names_of_two_tasks_do_not_meet(void **state)
{
	struct world *w = *state;

	expect_ok(mach_port_allocate_name(w->a, MACH_PORT_RIGHT_RECEIVE, 4711));
	expect_eq(type_of(w->b, 4711), 0);
	expect_ok(mach_port_allocate_name(w->b, MACH_PORT_RIGHT_PORT_SET, 4711));
	expect_ok(mach_port_destroy(w->a, 4711));
	expect_eq(type_of(w->b, 4711), MACH_PORT_TYPE_PORT_SET);
}

static void smallest_and_largest_numbers_are_names(void **state)
{
	struct world *w = *state;

	expect_ok(mach_port_allocate_name(w->a, MACH_PORT_RIGHT_RECEIVE, 1));
	expect_ok(mach_port_allocate_name(w->a, MACH_PORT_RIGHT_RECEIVE, 0xfffffffe));
	expect_result(mach_port_allocate_name(w->a, MACH_PORT_RIGHT_RECEIVE, MACH_PORT_NULL), KERN_INVALID_VALUE);
	expect_result(mach_port_allocate_name(w->a, MACH_PORT_RIGHT_RECEIVE, MACH_PORT_DEAD), KERN_INVALID_VALUE);
	expect_ok(mach_port_rename(w->a, 0xfffffffe, 2));
	expect_eq(names_in(w->a), 2);
}

static void no_call_chooses_a_name_that_is_taken(void **state)
{
	struct world *w = *state;
	mach_port_t p = port_in(w->a);

	expect_ok(mach_port_destroy(w->a, p));
	for (mach_port_name_t n = p; n < p + 40; n++)
		expect_ok(mach_port_allocate_name(w->a, MACH_PORT_RIGHT_DEAD_NAME, n));
	for (int i = 0; i < 100; i++)
		port_in(w->a);
	expect_eq(names_in(w->a), 140);
}

static void unknown_rights_are_refused(void **state)
{
	struct world *w = *state;
	static const mach_port_right_t wrong[] = {
		MACH_PORT_RIGHT_SEND, MACH_PORT_RIGHT_SEND_ONCE, MACH_PORT_RIGHT_NUMBER, 0x7fffffff, 0xffffffff,
	};
	mach_port_t p;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		expect_result(mach_port_allocate(w->a, wrong[i], &p), KERN_INVALID_VALUE);
		expect_result(mach_port_allocate_name(w->a, wrong[i], 77), KERN_INVALID_VALUE);
	}
	expect_eq(names_in(w->a), 0);
}

/* every call on that name, with result pointers that are no use */
static void call_everything_with(task_t task, mach_port_t name, void *result, kern_return_t expected)
{
	mach_msg_type_number_t n;
	mach_port_type_array_t types;

	expect_result(mach_port_names(task, result, &n, &types, &n), expected);
	expect_result(mach_port_type(task, name, result), expected);
	expect_result(mach_port_allocate(task, MACH_PORT_RIGHT_RECEIVE, result), expected);
	expect_result(mach_port_get_refs(task, name, MACH_PORT_RIGHT_RECEIVE, result), expected);
	expect_result(mach_port_get_receive_status(task, name, result), expected);
	expect_result(mach_port_get_srights(task, name, result), expected);
	expect_result(mach_port_extract_right(task, name, MACH_MSG_TYPE_MAKE_SEND, result, &n), expected);
	expect_result(mach_port_extract_right(task, name, MACH_MSG_TYPE_MAKE_SEND, &n, result), expected);
	expect_result(mach_port_request_notification(task, name, MACH_NOTIFY_NO_SENDERS, 1, MACH_PORT_NULL,
						     MACH_MSG_TYPE_MOVE_SEND_ONCE, result),
		      expected);
}

static void expect_untouched(task_t task, mach_port_t name, unsigned n_names)
{
	expect_eq(names_in(task), n_names);
	expect_eq(type_of(task, name), MACH_PORT_TYPE_RECEIVE);
	expect_eq(send_rights(task, name), 0);
	expect_eq(status_of(task, name).mps_mscount, 0);
	expect_eq(status_of(task, name).mps_nsrequest, FALSE);
}

static void null_result_pointers_change_nothing(void **state)
{
	struct world *w = *state;
	mach_port_t there = port_in(w->a), own = port_in(here());
	unsigned n = names_in(here());

	call_everything_with(w->a, there, NULL, KERN_INVALID_ADDRESS);
	expect_untouched(w->a, there, 1);
	call_everything_with(here(), own, NULL, KERN_INVALID_ADDRESS);
	expect_untouched(here(), own, n);
	expect_ok(mach_port_destroy(here(), own));
}

static void wild_result_pointers_change_nothing(void **state)
{
	struct world *w = *state;
	mach_port_t there = port_in(w->a), own = port_in(here());
	unsigned n = names_in(here());

	expect_wild_pointers();
	call_everything_with(w->a, there, WILD_POINTER, KERN_INVALID_ADDRESS);
	expect_untouched(w->a, there, 1);
	call_everything_with(here(), own, WILD_POINTER, KERN_INVALID_ADDRESS);
	expect_untouched(here(), own, n);
	expect_ok(mach_port_destroy(here(), own));
}

static void what_is_no_task_is_told_apart(void **state)
{
	struct world *w = *state;
	mach_port_t p = port_with_send_in(here()), d = dead_name_in(here()), q;

	(void)w;
	expect_result(mach_port_allocate(MACH_PORT_NULL, MACH_PORT_RIGHT_RECEIVE, &q), MACH_SEND_INVALID_DEST);
	expect_result(mach_port_allocate(MACH_PORT_DEAD, MACH_PORT_RIGHT_RECEIVE, &q), MACH_SEND_INVALID_DEST);
	expect_result(mach_port_allocate(UNUSED_NAME, MACH_PORT_RIGHT_RECEIVE, &q), MACH_SEND_INVALID_DEST);
	expect_result(mach_port_allocate(d, MACH_PORT_RIGHT_RECEIVE, &q), MACH_SEND_INVALID_DEST);
	expect_result(mach_port_allocate(mach_host_self(), MACH_PORT_RIGHT_RECEIVE, &q), KERN_INVALID_TASK);
	expect_result(mach_port_allocate(mach_thread_self(), MACH_PORT_RIGHT_RECEIVE, &q), KERN_INVALID_TASK);
	expect_ok(mach_port_destroy(here(), p));
	expect_ok(mach_port_destroy(here(), d));
}

#define N_EACH 2000

static void *allocate_many(void *data)
{
	mach_port_t *names = data;

	for (int i = 0; i < N_EACH; i++)
		if (mach_port_allocate(mach_task_self(), MACH_PORT_RIGHT_RECEIVE, &names[i]))
			names[i] = MACH_PORT_NULL;
	return NULL;
}

static void many_threads_never_get_the_same_name(void **state)
{
	struct world *w = *state;
	static mach_port_t names[4][N_EACH];
	pthread_t threads[4];

	for (int t = 0; t < 4; t++)
		expect_ok(portunus_thread_create(w->a, &threads[t], allocate_many, names[t]));
	for (int t = 0; t < 4; t++)
		pthread_join(threads[t], NULL);
	expect_eq(names_in(w->a), 4 * N_EACH);
	for (int t = 0; t < 4; t++)
		for (int i = 0; i < N_EACH; i++)
			expect_ok(mach_port_destroy(w->a, names[t][i]));
	expect_eq(names_in(w->a), 0);
}

static void set_forgets_a_member_that_dies_or_leaves(void **state)
{
	struct world *w = *state;
	mach_port_t s = set_in(w->a), p = port_with_send_in(w->a), q = port_with_send_in(w->a);
	mach_port_t other = port_with_send_in(w->a);

	expect_ok(mach_port_move_member(w->a, p, s));
	expect_ok(mach_port_move_member(w->a, q, s));
	expect_ok(send_id(w->a, p, 1));
	expect_ok(send_id(w->a, q, 2));
	expect_ok(mach_port_destroy(w->a, p));
	expect_message(w->a, s, 2);
	expect_ok(send_id(w->a, q, 3));
	expect_ok(send_moving_receive(w->a, other, q));
	expect_no_message(w->a, s);
}

static void set_dies_and_its_members_keep_their_messages(void **state)
{
	struct world *w = *state;
	mach_port_t s = set_in(w->a), p = port_with_send_in(w->a);

	expect_ok(mach_port_move_member(w->a, p, s));
	expect_ok(send_id(w->a, p, 1));
	expect_result(fetch(w->a, p, &(struct letter){ .size = 0 }), MACH_RCV_IN_SET);
	expect_ok(mach_port_destroy(w->a, s));
	expect_message(w->a, p, 1);
}

static void set_of_another_task_is_no_home(void **state)
{
	struct world *w = *state;
	mach_port_t p = port_in(w->a);

	expect_ok(mach_port_allocate_name(w->b, MACH_PORT_RIGHT_PORT_SET, 4711));
	expect_result(mach_port_move_member(w->a, p, 4711), KERN_INVALID_NAME);
	expect_result(mach_port_move_member(w->a, p, p), KERN_INVALID_RIGHT);
}

static void blocked_senders_are_served_in_order(void **state)
{
	struct world *w = *state;
	mach_port_t p = port_with_send_in(w->a);
	static struct caller callers[3];

	expect_ok(mach_port_set_qlimit(w->a, p, 1));
	expect_ok(send_id(w->a, p, 1));
	for (int i = 0; i < 3; i++) {
		letter_to(&callers[i].letter, p, MACH_MSG_TYPE_COPY_SEND, 10 + i);
		caller_start_send(&callers[i], w->a, 0);
	}
	expect_message(w->a, p, 1);
	for (int i = 0; i < 3; i++) {
		expect_ok(caller_join(&callers[i]));
		expect_message(w->a, p, 10 + i);
	}
}

/* Portunus' own call goes beyond the limit that Mach's has. */
static void queue_can_be_longer_than_machs(void **state)
{
	mach_port_t p = port_with_send_in(here());

	(void)state;
	expect_result(mach_port_set_qlimit(here(), p, MACH_PORT_QLIMIT_MAX + 1), KERN_INVALID_VALUE);
	expect_ok(portunus_port_set_qlimit(p, 1000));
	expect_eq(status_of(here(), p).mps_qlimit, 1000);
	for (int i = 0; i < 1000; i++)
		expect_ok(send_id(here(), p, i));
	expect_result(send_id(here(), p, 1000), MACH_SEND_TIMED_OUT);
	for (int i = 0; i < 1000; i++)
		expect_message(here(), p, i);
	expect_ok(portunus_port_set_qlimit(p, PORTUNUS_PORT_QLIMIT_MAX));
	expect_ok(mach_port_destroy(here(), p));
}

static void raising_a_long_limit_lets_a_blocked_sender_go_on(void **state)
{
	mach_port_t p = port_with_send_in(here());
	struct caller sender;

	(void)state;
	expect_ok(portunus_port_set_qlimit(p, 0));
	letter_to(&sender.letter, p, MACH_MSG_TYPE_COPY_SEND, 1);
	caller_start_send(&sender, here(), 0);
	expect_ok(portunus_port_set_qlimit(p, 17));
	expect_ok(caller_join(&sender));
	expect_message(here(), p, 1);
	expect_ok(mach_port_destroy(here(), p));
}

static void wrong_limits_and_names_change_nothing(void **state)
{
	mach_port_t p = port_with_send_in(here()), set;

	(void)state;
	expect_ok(mach_port_allocate(here(), MACH_PORT_RIGHT_PORT_SET, &set));
	expect_result(portunus_port_set_qlimit(p, PORTUNUS_PORT_QLIMIT_MAX + 1), KERN_INVALID_VALUE);
	expect_result(portunus_port_set_qlimit(UNUSED_NAME, 1), KERN_INVALID_NAME);
	expect_result(portunus_port_set_qlimit(set, 1), KERN_INVALID_RIGHT);
	expect_eq(status_of(here(), p).mps_qlimit, MACH_PORT_QLIMIT_DEFAULT);
	expect_ok(mach_port_destroy(here(), set));
	expect_ok(mach_port_destroy(here(), p));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		world_test(port_of_another_task_is_used_through_its_task_port),
		world_test(names_of_two_tasks_do_not_meet),
		world_test(smallest_and_largest_numbers_are_names),
		world_test(no_call_chooses_a_name_that_is_taken),
		world_test(unknown_rights_are_refused),
		world_test(null_result_pointers_change_nothing),
		world_test(wild_result_pointers_change_nothing),
		world_test(what_is_no_task_is_told_apart),
		world_test(many_threads_never_get_the_same_name),
		world_test(set_forgets_a_member_that_dies_or_leaves),
		world_test(set_dies_and_its_members_keep_their_messages),
		world_test(set_of_another_task_is_no_home),
		world_test(blocked_senders_are_served_in_order),
		world_test(queue_can_be_longer_than_machs),
		world_test(raising_a_long_limit_lets_a_blocked_sender_go_on),
		world_test(wrong_limits_and_names_change_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
