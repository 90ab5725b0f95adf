/* SPDX-License-Identifier: MIT */
/* How a program finds its broker, and starts one. The broker that is started is this program itself, as $FAKE says. */
#include "place.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "link/rendezvous.h"

/* ---- the broker that is started */

static void report(FILE *out, int argc, char **argv)
{
	char link[64], target[128] = "";
	struct dirent *entry;
	sigset_t blocked;
	DIR *fds = opendir("/proc/self/fd");

	for (int i = 1; i < argc; i++)
		fprintf(out, "argument %s\n", i == 2 ? "PATH" : argv[i]);
	for (int fd = 0; fd < 3; fd++) {
		snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
		target[readlink(link, target, sizeof target - 1)] = 0;
		fprintf(out, "%d is %s\n", fd, target);
	}
	while ((entry = readdir(fds)))
		if (atoi(entry->d_name) > BROKER_READY_FD && atoi(entry->d_name) != dirfd(fds) &&
		    atoi(entry->d_name) != fileno(out))
			fprintf(out, "left open %s\n", entry->d_name);
	closedir(fds);
	sigprocmask(SIG_BLOCK, NULL, &blocked);
	fprintf(out, "blocked %d ignored %d\n", sigismember(&blocked, SIGUSR1), signal(SIGUSR2, SIG_DFL) == SIG_IGN);
	fprintf(out, "session %s\n", getsid(0) == atoi(getenv("FAKE_SESSION")) ? "of its starter" : "of its own");
	fprintf(out, "in %s\n", getcwd(target, sizeof target));
}

/* Listens, and serves one connection until its end. */
static int fake_broker(int argc, char **argv)
{
	const char *what = getenv("FAKE"), *file = getenv("FAKE_REPORT");
	FILE *out;
	int fd;

	if (strcmp(what, "fails") == 0)
		return 3;
	out = fopen(file, "we");
	report(out, argc, argv);
	fd = listen_plainly(argv[2]);
	fclose(out);
	close(BROKER_READY_FD);
	fd = accept(fd, NULL, NULL);
	while (read(fd, (char[1]){ 0 }, 1) > 0)
		continue;
	return 0;
}

/* ---- its starter */

static void fake(const char *what)
{
	static char self[256], session[16];

	self[readlink("/proc/self/exe", self, sizeof self - 1)] = 0;
	snprintf(session, sizeof session, "%d", getsid(0));
	setenv("PORTUNUS_BROKER_PROGRAM", self, 1);
	setenv("PORTUNUS_BROKER", in_place("broker"), 1);
	setenv("FAKE", what, 1);
	setenv("FAKE_REPORT", in_place("report"), 1);
	setenv("FAKE_SESSION", session, 1);
	unsetenv("PORTUNUS_AUTOSTART");
}

static int setup(void **state)
{
	if (place_setup(state))
		return -1;
	fake("listens");
	return 0;
}

static void read_report(char *text, size_t room)
{
	int fd = open(in_place("report"), O_RDONLY | O_CLOEXEC);
	ssize_t n;

	assert_true(fd >= 0);
	n = read(fd, text, room - 1);
	assert_true(n >= 0);
	text[n] = 0;
	close(fd);
}

static void a_broker_is_started_and_leaves_no_trace_in_its_starter(void **state)
{
	int stray = open("/dev/null", O_RDONLY), fd; /* not close-on-exec: others may open such */
	sigset_t some;
	char text[1024];

	(void)state;
	sigemptyset(&some);
	sigaddset(&some, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &some, NULL);
	signal(SIGUSR2, SIG_IGN);
	fd = broker_connect(true);
	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	read_report(text, sizeof text);
	assert_string_equal(text, "argument --socket\nargument PATH\nargument --autostarted\n"
				  "0 is /dev/null\n1 is /dev/null\n2 is /dev/null\n"
				  "blocked 0 ignored 0\nsession of its own\nin /\n");
	pthread_sigmask(SIG_UNBLOCK, &some, NULL);
	signal(SIGUSR2, SIG_DFL);
	close(fd);
	close(stray);
}

static atomic_int n_children;

