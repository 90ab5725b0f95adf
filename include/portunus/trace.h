/* SPDX-License-Identifier: MIT */
#ifndef PORTUNUS_TRACE_H
#define PORTUNUS_TRACE_H

/* What a process tells of its messages to who traces it: events, written to a named pipe.
 *
 * The tracer makes the pipe, for itself to read and for the traced process's user to read and write. The process learns its
 * path by portunus_inspect_trace() of <portunus/inspect.defs>, or, when it is started, from the variable PORTUNUS_TRACE,
 * which is "PID:PATH", with the tracer's PID. The library takes the variable out of the environment, unless PORTUNUS_TRACE_FOLLOW
 * is there, too: then the programs that it starts are traced as well.
 *
 * The process writes without waiting, a whole event or nothing; what finds no room is lost and counted. It stops when the
 * tracer has ended. Many processes may write to one pipe. A message is a message of mach_msg(): calls that the library
 * performs at once (mach_port_* of one's own task) are none. Only the first bytes of a message are told, and of what is out of line
 * only the address. In the child of a fork nothing is traced. */

#include <stdint.h>

#define PORTUNUS_TRACE_VERSION	  1
#define PORTUNUS_TRACE_VARIABLE	  "PORTUNUS_TRACE"
#define PORTUNUS_TRACE_FOLLOW	  "PORTUNUS_TRACE_FOLLOW"
#define PORTUNUS_TRACE_BYTES_MAX  2048 /* of a message, header included */
#define PORTUNUS_TRACE_RIGHTS_MAX 32   /* of a message */

enum {
	PORTUNUS_TRACE_BEGINS = 1, /* tracing has begun; nothing follows the event */
	PORTUNUS_TRACE_SENT = 2,
	PORTUNUS_TRACE_RECEIVED = 3,
};

/* Followed by n_bytes of the message, as the program wrote or found it, filled up to 8, and n_rights rights. */
typedef struct {
	uint32_t size;	  /* of the event with all that follows; a multiple of 8, at most 4096 */
	uint16_t version; /* PORTUNUS_TRACE_VERSION */
	uint16_t kind;	  /* PORTUNUS_TRACE_* */
	uint32_t pid, tid;
	uint64_t begin, end; /* of the send; RECEIVED: both the end: CLOCK_REALTIME, nanoseconds */
	uint64_t n_lost;     /* events of this process that found no room so far */
	uint32_t result;     /* of mach_msg(); receives that brought nothing are not told */
	uint32_t port;	     /* RECEIVED: the port or the set that was received from */
	uint32_t message_size;
	uint32_t n_bytes;
	uint32_t n_rights;
	uint32_t unused;
} portunus_trace_event_t;

/* Of the names that the message has, in its header and its body, each once. */
typedef struct {
	uint32_t name; /* in the task that sent or received */
	uint32_t
		index; /* by which number the port is known between this process and its home: of portunus_inspect_holder_t */
	uint64_t
		home; /* the node that has the receive right; its pid is the upper half. 0: this process, which is no node */
	uint64_t port; /* tells the ports of this process apart, as portunus_inspect_name_t has it */
} portunus_trace_right_t;

#endif
