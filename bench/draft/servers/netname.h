/* SPDX-License-Identifier: MIT */
#ifndef PORTUNUS_SERVERS_NETNAME_H
#define PORTUNUS_SERVERS_NETNAME_H

#include <mach/mach_types.h>
#include <portunus/export.h>

PORTUNUS_BEGIN_DECLS

typedef char netname_name_t[80];

PORTUNUS_EXPORT extern mach_port_t name_server_port;

PORTUNUS_EXPORT kern_return_t netname_check_in(mach_port_t server, char *name, mach_port_t signature, mach_port_t port);
PORTUNUS_EXPORT kern_return_t netname_look_up(mach_port_t server, char *host, char *name, mach_port_t *port);
PORTUNUS_EXPORT kern_return_t netname_check_out(mach_port_t server, char *name, mach_port_t signature);

PORTUNUS_END_DECLS

#endif
