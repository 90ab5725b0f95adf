/* SPDX-License-Identifier: MIT */
/* Other processes, for programs that know nothing of them: kin-program.c is what they run, by-link.c and by-hop.c are what
 * they are for.
 *
 * What another process does about a call happens in its own time, where the recorded kernel had done it when the call
 * returned. So from the first such process on, each call of this program first waits until all is quiet (or the program
 * says when to wait): no process has anything to take in or to tell. Each process looks for itself (idle.h), and says so
 * in a page that all share:
 *   this program asks each process, which takes in what has come, and answers
 *   quiet is when all have said idle in two rounds, and nothing has moved in between
 * Processes act only on what comes to them, so what was quiet stays so until this program acts. */
#ifndef SEMANTICS_KIN_H
#define SEMANTICS_KIN_H

#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>
#include <mach.h>

enum { KIN_MAX = 64 }; /* processes at a time */

struct census {
	atomic_uint n_deaths;		/* of processes, noticed so far */
	atomic_uint n_hops, n_hops_due; /* by-hop.c: messages that a hop has passed on, and is to */
	struct census_entry {
		pid_t pid; /* 0: free; the first program's */
		sem_t asked, answered;
		bool is_idle;
		unsigned moved; /* idle.h */
	} entries[KIN_MAX];
};

/* How it is to be; set before the first task is made. */
extern struct kin_ways {
	bool is_one_process; /* all tasks are of one other process, instead of one each */
	bool settles_itself; /* the program calls kin_settle(), so not every call has to wait */
} kin_ways;

/* Starts a process: one that does nothing, or a hop, which passes messages on (by-hop.c). */
enum kin_role { KIN_IDLE, KIN_HOP };
kern_return_t kin_spawn(enum kin_role role, task_t *task);

/* It will not be quiet before a hop has passed on one message more. */
void kin_expect_hop(void);

/* Waits until all is quiet. */
void kin_settle(void);

#endif
