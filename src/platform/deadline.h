/* SPDX-License-Identifier: MIT */
/* Deadline: a moment of CLOCK_MONOTONIC, or never. A plain value: copy it freely. Being absolute, it stays right
 * however often a wait is interrupted and begun again. */
#ifndef PLATFORM_DEADLINE_H
#define PLATFORM_DEADLINE_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

struct deadline {
	bool never;
	struct timespec at; /* valid unless never */
};

static inline struct deadline deadline_never(void)
{
	return (struct deadline){ .never = true };
}

/* In a few centuries. For a wait that has to end whenever a signal handler ran: see park.h. */
static inline struct deadline deadline_far(void)
{
	return (struct deadline){ .never = false, .at.tv_sec = INT32_MAX * 4L };
}

struct deadline deadline_after_ms(uint32_t ms); /* 0: already passed when it is asked next */
bool deadline_passed(const struct deadline *d);

#endif
