/* SPDX-License-Identifier: MIT */
#pragma once

/* Inbound: what a peer's frames do here. The peer may be malicious: each field is copied once and checked, and a frame that
 * breaks the rules changes nothing but what it had already rightfully done, and ends the link. */

#include <stdbool.h>

struct link;

/* Takes in all that has come over a link so far. By the poller. True: there was something. */
bool inbound_drain(struct link *link);
/* One frame, although others may be being taken in. False: there is none, or just this link's are. */
bool inbound_take_one(struct link *link);
/* The next descriptor that the peer passed, which it did before it put the frame that needs it; -1: it did not. */
int inbound_take_fd(struct link *link);
