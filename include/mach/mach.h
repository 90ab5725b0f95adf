/* SPDX-License-Identifier: MIT */
#ifndef PORTUNUS_MACH_MACH_H
#define PORTUNUS_MACH_MACH_H

#include <mach.h>

#endif
