/* SPDX-License-Identifier: MIT */
#ifndef PORTUNUS_MACH_MACH_INIT_H
#define PORTUNUS_MACH_MACH_INIT_H

/* What a C library for Mach sets up before main: the task's own ports and the size of a page. Here they are functions
 * and a variable that need no setting up; the header is kept for the programs that include it. */
#include <mach/mach_traps.h>
#include <mach/mach_types.h>
#include <mach/vm_param.h>

#endif
