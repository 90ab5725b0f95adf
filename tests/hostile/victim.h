/* SPDX-License-Identifier: MIT */
/* What a test and its victim say to each other. */
#ifndef TESTS_HOSTILE_VICTIM_H
#define TESTS_HOSTILE_VICTIM_H

#include "kernel/count.h"

/* Ids of messages to the victim's service; all others are counted and destroyed. */
enum word {
	WORD_HELLO = 1000, /* from it: with a right to the service as reply right */
	WORD_REPORT,	   /* answered with a struct report as body */
	WORD_QUIT,
	WORD_CALL,  /* answered, with a send-once right to the service */
	WORD_TALK,  /* sends messages to the reply right, a send right, for as long as there is room */
	WORD_PAUSE, /* receives nothing until it gets SIGUSR1 */
	WORD_MAKE,  /* answered, with a send right to a new port */
	WORD_MOVE,  /* answered, with the receive right of that port */
};

struct report {
	struct kernel_counts counts;
	unsigned n_fds, n_rings, n_megabytes;
	unsigned long n_calls;	/* that the friend has made */
	unsigned long n_served; /* messages of no word */
	unsigned long n_talked;
};

#endif
