/* SPDX-License-Identifier: MIT */
/* Names of ports of other processes: rights coalesce however they arrive, are counted, and end as dead names. */
#include "family.h"

static void the_same_right_twice_is_one_name(struct process *owner, struct process *holder)
{
	mach_port_t port = port_at(owner), name = give_send_to(owner, port, holder);

	expect_eq(give_send_to(owner, port, holder), name);
	expect_eq(type_at(holder, name), MACH_PORT_TYPE_SEND);
	expect_eq(refs_at(holder, name, MACH_PORT_RIGHT_SEND), 2);
	await(srights_at(owner, port) == 1);
	expect_ok(deallocate_at(holder, name));
	expect_eq(srights_at(owner, port), 1);
	expect_ok(deallocate_at(holder, name));
	await(srights_at(owner, port) == 0);
	expect_ok(destroy_at(owner, port));
}

/* A letter with one send right in each place where a right can be: reply port, body, array out of line. */
struct three {
	mach_port_t to, right, names[3];
};

static void do_send_three(void *arg)
{
	struct three *three = arg;
	mach_port_t *array;
	struct letter l;

	expect_ok(vm_allocate(here(), (vm_address_t *)&array, vm_page_size, TRUE));
	array[0] = three->right;
	letter_to(&l, three->to, MACH_MSG_TYPE_COPY_SEND, 3);
	letter_reply_to(&l, three->right, MACH_MSG_TYPE_MAKE_SEND);
	letter_add_port(&l, three->right, MACH_MSG_TYPE_MAKE_SEND);
	letter_add_type(&l, MACH_MSG_TYPE_MAKE_SEND, 8 * sizeof(mach_port_t), 1, false, true);
	letter_add_raw(&l, &array, sizeof array);
	l.header.msgh_bits |= MACH_MSGH_BITS_COMPLEX;
	expect_ok(post(here(), &l));
}

static void do_take_three(void *arg)
{
	struct three *three = arg;
	mach_port_t *array;
	struct letter l;
	size_t item = sizeof(mach_msg_type_t) + sizeof(mach_port_name_inlined_t);

	expect_ok(mach_msg(&l.header, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof l.bytes, three->to, 30000,
			   MACH_PORT_NULL));
	l.size = l.header.msgh_size;
	three->names[0] = l.header.msgh_remote_port;
	three->names[1] = letter_port(&l);
	memcpy(&array, l.bytes + sizeof l.header + item + sizeof(mach_msg_type_t), sizeof array);
	three->names[2] = array[0];
	expect_ok(vm_deallocate(here(), (vm_address_t)array, sizeof *array));
}

static void rights_coalesce_whichever_way_they_come(struct process *owner, struct process *holder)
{
	mach_port_t port = port_at(owner), queue = port_at(holder), to = give_send_to(holder, queue, owner);
	struct three three = { .to = to, .right = port };

	at(owner, do_send_three, &three, sizeof three);
	three.to = queue;
	at(holder, do_take_three, &three, sizeof three);
	expect_eq(three.names[0], three.names[1]);
	expect_eq(three.names[0], three.names[2]);
	expect_eq(refs_at(holder, three.names[0], MACH_PORT_RIGHT_SEND), 3);
	await(srights_at(owner, port) == 1);
	expect_ok(destroy_at(holder, three.names[0]));
	await(srights_at(owner, port) == 0);
	expect_ok(destroy_at(owner, port));
	expect_ok(destroy_at(holder, queue));
	await(type_at(owner, to) == MACH_PORT_TYPE_DEAD_NAME);
	expect_ok(deallocate_at(owner, to));
}

static void a_right_that_comes_home_is_the_port_itself(struct process *owner, struct process *holder)
{
	mach_port_t port = port_at(owner), name = give_send_to(owner, port, holder);

	expect_eq(give(holder, name, MACH_MSG_TYPE_COPY_SEND, owner), port);
	expect_eq(type_at(owner, port), MACH_PORT_TYPE_SEND_RECEIVE);
	expect_eq(give(holder, name, MACH_MSG_TYPE_MOVE_SEND, owner), port);
	expect_eq(type_at(holder, name), 0);
	expect_eq(refs_at(owner, port, MACH_PORT_RIGHT_SEND), 2);
	await(srights_at(owner, port) == 1);
	expect_ok(destroy_at(owner, port));
}

