/* SPDX-License-Identifier: MIT */
#ifndef PORTFS_CHECK_H
#define PORTFS_CHECK_H

#include <mach/port.h>
#include <stdint.h>

#include "portfs_types.h"

/* What one client found; in this form it is reported (portfs_event.defs). */
struct tally {
	uint64_t files, directories, links, refused, bytes; /* refused: by the server and by the file system alike */
	uint64_t n_rpcs, rights_got, rights_released;
	uint64_t differences, left_over;
	uint64_t changed;     /* PORTFS_CHANGED_* that the root was told to have, meanwhile */
	uint64_t server_died; /* and so this is not all */
};

_Static_assert(sizeof(struct tally) == PORTFS_TALLY_SIZE, "a report holds a tally");

/* Walk all that can be reached from root, a send right, and compare it with the tree at path as Linux itself shows it.
 * Ends early when the server dies, and when boss is no living port any more: then nobody wants to know. */
void check_tree(mach_port_t root, mach_port_t boss, const char *path, struct tally *tally);

#endif
