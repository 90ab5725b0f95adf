/* SPDX-License-Identifier: MIT */
#ifndef PORTFS_NAMES_H
#define PORTFS_NAMES_H

#include <mach/mach_types.h>
#include <mach/port.h>

/* What the calling task holds: every name with its rights and how many references it has of each. The calling thread's reply
 * port is not counted: it is given up first. */
struct names {
	unsigned int n;
	struct name {
		mach_port_name_t name;
		mach_port_type_t type;
		mach_port_urefs_t refs[MACH_PORT_RIGHT_NUMBER];
	} * list; /* by name */
};

kern_return_t names_init(struct names *names);
void names_deinit(struct names *names);

/* Compare what the task holds now with what it held then; name each difference on stderr, as belonging to who. Returns how
 * many differences there are. */
unsigned int names_left(const struct names *then, const char *who);

#endif
