/* SPDX-License-Identifier: MIT */
#pragma once

/* Calls (call.h) as messages: what travels when the task or thread that is asked lives in another process. The request
 * is an ordinary message to its port, the answer one to the reply right; whoever can send messages can make calls.
 *
 *   request   msgh_id CALL_MESSAGE_ID + op     body: numbers, rights
 *   answer    that + CALL_ANSWER_OFFSET        body: result, then if that is KERN_SUCCESS: numbers, rights, arrays
 *
 *   result    one MACH_MSG_TYPE_INTEGER_32 inline, as in every MIG reply
 *   numbers   as many MACH_MSG_TYPE_INTEGER_64 inline as the operation has; one of 32 bits is below 2^32
 *   rights    inline, all of one type, as many as the operation has; each may be null or dead
 *   arrays    one item each, MACH_MSG_TYPE_INTEGER_32 out of line; those of one answer have as many elements each
 *
 * Each is one item with a descriptor of the layout in use (<mach/message.h>), in this order, and nothing comes after
 * them. Items without an element are left out, but for arrays. How many numbers, rights and arrays an operation has is
 * told by enum call_op.
 *
 * What is not known is answered MIG_BAD_ID, what does not look like this MIG_BAD_ARGUMENTS, and has no effect but that the
 * rights it brought are destroyed; as are those of a call that fails. A request without a reply right is carried out, and
 * what it would have given is destroyed. A request to a port that has died, or whose process ends before it has answered,
 * shows as a send-once notification.
 *
 * Trust: a request is carried out for whoever has a send right to the port, as in Mach; of its bytes nothing is
 * believed. They are looked at in the message's own memory, which nobody else can change. */

#include <mach/message.h>

#include "kernel/call.h"

struct message;

#define CALL_MESSAGE_ID	   0x504f00
#define CALL_ANSWER_OFFSET 100

/* A request to @dest. Takes both rights, and those of the call, unless it returns NULL: no memory. */
struct message *call_request(const struct right *dest, const struct right *reply, const struct call *call);

/* What came to the reply right. Takes the message; returns what the call does, or
 *   MIG_SERVER_DIED      the reply right died
 *   MIG_REPLY_MISMATCH, MIG_TYPE_ERROR   it is no answer to that operation, or a malformed one */
kern_return_t call_read_answer(struct message *m, enum call_op op, struct answer *answer);

/* A message came for a kernel object: carries out what it asks for, in the calling thread, and answers. Takes it. Does not
 * wait for anybody; no lock may be held. */
void call_serve(struct message *request);
