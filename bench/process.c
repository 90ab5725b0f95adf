/* SPDX-License-Identifier: MIT */
/* Ports between processes: the rows, and what the other processes do. */
#include "carry.h"
#include "clients.h"
#include "idle.h"
#include "lookup.h"
#include "stall.h"

#include <stdlib.h>
#include <string.h>

double peer_born;

static const struct wire *const wires[] = {
	&socket_call, &socket_set,  &socket_open,      &socket_stream, &socket_bulk, &socket_rights,
	&floor_call,  &linked_only, &port_alone,       &floor_stream,  &port_call,   &port_set,
	&port_open,   &port_stream, &port_stream_long, &port_move,     &port_copy,   &port_rights,
};

int peer_main(const char *name)
{
	peer_end_with_worker();
	cpus_usable(); /* remembered before anything is pinned */
	for (size_t i = 0; i < sizeof wires / sizeof *wires; i++)
		if (strcmp(wires[i]->name, name) == 0) {
			client_main(wires[i]);
			return EXIT_SUCCESS;
		}
	for (const struct role *role = lookup_roles; role->name; role++)
		if (strcmp(role->name, name) == 0) {
			role->run();
			return EXIT_SUCCESS;
		}
	if (strcmp(name, "stall-look") == 0) {
		stall_look();
		return EXIT_SUCCESS;
	}
	fail(name, __FILE__, __LINE__, "no such role");
}

#define ONE_CPU(text, w)  CLIENTS_SIDE(text, .wire = &w, .placement = PLACE_ONE_CPU, .n_active = 1)
#define TWO_CPUS(text, w) CLIENTS_SIDE(text, .wire = &w, .placement = PLACE_ACROSS, .n_active = 1)
#define UNPINNED(text, w) CLIENTS_SIDE(text, .wire = &w, .placement = PLACE_FREE, .n_active = 1)

#define EIGHT(text, w) CLIENTS_SIDE(text, .wire = &w, .placement = PLACE_FREE, .n_active = 8)
#define CROWD(text, w) \
	CLIENTS_SIDE(text, .wire = &w, .placement = PLACE_ONE_CPU, .n_active = 1, .n_idle = 1000, .n_idle_quick = 10)
#define BULK(text, w) \
	CLIENTS_SIDE(text, .wire = &w, .placement = PLACE_ACROSS, .n_active = 1, .amount = 64 << 20, \
		     .amount_quick = 1 << 20)
#define CARRY(text, run) CARRY_SIDE(text, run, 64 << 20, 1 << 20)
#define RIGHTS(text, w, n) \
	CLIENTS_SIDE(text, .wire = &w, .placement = PLACE_ACROSS, .n_active = 1, .amount = n, .amount_quick = n / 10, \
		     .per_amount = true)

#define SEQPACKET "SOCK_SEQPACKET"
#define FLOOR	  "shared memory, futex"

