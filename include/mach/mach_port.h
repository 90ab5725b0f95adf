/* SPDX-License-Identifier: MIT */
#ifndef PORTUNUS_MACH_MACH_PORT_H
#define PORTUNUS_MACH_MACH_PORT_H

#include <mach/kern_return.h>
#include <mach/mach_types.h>
#include <mach/message.h>
#include <mach/port.h>
#include <mach/std_types.h>
#include <portunus/export.h>

/* Calls on a name space.
 * task is a send right to the task whose name space is meant: mach_task_self() or another's. A name argument means
 * something in that name space; a right that is handed over (notify, poly) or back (previous, poly) is one of the caller.
 * Threads: any. A call either does all that it says or, except where it says otherwise, nothing. A task of another
 * process is asked by a message, and the call waits for its answer.
 *
 * Every call here also answers
 *   KERN_INVALID_TASK        task is a right to something else, or its task is being destroyed
 *   MACH_SEND_INVALID_DEST   task is no send right of the caller: null, dead, unknown; a terminated task is dead
 *   KERN_INVALID_ADDRESS     a result pointer that is null or cannot be written
 *   KERN_RESOURCE_SHORTAGE   no memory
 *   MACH_SEND_NO_BUFFER      no memory for a message to another process
 *   MIG_SERVER_DIED          the other process ended before it answered
 * Arrays that a call returns are out-of-line memory of the caller: vm_deallocate them, unless they have no elements.
 *
 * In the lists below a name that denotes nothing (unused, MACH_PORT_NULL, MACH_PORT_DEAD) is KERN_INVALID_NAME, and
 * a name that denotes a right of another kind is KERN_INVALID_RIGHT, wherever these stand without a reason. */

PORTUNUS_BEGIN_DECLS

/* mach_port_names - all names of a name space, and what they denote
 *   names, types        set to two arrays of the caller; the i-th type belongs to the i-th name
 *   namesCnt, typesCnt  set to their lengths, which are equal
 * A snapshot, in no order. Types are as mach_port_type gives them. Source: probe 02-names. */
PORTUNUS_EXPORT kern_return_t mach_port_names(ipc_space_t task, mach_port_name_array_t *names,
					      mach_msg_type_number_t *namesCnt, mach_port_type_array_t *types,
					      mach_msg_type_number_t *typesCnt);

/* mach_port_type - what a name denotes
 *   ptype   set to MACH_PORT_TYPE_* bits: the rights, and DNREQUEST, MAREQUEST for requests that wait
 * A send right whose port has died is reported, and from then on is, a dead name.
 *   KERN_INVALID_NAME
 * Source: probe 02-names. */
PORTUNUS_EXPORT kern_return_t mach_port_type(ipc_space_t task, mach_port_name_t name, mach_port_type_t *ptype);

/* mach_port_rename - give a right another name
 *   old_name   its name    new_name   a name not in use
 * Everything goes along: references, requests, membership, queue. The old name is free afterwards.
 *   KERN_INVALID_VALUE   new_name is MACH_PORT_NULL or MACH_PORT_DEAD; checked first
 *   KERN_NAME_EXISTS     new_name is in use, even by old_name itself; checked before old_name
 *   KERN_INVALID_NAME    old_name denotes nothing
 * Source: probe 02-names. */
PORTUNUS_EXPORT kern_return_t mach_port_rename(ipc_space_t task, mach_port_name_t old_name, mach_port_name_t new_name);

/* mach_port_allocate_name - make a port, a port set or a dead name, under a name of one's choice
 *   right   MACH_PORT_RIGHT_RECEIVE, _PORT_SET or _DEAD_NAME
 *   name    any name not in use
 * What it makes is as from mach_port_allocate.
 *   KERN_INVALID_VALUE   another right, or name is MACH_PORT_NULL or MACH_PORT_DEAD
 *   KERN_NAME_EXISTS     name is in use
 * Source: probe 02-names. */
PORTUNUS_EXPORT kern_return_t mach_port_allocate_name(ipc_space_t task, mach_port_right_t right, mach_port_name_t name);

