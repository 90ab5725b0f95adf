/* SPDX-License-Identifier: MIT */
#pragma once

/* Tracing: events about each message of mach_msg(), written to a pipe (<portunus/trace.h>). While nobody traces it costs one
 * test of a flag for each. Writing never blocks: what finds no room is counted. */

#include <mach/message.h>
#include <portunus/trace.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

extern atomic_bool trace_on;

static inline bool trace_is_on(void)
{
	return __builtin_expect(atomic_load_explicit(&trace_on, memory_order_relaxed), 0);
}

/* From now on to the pipe at @path, in place of whatever was traced to before, until @tracer has ended. @uid: the user who
 * wants it.
 *   KERN_INVALID_ARGUMENT    there is no pipe of that user, or of root, which we may write to
 *   KERN_RESOURCE_SHORTAGE   no descriptor */
kern_return_t trace_begin(const char *path, pid_t tracer, uid_t uid);
void trace_end(void);

/* One event, on its way to be written; about 3 KB. */
struct trace_record {
	portunus_trace_event_t event;
	unsigned char bytes[PORTUNUS_TRACE_BYTES_MAX];
	portunus_trace_right_t rights[PORTUNUS_TRACE_RIGHTS_MAX];
};

void trace_record_init(struct trace_record *r, unsigned kind);
/* The message as it is now, and where its rights are: before it is sent, after it has been received. @size 0: as large as its
 * header says. */
void trace_record_message(struct trace_record *r, const mach_msg_header_t *user, mach_msg_size_t size);
void trace_record_write(struct trace_record *r, mach_msg_return_t result);
