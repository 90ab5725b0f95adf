/* SPDX-License-Identifier: MIT */
#ifndef PORTUNUS_MACH_MESSAGE_H
#define PORTUNUS_MACH_MESSAGE_H

#include <mach/kern_return.h>
#include <mach/machine/vm_types.h>
#include <mach/port.h>
#include <portunus/abi.h>
#include <portunus/export.h>

/* A message is a header and a body. The body is a sequence of items; an item is a type descriptor, short or long,
 * followed by its data (inline) or by a pointer to it (out of line), each padded to MACH_MSG_USER_ALIGNMENT.
 *
 *   header      what          size
 *        0      bits             4   dispositions of the two rights, and MACH_MSGH_BITS_COMPLEX
 *        4      size             4   bytes, header included; on sending the send_size argument counts instead
 *        8      remote port      4   sent: the destination; received: the right to reply to
 *       16      local port       4   sent: the reply right to carry along; received: the port it came to
 *               payload          8   received, if the port has a protected payload: that, instead of the name
 *       24      seqno            4   received: the port's sequence number; ignored on sending
 *       28      id               4   whatever sender and receiver agree on
 *
 * Only if COMPLEX is set are the rights and pointers in the body looked at. */

typedef natural_t mach_msg_timeout_t; /* milliseconds */
#define MACH_MSG_TIMEOUT_NONE ((mach_msg_timeout_t)0)

typedef unsigned int mach_msg_bits_t;
typedef unsigned int mach_msg_size_t; /* bytes */
typedef natural_t mach_msg_seqno_t;
typedef integer_t mach_msg_id_t;

#define MACH_MSG_SIZE_MAX ((mach_msg_size_t)~0)

#define MACH_MSGH_BITS_ZERO	     0x00000000
#define MACH_MSGH_BITS_REMOTE_MASK   0x000000ff
#define MACH_MSGH_BITS_LOCAL_MASK    0x0000ff00
#define MACH_MSGH_BITS_COMPLEX	     0x80000000U
#define MACH_MSGH_BITS_CIRCULAR	     0x40000000 /* these four belong to a kernel; a program leaves them zero */
#define MACH_MSGH_BITS_COMPLEX_PORTS 0x20000000
#define MACH_MSGH_BITS_COMPLEX_DATA  0x10000000
#define MACH_MSGH_BITS_MIGRATED	     0x08000000
#define MACH_MSGH_BITS_UNUSED	     0x07ff0000 /* carried to the receiver unchanged */
#define MACH_MSGH_BITS_PORTS_MASK    (MACH_MSGH_BITS_REMOTE_MASK | MACH_MSGH_BITS_LOCAL_MASK)

#define MACH_MSGH_BITS(remote, local) ((remote) | ((local) << 8))
#define MACH_MSGH_BITS_REMOTE(bits)   ((bits)&MACH_MSGH_BITS_REMOTE_MASK)
#define MACH_MSGH_BITS_LOCAL(bits)    (((bits)&MACH_MSGH_BITS_LOCAL_MASK) >> 8)
#define MACH_MSGH_BITS_PORTS(bits)    ((bits)&MACH_MSGH_BITS_PORTS_MASK)
#define MACH_MSGH_BITS_OTHER(bits)    ((bits) & ~MACH_MSGH_BITS_PORTS_MASK)

typedef struct mach_msg_header {
	mach_msg_bits_t msgh_bits;
	mach_msg_size_t msgh_size;
	mach_port_t msgh_remote_port;
	union {
		mach_port_t msgh_local_port;
		rpc_uintptr_t msgh_protected_payload;
	};
	mach_port_seqno_t msgh_seqno;
	mach_msg_id_t msgh_id;
} mach_msg_header_t;

typedef mach_msg_header_t mach_msg_user_header_t;

/* For programs older than msgh_seqno. */
#define MACH_MSGH_KIND_NORMAL 0x00000000
#define msgh_kind	      msgh_seqno
#define mach_msg_kind_t	      mach_port_seqno_t

/* ---- type descriptors -------------------------------------------------------------------------------------------- */

typedef unsigned int mach_msg_type_name_t; /* MACH_MSG_TYPE_*: what an element is */
typedef unsigned int mach_msg_type_size_t; /* bits of an element */
typedef natural_t mach_msg_type_number_t;  /* elements */

