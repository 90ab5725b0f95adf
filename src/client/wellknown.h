/* SPDX-License-Identifier: MIT */
#ifndef CLIENT_WELLKNOWN_H
#define CLIENT_WELLKNOWN_H

/* Ports that a program has without asking for them, as it has mach_task_self(): their names come at each use, and nobody
 * gives a reference back. So the library keeps one reference in the task for all uses, and no more than one. */

#include <mach/port.h>

/* @name came with one reference to a send right, or to the dead name that it has become meanwhile. Takes the reference back
 * unless it is the only one; returns @name. */
mach_port_t wellknown_keep(mach_port_t name);

/* The broker's service port, with one reference of the caller's. MACH_PORT_NULL: there is no broker, or no memory. */
mach_port_t wellknown_broker(void);
/* The same, but none is started. */
mach_port_t wellknown_broker_that_runs(void);

#endif
