/* SPDX-License-Identifier: MIT */
#ifndef COMMAND_DEFS_H
#define COMMAND_DEFS_H

/* Interfaces as .defs files describe them: what MIG reads, as far as it concerns messages. Sizes, forms and numbers are
 * those that MIG's stubs have in the layout of this library; where MIG of one layout differs from that of the other, so do
 * we (type_*() in defs-type.c).
 *
 * A file that is wrong ends the command with STATUS_DEFS and a line "FILE:LINE: what". Nothing is freed: an interface is
 * needed until the end. */

#include <mach.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- types */

enum type_kind {
	TYPE_SCALAR, /* one element: a number, a right, bytes of a given size */
	TYPE_ARRAY,  /* count times of */
	TYPE_STRING, /* a C string: count bytes, its final 0 included */
	TYPE_RECORD, /* members, each at its offset */
};

enum type_extent {
	EXTENT_FIXED,	   /* always count */
	EXTENT_BOUNDED,	   /* at most count, in the message */
	EXTENT_INDEFINITE, /* any number; in the message up to TYPE_INLINE_MAX bytes, else out of line */
};

#define TYPE_INLINE_MAX 2048
#define TYPE_UNKNOWN	((unsigned int)MACH_MSG_TYPE_POLYMORPHIC) /* the sender chooses */

struct member;

struct type {
	const char *name; /* NULL if it has none */
	enum type_kind kind;
	enum type_extent extent;
	uint64_t count;
	const struct type *of;	      /* ARRAY */
	const struct member *members; /* RECORD */
	unsigned int n_members;
	bool is_out_of_line;
	/* The descriptor: its elements are not always those above (array of array, records). */
	unsigned int sent, received; /* MACH_MSG_TYPE_* as the sender writes it, and as the receiver finds it */
	unsigned int bits;	     /* of an element */
	uint64_t number;	     /* of elements, at most; 0 if there is no bound */
	size_t alignment;	     /* of a record's member */
};

struct member {
	const char *name;
	const struct type *type;
	size_t offset;
};

bool type_is_right(const struct type *t);
bool type_is_variable(const struct type *t);

/* Bytes of a fixed type, or of one element of the array that a variable one is. */
size_t type_size(const struct type *t);
size_t type_element_size(const struct type *t);

/* Elements of the descriptor in one element of the array. */
uint64_t type_units(const struct type *t);

/* Whether its descriptor has the long form. */
bool type_is_long(const struct type *t);

/* "int32", "char[..64]" (at most 64), "string[..31]", "int64[]", "send right": for people to read. */
char *type_text(const struct type *t);

/* ---- routines */

enum direction {
	DIRECTION_IN,
	DIRECTION_OUT,
	DIRECTION_INOUT,
	DIRECTION_REQUEST, /* the port that is asked */
	DIRECTION_REPLY,   /* the port for the answer */
	DIRECTION_TIMEOUT, /* of the call: in no message */
	DIRECTION_OPTION,  /* of the stub's mach_msg: in no message */
	DIRECTION_HIDDEN,  /* what only the server has of it */
};

struct argument {
	const char *name;
	const struct type *type;
	enum direction direction;
	bool deallocates;
	int line;
};

struct routine {
	const char *name;
	mach_msg_id_t id;
	bool is_simple; /* nobody answers */
	struct argument *arguments;
	unsigned int n_arguments;
};

struct interface {
	const char *file, *name;
	mach_msg_id_t base;
	struct routine *routines;
	unsigned int n_routines;
};

/* What is passed to the preprocessor: -I and -D. */
struct defs_flags {
	const char **words;
	unsigned int n;
};
void defs_add_flag(struct defs_flags *f, const char *option, const char *value);

const struct interface *defs_read(const char *file, const struct defs_flags *flags);
const struct routine *defs_find(const struct interface *i, const char *routine); /* or NULL */

/* The routine that a message with this id is a request of, or, with @is_reply, an answer of; or NULL. */
const struct routine *defs_find_id(const struct interface *i, mach_msg_id_t id, bool *is_reply);

static inline bool argument_is_sent(const struct argument *a)
{
	return a->direction == DIRECTION_IN || a->direction == DIRECTION_INOUT;
}

static inline bool argument_is_received(const struct argument *a)
{
	return a->direction == DIRECTION_OUT || a->direction == DIRECTION_INOUT;
}

#endif
