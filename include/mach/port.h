/* SPDX-License-Identifier: MIT */
#ifndef PORTUNUS_MACH_PORT_H
#define PORTUNUS_MACH_PORT_H

#include <mach/boolean.h>
#include <mach/machine/vm_types.h>

/* A right as a task sees it: a number, its port name, which means something in that task's name space only. A task has
 * one name for all its send and receive rights to one port, and one name for each send-once right. In a user program
 * mach_port_t and mach_port_name_t are one type; mach_port_t says that the name is meant as the right it denotes. */
typedef unsigned int mach_port_name_t;
typedef mach_port_name_t *mach_port_name_array_t;
typedef const mach_port_name_t *const_mach_port_name_array_t;
typedef mach_port_name_t mach_port_t;
typedef mach_port_t *mach_port_array_t;
typedef const mach_port_t *const_mach_port_array_t;
typedef int *rpc_signature_info_t;

/* NULL: no right at all. DEAD: a right to a port that was dead before the right had a name here; legal as the reply or in
 * the body of a message. Neither is ever a name in a name space. */
#define MACH_PORT_NULL		   0
#define MACH_PORT_DEAD		   ((mach_port_t)~0)
#define MACH_PORT_NAME_NULL	   ((mach_port_name_t)0)
#define MACH_PORT_NAME_DEAD	   ((mach_port_name_t)~0)
#define MACH_PORT_VALID(name)	   (((name) != MACH_PORT_NULL) && ((name) != MACH_PORT_DEAD))
#define MACH_PORT_NAME_VALID(name) (((name) != MACH_PORT_NAME_NULL) && ((name) != MACH_PORT_NAME_DEAD))

/* The kinds of right that a name can denote. */
typedef natural_t mach_port_right_t;

#define MACH_PORT_RIGHT_SEND	  ((mach_port_right_t)0)
#define MACH_PORT_RIGHT_RECEIVE	  ((mach_port_right_t)1)
#define MACH_PORT_RIGHT_SEND_ONCE ((mach_port_right_t)2)
#define MACH_PORT_RIGHT_PORT_SET  ((mach_port_right_t)3)
#define MACH_PORT_RIGHT_DEAD_NAME ((mach_port_right_t)4)
#define MACH_PORT_RIGHT_NUMBER	  ((mach_port_right_t)5)

/* All that a name denotes, as a set of bits. */
typedef natural_t mach_port_type_t;
typedef mach_port_type_t *mach_port_type_array_t;
typedef const mach_port_type_t *const_mach_port_type_array_t;

#define MACH_PORT_TYPE(right)	 ((mach_port_type_t)(1 << ((right) + 16)))
#define MACH_PORT_TYPE_NONE	 ((mach_port_type_t)0)
#define MACH_PORT_TYPE_SEND	 MACH_PORT_TYPE(MACH_PORT_RIGHT_SEND)
#define MACH_PORT_TYPE_RECEIVE	 MACH_PORT_TYPE(MACH_PORT_RIGHT_RECEIVE)
#define MACH_PORT_TYPE_SEND_ONCE MACH_PORT_TYPE(MACH_PORT_RIGHT_SEND_ONCE)
#define MACH_PORT_TYPE_PORT_SET	 MACH_PORT_TYPE(MACH_PORT_RIGHT_PORT_SET)
#define MACH_PORT_TYPE_DEAD_NAME MACH_PORT_TYPE(MACH_PORT_RIGHT_DEAD_NAME)

#define MACH_PORT_TYPE_SEND_RECEIVE (MACH_PORT_TYPE_SEND | MACH_PORT_TYPE_RECEIVE)
#define MACH_PORT_TYPE_SEND_RIGHTS  (MACH_PORT_TYPE_SEND | MACH_PORT_TYPE_SEND_ONCE)
#define MACH_PORT_TYPE_PORT_RIGHTS  (MACH_PORT_TYPE_SEND_RIGHTS | MACH_PORT_TYPE_RECEIVE)
#define MACH_PORT_TYPE_PORT_OR_DEAD (MACH_PORT_TYPE_PORT_RIGHTS | MACH_PORT_TYPE_DEAD_NAME)
#define MACH_PORT_TYPE_ALL_RIGHTS   (MACH_PORT_TYPE_PORT_OR_DEAD | MACH_PORT_TYPE_PORT_SET)

/* What mach_port_type and mach_port_names add: requests that wait on the name. */
#define MACH_PORT_TYPE_DNREQUEST 0x80000000U /* dead-name notification */
#define MACH_PORT_TYPE_MAREQUEST 0x40000000  /* msg-accepted notification */
#define MACH_PORT_TYPE_COMPAT	 0x20000000  /* of a kernel older than ours; never set */

/* Counts. */
typedef natural_t mach_port_urefs_t;	   /* user references of one right under one name */
typedef integer_t mach_port_delta_t;	   /* a change of user references */
typedef natural_t mach_port_seqno_t;	   /* messages received from the port so far, mod 2^32 */
typedef unsigned int mach_port_mscount_t;  /* send rights made from the receive right, mod 2^32 */
typedef unsigned int mach_port_msgcount_t; /* messages */
typedef unsigned int mach_port_rights_t;   /* rights that exist, in all tasks and messages */

/* What the holder of a receive right can learn about its port: mach_port_get_receive_status. */
typedef struct mach_port_status {
	mach_port_name_t mps_pset;	   /* the set it is in, or MACH_PORT_NULL */
	mach_port_seqno_t mps_seqno;	   /* sequence number of the next message received */
	mach_port_mscount_t mps_mscount;   /* make-send count */
	mach_port_msgcount_t mps_qlimit;   /* most messages that queue before senders block */
	mach_port_msgcount_t mps_msgcount; /* messages queued */
	mach_port_rights_t mps_sorights;   /* send-once rights that exist */
	boolean_t mps_srights;		   /* do send rights exist? */
	boolean_t mps_pdrequest;	   /* is a port-destroyed notification asked for? */
	boolean_t mps_nsrequest;	   /* is a no-senders notification asked for? */
} mach_port_status_t;

#define MACH_PORT_QLIMIT_DEFAULT ((mach_port_msgcount_t)5)
#define MACH_PORT_QLIMIT_MAX	 ((mach_port_msgcount_t)16)

/* Kinds of kernel object behind a port, as far as user programs name them. */
#define MACH_PORT_KTYPE_NONE	    0
#define MACH_PORT_KTYPE_USER_DEVICE 28

#endif
