/* SPDX-License-Identifier: MIT */
/* Many threads of a process that wait and call at once, and those that wait outside of the library. */
#include "family.h"

#include <poll.h>
#include <portunus/poll.h>
#include <unistd.h>

enum { CALLERS = 8, SERVERS = 4, CALLS = 400 };

/* ---- calls and answers */

static void do_call(long *n)
{
	mach_port_t reply = mach_reply_port();

	for (int i = 0; i < CALLS; i++) {
		int question = (int)n[1] * CALLS + i;
		struct letter l;

		letter_to(&l, (mach_port_t)n[0], MACH_MSG_TYPE_COPY_SEND, question);
		letter_reply_to(&l, reply, MACH_MSG_TYPE_MAKE_SEND_ONCE);
		letter_add_int(&l, question);
		expect_ok(mach_msg(&l.header, MACH_SEND_MSG | MACH_RCV_MSG | MACH_RCV_TIMEOUT, l.size, sizeof l.bytes,
				   reply, 30000, MACH_PORT_NULL));
		expect_eq(l.header.msgh_id, question + 1000000);
	}
	expect_ok(mach_port_destroy(here(), reply));
}

/* Until it is told to stop. */
static void do_serve(long *n)
{
	struct letter l;

	for (n[1] = 0;; n[1]++) {
		expect_ok(mach_msg(&l.header, MACH_RCV_MSG, 0, sizeof l.bytes, (mach_port_t)n[0], 0, MACH_PORT_NULL));
		if (l.header.msgh_id < 0)
			return;
		l.header.msgh_bits = MACH_MSGH_BITS(MACH_MSG_TYPE_MOVE_SEND_ONCE, 0);
		l.header.msgh_local_port = MACH_PORT_NULL;
		l.header.msgh_id += 1000000;
		expect_ok(mach_msg(&l.header, MACH_SEND_MSG, l.header.msgh_size, 0, MACH_PORT_NULL, 0, MACH_PORT_NULL));
	}
}

static void every_call_gets_its_answer(struct process *owner, struct process *holder)
{
	mach_port_t port = port_at(owner), name = give_send_to(owner, port, holder);
	long n[NUMBERS], n_served = 0;

	for (unsigned i = 0; i < SERVERS; i++)
		begin_ask(owner, 1 + i, do_serve, (long[NUMBERS]){ port });
	for (unsigned i = 0; i < CALLERS; i++)
		begin_ask(holder, 1 + i, do_call, (long[NUMBERS]){ name, i });
	for (unsigned i = 0; i < CALLERS; i++)
		end_ask(holder, 1 + i, NULL);
	for (unsigned i = 0; i < SERVERS; i++)
		expect_ok(send_id_at(holder, name, -1));
	for (unsigned i = 0; i < SERVERS; i++) {
		end_ask(owner, 1 + i, n);
		n_served += n[1];
	}
	expect_eq(n_served, CALLERS * CALLS);
	expect_ok(destroy_at(owner, port));
	await(type_at(holder, name) == MACH_PORT_TYPE_DEAD_NAME);
	expect_ok(deallocate_at(holder, name));
}

/* Both call each other. */
static void both_may_call_each_other(struct process *owner, struct process *holder)
{
	mach_port_t here_port = port_at(owner), there_port = port_at(holder);
	mach_port_t to_here = give_send_to(owner, here_port, holder),
		    to_there = give_send_to(holder, there_port, owner);

	for (unsigned i = 0; i < 2; i++) {
		begin_ask(owner, 1 + i, do_serve, (long[NUMBERS]){ here_port });
		begin_ask(holder, 1 + i, do_serve, (long[NUMBERS]){ there_port });
	}
	for (unsigned i = 0; i < 3; i++) {
		begin_ask(owner, 4 + i, do_call, (long[NUMBERS]){ to_there, i });
		begin_ask(holder, 4 + i, do_call, (long[NUMBERS]){ to_here, i });
	}
	for (unsigned i = 0; i < 3; i++) {
		end_ask(owner, 4 + i, NULL);
		end_ask(holder, 4 + i, NULL);
	}
	for (unsigned i = 0; i < 2; i++) {
		expect_ok(send_id_at(owner, to_there, -1));
		expect_ok(send_id_at(holder, to_here, -1));
	}
	for (unsigned i = 0; i < 2; i++) {
		end_ask(owner, 1 + i, NULL);
		end_ask(holder, 1 + i, NULL);
	}
	expect_ok(destroy_at(owner, here_port));
	expect_ok(destroy_at(holder, there_port));
	await(type_at(owner, to_there) == MACH_PORT_TYPE_DEAD_NAME);
	await(type_at(holder, to_here) == MACH_PORT_TYPE_DEAD_NAME);
	expect_ok(deallocate_at(owner, to_there));
	expect_ok(deallocate_at(holder, to_here));
}

/* ---- the role of the one who serves the links passes on */

/* Each waits on a port of its own; messages come in any order, so whoever serves is often not the one they are for. */
static void each_thread_that_waits_gets_its_message(struct process *owner, struct process *holder)
{
	enum { N = 6 };
	mach_port_t ports[N], names[N];
	struct letter l;

	for (unsigned i = 0; i < N; i++) {
		ports[i] = port_at(owner);
		names[i] = give_send_to(owner, ports[i], holder);
	}
	for (unsigned i = 0; i < N; i++) {
		begin_receive_at(owner, 1 + i, ports[i], 0, 0);
		await_sleep_at(owner, 1 + i);
	}
	for (unsigned i = 0; i < N; i++) {
		unsigned k = i * 5 % N; /* 0 5 4 3 2 1: the first served is the one that serves */

		expect_ok(send_id_at(holder, names[k], (int)k));
		expect_ok(end_message_at(owner, 1 + k, &l));
		expect_eq(l.header.msgh_id, k);
	}
	for (unsigned i = 0; i < N; i++) {
		expect_ok(destroy_at(owner, ports[i]));
		await(type_at(holder, names[i]) == MACH_PORT_TYPE_DEAD_NAME);
		expect_ok(deallocate_at(holder, names[i]));
	}
}