static void child_ended(int sig)
{
	(void)sig;
	n_children++;
}

static void the_program_hears_of_no_child(void **state)
{
	int fd;

	(void)state;
	signal(SIGCHLD, child_ended);
	fd = broker_connect(true);
	assert_true(fd >= 0);
	signal(SIGCHLD, SIG_DFL);
	assert_int_equal(n_children, 0);
	assert_int_equal(waitpid(-1, NULL, WNOHANG | __WALL), -1);
	assert_int_equal(errno, ECHILD);
	close(fd);
}

static void where_one_listens_none_is_started(void **state)
{
	int listening = listen_plainly(in_place("broker")), fd;

	(void)state;
	fd = broker_connect(true);
	assert_true(fd >= 0);
	assert_int_equal(access(in_place("report"), F_OK), -1);
	close(fd);
	close(listening);
}

static void a_socket_that_nobody_listens_on_is_as_none(void **state)
{
	int fd;

	(void)state;
	close(listen_plainly(in_place("broker")));
	fake("fails");
	fd = broker_connect(true);
	assert_int_equal(fd, -1);
	assert_int_equal(errno, ECONNREFUSED);
}

static void autostart_can_be_forbidden(void **state)
{
	(void)state;
	setenv("PORTUNUS_AUTOSTART", "0", 1);
	assert_int_equal(broker_connect(true), -1);
	assert_int_equal(errno, ENOENT);
	assert_int_equal(access(in_place("report"), F_OK), -1);
}

static void one_that_cannot_start_is_told(void **state)
{
	(void)state;
	fake("fails");
	assert_int_equal(broker_connect(true), -1);
	assert_int_equal(errno, ENOENT);
	setenv("PORTUNUS_BROKER_PROGRAM", "/nonexistent", 1);
	assert_int_equal(broker_connect(true), -1);
	assert_int_equal(errno, ENOENT);
	assert_int_equal(waitpid(-1, NULL, WNOHANG | __WALL), -1);
}

static void standard_streams_may_be_closed(void **state)
{
	int saved[3], fd;
	char text[1024];

	(void)state;
	fflush(NULL);
	for (int i = 0; i < 3; i++) {
		saved[i] = fcntl(i, F_DUPFD_CLOEXEC, 10);
		close(i);
	}
	fd = broker_connect(true);
	if (fd >= 0)
		close(fd);
	for (int i = 0; i < 3; i++) {
		dup2(saved[i], i);
		close(saved[i]);
	}
	assert_true(fd >= 0);
	read_report(text, sizeof text);
	assert_non_null(strstr(text, "0 is /dev/null\n1 is /dev/null\n2 is /dev/null\nblocked"));
}

/* ---- the path */

static void expect_path(const char *path, bool is_default)
{
	char got[BROKER_PATH_MAX];
	bool got_default;

	assert_true(broker_path(got, &got_default));
	assert_string_equal(got, path);
	assert_int_equal(got_default, is_default);
}

static void expect_no_path(int error)
{
	char got[BROKER_PATH_MAX];
	bool is_default;

	assert_false(broker_path(got, &is_default));
	assert_int_equal(errno, error);
}

static void the_environment_names_a_broker(void **state)
{
	char path[BROKER_PATH_MAX + 1];

	(void)state;
	setenv("PORTUNUS_BROKER", "/some/where", 1);
	expect_path("/some/where", false);
	setenv("PORTUNUS_BROKER", "some/where", 1);
	expect_no_path(EINVAL);
	memset(path, '/', sizeof path);
	path[BROKER_PATH_MAX] = 0;
	setenv("PORTUNUS_BROKER", path, 1);
	expect_no_path(ENAMETOOLONG);
	path[BROKER_PATH_MAX - 1] = 0;
	setenv("PORTUNUS_BROKER", path, 1);
	expect_path(path, false);
}

static void root_has_a_place_of_its_own(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip();
	setenv("PORTUNUS_BROKER", "", 1); /* as good as not set */
	setenv("XDG_RUNTIME_DIR", place, 1);
	expect_path("/run/portunus/broker", true);
}

