/* SPDX-License-Identifier: MIT */
#ifndef PORTUNUS_MACH_TASK_SPECIAL_PORTS_H
#define PORTUNUS_MACH_TASK_SPECIAL_PORTS_H

/* The ports that every task is born with, for task_get_special_port and task_set_special_port (<mach.h>). */
#define TASK_KERNEL_PORT    1 /* the task itself, as it appears to others */
#define TASK_EXCEPTION_PORT 3 /* where exceptions go; Linux has signals, so this one does not exist here */
#define TASK_BOOTSTRAP_PORT 4 /* where a task finds its first services; inherited from the parent */

#define task_get_kernel_port(task, port)    (task_get_special_port((task), TASK_KERNEL_PORT, (port)))
#define task_set_kernel_port(task, port)    (task_set_special_port((task), TASK_KERNEL_PORT, (port)))
#define task_get_exception_port(task, port) (task_get_special_port((task), TASK_EXCEPTION_PORT, (port)))
#define task_set_exception_port(task, port) (task_set_special_port((task), TASK_EXCEPTION_PORT, (port)))
#define task_get_bootstrap_port(task, port) (task_get_special_port((task), TASK_BOOTSTRAP_PORT, (port)))
#define task_set_bootstrap_port(task, port) (task_set_special_port((task), TASK_BOOTSTRAP_PORT, (port)))

#endif
