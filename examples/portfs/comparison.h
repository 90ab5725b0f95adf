/* SPDX-License-Identifier: MIT */
#ifndef PORTFS_COMPARISON_H
#define PORTFS_COMPARISON_H

#include <mach/port.h>

/* Have n client processes at once compare what is served from root on, a send right, with the tree at path, and print what
 * they report. Nobody else may use the server meanwhile, or the rights do not add up. Returns ALL_WELL, FAILED or
 * SERVER_DIED. */
int comparison_run(mach_port_t root, const char *path, unsigned long n);

/* What each of these processes does: compare, and report. */
int comparison_client(const char *path);

#endif
