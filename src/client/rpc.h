/* SPDX-License-Identifier: MIT */
#ifndef CLIENT_RPC_H
#define CLIENT_RPC_H

/* The calls to servers that the library itself makes. MIG makes them (netname_rpc.defs, bootstrap_rpc.defs), and what it
 * makes includes this, so that the two cannot differ; built without a MIG, rpc-none.c stands in and all fail. */

#include <mach/kern_return.h>
#include <mach/port.h>
#include <servers/bootstrap_defs.h>
#include <servers/netname_defs.h>

kern_return_t rpc_netname_check_in(mach_port_t server, const_netname_name_t name, mach_port_t signature,
				   mach_port_t port);
kern_return_t rpc_netname_look_up(mach_port_t server, const_netname_name_t host, const_netname_name_t name,
				  mach_port_t *port);
kern_return_t rpc_netname_check_out(mach_port_t server, const_netname_name_t name, mach_port_t signature);
kern_return_t rpc_netname_version(mach_port_t server, netname_name_t version);

kern_return_t rpc_bootstrap_check_in(mach_port_t server, const_name_t name, mach_port_t *port);
kern_return_t rpc_bootstrap_register(mach_port_t server, const_name_t name, mach_port_t port);
kern_return_t rpc_bootstrap_look_up(mach_port_t server, const_name_t name, mach_port_t *port);
kern_return_t rpc_bootstrap_status(mach_port_t server, const_name_t name, int *status);
kern_return_t rpc_bootstrap_create_service(mach_port_t server, const_name_t name, mach_port_t *port);

#endif
