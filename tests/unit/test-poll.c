/* SPDX-License-Identifier: MIT */
/* portunus_port_fd: a descriptor that polls readable exactly while a receive would not block. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <portunus/poll.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/mig.h"
#include "kernel/kernel.h"
#include "kernel/watch.h"
#include "world.h"

static int fd_of(mach_port_t name)
{
	int fd = portunus_port_fd(name);

	assert_true(fd >= 0);
	return fd;
}

static bool is_readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int n = poll(&p, 1, 0);

	assert_true(n >= 0 && (p.revents & ~POLLIN) == 0);
	return n == 1;
}

static bool select_says(int fd)
{
	struct timeval now = { 0 };
	fd_set set;

	FD_ZERO(&set);
	FD_SET(fd, &set);
	return select(fd + 1, &set, NULL, NULL, &now) == 1;
}

static bool epoll_says(int epoll)
{
	struct epoll_event event;

	return epoll_wait(epoll, &event, 1, 0) == 1;
}

static void readable_while_a_message_is_queued(void **state)
{
	mach_port_t p = port_with_send_in(here());
	int fd = fd_of(p);

	(void)state;
	assert_false(is_readable(fd));
	expect_ok(send_id(here(), p, 1));
	assert_true(is_readable(fd));
	expect_ok(send_id(here(), p, 2));
	expect_message(here(), p, 1);
	assert_true(is_readable(fd));
	expect_message(here(), p, 2);
	assert_false(is_readable(fd));
	close(fd);
	expect_ok(mach_port_destroy(here(), p));
}

static void poll_select_and_epoll_agree(void **state)
{
	mach_port_t p = port_with_send_in(here());
	int fd = fd_of(p), level = epoll_create1(0), edge = epoll_create1(0);
	struct epoll_event in = { .events = EPOLLIN }, edges = { .events = EPOLLIN | EPOLLET };

	(void)state;
	assert_int_equal(epoll_ctl(level, EPOLL_CTL_ADD, fd, &in), 0);
	assert_int_equal(epoll_ctl(edge, EPOLL_CTL_ADD, fd, &edges), 0);
	for (int i = 0; i < 3; i++) {
		assert_false(is_readable(fd) || select_says(fd) || epoll_says(level) || epoll_says(edge));
		expect_ok(send_id(here(), p, i));
		assert_true(is_readable(fd) && select_says(fd) && epoll_says(level) && epoll_says(level));
		assert_true(epoll_says(edge));
		assert_false(epoll_says(edge));
		expect_message(here(), p, i);
	}
	close(level);
	close(edge);
	close(fd);
	expect_ok(mach_port_destroy(here(), p));
}

static void what_was_queued_before_is_seen(void **state)
{
	mach_port_t p = port_with_send_in(here());
	int fd;

	(void)state;
	expect_ok(send_id(here(), p, 1));
	fd = fd_of(p);
	assert_true(is_readable(fd));
	expect_message(here(), p, 1);
	assert_false(is_readable(fd));
	close(fd);
	expect_ok(mach_port_destroy(here(), p));
}

static void each_call_gives_a_descriptor_of_its_own(void **state)
{
	mach_port_t p = port_with_send_in(here());
	int first = fd_of(p), second = fd_of(p);

	(void)state;
	assert_int_not_equal(first, second);
	assert_int_equal(fcntl(first, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fcntl(second, F_GETFD), FD_CLOEXEC);
	assert_int_equal(watch_count(), 1);
	close(first);
	expect_ok(send_id(here(), p, 1));
	assert_true(is_readable(second));
	close(second);
	expect_message(here(), p, 1);
	second = fd_of(p);
	assert_false(is_readable(second));
	close(second);
	expect_ok(mach_port_destroy(here(), p));
	assert_int_equal(watch_count(), 0);
}

static void what_is_no_receive_right_is_refused(void **state)
{
	struct world *w = *state;
	mach_port_t p = port_in(w->a), send = give_send(w->a, p, here()), once = give_send_once(w->a, p, here()),
		    dead = dead_name_in(here());
	mach_port_t refused[] = { send, once, dead, UNUSED_NAME, MACH_PORT_NULL, MACH_PORT_DEAD };

	for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
		errno = 0;
		assert_int_equal(portunus_port_fd(refused[i]), -1);
		assert_int_equal(errno, EBADF);
	}
	assert_int_equal(watch_count(), 0);
	expect_ok(mach_port_deallocate(here(), send));
	expect_ok(mach_port_deallocate(here(), dead));
	expect_ok(mach_port_destroy(here(), once));
}

static void fill_descriptors(struct rlimit *old)
{
	struct rlimit limit;
	int lowest = dup(0);

	close(lowest);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, old), 0);
	limit = *old;
	limit.rlim_cur = (rlim_t)lowest;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static void want_of_descriptors_leaves_no_trace(void **state)
{
	mach_port_t p = port_with_send_in(here());
	struct rlimit old, one_more;
	int fd;

	(void)state;
	fill_descriptors(&old);
	assert_int_equal(portunus_port_fd(p), -1);
	assert_int_equal(errno, EMFILE);
	assert_int_equal(watch_count(), 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &one_more), 0);
	one_more.rlim_cur++;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &one_more), 0);
	assert_int_equal(portunus_port_fd(p), -1);
	assert_int_equal(errno, EMFILE);
	assert_int_equal(watch_count(), 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	fd = fd_of(p);
	close(fd);
	expect_ok(mach_port_destroy(here(), p));
}

static void a_message_left_as_too_large_stays_visible(void **state)
{
	mach_port_t p = port_with_send_in(here());
	int fd = fd_of(p);
	struct letter l;

	(void)state;
	letter_to(&l, p, MACH_MSG_TYPE_COPY_SEND, 7);
	for (int i = 0; i < 20; i++)
		letter_add_int(&l, i);
	expect_ok(post(here(), &l));
	expect_result(fetch_with(here(), p, &l, MACH_RCV_LARGE, sizeof(mach_msg_header_t)), MACH_RCV_TOO_LARGE);
	assert_true(is_readable(fd));
	expect_message(here(), p, 7);
	assert_false(is_readable(fd));
	close(fd);
	expect_ok(mach_port_destroy(here(), p));
}

static void a_full_queue_refilled_by_a_blocked_sender_stays_visible(void **state)
{
	mach_port_t p = port_with_send_in(here());
	int fd = fd_of(p);
	struct caller c;

	(void)state;
	expect_ok(mach_port_set_qlimit(here(), p, 1));
	expect_ok(send_id(here(), p, 1));
	letter_to(&c.letter, p, MACH_MSG_TYPE_COPY_SEND, 2);
	caller_start_send(&c, here(), 0);
	expect_message(here(), p, 1);
	expect_ok(caller_join(&c));
	assert_true(is_readable(fd));
	expect_message(here(), p, 2);
	assert_false(is_readable(fd));
	close(fd);
	expect_ok(mach_port_destroy(here(), p));
}

static void raising_the_limit_shows_what_it_lets_in(void **state)
{
	mach_port_t p = port_with_send_in(here());
	int fd = fd_of(p);
	struct caller c;

	(void)state;
	expect_ok(mach_port_set_qlimit(here(), p, 0));
	letter_to(&c.letter, p, MACH_MSG_TYPE_COPY_SEND, 1);
	caller_start_send(&c, here(), 0);
	assert_false(is_readable(fd));
	expect_ok(mach_port_set_qlimit(here(), p, 1));
	assert_true(is_readable(fd));
	expect_ok(caller_join(&c));
	expect_message(here(), p, 1);
	close(fd);
	expect_ok(mach_port_destroy(here(), p));
}

static void a_message_handed_over_is_not_seen(void **state)
{
	mach_port_t p = port_with_send_in(here());
	int fd = fd_of(p), edge = epoll_create1(0);
	struct epoll_event edges = { .events = EPOLLIN | EPOLLET };
	struct caller c;

	(void)state;
	assert_int_equal(epoll_ctl(edge, EPOLL_CTL_ADD, fd, &edges), 0);
	caller_start_receive(&c, here(), p, 0);
	expect_ok(send_id(here(), p, 1));
	expect_ok(caller_join(&c));
	assert_false(epoll_says(edge)); /* not for a moment */
	close(edge);
	close(fd);
	expect_ok(mach_port_destroy(here(), p));
}