static void send_once_rights_have_names_of_their_own(struct process *owner, struct process *holder)
{
	mach_port_t port = port_at(owner), send = give_send_to(owner, port, holder);
	mach_port_t one = give_send_once_to(owner, port, holder), two = give_send_once_to(owner, port, holder);

	assert_int_not_equal(one, two);
	assert_int_not_equal(one, send);
	expect_eq(type_at(holder, one), MACH_PORT_TYPE_SEND_ONCE);
	expect_eq(status_at(owner, port).mps_sorights, 2);
	/* home again, as they are */
	one = give(holder, one, MACH_MSG_TYPE_MOVE_SEND_ONCE, owner);
	assert_int_not_equal(one, port);
	expect_eq(type_at(owner, one), MACH_PORT_TYPE_SEND_ONCE);
	expect_ok(destroy_at(owner, port));
	await(type_at(holder, two) == MACH_PORT_TYPE_DEAD_NAME);
	await(type_at(holder, send) == MACH_PORT_TYPE_DEAD_NAME);
	expect_ok(deallocate_at(holder, two));
	expect_ok(deallocate_at(holder, send));
	expect_ok(deallocate_at(owner, one));
}

/* ---- counts */

static void copies_moves_and_ends_are_counted(struct process *owner, struct process *holder)
{
	mach_port_t port = port_with_send_at(owner), name;

	name = give(owner, port, MACH_MSG_TYPE_COPY_SEND, holder);
	await(srights_at(owner, port) == 2);
	expect_eq(give(owner, port, MACH_MSG_TYPE_MOVE_SEND, holder), name);
	expect_eq(type_at(owner, port), MACH_PORT_TYPE_RECEIVE);
	await(srights_at(owner, port) == 1);
	expect_ok(mod_refs_at(holder, name, MACH_PORT_RIGHT_SEND, 5));
	expect_eq(srights_at(owner, port), 1);
	expect_ok(mod_refs_at(holder, name, MACH_PORT_RIGHT_SEND, -7));
	await(srights_at(owner, port) == 0);
	expect_eq(status_at(owner, port).mps_mscount, 1);
	expect_ok(destroy_at(owner, port));
}

static void do_send_to_second_task(long *n)
{
	mach_port_t name = (mach_port_t)n[0];
	task_t second;

	expect_ok(task_create(here(), FALSE, &second));
	expect_ok(mach_port_insert_right(second, 0x5000, name, MACH_MSG_TYPE_COPY_SEND));
	n[0] = second;
}

static void do_end_task(long *n)
{
	expect_ok(task_terminate((task_t)n[0]));
	expect_ok(mach_port_deallocate(here(), (mach_port_t)n[0]));
}

static void two_tasks_of_a_process_hold_two_rights(struct process *owner, struct process *holder)
{
	mach_port_t port = port_at(owner), name = give_send_to(owner, port, holder);
	task_t second = (task_t)ask(holder, do_send_to_second_task, name);

	await(srights_at(owner, port) == 2);
	expect_ok(deallocate_at(holder, name));
	await(srights_at(owner, port) == 1);
	ask(holder, do_end_task, second);
	await(srights_at(owner, port) == 0);
	expect_ok(destroy_at(owner, port));
}

static void a_right_in_a_queued_message_is_counted(struct process *owner, struct process *holder)
{
	mach_port_t port = port_at(owner), name = give_send_to(owner, port, holder), queue = port_with_send_at(holder);
	struct letter l;

	letter_to(&l, queue, MACH_MSG_TYPE_COPY_SEND, 0);
	letter_add_port(&l, name, MACH_MSG_TYPE_COPY_SEND);
	expect_ok(post_at(holder, &l));
	await(srights_at(owner, port) == 2);
	expect_ok(destroy_at(holder, queue));
	await(srights_at(owner, port) == 1);
	expect_ok(deallocate_at(holder, name));
	await(srights_at(owner, port) == 0);
	expect_ok(destroy_at(owner, port));
}

