/* SPDX-License-Identifier: MIT */
/* Notifications: that each comes once, where it was asked for, whatever else dies meanwhile. */
#include "world.h"

static void no_senders_waits_for_the_last_right_anywhere(void **state)
{
	struct world *w = *state;
	mach_port_t p = port_in(w->a), there = give_send(w->a, p, w->b), own = give_send(w->a, p, here());

	expect_ok(watch_no_senders(w->a, p));
	expect_ok(mach_port_deallocate(w->b, there));
	expect_no_notice(w->a);
	expect_ok(mach_port_deallocate(here(), own));
	expect_notice(w->a, NO_SENDERS, p);
}

static void no_senders_hears_of_a_dying_task(void **state)
{
	struct world *w = *state;
	mach_port_t p = port_in(w->a);

	give_send(w->a, p, w->b);
	expect_ok(watch_no_senders(w->a, p));
	expect_ok(task_terminate(w->b));
	expect_notice(w->a, NO_SENDERS, p);
}

static void no_senders_counts_rights_in_queues(void **state)
{
	struct world *w = *state;
	mach_port_t p = port_with_send_in(w->a), queue = port_in(w->a);

	expect_ok(watch_no_senders(w->a, p));
	expect_ok(send_moving(w->a, queue, p));
	expect_no_notice(w->a);
	expect_message(w->a, queue, 0); /* given back there */
	expect_notice(w->a, NO_SENDERS, p);
}

/* the kernel counts a send right lost to port-destroyed for ever; here no-senders works afterwards */
static void no_senders_works_after_port_destroyed(void **state)
{
	struct world *w = *state;
	mach_port_t p = port_with_send_in(w->a), notices = port_in(w->a), once = send_once_in(w->a, notices), back;
	struct letter l;

	in_task_begin(w->a);
	expect_ok(mach_port_request_notification(mach_task_self(), p, PORT_DESTROYED, 0, once,
						 MACH_MSG_TYPE_MOVE_SEND_ONCE, &back));
	in_task_end();
	expect_ok(end_receive(w->a, p));
	expect_eq(type_of(w->a, p), MACH_PORT_TYPE_DEAD_NAME);
	expect_ok(fetch(w->a, notices, &l));
	expect_eq(l.header.msgh_id, PORT_DESTROYED);
	back = letter_port(&l);
	expect_eq(send_rights(w->a, back), 0);
	in_task_begin(w->a);
	expect_ok(mach_port_insert_right(mach_task_self(), back, back, MACH_MSG_TYPE_MAKE_SEND));
	in_task_end();
	expect_ok(watch_no_senders(w->a, back));
	expect_ok(mach_port_deallocate(w->a, back));
	expect_notice(w->a, NO_SENDERS, back);
}

static void dead_name_brings_a_reference(void **state)
{
	struct world *w = *state;
	mach_port_t p = port_in(w->a), s = give_send(w->a, p, w->b);

	expect_ok(watch_dead_name(w->b, s));
	expect_ok(mach_port_destroy(w->a, p));
	expect_eq(refs_of(w->b, s, MACH_PORT_RIGHT_DEAD_NAME), 2);
	expect_notice(w->b, DEAD_NAME, s);
	expect_eq(refs_of(w->b, s, MACH_PORT_RIGHT_DEAD_NAME), 1);
}

static void dead_name_hears_of_a_dying_task(void **state)
{
	struct world *w = *state;
	mach_port_t s = give_send(w->a, port_in(w->a), w->b);
	mach_port_t once = give_send_once(w->a, port_in(w->a), w->b);

	expect_ok(watch_dead_name(w->b, s));
	expect_ok(task_terminate(w->a));
	expect_notice(w->b, DEAD_NAME, s);
	expect_eq(type_of(w->b, once), MACH_PORT_TYPE_DEAD_NAME);
}

static void giving_up_a_watched_name_tells_port_deleted(void **state)
{
	struct world *w = *state;
	mach_port_t p = port_in(w->a), s = give_send(w->a, p, w->b);

	expect_ok(watch_dead_name(w->b, s));
	expect_ok(mach_port_deallocate(w->b, s));
	expect_notice(w->b, PORT_DELETED, s);
	expect_ok(mach_port_destroy(w->a, p));
	expect_no_notice(w->b);
}

static void many_tasks_may_watch_one_port(void **state)
{
	struct world *w = *state;
	mach_port_t p = port_in(w->a), s = give_send(w->a, p, w->b), own = give_send(w->a, p, here());

	expect_ok(watch_dead_name(w->b, s));
	expect_ok(watch_dead_name(here(), own));
	expect_ok(watch_dead_name(w->a, p));
	expect_ok(mach_port_destroy(w->a, p));
	expect_notice(w->b, DEAD_NAME, s);
	expect_notice(here(), DEAD_NAME, own);
	expect_notice(w->a, PORT_DELETED, p); /* its own name went with the right */
	expect_ok(mach_port_deallocate(here(), own));
}

