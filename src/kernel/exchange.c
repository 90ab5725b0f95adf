/* SPDX-License-Identifier: MIT */
#include "kernel/exchange.h"

#include "kernel/message.h"
#include "kernel/port.h"
#include "kernel/receive.h"
#include "kernel/send.h"
#include "kernel/task.h"
#include "kernel/thread.h"

/* Nobody needs the answer any more. */
static bool caller_has_ended(struct thread *caller)
{
	return atomic_load(&caller->is_terminated) || atomic_load(&caller->task->is_dead);
}

static struct right reply_right(struct port *reply)
{
	lock_take(&reply->lock);
	port_make_send_once_locked(reply);
	lock_drop(&reply->lock);
	return (struct right){ reply, RIGHT_SEND_ONCE };
}

static mach_msg_return_t request_send(struct thread *caller, struct message *request)
{
	const struct deadline never = deadline_never();
	mach_msg_return_t r;

	do
		r = send(caller, request, 0, &never, MACH_PORT_NULL);
	while (r == MACH_SEND_INTERRUPTED && !caller_has_ended(caller));
	if (r)
		message_destroy(request);
	return r;
}

static mach_msg_return_t answer_receive(struct thread *caller, struct port *reply, struct message **answer)
{
	mach_msg_return_t r;

	do
		r = receive_unnamed(caller, reply, answer);
	while (r == MACH_RCV_INTERRUPTED && !caller_has_ended(caller));
	return r;
}

mach_msg_return_t exchange(struct thread *caller, struct message *request, struct message **answer)
{
	struct port *reply = port_new();
	mach_msg_return_t r;

	if (!reply) {
		message_destroy(request);
		return MACH_SEND_NO_BUFFER;
	}
	request->reply = reply_right(reply);
	r = request_send(caller, request);
	if (!r)
		r = answer_receive(caller, reply, answer);
	port_destroy(reply);
	return r;
}
