/* SPDX-License-Identifier: MIT */
/* The works, and who can do which. */
#include "hall.h"

#include <string.h>
#include <sys/resource.h>

#define KIB(n) ((size_t)(n) << 10)
#define MIB(n) ((size_t)(n) << 20)

/* Round trips between two processes, as many bytes back as there. */
#define RPC(id, text, bytes, where, cpus) \
	{ \
		.name = id, .what = text, .kind = WORK_CALL, .request = REQUEST_ECHO, .placement = where, \
		.n_clients = 1, .size = bytes, .n_cpus = cpus \
	}
#define RPC_3(bytes, id, text) \
	RPC("rpc-" id "-cpu", "RPC of " text ", two processes on one CPU", bytes, PLACE_ONE_CPU, 1), \
		RPC("rpc-" id "-cpus", "RPC of " text ", two processes on two CPUs", bytes, PLACE_ACROSS, 2), \
		RPC("rpc-" id "-unpinned", "RPC of " text ", two processes, not pinned", bytes, PLACE_FREE, 2)

#define THREADS(id, text, where, cpus) \
	{ \
		.name = id, .what = text, .kind = WORK_CALL, .request = REQUEST_ECHO, .placement = where, \
		.threads = true, .n_clients = 1, .size = 64, .n_cpus = cpus \
	}

#define OBJECT(id, text, which, where, cpus) \
	{ \
		.name = id, .what = text, .kind = WORK_CALL, .request = which, .placement = where, .n_clients = 1, \
		.size = 64, .n_cpus = cpus \
	}

#define PAYLOAD(id, text, bytes, all) \
	{ \
		.name = id, .what = text, .kind = WORK_CALL, .request = REQUEST_TAKE, .placement = PLACE_ACROSS, \
		.counts_making = all, .n_clients = 1, .size = bytes, .n_cpus = 2 \
	}

#define LOAD(id, text, which) \
	{ \
		.name = id, .what = text, .kind = WORK_LOAD, .request = REQUEST_ECHO, .placement = PLACE_ACROSS, \
		.load = which, .n_clients = 1, .size = 64, .n_cpus = 2 \
	}

/* Points of a curve. */
#define SIZE(id, text, bytes) \
	{ \
		.name = "size-" id, .what = "RPC: " text " there, 64 B back", .curve = "size", .x = bytes, \
		.kind = WORK_CALL, .request = REQUEST_TAKE, .placement = PLACE_ACROSS, .n_clients = 1, .size = bytes, \
		.n_cpus = 2 \
	}
#define ENDPOINTS(n) \
	{ \
		.name = "endpoints-" #n, .what = "RPC of 64 B, one CPU, the server has " #n " endpoints", \
		.curve = "endpoints", .x = n, .kind = WORK_CALL, .request = REQUEST_ECHO, .placement = PLACE_ONE_CPU, \
		.n_clients = 1, .size = 64, .n_endpoints = n, .n_cpus = 1 \
	}
#define CLIENTS(n) \
	{ \
		.name = "clients-" #n, .what = "RPC of 64 B, one CPU, one of " #n " clients calls", \
		.curve = "clients", .x = n, .kind = WORK_CALL, .request = REQUEST_ECHO, .placement = PLACE_ONE_CPU, \
		.n_clients = 1, .n_idle = (n)-1, .size = 64, .n_cpus = 1 \
	}
#define MEMBERS(n) \
	{ \
		.name = "members-" #n, .what = "send + receive of 64 B, one thread waits for " #n " endpoints", \
		.curve = "members", .x = n, .kind = WORK_SET, .size = 64, .n_endpoints = n, .n_cpus = 1 \
	}

