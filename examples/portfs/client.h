/* SPDX-License-Identifier: MIT */
#ifndef PORTFS_CLIENT_H
#define PORTFS_CLIENT_H

#include <mach/kern_return.h>
#include <mach/port.h>

/* The commands of a client. All that it has is one send right: to the root. Where the server lives is not its business.
 * Each returns 0, or 1 after saying on stderr what is wrong. */
int client_cat(mach_port_t root, const char *path);
int client_ls(mach_port_t root, const char *path);
int client_stat(mach_port_t root, const char *path);
int client_watch(mach_port_t root, const char *path, unsigned long n_changes); /* 0: until the file is gone */

/* What a code of ours or Mach's means. The text is valid until the thread asks again. */
const char *portfs_error_string(kern_return_t kr);

#endif
