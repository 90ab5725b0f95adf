/* SPDX-License-Identifier: MIT */
#ifndef PORTUNUS_MACH_VM_PARAM_H
#define PORTUNUS_MACH_VM_PARAM_H

#include <mach/machine/vm_types.h>
#include <portunus/export.h>

#define BYTE_SIZE 8 /* bits */

PORTUNUS_BEGIN_DECLS

/* vm_page_size - bytes of a page, a power of two; set before any code of the program runs, never changes. */
PORTUNUS_EXPORT extern vm_size_t vm_page_size;

PORTUNUS_END_DECLS

/* An address or size rounded up or down to whole pages, and whether it is one already. */
#define round_page(x)	((((vm_offset_t)(x)) + vm_page_size - 1) & ~(vm_page_size - 1))
#define trunc_page(x)	(((vm_offset_t)(x)) & ~(vm_page_size - 1))
#define page_aligned(x) ((((vm_offset_t)(x)) & (vm_page_size - 1)) == 0)

#endif
