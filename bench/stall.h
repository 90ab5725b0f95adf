/* SPDX-License-Identifier: MIT */
/* Being looked into: the rows, and the process that looks. */
#ifndef BENCH_STALL_H
#define BENCH_STALL_H

#include "peer.h"

void stall_look(void);

#endif