/*   msgt_name, msgt_size, msgt_number   as above
 *   msgt_inline      the data follows; else a pointer to it follows
 *   msgt_longform    the descriptor is a mach_msg_type_long_t
 *   msgt_deallocate  out of line, sending: the memory (or, for an array of rights, the array) leaves the sender;
 *                    received: always set, the memory is the receiver's to vm_deallocate
 *   msgt_unused      0
 * An element that is a right has the size of a mach_port_name_inlined_t inline, and of a mach_port_t out of line. */
/* With 8 bytes a size has 16 bits (a long form's size fits) and the two forms have one layout: `longform` then is a bit
 * without further meaning. */
#if defined(PORTUNUS_MIG_ABI_LP64)

typedef struct {
	unsigned int msgt_name : 8, msgt_size : 16, msgt_unused : 5, msgt_inline : 1, msgt_longform : 1,
		msgt_deallocate : 1;
	mach_msg_type_number_t msgt_number;
} __attribute__((aligned(8))) mach_msg_type_t;

typedef struct {
	union {
		mach_msg_type_t msgtl_header;
		struct {
			unsigned int msgtl_name : 8, msgtl_size : 16, msgtl_unused : 5, msgtl_inline : 1,
				msgtl_longform : 1, msgtl_deallocate : 1;
			mach_msg_type_number_t msgtl_number;
		};
	};
} __attribute__((aligned(8))) mach_msg_type_long_t;

/* A right inline in a body. The upper half is padding that keeps every item on 8 bytes; a stub clears it first. */
typedef struct {
	union {
		mach_port_name_t name;
		rpc_uintptr_t kernel_port_do_not_use;
	};
} mach_port_name_inlined_t;

#define MACH_MSG_USER_ALIGNMENT 8

#elif defined(PORTUNUS_MIG_ABI_PACKED4)

/* In this order, because Debian 12's MIG fills the fields by position. */
typedef struct {
	unsigned int msgt_name : 8, msgt_size : 8, msgt_number : 12, msgt_inline : 1, msgt_longform : 1,
		msgt_deallocate : 1, msgt_unused : 1;
} mach_msg_type_t;

/* For elements or counts that do not fit above; in msgtl_header only inline, longform and deallocate count. */
typedef struct {
	mach_msg_type_t msgtl_header;
	unsigned short msgtl_name;
	unsigned short msgtl_size;
	natural_t msgtl_number;
} mach_msg_type_long_t;

/* A right inline in a body. */
typedef struct {
	mach_port_name_t name;
} mach_port_name_inlined_t;

#define MACH_MSG_USER_ALIGNMENT 4

#else
#error "portunus/abi.h must define PORTUNUS_MIG_ABI_LP64 or PORTUNUS_MIG_ABI_PACKED4 to 1"
#endif

/* Plain data. The kernel copies what it does not know. */
#define MACH_MSG_TYPE_UNSTRUCTURED 0
#define MACH_MSG_TYPE_BIT	   0
#define MACH_MSG_TYPE_BOOLEAN	   0
#define MACH_MSG_TYPE_INTEGER_16   1
#define MACH_MSG_TYPE_INTEGER_32   2
#define MACH_MSG_TYPE_CHAR	   8
#define MACH_MSG_TYPE_BYTE	   9
#define MACH_MSG_TYPE_INTEGER_8	   9
#define MACH_MSG_TYPE_REAL	   10
#define MACH_MSG_TYPE_INTEGER_64   11
#define MACH_MSG_TYPE_STRING	   12
#define MACH_MSG_TYPE_STRING_C	   12
#define MACH_MSG_TYPE_PORT_NAME	   15 /* a name as a number; no right travels */

/* Dispositions: what happens to the sender's right. */
#define MACH_MSG_TYPE_MOVE_RECEIVE   16 /* the receive right leaves the sender */
#define MACH_MSG_TYPE_MOVE_SEND	     17 /* one reference of the send right leaves the sender */
#define MACH_MSG_TYPE_MOVE_SEND_ONCE 18 /* the send-once right leaves the sender */
#define MACH_MSG_TYPE_COPY_SEND	     19 /* a new send right, made from the sender's */
#define MACH_MSG_TYPE_MAKE_SEND	     20 /* a new send right, made from the sender's receive right */
#define MACH_MSG_TYPE_MAKE_SEND_ONCE 21 /* a new send-once right, made from the sender's receive right */

/* What the receiver sees. */
#define MACH_MSG_TYPE_PORT_RECEIVE   MACH_MSG_TYPE_MOVE_RECEIVE
#define MACH_MSG_TYPE_PORT_SEND	     MACH_MSG_TYPE_MOVE_SEND
#define MACH_MSG_TYPE_PORT_SEND_ONCE MACH_MSG_TYPE_MOVE_SEND_ONCE

