/* SPDX-License-Identifier: MIT */
#ifndef PORTUNUS_MACH_TIME_VALUE_H
#define PORTUNUS_MACH_TIME_VALUE_H

#include <mach/machine/vm_types.h>

/* A time or a span of it. 0 <= microseconds < TIME_MICROS_MAX. */
struct time_value {
	long_integer_t seconds;
	integer_t microseconds;
};
typedef struct time_value time_value_t;

/* The same inside a message. */
struct rpc_time_value {
	rpc_long_integer_t seconds;
	integer_t microseconds;
};
typedef struct rpc_time_value rpc_time_value_t;

#define TIME_MICROS_MAX (1000000)

#define time_value_add_usec(val, micros) \
	do { \
		if (((val)->microseconds += (micros)) >= TIME_MICROS_MAX) { \
			(val)->microseconds -= TIME_MICROS_MAX; \
			(val)->seconds++; \
		} \
	} while (0)
#define time_value_sub_usec(val, micros) \
	do { \
		if (((val)->microseconds -= (micros)) < 0) { \
			(val)->microseconds += TIME_MICROS_MAX; \
			(val)->seconds--; \
		} \
	} while (0)
#define time_value_add(result, addend) \
	do { \
		(result)->seconds += (addend)->seconds; \
		time_value_add_usec(result, (addend)->microseconds); \
	} while (0)
#define time_value_sub(result, subtrahend) \
	do { \
		(result)->seconds -= (subtrahend)->seconds; \
		time_value_sub_usec(result, (subtrahend)->microseconds); \
	} while (0)

#endif