/* ---- sets */

static void a_set_shows_messages_of_its_members(void **state)
{
	mach_port_t p = port_with_send_in(here()), q = port_with_send_in(here()), s = set_in(here());
	int fd = fd_of(s);

	(void)state;
	expect_ok(send_id(here(), p, 1));
	assert_false(is_readable(fd));
	expect_ok(mach_port_move_member(here(), p, s));
	assert_true(is_readable(fd));
	expect_ok(mach_port_move_member(here(), q, s));
	expect_ok(send_id(here(), q, 2));
	expect_message(here(), s, 1);
	assert_true(is_readable(fd));
	expect_message(here(), s, 2);
	assert_false(is_readable(fd));
	expect_ok(send_id(here(), q, 3));
	assert_true(is_readable(fd));
	expect_ok(mach_port_move_member(here(), q, MACH_PORT_NULL));
	assert_false(is_readable(fd));
	expect_ok(mach_port_move_member(here(), q, s));
	assert_true(is_readable(fd));
	expect_ok(mach_port_destroy(here(), q));
	assert_false(is_readable(fd));
	close(fd);
	expect_ok(mach_port_destroy(here(), p));
	expect_ok(mach_port_destroy(here(), s));
}

static void a_member_is_readable_while_it_is_in_a_set(void **state)
{
	mach_port_t p = port_with_send_in(here()), s = set_in(here()), t = set_in(here());
	int fd = fd_of(p);
	struct letter l;

	(void)state;
	expect_ok(mach_port_move_member(here(), p, s));
	expect_result(fetch(here(), p, &l), MACH_RCV_IN_SET);
	assert_true(is_readable(fd));
	expect_ok(mach_port_move_member(here(), p, t));
	assert_true(is_readable(fd));
	expect_ok(mach_port_move_member(here(), p, MACH_PORT_NULL));
	assert_false(is_readable(fd));
	expect_ok(mach_port_move_member(here(), p, s));
	expect_ok(send_id(here(), p, 1));
	expect_ok(mach_port_destroy(here(), s));
	assert_true(is_readable(fd));
	expect_message(here(), p, 1);
	assert_false(is_readable(fd));
	close(fd);
	expect_ok(mach_port_destroy(here(), p));
	expect_ok(mach_port_destroy(here(), t));
}

