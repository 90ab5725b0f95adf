/* SPDX-License-Identifier: MIT */
#pragma once

/* Peers, for who looks at them: the nodes that this one is linked to, and the right to look into one. */

#include <mach/kern_return.h>
#include <mach/port.h>
#include <stdbool.h>
#include <stdint.h>

#include "kernel/message.h"
#include "kernel/right.h"
#include "link/link.h"

struct peer {
	uint64_t id;
	struct sender who; /* as the host vouches for it */
	enum link_role role;
	uint32_t n_exports, n_proxies;
	uint64_t backlog; /* bytes that wait for room in the ring */
};

uint64_t peers_own_id(void); /* 0: this process is no node */
unsigned peers_count(void);
/* Up to @max, in the order of their ids, that have higher ones than @after. */
unsigned peers_list(uint64_t after, struct peer *peers, unsigned max);

/* A naked send right to the kernel_node() of a peer, or to our own.
 *   KERN_INVALID_ARGUMENT   no such peer      KERN_NO_ACCESS   it is another user's, and we are not root */
kern_return_t peers_node_right(uint64_t id, struct right *right);

/* Where the port is that the calling task has a send or receive right to: the id of the node, and by which index of its it is
 * known here (INDEX_NONE: it is our own). False: no such right, or the port is dead. */
bool peers_home_of(mach_port_name_t name, uint64_t *id, uint32_t *index, uint64_t *port);
