/* SPDX-License-Identifier: MIT */
#include "listener.h"

#include <mach.h>

#include "portfs_event_server.h"

#define MESSAGE_MAX 1024

portfs_hearer_t hearer_from_payload(unsigned long payload)
{
	return (portfs_hearer_t)payload;
}

portfs_hearer_t hearer_from_port(mach_port_t port)
{
	(void)port;
	return NULL;
}

kern_return_t hear_portfs_changed(portfs_hearer_t listener, uint32_t changes, const_portfs_name_t name)
{
	if (!listener || !listener->changed)
		return KERN_INVALID_ARGUMENT;
	listener->changed(listener, changes, name);
	return KERN_SUCCESS;
}

kern_return_t hear_portfs_ready(portfs_hearer_t listener, kern_return_t result, mach_port_t root)
{
	if (!listener || !listener->ready)
		return KERN_INVALID_ARGUMENT;
	listener->ready(listener, result, root);
	return KERN_SUCCESS;
}

kern_return_t listener_init(struct listener *listener)
{
	kern_return_t kr = mach_port_allocate(mach_task_self(), MACH_PORT_RIGHT_RECEIVE, &listener->port);

	if (kr)
		return kr;
	kr = mach_port_set_protected_payload(mach_task_self(), listener->port, (unsigned long)listener);
	if (kr)
		listener_deinit(listener);
	return kr;
}

void listener_deinit(struct listener *listener)
{
	mach_port_mod_refs(mach_task_self(), listener->port, MACH_PORT_RIGHT_RECEIVE, -1);
}

kern_return_t listener_wait(struct listener *listener)
{
	return mach_msg_server_once(portfs_event_server, MESSAGE_MAX, listener->port);
}

void listener_poll(struct listener *listener)
{
	/* The server loop goes on until there is an error, and "nothing came in no time" is one. */
	mach_msg_server_timeout(portfs_event_server, MESSAGE_MAX, listener->port, MACH_RCV_TIMEOUT, 0);
}
