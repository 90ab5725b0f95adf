/* SPDX-License-Identifier: MIT */
/* Messages in one direction: how many a second, and how soon a sleeping receiver has one. */
#include "small.h"

#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

struct lane {
	mach_port_t port;
	int ends[2];
	_Alignas(64) _Atomic uint32_t word;
	double sent; /* when the word was written */
	uint64_t n;
	double end, sum; /* what the receiver found */
};

static struct lane *lane_new(void)
{
	struct lane *l = aligned_alloc(64, sizeof *l);

	need(l);
	memset(l, 0, sizeof *l);
	return l;
}

static void *open_mach(const void *limit)
{
	struct lane *l = lane_new();

	l->port = port_with_send_right();
	if (limit)
		must(mach_port_set_qlimit(mach_task_self(), l->port, *(const mach_port_msgcount_t *)limit));
	return l;
}

static void close_mach(void *context)
{
	struct lane *l = context;

	port_release(l->port);
	free(l);
}

static void *open_socket(const void *arg)
{
	struct lane *l = lane_new();

	(void)arg;
	need(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, l->ends) == 0);
	return l;
}

static void close_socket(void *context)
{
	struct lane *l = context;

	close(l->ends[0]);
	close(l->ends[1]);
	free(l);
}

static void *open_word(const void *arg)
{
	(void)arg;
	return lane_new();
}

/* ---- throughput ---- */

static void *mach_sink(void *arg)
{
	struct lane *l = arg;
	struct small m;

	pin(1);
	for (uint64_t i = 0; i < l->n; i++)
		receive(&m.head, sizeof m, l->port);
	l->end = now();
	return NULL;
}

static double run_mach_stream(void *context, uint64_t n)
{
	struct lane *l = context;
	pthread_t sink;
	struct small m;
	double start;

	pin(0);
	l->n = n;
	need(pthread_create(&sink, NULL, mach_sink, l) == 0);
	small_init(&m, l->port, MACH_MSG_TYPE_COPY_SEND);
	start = now();
	for (uint64_t i = 0; i < n; i++)
		send_to(&m.head, l->port, MACH_MSG_TYPE_COPY_SEND);
	need(pthread_join(sink, NULL) == 0);
	return l->end - start;
}

static void *socket_sink(void *arg)
{
	struct lane *l = arg;
	char data[SMALL_SIZE];

	pin(1);
	for (uint64_t i = 0; i < l->n; i++)
		need(read(l->ends[1], data, sizeof data) == sizeof data);
	l->end = now();
	return NULL;
}

static double run_socket_stream(void *context, uint64_t n)
{
	struct lane *l = context;
	char data[SMALL_SIZE] = { 0 };
	pthread_t sink;
	double start;

	pin(0);
	l->n = n;
	need(pthread_create(&sink, NULL, socket_sink, l) == 0);
	start = now();
	for (uint64_t i = 0; i < n; i++)
		need(write(l->ends[0], data, sizeof data) == sizeof data);
	need(pthread_join(sink, NULL) == 0);
	return l->end - start;
}

/* ---- waking a sleeper ----
 * The pause before each message is much longer than anybody spins. */

static void long_pause(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = 300 * 1000 }, NULL);
}

static void *mach_sleeper(void *arg)
{
	struct lane *l = arg;
	struct small m;
	double sent;

	pin(1);
	l->sum = 0;
	for (uint64_t i = 0; i < l->n; i++) {
		receive(&m.head, sizeof m, l->port);
		memcpy(&sent, m.data, sizeof sent);
		l->sum += now() - sent;
	}
	return NULL;
}

static double run_mach_wake(void *context, uint64_t n)
{
	struct lane *l = context;
	pthread_t sleeper;
	struct small m;
	double sent;

	pin(0);
	l->n = n;
	need(pthread_create(&sleeper, NULL, mach_sleeper, l) == 0);
	small_init(&m, l->port, MACH_MSG_TYPE_COPY_SEND);
	for (uint64_t i = 0; i < n; i++) {
		long_pause();
		sent = now();
		memcpy(m.data, &sent, sizeof sent);
		send_to(&m.head, l->port, MACH_MSG_TYPE_COPY_SEND);
	}
	need(pthread_join(sleeper, NULL) == 0);
	return l->sum;
}

static void *word_sleeper(void *arg)
{
	struct lane *l = arg;

	pin(1);
	l->sum = 0;
	for (uint32_t i = 0; i < l->n; i++) {
		while (atomic_load(&l->word) == i)
			syscall(SYS_futex, &l->word, FUTEX_WAIT_PRIVATE, i, NULL, NULL, 0);
		l->sum += now() - l->sent;
	}
	return NULL;
}

static double run_word_wake(void *context, uint64_t n)
{
	struct lane *l = context;
	pthread_t sleeper;

	pin(0);
	l->n = n;
	atomic_store(&l->word, 0);
	need(pthread_create(&sleeper, NULL, word_sleeper, l) == 0);
	for (uint32_t i = 0; i < n; i++) {
		long_pause();
		l->sent = now();
		atomic_store(&l->word, i + 1);
		syscall(SYS_futex, &l->word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
	}
	need(pthread_join(sleeper, NULL) == 0);
	return l->sum;
}

static const mach_port_msgcount_t longest = MACH_PORT_QLIMIT_MAX;

#define SOCKET_STREAM \
	{ \
		.what = "SOCK_SEQPACKET", .open = open_socket, .run = run_socket_stream, .close = close_socket \
	}

const struct row oneway_rows[] = {
	{ "oneway",
	  "one way, 64 bytes, two CPUs, queue limit as allocated",
	  ROW_TIME,
	  0,
	  NULL,
	  2,
	  0,
	  { .what = "mach_msg", .open = open_mach, .run = run_mach_stream, .close = close_mach },
	  SOCKET_STREAM },
	{ "oneway-longest",
	  "the same with the longest queue",
	  ROW_TIME,
	  0,
	  NULL,
	  2,
	  0,
	  { .what = "mach_msg", .open = open_mach, .run = run_mach_stream, .close = close_mach, .arg = &longest },
	  SOCKET_STREAM },
	{ "wake",
	  "from a send until a sleeper on another CPU has the message",
	  ROW_TIME,
	  0,
	  NULL,
	  2,
	  0,
	  { .what = "mach_msg", .open = open_mach, .run = run_mach_wake, .close = close_mach },
	  { .what = "futex wake", .open = open_word, .run = run_word_wake, .close = free } },
	{ 0 },
};
