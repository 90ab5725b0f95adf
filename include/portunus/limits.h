/* SPDX-License-Identifier: MIT */
#ifndef PORTUNUS_LIMITS_H
#define PORTUNUS_LIMITS_H

#include <mach/kern_return.h>
#include <portunus/export.h>

/* What one other process may have this one keep for it. */

PORTUNUS_BEGIN_DECLS

/* Each is for one peer, the process at the other end of a link.
 *
 *   limit       at first                   of                                       at the limit
 *   LINKS       an eighth of               links to nodes that it introduces        the introduction goes nowhere: what it
 *               RLIMIT_NOFILE, 16 to 1024                                           hands on by it dies
 *   EXPORTS     1048576, which is the      ports of ours to which it holds rights,  a right that is sent to it arrives as a
 *               most                       and of its to which we do                dead name; what it sends ends its link
 *   QUEUED      256 MiB                    memory in messages from it that nobody   nothing more is taken from it until some
 *                                          has received                             is received: its senders block
 *   BACKLOG     1 GiB                      memory in what is sent to it and that    its link ends
 *                                          it does not take
 *   ANNOUNCED   1 GiB                      memory of messages that have not come    its link ends
 *                                          in full
 */
enum portunus_limit {
	PORTUNUS_LIMIT_LINKS = 1,
	PORTUNUS_LIMIT_EXPORTS,
	PORTUNUS_LIMIT_QUEUED,
	PORTUNUS_LIMIT_BACKLOG,
	PORTUNUS_LIMIT_ANNOUNCED
};

/* portunus_set_limit - how much each peer may have this process keep
 *   limit    one of enum portunus_limit
 *   value    a number, or bytes; not 0
 * Holds from now on, for links that exist, too; what is above it stays.
 *   KERN_INVALID_ARGUMENT   there is no such limit
 *   KERN_INVALID_VALUE      value is 0
 * Threads: any. Source: ours. */
PORTUNUS_EXPORT kern_return_t portunus_set_limit(int limit, unsigned long value);

PORTUNUS_END_DECLS

#endif
