/* SPDX-License-Identifier: MIT */
#pragma once

/* Effects: what a change made under locks leaves to be done once no lock is held. An operation starts with after_init(),
 * the functions it calls under locks add to it, and after_run() ends it. The order is Mach's: threads wake, what died is
 * destroyed, then the notices go out. Each field has room for one, which is what one change to one name can cause. */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct message;
struct port;
struct portset;

#define AFTER_WAKES 6

struct after {
	struct port *dying;	    /* its receive right is gone: port_destroy() */
	struct portset *set;	    /* its name is gone: portset_destroy() */
	struct port *unused;	    /* a send-once right that was not used: notify_send_once() */
	struct message *no_senders; /* notices, ready to be sent */
	struct message *port_deleted;
	struct message *outgoing; /* messages for proxies, chained by port_link in their order */
	bool kicks;		  /* wakes the thread that serves the links */
	uint32_t n_wakes;
	atomic_uint *wakes[AFTER_WAKES];
};

static inline void after_init(struct after *after)
{
	after->dying = NULL;
	after->set = NULL;
	after->unused = NULL;
	after->no_senders = NULL;
	after->port_deleted = NULL;
	after->outgoing = NULL;
	after->kicks = false;
	after->n_wakes = 0;
}

static inline bool after_is_empty(const struct after *after)
{
	return !after->dying && !after->set && !after->unused && !after->no_senders && !after->port_deleted &&
	       !after->outgoing && !after->kicks && after->n_wakes == 0;
}

/* Wakes the thread that sleeps on @word. When there are more than fit, the wake happens at once: it is merely slower
 * under a lock, not wrong. */
void after_wake(struct after *after, atomic_uint *word);

/* Transmits @m once no lock is held. Takes it. */
void after_transmit(struct after *after, struct message *m);

void after_run_slow(struct after *after);

/* No lock may be held. */
static inline void after_run(struct after *after)
{
	if (!after_is_empty(after))
		after_run_slow(after);
}
