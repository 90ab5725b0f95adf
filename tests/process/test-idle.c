/* SPDX-License-Identifier: MIT */
/* Processes that have links and nothing to do sleep: no thread of theirs wakes by itself. */
#include "idle.h"

#include <portunus/poll.h>

static pid_t pid_of(const struct process *p)
{
	return p == self ? getpid() : p->pid;
}

static void expect_both_sleep(struct process *a, struct process *b)
{
	expect_sleep(((pid_t[]){ pid_of(a), pid_of(b) }), 2);
}

static void call(struct process *owner, mach_port_t port, struct process *holder, mach_port_t name)
{
	expect_ok(send_id_at(holder, name, 1));
	expect_message_at(owner, port, 1);
}

static void end(struct process *owner, mach_port_t port, struct process *holder, mach_port_t name)
{
	expect_ok(destroy_at(owner, port));
	await(type_at(holder, name) == MACH_PORT_TYPE_DEAD_NAME);
	expect_ok(deallocate_at(holder, name));
}

/* ---- processes that are in no call */

static void they_sleep_outside_of_the_library(struct process *owner, struct process *holder)
{
	mach_port_t port = port_at(owner), name = give_send_to(owner, port, holder);

	call(owner, port, holder, name);
	expect_both_sleep(owner, holder);
	call(owner, port, holder, name);
	expect_both_sleep(owner, holder);
	end(owner, port, holder, name);
}

/* What is urgent to others is still done, although nobody is in a call and nobody looks now and then. */
static void who_sleeps_does_what_is_urgent(struct process *owner, struct process *holder)
{
	mach_port_t port = port_at(owner), name = give_send_to(owner, port, holder);

	call(owner, port, holder, name);
	expect_both_sleep(owner, holder);
	expect_ok(watch_at(owner, NO_SENDERS, port));
	expect_both_sleep(owner, holder);
	expect_ok(deallocate_at(holder, name));
	expect_notice_at(owner, NO_SENDERS, port);
	expect_both_sleep(owner, holder);
	expect_ok(destroy_at(owner, port));
}

/* ---- servers: a thread that receives, and waits for the next */

enum { MESSAGES = 3 };

static void do_serve(long *n)
{
	struct letter l;

	for (int i = 1; i <= MESSAGES; i++) {
		expect_ok(mach_msg(&l.header, MACH_RCV_MSG, 0, sizeof l.bytes, (mach_port_t)n[0], 0, MACH_PORT_NULL));
		expect_eq(l.header.msgh_id, i);
	}
}

static void begin_serve(struct process *p, mach_port_t port)
{
	begin_ask(p, 1, do_serve, (long[NUMBERS]){ port });
	await_sleep_at(p, 1);
}

/* The owner waits in a call, the other has gone to do something else. */
static void they_sleep_while_one_waits(struct process *owner, struct process *holder)
{
	mach_port_t port = port_at(owner), name = give_send_to(owner, port, holder);

	begin_serve(owner, port);
	for (int i = 1; i <= MESSAGES; i++) {
		expect_both_sleep(owner, holder);
		expect_ok(send_id_at(holder, name, i));
	}
	end_ask(owner, 1, NULL);
	end(owner, port, holder, name);
}

static void they_sleep_while_both_wait(struct process *owner, struct process *holder)
{
	mach_port_t port = port_at(owner), name = give_send_to(owner, port, holder);
	mach_port_t back = port_at(holder), to_back = give_send_to(holder, back, owner);

	begin_serve(owner, port);
	begin_serve(holder, back);
	for (int i = 1; i <= MESSAGES; i++) {
		expect_both_sleep(owner, holder);
		expect_ok(send_id_at(holder, name, i));
		expect_ok(send_id_at(owner, to_back, i));
	}
	end_ask(owner, 1, NULL);
	end_ask(holder, 1, NULL);
	end(owner, port, holder, name);
	end(holder, back, owner, to_back);
}

/* ---- those whose messages are shown by a descriptor */

static void do_port_fd(long *n)
{
	n[0] = portunus_port_fd((mach_port_t)n[0]);
}

static void do_close(long *n)
{
	close((int)n[0]);
}

static void they_sleep_while_one_has_a_descriptor(struct process *owner, struct process *holder)
{
	mach_port_t port = port_at(owner), name = give_send_to(owner, port, holder);
	long fd = ask(owner, do_port_fd, port);

	call(owner, port, holder, name);
	expect_both_sleep(owner, holder);
	call(owner, port, holder, name);
	ask(owner, do_close, fd);
	expect_both_sleep(owner, holder);
	end(owner, port, holder, name);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		pair_tests(they_sleep_outside_of_the_library), pair_tests(they_sleep_while_one_waits),
		pair_tests(they_sleep_while_both_wait),	       pair_tests(they_sleep_while_one_has_a_descriptor),
		pair_tests(who_sleeps_does_what_is_urgent),
	};

	return family_main(argc, argv, tests);
}
