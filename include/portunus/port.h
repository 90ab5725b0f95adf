/* SPDX-License-Identifier: MIT */
#ifndef PORTUNUS_PORT_H
#define PORTUNUS_PORT_H

#include <mach/mach_types.h>
#include <mach/port.h>
#include <portunus/export.h>

PORTUNUS_BEGIN_DECLS

#define PORTUNUS_PORT_QLIMIT_MAX ((mach_port_msgcount_t)65535)

/* portunus_port_set_qlimit - how many messages queue before senders block, beyond what Mach allows
 *   name    a receive right of the calling task
 *   limit   0 to PORTUNUS_PORT_QLIMIT_MAX; as for mach_port_set_qlimit otherwise
 * For streams: a sender in another process that may be further ahead waits less often. The limit stays with the port when the
 * right moves.
 *   KERN_INVALID_VALUE   above PORTUNUS_PORT_QLIMIT_MAX; checked first
 *   KERN_INVALID_NAME, KERN_INVALID_RIGHT
 * Source: ours. */
PORTUNUS_EXPORT kern_return_t portunus_port_set_qlimit(mach_port_name_t name, mach_port_msgcount_t limit);

PORTUNUS_END_DECLS

#endif
