/* SPDX-License-Identifier: MIT */
/* What two threads would otherwise use for a round trip of 64 bytes. */
#include "pairs.h"

#include <linux/futex.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { SIZE = 64 };

/* ---- descriptors: two pipes, or a socket pair ----
 * The first byte of a request is 1 to stop. */

struct descriptors {
	int client_in, client_out, server_in, server_out;
	bool sockets;
};

static void *pipe_open(void)
{
	struct descriptors *d = calloc(1, sizeof *d);
	int there[2], back[2];

	need(d && pipe(there) == 0 && pipe(back) == 0);
	*d = (struct descriptors){
		.client_in = back[0], .client_out = there[1], .server_in = there[0], .server_out = back[1]
	};
	return d;
}

static void *seqpacket_open(void)
{
	struct descriptors *d = calloc(1, sizeof *d);
	int ends[2];

	need(d && socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) == 0);
	*d = (struct descriptors){ .client_in = ends[0],
				   .client_out = ends[0],
				   .server_in = ends[1],
				   .server_out = ends[1],
				   .sockets = true };
	return d;
}

static void descriptors_close(void *channel)
{
	struct descriptors *d = channel;

	close(d->client_in);
	close(d->server_in);
	if (!d->sockets) {
		close(d->client_out);
		close(d->server_out);
	}
	free(d);
}

static void descriptors_serve(void *channel)
{
	struct descriptors *d = channel;
	char data[SIZE];

	for (;;) {
		need(read(d->server_in, data, sizeof data) == sizeof data);
		if (data[0])
			return;
		need(write(d->server_out, data, sizeof data) == sizeof data);
	}
}

static void descriptors_call(void *channel, uint64_t n)
{
	struct descriptors *d = channel;
	char data[SIZE] = { 0 };

	for (; n; n--) {
		need(write(d->client_out, data, sizeof data) == sizeof data);
		need(read(d->client_in, data, sizeof data) == sizeof data);
	}
}

static void descriptors_stop(void *channel)
{
	struct descriptors *d = channel;
	char data[SIZE] = { 1 };

	need(write(d->client_out, data, sizeof data) == sizeof data);
}

const struct way pipe_way = { pipe_open, descriptors_close, descriptors_serve, descriptors_call, descriptors_stop };
const struct way seqpacket_way = { seqpacket_open, descriptors_close, descriptors_serve, descriptors_call,
				   descriptors_stop };

/* ---- one shared word: the least that two threads can do; it carries no data ---- */

enum { CLIENTS_TURN, SERVERS_TURN, STOP };

static void *word_open(void)
{
	_Atomic uint32_t *word = aligned_alloc(64, 64);

	need(word);
	atomic_init(word, CLIENTS_TURN);
	return word;
}

/* As the last act of each turn, so that the next one finds the word fresh. */
static void word_stop(void *channel)
{
	_Atomic uint32_t *word = channel;

	atomic_store(word, STOP);
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void futex_pass(_Atomic uint32_t *word, uint32_t to)
{
	atomic_store_explicit(word, to, memory_order_release);
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* Sleeps while the word has that value; returns the new one. */
static uint32_t futex_await(_Atomic uint32_t *word, uint32_t while_it_is)
{
	uint32_t value;

	while ((value = atomic_load_explicit(word, memory_order_acquire)) == while_it_is)
		syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, while_it_is, NULL, NULL, 0);
	return value;
}

static void futex_serve(void *channel)
{
	while (futex_await(channel, CLIENTS_TURN) != STOP)
		futex_pass(channel, CLIENTS_TURN);
	atomic_store((_Atomic uint32_t *)channel, CLIENTS_TURN);
}

static void futex_call(void *channel, uint64_t n)
{
	for (; n; n--) {
		futex_pass(channel, SERVERS_TURN);
		futex_await(channel, SERVERS_TURN);
	}
}

const struct way futex_way = { word_open, free, futex_serve, futex_call, word_stop };

static uint32_t spin_await(_Atomic uint32_t *word, uint32_t while_it_is)
{
	uint32_t value;

	while ((value = atomic_load_explicit(word, memory_order_acquire)) == while_it_is)
		__builtin_ia32_pause();
	return value;
}

static void spin_serve(void *channel)
{
	_Atomic uint32_t *word = channel;

	while (spin_await(word, CLIENTS_TURN) != STOP)
		atomic_store_explicit(word, CLIENTS_TURN, memory_order_release);
	atomic_store(word, CLIENTS_TURN);
}

static void spin_call(void *channel, uint64_t n)
{
	_Atomic uint32_t *word = channel;

	for (; n; n--) {
		atomic_store_explicit(word, SERVERS_TURN, memory_order_release);
		spin_await(word, SERVERS_TURN);
	}
}

const struct way spin_way = { word_open, free, spin_serve, spin_call, word_stop };