#define MACH_MSG_TYPE_PROTECTED_PAYLOAD 23 /* local disposition of a received header that bears a payload */
#define MACH_MSG_TYPE_LAST		23
#define MACH_MSG_TYPE_POLYMORPHIC	((mach_msg_type_name_t)-1)

#define MACH_MSG_TYPE_PORT_ANY(x)	(((x) >= MACH_MSG_TYPE_MOVE_RECEIVE) && ((x) <= MACH_MSG_TYPE_MAKE_SEND_ONCE))
#define MACH_MSG_TYPE_PORT_ANY_SEND(x)	(((x) >= MACH_MSG_TYPE_MOVE_SEND) && ((x) <= MACH_MSG_TYPE_MAKE_SEND_ONCE))
#define MACH_MSG_TYPE_PORT_ANY_RIGHT(x) (((x) >= MACH_MSG_TYPE_MOVE_RECEIVE) && ((x) <= MACH_MSG_TYPE_MOVE_SEND_ONCE))

PORTUNUS_STATIC_ASSERT(sizeof(mach_msg_header_t) == 32, "a message header has 32 bytes in both layouts");
PORTUNUS_STATIC_ASSERT(sizeof(mach_port_name_inlined_t) == MACH_MSG_USER_ALIGNMENT, "an inline right fills one unit");

/* ---- options and results ----------------------------------------------------------------------------------------- */

typedef integer_t mach_msg_option_t;

#define MACH_MSG_OPTION_NONE 0x00000000
#define MACH_SEND_MSG	     0x00000001 /* send */
#define MACH_RCV_MSG	     0x00000002 /* receive, after sending */
#define MACH_SEND_TIMEOUT    0x00000010 /* give up sending after timeout */
#define MACH_SEND_NOTIFY     0x00000020 /* queue is full: put it in all the same, tell notify when it is taken out */
#define MACH_SEND_INTERRUPT  0x00000040 /* report an interruption of the send; else mach_msg starts it again */
#define MACH_SEND_CANCEL     0x00000080 /* give up the destination's dead-name request with the right */
#define MACH_RCV_TIMEOUT     0x00000100 /* give up receiving after timeout */
#define MACH_RCV_NOTIFY	     0x00000200 /* ask for a dead-name notification for the reply right received */
#define MACH_RCV_INTERRUPT   0x00000400 /* report an interruption of the receive; else mach_msg starts it again */
#define MACH_RCV_LARGE	     0x00000800 /* keep a message that is too large in the queue, tell its size */
#define MACH_SEND_ALWAYS     0x00010000 /* belongs to a kernel; ignored */

/* Asks for a trailer behind the message received: MACH_RCV_TRAILER_TYPE(MACH_MSG_TRAILER_FORMAT_0) together with
 * MACH_RCV_TRAILER_ELEMENTS(one of the following); see "trailers" below. */
#define MACH_RCV_TRAILER_NULL	     0 /* no trailer */
#define MACH_RCV_TRAILER_SEQNO	     1 /* mach_msg_seqno_trailer_t */
#define MACH_RCV_TRAILER_SENDER	     2 /* mach_msg_security_trailer_t */
#define MACH_RCV_TRAILER_AUDIT	     3 /* mach_msg_audit_trailer_t */
#define MACH_RCV_TRAILER_TYPE(x)     (((x)&0xf) << 28)
#define MACH_RCV_TRAILER_ELEMENTS(x) (((x)&0xf) << 24)
#define MACH_RCV_TRAILER_MASK	     0xff000000U
#define GET_RCV_ELEMENTS(option)     (((option) >> 24) & 0xf)

/* Source of the values: probe 01-abi. Send errors are err_mach_ipc, subsystem 0; receive errors subsystem 1. */
typedef kern_return_t mach_msg_return_t;

#define MACH_MSG_SUCCESS 0x00000000

/* Bits that some results carry besides their code; take them off with & ~MACH_MSG_MASK. */
#define MACH_MSG_MASK	    0x00003c00
#define MACH_MSG_IPC_SPACE  0x00002000 /* no room for another name in the receiver's name space */
#define MACH_MSG_VM_SPACE   0x00001000 /* no room for out-of-line memory in the receiver */
#define MACH_MSG_IPC_KERNEL 0x00000800 /* the kernel lacked memory for a right */
#define MACH_MSG_VM_KERNEL  0x00000400 /* the kernel lacked memory for out-of-line data */

