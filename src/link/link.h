/* SPDX-License-Identifier: MIT */
#pragma once

/* Link: this node and one other, the peer. A socket on which they greet each other, pass descriptors and notice each
 * other's death, and a ring in each direction (ring.h) for everything else.
 *
 *   GREETING   the peer has not said who it is; what is sent to it waits in our ring
 *   LIVE       it has: it is in node.links
 *   ENDED      over, because the peer is dead or broke the rules: no table has anything left
 *
 * Whoever has the role of the poller owns the receiving side: ring.head and the order of what comes in. All else is
 * guarded by node.lock. The memory is counted: node.all_links has a reference until the end, and so has whoever works on a
 * link without node.lock. */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "kernel/message.h"
#include "link/bulk.h"
#include "link/frame.h"
#include "link/limits.h"
#include "link/node.h"
#include "link/ring.h"
#include "link/table.h"
#include "platform/list.h"

enum link_state { LINK_GREETING, LINK_LIVE, LINK_ENDED };

/* What the peer is to us, which decides what it may ask for. */
enum link_role {
	LINK_TO_PEER,
	LINK_TO_BROKER, /* its export 0 is its service */
	LINK_TO_CLIENT, /* we are its broker */
	LINK_TO_PARENT, /* it started us: our export 0 is our task */
	LINK_TO_CHILD,
};

struct link {
	struct list node_link;
	struct list hot_link, rest_link; /* poller's */
	unsigned n_refs;		 /* guarded by node.lock */
	_Atomic enum link_state state;	 /* changed with node.lock, by the holder of the role; anybody may read it */
	enum link_role role;
	uint64_t peer_id;   /* 0: not known before the greeting */
	struct sender peer; /* as the host vouches for it */
	/* -1: none. A doorbell is a pipe. We write into our own, of which only the reading end is passed on: nothing that the
	 * peer can do to that makes us block, or ends us by SIGPIPE, because we can read it, too: by the descriptor that we write
	 * to, or else by keeping the reading end. memfd and, in the first case, doorbell_end: until greeted */
	int socket, doorbell, doorbell_end, peer_doorbell, memfd;
	bool doorbell_has_both;
	struct ring ring;
	struct table exports, proxies;
	struct sparse adopted_exports, adopted_proxies; /* of ports that have moved: migrate.h */
	uint32_t next_adopted;
	bool is_draining; /* poller's: it is taking frames from this link */
	bool is_watched;  /* poller's: it watches the ring for room */
	bool has_rest;	  /* poller's: it was too much for one turn */
	bool is_closed;	  /* poller's: the peer has closed the socket; what is left in the ring is taken now or never */
	uint32_t n_rung;  /* poller's: how often the peer's doorbell was heard */

	struct list backlog; /* struct late_frame: what found no room in the ring, in order */
	size_t backlog_bytes;
	struct list lent;	 /* struct late_frame: of which the memory is still its sender's */
	atomic_bool has_backlog; /* the list is not empty: for a look without the lock */
	uint32_t urgent_tail;	 /* ring.tail when the socket was last used to wake the peer */
	struct list late_link;	 /* in node.late */
	bool is_stuck;		 /* who helped last has lost patience; until something leaves nobody helps */
	bool is_broken;		 /* the peer broke the rules; the poller ends the link */

	struct bulk bulk, content; /* poller's */
	int *fds;		   /* descriptors that came, oldest first: a queue */
	uint32_t n_fds, first_fd, fds_capacity;

	uint64_t introducer;	       /* 0, or who introduced the peer */
	uint32_t n_introduced;	       /* links that the peer has introduced */
	uint32_t n_tickets, n_waiting; /* what waits on this peer's account: limits.h */
	uint32_t n_settlers;	       /* migrate.h: holders that it has told us of */
	void *offers;		       /* handoff.h: tsearch() tree of offers of the peer's that wait, by giver */
	struct charge *charge;	       /* of messages from the peer */
	struct list heirs;	       /* struct heir: what is ours if the peer dies */
	void *introduced;	       /* tsearch() tree of node ids to which we introduced this peer */
};

/* A link over a connected socket, which it takes. NULL with errno, and the socket is closed. Nothing comes before
 * link_begin(), so tables can be filled with what both ends know. */
