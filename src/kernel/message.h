/* SPDX-License-Identifier: MIT */
#pragma once

/* A message on its way through the kernel.
 *
 * image is what the sender wrote and what the receiver will read, header included, in the layout of the user's own
 * messages; only copyin and copyout know what the bytes mean. What cannot be bytes is beside it: the rights of the
 * header (dest, reply) and, for each descriptor that carries rights or out-of-line memory, an item that says where in
 * the image its names or its address belong. All rights in a message are naked (right.h).
 *
 * A message belongs to exactly one of: the call that builds or reads it; the queue of dest.port (port_link, set_link);
 * a waiter (waiter.h), a sender's or a receiver's; a port's requests, as a notice prepared in advance.
 */

#include <mach/message.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "kernel/memory.h"
#include "kernel/right.h"
#include "platform/list.h"

struct accept_request;
struct charge;
struct export;

enum item_kind {
	ITEM_INLINE_RIGHTS, /* names in the image at offset */
	ITEM_ARRAY_RIGHTS,  /* names in memory, whose address is in the image at offset */
	ITEM_MEMORY,	    /* bytes in memory, likewise */
};

struct item {
	enum item_kind kind;
	enum right_kind right;
	uint32_t offset, n_rights;
	union {
		struct port *port;   /* n_rights == 1 */
		struct port **ports; /* malloc'ed otherwise */
		const void *source;  /* ITEM_MEMORY: not NULL: where the sender still has the bytes */
	};
	struct memory memory;
};

/* Who sent a message, for receivers who ask (trailer.h). A process is what the host says of it, not what it says. */
enum sender_kind {
	SENDER_SELF,   /* a thread of this process; message.sender is not used */
	SENDER_KERNEL, /* nobody: the kernel made it itself; likewise */
	SENDER_OTHER,  /* another process: message.sender */
};

struct sender {
	pid_t pid;
	uid_t uid;
	gid_t gid;
};

#define MESSAGE_INLINE_ITEMS 2
#define MESSAGE_SMALL_IMAGE  256 /* bytes; messages up to this come from a per-thread cache */

struct message {
	struct list port_link, set_link;
	struct right dest, reply;
	struct accept_request *accept; /* whom to tell when it leaves the queue; NULL mostly */
	struct charge *charge;	       /* on whose account it is, NULL mostly; @weight bytes of it */
	size_t weight;
	struct export *origin; /* likewise, while it is queued: through which export another node sent it */
	uint32_t size;	       /* of the image, header included */
	uint32_t capacity;
	uint32_t n_items, items_capacity;
	struct item *items; /* inline_items until there are more */
	unsigned cpu;	    /* on which the sender ran */
	enum sender_kind sent_by;
	struct sender sender;
	int fd;		  /* a descriptor that it brings, closed with it; -1 mostly; only kernels see it (file.h) */
	bool is_circular; /* carries a receive right that could never be received */
	bool is_complex;  /* carries rights or out-of-line memory, be it none of them */
	bool is_relayed;  /* by way of a node where its port had been: it does not wait in port.held */
	bool is_unfilled; /* some memory has a source: the message leaves the sender's call only after message_fill() */
	bool is_request;  /* none of a program: a notification that was asked for where the port was before */

	/* written when it is received */
	bool has_payload;
	mach_port_seqno_t seqno;
	enum right_kind local_type; /* what dest was */
	mach_port_name_t local_name;
	unsigned long payload;

	struct item inline_items[MESSAGE_INLINE_ITEMS];
	union {
		mach_msg_header_t header;
		struct {
			struct {
			} nothing;	       /* a flexible array may not be alone */
			unsigned char image[]; /* capacity bytes */
		};
	};
};

/* A message with room for @size bytes; no rights, no items, sent by this process; the image is not initialised. NULL: no memory. */
struct message *message_new(uint32_t size);
/* As message_new() for a small one, but does not return without: there is a reserve, and when that is used up it waits
 * for memory. No lock may be held. */
struct message *message_new_certain(uint32_t size);
bool message_init_reserve(void);   /* before the first; false: no memory */
void message_forget_reserve(void); /* after fork, in the child */
/* Memory only, and its descriptor: rights and items have been taken out or moved on. */
void message_free(struct message *m);
/* The message and everything in it, with all consequences. No lock may be held. Messages found inside (in the queue of
 * a receive right that dies) are destroyed after it, not within it, so depth costs no stack. */
void message_destroy(struct message *m);

/* It is received, or will never be, from the queue that another node sent it to: the sender is told. Its destination right
 * is still in it. */
void message_leave_origin(struct message *m);

/* What it carries, headers and memory out of line. Nothing of it changes on its way. */
static inline uint64_t message_bytes(const struct message *m)
{
	uint64_t bytes = m->size;

	for (uint32_t i = 0; i < m->n_items; i++)
		bytes += m->items[i].memory.size;
	return bytes;
}

/* Copies what the sender still has. False: something cannot be read any more, and is zero in the message. No lock is held. */
bool message_fill(struct message *m);

/* A further item, zeroed; NULL: no memory. */
struct item *message_add_item(struct message *m);
/* The item's n_rights ports; item_alloc_ports() makes the room. False: no memory. */
bool item_alloc_ports(struct item *item, uint32_t n);
struct port **item_ports(struct item *item);

/* Frees what a thread keeps for reuse. */
struct thread;
void message_cache_drain(struct thread *thread);
