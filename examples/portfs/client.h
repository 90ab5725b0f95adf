/* SPDX-License-Identifier: MIT */
#ifndef PORTFS_CLIENT_H
#define PORTFS_CLIENT_H

#include <mach/kern_return.h>
#include <mach/port.h>

/* How the program ends. */
enum {
	ALL_WELL = 0,
	FAILED = 1, /* or something differs */
	WRONG_USAGE = 2,
	NOBODY_SERVES = 3, /* under that name, or there is no broker to ask */
	SERVER_DIED = 4,   /* while it was being asked */
};

/* The commands of a client. All that it has is one send right: to the root. Where the server lives is not its business.
 * Each returns ALL_WELL, or FAILED or SERVER_DIED after saying on stderr what is wrong. */
int client_cat(mach_port_t root, const char *path);
int client_ls(mach_port_t root, const char *path);
int client_stat(mach_port_t root, const char *path);
int client_watch(mach_port_t root, const char *path, unsigned long n_changes); /* 0: until the file is gone */

/* Is this the code of a call that nobody was there to answer? */
int client_server_died(kern_return_t kr);

/* Say what is wrong with what; returns SERVER_DIED or FAILED. */
int client_complain(const char *what, kern_return_t kr);

/* What a code of ours or Mach's means. The text is valid until the thread asks again. */
const char *portfs_error_string(kern_return_t kr);

#endif
