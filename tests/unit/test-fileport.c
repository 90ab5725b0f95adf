/* SPDX-License-Identifier: MIT */
/* fileport_makeport, fileport_makefd: an open file as a right. Every test counts descriptors (world.h). */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <portunus/fileport.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel/file.h"
#include "kernel/message.h"
#include "kernel/send.h"
#include "kernel/task.h"
#include "kernel/thread.h"
#include "world.h"

static unsigned count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static fileport_t port_of(int fd)
{
	fileport_t port = FILEPORT_NULL;

	assert_int_equal(fileport_makeport(fd, &port), 0);
	expect_eq(type_of(here(), port), MACH_PORT_TYPE_SEND);
	expect_eq(refs_of(here(), port, MACH_PORT_RIGHT_SEND), 1);
	return port;
}

static int fd_of(fileport_t port)
{
	int fd = fileport_makefd(port);

	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	return fd;
}

/* A file with some text, gone but for the descriptor. */
static int file_with(const char *text)
{
	char name[] = "/tmp/test-fileport-XXXXXX";
	int fd = mkstemp(name);

	assert_true(fd >= 0);
	unlink(name);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	lseek(fd, 0, SEEK_SET);
	return fd;
}

static void expect_text(int fd, const char *text)
{
	char bytes[64];

	assert_int_equal(read(fd, bytes, strlen(text)), strlen(text));
	assert_memory_equal(bytes, text, strlen(text));
}

static void a_descriptor_goes_in_and_comes_out(void **state)
{
	int fd = file_with("onetwo"), out;
	fileport_t port = port_of(fd);

	(void)state;
	out = fd_of(port);
	assert_int_not_equal(out, fd);
	expect_text(fd, "one");
	expect_text(out, "two"); /* one offset */
	close(fd);
	close(out);
	out = fd_of(port); /* as often as one likes, and the port holds the file by itself */
	assert_int_equal(lseek(out, 0, SEEK_SET), 0);
	expect_text(out, "onetwo");
	close(out);
	expect_ok(mach_port_deallocate(here(), port));
}

