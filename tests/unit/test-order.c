/* SPDX-License-Identifier: MIT */
/* What is wrong first: which of several errors a call reports, and what it has taken by then. Source: GNU Mach. */
#include "world.h"

static void a_right_goes_along_to_what_is_no_task(void **state)
{
	mach_port_t p = port_in(here()), previous;

	(void)state;
	expect_result(mach_port_insert_right(mach_host_self(), 9000, p, MACH_MSG_TYPE_MAKE_SEND), KERN_INVALID_TASK);
	expect_eq(status_of(here(), p).mps_mscount, 1);
	expect_eq(send_rights(here(), p), 0);
	expect_result(mach_port_request_notification(mach_host_self(), p, MACH_NOTIFY_NO_SENDERS, 0, p,
						     MACH_MSG_TYPE_MAKE_SEND_ONCE, &previous),
		      KERN_INVALID_TASK);
	expect_message(here(), p, MACH_NOTIFY_SEND_ONCE);
	expect_result(mach_port_insert_right(mach_host_self(), 9000, UNUSED_NAME, MACH_MSG_TYPE_COPY_SEND),
		      MACH_SEND_INVALID_RIGHT);
	expect_result(mach_port_insert_right(UNUSED_NAME, 9000, p, MACH_MSG_TYPE_MOVE_RECEIVE), MACH_SEND_INVALID_DEST);
	expect_eq(type_of(here(), p), MACH_PORT_TYPE_RECEIVE);
	expect_result(mach_port_insert_right(mach_host_self(), 9000, p, MACH_MSG_TYPE_MOVE_RECEIVE), KERN_INVALID_TASK);
	expect_eq(type_of(here(), p), 0);
}

static void a_notify_right_is_send_once_even_if_null(void **state)
{
	mach_port_t p = port_in(here()), previous;

	(void)state;
	for (unsigned disposition = 0; disposition < 30; disposition++) {
		bool is_send_once =
			disposition == MACH_MSG_TYPE_MAKE_SEND_ONCE || disposition == MACH_MSG_TYPE_MOVE_SEND_ONCE;

		expect_result(mach_port_request_notification(here(), p, MACH_NOTIFY_NO_SENDERS, 0, MACH_PORT_NULL,
							     disposition, &previous),
			      is_send_once ? KERN_SUCCESS : MIG_BAD_ARGUMENTS);
	}
	expect_result(mach_port_request_notification(here(), p, MACH_NOTIFY_NO_SENDERS, 0, p, 0, &previous),
		      MIG_BAD_ARGUMENTS);
	expect_ok(mach_port_destroy(here(), p));
}

static void a_wrong_delta_comes_before_a_dead_port(void **state)
{
	struct world *w = *state;
	mach_port_t p = port_in(w->a), send = give_send(w->a, p, here()), once = give_send_once(w->a, p, here());

	expect_ok(end_receive(w->a, p));
	expect_result(mach_port_mod_refs(here(), send, MACH_PORT_RIGHT_SEND, -5), KERN_INVALID_VALUE);
	expect_result(mach_port_mod_refs(here(), send, MACH_PORT_RIGHT_SEND, 70000), KERN_UREFS_OVERFLOW);
	expect_result(mach_port_mod_refs(here(), once, MACH_PORT_RIGHT_SEND_ONCE, 1), KERN_INVALID_VALUE);
	expect_result(mach_port_mod_refs(here(), send, MACH_PORT_RIGHT_SEND, -1), KERN_INVALID_RIGHT);
	expect_result(mach_port_mod_refs(here(), once, MACH_PORT_RIGHT_SEND_ONCE, 0), KERN_INVALID_RIGHT);
	expect_ok(mach_port_mod_refs(here(), send, MACH_PORT_RIGHT_DEAD_NAME, -1));
	expect_ok(mach_port_mod_refs(here(), once, MACH_PORT_RIGHT_DEAD_NAME, -1));
}

static void the_task_comes_before_the_value(void **state)
{
	mach_port_t p = port_in(here()), names[6] = { UNUSED_NAME };
	time_value_t now;
	task_t child;

	(void)state;
	expect_result(mach_port_set_qlimit(UNUSED_NAME, p, 99), MACH_SEND_INVALID_DEST);
	expect_result(mach_port_set_qlimit(mach_host_self(), p, 99), KERN_INVALID_TASK);
	expect_result(mach_port_set_qlimit(here(), UNUSED_NAME, 99), KERN_INVALID_VALUE);
	expect_result(mach_ports_register(UNUSED_NAME, names, 6), MACH_SEND_INVALID_DEST);
	expect_result(mach_ports_register(here(), names, 6), KERN_INVALID_ARGUMENT);
	expect_result(host_get_time(here(), &now), KERN_INVALID_HOST);
	expect_result(task_create(mach_host_self(), FALSE, &child), KERN_INVALID_TASK);
	expect_ok(mach_port_destroy(here(), p));
}

static void unused_bits_are_no_type(void **state)
{
	mach_port_t p = port_with_send_in(here());
	struct letter l;

	(void)state;
	letter_to(&l, p, MACH_MSG_TYPE_COPY_SEND, 1);
	letter_add_int(&l, 5);
	l.header.msgh_bits |= MACH_MSGH_BITS_COMPLEX; /* else nobody looks */
	((mach_msg_type_t *)(void *)(l.bytes + sizeof l.header))->msgt_unused = 1;
	expect_result(post(here(), &l), MACH_SEND_INVALID_TYPE);
	expect_no_message(here(), p);
	expect_ok(mach_port_destroy(here(), p));
}

