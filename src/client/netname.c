/* SPDX-License-Identifier: MIT */
#include <servers/netname.h>

#include <mach/message.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "client/registered.h"
#include "client/rpc.h"
#include "client/wellknown.h"

mach_port_t portunus_name_server_port(void)
{
	return wellknown_keep(wellknown_broker());
}

/* A stub would cut a longer one short, and make two names one. */
static bool fits(const char *name)
{
	return name && strnlen(name, NETNAME_NAME_MAX) < NETNAME_NAME_MAX;
}

static mach_port_t server_or_default(mach_port_t server)
{
	return server == MACH_PORT_NULL ? name_server_port : server;
}

kern_return_t netname_check_in(mach_port_t server_port, const char *port_name, mach_port_t signature,
			       mach_port_t port_id)
{
	kern_return_t kr;

	if (!fits(port_name))
		return KERN_INVALID_ARGUMENT;
	server_port = server_or_default(server_port);
	kr = rpc_netname_check_in(server_port, port_name, signature, port_id);
	if (kr == KERN_SUCCESS)
		registered_note(REGISTERED_NAME, server_port, port_name, signature, port_id, MACH_MSG_TYPE_COPY_SEND);
	return kr;
}

kern_return_t netname_look_up(mach_port_t server_port, const char *host_name, const char *port_name,
			      mach_port_t *port_id)
{
	if (!fits(host_name) || !fits(port_name) || !port_id)
		return KERN_INVALID_ARGUMENT;
	return rpc_netname_look_up(server_or_default(server_port), host_name, port_name, port_id);
}

kern_return_t netname_check_out(mach_port_t server_port, const char *port_name, mach_port_t signature)
{
	kern_return_t kr;

	if (!fits(port_name))
		return KERN_INVALID_ARGUMENT;
	server_port = server_or_default(server_port);
	kr = rpc_netname_check_out(server_port, port_name, signature);
	if (kr == KERN_SUCCESS)
		registered_forget(REGISTERED_NAME, server_port, port_name);
	return kr;
}

kern_return_t netname_version(mach_port_t server_port, netname_name_t version)
{
	if (!version)
		return KERN_INVALID_ARGUMENT;
	return rpc_netname_version(server_or_default(server_port), version);
}
