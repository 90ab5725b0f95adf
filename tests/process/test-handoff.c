/* SPDX-License-Identifier: MIT */
/* Rights to a third process's ports: the giver passes on what the owner will grant to the receiver. */
#include "trio.h"

#include <signal.h>

enum { MANY = 300, ROUNDS = 150 };

static void end_right(struct process *owner, mach_port_t port, struct process *holder, mach_port_t name)
{
	expect_ok(deallocate_at(holder, name));
	await(srights_at(owner, port) == 0);
	expect_ok(destroy_at(owner, port));
}

/* ---- by which way ------------------------------------------------------------------------------------------------- */

static void a_right_in_a_body_is_passed_on(struct process *giver, struct process *owner, struct process *receiver)
{
	mach_port_t port = port_at(owner), given = give_send_to(owner, port, giver);
	mach_port_t name = give(giver, given, MACH_MSG_TYPE_MOVE_SEND, receiver);

	expect_eq(type_at(giver, given), 0);
	expect_eq(type_at(receiver, name), MACH_PORT_TYPE_SEND);
	expect_ok(send_id_at(receiver, name, 7));
	expect_message_at(owner, port, 7);
	await(srights_at(owner, port) == 1);
	end_right(owner, port, receiver, name);
}

static void a_right_that_is_copied_stays(struct process *giver, struct process *owner, struct process *receiver)
{
	mach_port_t port = port_at(owner), given = give_send_to(owner, port, giver);
	mach_port_t name = give(giver, given, MACH_MSG_TYPE_COPY_SEND, receiver);

	await(srights_at(owner, port) == 2);
	expect_ok(deallocate_at(giver, given));
	expect_ok(send_id_at(receiver, name, 7));
	expect_message_at(owner, port, 7);
	await(srights_at(owner, port) == 1);
	end_right(owner, port, receiver, name);
}

static void a_reply_right_is_passed_on(struct process *giver, struct process *owner, struct process *receiver)
{
	mach_port_t port = port_at(owner), given = give_send_once_to(owner, port, giver);
	mach_port_t box = port_at(receiver), to = give_send_to(receiver, box, giver);
	struct letter l;

	letter_to(&l, to, MACH_MSG_TYPE_MOVE_SEND, 3);
	letter_reply_to(&l, given, MACH_MSG_TYPE_MOVE_SEND_ONCE);
	expect_ok(post_at(giver, &l));
	expect_ok(receive_at(receiver, box, &l));
	letter_to(&l, l.header.msgh_remote_port, MACH_MSG_TYPE_MOVE_SEND_ONCE, 4);
	expect_ok(post_at(receiver, &l));
	expect_message_at(owner, port, 4);
	expect_no_message_at(owner, port);
	expect_ok(destroy_at(receiver, box));
	expect_ok(destroy_at(owner, port));
}

struct many {
	mach_port_t port, names[MANY];
};

static void do_make_many(void *arg)
{
	struct many *many = arg;

	for (unsigned i = 0; i < MANY; i++)
		many->names[i] = port_in(here());
}

/* All of them, out of line. */
static void do_send_many(void *arg, mach_msg_type_name_t disposition)
{
	struct many *many = arg;
	mach_port_t *names = many->names;
	struct letter l;

	letter_to(&l, many->port, MACH_MSG_TYPE_COPY_SEND, 5);
	l.header.msgh_bits |= MACH_MSGH_BITS_COMPLEX;
	letter_add_long_type(&l, disposition, 8 * sizeof *names, MANY, false, false);
	letter_add_raw(&l, &names, sizeof names);
	expect_ok(post(here(), &l));
}

static void do_make_and_send_many(void *arg)
{
	do_send_many(arg, MACH_MSG_TYPE_MAKE_SEND);
}

static void do_move_many(void *arg)
{
	do_send_many(arg, MACH_MSG_TYPE_MOVE_SEND);
}

static void do_receive_many(void *arg)
{
	struct many *many = arg;
	struct letter l;
	unsigned size;
	void *names;

	expect_ok(mach_msg(&l.header, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof l.bytes, many->port, 20000,
			   MACH_PORT_NULL));
	l.size = l.header.msgh_size;
	names = letter_memory(&l, &size);
	expect_eq(size, sizeof many->names);
	memcpy(many->names, names, size);
	expect_ok(vm_deallocate(mach_task_self(), (vm_address_t)names, size));
}

static void do_destroy_many(void *arg)
{
	struct many *many = arg;

	for (unsigned i = 0; i < MANY; i++)
		expect_ok(mach_port_destroy(mach_task_self(), many->names[i]));
}