static void a_pending_acceptance_comes_before_the_notify_port(void **state)
{
	mach_msg_option_t option = MACH_SEND_MSG | MACH_SEND_TIMEOUT | MACH_SEND_NOTIFY;
	mach_port_t p = port_with_send_in(here()), to = port_in(here());
	struct letter l;

	(void)state;
	expect_ok(mach_port_set_qlimit(here(), p, 1));
	expect_ok(send_id(here(), p, 1));
	letter_to(&l, p, MACH_MSG_TYPE_COPY_SEND, 2);
	expect_result(mach_msg(&l.header, option, l.size, 0, MACH_PORT_NULL, 0, UNUSED_NAME), MACH_SEND_INVALID_NOTIFY);
	letter_to(&l, p, MACH_MSG_TYPE_COPY_SEND, 2);
	expect_result(mach_msg(&l.header, option, l.size, 0, MACH_PORT_NULL, 0, to), MACH_SEND_WILL_NOTIFY);
	letter_to(&l, p, MACH_MSG_TYPE_COPY_SEND, 3);
	expect_result(mach_msg(&l.header, option, l.size, 0, MACH_PORT_NULL, 0, UNUSED_NAME),
		      MACH_SEND_NOTIFY_IN_PROGRESS);
	letter_to(&l, p, MACH_MSG_TYPE_COPY_SEND, 3);
	expect_result(mach_msg(&l.header, option, l.size, 0, MACH_PORT_NULL, 0, MACH_PORT_NULL),
		      MACH_SEND_INVALID_NOTIFY);
	expect_ok(mach_port_deallocate(here(), p)); /* two sends have brought theirs back */
	expect_ok(mach_port_destroy(here(), p));
	expect_ok(mach_port_destroy(here(), to));
}

static void no_notify_port_comes_before_the_header(void **state)
{
	struct letter l;

	(void)state;
	letter_to(&l, UNUSED_NAME, 99, 1);
	expect_result(mach_msg(&l.header, MACH_SEND_MSG | MACH_SEND_CANCEL, l.size, 0, MACH_PORT_NULL, 0,
			       MACH_PORT_NULL),
		      MACH_SEND_INVALID_NOTIFY);
	expect_result(mach_msg(&l.header, MACH_SEND_MSG | MACH_SEND_CANCEL, l.size, 0, MACH_PORT_NULL, 0, UNUSED_NAME),
		      MACH_SEND_INVALID_HEADER);
}

static void a_header_comes_back_as_it_was(void **state)
{
	mach_port_t p = port_with_send_in(here());
	struct letter l;

	(void)state;
	expect_ok(mach_port_set_qlimit(here(), p, 1));
	letter_to(&l, p, MACH_MSG_TYPE_COPY_SEND, 1);
	l.header.msgh_bits |= MACH_MSGH_BITS_CIRCULAR;
	expect_ok(post(here(), &l));
	letter_to(&l, p, MACH_MSG_TYPE_COPY_SEND, 2);
	l.header.msgh_seqno = 77;
	expect_result(post(here(), &l), MACH_SEND_TIMED_OUT);
	expect_eq(l.header.msgh_seqno, 77);
	expect_ok(fetch(here(), p, &l));
	expect_eq(l.header.msgh_bits & MACH_MSGH_BITS_CIRCULAR, 0);
	destroy_letter(here(), &l);
	expect_ok(mach_port_destroy(here(), p));
}

static void the_kernel_port_can_be_another(void **state)
{
	struct world *w = *state;
	mach_port_t own = MACH_PORT_NULL, p = port_with_send_in(here()), got = MACH_PORT_NULL;

	expect_ok(task_get_special_port(w->a, TASK_KERNEL_PORT, &own));
	expect_eq(own, w->a);
	expect_ok(task_set_special_port(w->a, TASK_KERNEL_PORT, p));
	expect_ok(task_get_special_port(w->a, TASK_KERNEL_PORT, &got));
	expect_eq(got, p);
	expect_ok(mach_port_deallocate(here(), got));
	expect_eq(names_in(w->a), 0); /* its own task port works as before */
	expect_ok(task_set_special_port(w->a, TASK_KERNEL_PORT, MACH_PORT_NULL));
	expect_ok(task_get_special_port(w->a, TASK_KERNEL_PORT, &got));
	expect_eq(got, MACH_PORT_NULL);
	expect_ok(mach_port_deallocate(here(), own));
	expect_eq(send_rights(here(), p), 1);
	expect_ok(mach_port_destroy(here(), p));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		world_test(a_right_goes_along_to_what_is_no_task),
		world_test(a_notify_right_is_send_once_even_if_null),
		world_test(a_wrong_delta_comes_before_a_dead_port),
		world_test(the_task_comes_before_the_value),
		world_test(unused_bits_are_no_type),
		world_test(a_pending_acceptance_comes_before_the_notify_port),
		world_test(no_notify_port_comes_before_the_header),
		world_test(a_header_comes_back_as_it_was),
		world_test(the_kernel_port_can_be_another),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
