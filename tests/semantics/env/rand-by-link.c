/* SPDX-License-Identifier: MIT */
/* What makes the tasks of rand.c processes (kin.h), where it need not know: linked with -Wl,--wrap for each of these.
 * KIN_WAY=together in the environment puts them into one other process;
 * apart, which is the default, into one each. */
#include <stdlib.h>
#include <string.h>

#include "kin.h"

kern_return_t __real_mach_port_names(ipc_space_t task, mach_port_name_array_t *names, mach_msg_type_number_t *n_names,
				     mach_port_type_array_t *types, mach_msg_type_number_t *n_types);
kern_return_t __wrap_mach_port_names(ipc_space_t task, mach_port_name_array_t *names, mach_msg_type_number_t *n_names,
				     mach_port_type_array_t *types, mach_msg_type_number_t *n_types);
mach_port_t __real_mach_reply_port(void);
mach_port_t __wrap_mach_reply_port(void);

__attribute__((constructor)) static void choose_way(void)
{
	const char *way = getenv("KIN_WAY");

	kin_ways.settles_itself = true;
	kin_ways.is_one_process = way && strcmp(way, "together") == 0;
}

/* What an operation did is looked at only here, first in the program's own task. */
kern_return_t __wrap_mach_port_names(ipc_space_t task, mach_port_name_array_t *names, mach_msg_type_number_t *n_names,
				     mach_port_type_array_t *types, mach_msg_type_number_t *n_types)
{
	if (task == mach_task_self())
		kin_settle();
	return __real_mach_port_names(task, names, n_names, types, n_types);
}

/* After a task was terminated (settle()). */
mach_port_t __wrap_mach_reply_port(void)
{
	kin_settle();
	return __real_mach_reply_port();
}
