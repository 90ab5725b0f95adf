/* SPDX-License-Identifier: MIT */
#ifndef PORTUNUS_MACH_MACHINE_VM_TYPES_H
#define PORTUNUS_MACH_MACHINE_VM_TYPES_H

#include <stdint.h>

/* The machine's integers. natural_t and integer_t keep 32 bits on x86-64; an address has 64. The rpc_ types are what
 * goes into messages: in a 64-bit program they are the plain ones. */
typedef unsigned int natural_t;
typedef int integer_t;
typedef unsigned long long_natural_t;
typedef long long_integer_t;

typedef uintptr_t vm_offset_t;
typedef vm_offset_t *vm_offset_array_t;
typedef uintptr_t vm_size_t;
typedef vm_size_t *vm_size_array_t;

typedef unsigned long long phys_addr_t;
typedef unsigned long long rpc_phys_addr_t;

typedef uintptr_t rpc_uintptr_t;
typedef vm_offset_t rpc_vm_address_t;
typedef vm_offset_t rpc_vm_offset_t;
typedef vm_size_t rpc_vm_size_t;
typedef long_natural_t rpc_long_natural_t;
typedef long_integer_t rpc_long_integer_t;

/* The message type of an integer_t or natural_t. */
#define MACH_MSG_TYPE_INTEGER_T MACH_MSG_TYPE_INTEGER_32

#endif
