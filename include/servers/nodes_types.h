/* SPDX-License-Identifier: MIT */
#ifndef PORTUNUS_SERVERS_NODES_TYPES_H
#define PORTUNUS_SERVERS_NODES_TYPES_H

/* The records of <servers/nodes.defs>. They travel as words of 32 bits in the host's byte order, hence the alignment. */

#include <portunus/inspect_types.h>

#define NODES_PAGE	   32 /* records of one reply */
#define NODES_NAMES_PAGE   16
#define NODES_NAME_MAX	   128 /* bytes, the final 0 included */
#define NODES_INDEX_OF_OWN 0xffffffffu

/* A node that is linked to the broker, or the broker itself. */
typedef struct PORTUNUS_RECORD {
	uint64_t node;		/* its id */
	uint32_t pid, uid, gid; /* as the host vouches for them */
	uint32_t is_broker;
	char program[PORTUNUS_PROGRAM_MAX]; /* as the host calls it, at most 15 bytes; "" where it does not tell */
} nodes_node_t;

enum { NODES_NETNAME = 0, NODES_BOOTSTRAP = 1 };

enum {
	NODES_NAME_ACTIVE = 0, /* somebody has the port */
	NODES_NAME_KEPT = 1,   /* declared; the broker has the port until somebody checks in */
};

/* A name, and where the receive right of its port is. */
typedef struct PORTUNUS_RECORD {
	uint64_t home;	/* id of the node, which may be the broker's own; 0: the port has just died */
	uint64_t port;	/* of the broker's own: as in portunus_inspect_name_t */
	uint32_t index; /* of another's: the broker holds it by that number, as in portunus_inspect_holder_t */
	uint32_t state; /* NODES_NAME_* */
	char name[NODES_NAME_MAX];
} nodes_name_t;

typedef nodes_node_t nodes_nodes_t[NODES_PAGE];
typedef nodes_name_t nodes_names_t[NODES_NAMES_PAGE];

#endif
