/* SPDX-License-Identifier: MIT */
#include "listener.h"

#include <mach.h>
#include <string.h>

#include "check.h"
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

kern_return_t hear_portfs_report(portfs_hearer_t listener, const portfs_tally_t bytes)
{
	struct tally tally;

	if (!listener || !listener->report)
		return KERN_INVALID_ARGUMENT;
	memcpy(&tally, bytes, sizeof tally); /* they may lie where no 64-bit number should */
	listener->report(listener, &tally);
	return KERN_SUCCESS;
}

/* The kernel's notification, too: no-senders. Whoever can forge it only says of himself that he has no more to say. */
static boolean_t demux(mach_msg_header_t *request, mach_msg_header_t *reply)
{
	portfs_hearer_t listener;

	if (request->msgh_id != MACH_NOTIFY_NO_SENDERS)
		return portfs_event_server(request, reply);
	listener = hearer_from_payload(request->msgh_protected_payload);
	if (listener->alone)
		listener->alone(listener);
	((mig_reply_header_t *)reply)->RetCode = KERN_SUCCESS;
	return TRUE;
}

/* As soon as somebody has been given a right to send here, and nobody has one any more. */
static kern_return_t request_no_senders(mach_port_t port)
{
	mach_port_t previous;

	return mach_port_request_notification(mach_task_self(), port, MACH_NOTIFY_NO_SENDERS, 1, port,
					      MACH_MSG_TYPE_MAKE_SEND_ONCE, &previous);
}

kern_return_t listener_init(struct listener *listener)
{
	kern_return_t kr = mach_port_allocate(mach_task_self(), MACH_PORT_RIGHT_RECEIVE, &listener->port);

	if (kr)
		return kr;
	kr = mach_port_set_protected_payload(mach_task_self(), listener->port, (unsigned long)listener);
	if (kr == KERN_SUCCESS && listener->alone)
		kr = request_no_senders(listener->port);
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
	return mach_msg_server_once(demux, MESSAGE_MAX, listener->port);
}

void listener_poll(struct listener *listener)
{
	/* The server loop goes on until there is an error, and "nothing came in no time" is one. */
	mach_msg_server_timeout(demux, MESSAGE_MAX, listener->port, MACH_RCV_TIMEOUT, 0);
}
