/* SPDX-License-Identifier: MIT */
/* A process that is stopped: nobody who does not wait for it is held up, and nothing is lost when it goes on. */
#include "family.h"

#include <signal.h>
#include <sys/wait.h>

static void stop(struct process *p)
{
	int status;

	kill(p->pid, SIGSTOP);
	assert_int_equal(waitpid(p->pid, &status, WUNTRACED), p->pid);
	assert_true(WIFSTOPPED(status));
}

static void go_on(struct process *p)
{
	kill(p->pid, SIGCONT);
}

static void expect_use(struct process *from, mach_port_t name, struct process *to, mach_port_t port, int id)
{
	expect_ok(send_id_at(from, name, id));
	expect_message_at(to, port, id);
}

/* Stopped wherever it happens to be, a thousand times. */
static void others_go_on_and_so_does_it(void **state)
{
	enum { TIMES = 1000 };
	struct process *stopped = process_start(), *other = process_start();
	mach_port_t port = port_at(self), to_self = give_send_to(self, port, other),
		    from_it = give_send_to(self, port, stopped);
	mach_port_t its = port_at(stopped), to_it = give_send_to(stopped, its, self);

	(void)state;
	for (int i = 0; i < TIMES; i++) {
		struct letter l;

		letter_to(&l, from_it, MACH_MSG_TYPE_COPY_SEND, 2 * i);
		begin_send_at(stopped, 1, &l, 0, 0);
		stop(stopped);
		expect_ok(send_id_at(other, to_self, 2 * i + 1));
		do
			expect_ok(receive_at(self, port, &l)); /* its own may have come before */
		while (l.header.msgh_id == 2 * i);
		expect_eq(l.header.msgh_id, 2 * i + 1);
		expect_ok(send_id_at(self, to_it, (int)i));
		go_on(stopped);
		expect_ok(end_message_at(stopped, 1, NULL));
		expect_message_at(stopped, its, (int)i);
		(void)fetch_at(self, port, &l);
	}
	expect_ok(destroy_at(self, port));
	expect_ok(destroy_at(stopped, its));
	await(type_at(other, to_self) == MACH_PORT_TYPE_DEAD_NAME &&
	      type_at(stopped, from_it) == MACH_PORT_TYPE_DEAD_NAME);
	expect_ok(deallocate_at(other, to_self));
	expect_ok(deallocate_at(stopped, from_it));
	await(type_at(self, to_it) == MACH_PORT_TYPE_DEAD_NAME);
	expect_ok(deallocate_at(self, to_it));
}

static void who_waits_for_it_waits_as_long_as_he_said(void **state)
{
	struct process *stopped = process_start();
	mach_port_t its = port_at(stopped), to_it = give_send_to(stopped, its, self);
	struct letter l;

	(void)state;
	stop(stopped);
	for (unsigned i = 0; i < MACH_PORT_QLIMIT_DEFAULT; i++)
		expect_ok(send_id_at(self, to_it, (int)i));
	letter_to(&l, to_it, MACH_MSG_TYPE_COPY_SEND, 99);
	expect_result(send_at(self, &l, MACH_SEND_TIMEOUT, 20), MACH_SEND_TIMED_OUT);
	expect_ok(deallocate_at(self, to_it)); /* a message that could not be sent comes back with its right */
	go_on(stopped);
	for (unsigned i = 0; i < MACH_PORT_QLIMIT_DEFAULT; i++)
		expect_message_at(stopped, its, (int)i);
	expect_ok(deallocate_at(self, to_it));
	expect_ok(destroy_at(stopped, its));
}

/* A message too large for a ring goes in a descriptor of its own. */
static void send_large(mach_port_t once)
{
	static struct {
		mach_msg_header_t header;
		mach_msg_type_long_t type;
		char bytes[20000];
	} m;

	memset(&m, 0, sizeof m);
	m.header.msgh_bits = MACH_MSGH_BITS(MACH_MSG_TYPE_MOVE_SEND_ONCE, 0);
	m.header.msgh_remote_port = once;
	m.type.msgtl_name = MACH_MSG_TYPE_BYTE;
	m.type.msgtl_size = 8;
	m.type.msgtl_number = sizeof m.bytes;
	m.type.msgtl_header.msgt_inline = 1;
	m.type.msgtl_header.msgt_longform = 1;
	expect_ok(mach_msg(&m.header, MACH_SEND_MSG, sizeof m, 0, MACH_PORT_NULL, 0, MACH_PORT_NULL));
}

static void do_count_large(long *n)
{
	static char buffer[32768];
	mach_msg_header_t *m = (void *)buffer;

	for (; n[1] > 0; n[1]--)
		expect_ok(mach_msg(m, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof buffer, (mach_port_t)n[0], 20000,
				   MACH_PORT_NULL));
}

/* More than its socket holds, while there is room in its ring: whoever serves the links must not wait for that. */
static void descriptors_that_find_no_room_hold_up_nobody_else(void **state)
{
	enum { N = 400 };
	struct process *stopped = process_start(), *other = process_start();
	mach_port_t its = port_at(stopped), port = port_at(self), to_self, onces[N];

	(void)state;
	for (int i = 0; i < N; i++)
		onces[i] = give_send_once_to(stopped, its, self);
	stop(stopped);
	for (int i = 0; i < N; i++)
		send_large(onces[i]);
	to_self = give_send_to(self, port, other);
	for (int i = 0; i < 100; i++)
		expect_use(other, to_self, self, port, i);
	begin_receive_at(self, 1, port, 0, 0);
	await_sleep_at(self, 1); /* it does not look for room all the time */
	expect_ok(send_id_at(other, to_self, 1));
	expect_ok(end_message_at(self, 1, NULL));
	go_on(stopped);
	ask(stopped, do_count_large, its, N);
	expect_ok(destroy_at(stopped, its));
	expect_ok(deallocate_at(other, to_self));
	expect_ok(destroy_at(self, port));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		family_test(others_go_on_and_so_does_it),
		family_test(who_waits_for_it_waits_as_long_as_he_said),
		family_test(descriptors_that_find_no_room_hold_up_nobody_else),
	};

	return family_main(argc, argv, tests);
}
