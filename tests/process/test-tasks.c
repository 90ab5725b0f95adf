/* SPDX-License-Identifier: MIT */
/* Tasks of other processes: every call on their ports, how programs are started, who sent a message, and forks. */
#include "family.h"

#include <errno.h>
#include <portunus/spawn.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- calls on a child's task */

static void names_of_a_child_are_made_and_ended(void **state)
{
	struct process *a = process_start();
	mach_port_t port, set, dead;
	mach_port_name_t *names, *types;
	mach_msg_type_number_t n, n_types;

	(void)state;
	expect_ok(mach_port_allocate(a->task, MACH_PORT_RIGHT_RECEIVE, &port));
	expect_ok(mach_port_allocate(a->task, MACH_PORT_RIGHT_PORT_SET, &set));
	expect_ok(mach_port_allocate(a->task, MACH_PORT_RIGHT_DEAD_NAME, &dead));
	expect_ok(mach_port_allocate_name(a->task, MACH_PORT_RIGHT_RECEIVE, 0x7777));
	expect_result(mach_port_allocate_name(a->task, MACH_PORT_RIGHT_RECEIVE, 0x7777), KERN_NAME_EXISTS);
	expect_eq(type_at(a, port), MACH_PORT_TYPE_RECEIVE);
	expect_eq(type_of(a->task, set), MACH_PORT_TYPE_PORT_SET);
	expect_eq(type_at(a, dead), MACH_PORT_TYPE_DEAD_NAME);
	expect_ok(mach_port_rename(a->task, 0x7777, 0x8888));
	expect_eq(type_at(a, 0x8888), MACH_PORT_TYPE_RECEIVE);
	expect_ok(mach_port_names(a->task, &names, &n, &types, &n_types));
	expect_eq(n, n_types);
	assert_true(n >= 4);
	vm_deallocate(here(), (vm_address_t)names, n * sizeof *names);
	vm_deallocate(here(), (vm_address_t)types, n * sizeof *types);
	expect_ok(mach_port_mod_refs(a->task, dead, MACH_PORT_RIGHT_DEAD_NAME, 2));
	expect_eq(refs_of(a->task, dead, MACH_PORT_RIGHT_DEAD_NAME), 3);
	expect_ok(mach_port_destroy(a->task, dead));
	expect_ok(mach_port_move_member(a->task, port, set));
	expect_ok(mach_port_get_set_status(a->task, set, &names, &n));
	expect_eq(n, 1);
	expect_eq(names[0], port);
	vm_deallocate(here(), (vm_address_t)names, n * sizeof *names);
	expect_ok(mach_port_destroy(a->task, port));
	expect_ok(mach_port_destroy(a->task, set));
	expect_ok(mach_port_destroy(a->task, 0x8888));
	expect_result(mach_port_deallocate(a->task, 0x7654321), KERN_INVALID_NAME);
}

static void rights_are_put_into_a_child_and_taken_out(void **state)
{
	struct process *a = process_start();
	mach_port_t port = port_at(self), theirs = port_at(a), name;
	mach_msg_type_name_t type;

	(void)state;
	expect_ok(mach_port_insert_right(a->task, 0x5555, port, MACH_MSG_TYPE_MAKE_SEND));
	expect_eq(type_at(a, 0x5555), MACH_PORT_TYPE_SEND);
	expect_eq(srights_at(self, port), 1);
	expect_result(mach_port_insert_right(a->task, 0x5556, port, MACH_MSG_TYPE_MAKE_SEND), KERN_RIGHT_EXISTS);
	expect_ok(send_id_at(a, 0x5555, 3));
	expect_message_at(self, port, 3);
	expect_ok(mach_port_extract_right(a->task, 0x5555, MACH_MSG_TYPE_MOVE_SEND, &name, &type));
	expect_eq(name, port);
	expect_eq(type, MACH_MSG_TYPE_PORT_SEND);
	expect_eq(type_at(a, 0x5555), 0);
	/* of a port of theirs */
	expect_ok(mach_port_extract_right(a->task, theirs, MACH_MSG_TYPE_MAKE_SEND_ONCE, &name, &type));
	expect_eq(type_at(self, name), MACH_PORT_TYPE_SEND_ONCE);
	expect_ok(deallocate_at(self, name));
	expect_message_at(a, theirs, MACH_NOTIFY_SEND_ONCE);
	/* and the receive right itself */
	expect_ok(mach_port_extract_right(a->task, theirs, MACH_MSG_TYPE_MOVE_RECEIVE, &name, &type));
	expect_eq(type_at(self, name), MACH_PORT_TYPE_RECEIVE);
	expect_ok(destroy_at(self, name));
	expect_result(mach_port_extract_right(a->task, 0x7654321, MACH_MSG_TYPE_COPY_SEND, &name, &type),
		      KERN_INVALID_NAME);
	expect_ok(destroy_at(self, port));
}