/* As somebody who is not root, if the test is. */
static void leave_root(void)
{
	unsetenv("PORTUNUS_BROKER");
	if (geteuid() == 0)
		assert_int_equal(seteuid(NOBODY), 0);
}

static void return_to_root(void)
{
	if (getuid() == 0)
		assert_int_equal(seteuid(0), 0);
}

static void a_user_has_a_place_in_the_runtime_directory_or_in_tmp(void **state)
{
	char path[64];

	(void)state;
	leave_root();
	setenv("XDG_RUNTIME_DIR", place, 1);
	expect_path(in_place("portunus/broker"), true);
	snprintf(path, sizeof path, "/tmp/portunus-%u/broker", geteuid());
	setenv("XDG_RUNTIME_DIR", "not/absolute", 1);
	expect_path(path, true);
	unsetenv("XDG_RUNTIME_DIR");
	expect_path(path, true);
	return_to_root();
}

/* Somebody was quicker, and listens in a directory where he should not be able to. */
static void what_listens_in_an_open_directory_is_not_believed(void **state)
{
	int listening, error;

	(void)state;
	if (getuid() == 0)
		assert_int_equal(chown(place, NOBODY, NOBODY), 0);
	leave_root();
	setenv("PORTUNUS_AUTOSTART", "0", 1);
	setenv("XDG_RUNTIME_DIR", place, 1);
	assert_int_equal(mkdir(in_place("portunus"), 0700), 0);
	listening = listen_plainly(in_place("portunus/broker"));
	assert_true(listening >= 0);
	close(broker_connect(true));
	assert_int_equal(chmod(in_place("portunus"), 0755), 0);
	error = broker_connect(true) < 0 ? errno : 0;
	close(listening);
	return_to_root();
	assert_int_equal(error, EPERM);
}

static void a_directory_is_own_if_nobody_else_can_use_it(void **state)
{
	(void)state;
	assert_true(broker_directory_is_own(in_place("broker")));
	assert_int_equal(chmod(place, 0711), 0);
	assert_false(broker_directory_is_own(in_place("broker")));
	assert_int_equal(errno, EPERM);
	assert_int_equal(chmod(place, 0700), 0);
	assert_int_equal(symlink(place, in_place("link")), 0);
	assert_false(broker_directory_is_own(in_place("link/broker")));
	assert_int_equal(errno, EPERM);
	assert_false(broker_directory_is_own(in_place("none/broker")));
	assert_int_equal(errno, ENOENT);
	if (geteuid() == 0) {
		assert_int_equal(chown(place, NOBODY, NOBODY), 0);
		assert_false(broker_directory_is_own(in_place("broker")));
		assert_int_equal(errno, EPERM);
	}
}

static void a_directory_is_what_is_before_the_last_slash(void **state)
{
	char directory[BROKER_PATH_MAX];

	(void)state;
	broker_directory("/a/b", directory);
	assert_string_equal(directory, "/a");
	broker_directory("/a", directory);
	assert_string_equal(directory, "/");
	broker_directory("a", directory);
	assert_string_equal(directory, ".");
}

#define connect_test(name) cmocka_unit_test_setup_teardown(name, setup, place_teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		connect_test(a_broker_is_started_and_leaves_no_trace_in_its_starter),
		connect_test(the_program_hears_of_no_child),
		connect_test(where_one_listens_none_is_started),
		connect_test(a_socket_that_nobody_listens_on_is_as_none),
		connect_test(autostart_can_be_forbidden),
		connect_test(one_that_cannot_start_is_told),
		connect_test(standard_streams_may_be_closed),
		connect_test(the_environment_names_a_broker),
		connect_test(root_has_a_place_of_its_own),
		connect_test(a_user_has_a_place_in_the_runtime_directory_or_in_tmp),
		connect_test(what_listens_in_an_open_directory_is_not_believed),
		connect_test(a_directory_is_own_if_nobody_else_can_use_it),
		cmocka_unit_test(a_directory_is_what_is_before_the_last_slash),
	};

	if (argc > 1 && strcmp(argv[1], "--socket") == 0)
		return fake_broker(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