static void the_file_closes_when_the_last_right_goes(void **state)
{
	fileport_t port;
	int ends[2];
	char byte;

	(void)state;
	assert_int_equal(pipe(ends), 0);
	port = port_of(ends[1]);
	close(ends[1]);
	assert_int_equal(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
	assert_int_equal(read(ends[0], &byte, 1), -1); /* there is a writer */
	expect_ok(mach_port_mod_refs(here(), port, MACH_PORT_RIGHT_SEND, 2));
	expect_ok(mach_port_mod_refs(here(), port, MACH_PORT_RIGHT_SEND, -2));
	assert_int_equal(read(ends[0], &byte, 1), -1);
	expect_ok(mach_port_deallocate(here(), port));
	assert_int_equal(read(ends[0], &byte, 1), 0);
	close(ends[0]);
}

static void each_call_makes_another_port(void **state)
{
	int fd = file_with("x");
	fileport_t one = port_of(fd), two = port_of(fd);

	(void)state;
	assert_int_not_equal(one, two);
	close(fd);
	expect_ok(mach_port_deallocate(here(), one));
	close(fd_of(two));
	expect_ok(mach_port_deallocate(here(), two));
}

static void the_right_travels(void **state)
{
	struct world *w = *state;
	mach_port_t queue = port_in(w->a), to_a = give_send(w->a, queue, here());
	int fd = file_with("text");
	struct letter l;

	letter_to(&l, to_a, MACH_MSG_TYPE_COPY_SEND, 1);
	letter_add_port(&l, port_of(fd), MACH_MSG_TYPE_MOVE_SEND);
	close(fd);
	expect_ok(post(here(), &l));
	expect_ok(fetch(w->a, queue, &l));
	in_task_begin(w->a);
	fd = fd_of(letter_port(&l));
	in_task_end();
	expect_text(fd, "text");
	close(fd);
	expect_ok(mach_port_deallocate(w->a, letter_port(&l)));
	expect_ok(mach_port_deallocate(here(), to_a));
}

static void a_right_that_nobody_receives_closes_its_file(void **state)
{
	mach_port_t queue = port_with_send_in(here());
	unsigned n = count_fds();
	int fd = file_with("text");
	struct letter l;

	(void)state;
	for (int i = 0; i < 3; i++) {
		letter_to(&l, queue, MACH_MSG_TYPE_COPY_SEND, 1);
		letter_add_port(&l, port_of(fd), MACH_MSG_TYPE_MOVE_SEND);
		expect_ok(post(here(), &l));
	}
	close(fd);
	expect_eq(count_fds(), n + 3);
	expect_ok(mach_port_destroy(here(), queue));
	expect_eq(count_fds(), n);
}

static void the_end_of_a_task_closes_its_files(void **state)
{
	struct world *w = *state;
	unsigned n = count_fds();
	fileport_t port;
	int fd = file_with("text");

	in_task_begin(w->a);
	assert_int_equal(fileport_makeport(fd, &port), 0);
	in_task_end();
	close(fd);
	expect_eq(count_fds(), n + 1);
	expect_ok(task_terminate(w->a));
	expect_eq(count_fds(), n);
}

static void who_waits_for_its_death_is_told(void **state)
{
	int fd = file_with("text");
	fileport_t port = port_of(fd);

	(void)state;
	close(fd);
	expect_ok(watch_dead_name(here(), port));
	expect_ok(mach_port_deallocate(here(), port)); /* the last right takes its request along */
	expect_notice(here(), PORT_DELETED, port);
}

/* ---- errors */

static void expect_no_fd(mach_port_t name, int error)
{
	errno = 0;
	assert_int_equal(fileport_makefd(name), -1);
	assert_int_equal(errno, error);
}

static void what_is_no_file_port_is_refused(void **state)
{
	struct world *w = *state;
	mach_port_t p = port_with_send_in(here()), set = set_in(here()), dead = dead_name_in(here()),
		    once = send_once_in(here(), p), other = give_send(w->a, port_in(w->a), here());

	expect_no_fd(p, EINVAL);
	expect_no_fd(other, EINVAL);
	expect_no_message(here(), p); /* nobody was disturbed */
	expect_no_fd(set, EINVAL);
	expect_no_fd(dead, EINVAL);
	expect_no_fd(once, EINVAL);
	expect_no_fd(mach_task_self(), EINVAL);
	expect_no_fd(mach_host_self(), EINVAL);
	expect_no_fd(UNUSED_NAME, EINVAL);
	expect_no_fd(MACH_PORT_NULL, EINVAL);
	expect_no_fd(MACH_PORT_DEAD, EINVAL);
	expect_ok(mach_port_destroy(here(), once));
	expect_ok(mach_port_destroy(here(), p));
	expect_ok(mach_port_destroy(here(), set));
	expect_ok(mach_port_destroy(here(), dead));
	expect_ok(mach_port_destroy(here(), other));
}

static void what_is_no_descriptor_is_refused(void **state)
{
	fileport_t port = 77;
	int fd = dup(0);

	(void)state;
	close(fd);
	assert_int_equal(fileport_makeport(fd, &port), -1);
	assert_int_equal(errno, EBADF);
	assert_int_equal(fileport_makeport(-1, &port), -1);
	assert_int_equal(errno, EBADF);
	assert_int_equal(port, 77);
}

static void a_result_that_cannot_be_written_changes_nothing(void **state)
{
	unsigned n = names_in(here());

	(void)state;
	expect_wild_pointers();
	assert_int_equal(fileport_makeport(0, NULL), -1);
	assert_int_equal(errno, EFAULT);
	assert_int_equal(fileport_makeport(0, WILD_POINTER), -1);
	assert_int_equal(errno, EFAULT);
	expect_eq(names_in(here()), n);
}

static void want_of_descriptors_is_told(void **state)
{
	struct rlimit old, limit;
	fileport_t port = port_of(0), other = FILEPORT_NULL;
	int lowest = dup(0);

	(void)state;
	close(lowest);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	limit = old;
	limit.rlim_cur = (rlim_t)lowest;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	expect_no_fd(port, EMFILE);
	assert_int_equal(fileport_makeport(0, &other), -1);
	assert_int_equal(errno, EMFILE);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	close(fd_of(port));
	expect_ok(mach_port_deallocate(here(), port));
}

/* ---- messages to a file port that a program makes itself */

static void expect_answer(mach_port_t reply, int id, kern_return_t code)
{
	struct letter l;

	expect_ok(fetch(here(), reply, &l));
	expect_eq(l.header.msgh_id, id);
	expect_eq(l.size, sizeof(mig_reply_header_t));
	expect_eq(l.header.msgh_bits & MACH_MSGH_BITS_COMPLEX, 0);
	expect_result(((mig_reply_header_t *)&l.header)->RetCode, code);
}

static void the_answer_to_a_request_by_hand_holds_nothing(void **state)
{
	mach_port_t reply = port_in(here());
	fileport_t port = port_of(0);
	unsigned n = count_fds();
	struct letter l;

	(void)state;
	for (int i = 0; i < 3; i++) {
		letter_to(&l, port, MACH_MSG_TYPE_COPY_SEND, FILE_MESSAGE_ID);
		letter_reply_to(&l, reply, MACH_MSG_TYPE_MAKE_SEND_ONCE);
		expect_ok(post(here(), &l));
	}
	expect_eq(count_fds(), n + 3); /* on their way */
	expect_answer(reply, FILE_MESSAGE_ID + FILE_ANSWER_OFFSET, KERN_SUCCESS);
	expect_eq(count_fds(), n + 2);
	expect_ok(mach_port_destroy(here(), reply));
	expect_eq(count_fds(), n);
	expect_ok(mach_port_deallocate(here(), port));
}

static void requests_that_are_none_are_answered_and_lose_nothing(void **state)
{
	mach_port_t reply = port_in(here()), carried = port_with_send_in(here());
	fileport_t port = port_of(0);
	unsigned n = count_fds();
	struct letter l;

	(void)state;
	letter_to(&l, port, MACH_MSG_TYPE_COPY_SEND, 4711);
	letter_reply_to(&l, reply, MACH_MSG_TYPE_MAKE_SEND_ONCE);
	expect_ok(post(here(), &l));
	expect_answer(reply, 4811, MIG_BAD_ID);

	letter_to(&l, port, MACH_MSG_TYPE_COPY_SEND, FILE_MESSAGE_ID); /* more than a header */
	letter_reply_to(&l, reply, MACH_MSG_TYPE_MAKE_SEND_ONCE);
	letter_add_int(&l, 1);
	expect_ok(post(here(), &l));
	expect_answer(reply, FILE_MESSAGE_ID + FILE_ANSWER_OFFSET, MIG_BAD_ID);

	letter_to(&l, port, MACH_MSG_TYPE_COPY_SEND, FILE_MESSAGE_ID); /* with a right */
	letter_reply_to(&l, reply, MACH_MSG_TYPE_MAKE_SEND_ONCE);
	letter_add_port(&l, carried, MACH_MSG_TYPE_MOVE_RECEIVE);
	expect_ok(post(here(), &l));
	expect_answer(reply, FILE_MESSAGE_ID + FILE_ANSWER_OFFSET, MIG_BAD_ID);
	expect_eq(type_of(here(), carried), MACH_PORT_TYPE_DEAD_NAME);

	letter_to(&l, port, MACH_MSG_TYPE_COPY_SEND, FILE_MESSAGE_ID); /* nobody to answer */
	expect_ok(post(here(), &l));
	letter_to(&l, port, MACH_MSG_TYPE_COPY_SEND, FILE_MESSAGE_ID);
	letter_reply_to(&l, carried, MACH_MSG_TYPE_COPY_SEND);
	expect_ok(post(here(), &l));

	expect_eq(count_fds(), n);
	expect_ok(mach_port_deallocate(here(), carried));
	expect_ok(mach_port_deallocate(here(), port));
	expect_ok(mach_port_destroy(here(), reply));
}

static void a_forged_notification_does_not_end_a_file(void **state)
{
	fileport_t port = port_of(0);
	struct letter l;

	(void)state;
	letter_to(&l, port, MACH_MSG_TYPE_COPY_SEND, MACH_NOTIFY_NO_SENDERS);
	letter_add_int(&l, 1);
	expect_ok(post(here(), &l));
	letter_to(&l, port, MACH_MSG_TYPE_COPY_SEND, MACH_NOTIFY_NO_SENDERS);
	expect_ok(post(here(), &l));
	close(fd_of(port));
	expect_ok(mach_port_deallocate(here(), port));
}

/* A message that brings the last send right: the request is carried out, and then the file ends. */
static void a_request_by_the_last_right_is_answered(void **state)
{
	mach_port_t reply = port_in(here());
	unsigned n = count_fds();
	struct letter l;

	(void)state;
	letter_to(&l, port_of(0), MACH_MSG_TYPE_MOVE_SEND, FILE_MESSAGE_ID);
	letter_reply_to(&l, reply, MACH_MSG_TYPE_MAKE_SEND_ONCE);
	expect_ok(post(here(), &l));
	expect_answer(reply, FILE_MESSAGE_ID + FILE_ANSWER_OFFSET, KERN_SUCCESS);
	expect_eq(count_fds(), n);
	expect_ok(mach_port_destroy(here(), reply));
}

/* What a kernel takes out of an answer that comes from elsewhere. */
static void a_descriptor_belongs_to_its_message(void **state)
{
	mach_port_t p = port_with_send_in(here());
	unsigned n = count_fds();
	struct letter l;

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct message *m = message_new(sizeof(mach_msg_header_t));

		memset(&m->header, 0, sizeof m->header);
		expect_ok(right_copyin(thread_self()->task->space, p, MACH_MSG_TYPE_COPY_SEND, &m->dest));
		m->cpu = 0;
		m->fd = dup(0);
		send_always(m);
	}
	expect_eq(count_fds(), n + 2);
	expect_ok(fetch(here(), p, &l)); /* a task gets the message without it */
	expect_eq(count_fds(), n + 1);
	expect_result(fetch_with(here(), p, &l, 0, 16), MACH_RCV_TOO_LARGE);
	expect_eq(count_fds(), n);
	expect_ok(mach_port_destroy(here(), p));
}

