/* SPDX-License-Identifier: MIT */
/* The demo: three pipes, whose server is another thread, waited for as if they were descriptors. */
#include <err.h>
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "pipes.h"
#include "select.h"

enum { A = 3, B, C, N };

static void print_set(const char *what, const fd_set *set)
{
	for (int fd = A; fd < N; fd++)
		if (FD_ISSET(fd, set))
			printf(" %c is %s,", 'A' + fd - A, what);
}

/* Selects from all three, says what comes of it. */
static void show(const char *when, int wanted, struct timeval *timeout)
{
	fd_set reads, writes;
	int n;

	FD_ZERO(&reads);
	FD_ZERO(&writes);
	for (int fd = A; fd < N; fd++) {
		if (wanted & IO_READ)
			FD_SET(fd, &reads);
		if (wanted & IO_WRITE)
			FD_SET(fd, &writes);
	}
	n = fd_select(N, &reads, &writes, NULL, timeout);
	if (n < 0)
		err(1, "select");
	printf("%s:", when);
	print_set("readable", &reads);
	print_set("writable", &writes);
	printf(" that makes %d\n", n);
}

static void put(int fd, const char *text)
{
	if (io_write(fd_object(fd), text, (int)strlen(text)) < 0)
		err(1, "write");
}

static void take_all(int fd)
{
	char bytes[IO_BYTES_MAX];

	while (io_read(fd_object(fd), bytes, sizeof bytes) > 0)
		;
}

/* Lets another thread do that when the main thread waits: its io_select() has arrived. */
static void wait_until_asked(int fd)
{
	while (io_count_waiting(fd_object(fd)) == 0)
		;
}

static void *put_later(void *unused)
{
	wait_until_asked(C);
	put(C, "here I am");
	return unused;
}

static void *end_later(void *unused)
{
	wait_until_asked(B);
	pipe_end(fd_object(B));
	return unused;
}

static void meanwhile(void *(*other)(void *), const char *when)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, other, NULL))
		errx(1, "no thread");
	show(when, IO_READ, NULL);
	pthread_join(thread, NULL);
}

int main(void)
{
	struct timeval now = { 0, 0 }, soon = { 0, 20000 };
	char full[IO_BYTES_MAX + 1];

	pipes_start();
	for (int fd = A; fd < N; fd++)
		if (fd_open(pipe_new()) != fd)
			err(1, "open");

	show("at first, without waiting", IO_READ | IO_WRITE, &now);
	show("nobody writes, and 20 ms are over", IO_READ, &soon);
	printf("of our questions %d are still open\n", io_count_waiting(fd_object(A)));

	put(B, "text");
	show("B was written", IO_READ, NULL);
	take_all(B);

	memset(full, 'x', sizeof full - 1);
	full[sizeof full - 1] = '\0';
	put(A, full);
	show("A is full", IO_READ | IO_WRITE, &now);
	take_all(A);

	meanwhile(put_later, "C was written while we waited");
	take_all(C);
	meanwhile(end_later, "B ended while we waited");
	show("B is gone for good", IO_READ, NULL);
	printf("of our questions %d are still open\n", io_count_waiting(fd_object(A)));

	for (int fd = A; fd < N; fd++)
		fd_close(fd);
	if (fd_select(N, &(fd_set){ { 1 << A } }, NULL, NULL, &now) == -1)
		printf("closed: %s\n", strerror(errno));
	return 0;
}