const struct work works[] = {
	RPC_3(64, "64", "64 B"),
	RPC_3(KIB(1), "1k", "1 KiB"),
	RPC_3(KIB(4), "4k", "4 KiB"),
	THREADS("threads-cpu", "RPC of 64 B, two threads of a process on one CPU", PLACE_ONE_CPU, 1),
	THREADS("threads-cpus", "RPC of 64 B, two threads of a process on two CPUs", PLACE_ACROSS, 2),
	THREADS("threads-unpinned", "RPC of 64 B, two threads of a process, not pinned", PLACE_FREE, 2),
	{ .name = "stream",
	  .what = "one way, 64 B, two processes on two CPUs",
	  .kind = WORK_STREAM,
	  .placement = PLACE_ACROSS,
	  .n_clients = 1,
	  .size = 64,
	  .n_cpus = 2 },
	{ .name = "stream-unpinned",
	  .what = "one way, 64 B, two processes, not pinned",
	  .kind = WORK_STREAM,
	  .placement = PLACE_FREE,
	  .n_clients = 1,
	  .size = 64,
	  .n_cpus = 2 },
	{ .name = "fan-in",
	  .what = "RPC of 64 B, 8 clients, one server thread, not pinned",
	  .kind = WORK_CALL,
	  .request = REQUEST_ECHO,
	  .placement = PLACE_FREE,
	  .n_clients = 8,
	  .size = 64,
	  .n_cpus = 2 },
	OBJECT("pass-cpu", "the answer brings an object, always the same, one CPU", REQUEST_PASS, PLACE_ONE_CPU, 1),
	OBJECT("pass-cpus", "the answer brings an object, always the same, two CPUs", REQUEST_PASS, PLACE_ACROSS, 2),
	OBJECT("make-cpu", "the answer brings a new object, one CPU", REQUEST_MAKE, PLACE_ONE_CPU, 1),
	OBJECT("make-cpus", "the answer brings a new object, two CPUs", REQUEST_MAKE, PLACE_ACROSS, 2),
	PAYLOAD("payload-1m", "1 MiB handed over, every page read", MIB(1), false),
	PAYLOAD("payload-64m", "64 MiB handed over, every page read", MIB(64), false),
	PAYLOAD("written-1m", "1 MiB written, handed over, every page read", MIB(1), true),
	PAYLOAD("written-64m", "64 MiB written, handed over, every page read", MIB(64), true),
	{ .name = "endpoint",
	  .what = "an endpoint made and destroyed",
	  .kind = WORK_ENDPOINT,
	  .size = 64,
	  .n_cpus = 1 },
	LOAD("load", "RPC of 64 B at half of what SOCK_SEQPACKET can do, two CPUs", LOAD_SAME),
	LOAD("load-own", "RPC of 64 B at half of what each can do, two CPUs", LOAD_OWN),
	{ .name = "memory",
	  .what = "memory in the server for each of 1,000 idle clients",
	  .kind = WORK_MEMORY,
	  .request = REQUEST_ECHO,
	  .placement = PLACE_FREE,
	  .n_clients = 1,
	  .n_idle = 999,
	  .size = 64,
	  .n_cpus = 1 },

	SIZE("64", "64 B", 64),
	SIZE("256", "256 B", 256),
	SIZE("1k", "1 KiB", KIB(1)),
	SIZE("4k", "4 KiB", KIB(4)),
	SIZE("16k", "16 KiB", KIB(16)),
	SIZE("64k", "64 KiB", KIB(64)),
	SIZE("256k", "256 KiB", KIB(256)),
	SIZE("1m", "1 MiB", MIB(1)),
	SIZE("4m", "4 MiB", MIB(4)),
	SIZE("16m", "16 MiB", MIB(16)),
	SIZE("64m", "64 MiB", MIB(64)),
	ENDPOINTS(10),
	ENDPOINTS(100),
	ENDPOINTS(1000),
	ENDPOINTS(10000),
	ENDPOINTS(100000),
	ENDPOINTS(1000000),
	CLIENTS(1),
	CLIENTS(10),
	CLIENTS(100),
	CLIENTS(1000),
	MEMBERS(10),
	MEMBERS(100),
	MEMBERS(1000),
	MEMBERS(10000),
	MEMBERS(100000),
	{ 0 },
};

static uint64_t at_most(uint64_t n, uint64_t quick)
{
	return scaled(n, n < quick ? n : quick);
}

size_t work_size(const struct work *w)
{
	return at_most(w->size, KIB(256));
}

uint64_t work_endpoints(const struct work *w)
{
	return at_most(w->n_endpoints, 1000);
}

unsigned work_idle(const struct work *w)
{
	return (unsigned)at_most(w->n_idle, 5);
}

struct side work_side(const struct pairing *pairing)
{
	struct side side;

	switch (pairing->work->kind) {
	case WORK_ENDPOINT:
		side = endpoint_side;
		break;
	case WORK_SET:
		side = set_side;
		break;
	case WORK_MEMORY:
		side = (struct side){
			.open = hall_open, .run = hall_memory, .figures = hall_figures, .close = hall_close
		};
		break;
	case WORK_CALL:
	case WORK_STREAM:
	case WORK_LOAD:
	default:
		side = (struct side){
			.open = hall_open, .run = hall_run, .figures = hall_figures, .close = hall_close
		};
		break;
	}
	side.what = pairing->contestant->name;
	side.arg = pairing;
	return side;
}

uint64_t work_operations(const struct pairing *pairing)
{
	double n;

	if (pairing->work->kind == WORK_MEMORY)
		return 1;
	if (pairing->work->kind != WORK_LOAD)
		return 0;
	n = pairing->rate * options.sample * 8; /* the tail needs many */
	return n < 1000 && !options.quick ? 1000 : n < 10 ? 10 : (uint64_t)n;
}

const char *files_unfit(uint64_t n)
{
	enum { OTHERS = 100 };
	static char text[64];
	struct rlimit limit;

	need(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	if (n + OTHERS <= limit.rlim_max)
		return NULL;
	snprintf(text, sizeof text, "a process may have %llu descriptors here", (unsigned long long)limit.rlim_max);
	return text;
}

const char *work_unfit(const struct work *w, const struct contestant *c)
{
	if (w->n_cpus > cpus_usable())
		return "too few CPUs";
	if ((w->kind == WORK_ENDPOINT || (w->n_endpoints && w->kind == WORK_CALL)) && !c->endpoint_new)
		return "has no endpoints of its own";
	if (w->kind == WORK_SET && !c->set_new)
		return "not measured";
	return c->unfit ? c->unfit(w) : NULL;
}
