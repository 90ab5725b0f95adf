/* SPDX-License-Identifier: MIT */
/* Receive rights that move from process to process, with all that belongs to them. */
#include "trio.h"

#include <signal.h>

enum { ROUNDS = 400, SENDERS = 3, FULL = MACH_PORT_QLIMIT_DEFAULT };

static mach_port_t move_receive(struct process *from, mach_port_t port, struct process *to)
{
	return give(from, port, MACH_MSG_TYPE_MOVE_RECEIVE, to);
}

/* ---- what stays, and what goes along ------------------------------------------------------------------------------ */

static void names_of_holders_stay_valid(struct process *old, struct process *new, struct process *holder)
{
	mach_port_t port = port_with_send_at(old), held = give_send_to(old, port, holder), moved;

	moved = move_receive(old, port, new);
	expect_eq(type_at(old, port), MACH_PORT_TYPE_SEND);
	expect_eq(type_at(new, moved), MACH_PORT_TYPE_RECEIVE);
	expect_eq(type_at(holder, held), MACH_PORT_TYPE_SEND);
	expect_ok(send_id_at(old, port, 1));
	expect_message_at(new, moved, 1);
	expect_ok(send_id_at(holder, held, 2));
	expect_message_at(new, moved, 2);
	await(srights_at(new, moved) == 2);
	expect_ok(deallocate_at(old, port));
	await(srights_at(new, moved) == 1);
	expect_ok(deallocate_at(holder, held));
	await(srights_at(new, moved) == 0);
	expect_ok(destroy_at(new, moved));
}

static void queued_messages_go_along(struct process *old, struct process *new, struct process *holder)
{
	mach_port_t port = port_with_send_at(old), held = give_send_to(old, port, holder), moved;

	for (int i = 0; i < 4; i++)
		expect_ok(send_id_at(holder, held, i));
	await(status_at(old, port).mps_msgcount == 4);
	moved = move_receive(old, port, new);
	expect_ok(send_id_at(holder, held, 4));
	for (int i = 0; i < 5; i++)
		expect_message_at(new, moved, i);
	expect_no_message_at(new, moved);
	expect_ok(deallocate_at(old, port));
	expect_ok(deallocate_at(holder, held));
	await(srights_at(new, moved) == 0);
	expect_ok(destroy_at(new, moved));
}

static void do_post_all_kinds(long *n)
{
	char bytes[5000];
	struct letter l;

	memset(bytes, 'x', sizeof bytes);
	letter_to(&l, (mach_port_t)n[0], MACH_MSG_TYPE_COPY_SEND, 1);
	letter_add_port(&l, (mach_port_t)n[1], MACH_MSG_TYPE_MAKE_SEND);
	expect_ok(post(here(), &l));
	letter_to(&l, (mach_port_t)n[0], MACH_MSG_TYPE_COPY_SEND, 2);
	letter_add_memory(&l, bytes, sizeof bytes, false);
	expect_ok(post(here(), &l));
	letter_to(&l, (mach_port_t)n[0], MACH_MSG_TYPE_COPY_SEND, 3);
	letter_add_port(&l, (mach_port_t)n[2], MACH_MSG_TYPE_MOVE_RECEIVE);
	expect_ok(post(here(), &l));
	letter_to(&l, (mach_port_t)n[0], MACH_MSG_TYPE_COPY_SEND, 4);
	letter_reply_to(&l, (mach_port_t)n[1], MACH_MSG_TYPE_MAKE_SEND_ONCE);
	expect_ok(post(here(), &l));
}

static void do_fetch_memory(long *n)
{
	unsigned char *bytes;
	struct letter l;
	unsigned size;

	expect_ok(fetch(here(), (mach_port_t)n[0], &l));
	expect_eq(l.header.msgh_id, 2);
	bytes = letter_memory(&l, &size);
	expect_eq(size, 5000);
	expect_eq(bytes[0], 'x');
	expect_eq(bytes[4999], 'x');
	destroy_letter(here(), &l);
}