/* ---- deaths of ports */

static void the_death_of_a_port_makes_dead_names(struct process *owner, struct process *holder)
{
	mach_port_t port = port_at(owner), name = give_send_to(owner, port, holder);

	expect_ok(mod_refs_at(holder, name, MACH_PORT_RIGHT_SEND, 2));
	expect_ok(end_receive_at(owner, port));
	await(type_at(holder, name) == MACH_PORT_TYPE_DEAD_NAME);
	expect_eq(refs_at(holder, name, MACH_PORT_RIGHT_DEAD_NAME), 3);
	expect_result(send_id_at(holder, name, 1), MACH_SEND_INVALID_DEST);
	expect_ok(mod_refs_at(holder, name, MACH_PORT_RIGHT_DEAD_NAME, -3));
}

static void a_right_to_a_dead_port_arrives_as_a_dead_name(struct process *owner, struct process *holder)
{
	mach_port_t port = port_with_send_at(owner), other = port_at(holder), name;

	expect_ok(end_receive_at(owner, port));
	expect_eq(give(owner, port, MACH_MSG_TYPE_MOVE_SEND, holder), MACH_PORT_DEAD);
	/* one whose owner is the receiver */
	name = give_send_to(holder, other, owner);
	expect_ok(destroy_at(holder, other));
	expect_eq(give(owner, name, MACH_MSG_TYPE_MOVE_SEND, holder), MACH_PORT_DEAD);
}

/* The message is on its way or queued when the port dies: it goes, with what it carries. */
static void a_message_to_a_port_that_dies_is_dropped_with_its_rights(struct process *owner, struct process *holder)
{
	mach_port_t port = port_at(owner), name = give_send_to(owner, port, holder),
		    carried = port_with_send_at(holder);
	struct letter l;

	expect_ok(watch_at(holder, NO_SENDERS, carried));
	letter_to(&l, name, MACH_MSG_TYPE_COPY_SEND, 0);
	letter_add_port(&l, carried, MACH_MSG_TYPE_MOVE_SEND);
	expect_ok(post_at(holder, &l));
	expect_ok(destroy_at(owner, port));
	expect_notice_at(holder, NO_SENDERS, carried);
	await(type_at(holder, name) == MACH_PORT_TYPE_DEAD_NAME);
	expect_ok(deallocate_at(holder, name));
	expect_ok(destroy_at(holder, carried));
}

static void a_message_through_a_name_that_has_just_died_is_dropped(struct process *owner, struct process *holder)
{
	for (int i = 0; i < 20; i++) {
		mach_port_t port = port_at(owner), name = give_send_to(owner, port, holder);
		mach_msg_return_t r;

		expect_ok(destroy_at(owner, port));
		r = send_id_at(holder, name, 1);
		assert_true(r == MACH_MSG_SUCCESS || r == MACH_SEND_INVALID_DEST);
		await(type_at(holder, name) == MACH_PORT_TYPE_DEAD_NAME);
		expect_ok(deallocate_at(holder, name));
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		pair_tests(the_same_right_twice_is_one_name),
		pair_tests(rights_coalesce_whichever_way_they_come),
		pair_tests(a_right_that_comes_home_is_the_port_itself),
		pair_tests(send_once_rights_have_names_of_their_own),
		pair_tests(copies_moves_and_ends_are_counted),
		pair_tests(two_tasks_of_a_process_hold_two_rights),
		pair_tests(a_right_in_a_queued_message_is_counted),
		pair_tests(the_death_of_a_port_makes_dead_names),
		pair_tests(a_right_to_a_dead_port_arrives_as_a_dead_name),
		pair_tests(a_message_to_a_port_that_dies_is_dropped_with_its_rights),
		pair_tests(a_message_through_a_name_that_has_just_died_is_dropped),
	};

	return family_main(argc, argv, tests);
}
