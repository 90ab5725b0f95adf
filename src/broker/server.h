/* SPDX-License-Identifier: MIT */
#ifndef BROKER_SERVER_H
#define BROKER_SERVER_H

/* The broker as a Mach server: one thread on one port set, which has two members.
 *
 *   service   what nodes have a right to: netname (1040), bootstrap (400), and nodes (5400: nodes.h)
 *   control   what nobody else has a right to: the kernel's notifications, and the words below
 *
 * What looks like a notification but comes to the service port is a stranger's, and refused. There is one server in a
 * process; all functions are called in the task that called server_init(), those marked so by any thread of it. */

#include <mach/kern_return.h>
#include <mach/port.h>

struct server_options {
	unsigned int max_names; /* of one process, in each of the two tables */
	/* So long those are waited for that were known to a broker before: see server_run(). */
	unsigned int patience_ms;
	unsigned int idle_seconds; /* the server ends when no node has been there for so long; 0: it stays */
};

kern_return_t server_init(const struct server_options *options);
void server_deinit(void);

mach_port_t server_service(void); /* the receive right; borrowed */

/* A service is known before anybody serves it.
 *   KERN_NAME_EXISTS, KERN_RESOURCE_SHORTAGE */
kern_return_t server_declare(const char *name);

/* Serves until server_stop(), or until it has been idle. Returns KERN_SUCCESS then, and can be called again. In the beginning, for as long as its patience is,
 * nobody is told that a name is not there: the answer waits until it is, or until the time is over. */
kern_return_t server_run(void);
void server_stop(void);			       /* any thread */
void server_count_nodes(unsigned int n_nodes); /* any thread: so many are connected now */

#endif
