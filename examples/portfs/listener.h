/* SPDX-License-Identifier: MIT */
#ifndef PORTFS_LISTENER_H
#define PORTFS_LISTENER_H

#include <mach/mach_types.h>
#include <mach/port.h>
#include <stdint.h>

/* A port on which a program hears what a server tells of its own accord (portfs_event.defs), and what to do then.
 * One of the functions may be NULL: such messages are refused, and what they bring is destroyed. */
typedef struct listener {
	mach_port_t port; /* the receive right; carries the listener's address as its payload */
	void (*changed)(struct listener *listener, unsigned int changes, const char *name);
	void (*ready)(struct listener *listener, kern_return_t result, mach_port_t root); /* root: taken */
} * portfs_hearer_t;

/* Fill in the functions first. listener_deinit() ends the port, and with it every right to it. */
kern_return_t listener_init(struct listener *listener);
void listener_deinit(struct listener *listener);

/* Wait for one message and act on it. */
kern_return_t listener_wait(struct listener *listener);

/* Act on the messages that are there, and wait for none. */
void listener_poll(struct listener *listener);

/* Called by the stubs. */
portfs_hearer_t hearer_from_payload(unsigned long payload);
portfs_hearer_t hearer_from_port(mach_port_t port);

#endif
