/* SPDX-License-Identifier: MIT */
#ifndef CLIENT_REGISTERED_H
#define CLIENT_REGISTERED_H

/* The names under which this process is known to the broker, so that they come back when that has died.
 *
 *   R1  what the broker has taken is noted, with a send right of the library's own, until it is checked out or dead
 *   R2  when the link to the broker ends and something is noted, a thread looks for a new broker: at once, as systemd may have one
 *       already, then again and again, ever more slowly. It starts none: that is for whoever needs one
 *   R3  whoever finds a new broker, that thread or a call of the program's, first tells it what is noted. The broker gives that
 *       some time, before it says of a name that it is not there
 *
 * Not promised: a name back before somebody has started a broker; which of two programs gets a name that both had checked in, one
 * after the other. Ports that the broker itself had made (bootstrap_create_service) died with it. */

#include <mach/port.h>

enum registered_kind { REGISTERED_NAME, REGISTERED_SERVICE };

/* R1: @server has taken it, by a send right that @disposition makes of @port. Nothing is noted of another server than the broker,
 * or without memory. */
void registered_note(enum registered_kind kind, mach_port_t server, const char *name, mach_port_t signature,
		     mach_port_t port, unsigned disposition);
void registered_forget(enum registered_kind kind, mach_port_t server, const char *name);

/* R3: @broker is a send right to the service of the broker of that number (link/broker.h). */
void registered_renew(mach_port_t broker, unsigned number);

#endif