static void what_a_port_brings_to_waiting_threads_leaves_no_level(void **state)
{
	mach_port_t p = port_with_send_in(here()), s = set_in(here());
	int of_port = fd_of(p), of_set = fd_of(s);
	struct caller c;

	(void)state;
	expect_ok(send_id(here(), p, 1));
	caller_start_receive(&c, here(), s, 0);
	expect_ok(mach_port_move_member(here(), p, s));
	expect_ok(caller_join(&c));
	assert_false(is_readable(of_set));
	expect_ok(mach_port_move_member(here(), p, MACH_PORT_NULL));
	assert_false(is_readable(of_port));
	close(of_port);
	close(of_set);
	expect_ok(mach_port_destroy(here(), p));
	expect_ok(mach_port_destroy(here(), s));
}

/* ---- ends */

static void readable_for_good_when_the_right_is_destroyed(void **state)
{
	mach_port_t p = port_with_send_in(here()), s = set_in(here());
	int of_port = fd_of(p), of_set = fd_of(s);

	(void)state;
	assert_int_equal(watch_count(), 2);
	expect_ok(end_receive(here(), p));
	expect_ok(mach_port_destroy(here(), s));
	assert_true(is_readable(of_port) && is_readable(of_set));
	assert_int_equal(watch_count(), 0);
	close(of_port);
	close(of_set);
	expect_ok(mach_port_deallocate(here(), p));
}

static void readable_for_good_when_the_right_is_moved(void **state)
{
	mach_port_t p = port_with_send_in(here()), q = port_with_send_in(here());
	int old = fd_of(p), new;
	struct letter l;

	(void)state;
	expect_ok(send_moving_receive(here(), q, p));
	assert_true(is_readable(old));
	assert_int_equal(watch_count(), 0);
	expect_ok(fetch(here(), q, &l));
	assert_int_equal(letter_port(&l), p); /* its send right kept the name */
	new = fd_of(p);
	assert_true(is_readable(old));
	assert_false(is_readable(new));
	expect_ok(send_id(here(), p, 1));
	expect_message(here(), p, 1);
	assert_true(is_readable(old));
	assert_false(is_readable(new));
	close(old);
	close(new);
	expect_ok(mach_port_destroy(here(), p));
	expect_ok(mach_port_destroy(here(), q));
}

