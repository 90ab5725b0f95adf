/* SPDX-License-Identifier: MIT */
#pragma once

/* A port: one queue of messages, one receive right, any number of send and send-once rights.
 *
 * The receive right is in one place at a time (enum port_where). Death is a state, final, and says nothing about
 * memory: the memory lives until the last reference goes. References are held by every name, every naked right and
 * every thread that waits on the port.
 *
 * Locks: everything is guarded by port.lock, except
 *   where         written under the lock, readable without it (a port that is dead stays dead)
 *   dest          guarded by transit_lock, so that chains of ports in transit hold still while one is followed
 *   entry, name   written under the locks of both the port and its space, so either is enough to read them
 *   set_link      guarded by set->lock
 * Rank: space, transit, port, set. A thread locks at most one port at a time.
 */

#include <mach/port.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "kernel/after.h"
#include "kernel/right.h"
#include "kernel/watch.h"
#include "platform/list.h"
#include "platform/lock.h"

struct after;
struct export;
struct object;
struct portset;
struct proxy;

enum port_where {
	PORT_IN_SPACE,	 /* space, entry, name: a task holds the receive right */
	PORT_IN_MESSAGE, /* dest: where the message that carries it goes, NULL while it is in the hands of a call */
	PORT_IN_KERNEL,	 /* object: a task, a thread, a host, a file; messages go to file_deliver(), call_serve() */
	PORT_IS_PROXY, /* proxy: another node has the receive right; messages go to remote_ops.transmit(), n_queued counts
			  * those of ours that are not known to have been received, and qlimit is the other node's */
	PORT_IS_DEAD, /* final */
};

struct port {
	struct lock lock;
	_Atomic(enum port_where) where;
	union {
		struct space *space; /* not referenced: a space outlives its receive rights */
		struct object *object;
		struct proxy *proxy;
	};
	struct export *exports; /* what other nodes hold of it, see kernel/remote.h; NULL mostly */
	struct port *dest;	/* one reference; guarded by transit_lock, NULL unless in a message */
	struct name *entry;	/* IN_SPACE: where it is named, and its number there */
	mach_port_name_t name;
	uint32_t n_refs;
	uint32_t n_srights, n_sorights;	 /* named and naked */
	mach_port_mscount_t mscount;	 /* make-send count */
	mach_port_seqno_t seqno;	 /* of the next message received */
	uint32_t n_queued, qlimit;	 /* messages; sends through send-once rights ignore the limit */
	uint64_t queued_bytes;		 /* of those that are in messages */
	uint64_t n_passed, passed_bytes; /* messages that have left: received, or of a proxy, sent to its owner */
	bool has_payload;
	unsigned long payload;
	struct list messages;  /* message.port_link, oldest first */
	struct list receivers; /* waiter.link: blocked, newest first; empty while the port is in a set */
	struct list senders;   /* waiter.link: blocked on a full queue, oldest first, each with its message */
	/* NULL mostly: messages that wait until those have come that were sent before them by way of the port's former home;
	 * message.is_relayed ones do not. */
	struct list *held;
	struct portset *set;	    /* one reference */
	struct watch *watch;	    /* IN_SPACE: who polls for messages; NULL mostly */
	struct list set_link;	    /* in set->members */
	struct message *no_senders; /* the notices that were asked for, ready to be sent */
	struct message *port_destroyed;
	struct list dead_requests; /* message.port_link: one dead-name notice for each name that asked */
};

/* Orders all moves of receive rights into and out of messages. Rank TRANSIT. */
extern struct lock transit_lock;

/* Returns a port with no right and one reference, the caller's, in the kernel's hands (IN_MESSAGE, no dest); NULL when
 * there is no memory. port_enter_*() gives it its place. */
struct port *port_new(void);

static inline bool port_is_dead(const struct port *p)
{
	return atomic_load_explicit(&p->where, memory_order_acquire) == PORT_IS_DEAD;
}

static inline bool port_is_proxy(const struct port *p)
{
	return atomic_load_explicit(&p->where, memory_order_acquire) == PORT_IS_PROXY;
}

/* The queue has changed, or the set: tells whoever polls. */
void port_show_slow_locked(struct port *p);
static inline void port_show_locked(struct port *p)
{
	if (__builtin_expect(p->watch != NULL, 0))
		port_show_slow_locked(p);
}

void port_ref_locked(struct port *p);
void port_unref(struct port *p);
/* Drops the lock and one reference. */
void port_unlock_unref(struct port *p);

/* The receive right comes to a name of a space. The space's lock is held. */
void port_enter_space_locked(struct port *p, struct space *space, struct name *entry);
void port_enter_kernel_locked(struct port *p, struct object *object);
/* From IN_MESSAGE: the receive right is at another node; and back, when it has come from there. */
void port_become_proxy_locked(struct port *p, struct proxy *proxy);
void port_cease_proxy_locked(struct port *p);
/* No right to it is left here, so nobody can tell that it goes. */
void port_end_proxy_locked(struct port *p);
/* The receive right leaves its space: counts restart, the payload and the port set are forgotten, the watch ends, blocked
 * receivers get MACH_RCV_PORT_DIED. The port is in the hands of the caller (IN_MESSAGE without dest). */
void port_leave_space_locked(struct port *p, struct after *after);

/* The receive right of @p, in the caller's hands, goes into a message to @dest. Returns false, changing nothing, where
 * that would close a circle: nobody could ever receive it. */
bool port_enter_transit(struct port *p, struct port *dest);
/* It comes out of a message again. */
void port_leave_transit(struct port *p);

/* Naked rights, made and copied. Each takes a reference. */
void port_make_send_locked(struct port *p);
void port_copy_send_locked(struct port *p);
void port_make_send_once_locked(struct port *p);

/* Naked rights out of nothing, with their references: what another node says that it has given away. */
void port_add_rights(struct port *p, uint32_t n_sends, uint32_t n_onces);

/* One send right less, without its reference. Returns the no-senders notice to be sent if it was the last. */
struct message *port_drop_send_locked(struct port *p);
/* A naked send right with its reference. */
void port_drop_send(struct port *p);
void port_drop_sends(struct port *p, uint32_t n); /* so many of them */

/* The receive right is gone: the port dies, or comes back to whoever asked for port-destroyed. Takes the reference of
 * the receive right, which is in the caller's hands. No lock may be held. */
void port_destroy(struct port *p);

/* The same in two steps, of one that nobody has asked to have back. */
struct remains {
	struct list messages; /* queued, then those of blocked senders */
	struct list dead_requests;
	struct message *no_senders;
	bool is_exported;
	struct after after;
};

void port_die_locked(struct port *p, struct remains *remains);
void port_settle_remains(struct port *p, struct remains *remains);

/* Messages are held from now on, in a list of the caller's; and no more: what is held is delivered. */
void port_hold_locked(struct port *p, struct list *held);
void port_release_held_locked(struct port *p, struct after *after);

/* Queue limit and the senders that it holds back. */
void port_set_qlimit_locked(struct port *p, uint32_t qlimit, struct after *after);
