/* SPDX-License-Identifier: MIT */
/* What the end of a process has for consequences in others, however it ends. */
#include "family.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- ways to end -------------------------------------------------------------------------------------------------- */

enum way { KILLED, TERMINATED, RETURNS, EXITS, EXECUTES, CRASHES, WAYS };

static void do_exit(long *n)
{
	(void)n;
	exit(0);
}

static void do_execute(long *n)
{
	(void)n;
	execl("/bin/sleep", "sleep", "0", (char *)NULL);
	_exit(1);
}

static void do_crash(long *n)
{
	(void)n;
	signal(SIGABRT, SIG_DFL);
	abort();
}

/* It has ended, or will soon: nobody waits but for its pid. */
static void end_by(struct process *p, enum way way)
{
	verb *const verbs[WAYS] = { [EXITS] = do_exit, [EXECUTES] = do_execute, [CRASHES] = do_crash };

	if (way == KILLED)
		process_kill(p, SIGKILL);
	else if (way == TERMINATED)
		process_kill(p, SIGTERM);
	else if (way == RETURNS)
		process_end(p);
	if (!verbs[way])
		return;
	begin_ask(p, 9, verbs[way], (long[NUMBERS]){ 0 });
	process_wait(p);
}

/* The first dies; the second, its parent or its sibling, sees it. */
struct death {
	struct pair pair;
	void (*rule)(struct process *dying, struct process *other, enum way way);
	bool by_sibling;
};

static void death_run(void **state)
{
	struct death *death = *state;

	for (enum way way = 0; way < WAYS; way++) {
		struct process *dying = process_start(), *sibling = process_start();

		death->rule(dying, death->by_sibling ? sibling : self, way);
		if (!dying->has_ended)
			process_end(dying);
		process_end(sibling);
		processes_forget();
	}
}

#define death_test(rule, how, by_sibling) \
	{ \
#rule " (" how ")", death_run, family_setup, family_teardown, &(struct death) \
		{ \
			{ NULL, 0, 0 }, rule, by_sibling \
		} \
	}
#define death_tests(rule) death_test(rule, "its parent sees", false), death_test(rule, "its sibling sees", true)

/* ---- what others held of it --------------------------------------------------------------------------------------- */

static void its_ports_become_dead_names(struct process *dying, struct process *other, enum way way)
{
	mach_port_t name = give_send_to(dying, port_at(dying), other), once;

	once = give_send_once_to(dying, port_at(dying), other);
	expect_ok(watch_at(other, DEAD_NAME, name));
	end_by(dying, way);
	expect_notice_at(other, DEAD_NAME, name);
	expect_eq(type_at(other, name), MACH_PORT_TYPE_DEAD_NAME);
	await(type_at(other, once) == MACH_PORT_TYPE_DEAD_NAME);
	expect_result(send_id_at(other, name, 1), MACH_SEND_INVALID_DEST);
	expect_ok(deallocate_at(other, name));
	expect_ok(deallocate_at(other, once));
}

static void its_task_becomes_a_dead_name(struct process *dying, struct process *other, enum way way)
{
	mach_port_t task = dying->task;

	if (other == self)
		expect_ok(mod_refs_at(self, task, MACH_PORT_RIGHT_SEND, 1));
	else
		task = give(self, task, MACH_MSG_TYPE_COPY_SEND, other);
	expect_ok(watch_at(other, DEAD_NAME, task));
	end_by(dying, way);
	expect_notice_at(other, DEAD_NAME, task);
	expect_ok(deallocate_at(other, task));
}

static void senders_blocked_on_its_queue_are_released(struct process *dying, struct process *other, enum way way)
{
	mach_port_t name = give_send_to(dying, port_at(dying), other);
	struct letter l;

	for (unsigned i = 0; i < MACH_PORT_QLIMIT_DEFAULT; i++)
		expect_ok(send_id_at(other, name, 1));
	letter_to(&l, name, MACH_MSG_TYPE_COPY_SEND, 2);
	begin_send_at(other, 1, &l, 0, 0);
	await_sleep_at(other, 1);
	end_by(dying, way);
	expect_ok(end_message_at(other, 1, NULL));
	expect_ok(deallocate_at(other, name));
}

