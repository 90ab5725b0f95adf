/* SPDX-License-Identifier: MIT */
/* What the campaigns have in common in which something happens to one process and others keep account (desk.h): a point is one
 * life of the victim (victim.c), or one role that it plays. This process, which is number 0, and the two that have a desk are
 * the same for all points. */
#ifndef TESTS_FAULTS_POINTS_H
#define TESTS_FAULTS_POINTS_H

#include "desk.h"

/* ---- at random, but always the same */

void random_begin(uint64_t seed);
uint64_t random_below(uint64_t n);

/* ---- the parts of a point */

void desks_start(void); /* their processes, 1 and 2 */
/* Each opens a desk; what @to names a send right to its front is in fronts[]. Then they begin. */
void desks_open(enum role role, bool may_lack, struct process *to, mach_port_t *fronts);
/* Waits until both have got what they are owed. */
void desks_close(enum role role);

/* A process that begins life with these rights, which are taken: this program with the arguments --victim and the role, and
 * with a descriptor for what is to happen to it. */
pid_t victim_start(enum role role, mach_port_t *fronts, int fd, int fd_there, task_t *task);
/* Its status. Fails the test if it does not come to an end. */
int victim_await(pid_t pid);
void victim_forget(task_t task); /* it is known to be dead, soon */

/* Of the first so many processes. */
void expect_balances(unsigned n_processes);
void totals_begin(void);
void totals_print(unsigned long n_points);

#endif
