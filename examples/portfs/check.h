/* SPDX-License-Identifier: MIT */
#ifndef PORTFS_CHECK_H
#define PORTFS_CHECK_H

#include <mach/port.h>
#include <stdint.h>

/* What one client found. */
struct tally {
	uint64_t files, directories, links, refused, bytes; /* refused: by the server and by the file system alike */
	uint64_t n_rpcs, rights_got, rights_released;
	uint64_t differences, left_over;
	unsigned int changed; /* PORTFS_CHANGED_* that the root was told to have, meanwhile */
};

/* Walk all that can be reached from root, a send right, and compare it with the tree at path as Linux itself shows it. */
void check_tree(mach_port_t root, const char *path, struct tally *tally);

#endif