/* Rights to a third's port, memory, a receive right with a message in its own queue, and a reply right. */
static void rights_in_queued_messages_go_along(struct process *old, struct process *new, struct process *holder)
{
	mach_port_t port = port_at(old), held = give_send_to(old, port, holder), third = port_at(holder);
	mach_port_t inner = port_with_send_at(holder), moved, name;
	struct letter l;

	expect_ok(send_id_at(holder, inner, 77));
	ask(holder, do_post_all_kinds, held, third, inner);
	moved = move_receive(old, port, new);

	expect_ok(receive_at(new, moved, &l));
	name = letter_port(&l);
	expect_ok(send_id_at(new, name, 5));
	expect_message_at(holder, third, 5);
	expect_ok(deallocate_at(new, name));
	await(status_at(new, moved).mps_msgcount == 3);
	ask(new, do_fetch_memory, moved);
	expect_ok(receive_at(new, moved, &l));
	name = letter_port(&l);
	expect_eq(type_at(new, name), MACH_PORT_TYPE_RECEIVE);
	expect_message_at(new, name, 77);
	expect_ok(send_id_at(holder, inner, 78));
	expect_message_at(new, name, 78);
	expect_ok(deallocate_at(holder, inner));
	await(srights_at(new, name) == 0);
	expect_ok(destroy_at(new, name));
	expect_ok(receive_at(new, moved, &l));
	letter_to(&l, l.header.msgh_remote_port, MACH_MSG_TYPE_MOVE_SEND_ONCE, 6);
	expect_ok(post_at(new, &l));
	expect_message_at(holder, third, 6);
	await(srights_at(holder, third) == 0);
	expect_ok(deallocate_at(holder, held));
	expect_ok(destroy_at(new, moved));
	expect_ok(destroy_at(holder, third));
}

static void do_request(long *n)
{
	mach_port_t previous;

	expect_ok(mach_port_request_notification(mach_task_self(), (mach_port_t)n[0], (mach_msg_id_t)n[1], 0,
						 (mach_port_t)n[2], MACH_MSG_TYPE_MOVE_SEND_ONCE, &previous));
	expect_eq(previous, MACH_PORT_NULL);
}

/* For @port of @owner, to be told to a port of @to, which is returned. */
static mach_port_t request_for(struct process *owner, mach_port_t port, mach_msg_id_t id, struct process *to)
{
	mach_port_t notify = port_at(to);

	ask(owner, do_request, port, id, give_send_once_to(to, notify, owner));
	return notify;
}

static void a_no_senders_request_goes_along(struct process *old, struct process *new, struct process *third)
{
	mach_port_t port = port_with_send_at(old), notify = request_for(old, port, NO_SENDERS, third), moved;

	moved = move_receive(old, port, new);
	expect_no_message_at(third, notify);
	expect_ok(deallocate_at(old, port));
	expect_message_at(third, notify, NO_SENDERS);
	expect_ok(destroy_at(new, moved));
	expect_no_message_at(third, notify);
	expect_ok(destroy_at(third, notify));
}

static void a_port_destroyed_request_goes_along(struct process *old, struct process *new, struct process *third)
{
	mach_port_t port = port_with_send_at(old), notify = request_for(old, port, PORT_DESTROYED, third), moved, back;
	struct letter l;

	moved = move_receive(old, port, new);
	expect_ok(send_id_at(old, port, 1));
	await(status_at(new, moved).mps_msgcount == 1);
	expect_ok(destroy_at(new, moved));
	expect_ok(receive_at(third, notify, &l));
	expect_eq(l.header.msgh_id, PORT_DESTROYED);
	back = letter_port(&l);
	expect_message_at(third, back, 1);
	expect_ok(send_id_at(old, port, 2));
	expect_message_at(third, back, 2);
	expect_ok(deallocate_at(old, port));
	await(srights_at(third, back) == 0);
	expect_ok(destroy_at(third, back));
	expect_ok(destroy_at(third, notify));
}

/* ---- to somebody who knows it ------------------------------------------------------------------------------------- */