static void notice_to_a_dead_port_is_dropped(void **state)
{
	struct world *w = *state;
	mach_port_t p = port_in(w->a), s = give_send(w->a, p, w->b), to = port_in(w->b), previous;
	mach_port_t once = give_send_once(w->b, to, here());
	mach_port_t s2 = give_send(w->a, p, here());

	expect_ok(mach_port_request_notification(here(), s2, DEAD_NAME, 0, once, MACH_MSG_TYPE_MOVE_SEND_ONCE,
						 &previous));
	expect_ok(mach_port_destroy(w->b, to));
	expect_ok(mach_port_destroy(w->a, p));
	expect_eq(type_of(w->b, s), MACH_PORT_TYPE_DEAD_NAME);
	expect_ok(mach_port_destroy(here(), s2));
}

static void taken_back_request_says_nothing(void **state)
{
	struct world *w = *state;
	mach_port_t p = port_with_send_in(here()), to = port_in(here()), previous, nothing;

	(void)w;
	expect_ok(
		mach_port_request_notification(here(), p, NO_SENDERS, 0, to, MACH_MSG_TYPE_MAKE_SEND_ONCE, &previous));
	expect_ok(mach_port_request_notification(here(), p, NO_SENDERS, 0, MACH_PORT_NULL, MACH_MSG_TYPE_MOVE_SEND_ONCE,
						 &previous));
	expect_eq(type_of(here(), previous), MACH_PORT_TYPE_SEND_ONCE);
	expect_ok(mach_port_deallocate(here(), p));
	expect_no_message(here(), to);
	expect_ok(mach_port_request_notification(here(), p, NO_SENDERS, 5, previous, MACH_MSG_TYPE_MOVE_SEND_ONCE,
						 &nothing));
	expect_eq(nothing, MACH_PORT_NULL);
	expect_ok(mach_port_destroy(here(), p));
	expect_message(here(), to, MACH_NOTIFY_SEND_ONCE); /* the port died, the request with it */
	expect_ok(mach_port_destroy(here(), to));
}

static void notices_ignore_the_queue_limit(void **state)
{
	struct world *w = *state;
	mach_port_t to = port_in(here()), p, previous;

	(void)w;
	expect_ok(mach_port_set_qlimit(here(), to, 1));
	for (int i = 0; i < 100; i++) {
		p = port_with_send_in(here());
		expect_ok(mach_port_request_notification(here(), p, NO_SENDERS, 0, to, MACH_MSG_TYPE_MAKE_SEND_ONCE,
							 &previous));
		expect_ok(mach_port_deallocate(here(), p));
		expect_ok(mach_port_destroy(here(), p));
	}
	for (int i = 0; i < 100; i++)
		expect_message(here(), to, NO_SENDERS);
	expect_ok(mach_port_destroy(here(), to));
}

static void accepted_comes_when_the_forced_message_is_received(void **state)
{
	struct world *w = *state;
	mach_port_t p = port_with_send_in(here()), to = port_in(here());
	struct letter l;

	(void)w;
	expect_ok(mach_port_set_qlimit(here(), p, 1));
	expect_ok(send_id(here(), p, 1));
	letter_to(&l, p, MACH_MSG_TYPE_COPY_SEND, 2);
	expect_result(mach_msg(&l.header, MACH_SEND_MSG | MACH_SEND_NOTIFY | MACH_SEND_TIMEOUT, l.size, 0,
			       MACH_PORT_NULL, 0, to),
		      MACH_SEND_WILL_NOTIFY);
	expect_eq(type_of(here(), p) & MACH_PORT_TYPE_MAREQUEST, MACH_PORT_TYPE_MAREQUEST);
	expect_message(here(), p, 1);
	expect_message(here(), p, 2);
	expect_message(here(), to, MACH_NOTIFY_MSG_ACCEPTED);
	expect_ok(mach_port_destroy(here(), p));
	expect_ok(mach_port_destroy(here(), to));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		world_test(no_senders_waits_for_the_last_right_anywhere),
		world_test(no_senders_hears_of_a_dying_task),
		world_test(no_senders_counts_rights_in_queues),
		world_test(no_senders_works_after_port_destroyed),
		world_test(dead_name_brings_a_reference),
		world_test(dead_name_hears_of_a_dying_task),
		world_test(giving_up_a_watched_name_tells_port_deleted),
		world_test(many_tasks_may_watch_one_port),
		world_test(notice_to_a_dead_port_is_dropped),
		world_test(taken_back_request_says_nothing),
		world_test(notices_ignore_the_queue_limit),
		world_test(accepted_comes_when_the_forced_message_is_received),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
