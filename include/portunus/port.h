/* SPDX-License-Identifier: MIT */
#ifndef PORTUNUS_PORT_H
#define PORTUNUS_PORT_H

#include <mach/kern_return.h>
#include <mach/port.h>
#include <portunus/export.h>

#define PORTUNUS_PORT_QLIMIT_MAX ((mach_port_msgcount_t)65535)

PORTUNUS_BEGIN_DECLS

/* portunus_port_set_qlimit - how many messages queue before senders block, beyond Mach's limit of 16
 *   name    a receive right of the calling task
 *   limit   0 to PORTUNUS_PORT_QLIMIT_MAX; otherwise as mach_port_set_qlimit (<mach/mach_port.h>), which sets it back
 * For streams: the queue's limit is also how far a sender in another process can run ahead. The limit goes with the right
 * when that moves.
 *   KERN_INVALID_VALUE   above PORTUNUS_PORT_QLIMIT_MAX; checked first
 *   KERN_INVALID_NAME, KERN_INVALID_RIGHT
 * Threads: any. Source: ours. */
PORTUNUS_EXPORT kern_return_t portunus_port_set_qlimit(mach_port_name_t name, mach_port_msgcount_t limit);

PORTUNUS_END_DECLS

#endif
