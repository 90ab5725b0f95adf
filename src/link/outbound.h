/* SPDX-License-Identifier: MIT */
#pragma once

/* Outbound: from a kernel message to a FRAME_MESSAGE. */

#include <stdint.h>

#include "link/ring.h"

struct link;
struct message;
struct port;

/* remote_ops.transmit(): sends a message to the node that has the port it is for. Takes it; no lock is held. */
void outbound_transmit(struct message *m);

/* The same of messages that waited for room in the queue of a proxy. In the hold of node.lock in which they got it: when it is
 * dropped, whoever sent one of them may send the next. */
struct after;
void outbound_transmit_admitted_locked(struct after *after);

/* Puts a naked right into the words of a link, and takes it. */
struct right;
struct wire_right;
struct wire_ticket;
void outbound_write_right_locked(struct link *link, const struct right *right, struct wire_right *wire,
				 struct wire_ticket *ticket);
/* Drops a naked right, to send or to send once, to a port that has died. */
void right_drop_dead(const struct right *right);

/* Sends a message to the port of a proxy: takes it. */
struct proxy;
void outbound_send_to_proxy_locked(struct proxy *proxy, struct message *m);
/* Sends @m, which it takes apart but not frees, for @index of the link's peer. Its destination right is still in it. */
void outbound_send_locked(struct link *link, uint32_t index, enum urgency urgency, struct message *m);