static void readable_for_good_when_the_task_ends(void **state)
{
	struct world *w = *state;
	mach_port_t p = port_in(w->a), s = set_in(w->a);
	int of_port, of_set;

	in_task_begin(w->a);
	of_port = fd_of(p);
	of_set = fd_of(s);
	in_task_end();
	assert_false(is_readable(of_port) || is_readable(of_set));
	expect_ok(task_terminate(w->a));
	assert_true(is_readable(of_port) && is_readable(of_set));
	close(of_port);
	close(of_set);
	assert_int_equal(watch_count(), 0);
}

static void renaming_changes_nothing(void **state)
{
	mach_port_t p = port_with_send_in(here());
	int fd = fd_of(p);

	(void)state;
	expect_ok(mach_port_rename(here(), p, 0x4242));
	expect_ok(send_id(here(), 0x4242, 1));
	assert_true(is_readable(fd));
	expect_message(here(), 0x4242, 1);
	assert_false(is_readable(fd));
	close(fd);
	expect_ok(mach_port_destroy(here(), 0x4242));
}

/* ---- the counts, for those who bring messages from elsewhere */

static atomic_int n_begun;

static void note_begin(void)
{
	assert_int_equal(watch_count(), 1);
	n_begun++;
}

static void the_first_watch_is_told(void **state)
{
	struct kernel_hooks usual = { .thread_leaves = mig_reply_port_forget }, hooks = usual;
	mach_port_t p = port_in(here()), q = port_in(here());

	(void)state;
	hooks.watch_begins = note_begin;
	kernel_set_hooks(&hooks);
	close(fd_of(p));
	assert_int_equal(n_begun, 1);
	close(fd_of(p));
	close(fd_of(q));
	assert_int_equal(n_begun, 1);
	assert_int_equal(watch_count(), 2);
	expect_ok(mach_port_destroy(here(), p));
	expect_ok(mach_port_destroy(here(), q));
	assert_int_equal(watch_count(), 0);
	close(fd_of(p = port_in(here())));
	assert_int_equal(n_begun, 2);
	expect_ok(mach_port_destroy(here(), p));
	kernel_set_hooks(&usual);
}

/* ---- fork */

static unsigned count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* In the child: 0 if all is well. */
static int look_around_in_child(unsigned n_fds)
{
	mach_port_t p;
	int fd;

	if (count_fds() != n_fds || watch_count() != 0)
		return 1;
	if (mach_port_allocate(mach_task_self(), MACH_PORT_RIGHT_RECEIVE, &p))
		return 2;
	fd = portunus_port_fd(p);
	return fd >= 0 && !is_readable(fd) ? 0 : 3;
}

static void the_child_of_a_fork_keeps_no_descriptors(void **state)
{
	mach_port_t p = port_with_send_in(here());
	unsigned n_fds = count_fds();
	int fd = fd_of(p), status = 0;
	pid_t pid;

	(void)state;
	expect_ok(send_id(here(), p, 1));
	pid = fork();
	if (pid == 0)
		_exit(look_around_in_child(n_fds + 1)); /* the duplicate is the caller's */
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_true(is_readable(fd));
	expect_message(here(), p, 1);
	assert_false(is_readable(fd));
	close(fd);
	expect_ok(mach_port_destroy(here(), p));
}

/* ---- threads */

enum { N_THREADS = 4, N_EACH = 5000 };

static struct {
	mach_port_t ports[2], set;
	int fd;
	atomic_int n_received;
	atomic_bool is_wrong;
} race;

static void *keep_sending(void *unused)
{
	for (int i = 0; i < N_EACH; i++) {
		mach_msg_header_t m = {
			.msgh_bits = MACH_MSGH_BITS(MACH_MSG_TYPE_COPY_SEND, 0),
			.msgh_remote_port = race.ports[i % 2],
		};

		if (mach_msg(&m, MACH_SEND_MSG, sizeof m, 0, MACH_PORT_NULL, 0, MACH_PORT_NULL))
			race.is_wrong = true;
	}
	return unused;
}