const struct row process_rows[] = {
	{ "process-rpc-cpu", "RPC of 64 bytes, two processes on one CPU", ROW_TIME, 0.8, "<= 0.8", 1, 0,
	  ONE_CPU("mach_msg RPC", port_call), ONE_CPU(SEQPACKET, socket_call) },
	{ "process-rpc-cpus", "RPC of 64 bytes, two processes on two CPUs", ROW_TIME, 0.12, "<= 0.12", 2, 0,
	  TWO_CPUS("mach_msg RPC", port_call), TWO_CPUS(SEQPACKET, socket_call) },
	{ "process-rpc-unpinned", "RPC of 64 bytes, two processes, not pinned", ROW_TIME, 0.4, "<= 0.4", 2, 0,
	  UNPINNED("mach_msg RPC", port_call), UNPINNED(SEQPACKET, socket_call) },
	{ "process-floor-cpu", "what shared memory and a futex give on one CPU", ROW_TIME, 0, NULL, 1, 0,
	  ONE_CPU(FLOOR, floor_call), ONE_CPU(SEQPACKET, socket_call) },
	{ "process-floor-cpus", "the same on two CPUs", ROW_TIME, 0, NULL, 2, 0, TWO_CPUS(FLOOR, floor_call),
	  TWO_CPUS(SEQPACKET, socket_call) },
	{ "process-floor-unpinned", "the same, not pinned", ROW_TIME, 0, NULL, 2, 0, UNPINNED(FLOOR, floor_call),
	  UNPINNED(SEQPACKET, socket_call) },

	{ "process-stream", "one way between processes, queue limit 16, as a rate", ROW_RATE, 5, ">= 5", 2, 0,
	  TWO_CPUS("mach_msg", port_stream), TWO_CPUS(SEQPACKET, socket_stream) },
	{ "process-stream-long", "the same, queue limit 1024", ROW_RATE, 0, NULL, 2, 0,
	  TWO_CPUS("mach_msg", port_stream_long), TWO_CPUS(SEQPACKET, socket_stream) },
	{ "process-stream-floor", "what shared memory and a futex give one way", ROW_RATE, 0, NULL, 2, 0,
	  TWO_CPUS(FLOOR, floor_stream), TWO_CPUS(SEQPACKET, socket_stream) },

	{ "process-open-cpu", "RPC whose reply carries a new port, dropped / plain, one CPU", ROW_TIME, 2, "<= 2", 1, 0,
	  ONE_CPU("RPC with a port", port_open), ONE_CPU("plain RPC", port_call) },
	{ "process-open-cpus", "the same on two CPUs", ROW_TIME, 2, "<= 2", 2, 0,
	  TWO_CPUS("RPC with a port", port_open), TWO_CPUS("plain RPC", port_call) },
	{ "process-open-fd-cpu", "the same / a descriptor by SCM_RIGHTS, closed, one CPU", ROW_TIME, 0.6, "<= 0.6", 1,
	  0, ONE_CPU("RPC with a port", port_open), ONE_CPU(SEQPACKET " with SCM_RIGHTS", socket_open) },
	{ "process-open-fd-cpus", "the same on two CPUs", ROW_TIME, 0.15, "<= 0.15", 2, 0,
	  TWO_CPUS("RPC with a port", port_open), TWO_CPUS(SEQPACKET " with SCM_RIGHTS", socket_open) },

	{ "process-set", "8 clients, one single-threaded server, as a rate", ROW_RATE, 1.6, ">= 1.6", 2, 0,
	  EIGHT("port set", port_set), EIGHT(SEQPACKET ", epoll", socket_set) },

	{ "process-move", "64 MiB out of line moved, every page touched, as a rate", ROW_RATE, 5, ">= 5", 2, 0,
	  BULK("mach_msg, deallocate", port_move), BULK(SEQPACKET " in chunks", socket_bulk) },
	{ "process-copy", "64 MiB out of line copied, every page touched, as a rate", ROW_RATE, 1.3, ">= 1.3", 2, 0,
	  BULK("mach_msg", port_copy), BULK(SEQPACKET " in chunks", socket_bulk) },

	{ "process-carry-pages", "what giving away its pages and mapping them costs", ROW_RATE, 0, NULL, 2, 0,
	  CARRY("unmap, seal, map, touch, unmap", carry_by_pages), BULK(SEQPACKET " in chunks", socket_bulk) },
	{ "process-carry-copy", "what one copy of it costs", ROW_RATE, 0, NULL, 2, 0,
	  CARRY("memcpy, touch", carry_by_copy), BULK(SEQPACKET " in chunks", socket_bulk) },
	{ "process-carry-halves", "the same, half of it on each of two CPUs", ROW_RATE, 0, NULL, 2, 0,
	  CARRY("memcpy by two, touch", carry_by_halves), BULK(SEQPACKET " in chunks", socket_bulk) },

	{ "process-crowd", "RPC while 1,000 other clients are idle / none is", ROW_TIME, 1.2, "<= 1.2", 1, 0,
	  CROWD("1,001 clients", port_set), ONE_CPU("1 client", port_set) },
	{ "process-crowd-socket", "the same for SOCK_SEQPACKET and epoll", ROW_TIME, 0, NULL, 1, 0,
	  CROWD("1,001 clients", socket_set), ONE_CPU("1 client", socket_set) },

	{ "process-idle-server", "an idle client: memory in the server", ROW_BYTES, 16384, "<= 16 KiB", 1, 1,
	  IDLE_SIDE("ports", port_set, IDLE_SERVER_BYTES), IDLE_SIDE(SEQPACKET, socket_set, IDLE_SERVER_BYTES) },
	{ "process-idle-client", "an idle client: memory in it, beyond its own", ROW_BYTES, 16384, "<= 16 KiB", 1, 1,
	  IDLE_SIDE_BEYOND("ports", port_set, port_alone, IDLE_CLIENT_BYTES),
	  IDLE_SIDE(SEQPACKET, socket_set, IDLE_CLIENT_BYTES) },
	{ "process-idle-client-all", "the same, and what it has because it has ports at all", ROW_BYTES, 0, NULL, 1, 1,
	  IDLE_SIDE("ports", port_set, IDLE_CLIENT_BYTES), IDLE_SIDE(SEQPACKET, socket_set, IDLE_CLIENT_BYTES) },
	{ "process-idle-files", "an idle client: descriptors in the server", ROW_COUNT, 4, "<= 4", 1, 1,
	  IDLE_SIDE("ports", port_set, IDLE_SERVER_FILES), IDLE_SIDE(SEQPACKET, socket_set, IDLE_SERVER_FILES) },
	{ "process-idle-files-own", "an idle client: descriptors in it", ROW_COUNT, 0, NULL, 1, 1,
	  IDLE_SIDE("ports", port_set, IDLE_CLIENT_FILES), IDLE_SIDE(SEQPACKET, socket_set, IDLE_CLIENT_FILES) },
	{ "process-idle-wakes", "idle clients: wake-ups of any thread, theirs or the server's", ROW_COUNT, 0.5, "none",
	  1, 1, IDLE_SIDE("ports", port_set, IDLE_WAKES), IDLE_SIDE(SEQPACKET, socket_set, IDLE_WAKES) },
	{ "process-idle-cpu", "idle clients: us on a CPU per second, theirs, the server's", ROW_COUNT, 0.001, "none", 1,
	  1, IDLE_SIDE("ports", port_set, IDLE_CPU), IDLE_SIDE(SEQPACKET, socket_set, IDLE_CPU) },

	{ "process-rights", "100,000 rights handed to another process, released: each", ROW_SECONDS, 2e-6, "<= 2 us", 2,
	  1, RIGHTS("mach_msg", port_rights, 100000),
	  RIGHTS(SEQPACKET " with SCM_RIGHTS, 10,000", socket_rights, 10000) },
	{ "process-rights-linear", "the same, each of 100,000 / each of 10,000", ROW_TIME, 2, "<= 2", 2, 1,
	  RIGHTS("100,000", port_rights, 100000), RIGHTS("10,000", port_rights, 10000) },

	{ "process-lookup", "first look-up of a name in a fresh process, since its main()", ROW_SECONDS, 5e-3,
	  "<= 5 ms", 1, 0, LOOKUP_SIDE("netname_look_up", port_names),
	  LOOKUP_SIDE("connect, ask, SCM_RIGHTS", socket_names) },
	{ 0 },
};