static void rights_queued_at_it_are_given_back(struct process *dying, struct process *other, enum way way)
{
	mach_port_t name = give_send_to(dying, port_at(dying), other), port = port_at(other), moved = port_at(other);
	struct letter l;

	letter_to(&l, name, MACH_MSG_TYPE_COPY_SEND, 1);
	letter_reply_to(&l, port, MACH_MSG_TYPE_MAKE_SEND_ONCE);
	letter_add_port(&l, port, MACH_MSG_TYPE_MAKE_SEND);
	expect_ok(post_at(other, &l));
	letter_to(&l, name, MACH_MSG_TYPE_COPY_SEND, 1);
	letter_add_port(&l, moved, MACH_MSG_TYPE_MOVE_RECEIVE);
	expect_ok(post_at(other, &l));
	expect_ok(watch_at(other, NO_SENDERS, port));
	end_by(dying, way);
	expect_message_at(other, port, MACH_NOTIFY_SEND_ONCE);
	expect_notice_at(other, NO_SENDERS, port);
	expect_ok(deallocate_at(other, name));
	expect_ok(destroy_at(other, port));
}

/* ---- what it held of others --------------------------------------------------------------------------------------- */

static void its_send_rights_are_given_back(struct process *dying, struct process *other, enum way way)
{
	mach_port_t port = port_at(other);

	give_send_to(other, port, dying);
	expect_ok(watch_at(other, NO_SENDERS, port));
	expect_no_notice_at(other);
	end_by(dying, way);
	expect_notice_at(other, NO_SENDERS, port);
	await(srights_at(other, port) == 0);
	expect_ok(destroy_at(other, port));
}

static void its_send_once_rights_tell_so(struct process *dying, struct process *other, enum way way)
{
	mach_port_t port = port_at(other);

	give_send_once_to(other, port, dying);
	give_send_once_to(other, port, dying);
	begin_receive_at(other, 1, port, 0, 0); /* as one who waits for a reply */
	await_sleep_at(other, 1);
	end_by(dying, way);
	expect_ok(end_message_at(other, 1, NULL));
	expect_message_at(other, port, MACH_NOTIFY_SEND_ONCE);
	expect_no_message_at(other, port);
	expect_ok(destroy_at(other, port));
}

struct burst {
	mach_port_t to, carried;
	int n;
};

static void do_send_burst(void *arg)
{
	struct burst *burst = arg;

	for (int i = 0; i < burst->n; i++) {
		struct letter l;

		letter_to(&l, burst->to, MACH_MSG_TYPE_COPY_SEND, i);
		letter_add_port(&l, burst->carried, MACH_MSG_TYPE_MAKE_SEND);
		expect_ok(post(here(), &l));
	}
}

static void messages_that_it_had_sent_arrive(struct process *dying, struct process *other, enum way way)
{
	mach_port_t port = port_at(other), dead;
	struct burst burst = { give_send_to(other, port, dying), port_at(dying), MACH_PORT_QLIMIT_DEFAULT };

	at(dying, do_send_burst, &burst, sizeof burst);
	end_by(dying, way);
	await(srights_at(other, port) == 0 || status_at(other, port).mps_msgcount == MACH_PORT_QLIMIT_DEFAULT);
	for (int i = 0; i < burst.n; i++) {
		struct letter l;

		expect_ok(receive_at(other, port, &l));
		expect_eq(l.header.msgh_id, i);
		dead = letter_port(&l);
		await(dead == MACH_PORT_DEAD || type_at(other, dead) == MACH_PORT_TYPE_DEAD_NAME);
		if (dead != MACH_PORT_DEAD)
			expect_ok(deallocate_at(other, dead));
	}
	await(srights_at(other, port) == 0);
	expect_ok(destroy_at(other, port));
}

/* A right that only it kept: the port of a third. */
static void what_only_it_held_is_released(struct process *dying, struct process *other, enum way way)
{
	struct process *third = process_start();
	mach_port_t port = port_at(third), name = give_send_to(third, port, other);

	give(other, name, MACH_MSG_TYPE_MOVE_SEND, dying);
	expect_ok(watch_at(third, NO_SENDERS, port));
	end_by(dying, way);
	expect_notice_at(third, NO_SENDERS, port);
	process_end(third);
}

/* ---- receive rights ----------------------------------------------------------------------------------------------- */

static void do_request(long *n)
{
	mach_port_t previous;

	expect_ok(mach_port_request_notification(mach_task_self(), (mach_port_t)n[0], (mach_msg_id_t)n[1], 0,
						 (mach_port_t)n[2], (mach_msg_type_name_t)n[3], &previous));
	n[0] = previous;
}