static void do_call_many(void *arg)
{
	struct many *many = arg;

	for (unsigned i = 0; i < MANY; i++)
		expect_ok(send_id(here(), many->names[i], (int)i));
}

static void do_answer_many(void *arg)
{
	struct many *many = arg;

	for (unsigned i = 0; i < MANY; i++) {
		struct letter l;

		expect_ok(mach_msg(&l.header, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof l.bytes, many->names[i], 20000,
				   MACH_PORT_NULL));
		expect_eq(l.header.msgh_id, i);
	}
}

static void many_rights_are_passed_on_in_one_message(struct process *giver, struct process *owner,
						     struct process *receiver)
{
	mach_port_t box[] = { port_at(giver), port_at(receiver) };
	struct many at_owner = { .port = give_send_to(giver, box[0], owner) }, many = { .port = box[0] };
	mach_port_t to_receiver = give_send_to(receiver, box[1], giver);

	at(owner, do_make_many, &at_owner, sizeof at_owner);
	at(owner, do_make_and_send_many, &at_owner, sizeof at_owner);
	at(giver, do_receive_many, &many, sizeof many);
	many.port = to_receiver;
	at(giver, do_move_many, &many, sizeof many);
	many.port = box[1];
	at(receiver, do_receive_many, &many, sizeof many);
	at(receiver, do_call_many, &many, sizeof many);
	at(owner, do_answer_many, &at_owner, sizeof at_owner);
	at(receiver, do_destroy_many, &many, sizeof many);
	at(owner, do_destroy_many, &at_owner, sizeof at_owner);
	expect_ok(deallocate_at(owner, at_owner.port));
	expect_ok(deallocate_at(giver, to_receiver));
	expect_ok(destroy_at(giver, box[0]));
	expect_ok(destroy_at(receiver, box[1]));
}

/* ---- what is known already ---------------------------------------------------------------------------------------- */

static void a_right_that_is_held_already_gets_a_reference(struct process *giver, struct process *owner,
							  struct process *receiver)
{
	mach_port_t port = port_at(owner), held = give_send_to(owner, port, receiver);
	mach_port_t given = give_send_to(owner, port, giver);

	expect_eq(give(giver, given, MACH_MSG_TYPE_MOVE_SEND, receiver), held);
	expect_eq(refs_at(receiver, held, MACH_PORT_RIGHT_SEND), 2);
	await(srights_at(owner, port) == 1);
	expect_ok(deallocate_at(receiver, held));
	end_right(owner, port, receiver, held);
}

static void two_rights_by_two_ways_are_one_name(struct process *giver, struct process *owner, struct process *receiver)
{
	mach_port_t port = port_at(owner), given = give_send_to(owner, port, giver);
	mach_port_t name = give(giver, given, MACH_MSG_TYPE_MOVE_SEND, receiver);

	expect_eq(give_send_to(owner, port, receiver), name);
	expect_eq(refs_at(receiver, name, MACH_PORT_RIGHT_SEND), 2);
	expect_ok(deallocate_at(receiver, name));
	end_right(owner, port, receiver, name);
}

static void a_right_comes_home(struct process *giver, struct process *owner, struct process *receiver)
{
	mach_port_t port = port_at(owner), given = give_send_to(owner, port, giver);
	mach_port_t name = give(giver, given, MACH_MSG_TYPE_MOVE_SEND, receiver);

	expect_eq(give(receiver, name, MACH_MSG_TYPE_MOVE_SEND, owner), port);
	expect_eq(type_at(owner, port), MACH_PORT_TYPE_SEND_RECEIVE);
	await(srights_at(owner, port) == 1);
	end_right(owner, port, owner, port);
}

static void a_right_goes_round(struct process *a, struct process *b, struct process *c)
{
	mach_port_t port = port_at(a), at_b = give_send_to(a, port, b), at_c = MACH_PORT_NULL;

	for (int i = 0; i < 50; i++) {
		at_c = give(b, at_b, MACH_MSG_TYPE_MOVE_SEND, c);
		at_b = give(c, at_c, MACH_MSG_TYPE_MOVE_SEND, b);
	}
	expect_ok(send_id_at(b, at_b, 2));
	expect_message_at(a, port, 2);
	await(srights_at(a, port) == 1);
	end_right(a, port, b, at_b);
}

/* ---- send-once ---------------------------------------------------------------------------------------------------- */

