/* SPDX-License-Identifier: MIT */
#include <servers/bootstrap.h>

#include <mach.h>
#include <mach_error.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "client/registered.h"
#include "client/rpc.h"
#include "client/wellknown.h"

mach_port_t portunus_bootstrap_port(void)
{
	mach_port_t port;

	if (task_get_bootstrap_port(mach_task_self(), &port) || !MACH_PORT_VALID(port))
		port = wellknown_broker();
	return wellknown_keep(port);
}

/* A stub would cut a longer one short, and make two names one. */
static bool fits(const char *name)
{
	return name && strnlen(name, BOOTSTRAP_MAX_NAME_LEN) < BOOTSTRAP_MAX_NAME_LEN;
}

static mach_port_t server_or_default(mach_port_t bp)
{
	return bp == MACH_PORT_NULL ? bootstrap_port : bp;
}

kern_return_t bootstrap_check_in(mach_port_t bp, const char *service_name, mach_port_t *sp)
{
	kern_return_t kr;

	if (!fits(service_name) || !sp)
		return KERN_INVALID_ARGUMENT;
	bp = server_or_default(bp);
	kr = rpc_bootstrap_check_in(bp, service_name, sp);
	if (kr == KERN_SUCCESS)
		registered_note(REGISTERED_SERVICE, bp, service_name, MACH_PORT_NULL, *sp, MACH_MSG_TYPE_MAKE_SEND);
	return kr;
}

kern_return_t bootstrap_register(mach_port_t bp, const char *service_name, mach_port_t sp)
{
	kern_return_t kr;

	if (!fits(service_name))
		return KERN_INVALID_ARGUMENT;
	bp = server_or_default(bp);
	kr = rpc_bootstrap_register(bp, service_name, sp);
	if (kr == KERN_SUCCESS && sp == MACH_PORT_NULL)
		registered_forget(REGISTERED_SERVICE, bp, service_name);
	else if (kr == KERN_SUCCESS)
		registered_note(REGISTERED_SERVICE, bp, service_name, MACH_PORT_NULL, sp, MACH_MSG_TYPE_COPY_SEND);
	return kr;
}

kern_return_t bootstrap_look_up(mach_port_t bp, const char *service_name, mach_port_t *sp)
{
	if (!fits(service_name) || !sp)
		return KERN_INVALID_ARGUMENT;
	return rpc_bootstrap_look_up(server_or_default(bp), service_name, sp);
}

kern_return_t bootstrap_create_service(mach_port_t bp, const char *service_name, mach_port_t *sp)
{
	if (!fits(service_name) || !sp)
		return KERN_INVALID_ARGUMENT;
	return rpc_bootstrap_create_service(server_or_default(bp), service_name, sp);
}

kern_return_t bootstrap_status(mach_port_t bp, const char *service_name, bootstrap_status_t *service_active)
{
	if (!fits(service_name) || !service_active)
		return KERN_INVALID_ARGUMENT;
	return rpc_bootstrap_status(server_or_default(bp), service_name, service_active);
}

const char *bootstrap_strerror(kern_return_t r)
{
	return mach_error_string(r);
}
