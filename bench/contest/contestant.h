/* SPDX-License-Identifier: MIT */
/* A contestant: one way in which programs talk with each other. All do the same work, written once over this.
 *
 * A *server* lives in the worker. Its *clients* are processes of their own, or threads of the worker. A client calls
 * buffer(), writes its payload there, and then call()s or post()s. The server's loop is the contestant's own, as some
 * libraries insist on having it; what it must do with each request, service_react() tells it.
 *
 * Each contestant is used as its own documentation recommends for speed; the head of its file says how. */
#ifndef BENCH_CONTESTANT_H
#define BENCH_CONTESTANT_H

#include "../peer.h"
#include "request.h"

enum { ADDRESS_SIZE = 108 };

/* Where a client that is a process finds its descriptors. */
enum { CLIENT_BOARD = PEER_FIRST, CLIENT_FDS, CLIENT_FDS_MAX = 2 };

/* What a server has to be ready for. */
struct plan {
	unsigned n_clients; /* in all */
	size_t size;	    /* of the largest payload */
	bool threads;	    /* the clients are threads of this process */
	bool posts;	    /* a stream: there will be REQUEST_POST */
	bool idle;	    /* there will be clients that only are there */
};

/* How a client reaches its server: made by the server, used by the client. */
struct ticket {
	struct plan plan;
	unsigned index;
	int fds[CLIENT_FDS_MAX]; /* -1: none. They are the client's, who closes them. */
	uint32_t port;		 /* of a thread of the server's process */
	char address[ADDRESS_SIZE];
};

/* Something that can be talked to, without anybody who does. */
struct endpoint {
	union {
		uint32_t port;
		int fds[4];
		void *object;
	};
};

struct work;

struct contestant {
	const char *name;   /* what one types; what one reads in a table */
	const char *what;   /* a few words more */
	const char *absent; /* why it is not here; then nothing else is set */

	/* Why it cannot do that work; NULL: it can. The function may be NULL: it can do all. */
	const char *(*unfit)(const struct work *work);

	/* ---- the server, in the worker ---- */
	void *(*open)(const struct plan *plan);
	/* For the client that the ticket names: fds or an address. */
	void (*invite)(void *server, struct ticket *ticket);
	/* How a client's process is started, if not plainly: launch_arg is called for it. */
	launcher *launch;
	const void *(*launch_arg)(void *server, unsigned index);
	/* Works until that many clients have left. */
	void (*serve)(void *server, struct service *service);
	void (*close)(void *server); /* no client is there any more */
	/* Another process without which it does not work; may be NULL. */
	pid_t (*helper)(void *server);

	/* ---- a client: no wait for the server's loop in join() and leave() ---- */
	void *(*join)(const struct ticket *ticket);
	/* For the next payload: good until that is gone. */
	char *(*buffer)(void *client, enum request_kind kind, size_t size);
	const char *(*call)(void *client, size_t size); /* the answer, good until the next buffer() */
	void (*post)(void *client, size_t size);
	void (*drop)(void *client); /* the object that the last answer brought */
	void (*leave)(void *client);

	/* ---- endpoints, in the worker; NULL: it has no such thing ---- */
	const char *endpoint; /* what one is */
	void (*endpoint_new)(void *server, struct endpoint *e);
	void (*endpoint_free)(void *server, struct endpoint *e);

	/* ---- many endpoints for which one thread waits, in the worker ---- */
	void *(*set_new)(unsigned n_members);
	void (*set_pass)(void *set, unsigned member, const char *data,
			 size_t size); /* sent there, received from the set */
	void (*set_free)(void *set);
};

extern const struct contestant portunus, floor_plain, floor_spin, pipes, stream_socket, seqpacket, memory_file_socket,
	posix_queue, zeromq, nanomsg_ng, dbus_daemon, dbus_peer, capnproto;

extern const struct contestant *const contestants[];
extern const size_t n_contestants;
extern const struct contestant *const reference; /* to whom all are compared */

/* Why so many descriptors cannot be had in one process, or NULL */
const char *files_unfit(uint64_t n);

#endif