static void a_timeout_passes_while_another_thread_waits(struct process *owner, struct process *holder)
{
	mach_port_t port = port_at(owner), other = port_at(owner), name = give_send_to(owner, other, holder);

	begin_receive_at(owner, 1, other, 0, 0);
	await_sleep_at(owner, 1);
	begin_receive_at(owner, 2, port, MACH_RCV_TIMEOUT, 20);
	expect_result(end_message_at(owner, 2, NULL), MACH_RCV_TIMED_OUT);
	/* and that of the one that serves, while another waits */
	begin_receive_at(owner, 3, port, 0, 0);
	await_sleep_at(owner, 3);
	expect_ok(send_id_at(holder, name, 1));
	expect_ok(end_message_at(owner, 1, NULL));
	begin_receive_at(owner, 1, other, MACH_RCV_TIMEOUT, 20);
	expect_result(end_message_at(owner, 1, NULL), MACH_RCV_TIMED_OUT);
	expect_ok(destroy_at(owner, port));
	expect_result(end_message_at(owner, 3, NULL), MACH_RCV_PORT_DIED);
	expect_ok(destroy_at(owner, other));
	await(type_at(holder, name) == MACH_PORT_TYPE_DEAD_NAME);
	expect_ok(deallocate_at(holder, name));
}

/* A message of this process for a thread that serves the links. */
static void a_local_message_reaches_a_thread_that_serves_the_links(struct process *owner, struct process *holder)
{
	mach_port_t port = port_with_send_at(owner), name = give_send_to(owner, port, holder);
	struct letter l;

	for (int i = 0; i < 20; i++) {
		begin_receive_at(owner, 1, port, 0, 0);
		if (i % 4 == 0)
			await_sleep_at(owner, 1);
		expect_ok(send_id_at(i % 2 ? holder : owner, i % 2 ? name : port, i));
		expect_ok(end_message_at(owner, 1, &l));
		expect_eq(l.header.msgh_id, i);
	}
	expect_ok(destroy_at(owner, port));
	await(type_at(holder, name) == MACH_PORT_TYPE_DEAD_NAME);
	expect_ok(deallocate_at(holder, name));
}

/* ---- descriptors to poll */

static void do_port_fd(long *n)
{
	n[0] = portunus_port_fd((mach_port_t)n[0]);
}

static void do_poll(long *n)
{
	struct pollfd p = { .fd = (int)n[0], .events = POLLIN };

	n[0] = poll(&p, 1, (int)n[1]);
}

static void do_close(long *n)
{
	close((int)n[0]);
}

static void a_descriptor_shows_what_another_process_sends(struct process *owner, struct process *holder)
{
	mach_port_t port = port_at(owner), name = give_send_to(owner, port, holder);
	long fd = ask(owner, do_port_fd, port);

	assert_true(fd >= 0);
	for (int i = 0; i < 5; i++) {
		expect_eq(ask(owner, do_poll, fd, 0), 0);
		expect_ok(send_id_at(holder, name, i));
		expect_eq(ask(owner, do_poll, fd, 30000), 1); /* nobody is in a call */
		expect_message_at(owner, port, i);
		expect_eq(ask(owner, do_poll, fd, 0), 0);
	}
	/* one that waits in poll */
	begin_ask(owner, 1, do_poll, (long[NUMBERS]){ fd, 30000 });
	await_sleep_at(owner, 1);
	expect_ok(send_id_at(holder, name, 7));
	expect_eq(end_ask(owner, 1, NULL), 1);
	expect_message_at(owner, port, 7);
	ask(owner, do_close, fd);
	expect_ok(destroy_at(owner, port));
	await(type_at(holder, name) == MACH_PORT_TYPE_DEAD_NAME);
	expect_ok(deallocate_at(holder, name));
}

static void do_put_into_set(long *n)
{
	mach_port_t set = set_in(here());

	expect_ok(mach_port_move_member(here(), (mach_port_t)n[0], set));
	n[0] = set;
}

static void a_descriptor_of_a_set_shows_it_too(struct process *owner, struct process *holder)
{
	mach_port_t port = port_at(owner), name = give_send_to(owner, port, holder);
	mach_port_t set = (mach_port_t)ask(owner, do_put_into_set, port);
	long fd = ask(owner, do_port_fd, set);

	expect_eq(ask(owner, do_poll, fd, 0), 0);
	expect_ok(send_id_at(holder, name, 1));
	expect_eq(ask(owner, do_poll, fd, 30000), 1);
	expect_message_at(owner, set, 1);
	expect_eq(ask(owner, do_poll, fd, 0), 0);
	ask(owner, do_close, fd);
	expect_ok(destroy_at(owner, port));
	expect_ok(destroy_at(owner, set));
	await(type_at(holder, name) == MACH_PORT_TYPE_DEAD_NAME);
	expect_ok(deallocate_at(holder, name));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		pair_tests(every_call_gets_its_answer),
		pair_tests(both_may_call_each_other),
		pair_tests(each_thread_that_waits_gets_its_message),
		pair_tests(a_timeout_passes_while_another_thread_waits),
		pair_tests(a_local_message_reaches_a_thread_that_serves_the_links),
		pair_tests(a_descriptor_shows_what_another_process_sends),
		pair_tests(a_descriptor_of_a_set_shows_it_too),
	};

	return family_main(argc, argv, tests);
}