#define MACH_SEND_IN_PROGRESS	     0x10000001 /* belongs to a kernel */
#define MACH_SEND_INVALID_DATA	     0x10000002 /* the message cannot be read */
#define MACH_SEND_INVALID_DEST	     0x10000003 /* the destination is no send or send-once right, or is dead */
#define MACH_SEND_TIMED_OUT	     0x10000004 /* the queue stayed full; the message is back in the buffer */
#define MACH_SEND_WILL_NOTIFY	     0x10000005 /* sent beyond the limit; msg-accepted follows */
#define MACH_SEND_NOTIFY_IN_PROGRESS 0x10000006 /* an earlier msg-accepted is still to come; not sent */
#define MACH_SEND_INTERRUPTED	     0x10000007 /* the message is back in the buffer */
#define MACH_SEND_MSG_TOO_SMALL	     0x10000008 /* shorter than its header or its descriptors say, or misaligned */
#define MACH_SEND_INVALID_REPLY	     0x10000009 /* the reply right is not what its disposition says */
#define MACH_SEND_INVALID_RIGHT	     0x1000000a /* a right in the body is not what its disposition says */
#define MACH_SEND_INVALID_NOTIFY     0x1000000b /* notify is no receive right */
#define MACH_SEND_INVALID_MEMORY     0x1000000c /* out-of-line data cannot be read */
#define MACH_SEND_NO_BUFFER	     0x1000000d /* no memory for the message */
#define MACH_SEND_NO_NOTIFY	     0x1000000e /* no memory for the msg-accepted request */
#define MACH_SEND_INVALID_TYPE	     0x1000000f /* a descriptor contradicts itself */
#define MACH_SEND_INVALID_HEADER     0x10000010 /* msgh_bits holds no legal dispositions */

#define MACH_RCV_IN_PROGRESS	0x10004001 /* belongs to a kernel */
#define MACH_RCV_INVALID_NAME	0x10004002 /* rcv_name is no receive right and no port set */
#define MACH_RCV_TIMED_OUT	0x10004003 /* nothing came in time */
#define MACH_RCV_TOO_LARGE	0x10004004 /* the buffer is too small */
#define MACH_RCV_INTERRUPTED	0x10004005 /* by a signal or thread_abort */
#define MACH_RCV_PORT_CHANGED	0x10004006 /* the port went into a set while we waited on it */
#define MACH_RCV_INVALID_NOTIFY 0x10004007 /* notify is no receive right */
#define MACH_RCV_INVALID_DATA	0x10004008 /* the buffer cannot be written */
#define MACH_RCV_PORT_DIED	0x10004009 /* the right was moved or destroyed while we waited on it */
#define MACH_RCV_IN_SET		0x1000400a /* a member of a set is received from through the set only */
#define MACH_RCV_HEADER_ERROR	0x1000400b /* the rights of the header found no room; see the bits */
#define MACH_RCV_BODY_ERROR	0x1000400c /* something in the body found no room; see the bits */

#define MACH_RCV_INVALID_TRAILER 0x1000400f /* no such trailer; not in GNU Mach, the value is Darwin's */

/* ---- trailers ---------------------------------------------------------------------------------------------------- */

/* What the kernel knows of a message besides what its sender wrote, for a receiver who asks: who sent it. It lies in the
 * receiver's buffer behind the message, at round_msg(msgh_size); msgh_size does not count it, rcv_size has to.
 * The names, layouts and values are Darwin's; Mach itself, as the Hurd knows it, has no trailers. Unlike Darwin, a
 * receive that does not ask gets none, not even an empty one. */
typedef unsigned int mach_msg_trailer_type_t;
typedef unsigned int mach_msg_trailer_size_t;

#define MACH_MSG_TRAILER_FORMAT_0 0

/* The user and group by whose rights the sender acts. */
typedef struct {
	unsigned int val[2];
} security_token_t;

/* val[0] audit user: always -1   [1] effective user   [2] effective group   [3] real user   [4] real group   [5] process
 * [6] audit session: always 0   [7] version of the process id: always 0
 * Of another process that is what the Linux kernel vouches for, which says nothing of the real user and group: they are
 * told as the effective ones. */
typedef struct {
	unsigned int val[8];
} audit_token_t;

/* The sender of what the kernel itself makes, such as notifications. */
#define KERNEL_SECURITY_TOKEN_VALUE \
	{ \
		{ \
			0, 1 \
		} \
	}
