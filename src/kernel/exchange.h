/* SPDX-License-Identifier: MIT */
#pragma once

/* A request of the kernel's own and its answer, to a kernel object that may be in another process. */

#include <mach/message.h>

struct message;
struct thread;

/* Sends @request, of which dest is set, and waits for the answer, at a port that is new and has no name: it takes no
 * place in anybody's name space, and nobody else can send to it. Takes @request. A signal does not end it.
 *   MACH_MSG_SUCCESS      *answer is the caller's; a send-once notification if the request was dropped
 *   MACH_SEND_NO_BUFFER   no memory
 *   MACH_SEND_INTERRUPTED, MACH_RCV_INTERRUPTED   the calling thread or its task has ended */
mach_msg_return_t exchange(struct thread *caller, struct message *request, struct message **answer);