static void a_childs_ports_are_set_and_asked(void **state)
{
	struct process *a = process_start();
	mach_port_t port = port_at(a), notify = port_at(self), name, previous;
	mach_port_status_t status;
	mach_port_rights_t n;

	(void)state;
	expect_ok(mach_port_set_qlimit(a->task, port, 7));
	expect_ok(mach_port_set_seqno(a->task, port, 70));
	expect_ok(mach_port_set_mscount(a->task, port, 700));
	expect_ok(mach_port_get_receive_status(a->task, port, &status));
	expect_eq(status.mps_qlimit, 7);
	expect_eq(status.mps_seqno, 70);
	expect_eq(status.mps_mscount, 700);
	expect_ok(mach_port_request_notification(a->task, port, MACH_NOTIFY_NO_SENDERS, 0, notify,
						 MACH_MSG_TYPE_MAKE_SEND_ONCE, &previous));
	expect_eq(previous, MACH_PORT_NULL);
	name = give_send_to(a, port, self);
	expect_ok(mach_port_get_srights(a->task, port, &n));
	expect_eq(n, 1);
	expect_ok(deallocate_at(self, name));
	expect_message_at(self, notify, MACH_NOTIFY_NO_SENDERS);
	expect_result(mach_port_set_qlimit(a->task, port, 100000), KERN_INVALID_VALUE);
	expect_result(mach_port_get_receive_status(a->task, 0x7654321, &status), KERN_INVALID_NAME);
	expect_ok(destroy_at(a, port));
	expect_ok(destroy_at(self, notify));
}

static void a_child_is_terminated_by_its_port(void **state)
{
	struct process *a = process_start();
	int status;

	(void)state;
	expect_ok(watch_at(self, DEAD_NAME, a->task));
	expect_ok(task_terminate(a->task));
	expect_notice_at(self, DEAD_NAME, a->task);
	status = process_wait(a);
	assert_true(WIFSIGNALED(status) || WIFEXITED(status));
}

static void the_port_of_a_task_dies_with_its_process(void **state)
{
	struct process *a = process_start();
	task_t task = a->task;
	mach_port_t port;

	(void)state;
	expect_ok(mod_refs_at(self, task, MACH_PORT_RIGHT_SEND, 1));
	process_end(a);
	await(type_at(self, task) == MACH_PORT_TYPE_DEAD_NAME);
	expect_result(mach_port_allocate(task, MACH_PORT_RIGHT_RECEIVE, &port), MACH_SEND_INVALID_DEST);
	expect_ok(deallocate_at(self, task));
}

/* Whoever holds the port may ask, not just the parent. */
static void do_allocate_in(long *n)
{
	mach_port_t port = MACH_PORT_NULL;

	n[0] = mach_port_allocate((task_t)n[0], MACH_PORT_RIGHT_RECEIVE, &port);
	n[1] = port;
}

static void a_task_port_works_for_whoever_holds_it(void **state)
{
	struct process *a = process_start(), *b = process_start();
	mach_port_t task = give(self, a->task, MACH_MSG_TYPE_COPY_SEND, b);
	long n[NUMBERS] = { task };

	(void)state;
	expect_ok((kern_return_t)ask_all(b, do_allocate_in, n));
	expect_eq(type_at(a, (mach_port_t)n[1]), MACH_PORT_TYPE_RECEIVE);
	expect_ok(destroy_at(a, (mach_port_t)n[1]));
	expect_ok(deallocate_at(b, task));
}