/* mach_port_allocate - make a port, a port set or a dead name
 *   right   MACH_PORT_RIGHT_RECEIVE, _PORT_SET or _DEAD_NAME
 *   name    set to its name, chosen by the kernel; names that became free are used again
 * A new port has no send rights, an empty queue with limit MACH_PORT_QLIMIT_DEFAULT, and all counts zero; a new set has
 * no members; each has one user reference, which is the task's to give up.
 *   KERN_INVALID_VALUE   another right
 * Source: probe 02-names. */
PORTUNUS_EXPORT kern_return_t mach_port_allocate(ipc_space_t task, mach_port_right_t right, mach_port_name_t *name);

/* mach_port_destroy - give up all that a name denotes, whatever it is and however many references it has
 * A receive right that dies takes the port with it; the members of a set leave it and live on; a send-once right yields
 * its notification. A request that waits on the name gets port-deleted. The name is free afterwards.
 *   KERN_INVALID_NAME
 * Source: probes 02-names, 11-notify. */
PORTUNUS_EXPORT kern_return_t mach_port_destroy(ipc_space_t task, mach_port_name_t name);

/* mach_port_deallocate - give up one user reference of a send right, send-once right or dead name, whichever it is by now
 * With the last one the right goes, and with it the name, unless the name denotes a receive right as well.
 *   KERN_INVALID_NAME
 *   KERN_INVALID_RIGHT   only a receive right or a port set
 * Source: probe 02-names. */
PORTUNUS_EXPORT kern_return_t mach_port_deallocate(ipc_space_t task, mach_port_name_t name);

/* mach_port_get_refs - count the user references of a right
 *   right   the kind of right
 *   refs    set to their number; 0 if the name denotes other kinds only
 *   KERN_INVALID_VALUE   right is not below MACH_PORT_RIGHT_NUMBER; checked first
 *   KERN_INVALID_NAME
 * Source: probe 03-refs. */
PORTUNUS_EXPORT kern_return_t mach_port_get_refs(ipc_space_t task, mach_port_name_t name, mach_port_right_t right,
						 mach_port_urefs_t *refs);

/* mach_port_mod_refs - change the number of user references of a right
 *   right   the kind of right
 *   delta   what to add; below zero, what to take away
 * Only send rights and dead names can have more than one. At zero the right goes: as in mach_port_destroy, but only this
 * kind of right. A send right that outlives the receive right of its name becomes a dead name.
 *   KERN_INVALID_VALUE    right is not below MACH_PORT_RIGHT_NUMBER (checked first); or delta would take more than there
 *                         are, or add to a right that can only be held once
 *   KERN_UREFS_OVERFLOW   more than 65534 of a send right or 65535 of a dead name
 *   KERN_INVALID_NAME, KERN_INVALID_RIGHT
 * Source: probe 03-refs. */
PORTUNUS_EXPORT kern_return_t mach_port_mod_refs(ipc_space_t task, mach_port_name_t name, mach_port_right_t right,
						 mach_port_delta_t delta);

/* mach_port_set_qlimit - how many messages queue before senders block
 *   name     a receive right
 *   qlimit   0 to MACH_PORT_QLIMIT_MAX; with 0, a sender waits even for an empty queue
 * Raising it lets senders that wait go on; lowering it discards nothing. Send-once rights ignore it.
 *   KERN_INVALID_VALUE   above MACH_PORT_QLIMIT_MAX; checked first
 *   KERN_INVALID_NAME, KERN_INVALID_RIGHT
 * Source: probe 05-queue. */
PORTUNUS_EXPORT kern_return_t mach_port_set_qlimit(ipc_space_t task, mach_port_name_t name,
						   mach_port_msgcount_t qlimit);

/* mach_port_set_mscount - set the make-send count of a receive right
 *   mscount   any number
 *   KERN_INVALID_NAME, KERN_INVALID_RIGHT
 * Source: probe 05-queue. */
