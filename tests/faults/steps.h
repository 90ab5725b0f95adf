/* SPDX-License-Identifier: MIT */
/* Where a process dies. These tests have a copy of the library that counts the blocks of code which it runs, in all threads
 * (-fsanitize-coverage=trace-pc). At a given one the process is killed, or so many instructions later. */
#ifndef TESTS_FAULTS_STEPS_H
#define TESTS_FAULTS_STEPS_H

#include <stdatomic.h>

enum { STEPS_FD = 290 };

struct steps {
	atomic_ulong n;	    /* taken by now */
	unsigned long end;  /* the last; 0: it lives on */
	unsigned int grain; /* instructions that it lives on after that, where the processor can count them */
};

/* For processes that inherit @fd as STEPS_FD; this one keeps its own count. */
struct steps *steps_make(int *fd);
/* In one of those: from here on its steps count there. */
void steps_join(void);

#endif