static void a_send_once_right_gives_one_message(struct process *a, struct process *b, struct process *c)
{
	mach_port_t port = port_at(a), at_b = give_send_once_to(a, port, b);
	mach_port_t at_c = give(b, at_b, MACH_MSG_TYPE_MOVE_SEND_ONCE, c);
	struct letter l;

	expect_eq(type_at(b, at_b), 0);
	expect_eq(type_at(c, at_c), MACH_PORT_TYPE_SEND_ONCE);
	at_b = give(c, at_c, MACH_MSG_TYPE_MOVE_SEND_ONCE, b);
	letter_to(&l, at_b, MACH_MSG_TYPE_MOVE_SEND_ONCE, 9);
	expect_ok(post_at(b, &l));
	expect_message_at(a, port, 9);
	await(status_at(a, port).mps_sorights == 0);
	expect_no_message_at(a, port);
	expect_ok(destroy_at(a, port));
}

static void a_send_once_right_that_is_dropped_tells_so(struct process *a, struct process *b, struct process *c)
{
	mach_port_t port = port_at(a), at_b = give_send_once_to(a, port, b);
	mach_port_t at_c = give(b, at_b, MACH_MSG_TYPE_MOVE_SEND_ONCE, c);

	expect_ok(deallocate_at(c, at_c));
	expect_message_at(a, port, MACH_NOTIFY_SEND_ONCE);
	await(status_at(a, port).mps_sorights == 0);
	expect_no_message_at(a, port);
	expect_ok(destroy_at(a, port));
}

/* ---- order -------------------------------------------------------------------------------------------------------- */

static void what_was_sent_before_comes_before(struct process *giver, struct process *owner, struct process *receiver)
{
	mach_port_t port = port_at(owner), given = give_send_to(owner, port, giver), name;

	for (int round = 0; round < 20; round++) {
		for (int i = 0; i < 5; i++)
			expect_ok(send_id_at(giver, given, i));
		name = give(giver, given, MACH_MSG_TYPE_MOVE_SEND, receiver);
		for (int i = 5; i < 10; i++)
			expect_ok(send_id_at(receiver, name, i));
		for (int i = 0; i < 10; i++)
			expect_message_at(owner, port, i);
		given = give(receiver, name, MACH_MSG_TYPE_MOVE_SEND, giver);
	}
	end_right(owner, port, giver, given);
}

struct series {
	mach_port_t to, carried;
	int n;
};

static void do_send_series(void *arg)
{
	struct series *series = arg;

	for (int i = 0; i < series->n; i++) {
		struct letter l;

		letter_to(&l, series->to, MACH_MSG_TYPE_COPY_SEND, i);
		if (i % 3 == 0)
			letter_add_port(&l, series->carried, MACH_MSG_TYPE_COPY_SEND);
		expect_ok(mach_msg(&l.header, MACH_SEND_MSG, l.size, 0, MACH_PORT_NULL, 0, MACH_PORT_NULL));
	}
}

/* Messages that carry a right wait for its owner; those that follow wait for them. */
static void messages_stay_in_order_behind_one_that_waits(struct process *giver, struct process *owner,
							 struct process *receiver)
{
	mach_port_t port = port_at(owner), box = port_at(receiver);
	struct series series = { give_send_to(receiver, box, giver), give_send_to(owner, port, giver), ROUNDS };

	begin_at(giver, 1, do_send_series, &series, sizeof series);
	for (int i = 0; i < ROUNDS; i++)
		expect_message_at(receiver, box, i);
	end_at(giver, 1, &series, sizeof series);
	await(srights_at(owner, port) == 1);
	end_right(owner, port, giver, series.carried);
	expect_ok(deallocate_at(giver, series.to));
	expect_ok(destroy_at(receiver, box));
}

/* ---- all at once -------------------------------------------------------------------------------------------------- */

struct exchange {
	mach_port_t box, to, carried, known; /* gives @carried to @to; @known comes to @box */
};

static void do_give_always(void *arg)
{
	struct exchange *x = arg;

	for (int i = 0; i < ROUNDS; i++) {
		struct letter l;

		letter_to(&l, x->to, MACH_MSG_TYPE_COPY_SEND, i);
		letter_add_port(&l, x->carried, MACH_MSG_TYPE_COPY_SEND);
		expect_ok(mach_msg(&l.header, MACH_SEND_MSG, l.size, 0, MACH_PORT_NULL, 0, MACH_PORT_NULL));
	}
}

static void do_take_always(void *arg)
{
	struct exchange *x = arg;

	for (int i = 0; i < ROUNDS; i++) {
		struct letter l;

		expect_ok(mach_msg(&l.header, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof l.bytes, x->box, 20000,
				   MACH_PORT_NULL));
		l.size = l.header.msgh_size;
		expect_eq(l.header.msgh_id, i);
		expect_eq(letter_port(&l), x->known);
		expect_ok(mach_port_deallocate(mach_task_self(), x->known));
	}
}