PORTUNUS_EXPORT kern_return_t mach_port_set_mscount(ipc_space_t task, mach_port_name_t name,
						    mach_port_mscount_t mscount);

/* mach_port_set_seqno - set the sequence number that the next message received from a port will bear
 *   seqno   any number
 *   KERN_INVALID_NAME, KERN_INVALID_RIGHT
 * Source: probe 05-queue. */
PORTUNUS_EXPORT kern_return_t mach_port_set_seqno(ipc_space_t task, mach_port_name_t name, mach_port_seqno_t seqno);

/* mach_port_get_receive_status - what the holder of a receive right can learn about its port
 *   status   filled in (<mach/port.h>)
 *   KERN_INVALID_NAME, KERN_INVALID_RIGHT
 * Source: probes 05-queue, 11-notify. */
PORTUNUS_EXPORT kern_return_t mach_port_get_receive_status(ipc_space_t task, mach_port_name_t name,
							   mach_port_status_t *status);

/* mach_port_get_srights - count the send rights to a port that exist, in all tasks and messages
 *   name      a receive right
 *   srights   set to their number
 *   KERN_INVALID_NAME, KERN_INVALID_RIGHT
 * Source: probes 02-names, 13-tasks. */
PORTUNUS_EXPORT kern_return_t mach_port_get_srights(ipc_space_t task, mach_port_name_t name,
						    mach_port_rights_t *srights);

/* mach_port_get_set_status - the members of a port set
 *   members      set to an array of the caller: the names of the receive rights, ascending
 *   membersCnt   set to its length
 *   KERN_INVALID_NAME, KERN_INVALID_RIGHT
 * Source: probe 07-portsets. */
PORTUNUS_EXPORT kern_return_t mach_port_get_set_status(ipc_space_t task, mach_port_name_t name,
						       mach_port_name_array_t *members,
						       mach_msg_type_number_t *membersCnt);

/* mach_port_move_member - put a port into a port set, or take it out
 *   member   a receive right
 *   after    a port set, or MACH_PORT_NULL: out of the one it is in
 * A port is in at most one set and leaves its former one in the same step; it joins the end of the set's order. A thread
 * that waits on the port itself gets MACH_RCV_PORT_CHANGED.
 *   KERN_INVALID_NAME    member or after
 *   KERN_INVALID_RIGHT   member is no receive right, or after no port set
 *   KERN_NOT_IN_SET      after is MACH_PORT_NULL and the port is in none
 * Source: probe 07-portsets. */
PORTUNUS_EXPORT kern_return_t mach_port_move_member(ipc_space_t task, mach_port_name_t member, mach_port_name_t after);

/* mach_port_request_notification - ask to hear of an event
 *   id          MACH_NOTIFY_DEAD_NAME (name: a send, receive or send-once right), MACH_NOTIFY_NO_SENDERS or
 *               MACH_NOTIFY_PORT_DESTROYED (name: a receive right)
 *   sync        DEAD_NAME: not 0 fires at once if the name is dead already; NO_SENDERS: fires at once if there are no
 *               send rights and the make-send count is at least this; PORT_DESTROYED: 0
 *   notify      where the notification goes; MACH_PORT_NULL takes the request back
 *   notifyPoly  what becomes of notify: MACH_MSG_TYPE_MOVE_SEND_ONCE or MACH_MSG_TYPE_MAKE_SEND_ONCE
 *   previous    set to the send-once right of the request this one takes the place of, the caller's now, or MACH_PORT_NULL
 * There is one request of each kind for a name (DEAD_NAME) or port (the others); a notification uses it up. The receive
 * right that a port-destroyed notification carries is alive. If the call fails after it took the right, that right is
 * used up: it yields a send-once notification.
 *   KERN_INVALID_VALUE        another id, or sync not 0 for PORT_DESTROYED
 *   KERN_INVALID_ARGUMENT     DEAD_NAME: name is dead and sync is 0, or is dead and notify is null
 *   KERN_INVALID_CAPABILITY   notify is dead
 *   KERN_UREFS_OVERFLOW       DEAD_NAME fires at once, and the name's references are at their limit
 *   MIG_BAD_ARGUMENTS         notifyPoly makes a send right
 *   MACH_SEND_INVALID_RIGHT   notify is not what notifyPoly needs
 *   KERN_INVALID_NAME, KERN_INVALID_RIGHT
 * Source: probe 11-notify. */
