/* SPDX-License-Identifier: MIT */
#pragma once

/* Between the link layer and the broker, at both ends of the link that joins a node to it. */

#include <mach/kern_return.h>
#include <mach/port.h>
#include <stdbool.h>

/* ---- the node's end */

/* A naked send right to the broker's service port. Connects by broker_connect() (rendezvous.h) when it is first called, and
 * again after the broker has gone; @may_start: starts one where none listens. @number counts the links to brokers, from 1.
 * False: there is no broker, or no memory. */
struct right;
bool link_broker_right(struct right *right, bool may_start, unsigned *number);
/* Whether it is this, and whether there is a link to it. */
struct port;
bool link_is_broker(const struct port *service);
bool link_has_broker(void);
/* Calls @lost when a link to the broker has ended; with no lock held, by whoever takes in what comes. */
void link_on_broker_end(void (*lost)(void));

/* ---- the broker's end */

struct link_limits {
	unsigned max_nodes;   /* connected at once; one more is turned away */
	unsigned max_links;   /* that one node is introduced to others by, at once */
	unsigned max_exports; /* rights that one node holds here, and that we hold there */
};

/* From now on a thread of the link layer accepts nodes from @listen_fd (which is taken, on success) and gives each a send
 * right to @service, a receive right of the calling thread's task. @limits is copied.
 *   KERN_INVALID_RIGHT   @service is no receive right      KERN_RESOURCE_SHORTAGE */
kern_return_t link_serve(int listen_fd, mach_port_t service, const struct link_limits *limits);

/* Calls @changed after each change, with the number of nodes that are connected then; from the link layer's thread, with no
 * lock held. Set it before link_serve(). */
void link_on_count(void (*changed)(unsigned n_nodes));

/* ---- for the link layer
 */
struct link;
void link_note_end(const struct link *link); /* a link is over */
void link_forget_broker(void);		     /* in the child of a fork */
