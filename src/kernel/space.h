/* SPDX-License-Identifier: MIT */
#pragma once

/* A name space: the table in which a task names its rights with small integers.
 *
 * Two indexes over the same entries (struct name):
 *   by name   every entry, also names that are free but kept for reuse (type MACH_PORT_TYPE_NONE)
 *   by port   pure send rights only, so that arriving rights join the name that is there (coalescing). A port whose
 *             receive right is here knows its own name; send-once rights never coalesce.
 * Names that were freed last are handed out first, as Mach does. Any 32-bit number may be asked for by name.
 *
 * Dead ports: when a port dies, the names that other spaces hold on it are not visited. Each lookup of a name checks
 * (name_check_dead_locked) and turns it into a dead name then, as the kernel of Mach does.
 *
 * Everything is guarded by space->lock (rank SPACE); entries do not move in memory while their name is in use.
 */

#include <mach/port.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "platform/list.h"
#include "platform/lock.h"

struct accept_request;
struct message;
struct port;
struct portset;

#define UREFS_MAX 65535u /* of a dead name; a send right stays one below */

struct name {
	mach_port_name_t name;
	mach_port_type_t type; /* MACH_PORT_TYPE_*, without the request bits */
	uint32_t urefs;	       /* of a send right or a dead name */
	bool is_implicit;      /* made by the kernel for a port of its own, see object_name() */
	struct name *next_by_name;
	union {
		struct list free_link; /* NONE: in space->free */
		struct {
			union {
				struct port *port;   /* SEND, RECEIVE, SEND_ONCE: one reference */
				struct portset *set; /* PORT_SET: one reference */
			};
			struct name *next_by_port; /* while in the index by port */
		};
	};
	struct message *dead_request;  /* the notice queued on the port; the port's once that has died */
	struct accept_request *accept; /* msg-accepted notification pending */
};

struct name_index {
	struct name **buckets;
	uint32_t n_buckets; /* a power of two, 0 before the first use */
	uint32_t n_names;
};

struct space {
	struct lock lock;
	atomic_uint n_refs;
	bool is_dead;	  /* no name may be added any more */
	uint64_t task_id; /* of its task, for good */
	struct name_index by_name, by_port;
	struct list free; /* name.free_link, freed last first */
	uint32_t n_used;
	mach_port_name_t next_fresh; /* where to look for a name never used */
	_Atomic mach_port_name_t
		self_name; /* of the task's own port, MACH_PORT_NULL: it has none; read without the lock */
};

struct space *space_new(void); /* one reference; NULL: no memory */
struct space *space_ref(struct space *space);
void space_unref(struct space *space);

/* Ends the space: every name goes as if destroyed, in ascending order, with all consequences. */
void space_destroy(struct space *space);

/* The name in use under this number, dead ports already turned into dead names; NULL: none. */
struct name *space_lookup_locked(struct space *space, mach_port_name_t name);
/* The same without a look at the port. */
struct name *space_find_locked(struct space *space, mach_port_name_t name);
/* The name under which the space holds a send or receive right to @p; NULL: none, or @p is dead. The first with the
 * port's lock held, too. */
struct name *space_find_port_locked(struct space *space, const struct port *p);
struct name *space_lookup_port_locked(struct space *space, struct port *p);

/* A name without a right yet; the caller fills it before it drops the lock, or gives it back with space_free_locked().
 * NULL: no memory. */
struct name *space_allocate_locked(struct space *space);
/* The same under a given number, which must not be in use. */
struct name *space_allocate_as_locked(struct space *space, mach_port_name_t number);
/* The name is not in use any more. It holds nothing by now. */
void space_free_locked(struct space *space, struct name *name);
/* Moves everything from @old to @new, a name without a right, and frees @old. */
void space_renumber_locked(struct space *space, struct name *old, struct name *new);

/* Index by port, for pure send rights. The room must be there: space_reserve_index_locked() before the first (false: no
 * memory); what is there stays. */
bool space_reserve_index_locked(struct space *space);
void space_index_port_locked(struct space *space, struct name *name);
void space_unindex_port_locked(struct space *space, struct name *name);

void space_sort_numbers(mach_port_name_t *numbers, uint32_t n);
/* Numbers of all names in use, ascending; *n of them, malloc'ed. False: no memory. */
bool space_list_locked(struct space *space, mach_port_name_t **names, uint32_t *n);

/* A walk in steps, for who looks at a space and must not hold its lock for long. *@cursor is 0 at the beginning, and 0 again
 * after the last step. A step calls @visit with up to @max names in use, and looks at no more than about @budget
 * entries, of which it takes off what it has looked at; so it may find none. A name that is there all the time is visited once, also if the table grows meanwhile; only where
 * very many numbers share a bucket may one be visited twice, or left out if the table grows. */
void space_walk_locked(struct space *space, uint64_t *cursor, unsigned max, unsigned *budget,
		       void (*visit)(const struct name *name, void *context), void *context);

/* Notes that @number names the space's own task, if it is in use. */
void space_set_self_name(struct space *space, mach_port_name_t number);
