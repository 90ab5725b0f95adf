/* SPDX-License-Identifier: MIT */
/* This process as a node whose links are served only when the input says so: the library as it is, but for its background
 * thread, so that an input does the same each time; and other nodes, which this process plays by hand (hostile/wire.h),
 * without ever waiting. */
#ifndef TESTS_FUZZ_NODES_H
#define TESTS_FUZZ_NODES_H

#include "hostile/wire.h"
#include "link/link.h"

/* Once. Lines of the library's about links that it drops are counted, and not printed; all others are. */
void nodes_init(void);
unsigned nodes_take_lines(void); /* how many there were since the last time */

/* Another node, and our link to it, which it has not greeted yet. One reference to the link is the caller's. */
struct link *node_new(struct peer *p, uint32_t number, enum link_role role);
/* Does what an honest node does first. False: the link is over. */
bool node_greet(struct peer *p);
void node_end(struct peer *p);
void node_drop_link(struct link *link);

/* Takes in what there is, as a thread that looks in passing does. */
void nodes_look(void);

/* Puts a frame into the ring of another node. False: there is no room, or no link. */
bool node_put(struct peer *p, const void *frame, uint32_t size);
/* Takes out all that it was sent, descriptors too. @each, which may put frames, gets each frame. True: there was something. */
bool node_drain(struct peer *p, void (*each)(struct peer *p, const void *frame));
/* What an honest node answers where we say of it what others have told us. */
void node_answer_honestly(struct peer *p, const void *frame);

bool link_is_well(const struct link *link);
/* No table of the node has anything left of any link but @friend's, which has so many exports. */
void nodes_check_empty(const struct link *friend, unsigned n_exports);

#endif
