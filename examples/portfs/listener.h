/* SPDX-License-Identifier: MIT */
#ifndef PORTFS_LISTENER_H
#define PORTFS_LISTENER_H

#include <mach/mach_types.h>
#include <mach/port.h>
#include <stdint.h>

struct tally;

/* A port on which a program hears what others tell it of their own accord (portfs_event.defs), and what to do then.
 * A function that is NULL: such messages are refused. */
typedef struct listener {
	mach_port_t port; /* the receive right; carries the listener's address as its payload */
	void (*changed)(struct listener *listener, unsigned int changes, const char *name);
	void (*report)(struct listener *listener, const struct tally *tally);
	void (*alone)(struct listener *listener); /* nobody is left who could tell anything: once, after all else */
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