/* ---- fork, threads */

static int look_around_in_child(unsigned n_fds)
{
	fileport_t port;
	int fd;

	if (count_fds() != n_fds)
		return 1;
	if (fileport_makeport(0, &port))
		return 2;
	fd = fileport_makefd(port);
	return fd >= 0 && count_fds() == n_fds + 2 ? 0 : 3;
}

static void the_child_of_a_fork_keeps_no_files(void **state)
{
	unsigned n = count_fds();
	fileport_t port = port_of(0);
	int status = -1;
	pid_t pid = fork();

	(void)state;
	if (pid == 0)
		_exit(look_around_in_child(n));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	close(fd_of(port));
	expect_ok(mach_port_deallocate(here(), port));
}

enum { N_THREADS = 4, N_EACH = 1000 };

static fileport_t shared;
static atomic_bool is_wrong;

static void *make_and_drop(void *unused)
{
	for (int i = 0; i < N_EACH && !is_wrong; i++) {
		fileport_t own;
		int fd = fileport_makefd(shared);

		if (fd < 0 || fileport_makeport(fd, &own)) {
			is_wrong = true;
			break;
		}
		close(fd);
		fd = fileport_makefd(own);
		is_wrong |= fd < 0 || mach_port_deallocate(mach_task_self(), own) != KERN_SUCCESS;
		close(fd);
	}
	return unused;
}

