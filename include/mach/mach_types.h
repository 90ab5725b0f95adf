/* SPDX-License-Identifier: MIT */
#ifndef PORTUNUS_MACH_MACH_TYPES_H
#define PORTUNUS_MACH_MACH_TYPES_H

#include <mach/machine/vm_types.h>
#include <mach/port.h>
#include <mach/std_types.h>
#include <mach/task_special_ports.h>
#include <mach/time_value.h>
#include <mach/vm_inherit.h>
#include <mach/vm_prot.h>

/* The objects that a kernel's ports stand for. To a program each is a send right like any other; the names say which
 * calls accept it. */
typedef mach_port_t task_t; /* a task: its threads, its name space */
typedef task_t *task_array_t;
typedef const task_t *const_task_array_t;
typedef task_t vm_task_t;     /* a task, meant as its memory */
typedef task_t ipc_space_t;   /* a task, meant as its name space */
typedef mach_port_t thread_t; /* a thread that uses Portunus */
typedef thread_t *thread_array_t;
typedef const thread_t *const_thread_array_t;
typedef mach_port_t host_t; /* the machine */

/* Of these only the types exist, so that .defs files which mention them compile. */
typedef mach_port_t host_priv_t;
typedef mach_port_t processor_t;
typedef mach_port_t *processor_array_t;
typedef mach_port_t processor_set_t;
typedef mach_port_t processor_set_name_t;
typedef mach_port_t *processor_set_array_t;
typedef mach_port_t *processor_set_name_array_t;
typedef mach_port_t memory_object_t;
typedef mach_port_t memory_object_control_t;
typedef mach_port_t memory_object_name_t;
typedef integer_t *host_info_t;
typedef integer_t *processor_info_t;
typedef integer_t *task_info_t;
typedef integer_t *thread_info_t;
typedef natural_t *thread_state_t;
typedef vm_offset_t *emulation_vector_t;

#endif
