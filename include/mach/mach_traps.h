/* SPDX-License-Identifier: MIT */
#ifndef PORTUNUS_MACH_MACH_TRAPS_H
#define PORTUNUS_MACH_MACH_TRAPS_H

#include <mach/mach_types.h>
#include <mach/message.h>
#include <mach/port.h>
#include <portunus/export.h>

PORTUNUS_BEGIN_DECLS

/* mach_task_self - the task in which the calling thread acts
 * Returns the name of a send right to it, in its own name space. It is the same name at each call and gains no user
 * reference, so the caller gives nothing back. Threads: any; after portunus_task_enter it is the task entered.
 * MACH_PORT_NULL once the task has terminated. Source: probe 02-names; counting nothing is ours (a kernel adds a
 * reference). */
PORTUNUS_EXPORT mach_port_t mach_task_self(void);

/* mach_thread_self - the calling thread
 * Returns the name of a send right to it in the name space of its task; the same at each call, no user reference gained.
 * Source: probe 02-names; counting nothing is ours. */
PORTUNUS_EXPORT mach_port_t mach_thread_self(void);

/* mach_host_self - the machine
 * Returns the name of a send right to it, for host_get_time; the same at each call, no user reference gained.
 * Source: probe 02-names; counting nothing is ours. */
PORTUNUS_EXPORT mach_port_t mach_host_self(void);

/* mach_reply_port - a new port, as mach_port_allocate makes one
 * Returns the name of a receive right that belongs to the caller (mach_port_mod_refs or mach_port_destroy), or
 * MACH_PORT_NULL if there is no memory. Source: probe 02-names. */
PORTUNUS_EXPORT mach_port_t mach_reply_port(void);

PORTUNUS_END_DECLS

#endif
