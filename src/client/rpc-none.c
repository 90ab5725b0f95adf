/* SPDX-License-Identifier: MIT */
/* For a library that is built without MIG: the calls are there, and say that they do nothing. */
#include "client/rpc.h"

kern_return_t rpc_netname_check_in(mach_port_t server, const_netname_name_t name, mach_port_t signature,
				   mach_port_t port)
{
	(void)server, (void)name, (void)signature, (void)port;
	return KERN_FAILURE;
}

kern_return_t rpc_netname_look_up(mach_port_t server, const_netname_name_t host, const_netname_name_t name,
				  mach_port_t *port)
{
	(void)server, (void)host, (void)name, (void)port;
	return KERN_FAILURE;
}

kern_return_t rpc_netname_check_out(mach_port_t server, const_netname_name_t name, mach_port_t signature)
{
	(void)server, (void)name, (void)signature;
	return KERN_FAILURE;
}

kern_return_t rpc_netname_version(mach_port_t server, netname_name_t version)
{
	(void)server, (void)version;
	return KERN_FAILURE;
}

kern_return_t rpc_bootstrap_check_in(mach_port_t server, const_name_t name, mach_port_t *port)
{
	(void)server, (void)name, (void)port;
	return KERN_FAILURE;
}

kern_return_t rpc_bootstrap_register(mach_port_t server, const_name_t name, mach_port_t port)
{
	(void)server, (void)name, (void)port;
	return KERN_FAILURE;
}

kern_return_t rpc_bootstrap_look_up(mach_port_t server, const_name_t name, mach_port_t *port)
{
	(void)server, (void)name, (void)port;
	return KERN_FAILURE;
}

kern_return_t rpc_bootstrap_status(mach_port_t server, const_name_t name, int *status)
{
	(void)server, (void)name, (void)status;
	return KERN_FAILURE;
}

kern_return_t rpc_bootstrap_create_service(mach_port_t server, const_name_t name, mach_port_t *port)
{
	(void)server, (void)name, (void)port;
	return KERN_FAILURE;
}
