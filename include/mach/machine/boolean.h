/* SPDX-License-Identifier: MIT */
#ifndef PORTUNUS_MACH_MACHINE_BOOLEAN_H
#define PORTUNUS_MACH_MACHINE_BOOLEAN_H

#include <mach/boolean.h>

#endif
