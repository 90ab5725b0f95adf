/* SPDX-License-Identifier: MIT */
#pragma once

/* What lies beyond this kernel: the hooks by which the link layer joins it to the kernels of other processes.
 *
 * The kernel sees two things of other nodes, both in struct port:
 *   PORT_IS_PROXY   the receive right is elsewhere. Names and rights work as on any port. Messages are handed to
 *                   transmit(); n_srights and n_sorights count what this node holds, and whoever changes them calls
 *                   remote_note_count_locked(), so that the owner is told in the end (settle()).
 *   port.exports    other nodes hold rights to a port of this kernel. Each such right is a naked right in the hands of
 *                   the link layer, so the kernel's own counts are true. A message that came from another node
 *                   remembers through which export (message.origin), so that its sender hears when it is received.
 *
 * Until the first link exists nothing here costs more than a load and a branch. Everything but note_* is called with no
 * lock held. */

#include <stdatomic.h>
#include <stdbool.h>

#include "kernel/port.h"
#include "kernel/waiter.h"

struct deadline;
struct export;
struct message;

struct remote_ops {
	/* Sends a message whose destination is, or was a moment ago, a proxy. Takes it. If it is unfilled the sender is in the
	 * call, and when this returns his memory is his again. */
	void (*transmit)(struct message *m);
	/* A port with exports has died. */
	void (*port_died)(struct port *p);
	/* Under the port's lock: a count of a proxy has changed; a message has left the queue that it came to from @origin. */
	void (*note_count_locked)(struct port *proxy);
	void (*note_received_locked)(struct export *origin);
	/* Likewise: the queue limit of a port with exports has changed. */
	void (*note_limit_locked)(struct port *p);
	/* A thread is about to wait for room in the queue of a proxy: it is to hear as soon as there is some. */
	void (*ask_for_room)(struct port *proxy);
	/* A thread will not wait: asks the owner, and returns when it knows as much as the owner. */
	void (*look_for_room)(struct port *proxy);
	/* What is asked for of a port, port-destroyed, has changed; the port is referenced. */
	void (*request_changed)(struct port *p);
	/* Whether a proxy is said to be a file port (file.h). */
	bool (*is_file)(struct port *proxy);
	/* Where the node of a proxy ran last, for whoever waits for it; CPU_UNKNOWN. */
	unsigned (*cpu)(struct port *proxy);
	/* Tells other nodes what was noted. */
	void (*settle)(void);
	/* Takes in what has arrived. @thoroughly: also from nodes that have been silent for long. */
	void (*look)(bool thoroughly);
	/* What waiter_wait() does while there are links: the thread may serve them meanwhile. */
	enum waiter_state (*wait)(struct waiter *w, const struct deadline *deadline, unsigned partner_cpu);
	/* Wakes the thread that serves the links: the wait it was in has ended. */
	void (*kick)(void);
	/* In the child of a fork: there are no links. */
	void (*forget)(void);
};

extern struct remote {
	struct remote_ops ops; /* set once, before is_linked */
	size_t unfilled_from;  /* likewise: from so many bytes on transmit() takes memory that is still the sender's */
	atomic_bool is_linked; /* there are, or were, links */
	atomic_bool is_unsettled; /* something has been noted and not yet told */
} remote;

static inline bool remote_is_linked(void)
{
	return __builtin_expect(atomic_load_explicit(&remote.is_linked, memory_order_acquire), 0);
}

static inline void remote_note_count_locked(struct port *p)
{
	if (__builtin_expect(port_is_proxy(p), 0))
		remote.ops.note_count_locked(p);
}

/* At the beginning of a call: what other nodes did before is to be seen. */
static inline void remote_look(void)
{
	if (remote_is_linked())
		remote.ops.look(false);
}

/* The same, whatever it costs: of a call that tells what there is. */
static inline void remote_look_thoroughly(void)
{
	if (remote_is_linked())
		remote.ops.look(true);
}

/* At the end of a call: what it did is to be seen by others. */
static inline void remote_settle(void)
{
	if (__builtin_expect(atomic_load_explicit(&remote.is_unsettled, memory_order_relaxed), 0))
		remote.ops.settle();
}
