/* SPDX-License-Identifier: MIT */
#ifndef COMMAND_SERVICE_H
#define COMMAND_SERVICE_H

/* Names of services, as a user writes them.
 *
 *   NAME             a bootstrap service of that name, else what is checked in with netname
 *   bootstrap:NAME   only the first
 *   netname:NAME     only the second */

#include <mach.h>

/* A send right to the service. If there is none, says so and ends the command. */
mach_port_t service_look_up(const char *name);

/* The receive right of the service, which is this process's from now on; a name that nobody knows becomes known. Only
 * bootstrap services can be had so. */
mach_port_t service_check_in(const char *name);

/* Whatever goes wrong from now on ends the command with this status, where its own would be taken for another program's. */
void service_fail_with(int status);

/* Ends the command if there is no broker to ask. */
void service_need_broker(void);

#endif