/* ---- starting programs */

static kern_return_t start(struct portunus_spawn *how, pid_t *pid)
{
	task_t task;
	kern_return_t r = portunus_spawn(how, pid, &task);

	if (!r && task != MACH_PORT_DEAD) /* it may have ended by now */
		expect_ok(mach_port_deallocate(here(), task));
	return r;
}

static int status_of_child(pid_t pid)
{
	int status = -1;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void what_cannot_be_started_gives_the_rights_back(void **state)
{
	mach_port_t port = port_at(self), again = port_at(self);
	mach_port_t ports[65] = { port, again };
	mach_msg_type_name_t dispositions[65] = { MACH_MSG_TYPE_MAKE_SEND, MACH_MSG_TYPE_MAKE_SEND };
	struct portunus_spawn how = {
		.path = "/nonexistent", .ports = ports, .dispositions = dispositions, .n_ports = 2
	};
	pid_t pid;

	(void)state;
	errno = 0;
	expect_result(start(&how, &pid), KERN_FAILURE);
	assert_int_equal(errno, ENOENT);
	expect_eq(srights_at(self, port), 0);
	how.path = "/etc";
	expect_result(start(&how, &pid), KERN_FAILURE);
	assert_int_equal(errno, EACCES);
	expect_eq(srights_at(self, again), 0);
	dispositions[1] = MACH_MSG_TYPE_MAKE_SEND_ONCE;
	expect_result(start(&how, &pid), KERN_INVALID_VALUE);
	dispositions[1] = MACH_MSG_TYPE_MOVE_RECEIVE;
	expect_result(start(&how, &pid), KERN_INVALID_VALUE);
	dispositions[1] = MACH_MSG_TYPE_MAKE_SEND;
	ports[1] = 0x7654321;
	expect_result(start(&how, &pid), MACH_SEND_INVALID_RIGHT);
	expect_eq(srights_at(self, port), 0);
	how.n_ports = PORTUNUS_SPAWN_PORTS_MAX + 1;
	expect_result(start(&how, &pid), KERN_INVALID_ARGUMENT);
	how.n_ports = 1;
	how.flags = 1;
	expect_result(start(&how, &pid), KERN_INVALID_ARGUMENT);
	how.flags = 0;
	how.path = NULL;
	expect_result(start(&how, &pid), KERN_INVALID_ARGUMENT);
	expect_result(start(NULL, &pid), KERN_INVALID_ARGUMENT);
	expect_eq(srights_at(self, port), 0);
	expect_ok(destroy_at(self, port));
	expect_ok(destroy_at(self, again));
}

static void a_program_that_never_uses_ports_releases_them_when_it_ends(void **state)
{
	char program[] = "/bin/sh", option[] = "-c", script[] = "exit 7", *argv[] = { program, option, script, NULL };
	mach_port_t port = port_at(self);
	mach_msg_type_name_t disposition = MACH_MSG_TYPE_MAKE_SEND;
	struct portunus_spawn how = {
		.path = program, .argv = argv, .ports = &port, .dispositions = &disposition, .n_ports = 1
	};
	pid_t pid;

	(void)state;
	expect_ok(watch_at(self, NO_SENDERS, port));
	expect_ok(start(&how, &pid));
	assert_int_equal(WEXITSTATUS(status_of_child(pid)), 7);
	expect_notice_at(self, NO_SENDERS, port);
	expect_ok(destroy_at(self, port));
}

/* Through each right goes its number: what the child finds is what was given, in that order. */
static void do_send_to_all(long *n)
{
	for (unsigned i = 0; i < n_given_ports; i++) {
		expect_ok(send_id(here(), given_ports[i], (int)i));
		expect_ok(mach_port_deallocate(here(), given_ports[i]));
	}
	n[0] = n_given_ports;
}

static void sixty_four_rights_come_in_their_order(void **state)
{
	enum { N = PORTUNUS_SPAWN_PORTS_MAX - 1 }; /* and that to the mailbox */
	mach_port_t ports[N];
	struct process *a;

	(void)state;
	for (int i = 0; i < N; i++)
		ports[i] = port_with_send_at(self);
	a = process_start_given(ports, N);
	expect_eq(ask(a, do_send_to_all), N);
	for (int i = 0; i < N; i++)
		expect_message_at(self, ports[i], i);
	process_end(a);
	for (int i = 0; i < N; i++)
		expect_ok(destroy_at(self, ports[i]));
}

/* ---- grandchildren */

static void do_spawn_grandchild(long *n)
{
	char program[] = "/bin/sh", option[] = "-c", script[] = "read x; exit 3",
	     *argv[] = { program, option, script, NULL };
	mach_port_t port = (mach_port_t)n[0];
	posix_spawn_file_actions_t actions;
	struct portunus_spawn how = {
		.path = program, .argv = argv, .ports = &port, .n_ports = 1, .file_actions = &actions
	};
	int ends[2];
	pid_t pid;

	assert_int_equal(pipe(ends), 0);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, ends[0], 0);
	posix_spawn_file_actions_addclose(&actions, ends[1]);
	expect_ok(portunus_spawn(&how, &pid, NULL));
	posix_spawn_file_actions_destroy(&actions);
	close(ends[0]);
	n[0] = pid;
	n[1] = ends[1];
}