static mach_port_t ask_for_port(struct process *owner, mach_port_t port, struct process *heir)
{
	mach_port_t notify = port_at(heir), right = heir == owner ? notify : give_send_once_to(heir, notify, owner);
	mach_msg_type_name_t disposition = heir == owner ? MACH_MSG_TYPE_MAKE_SEND_ONCE : MACH_MSG_TYPE_MOVE_SEND_ONCE;

	expect_eq(ask(owner, do_request, port, PORT_DESTROYED, right, disposition), MACH_PORT_NULL);
	return notify;
}

static mach_port_t inherited(struct process *heir, mach_port_t notify)
{
	struct letter l;

	expect_ok(receive_at(heir, notify, &l));
	expect_eq(l.header.msgh_id, PORT_DESTROYED);
	expect_no_message_at(heir, notify);
	expect_ok(destroy_at(heir, notify));
	return letter_port(&l);
}

static void whoever_asked_for_its_port_gets_it(struct process *dying, struct process *other, enum way way)
{
	mach_port_t port = port_with_send_at(dying), notify = ask_for_port(dying, port, other), back;

	end_by(dying, way);
	back = inherited(other, notify);
	expect_eq(type_at(other, back), MACH_PORT_TYPE_RECEIVE);
	expect_eq(srights_at(other, back), 0);
	expect_ok(destroy_at(other, back));
}

static void an_heir_keeps_its_names(struct process *dying, struct process *other, enum way way)
{
	mach_port_t port = port_at(dying), notify = ask_for_port(dying, port, other);
	mach_port_t held = give_send_to(dying, port, other);
	struct letter l;

	expect_ok(watch_at(other, DEAD_NAME, held));
	for (unsigned i = 0; i < MACH_PORT_QLIMIT_DEFAULT; i++)
		expect_ok(send_id_at(other, held, 1));
	letter_to(&l, held, MACH_MSG_TYPE_COPY_SEND, 2);
	begin_send_at(other, 1, &l, 0, 0);
	await_sleep_at(other, 1);
	end_by(dying, way);
	expect_eq(inherited(other, notify), held);
	expect_eq(type_at(other, held) & MACH_PORT_TYPE_PORT_RIGHTS, MACH_PORT_TYPE_SEND_RECEIVE);
	expect_ok(end_message_at(other, 1, NULL));
	expect_message_at(other, held, 2); /* what was queued died with the process */
	expect_ok(send_id_at(other, held, 3));
	expect_message_at(other, held, 3);
	expect_no_notice_at(other);
	expect_ok(end_receive_at(other, held));
	expect_notice_at(other, DEAD_NAME, held);
	expect_ok(deallocate_at(other, held));
}

/* The parent lends a port to a service, which dies: it gets it back, and clients that had not followed yet or had. */
static void a_port_that_was_lent_comes_back(struct process *dying, struct process *other, enum way way)
{
	mach_port_t port = port_with_send_at(other), notify = ask_for_port(other, port, other), moved;

	moved = give(other, port, MACH_MSG_TYPE_MOVE_RECEIVE, dying);
	expect_ok(send_id_at(other, port, 1));
	expect_message_at(dying, moved, 1);
	end_by(dying, way);
	expect_eq(inherited(other, notify), port);
	expect_ok(send_id_at(other, port, 2));
	expect_message_at(other, port, 2);
	expect_ok(destroy_at(other, port));
}

static void a_request_that_changed_has_no_heir(struct process *dying, struct process *other, enum way way)
{
	mach_port_t port = port_at(dying), notify = ask_for_port(dying, port, other), held, previous;

	held = give_send_to(dying, port, other);
	previous =
		(mach_port_t)ask(dying, do_request, port, PORT_DESTROYED, MACH_PORT_NULL, MACH_MSG_TYPE_MOVE_SEND_ONCE);
	expect_eq(type_at(dying, previous), MACH_PORT_TYPE_SEND_ONCE);
	expect_ok(deallocate_at(dying, previous));
	expect_message_at(other, notify, MACH_NOTIFY_SEND_ONCE);
	end_by(dying, way);
	await(type_at(other, held) == MACH_PORT_TYPE_DEAD_NAME);
	expect_no_message_at(other, notify);
	expect_ok(deallocate_at(other, held));
	expect_ok(destroy_at(other, notify));
}