static void it_comes_to_the_name_that_is_held(struct process *old, struct process *new, struct process *holder)
{
	mach_port_t port = port_at(old), held = give_send_to(old, port, new), third = give_send_to(old, port, holder);

	expect_eq(move_receive(old, port, new), held);
	expect_eq(type_at(new, held), MACH_PORT_TYPE_SEND_RECEIVE);
	expect_ok(send_id_at(new, held, 1));
	expect_message_at(new, held, 1);
	await(srights_at(new, held) == 2);
	expect_eq(move_receive(new, held, holder), third);
	expect_eq(type_at(new, held), MACH_PORT_TYPE_SEND);
	expect_ok(send_id_at(new, held, 2));
	expect_message_at(holder, third, 2);
	expect_ok(deallocate_at(new, held));
	await(srights_at(holder, third) == 1);
	expect_ok(destroy_at(holder, third));
}

static void it_comes_home_again(struct process *old, struct process *new, struct process *holder)
{
	mach_port_t port = port_with_send_at(old), held = give_send_to(old, port, holder), moved;

	for (int i = 0; i < 20; i++) {
		expect_ok(send_id_at(old, port, 1));
		expect_ok(send_id_at(holder, held, 2));
		moved = move_receive(old, port, new);
		expect_ok(send_id_at(old, port, 3));
		expect_eq(move_receive(new, moved, old), port);
		expect_eq(type_at(old, port), MACH_PORT_TYPE_SEND_RECEIVE);
		await(status_at(old, port).mps_msgcount == 3);
		for (int j = 0; j < 3; j++) {
			struct letter l;

			expect_ok(receive_at(old, port, &l));
		}
	}
	await(srights_at(old, port) == 2);
	expect_ok(deallocate_at(holder, held));
	await(srights_at(old, port) == 1);
	expect_ok(destroy_at(old, port));
}

static void it_moves_on_at_once(struct process *a, struct process *b, struct process *c)
{
	mach_port_t port = port_at(a), at_b = give_send_to(a, port, b), at_c = give_send_to(a, port, c), name = port;
	struct process *const p[] = { a, b, c };

	for (int i = 0; i < 30; i++)
		name = move_receive(p[i % 3], name, p[(i + 1) % 3]);
	expect_eq(name, type_at(a, name) == MACH_PORT_TYPE_RECEIVE ? name : 0);
	expect_ok(send_id_at(b, at_b, 1));
	expect_message_at(a, name, 1);
	expect_ok(send_id_at(c, at_c, 2));
	expect_message_at(a, name, 2);
	await(srights_at(a, name) == 2);
	expect_ok(deallocate_at(b, at_b));
	expect_ok(deallocate_at(c, at_c));
	await(srights_at(a, name) == 0);
	expect_ok(destroy_at(a, name));
}

/* ---- who sends meanwhile ------------------------------------------------------------------------------------------ */

struct series {
	mach_port_t to;
	int from, n;
};

static void do_send_series(void *arg)
{
	struct series *series = arg;

	for (int i = 0; i < series->n; i++) {
		struct letter l;

		letter_to(&l, series->to, MACH_MSG_TYPE_COPY_SEND, series->from + i);
		expect_ok(mach_msg(&l.header, MACH_SEND_MSG, l.size, 0, MACH_PORT_NULL, 0, MACH_PORT_NULL));
	}
}

struct arrivals {
	mach_port_t port;
	int n_wanted, n[SENDERS];
};

static void do_receive_some(void *arg)
{
	struct arrivals *a = arg;

	for (int i = 0; i < a->n_wanted; i++) {
		struct letter l;
		int sender;

		if (mach_msg(&l.header, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof l.bytes, a->port, 5, MACH_PORT_NULL))
			return;
		sender = l.header.msgh_id / 1000000;
		assert_in_range(sender, 0, SENDERS - 1);
		expect_eq(l.header.msgh_id % 1000000, a->n[sender]++);
	}
}