#define KERNEL_AUDIT_TOKEN_VALUE \
	{ \
		{ \
			0, 0, 0, 0, 0, 0, 0, 0 \
		} \
	}

/* Each begins with the one before it. */
typedef struct {
	mach_msg_trailer_type_t msgh_trailer_type; /* MACH_MSG_TRAILER_FORMAT_0 */
	mach_msg_trailer_size_t msgh_trailer_size; /* of all of it, bytes */
} mach_msg_trailer_t;

typedef struct {
	mach_msg_trailer_type_t msgh_trailer_type;
	mach_msg_trailer_size_t msgh_trailer_size;
	mach_port_seqno_t msgh_seqno; /* as in the header */
} mach_msg_seqno_trailer_t;

typedef struct {
	mach_msg_trailer_type_t msgh_trailer_type;
	mach_msg_trailer_size_t msgh_trailer_size;
	mach_port_seqno_t msgh_seqno;
	security_token_t msgh_sender;
} mach_msg_security_trailer_t;

typedef struct {
	mach_msg_trailer_type_t msgh_trailer_type;
	mach_msg_trailer_size_t msgh_trailer_size;
	mach_port_seqno_t msgh_seqno;
	security_token_t msgh_sender;
	audit_token_t msgh_audit;
} mach_msg_audit_trailer_t;

typedef mach_msg_security_trailer_t mach_msg_format_0_trailer_t;
typedef mach_msg_audit_trailer_t mach_msg_max_trailer_t;

#define MACH_MSG_TRAILER_MINIMUM_SIZE  sizeof(mach_msg_trailer_t)
#define MACH_MSG_TRAILER_FORMAT_0_SIZE sizeof(mach_msg_format_0_trailer_t)
#define MAX_TRAILER_SIZE	       ((mach_msg_size_t)sizeof(mach_msg_max_trailer_t))

/* Bytes that a receive with this option appends. */
#define REQUESTED_TRAILER_SIZE(option) \
	((mach_msg_trailer_size_t)(GET_RCV_ELEMENTS(option) == MACH_RCV_TRAILER_NULL ? 0 \
				   : GET_RCV_ELEMENTS(option) == MACH_RCV_TRAILER_SEQNO \
					   ? sizeof(mach_msg_seqno_trailer_t) \
				   : GET_RCV_ELEMENTS(option) == MACH_RCV_TRAILER_SENDER \
					   ? sizeof(mach_msg_security_trailer_t) \
					   : sizeof(mach_msg_max_trailer_t)))

/* Where the trailer of a message of this size is. Messages received have whole units already. */
#define round_msg(size) (((mach_msg_size_t)(size) + MACH_MSG_USER_ALIGNMENT - 1) & ~(MACH_MSG_USER_ALIGNMENT - 1))

PORTUNUS_BEGIN_DECLS

