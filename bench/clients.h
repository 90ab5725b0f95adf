/* SPDX-License-Identifier: MIT */
/* A server and its clients, each in a process of its own. The worker is the server; the clients are its peers.
 *
 * A *wire* is how they talk: what joins them, and what an operation is. In each turn the active clients draw operations
 * from one counter until it is empty; the time runs from the first client's first operation until the server has done
 * the last and all clients have said that they stop. Clients that are not active only are there. */
#ifndef BENCH_CLIENTS_H
#define BENCH_CLIENTS_H

#include "peer.h"

#include <pthread.h>

/* Shared memory between the server and all its clients. */
struct board {
	pthread_barrier_t warm; /* the active clients start together */
	uint64_t amount;	/* of an operation: bytes, rights; set before any client starts */
	_Alignas(64) _Atomic uint64_t left;
};

struct clients;

struct wire {
	const char *name; /* the role of its clients */
	unsigned warm;	  /* operations of each client before the clock starts */

	/* in the server */
	void *(*open)(struct clients *all);
	void (*start)(void *server, unsigned i); /* client i: clients_start() with what joins it to the server */
	void (*serve)(void *server, unsigned n_clients); /* works until that many have said stop() */
	void (*close)(void *server);			 /* after the clients have ended */

	/* in a client */
	void *(*join)(const struct board *board);
	double (*work)(void *client, uint64_t n); /* n operations; returns the seconds of it that do not count */
	void (*stop)(void *client);
	void (*leave)(void *client);
};

struct clients_plan {
	const struct wire *wire;
	enum placement placement;
	unsigned n_active, n_idle, n_idle_quick;
	uint64_t amount, amount_quick; /* of an operation; 0: an operation has no size */
	bool per_amount;	       /* the time is that of one of the amount, not of the operation */
};

struct clients {
	const struct clients_plan *plan;
	unsigned n; /* active ones first */
	struct board *board;
	int board_fd; /* -1 as soon as all clients have it */
	void *server;
	struct peer peers[];
};

/* The three functions of a side; its argument is a plan. */
void *clients_open(const void *plan);
double clients_run(void *clients, uint64_t n);
void clients_close(void *clients);

/* Outside of any turn: lets one client say that it stops, to whatever thread serves. */
void clients_stop_one(struct clients *all);

/* For wires: starts client i, which finds fd (or -1) at CLIENT_FD. */
enum { CLIENT_BOARD = PEER_FIRST, CLIENT_FD };
void clients_start(struct clients *all, unsigned i, int fd, launcher *launch, const void *arg);

/* What a client's process does. */
void client_main(const struct wire *wire);

void *map_shared(int fd, size_t size);
int memory_file(const char *name, size_t size);

#define CLIENTS_SIDE(text, ...) \
	{ \
		.what = text, .open = clients_open, .run = clients_run, .close = clients_close, \
		.arg = &(const struct clients_plan) \
		{ \
			__VA_ARGS__ \
		} \
	}

/* sockets.c. _call: one client, whom the server waits for. _set: many, with epoll. _open: the answer brings a
 * descriptor. */
extern const struct wire socket_call, socket_set, socket_open, socket_stream, socket_bulk, socket_rights;

/* floor.c: rings in memory that both may write, and a futex; what is left of a link if nothing is checked or promised */
extern const struct wire floor_call, floor_stream;

/* ports.c: ours */
extern const struct wire port_call, port_set, port_open, port_stream, port_stream_long, port_move, port_copy,
	port_rights;

#endif
