/* SPDX-License-Identifier: MIT */
#ifndef PORTUNUS_SERVERS_BOOTSTRAP_H
#define PORTUNUS_SERVERS_BOOTSTRAP_H

#include <mach/kern_return.h>
#include <mach/port.h>
#include <portunus/export.h>
#include <servers/bootstrap_defs.h>

/* The bootstrap service: names for services, kept by the broker, portunusd(8), apart from those of <servers/netname.h>.
 * A service is
 *   unknown    no right to it can be had
 *   declared   by bootstrap_create_service or the broker's configuration: its port is kept by the broker, rights to it can
 *              be had and messages sent, and they wait for whoever checks in
 *   active     somebody who checked in, or registered a port, receives
 * When the port of an active service dies, a declared one is declared again (with the messages that were still queued, if
 * the receive right was given up rather than lost), and any other is unknown again.
 *
 * In all calls bp is bootstrap_port, or MACH_PORT_NULL, which means the same. Besides their own codes they return the
 * errors of mach_msg and of MIG:
 *   KERN_INVALID_ARGUMENT    the name is a null pointer or has 128 bytes or more; a result pointer is null
 *   MACH_SEND_INVALID_DEST   there is no server: none listens, and none could be started
 *   MIG_SERVER_DIED          it went away before it answered
 *   KERN_FAILURE             this library was built without MIG, and has no calls to servers */

PORTUNUS_BEGIN_DECLS

/* bootstrap_port - where this task finds its first services
 * An expression, not a variable as in Mach: the calling task's TASK_BOOTSTRAP_PORT if it has one, else the broker, to which
 * it connects as name_server_port does (<servers/netname.h>). The name of a send right of the task; the same at each use as
 * long as the port lives, no user reference gained. MACH_PORT_NULL if there is neither.
 * Source: NeXTSTEP, Darwin; that the broker stands in is ours. */
#define bootstrap_port portunus_bootstrap_port()

/* portunus_bootstrap_port - what stands behind bootstrap_port. Threads: any. Source: ours. */
PORTUNUS_EXPORT mach_port_t portunus_bootstrap_port(void);

/* bootstrap_check_in - begin to serve
 *   service_name   the name; at most 127 bytes
 *   sp             set to a receive right of the caller
 * Of a service that nobody declared a port is made here and now; it is unknown again when the port dies.
 *   BOOTSTRAP_SERVICE_ACTIVE   somebody else serves it
 *   BOOTSTRAP_NO_MEMORY        no memory, or as many services as there may be
 * Source: NeXTSTEP, Darwin; that it need not be declared is Darwin's. */
PORTUNUS_EXPORT kern_return_t bootstrap_check_in(mach_port_t bp, const char *service_name, mach_port_t *sp);

/* bootstrap_register - make a port known as a service
 *   sp   a send right of the caller to it, which is copied; MACH_PORT_NULL takes out a service that is not active
 * A declared service that nobody serves becomes this one; the port that was kept for it dies with what waits in it.
 *   BOOTSTRAP_SERVICE_ACTIVE    somebody serves it: nothing active is replaced
 *   BOOTSTRAP_UNKNOWN_SERVICE   sp is MACH_PORT_NULL, and there is none to take out
 *   BOOTSTRAP_NO_MEMORY         no memory, or as many services as there may be
 *   KERN_INVALID_CAPABILITY     sp is dead
 *   MACH_SEND_INVALID_RIGHT     sp is no send right
 * Source: NeXTSTEP, Darwin. */
PORTUNUS_EXPORT kern_return_t bootstrap_register(mach_port_t bp, const char *service_name, mach_port_t sp);

/* bootstrap_look_up - a right to a service
 *   sp   set to a send right of the caller, with one more reference
 *   BOOTSTRAP_UNKNOWN_SERVICE   there is none of that name
 * Source: NeXTSTEP, Darwin. */
PORTUNUS_EXPORT kern_return_t bootstrap_look_up(mach_port_t bp, const char *service_name, mach_port_t *sp);

/* bootstrap_create_service - declare a service
 *   sp   set to a send right of the caller to the port that is kept for it, with one more reference
 *   BOOTSTRAP_SERVICE_ACTIVE   there is one of that name, active or not
 *   BOOTSTRAP_NO_MEMORY        no memory, or as many services as there may be
 * Source: NeXTSTEP, Darwin. */
PORTUNUS_EXPORT kern_return_t bootstrap_create_service(mach_port_t bp, const char *service_name, mach_port_t *sp);

/* bootstrap_status - does somebody serve?
 *   service_active   set to BOOTSTRAP_STATUS_ACTIVE or BOOTSTRAP_STATUS_INACTIVE
 *   BOOTSTRAP_UNKNOWN_SERVICE   there is no service of that name
 * Source: NeXTSTEP, Darwin. */
PORTUNUS_EXPORT kern_return_t bootstrap_status(mach_port_t bp, const char *service_name,
					       bootstrap_status_t *service_active);

/* bootstrap_strerror - what a code of these calls means
 * Returns what mach_error_string does; never NULL. Source: Darwin. */
PORTUNUS_EXPORT const char *bootstrap_strerror(kern_return_t r);

PORTUNUS_END_DECLS

#endif
