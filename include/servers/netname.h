/* SPDX-License-Identifier: MIT */
#ifndef PORTUNUS_SERVERS_NETNAME_H
#define PORTUNUS_SERVERS_NETNAME_H

#include <mach/kern_return.h>
#include <mach/port.h>
#include <portunus/export.h>
#include <servers/netname_defs.h>

/* The name service: whoever offers something checks a name in, whoever wants it looks the name up. The names are kept by
 * the broker, portunusd(8). Upper and lower case are the same in them. A name is gone when the port dies that it stands
 * for, or the one that it is signed with; so a program that is gone leaves no names behind. A broker that is killed takes no
 * names with it: each program keeps a send right to what it has checked in, and tells the next broker as soon as there is one.
 *
 * In all calls server_port is name_server_port, or MACH_PORT_NULL, which means the same, or a right to a name server of the
 * caller's choice. Besides their own codes they return the errors of mach_msg and of MIG:
 *   KERN_INVALID_ARGUMENT    a name, or the host, is a null pointer or has 80 bytes or more; a result pointer is null
 *   MACH_SEND_INVALID_DEST   there is no name server: none listens, and none could be started
 *   MIG_SERVER_DIED          it went away before it answered
 *   KERN_RESOURCE_SHORTAGE   it has as many names as it may have
 *   KERN_FAILURE             this library was built without MIG, and has no calls to servers */

PORTUNUS_BEGIN_DECLS

/* name_server_port - the name server of this process
 * An expression, not a variable as in Mach: it connects to the broker when it is first used, and starts one where none
 * listens. The name of a send right of the calling thread's task; the same at each use as long as the broker lives, no
 * user reference gained, so that the caller gives nothing back. MACH_PORT_NULL without a broker.
 * Source: Mach; that it connects when used is ours. */
#define name_server_port portunus_name_server_port()

/* portunus_name_server_port - what stands behind name_server_port. Threads: any. Source: ours. */
PORTUNUS_EXPORT mach_port_t portunus_name_server_port(void);

/* netname_check_in - make a port known by a name
 *   port_name   the name; at most 79 bytes
 *   signature   a send right of the caller, or MACH_PORT_NULL: who presents it again may change the name or check it out.
 *               mach_task_self() will do, and lets the name go when the task ends
 *   port_id     a send right of the caller to the port
 * Both rights are copied. A name that is checked in with the same signature stands for the new port from now on.
 *   NETNAME_NOT_YOURS        it is checked in with another signature
 *   NETNAME_INVALID_PORT     port_id is null or dead, or the signature is dead
 *   MACH_SEND_INVALID_RIGHT  port_id or signature is no send right
 * Source: Mach's snames; INVALID_PORT, from its netmsgserver, comes also for a dead signature. */
PORTUNUS_EXPORT kern_return_t netname_check_in(mach_port_t server_port, const char *port_name, mach_port_t signature,
					       mach_port_t port_id);

/* netname_look_up - the port that a name stands for
 *   host_name   where to look: "" this host, "*" any, which is this host first; the name of this host, with its domain or
 *               without, and "localhost" are this host, too
 *   port_name   the name
 *   port_id     set to a send right of the caller, with one more reference
 *   NETNAME_NOT_CHECKED_IN   nobody has checked it in, or its port has died
 *   NETNAME_NO_SUCH_HOST     another host
 * Source: Mach's netmsgserver; other hosts are not reached. */
PORTUNUS_EXPORT kern_return_t netname_look_up(mach_port_t server_port, const char *host_name, const char *port_name,
					      mach_port_t *port_id);

/* netname_check_out - take a name out
 *   port_name   the name
 *   signature   what it was checked in with
 *   NETNAME_NOT_YOURS        it was checked in with another signature
 *   NETNAME_NOT_CHECKED_IN   there is no such name
 * Source: Mach's snames. */
PORTUNUS_EXPORT kern_return_t netname_check_out(mach_port_t server_port, const char *port_name, mach_port_t signature);

/* netname_version - what the name server calls itself
 *   version   set to a line of text, at most 79 bytes. Source: Mach's snames. */
PORTUNUS_EXPORT kern_return_t netname_version(mach_port_t server_port, netname_name_t version);

PORTUNUS_END_DECLS

#endif
