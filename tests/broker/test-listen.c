/* SPDX-License-Identifier: MIT */
/* The broker's socket: the directory it is in, the lock beside it, and what was there before. */
#include "place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "listen.h"

static mode_t mode_of(const char *path)
{
	struct stat st;

	assert_int_equal(lstat(path, &st), 0);
	return st.st_mode & 07777;
}

static int connect_error(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), error = 0;

	strncpy(address.sun_path, path, sizeof address.sun_path - 1);
	if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
		error = errno;
	close(fd);
	return error;
}

static void expect_listens(const char *path, mode_t mode, int is_default)
{
	struct listen_socket s;

	assert_int_equal(listen_open(&s, path, mode, is_default), LISTEN_OK);
	assert_int_equal(connect_error(path), 0);
	listen_close(&s);
	assert_int_equal(connect_error(path), ENOENT);
}

static void expect_refused(const char *path, mode_t mode, int is_default)
{
	struct listen_socket s;

	assert_int_equal(listen_open(&s, path, mode, is_default), LISTEN_FAILED);
}

static void directory_and_socket_are_the_users_alone(void **state)
{
	struct listen_socket s;

	(void)state;
	umask(0);
	assert_int_equal(listen_open(&s, in_place("new/broker"), 0600, 1), LISTEN_OK);
	assert_int_equal(mode_of(in_place("new")), 0700);
	assert_int_equal(mode_of(in_place("new/broker")), 0600);
	assert_int_equal(mode_of(in_place("new/broker.lock")), 0600);
	assert_int_equal(fcntl(s.fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fcntl(s.lock, F_GETFD), FD_CLOEXEC);
	listen_close(&s);
	umask(022);
}

static void whom_the_mode_lets_connect_can_pass_the_directory(void **state)
{
	struct listen_socket s;

	(void)state;
	umask(077);
	assert_int_equal(listen_open(&s, in_place("all/broker"), 0666, 1), LISTEN_OK);
	assert_int_equal(mode_of(in_place("all")), 0711);
	assert_int_equal(mode_of(in_place("all/broker")), 0666);
	listen_close(&s);
	assert_int_equal(listen_open(&s, in_place("group/broker"), 0660, 1), LISTEN_OK);
	assert_int_equal(mode_of(in_place("group")), 0710);
	listen_close(&s);
	umask(022);
}

static void a_directory_open_to_others_is_no_default(void **state)
{
	(void)state;
	assert_int_equal(chmod(place, 0755), 0);
	expect_refused(in_place("broker"), 0600, 1);
	expect_listens(in_place("broker"), 0600, 0); /* of one's own choice it may be */
	assert_int_equal(chmod(place, 0711), 0);
	expect_listens(in_place("broker"), 0666, 1);
}

static void a_directory_that_others_write_to_is_refused(void **state)
{
	(void)state;
	assert_int_equal(chmod(place, 0777), 0);
	expect_refused(in_place("broker"), 0600, 0);
	assert_int_equal(chmod(place, 01777), 0);
	expect_listens(in_place("broker"), 0600, 0); /* as /tmp is: what we make there nobody can replace */
	expect_refused(in_place("broker"), 0600, 1);
}

static void somebody_elses_directory_is_refused(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip();
	assert_int_equal(chown(place, NOBODY, NOBODY), 0);
	expect_refused(in_place("broker"), 0600, 0);
	expect_refused(in_place("broker"), 0600, 1);
	assert_int_equal(chown(place, 0, 0), 0);
}

static void a_link_is_no_default_directory(void **state)
{
	(void)state;
	assert_int_equal(mkdir(in_place("real"), 0700), 0);
	assert_int_equal(symlink(in_place("real"), in_place("link")), 0);
	expect_refused(in_place("link/broker"), 0600, 1);
	expect_listens(in_place("link/broker"), 0600, 0);
}

static void a_directory_that_cannot_be_made_is_told(void **state)
{
	char long_path[BUFSIZ];

	(void)state;
	expect_refused(in_place("a/b/broker"), 0600, 0);
	assert_int_equal(close(open(in_place("file"), O_CREAT | O_CLOEXEC | O_WRONLY, 0600)), 0);
	expect_refused(in_place("file/broker"), 0600, 0);
	snprintf(long_path, sizeof long_path, "%s/%0100d", place, 0);
	expect_refused(long_path, 0600, 0);
}

static void of_two_one_listens(void **state)
{
	struct listen_socket first, second;

	(void)state;
	assert_int_equal(listen_open(&first, in_place("broker"), 0600, 0), LISTEN_OK);
	assert_int_equal(listen_open(&second, in_place("broker"), 0600, 0), LISTEN_TAKEN);
	assert_int_equal(connect_error(in_place("broker")), 0);
	listen_close(&first);
	expect_listens(in_place("broker"), 0600, 0);
}

static void the_socket_of_a_dead_broker_is_replaced(void **state)
{
	struct listen_socket s;

	(void)state;
	assert_int_equal(listen_open(&s, in_place("broker"), 0600, 0), LISTEN_OK);
	close(s.fd); /* as a death does it */
	close(s.lock);
	assert_int_equal(connect_error(in_place("broker")), ECONNREFUSED);
	expect_listens(in_place("broker"), 0600, 0);
}

static void who_listens_without_a_lock_is_left_alone(void **state)
{
	int fd = listen_plainly(in_place("broker"));
	struct listen_socket s;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(listen_open(&s, in_place("broker"), 0600, 0), LISTEN_TAKEN);
	assert_int_equal(connect_error(in_place("broker")), 0);
	close(fd);
}

static void what_is_no_socket_stays(void **state)
{
	(void)state;
	assert_int_equal(close(open(in_place("broker"), O_CREAT | O_CLOEXEC | O_WRONLY, 0640)), 0);
	expect_refused(in_place("broker"), 0600, 0);
	assert_int_equal(mode_of(in_place("broker")), 0640);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		place_test(directory_and_socket_are_the_users_alone),
		place_test(whom_the_mode_lets_connect_can_pass_the_directory),
		place_test(a_directory_open_to_others_is_no_default),
		place_test(a_directory_that_others_write_to_is_refused),
		place_test(somebody_elses_directory_is_refused),
		place_test(a_link_is_no_default_directory),
		place_test(a_directory_that_cannot_be_made_is_told),
		place_test(of_two_one_listens),
		place_test(the_socket_of_a_dead_broker_is_replaced),
		place_test(who_listens_without_a_lock_is_left_alone),
		place_test(what_is_no_socket_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
