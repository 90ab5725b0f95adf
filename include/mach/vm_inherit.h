/* SPDX-License-Identifier: MIT */
#ifndef PORTUNUS_MACH_VM_INHERIT_H
#define PORTUNUS_MACH_VM_INHERIT_H

/* What a child task gets of memory; for programs that pass it on in messages. */
typedef int vm_inherit_t;

#define VM_INHERIT_SHARE   ((vm_inherit_t)0)
#define VM_INHERIT_COPY	   ((vm_inherit_t)1)
#define VM_INHERIT_NONE	   ((vm_inherit_t)2)
#define VM_INHERIT_DEFAULT VM_INHERIT_COPY

#endif
