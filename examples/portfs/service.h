/* SPDX-License-Identifier: MIT */
#ifndef PORTFS_SERVICE_H
#define PORTFS_SERVICE_H

#include <mach/port.h>

/* Between processes: how a server is found. Both return ALL_WELL, or say on stderr what is wrong. */

/* Serve the tree at path under a name, in this process, until a signal ends it. FAILED, WRONG_USAGE (of the name), or
 * NOBODY_SERVES: there is no broker that could keep the name. */
int service_run(const char *name, const char *path);

/* A send right to the root of what is served under that name, the caller's. WRONG_USAGE, NOBODY_SERVES. */
int service_look_up(const char *name, mach_port_t *root);

#endif
