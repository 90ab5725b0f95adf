/* SPDX-License-Identifier: MIT */
#ifndef BROKER_NODES_H
#define BROKER_NODES_H

/* What the broker tells about nodes and names: <servers/nodes.defs>. A name and its port are public, and so is what the host
 * tells everybody of a process. The right to look into a node goes only to its own user and to root, and comes from a
 * node that lets this broker in; the node looks itself at who sends a request (src/inspect/serve.h). */

#include <mach/message.h>
#include <mach/boolean.h>

#include "names.h"

/* The tables that nodes_names() lists; borrowed. */
void nodes_init(const struct names *netnames, const struct names *services);

/* A request of that user, as the host vouches for it. FALSE: it is none of this interface. */
boolean_t nodes_demux(uid_t client, mach_msg_header_t *request, mach_msg_header_t *reply);

#endif
