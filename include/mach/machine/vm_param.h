/* SPDX-License-Identifier: MIT */
#ifndef PORTUNUS_MACH_MACHINE_VM_PARAM_H
#define PORTUNUS_MACH_MACHINE_VM_PARAM_H

#include <mach/vm_param.h>

#endif