/* mach_msg - send a message, receive one, or both
 *   msg        the message to send, and the buffer for the one received; aligned like a mach_msg_header_t
 *   option     MACH_SEND_MSG, MACH_RCV_MSG and what they modify
 *   send_size  bytes to send, a multiple of MACH_MSG_USER_ALIGNMENT; 0 if nothing is sent
 *   rcv_size   bytes of the buffer, the trailer that was asked for included; 0 if nothing is received
 *   rcv_name   the receive right or port set to receive from
 *   timeout    milliseconds, for each half that has its TIMEOUT option; 0 does not wait
 *   notify     a receive right, for the NOTIFY and CANCEL options; else MACH_PORT_NULL
 * Rights that the message moves leave the calling task when the send succeeds; rights in a received message belong to it,
 * as does out-of-line memory, which is freed with vm_deallocate. mach_msg_destroy gives back all that a message holds.
 * A send blocks while the destination's queue is at its limit, except to a send-once right; a receive while it is empty.
 * Interrupted, mach_msg starts the half that was interrupted again (what is left of a timeout goes on to run), unless
 * the INTERRUPT option of that half asks for the result. A receive does not happen if the send before it fails.
 *
 * Nothing is consumed by: INVALID_DATA, MSG_TOO_SMALL, NO_BUFFER, INVALID_HEADER, INVALID_DEST, INVALID_REPLY, and
 * INVALID_NOTIFY of CANCEL. An item of the body that is refused (INVALID_RIGHT, INVALID_TYPE, INVALID_MEMORY,
 * MSG_TOO_SMALL for a body that is cut short, and NO_BUFFER where it is the item that found no memory) takes with it the
 * destination and reply rights and the items before it; those after it are untouched. TIMED_OUT, INTERRUPTED,
 * NOTIFY_IN_PROGRESS, NO_NOTIFY and INVALID_NOTIFY of NOTIFY give the message back as if it had been received: the buffer
 * holds rights of the caller, COPY and MAKE having become moves with a reference more.
 *   MACH_SEND_INVALID_DATA        msg is not readable
 *   MACH_SEND_MSG_TOO_SMALL       send_size is less than a header, misaligned, or less than the descriptors need
 *   MACH_SEND_NO_BUFFER           no memory
 *   MACH_SEND_INVALID_HEADER      a disposition in msgh_bits that is no right, or none for the destination
 *   MACH_SEND_INVALID_DEST        no such send or send-once right, a dead name, or used up by the reply right
 *   MACH_SEND_INVALID_REPLY       no such right; a dead name is no error and arrives as MACH_PORT_DEAD
 *   MACH_SEND_INVALID_RIGHT       a right in the body that the task does not hold in that kind
 *   MACH_SEND_INVALID_TYPE        a descriptor with unused bits set, a wrong size of right, deallocate on inline data
 *   MACH_SEND_INVALID_MEMORY      out-of-line data that is not readable
 *   MACH_SEND_INVALID_NOTIFY      notify is no receive right (checked by NOTIFY when the queue is full, CANCEL always)
 *   MACH_SEND_TIMED_OUT           MACH_SEND_TIMEOUT, and the queue was full all the time
 *   MACH_SEND_WILL_NOTIFY         MACH_SEND_NOTIFY, the queue was full: the message is sent
 *   MACH_SEND_NOTIFY_IN_PROGRESS  MACH_SEND_NOTIFY, and one such message of this name is still above the limit
 *   MACH_SEND_NO_NOTIFY           no memory for the request
 *   MACH_SEND_INTERRUPTED         MACH_SEND_INTERRUPT, and a signal or thread_abort came
 *   MACH_RCV_INVALID_NAME         rcv_name denotes no receive right or port set
 *   MACH_RCV_IN_SET               rcv_name is a member of a port set
 *   MACH_RCV_TIMED_OUT            MACH_RCV_TIMEOUT, and nothing came
 *   MACH_RCV_INTERRUPTED          MACH_RCV_INTERRUPT, and a signal or thread_abort came
 *   MACH_RCV_PORT_DIED            the receive right or set went away while the call waited
 *   MACH_RCV_PORT_CHANGED         the port joined a set while the call waited
 *   MACH_RCV_INVALID_DATA         the buffer is not writable. If its first byte is not, the message stays queued; if it
 *                                 ends too early, the message is lost and its rights are the receiver's
 *   MACH_RCV_INVALID_NOTIFY       MACH_RCV_NOTIFY and notify is no receive right; the header alone arrives, its reply
 *                                 right and the body are destroyed
 *   MACH_RCV_TOO_LARGE            with MACH_RCV_LARGE: the message stays, msgh_size says what it needs (the buffer
 *                                 holds at least a header); without: the header alone arrives, the rest is destroyed
 *   MACH_RCV_INVALID_TRAILER      the option bits ask for a trailer that there is not; nothing was received
 *   MACH_RCV_HEADER_ERROR, MACH_RCV_BODY_ERROR with bits: received, but what found no room is destroyed
 * A trailer comes with MACH_MSG_SUCCESS and MACH_RCV_BODY_ERROR. The size that MACH_RCV_TOO_LARGE tells is that of the
 * message without it.
 * Source: probes 05-queue, 06-receive, 08-header, 09-body, 10-ool, 14-payload, 16-misc. */
PORTUNUS_EXPORT mach_msg_return_t mach_msg(mach_msg_header_t *msg, mach_msg_option_t option, mach_msg_size_t send_size,
					   mach_msg_size_t rcv_size, mach_port_name_t rcv_name,
					   mach_msg_timeout_t timeout, mach_port_name_t notify);

/* mach_msg_trap - mach_msg without the restart: an interruption is always reported
 * Arguments, ownership and results are those of mach_msg; MACH_SEND_INTERRUPTED and MACH_RCV_INTERRUPTED come without
 * their options as well. Source: probes 06-receive, 17-threads. */
PORTUNUS_EXPORT mach_msg_return_t mach_msg_trap(mach_msg_header_t *msg, mach_msg_option_t option,
						mach_msg_size_t send_size, mach_msg_size_t rcv_size,
						mach_port_name_t rcv_name, mach_msg_timeout_t timeout,
						mach_port_name_t notify);

PORTUNUS_END_DECLS

#endif