static void many_threads_may_use_them(void **state)
{
	pthread_t threads[N_THREADS];
	unsigned n = count_fds();

	(void)state;
	shared = port_of(0);
	for (int i = 0; i < N_THREADS; i++)
		pthread_create(&threads[i], NULL, make_and_drop, NULL);
	for (int i = 0; i < N_THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_false(is_wrong);
	expect_ok(mach_port_deallocate(here(), shared));
	expect_eq(count_fds(), n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		world_test(a_descriptor_goes_in_and_comes_out),
		world_test(the_file_closes_when_the_last_right_goes),
		world_test(each_call_makes_another_port),
		world_test(the_right_travels),
		world_test(a_right_that_nobody_receives_closes_its_file),
		world_test(the_end_of_a_task_closes_its_files),
		world_test(who_waits_for_its_death_is_told),
		world_test(what_is_no_file_port_is_refused),
		world_test(what_is_no_descriptor_is_refused),
		world_test(a_result_that_cannot_be_written_changes_nothing),
		world_test(want_of_descriptors_is_told),
		world_test(the_answer_to_a_request_by_hand_holds_nothing),
		world_test(requests_that_are_none_are_answered_and_lose_nothing),
		world_test(a_forged_notification_does_not_end_a_file),
		world_test(a_request_by_the_last_right_is_answered),
		world_test(a_descriptor_belongs_to_its_message),
		world_test(the_child_of_a_fork_keeps_no_files),
		cmocka_unit_test(many_threads_may_use_them), /* they cost memory under some sanitizers */
	};

	return cmocka_run_group_tests_name("fileport", tests, NULL, NULL);
}
