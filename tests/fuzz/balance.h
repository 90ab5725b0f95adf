/* SPDX-License-Identifier: MIT */
/* What must be as it was when an input has been worked off. */
#ifndef TESTS_FUZZ_BALANCE_H
#define TESTS_FUZZ_BALANCE_H

#include <mach/mach_types.h>

#include "finding.h"

/* The kernel's objects, and the descriptors of this process. */
void balance_begin(void);
void balance_end(void);

/* The calling thread acts in a task that is born for it, which ends with all that it has. */
task_t visit_begin(void);
void visit_end(task_t task);
/* In between, back in the root task for a while. */
void visit_pause(void);
void visit_resume(task_t task);

#endif
