/* SPDX-License-Identifier: MIT */
#pragma once

/* Node: this process, seen from other processes, and all links that it has.
 *
 * Locks: node.lock (rank LINK) guards all tables of all links: exports, proxies, tickets, what is to be sent. One lock,
 * because passing a right on concerns two links at once, and is done in well under a microsecond. It ranks before the
 * locks of ports and after those of spaces. What comes in is taken by one thread at a time, who has the *role* of the
 * poller (poller.h); only he makes links live and ends them.
 *
 * Forks: nothing of it survives in the child, which is a node of its own when it first needs to be one. */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "platform/list.h"
#include "platform/lock.h"
#include "platform/spares.h"

struct link;
struct noted;

struct node {
	struct lock lock;
	uint64_t
		id; /* pid << 32 | a random number. The host vouches for the pid when two nodes greet each other, so nobody
		      * can pass for somebody else; the rest tells nodes apart that had the same pid one after the other */
	void *links;	       /* tsearch() tree of struct link by the peer's id: those whose greeting is done */
	struct list all_links; /* link.node_link: those too that are not */
	unsigned n_links;
	uint64_t next_ticket;
	void *meetings;		 /* tsearch() tree of struct meeting: offers and tickets that wait for each other */
	struct list late;	 /* link.late_link: peers who are to be woken for what they were sent, soon */
	struct list parked;	 /* struct parked */
	struct list deposits;	 /* struct deposit: for nodes that are still greeting us */
	struct list queries;	 /* struct query: about givers who are alive */
	struct list moves;	 /* migrate.c, at the new home of a port: those that are not settled */
	struct list settlers;	 /* likewise: holders that are to come */
	struct list relocations; /* at holders: ports that are moving */
	struct list flushes;	 /* at the former home: FLUSH that waits for a message */
	struct list kept;	 /* messages that wait for one of these */
	bool has_to_go_on;	 /* there is room for what one of them has to say first: migrate_go_on() */
	struct list unsent; /* struct unsent: rights for which a peer has no room, to be dropped with no lock held */
	struct spares exports, proxies; /* memory for new ones: each round trip makes one of each */
	_Atomic(struct noted *) noted;	/* a stack of what is to be settled */
};

extern struct node node;

/* Makes this process a node, if it is none yet: identity (with that number, or one of its own choice if it is 0), hooks in
 * the kernel, the poller. False with errno: no descriptor, memory or thread. */
bool node_init(uint32_t number);
/* In the child of a fork. */
void node_forget(void);

/* Something of a link has changed under a port's lock, and others are to hear of it: linked into node.noted, and settled
 * at the end of the call. */
enum noted_kind { NOTED_EXPORT, NOTED_PROXY };

struct noted {
	struct noted *next;
	atomic_bool is_listed;
	bool is_condemned; /* whoever settles it is to free it; guarded by node.lock */
	enum noted_kind kind;
};

void node_note(struct noted *noted);
/* There is nothing to settle any more. Takes the note back if nothing was noted since; else it stays, for nothing. By who
 * holds node.lock, and all locks under which it is noted. */
void node_unnote_locked(struct noted *noted);

/* At the end of the call, messages that were kept may leave. node.lock is held. */
void node_go_on_later_locked(void);

/* Drops a naked right at the end of the call. node.lock is held. */
struct right;
void node_drop_later_locked(const struct right *right);