static void do_end_grandchild(long *n)
{
	close((int)n[1]);
	assert_int_equal(WEXITSTATUS(status_of_child((pid_t)n[0])), 3);
}

/* A right goes through the child to a grandchild, is counted, and is released when that ends. */
static void a_grandchild_holds_rights_of_its_own(void **state)
{
	struct process *a = process_start();
	mach_port_t port = port_at(self), name = give_send_to(self, port, a);
	long n[NUMBERS] = { name };

	(void)state;
	expect_ok(watch_at(self, NO_SENDERS, port));
	ask_all(a, do_spawn_grandchild, n);
	expect_ok(deallocate_at(a, name));
	expect_no_notice_at(self);
	ask_all(a, do_end_grandchild, n);
	expect_notice_at(self, NO_SENDERS, port);
	expect_ok(destroy_at(self, port));
}

/* ---- forks */

/* The child of a fork has nothing of its parent's rights, and its end is not its parent's. */
static void do_fork_and_end(long *n)
{
	pid_t pid = fork();
	mach_port_t port;

	if (pid == 0) {
		bool ok = mach_port_allocate(mach_task_self(), MACH_PORT_RIGHT_RECEIVE, &port) == KERN_SUCCESS &&
			  type_of(here(), (mach_port_t)n[0]) != MACH_PORT_TYPE_SEND;

		_exit(ok ? 5 : 6);
	}
	n[0] = WEXITSTATUS(status_of_child(pid));
}

static void the_child_of_a_fork_is_somebody_else(struct process *owner, struct process *holder)
{
	mach_port_t port = port_at(owner), name = give_send_to(owner, port, holder);

	expect_ok(mod_refs_at(holder, name, MACH_PORT_RIGHT_SEND, 1));
	expect_ok(watch_at(owner, NO_SENDERS, port));
	for (int i = 0; i < 3; i++) {
		expect_eq(ask(holder, do_fork_and_end, name), 5);
		expect_ok(send_id_at(holder, name, i));
		expect_message_at(owner, port, i);
		expect_eq(ask(owner, do_fork_and_end, 0x7654321), 5);
		expect_ok(send_id_at(holder, name, i));
		expect_message_at(owner, port, i);
	}
	expect_no_notice_at(owner);
	expect_eq(srights_at(owner, port), 1);
	expect_ok(mod_refs_at(holder, name, MACH_PORT_RIGHT_SEND, -2));
	expect_notice_at(owner, NO_SENDERS, port);
	expect_ok(destroy_at(owner, port));
}

/* A child of a fork that lives on when its parent is killed does not hide that. */
static void do_fork_and_stay(long *n)
{
	pid_t pid = fork();

	if (pid == 0) {
		pause();
		_exit(0);
	}
	n[0] = pid;
}