/* By the descriptor alone: a level that is lost would leave this waiting for ever. */
static void *keep_receiving(void *unused)
{
	struct pollfd p = { .fd = race.fd, .events = POLLIN };
	mach_msg_header_t m;

	while (race.n_received < N_THREADS * N_EACH) {
		mach_msg_return_t r;

		if (poll(&p, 1, 10000) != 1)
			race.is_wrong = true;
		if (race.is_wrong)
			break;
		r = mach_msg(&m, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof m, race.set, 0, MACH_PORT_NULL);
		if (r == MACH_MSG_SUCCESS && ++race.n_received == N_THREADS * N_EACH)
			mach_port_destroy(mach_task_self(), race.set); /* for the others */
		else if (r != MACH_MSG_SUCCESS && r != MACH_RCV_TIMED_OUT && r != MACH_RCV_INVALID_NAME)
			race.is_wrong = true;
	}
	return unused;
}

static void *keep_moving(void *unused)
{
	while (race.n_received < N_THREADS * N_EACH && !race.is_wrong) {
		mach_port_move_member(mach_task_self(), race.ports[0], MACH_PORT_NULL);
		mach_port_move_member(mach_task_self(), race.ports[0], race.set);
	}
	return unused;
}

static void no_level_is_lost_between_threads(void **state)
{
	pthread_t senders[N_THREADS], receivers[2], mover;

	(void)state;
	memset(&race, 0, sizeof race);
	race.set = set_in(here());
	for (int i = 0; i < 2; i++) {
		race.ports[i] = port_with_send_in(here());
		expect_ok(mach_port_move_member(here(), race.ports[i], race.set));
	}
	race.fd = fd_of(race.set);
	for (int i = 0; i < N_THREADS; i++)
		pthread_create(&senders[i], NULL, keep_sending, NULL);
	for (int i = 0; i < 2; i++)
		pthread_create(&receivers[i], NULL, keep_receiving, NULL);
	pthread_create(&mover, NULL, keep_moving, NULL);
	for (int i = 0; i < N_THREADS; i++)
		pthread_join(senders[i], NULL);
	for (int i = 0; i < 2; i++)
		pthread_join(receivers[i], NULL);
	pthread_join(mover, NULL);
	assert_false(race.is_wrong);
	assert_int_equal(race.n_received, N_THREADS * N_EACH);
	close(race.fd);
	for (int i = 0; i < 2; i++)
		expect_ok(mach_port_destroy(here(), race.ports[i]));
}

/* Two threads ask for the same port at one moment: there is one watch, and both descriptors tell of it. */
static void *ask_for_fd(void *port)
{
	return (void *)(intptr_t)portunus_port_fd(*(mach_port_t *)port);
}

static void two_first_calls_at_once_make_one_watch(void **state)
{
	(void)state;
	for (int i = 0; i < 200; i++) {
		mach_port_t p = port_with_send_in(here());
		void *other;
		pthread_t t;
		int fd;

		pthread_create(&t, NULL, ask_for_fd, &p);
		fd = fd_of(p);
		pthread_join(t, &other);
		assert_int_equal(watch_count(), 1);
		expect_ok(send_id(here(), p, 1));
		assert_true(is_readable(fd) && is_readable((int)(intptr_t)other));
		close(fd);
		close((int)(intptr_t)other);
		expect_ok(mach_port_destroy(here(), p));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		world_test(readable_while_a_message_is_queued),
		world_test(poll_select_and_epoll_agree),
		world_test(what_was_queued_before_is_seen),
		world_test(each_call_gives_a_descriptor_of_its_own),
		world_test(what_is_no_receive_right_is_refused),
		world_test(want_of_descriptors_leaves_no_trace),
		world_test(a_message_left_as_too_large_stays_visible),
		world_test(a_full_queue_refilled_by_a_blocked_sender_stays_visible),
		world_test(raising_the_limit_shows_what_it_lets_in),
		world_test(a_message_handed_over_is_not_seen),
		world_test(a_set_shows_messages_of_its_members),
		world_test(a_member_is_readable_while_it_is_in_a_set),
		world_test(what_a_port_brings_to_waiting_threads_leaves_no_level),
		world_test(readable_for_good_when_the_right_is_destroyed),
		world_test(readable_for_good_when_the_right_is_moved),
		world_test(readable_for_good_when_the_task_ends),
		world_test(renaming_changes_nothing),
		world_test(the_first_watch_is_told),
		world_test(the_child_of_a_fork_keeps_no_descriptors),
		cmocka_unit_test(no_level_is_lost_between_threads), /* threads cost memory under some sanitizers */
		world_test(two_first_calls_at_once_make_one_watch),
	};

	return cmocka_run_group_tests_name("poll", tests, NULL, NULL);
}
