/* SPDX-License-Identifier: MIT */
/* Pairs of threads that have nothing to do with each other must not slow each other down. */
#include "pairs.h"

enum { N_PAIRS = 8 };

#define ONE_PAIR PAIRS_SIDE("1 pair, one CPU", &rpc_way, PLACE_ONE_CPU, 1)

const struct row scale_rows[] = {
	{ "scale", "throughput of 8 RPC pairs on 2 CPUs / 1 pair on 1 CPU", ROW_RATE, 1.6, ">= 1.6", 2, 0,
	  PAIRS_SIDE("8 pairs, two CPUs, not pinned", &rpc_way, PLACE_FREE, N_PAIRS), ONE_PAIR },
	{ "scale-pinned", "the same, each pair pinned to one of the CPUs", ROW_RATE, 0, NULL, 2, 0,
	  PAIRS_SIDE("8 pairs, each on one CPU", &rpc_way, PLACE_PAIR_PER_CPU, N_PAIRS), ONE_PAIR },
	{ "scale-tasks", "the same, not pinned, servers in tasks of their own", ROW_RATE, 0, NULL, 2, 0,
	  PAIRS_SIDE("8 pairs, two CPUs, not pinned", &rpc_tasks_way, PLACE_FREE, N_PAIRS), ONE_PAIR },
	{ "scale-futex", "the same for futex ping-pong: what the machine has to give", ROW_RATE, 0, NULL, 2, 0,
	  PAIRS_SIDE("8 futex pairs, two CPUs, not pinned", &futex_way, PLACE_FREE, N_PAIRS),
	  PAIRS_SIDE("1 futex pair, one CPU", &futex_way, PLACE_ONE_CPU, 1) },
	{ 0 },
};
