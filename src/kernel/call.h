/* SPDX-License-Identifier: MIT */
#pragma once

/* What the holder of a task's or a thread's port can ask of it: each operation has one definition, here. It is
 *   performed at once    call_perform() on a task at hand, call_port() on what stands behind a port of this process
 *   sent as a message    to the port of a task in another process, which performs it there: callmsg.h
 *
 * A call is numbers and rights, and so is its answer; arrays are out of line. Rights are naked (right.h), names are
 * numbers in the space of the task that is asked. */

#include <mach/kern_return.h>
#include <stdbool.h>
#include <stdint.h>

#include "kernel/memory.h"
#include "kernel/object.h"
#include "kernel/right.h"
#include "kernel/task.h"

struct port;

/* The numbers are part of the message format: never give one to another operation. What each takes and gives is told
 * here in the order of numbers, rights, arrays; a "right" is a number of <mach/port.h>, a RIGHT is one. The contracts are
 * in <mach/mach_port.h> and <mach.h>. */
enum call_op {
	CALL_PORT_ALLOCATE = 1,	       /* right                    gives name */
	CALL_PORT_ALLOCATE_NAME = 2,   /* right, name */
	CALL_PORT_DEALLOCATE = 3,      /* name */
	CALL_PORT_DESTROY = 4,	       /* name */
	CALL_PORT_RENAME = 5,	       /* old name, new name */
	CALL_PORT_TYPE = 6,	       /* name                     gives type */
	CALL_PORT_GET_REFS = 7,	       /* name, right              gives references */
	CALL_PORT_MOD_REFS = 8,	       /* name, right, delta */
	CALL_PORT_MOVE_MEMBER = 9,     /* name, name of the set */
	CALL_PORT_NAMES = 10,	       /*                          gives ARRAYS of names, of types */
	CALL_PORT_GET_SET_STATUS = 11, /* name                     gives ARRAY of names */
	CALL_PORT_SET_QLIMIT = 12,     /* name, limit */
	CALL_PORT_SET_MSCOUNT = 13,    /* name, count */
	CALL_PORT_SET_SEQNO = 14,      /* name, sequence number */
	CALL_PORT_SET_PAYLOAD = 15,    /* name, payload (64 bits) */
	CALL_PORT_CLEAR_PAYLOAD = 16,  /* name */
	CALL_PORT_GET_RECEIVE_STATUS =
		17,		      /* name                     gives the fields of mach_port_status_t in order */
	CALL_PORT_GET_SRIGHTS = 18,   /* name                     gives count */
	CALL_PORT_INSERT_RIGHT = 19,  /* name, RIGHT (none: what was to be moved cannot be) */
	CALL_PORT_EXTRACT_RIGHT = 20, /* name, disposition        gives RIGHT */
	CALL_PORT_REQUEST = 21,	      /* name, id, sync, RIGHT to be told by    gives the former RIGHT */
	CALL_TASK_CREATE = 22,	      /*                          gives RIGHT to the new task */
	CALL_TASK_TERMINATE = 23,     /* */
	CALL_TASK_GET_SPECIAL = 24,   /* which                    gives RIGHT */
	CALL_TASK_SET_SPECIAL = 25,   /* which, RIGHT */
	CALL_TASK_REGISTER = 26,      /* up to TASK_REGISTERED_MAX RIGHTS */
	CALL_TASK_LOOKUP = 27,	      /*                          gives RIGHTS */
	CALL_TASK_SETUP = 28,	      /* RIGHT to be bootstrap, and up to TASK_REGISTERED_MAX RIGHTS to register */
	CALL_VM_ALLOCATE = 29,	      /* address, size (both 64 bits), anywhere     gives address (64 bits) */
	CALL_VM_DEALLOCATE = 30,      /* address, size (both 64 bits) */
	CALL_THREAD_ABORT = 31,	      /* */
	CALL_THREAD_TERMINATE = 32,   /* */
	CALL_OPS
};

#define CALL_NUMBERS_MAX   3
#define CALL_RIGHTS_MAX	   (TASK_REGISTERED_MAX + 1)
#define ANSWER_NUMBERS_MAX 9
#define ANSWER_ARRAYS_MAX  2

struct call {
	enum call_op op;
	uint64_t numbers[CALL_NUMBERS_MAX]; /* negative ones as 32 bits of two's complement */
	unsigned n_rights;
	struct right *rights; /* borrowed storage; what is in it is taken with the call */
};

/* A call of @op without rights; its numbers follow. */
#define CALL_OF(op_, ...) (&(struct call){ .op = (op_), .numbers = { __VA_ARGS__ } })

/* Undefined unless the call succeeded; then its rights and arrays are the caller's. NULL will do where nothing is given. */
struct answer {
	uint64_t numbers[ANSWER_NUMBERS_MAX];
	unsigned n_rights;
	struct right rights[TASK_REGISTERED_MAX];
	struct memory arrays[ANSWER_ARRAYS_MAX]; /* of 32-bit numbers */
};

/* How a call, or its answer, looks. */
struct call_shape {
	unsigned char n_numbers;
	unsigned char wide; /* bit i: number i has 64 bits, else 32 */
	unsigned char min_rights, max_rights;
	unsigned char kind; /* enum right_kind of all its rights; RIGHT_NONE: any */
	unsigned char n_arrays;
};

struct call_form {
	kern_return_t (*perform)(struct task *task, const struct call *call, struct answer *answer);
	enum object_type object;
	kern_return_t wrong; /* when anything but such an object is asked */
	struct call_shape takes, gives;
};

/* NULL: there is no such operation. */
const struct call_form *call_form(uint32_t op);

/* Both take the call's rights, whatever they return; no lock may be held. They return what the operation does. A second
 * error of call_port() is
 *   MACH_SEND_INVALID_DEST   the port is dead */
kern_return_t call_perform(struct task *task, const struct call *call, struct answer *answer);
kern_return_t call_port(struct port *p, const struct call *call, struct answer *answer);

/* Gives up the rights of a call that is not to be, or what an answer that nobody wants has brought. */
void call_discard(const struct call *call);
void answer_discard(const struct call_form *form, struct answer *answer);
