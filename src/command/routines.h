/* SPDX-License-Identifier: MIT */
#ifndef COMMAND_ROUTINES_H
#define COMMAND_ROUTINES_H

/* Which routine a message belongs to, by its id: from interfaces (.defs), which also say what its items are, and from lists as
 * "mig -list" writes them (.msgids): SUBSYSTEM BASE ROUTINE N REQUEST REPLY. */

#include "defs.h"

/* Of several that have an id, the one that was added last counts. */
void routines_add(const char *file, const struct defs_flags *flags);

/* The interfaces that are installed along with this command, if there is a C preprocessor to read them with. */
void routines_add_installed(void);

struct routine_found {
	const char *name;
	bool is_reply;
	const struct routine *routine; /* NULL: only its name is known */
};

bool routines_find(mach_msg_id_t id, struct routine_found *found);

#endif