struct link *link_new(int socket, enum link_role role, uint64_t peer_id);
/* Greets the peer, or waits for its greeting (I1). False with errno: it has ended already. */
bool link_begin(struct link *link);
/* An introduction: the other end of @socket, which is taken, is that node.
 *   I1  Several may introduce the same two nodes, each with a socket of its own. The node with the higher id greets on all
 *       of them. The one with the lower answers the first greeting that it reads; that socket is the link, and it closes
 *       the others
 * So the link is on a socket that both have, whoever of those who introduced them has died, and when another socket is
 * closed, the higher has the link in its hands already, if only in the middle of the greeting: link_is_expected_locked().
 * An introduction is a frame, so it is read before all that its sender says later and that relies on it. */
void link_take_introduction(struct link *from, int socket, uint64_t peer_id);
/* Introduces two peers to each other, unless that was done before. */
void link_introduce_locked(struct link *a, struct link *b);

void link_ref_locked(struct link *link);
void link_unref_locked(struct link *link); /* frees what is ended and unreferenced */

/* The live link to a node; NULL: none. And whether there is one, or will be if the node lives. */
struct link *link_find_locked(uint64_t node_id);
bool link_is_expected_locked(uint64_t node_id);

/* Sends a frame (in private memory, its size set), with descriptors, which it takes. Never blocks and never fails: what
 * finds no room waits in the backlog. On a link that is over it goes nowhere. Wakes the peer as needed. */
void link_send_locked(struct link *link, struct frame *frame, enum urgency urgency, const int *fds, unsigned n_fds);
/* Sends memory in pieces before the frames that come after it, each in a frame of that type; takes it. If @source is not NULL its
 * bytes are still there, a program's: the caller calls link_send_lent() as soon as he holds no lock and has a reference to the link,
 * and may be told of no failure any more. What the program has unmapped since it was looked at is zero. */
void link_send_memory_locked(struct link *link, struct memory *m, enum frame_type pieces, const void *source);
/* Copies what the calling thread has lent, piece by piece straight into the ring while the peer takes them out; what the peer does
 * not take soon, aside. So one copy less, and the two that are left are made at the same time, by both ends. */
void link_send_lent(struct link *link);
/* Whether so many bytes can be put at once, of frames without descriptors. If not, migrate_go_on() is called when they can. */
bool link_has_room_locked(struct link *link, uint32_t bytes);
/* More waits for room than a ring holds: the caller, who holds no lock, helps to send it for as long as that goes on. */
bool link_is_behind_locked(const struct link *link);
void link_help(struct link *link);
/* Wakes the peers of all links in node.late. */
void link_wake_late(void);
/* After ring_begin_watching(): the peer is to tell of room again, if any is needed. */
void link_end_watching_locked(struct link *link);
/* Bytes that wait for room on any link. */
size_t link_backlog_of_all(void);
void link_forget_backlog(void); /* in the child of a fork */
/* Something may have made room. */
void link_flush_locked(struct link *link);
/* We have made room that the peer waits for. */
void link_tell_room_locked(struct link *link);

/* Takes out what the peer has rung, so that it can go on ringing. */
enum { DOORBELL_SIZE = 4096 }; /* bytes, one for each ring */
void link_empty_doorbell(struct link *link);

/* Takes the oldest descriptor that the peer passed; *fd is -1 if it came when we had no room for it. False: none has
 * come. */
bool link_take_fd_locked(struct link *link, int *fd);

/* Reads packets from the socket: the greeting, descriptors. Called by the poller. False: the peer is gone or
 * has broken the rules. */
bool link_read_socket(struct link *link);

/* On the account of a peer something is kept until others have acted. False: it has too much of that already. The peer is
 * named by its id, because it may be gone by the end. */
bool link_charge_waiting_locked(struct link *link);
void link_discharge_waiting_locked(uint64_t peer_id);
/* Its messages take so much memory, as long as nobody receives them, that no more is taken from it. */
bool link_is_held(const struct link *link);
/* By far. */
bool link_is_overloaded(const struct link *link);

/* The peer broke the rules: one line in the log; the poller will end the link. */
void link_break_locked(struct link *link, const char *why);

/* Ends the link, with all consequences of the peer's death. By the poller, after the last frame has been taken. */
void link_end(struct link *link);
