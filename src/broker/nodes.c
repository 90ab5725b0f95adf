/* SPDX-License-Identifier: MIT */
#include "nodes.h"

#include <fcntl.h>
#include <mach.h>
#include <servers/nodes_types.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "kernel/right.h"
#include "kernel/task.h"
#include "kernel/thread.h"
#include "link/peers.h"
#include "nodes_serve_server.h"

/* As <servers/nodes.defs> has them. */
_Static_assert(sizeof(nodes_node_t) == 14 * 4, "words of a node");
_Static_assert(sizeof(nodes_name_t) == 38 * 4, "words of a name");

static struct {
	const struct names *tables[2];
	uid_t client; /* who sent the request that is being answered */
} nodes;

void nodes_init(const struct names *netnames, const struct names *services)
{
	nodes.tables[NODES_NETNAME] = netnames;
	nodes.tables[NODES_BOOTSTRAP] = services;
}

boolean_t nodes_demux(uid_t client, mach_msg_header_t *request, mach_msg_header_t *reply)
{
	nodes.client = client;
	return nodes_server(request, reply);
}

/* ---- nodes */

static void read_program(uint32_t pid, char *program)
{
	char path[32];
	ssize_t n;
	int fd;

	snprintf(path, sizeof path, "/proc/%u/comm", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, program, PORTUNUS_PROGRAM_MAX - 1);
	if (fd >= 0)
		close(fd);
	program[n > 0 ? n - 1 : 0] = 0; /* it ends with a newline */
}

static struct peer peer_of_own(void)
{
	return (struct peer){ .id = peers_own_id(), .who = { getpid(), geteuid(), getegid() } };
}

/* The broker is a node like the others: into their order. Returns how many there are then. */
static unsigned insert_own(uint64_t after, struct peer *peers, unsigned n)
{
	struct peer own = peer_of_own();
	unsigned at = 0;

	if (own.id <= after)
		return n;
	while (at < n && peers[at].id < own.id)
		at++;
	if (at == NODES_PAGE)
		return n;
	n -= n == NODES_PAGE;
	memmove(&peers[at + 1], &peers[at], (n - at) * sizeof *peers);
	peers[at] = own;
	return n + 1;
}

kern_return_t serve_nodes_list(mach_port_t server, uint64_t after, nodes_nodes_t list, mach_msg_type_number_t *n)
{
	struct peer peers[NODES_PAGE];

	(void)server;
	*n = insert_own(after, peers, peers_list(after, peers, NODES_PAGE));
	for (unsigned i = 0; i < *n; i++) {
		nodes_node_t record = {
			.node = peers[i].id,
			.pid = (uint32_t)peers[i].who.pid,
			.uid = peers[i].who.uid,
			.gid = peers[i].who.gid,
			.is_broker = peers[i].id == peers_own_id(),
		};

		read_program(record.pid, record.program);
		list[i] = record;
	}
	return KERN_SUCCESS;
}

/* Whether that node runs as the user who asks, or root does. */
static bool is_allowed(uint64_t id)
{
	struct peer peer = peer_of_own();

	if (nodes.client == 0)
		return true;
	if (id != peer.id && (peers_list(id - 1, &peer, 1) != 1 || peer.id != id))
		return true; /* there is none, which is no secret */
	return peer.who.uid == nodes.client;
}

kern_return_t serve_nodes_port(mach_port_t server, uint64_t id, mach_port_t *port)
{
	struct right right;
	kern_return_t kr;

	(void)server;
	if (!is_allowed(id))
		return KERN_NO_ACCESS;
	kr = peers_node_right(id, &right);
	if (kr)
		return kr;
	kr = right_copyout(thread_self()->task->space, &right, port);
	if (kr)
		right_destroy(&right);
	return kr;
}

/* ---- names */

static void describe(const struct entry *e, nodes_name_t *name)
{
	nodes_name_t record = { .state = e->state == ENTRY_KEPT ? NODES_NAME_KEPT : NODES_NAME_ACTIVE };
	uint64_t home, port;
	uint32_t index;

	if (peers_home_of(e->port, &home, &index, &port)) {
		record.home = home;
		record.index = index;
		record.port = home == peers_own_id() ? port : 0;
	}
	snprintf(record.name, sizeof record.name, "%s", e->name);
	*name = record;
}

/* The cursor: a bucket in the upper half, how many of its entries were listed in the lower. */
kern_return_t serve_nodes_names(mach_port_t server, int which, uint64_t *cursor, nodes_names_t names,
				mach_msg_type_number_t *n)
{
	uint32_t bucket = (uint32_t)(*cursor >> 32), skip = (uint32_t)*cursor;

	(void)server;
	if (which != NODES_NETNAME && which != NODES_BOOTSTRAP)
		return KERN_INVALID_ARGUMENT;
	*n = 0;
	for (; bucket < NAMES_BUCKETS; bucket++, skip = 0) {
		uint32_t at = 0;

		for (const struct entry *e = nodes.tables[which]->buckets[bucket]; e; e = e->next, at++) {
			if (at < skip)
				continue;
			if (*n == NODES_NAMES_PAGE) {
				*cursor = (uint64_t)bucket << 32 | at;
				return KERN_SUCCESS;
			}
			describe(e, &names[(*n)++]);
		}
	}
	*cursor = 0;
	return KERN_SUCCESS;
}
