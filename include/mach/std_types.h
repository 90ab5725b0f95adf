/* SPDX-License-Identifier: MIT */
#ifndef PORTUNUS_MACH_STD_TYPES_H
#define PORTUNUS_MACH_STD_TYPES_H

#include <mach/boolean.h>
#include <mach/kern_return.h>
#include <mach/machine/vm_types.h>
#include <mach/port.h>

/* An address of this task; pointer_t is MIG's name for the address of out-of-line bytes. */
typedef vm_offset_t pointer_t;
typedef vm_offset_t vm_address_t;

#endif