/* Each of three sends numbered messages, while the right to receive them goes from one to the next. */
static void messages_come_once_and_in_order(struct process *a, struct process *b, struct process *c)
{
	struct process *const p[] = { a, b, c };
	mach_port_t port = port_with_send_at(a), to[] = { port, give_send_to(a, port, b), give_send_to(a, port, c) };
	struct arrivals arrivals = { .port = port };
	int home = 0;

	for (int i = 0; i < SENDERS; i++) {
		struct series series = { to[i], 1000000 * i, ROUNDS };

		begin_at(p[i], 1, do_send_series, &series, sizeof series);
	}
	while (arrivals.n[0] + arrivals.n[1] + arrivals.n[2] < SENDERS * ROUNDS) {
		arrivals.n_wanted = 13;
		at(p[home], do_receive_some, &arrivals, sizeof arrivals);
		arrivals.port = move_receive(p[home], arrivals.port, p[(home + 1) % 3]);
		home = (home + 1) % 3;
		expect_eq(arrivals.port, to[home]);
	}
	for (int i = 0; i < SENDERS; i++) {
		end_at(p[i], 1, NULL, 0);
		expect_eq(arrivals.n[i], ROUNDS);
	}
	expect_no_message_at(p[home], to[home]);
	await(srights_at(p[home], to[home]) == 3);
	for (int i = 0; i < SENDERS; i++)
		if (i != home)
			expect_ok(deallocate_at(p[i], to[i]));
	await(srights_at(p[home], to[home]) == 1);
	expect_ok(destroy_at(p[home], to[home]));
}

static void blocked_senders_go_on_at_the_new_home(struct process *old, struct process *new, struct process *holder)
{
	mach_port_t port = port_with_send_at(old), held = give_send_to(old, port, holder), moved;
	struct letter l;

	for (int i = 0; i < FULL; i++)
		expect_ok(send_id_at(old, port, i));
	letter_to(&l, port, MACH_MSG_TYPE_COPY_SEND, 100);
	begin_send_at(old, 1, &l, 0, 0);
	await_sleep_at(old, 1);
	moved = move_receive(old, port, new);
	await(status_at(new, moved).mps_msgcount == FULL);
	await_sleep_at(old, 1);
	expect_message_at(new, moved, 0);
	expect_ok(end_message_at(old, 1, NULL));
	for (int i = 1; i < FULL; i++)
		expect_message_at(new, moved, i);
	expect_message_at(new, moved, 100);
	expect_ok(deallocate_at(old, port));
	expect_ok(deallocate_at(holder, held));
	await(srights_at(new, moved) == 0);
	expect_ok(destroy_at(new, moved));
}

static void a_blocked_sender_sees_the_right_come(struct process *old, struct process *new, struct process *holder)
{
	mach_port_t port = port_at(old), held = give_send_to(old, port, new);
	struct letter l;

	(void)holder;
	for (int i = 0; i < FULL; i++)
		expect_ok(send_id_at(new, held, i));
	letter_to(&l, held, MACH_MSG_TYPE_COPY_SEND, 100);
	begin_send_at(new, 1, &l, 0, 0);
	await_sleep_at(new, 1);
	expect_eq(move_receive(old, port, new), held);
	await_sleep_at(new, 1);
	expect_message_at(new, held, 0);
	expect_ok(end_message_at(new, 1, NULL));
	for (int i = 1; i < FULL; i++)
		expect_message_at(new, held, i);
	expect_message_at(new, held, 100);
	expect_ok(destroy_at(new, held));
}

static void a_blocked_receiver_is_released(struct process *old, struct process *new, struct process *holder)
{
	mach_port_t port = port_with_send_at(old), held = give_send_to(old, port, holder), moved;

	begin_receive_at(old, 1, port, 0, 0);
	await_sleep_at(old, 1);
	moved = move_receive(old, port, new);
	expect_result(end_message_at(old, 1, NULL), MACH_RCV_PORT_DIED);
	expect_ok(deallocate_at(old, port));
	expect_ok(deallocate_at(holder, held));
	await(srights_at(new, moved) == 0);
	expect_ok(destroy_at(new, moved));
}

/* ---- ends --------------------------------------------------------------------------------------------------------- */

