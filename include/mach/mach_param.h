/* SPDX-License-Identifier: MIT */
#ifndef PORTUNUS_MACH_MACH_PARAM_H
#define PORTUNUS_MACH_MACH_PARAM_H

/* Ports that mach_ports_register holds for a task. */
#define TASK_PORT_REGISTER_MAX 4

#endif
