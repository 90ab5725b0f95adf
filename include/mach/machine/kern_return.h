/* SPDX-License-Identifier: MIT */
#ifndef PORTUNUS_MACH_MACHINE_KERN_RETURN_H
#define PORTUNUS_MACH_MACHINE_KERN_RETURN_H

#include <mach/kern_return.h>

#endif