/* A gives B's right to C while B gives C's to A and C gives A's to B. */
static void all_give_at_once(struct process *a, struct process *b, struct process *c)
{
	struct process *const p[] = { a, b, c };
	mach_port_t port[3], box[3], of_next[3], of_last[3], to_last[3];
	struct exchange x;

	for (int i = 0; i < 3; i++) {
		port[i] = port_at(p[i]);
		box[i] = port_at(p[i]);
	}
	for (int i = 0; i < 3; i++) {
		int next = (i + 1) % 3, last = (i + 2) % 3;

		of_next[i] = give_send_to(p[next], port[next], p[i]);
		of_last[i] = give_send_to(p[last], port[last], p[i]);
		to_last[i] = give_send_to(p[last], box[last], p[i]);
	}
	for (int i = 0; i < 3; i++) {
		x = (struct exchange){ box[i], to_last[i], of_next[i], of_last[i] };
		begin_at(p[i], 1, do_give_always, &x, sizeof x);
		begin_at(p[i], 2, do_take_always, &x, sizeof x);
	}
	for (int i = 0; i < 3; i++) {
		end_at(p[i], 1, &x, sizeof x);
		end_at(p[i], 2, &x, sizeof x);
	}
	for (int i = 0; i < 3; i++)
		await(srights_at(p[i], port[i]) == 2);
	for (int i = 0; i < 3; i++) {
		expect_eq(refs_at(p[i], of_next[i], MACH_PORT_RIGHT_SEND), 1);
		expect_eq(refs_at(p[i], of_last[i], MACH_PORT_RIGHT_SEND), 1);
		expect_ok(deallocate_at(p[i], of_next[i]));
		expect_ok(deallocate_at(p[i], of_last[i]));
		expect_ok(deallocate_at(p[i], to_last[i]));
	}
	for (int i = 0; i < 3; i++) {
		await(srights_at(p[i], port[i]) == 0);
		expect_ok(destroy_at(p[i], port[i]));
		expect_ok(destroy_at(p[i], box[i]));
	}
}

/* ---- those who never met ------------------------------------------------------------------------------------------ */

/* Of three children who know their parent only: that gives the first one's right to the second, that gives it on to a
 * third, of whom the first hears in this way. */
static void strangers_are_introduced(void **state)
{
	struct process *p[3];
	mach_port_t port, box, name;

	(void)state;
	for (int i = 0; i < 3; i++)
		p[i] = process_start_alone();
	port = port_at(p[0]);
	box = port_at(p[2]);
	p[1]->mail_to[p[2]->number] = give(self, self->mail_to[p[2]->number], MACH_MSG_TYPE_COPY_SEND, p[1]);
	name = give(self, give_send_to(p[0], port, self), MACH_MSG_TYPE_MOVE_SEND, p[1]);
	expect_ok(send_id_at(p[1], name, 1));
	name = give(p[1], name, MACH_MSG_TYPE_MOVE_SEND, p[2]);
	expect_ok(send_id_at(p[2], name, 2));
	expect_message_at(p[0], port, 1);
	expect_message_at(p[0], port, 2);
	await(srights_at(p[0], port) == 1);
	expect_ok(deallocate_at(p[2], name));
	await(srights_at(p[0], port) == 0);
	expect_ok(destroy_at(p[2], box));
	for (int i = 0; i < 3; i++)
		process_end(p[i]);
}

/* Two who know both introduce the same two to each other, again and again. */
static void two_introduce_the_same_strangers(void **state)
{
	(void)state;
	for (int round = 0; round < 15; round++) {
		struct process *giver = process_start(), *p[2];
		mach_port_t port[2], at_self[2], at_giver[2], name;
		struct letter l;

		for (int i = 0; i < 2; i++) {
			p[i] = process_start_alone();
			port[i] = port_at(p[i]);
			at_self[i] = give_send_to(p[i], port[i], self);
			giver->mail_to[p[i]->number] =
				give(self, self->mail_to[p[i]->number], MACH_MSG_TYPE_COPY_SEND, giver);
			at_giver[i] = give(self, at_self[i], MACH_MSG_TYPE_COPY_SEND, giver);
		}
		/* The parent gives the first's right to the second, and the child the other way round. */
		letter_to(&l, giver->mail_to[p[0]->number], MACH_MSG_TYPE_COPY_SEND, 1);
		letter_add_port(&l, at_giver[1], MACH_MSG_TYPE_COPY_SEND);
		begin_send_at(giver, 1, &l, MACH_SEND_TIMEOUT, 0);
		name = give(self, at_self[0], MACH_MSG_TYPE_COPY_SEND, p[1]);
		expect_ok(end_message_at(giver, 1, NULL));
		expect_ok(send_id_at(p[1], name, 1));
		expect_ok(send_id_at(p[0], take_mail(p[0]), 2));
		expect_message_at(p[0], port[0], 1);
		expect_message_at(p[1], port[1], 2);
		for (int i = 0; i < 2; i++) {
			expect_ok(deallocate_at(self, at_self[i]));
			process_end(p[i]);
		}
		process_end(giver);
		processes_forget();
	}
}

