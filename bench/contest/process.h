/* SPDX-License-Identifier: MIT */
/* Whole processes: where they run, what they have used. */
#ifndef BENCH_PROCESS_H
#define BENCH_PROCESS_H

#include "../bench.h"

#include <sys/types.h>

/* Places the calling thread, and with it all threads of that process: the libraries' own, too, as taskset(1) would. Of a
 * process that holds both ends, only if all is to be on one CPU; else the libraries' threads may run anywhere. */
void process_place(pid_t pid, enum placement placement, bool server, bool holds_both);

/* Seconds on a CPU; 0 for process 0. */
double process_cpu(pid_t pid);

/* Bytes that are nobody else's, and a share of what is shared. Program text is left out: its share falls whenever another
 * process maps the same library. */
double process_memory(pid_t pid);

#endif
