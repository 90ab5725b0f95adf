/* SPDX-License-Identifier: MIT */
#ifndef PORTUNUS_INSPECT_TYPES_H
#define PORTUNUS_INSPECT_TYPES_H

/* What can be seen of a node: the records of <portunus/inspect.defs>. They travel as words of 32 bits in the host's byte
 * order, hence the alignment. docs/introspection.md tells what they mean together, what is exact and what is not. */

#include <stdint.h>

#define PORTUNUS_INSPECT_VERSION 1
#define PORTUNUS_PROGRAM_MAX	 32 /* bytes of a program's name, the final 0 included */
#define PORTUNUS_INSPECT_PAGE	 64 /* records of one reply, of most kinds */

#define PORTUNUS_RECORD __attribute__((packed, aligned(4)))

/* A process. */
typedef struct PORTUNUS_RECORD {
	uint64_t node;	   /* its id: the pid in the upper half, a random number in the lower; 0: it has no links */
	uint32_t version;  /* PORTUNUS_INSPECT_VERSION */
	uint32_t pid, uid; /* the user by whose rights it runs */
	uint32_t n_links;
	uint64_t memory; /* bytes of it that are in memory */
	char program[PORTUNUS_PROGRAM_MAX];
} portunus_inspect_node_t;

/* A task. What it has sent and received are messages of mach_msg(). */
typedef struct PORTUNUS_RECORD {
	uint64_t task;		     /* its number, which no other task of the process ever has */
	uint32_t n_names, n_threads; /* threads that act in it now */
	uint64_t n_sent, sent_bytes, n_received, received_bytes;
} portunus_inspect_task_t;

/* What the names of a task hold together. */
typedef struct PORTUNUS_RECORD {
	uint32_t n_names, n_sets, n_dead;
	uint32_t n_receive;		 /* receive rights, that is ports */
	uint32_t n_send;		 /* names with send rights */
	uint32_t n_once;		 /* send-once rights */
	uint64_t send_refs;		 /* user references of send rights */
	uint64_t n_queued, queued_bytes; /* messages in the queues of its receive rights */
	uint64_t n_blocked; /* threads of this process that wait for room in the queue of a port that is named here */
} portunus_inspect_totals_t;

/* Where the receive right of a port is. */
enum {
	PORTUNUS_PLACE_NONE = 0,    /* no port: a port set or a dead name */
	PORTUNUS_PLACE_TASK = 1,    /* in a task of this process: receiver */
	PORTUNUS_PLACE_MESSAGE = 2, /* in a message, or in the hands of a call */
	PORTUNUS_PLACE_KERNEL = 3,  /* the port of a task, a thread, the host, a file, the process: object */
	PORTUNUS_PLACE_NODE = 4,    /* in another process: home */
};

enum {
	PORTUNUS_OBJECT_NONE = 0,
	PORTUNUS_OBJECT_TASK = 1,
	PORTUNUS_OBJECT_THREAD = 2,
	PORTUNUS_OBJECT_HOST = 3,
	PORTUNUS_OBJECT_FILE = 4,
	PORTUNUS_OBJECT_NODE = 5,  /* what is asked here */
	PORTUNUS_OBJECT_OTHER = 6, /* some object of another process */
};

/* Bits of flags. */
#define PORTUNUS_HAS_NO_SENDERS	    1 /* a no-senders notification is asked for */
#define PORTUNUS_HAS_PORT_DESTROYED 2 /* port-destroyed is */
#define PORTUNUS_HAS_HOLDERS	    4 /* other processes hold rights to it */

/* A name. */
typedef struct PORTUNUS_RECORD {
	uint32_t name;
	uint32_t type;	/* MACH_PORT_TYPE_*; of what has died, a dead name */
	uint32_t urefs; /* user references of a send right or a dead name */
	uint32_t set;	/* name of the set that the receive right is in, or 0 */
	/* Of the port: */
	uint64_t port;	   /* tells the ports of this process apart, as long as they live */
	uint32_t place;	   /* PORTUNUS_PLACE_* */
	uint32_t object;   /* PORTUNUS_OBJECT_* */
	uint64_t receiver; /* the task that has the receive right */
	uint64_t home;	   /* id of the node that has it */
	uint32_t index;	   /* and by which number of that node's: see portunus_inspect_holder_t */
	uint32_t flags;
	uint32_t qlimit, n_queued; /* of a port elsewhere: messages of this process that are not known to be received */
	uint32_t seqno, mscount;
	uint32_t n_srights, n_sorights; /* send rights and send-once rights that there are; of a port elsewhere, here */
	uint32_t n_blocked; /* threads of this process that wait for room in its queue; 1024 are all that are counted */
	uint32_t unused;
	uint64_t queued_bytes;
	uint64_t n_passed, passed_bytes; /* received from it so far; of a port elsewhere, sent to it by this process */
} portunus_inspect_name_t;

/* Rights of another process to a port whose receive right is in the task that was asked after. The holder knows the port by
 * this index: it is (home, index) of its own names. */
typedef struct PORTUNUS_RECORD {
	uint64_t port;
	uint64_t holder; /* id of the node */
	uint32_t name;	 /* of the receive right */
	uint32_t index;
	uint32_t n_srights, n_sorights;
} portunus_inspect_holder_t;

enum {
	PORTUNUS_LINK_PEER = 0,	  /* introduced by others */
	PORTUNUS_LINK_BROKER = 1, /* it is the broker of this process */
	PORTUNUS_LINK_CLIENT = 2, /* this process is its broker */
	PORTUNUS_LINK_PARENT = 3, /* it started this process */
	PORTUNUS_LINK_CHILD = 4,
};

/* A link to another process. */
typedef struct PORTUNUS_RECORD {
	uint64_t node; /* its id */
	uint32_t pid, uid, gid;
	uint32_t role;		       /* PORTUNUS_LINK_* */
	uint32_t n_exports, n_proxies; /* ports here that it has rights to, and ports there that are known here */
	uint64_t backlog;	       /* bytes that wait until it has room */
} portunus_inspect_link_t;

#define PORTUNUS_INSPECT_PATH_MAX 256 /* bytes of a path, the final 0 included */

typedef char portunus_inspect_path_t[PORTUNUS_INSPECT_PATH_MAX];
typedef const char *const_portunus_inspect_path_t;
typedef portunus_inspect_task_t portunus_inspect_tasks_t[PORTUNUS_INSPECT_PAGE];
typedef portunus_inspect_name_t portunus_inspect_names_t[PORTUNUS_INSPECT_PAGE];
typedef portunus_inspect_holder_t portunus_inspect_holders_t[2 * PORTUNUS_INSPECT_PAGE];
typedef portunus_inspect_link_t portunus_inspect_links_t[PORTUNUS_INSPECT_PAGE];

#endif