/* ---- deaths ------------------------------------------------------------------------------------------------------- */

/* What a giver that is killed has passed on arrives; what it had not passed on is given back. */
static void do_give_until_killed(void *arg)
{
	struct exchange *x = arg;

	for (int i = 0;; i++) {
		struct letter l;

		letter_to(&l, x->to, MACH_MSG_TYPE_COPY_SEND, i);
		letter_add_port(&l, x->carried, MACH_MSG_TYPE_COPY_SEND);
		(void)mach_msg(&l.header, MACH_SEND_MSG, l.size, 0, MACH_PORT_NULL, 0, MACH_PORT_NULL);
	}
}

/* Whatever has come, without waiting. */
static void do_drain(void *arg)
{
	struct exchange *x = arg;
	struct letter l;

	while (mach_msg(&l.header, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof l.bytes, x->box, 0, MACH_PORT_NULL) ==
	       0) {
		l.size = l.header.msgh_size;
		if (MACH_PORT_VALID(letter_port(&l)))
			mach_port_deallocate(mach_task_self(), letter_port(&l));
	}
}

enum role { GIVER, OWNER, RECEIVER };

static void one_dies_in_the_middle(enum role who)
{
	for (int round = 0; round < 8; round++) {
		struct process *p[3];
		mach_port_t port, box;
		struct exchange x;

		start_all(p, 3);
		port = port_at(p[OWNER]);
		box = port_at(p[RECEIVER]);
		x = (struct exchange){ box, give_send_to(p[RECEIVER], box, p[GIVER]),
				       give_send_to(p[OWNER], port, p[GIVER]), MACH_PORT_NULL };
		begin_at(p[GIVER], 1, do_give_until_killed, &x, sizeof x);
		if (who != RECEIVER)
			for (int i = 0; i < 10 * round; i++) {
				struct letter l;

				expect_ok(receive_at(p[RECEIVER], box, &l));
				expect_eq(l.header.msgh_id, i);
				expect_ok(deallocate_at(p[RECEIVER], letter_port(&l)));
			}
		process_kill(p[who], SIGKILL);
		if (who == OWNER)
			process_kill(p[GIVER], SIGKILL);
		if (who == GIVER) { /* nothing that was on its way is left */
			await((at(p[RECEIVER], do_drain, &x, sizeof x), srights_at(p[OWNER], port) == 0));
			expect_ok(destroy_at(p[OWNER], port));
		}
		if (who == RECEIVER) {
			process_kill(p[GIVER], SIGKILL);
			await(srights_at(p[OWNER], port) == 0);
			expect_ok(destroy_at(p[OWNER], port));
		}
		for (int i = 0; i < 3; i++)
			if (!p[i]->has_ended)
				process_end(p[i]);
		processes_forget();
	}
}

static void the_giver_dies(void **state)
{
	(void)state;
	one_dies_in_the_middle(GIVER);
}

static void the_owner_dies(void **state)
{
	(void)state;
	one_dies_in_the_middle(OWNER);
}

static void the_receiver_dies(void **state)
{
	(void)state;
	one_dies_in_the_middle(RECEIVER);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		trio_tests(a_right_in_a_body_is_passed_on),
		trio_tests(a_right_that_is_copied_stays),
		trio_tests(a_reply_right_is_passed_on),
		trio_tests(many_rights_are_passed_on_in_one_message),
		trio_tests(a_right_that_is_held_already_gets_a_reference),
		trio_tests(two_rights_by_two_ways_are_one_name),
		trio_tests(a_right_comes_home),
		trio_tests(a_right_goes_round),
		trio_tests(a_send_once_right_gives_one_message),
		trio_tests(a_send_once_right_that_is_dropped_tells_so),
		trio_tests(what_was_sent_before_comes_before),
		trio_tests(messages_stay_in_order_behind_one_that_waits),
		trio_tests(all_give_at_once),
		family_test(strangers_are_introduced),
		family_test(two_introduce_the_same_strangers),
		family_test(the_giver_dies),
		family_test(the_owner_dies),
		family_test(the_receiver_dies),
	};

	return family_main(argc, argv, tests);
}
