/* SPDX-License-Identifier: MIT */
#pragma once

/* What a node answers who looks into it: <portunus/inspect.defs>.
 *
 * Requests come to kernel_node(), and are answered by whoever takes them in: a thread of the program that waits, or the
 * background thread, while the program goes on. Trust: each request is looked at for who sent it, as the host says; its
 * bytes are checked by MIG's stubs, in the message's own memory.
 * Bounds: a reply has at most a page of records, and takes one lock for at most LOOK_BUDGET names (look.h), or one page of them.
 * Locks: SPACE, and within it LINK for one page, and within that PORT for one name at a time; TASK for the threads of a
 * task. Nothing waits while one of them is held. */

struct message;

/* The hook serve_node() of kernel.h. */
void inspect_serve(struct message *request);