static void it_dies_at_the_new_home(struct process *old, struct process *new, struct process *holder)
{
	mach_port_t port = port_with_send_at(old), held = give_send_to(old, port, holder), moved;

	expect_ok(watch_at(holder, DEAD_NAME, held));
	expect_ok(watch_at(old, DEAD_NAME, port));
	moved = move_receive(old, port, new);
	expect_ok(destroy_at(new, moved));
	expect_notice_at(holder, DEAD_NAME, held);
	expect_notice_at(old, DEAD_NAME, port);
	expect_eq(type_at(holder, held), MACH_PORT_TYPE_DEAD_NAME);
	expect_ok(deallocate_at(holder, held));
	expect_ok(deallocate_at(old, port));
}

static void no_senders_waits_for_all_who_follow(struct process *old, struct process *new, struct process *holder)
{
	mach_port_t port = port_at(old), held = give_send_to(old, port, holder), moved;

	for (int i = 0; i < 20; i++) {
		moved = move_receive(old, port, new);
		expect_ok(watch_at(new, NO_SENDERS, moved));
		expect_no_notice_at(new);
		expect_ok(deallocate_at(holder, held));
		expect_notice_at(new, NO_SENDERS, moved);
		held = give_send_to(new, moved, holder);
		port = move_receive(new, moved, old);
	}
	expect_ok(deallocate_at(holder, held));
	await(srights_at(old, port) == 0);
	expect_ok(destroy_at(old, port));
}

static void do_post_memory(long *n)
{
	static char bytes[4 << 16];
	struct letter l;

	letter_to(&l, (mach_port_t)n[0], MACH_MSG_TYPE_COPY_SEND, (int)n[1]);
	letter_add_memory(&l, bytes, sizeof bytes, false);
	expect_ok(post(here(), &l));
}

/* So it hears later that the port has moved than the new home does, who offers its own. */
static void a_holder_is_stopped_and_has_much_to_read(struct process *old, struct process *new, struct process *holder)
{
	mach_port_t port = port_with_send_at(old), held = give_send_to(old, port, holder), moved;
	mach_port_t box = port_at(holder), to_box = give_send_to(holder, box, old), known = port_at(holder);
	struct letter l;

	expect_ok(deallocate_at(new, give_send_to(holder, known, new))); /* those two are linked */
	for (int i = 0; i < 4; i++) { /* fewer than the queue holds: nobody there says how much room there is */
		kill(holder->pid, SIGSTOP);
		ask(old, do_post_memory, to_box, i);
		letter_to(&l, old->mail_to[new->number], MACH_MSG_TYPE_COPY_SEND, 0);
		letter_add_port(&l, port, MACH_MSG_TYPE_MOVE_RECEIVE);
		expect_ok(post_at(old, &l));
		kill(holder->pid, SIGCONT);
		moved = take_mail(new);
		expect_ok(send_id_at(holder, held, i));
		expect_message_at(new, moved, i);
		expect_message_at(holder, box, i);
		port = move_receive(new, moved, old);
	}
	expect_ok(destroy_at(old, port));
	expect_ok(deallocate_at(holder, held));
	expect_ok(deallocate_at(old, to_box));
	expect_ok(destroy_at(holder, box));
	expect_ok(destroy_at(holder, known));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		trio_tests(names_of_holders_stay_valid),
		trio_tests(queued_messages_go_along),
		trio_tests(rights_in_queued_messages_go_along),
		trio_tests(a_no_senders_request_goes_along),
		trio_tests(a_port_destroyed_request_goes_along),
		trio_tests(it_comes_to_the_name_that_is_held),
		trio_tests(it_comes_home_again),
		trio_tests(it_moves_on_at_once),
		trio_tests(messages_come_once_and_in_order),
		trio_tests(blocked_senders_go_on_at_the_new_home),
		trio_tests(a_blocked_sender_sees_the_right_come),
		trio_tests(a_blocked_receiver_is_released),
		trio_tests(it_dies_at_the_new_home),
		trio_tests(no_senders_waits_for_all_who_follow),
		trio_test(a_holder_is_stopped_and_has_much_to_read, "parent first", 0, 1, 2),
		trio_test(a_holder_is_stopped_and_has_much_to_read, "parent second", 1, 0, 2),
		trio_test(a_holder_is_stopped_and_has_much_to_read, "siblings", 1, 2, 3),
	};

	return family_main(argc, argv, tests);
}
