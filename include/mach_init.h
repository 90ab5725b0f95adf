/* SPDX-License-Identifier: MIT */
#ifndef PORTUNUS_MACH_INIT_H
#define PORTUNUS_MACH_INIT_H

#include <mach/mach_init.h>

#endif