PORTUNUS_EXPORT kern_return_t mach_port_request_notification(ipc_space_t task, mach_port_name_t name, mach_msg_id_t id,
							     mach_port_mscount_t sync, mach_port_t notify,
							     mach_msg_type_name_t notifyPoly, mach_port_t *previous);

/* mach_port_insert_right - give a task a right under a chosen name
 *   name       the name there: free, or the one that already denotes the port
 *   poly       a right of the caller
 *   polyPoly   what becomes of it: MACH_MSG_TYPE_MOVE_*, COPY_SEND, MAKE_SEND or MAKE_SEND_ONCE
 * A send right that the task has under this name gains a reference. A call that fails after it took the right uses it
 * up: a receive right moved so dies, a send right made so counts as made.
 *   KERN_INVALID_VALUE        polyPoly is no disposition, or name is MACH_PORT_NULL or MACH_PORT_DEAD
 *   KERN_NAME_EXISTS          name denotes something else, or the right is send-once and name is in use
 *   KERN_RIGHT_EXISTS         the task has a right to the port under another name
 *   KERN_UREFS_OVERFLOW       the send right has as many references as it can
 *   KERN_INVALID_CAPABILITY   poly is null, or dead
 *   MACH_SEND_INVALID_RIGHT   the caller holds no right poly of the kind that polyPoly needs
 * Source: probe 04-insert-extract. */
PORTUNUS_EXPORT kern_return_t mach_port_insert_right(ipc_space_t task, mach_port_name_t name, mach_port_t poly,
						     mach_msg_type_name_t polyPoly);

/* mach_port_extract_right - take a right out of a task
 *   name        its name there
 *   msgt_name   how: MACH_MSG_TYPE_MOVE_*, COPY_SEND, MAKE_SEND or MAKE_SEND_ONCE
 *   poly        set to its name in the caller's name space; a dead name there arrives as MACH_PORT_DEAD
 *   polyPoly    set to MACH_MSG_TYPE_PORT_RECEIVE, _PORT_SEND or _PORT_SEND_ONCE
 * The caller owns the right, or one more reference of it.
 *   KERN_INVALID_VALUE   msgt_name is no disposition
 *   KERN_INVALID_NAME, KERN_INVALID_RIGHT
 * Source: probe 04-insert-extract. */
PORTUNUS_EXPORT kern_return_t mach_port_extract_right(ipc_space_t task, mach_port_name_t name,
						      mach_msg_type_name_t msgt_name, mach_port_t *poly,
						      mach_msg_type_name_t *polyPoly);

/* mach_port_set_protected_payload - a number that received messages bear in place of the port's name
 *   name      a receive right
 *   payload   any number; typically the address of what the server keeps for the port
 * Messages that are received from now on, those queued already among them, have MACH_MSG_TYPE_PROTECTED_PAYLOAD as their
 * local disposition and the payload in msgh_protected_payload. Moving the receive right clears it.
 *   KERN_INVALID_NAME, KERN_INVALID_RIGHT
 * Source: probe 14-payload. */
PORTUNUS_EXPORT kern_return_t mach_port_set_protected_payload(ipc_space_t task, mach_port_name_t name,
							      rpc_uintptr_t payload);

/* mach_port_clear_protected_payload - messages bear the port's name again
 *   name   a receive right, with or without a payload
 *   KERN_INVALID_NAME, KERN_INVALID_RIGHT
 * Source: probe 14-payload. */
PORTUNUS_EXPORT kern_return_t mach_port_clear_protected_payload(ipc_space_t task, mach_port_name_t name);

PORTUNUS_END_DECLS

#endif