static void the_death_of_a_process_shows_though_a_child_of_its_fork_lives(void **state)
{
	struct process *a = process_start();
	mach_port_t port = port_at(a), name = give_send_to(a, port, self);
	pid_t pid = (pid_t)ask(a, do_fork_and_stay);

	(void)state;
	expect_ok(watch_at(self, DEAD_NAME, name));
	process_kill(a, SIGKILL);
	expect_notice_at(self, DEAD_NAME, name);
	kill(pid, SIGKILL);
	expect_ok(deallocate_at(self, name));
}

/* ---- who sent it */

struct traced {
	mach_port_t port;
	mach_msg_audit_trailer_t trailer;
};

static void do_receive_traced(void *arg)
{
	struct traced *traced = arg;
	struct letter l;

	expect_ok(mach_msg(&l.header,
			   MACH_RCV_MSG | MACH_RCV_TIMEOUT | MACH_RCV_TRAILER_TYPE(MACH_MSG_TRAILER_FORMAT_0) |
				   MACH_RCV_TRAILER_ELEMENTS(MACH_RCV_TRAILER_AUDIT),
			   0, sizeof l.bytes, traced->port, 30000, MACH_PORT_NULL));
	memcpy(&traced->trailer, l.bytes + l.header.msgh_size, sizeof traced->trailer);
}

static void do_who(long *n)
{
	n[0] = getpid();
	n[1] = geteuid();
	n[2] = getegid();
}

static void the_sender_is_who_linux_says(struct process *owner, struct process *holder)
{
	mach_port_t port = port_at(owner), name = give_send_to(owner, port, holder);
	struct traced traced = { .port = port };
	long who[NUMBERS] = { 0 };

	ask_all(holder, do_who, who);
	expect_ok(send_id_at(holder, name, 1));
	at(owner, do_receive_traced, &traced, sizeof traced);
	expect_eq(traced.trailer.msgh_audit.val[5], who[0]);
	expect_eq(traced.trailer.msgh_audit.val[1], who[1]);
	expect_eq(traced.trailer.msgh_audit.val[2], who[2]);
	expect_eq(traced.trailer.msgh_sender.val[0], who[1]);
	expect_eq(traced.trailer.msgh_sender.val[1], who[2]);
	expect_eq(traced.trailer.msgh_seqno, 0);
	expect_ok(destroy_at(owner, port));
	await(type_at(holder, name) == MACH_PORT_TYPE_DEAD_NAME);
	expect_ok(deallocate_at(holder, name));
}

/* Its kernel is a part of that process, and nobody there can pass for the kernel here. */
static void what_another_kernel_sends_is_from_its_process(struct process *owner, struct process *holder)
{
	mach_port_t port = port_at(owner);
	struct traced traced = { .port = port };
	long who[NUMBERS] = { 0 };

	ask_all(holder, do_who, who);
	expect_ok(deallocate_at(holder, give_send_once_to(owner, port, holder)));
	at(owner, do_receive_traced, &traced, sizeof traced);
	expect_eq(traced.trailer.msgh_audit.val[5], who[0]);
	expect_ok(destroy_at(owner, port));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		family_test(names_of_a_child_are_made_and_ended),
		family_test(rights_are_put_into_a_child_and_taken_out),
		family_test(a_childs_ports_are_set_and_asked),
		family_test(a_child_is_terminated_by_its_port),
		family_test(the_port_of_a_task_dies_with_its_process),
		family_test(a_task_port_works_for_whoever_holds_it),
		family_test(what_cannot_be_started_gives_the_rights_back),
		family_test(a_program_that_never_uses_ports_releases_them_when_it_ends),
		family_test(sixty_four_rights_come_in_their_order),
		family_test(a_grandchild_holds_rights_of_its_own),
		pair_tests(the_child_of_a_fork_is_somebody_else),
		family_test(the_death_of_a_process_shows_though_a_child_of_its_fork_lives),
		pair_tests(the_sender_is_who_linux_says),
		pair_tests(what_another_kernel_sends_is_from_its_process),
	};

	return family_main(argc, argv, tests);
}
