/* SPDX-License-Identifier: MIT */
/* File ports of other processes. The balance at the end of each test counts descriptors. */
#include "family.h"

#include <errno.h>
#include <fcntl.h>
#include <portunus/fileport.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

/* A pipe with a file port for its writing end: n[0] is the port, n[1] the reading end. */
static void do_make_pipe(long *n)
{
	fileport_t port;
	int ends[2];

	assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
	assert_int_equal(fileport_makeport(ends[1], &port), 0);
	close(ends[1]);
	n[0] = port;
	n[1] = ends[0];
}

static void do_makefd(long *n)
{
	n[0] = fileport_makefd((fileport_t)n[0]);
	n[1] = n[0] < 0 ? errno : 0;
}

static void do_write(long *n)
{
	n[0] = write((int)n[0], &n[1], 1);
}

/* What one byte is, -1: nothing there yet, 0: the end. */
static void do_read(long *n)
{
	unsigned char byte = 0;
	ssize_t got = read((int)n[0], &byte, 1);

	n[0] = got > 0 ? byte : got;
}

static void do_close(long *n)
{
	close((int)n[0]);
}

static void do_inode(long *n)
{
	struct stat st;

	assert_int_equal(fstat((int)n[0], &st), 0);
	n[0] = (long)st.st_ino;
}

static void a_file_port_gives_the_same_file_elsewhere(struct process *owner, struct process *holder)
{
	long n[NUMBERS] = { 0 }, fd;
	mach_port_t port, name;

	ask_all(owner, do_make_pipe, n);
	port = (mach_port_t)n[0];
	name = give(owner, port, MACH_MSG_TYPE_COPY_SEND, holder);
	fd = ask(holder, do_makefd, name);
	assert_true(fd >= 0);
	expect_eq(ask(holder, do_write, fd, 'x'), 1);
	expect_eq(ask(owner, do_read, n[1]), 'x');
	expect_eq(ask(holder, do_inode, fd), ask(owner, do_inode, n[1]));
	ask(holder, do_close, fd);
	expect_ok(deallocate_at(holder, name));
	expect_ok(deallocate_at(owner, port));
	await(ask(owner, do_read, n[1]) == 0);
	ask(owner, do_close, n[1]);
}

static void the_file_closes_when_the_last_right_goes_wherever_that_is(struct process *owner, struct process *holder)
{
	long n[NUMBERS] = { 0 };
	mach_port_t name;

	ask_all(owner, do_make_pipe, n);
	name = give(owner, (mach_port_t)n[0], MACH_MSG_TYPE_MOVE_SEND, holder);
	expect_eq(ask(owner, do_read, n[1]), -1); /* there is a writer */
	expect_ok(deallocate_at(holder, name));
	await(ask(owner, do_read, n[1]) == 0);
	ask(owner, do_close, n[1]);
}

static void a_descriptor_outlives_the_right_that_it_was_made_of(struct process *owner, struct process *holder)
{
	long n[NUMBERS] = { 0 }, fd;
	mach_port_t name;

	ask_all(owner, do_make_pipe, n);
	name = give(owner, (mach_port_t)n[0], MACH_MSG_TYPE_MOVE_SEND, holder);
	fd = ask(holder, do_makefd, name);
	expect_ok(deallocate_at(holder, name));
	expect_eq(ask(holder, do_write, fd, 'y'), 1);
	expect_eq(ask(owner, do_read, n[1]), 'y');
	expect_eq(ask(owner, do_read, n[1]), -1);
	ask(holder, do_close, fd);
	await(ask(owner, do_read, n[1]) == 0);
	ask(owner, do_close, n[1]);
}

static void a_file_port_that_comes_home_still_is_one(struct process *owner, struct process *holder)
{
	long n[NUMBERS] = { 0 }, fd;
	mach_port_t name, port;

	ask_all(owner, do_make_pipe, n);
	name = give(owner, (mach_port_t)n[0], MACH_MSG_TYPE_MOVE_SEND, holder);
	port = give(holder, name, MACH_MSG_TYPE_MOVE_SEND, owner);
	fd = ask(owner, do_makefd, port);
	assert_true(fd >= 0);
	ask(owner, do_close, fd);
	expect_ok(deallocate_at(owner, port));
	expect_eq(ask(owner, do_read, n[1]), 0);
	ask(owner, do_close, n[1]);
}

static void many_files_travel_and_close(struct process *owner, struct process *holder)
{
	enum { N = 60 };
	long n[NUMBERS] = { 0 }, ends[N];
	mach_port_t names[N];

	for (int i = 0; i < N; i++) {
		ask_all(owner, do_make_pipe, n);
		ends[i] = n[1];
		names[i] = give(owner, (mach_port_t)n[0], MACH_MSG_TYPE_MOVE_SEND, holder);
	}
	for (int i = 0; i < N; i++) {
		long fd = ask(holder, do_makefd, names[i]);

		expect_eq(ask(holder, do_write, fd, i + 1), 1);
		ask(holder, do_close, fd);
		expect_eq(ask(owner, do_read, ends[i]), i + 1);
		expect_ok(deallocate_at(holder, names[i]));
	}
	for (int i = 0; i < N; i++) {
		await(ask(owner, do_read, ends[i]) == 0);
		ask(owner, do_close, ends[i]);
	}
}

static void what_is_no_file_port_is_refused(struct process *owner, struct process *holder)
{
	mach_port_t port = port_at(owner), name = give_send_to(owner, port, holder);
	long n[NUMBERS] = { name };

	expect_eq(ask_all(holder, do_makefd, n), -1);
	expect_eq(n[1], EINVAL);
	expect_no_message_at(owner, port);
	expect_ok(destroy_at(owner, port));
	await(type_at(holder, name) == MACH_PORT_TYPE_DEAD_NAME);
	expect_ok(deallocate_at(holder, name));
}

/* Whoever made it has ended. */
static void a_file_port_of_a_dead_process_is_refused(void **state)
{
	struct process *a = process_start();
	long n[NUMBERS] = { 0 };
	mach_port_t name;

	(void)state;
	ask_all(a, do_make_pipe, n);
	name = give(a, (mach_port_t)n[0], MACH_MSG_TYPE_MOVE_SEND, self);
	process_kill(a, SIGKILL);
	await(type_at(self, name) == MACH_PORT_TYPE_DEAD_NAME);
	n[0] = name;
	expect_eq(ask_all(self, do_makefd, n), -1);
	expect_eq(n[1], EINVAL);
	expect_ok(deallocate_at(self, name));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		pair_tests(a_file_port_gives_the_same_file_elsewhere),
		pair_tests(the_file_closes_when_the_last_right_goes_wherever_that_is),
		pair_tests(a_descriptor_outlives_the_right_that_it_was_made_of),
		pair_tests(a_file_port_that_comes_home_still_is_one),
		pair_tests(many_files_travel_and_close),
		pair_tests(what_is_no_file_port_is_refused),
		family_test(a_file_port_of_a_dead_process_is_refused),
	};

	return family_main(argc, argv, tests);
}