/* ---- in the middle of a move -------------------------------------------------------------------------------------- */

static void do_move_and_die(long *n)
{
	expect_ok(send_moving_receive(here(), (mach_port_t)n[0], (mach_port_t)n[1]));
	kill(getpid(), SIGKILL);
}

/* As a program does that hands over its port and is done. */
static void holders_follow_though_the_old_home_dies(void **state)
{
	(void)state;
	for (int i = 0; i < 12; i++) {
		struct process *old, *new, *holder;
		mach_port_t port, held, moved;

		old = process_start();
		new = process_start();
		holder = i % 2 ? process_start() : self;
		port = port_at(old);
		held = give_send_to(old, port, holder);
		for (int j = 0; j < 3; j++)
			expect_ok(send_id_at(holder, held, j));
		await(status_at(old, port).mps_msgcount == 3);
		begin_ask(old, 9, do_move_and_die, (long[NUMBERS]){ old->mail_to[new->number], port });
		process_wait(old);
		moved = take_mail(new);
		for (int j = 0; j < 3; j++)
			expect_message_at(new, moved, j);
		expect_eq(type_at(holder, held), MACH_PORT_TYPE_SEND);
		expect_ok(send_id_at(holder, held, 7));
		expect_message_at(new, moved, 7);
		await(srights_at(new, moved) == 1);
		expect_ok(watch_at(new, NO_SENDERS, moved));
		expect_ok(deallocate_at(holder, held));
		expect_notice_at(new, NO_SENDERS, moved);
		expect_ok(destroy_at(new, moved));
		process_end(new);
		if (holder != self)
			process_end(holder);
		processes_forget();
	}
}

static void do_move(long *n)
{
	expect_ok(send_moving_receive(here(), (mach_port_t)n[0], (mach_port_t)n[1]));
}

static void holders_see_the_new_home_die(void **state)
{
	(void)state;
	for (int i = 0; i < 12; i++) {
		struct process *old, *new, *holder;
		mach_port_t port, held;

		old = process_start();
		new = process_start();
		holder = i % 2 ? process_start() : self;
		port = port_with_send_at(old);
		held = give_send_to(old, port, holder);
		ask(old, do_move, old->mail_to[new->number], port);
		if (i % 4 > 1)
			take_mail(new);
		process_kill(new, SIGKILL);
		await(type_at(holder, held) == MACH_PORT_TYPE_DEAD_NAME);
		await(type_at(old, port) == MACH_PORT_TYPE_DEAD_NAME);
		expect_ok(deallocate_at(holder, held));
		process_end(old);
		if (holder != self)
			process_end(holder);
		processes_forget();
	}
}

static void a_holder_that_dies_is_not_waited_for(void **state)
{
	(void)state;
	for (int i = 0; i < 12; i++) {
		struct process *old = process_start(), *new = process_start(), *holder = process_start();
		mach_port_t port = port_at(old), moved;

		give_send_to(old, port, holder);
		if (i % 2) {
			ask(old, do_move, old->mail_to[new->number], port);
			process_kill(holder, SIGKILL);
			moved = take_mail(new);
		} else {
			kill(holder->pid, SIGSTOP);
			moved = give(old, port, MACH_MSG_TYPE_MOVE_RECEIVE, new);
			process_kill(holder, SIGKILL);
		}
		await(srights_at(new, moved) == 0);
		moved = give(new, moved, MACH_MSG_TYPE_MOVE_RECEIVE, old);
		expect_ok(destroy_at(old, moved));
		process_end(new);
		process_end(old);
		processes_forget();
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		death_tests(its_ports_become_dead_names),
		death_tests(its_task_becomes_a_dead_name),
		death_tests(senders_blocked_on_its_queue_are_released),
		death_tests(rights_queued_at_it_are_given_back),
		death_tests(its_send_rights_are_given_back),
		death_tests(its_send_once_rights_tell_so),
		death_tests(messages_that_it_had_sent_arrive),
		death_tests(what_only_it_held_is_released),
		death_tests(whoever_asked_for_its_port_gets_it),
		death_tests(an_heir_keeps_its_names),
		death_tests(a_port_that_was_lent_comes_back),
		death_tests(a_request_that_changed_has_no_heir),
		family_test(holders_follow_though_the_old_home_dies),
		family_test(holders_see_the_new_home_die),
		family_test(a_holder_that_dies_is_not_waited_for),
	};

	return family_main(argc, argv, tests);
}
