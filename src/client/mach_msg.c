/* SPDX-License-Identifier: MIT */
#include <mach/message.h>

#include "inspect/trace.h"
#include "kernel/copyin.h"
#include "kernel/copyout.h"
#include "kernel/message.h"
#include "kernel/receive.h"
#include "kernel/remote.h"
#include "kernel/send.h"
#include "kernel/space.h"
#include "kernel/task.h"
#include "kernel/thread.h"
#include "kernel/trailer.h"
#include "platform/deadline.h"
#include "platform/usercopy.h"

/* A time-out as the kernel wants it: NULL does not wait at all. */
static const struct deadline *timeout_to_deadline(bool has_timeout, mach_msg_timeout_t ms, bool wants_interrupts,
						  struct deadline *deadline)
{
	if (has_timeout && ms == 0)
		return NULL;
	if (has_timeout)
		*deadline = deadline_after_ms(ms);
	else
		*deadline = wants_interrupts ? deadline_far() : deadline_never();
	return deadline;
}

/* MACH_SEND_NOTIFY without a time-out does not wait either. */
static const struct deadline *send_deadline(mach_msg_option_t option, mach_msg_timeout_t ms, struct deadline *deadline)
{
	if ((option & (MACH_SEND_TIMEOUT | MACH_SEND_NOTIFY)) == MACH_SEND_NOTIFY)
		return NULL;
	return timeout_to_deadline(option & MACH_SEND_TIMEOUT, ms, option & MACH_SEND_INTERRUPT, deadline);
}

static mach_msg_return_t send_attempt(struct thread *thread, mach_msg_header_t *msg, mach_msg_option_t option,
				      mach_msg_size_t size, const struct deadline *deadline, mach_port_name_t notify)
{
	struct message *m;
	mach_msg_return_t r;
	uint64_t bytes;

	r = copyin(thread->task->space, msg, size, option & MACH_SEND_CANCEL, notify, &m);
	if (r)
		return r;
	bytes = message_bytes(m);
	r = send(thread, m, option, deadline, notify);
	if (r == MACH_MSG_SUCCESS || r == MACH_SEND_WILL_NOTIFY) {
		traffic_note_sent(&thread->traffic, bytes);
		return r;
	}
	if (r == MACH_SEND_INVALID_MEMORY)
		return r; /* it is gone, as if copyin had found out */
	return copyout_back(thread->task, m, msg, r);
}

static mach_msg_return_t send_part(struct thread *thread, mach_msg_header_t *msg, mach_msg_option_t option,
				   mach_msg_size_t size, mach_msg_timeout_t timeout, mach_port_name_t notify)
{
	struct deadline storage;
	const struct deadline *deadline = send_deadline(option, timeout, &storage);
	mach_msg_return_t r;

	/* An interrupted send has given back what it took, ready to be sent again. */
	do {
		r = send_attempt(thread, msg, option, size, deadline, notify);
		thread_check_terminated(thread);
	} while (r == MACH_SEND_INTERRUPTED && !(option & MACH_SEND_INTERRUPT));
	return r;
}

static mach_msg_return_t receive_attempt(struct thread *thread, mach_msg_header_t *msg, mach_msg_option_t option,
					 mach_msg_size_t size, mach_port_name_t name, const struct deadline *deadline,
					 mach_port_name_t notify)
{
	mach_msg_size_t trailer = trailer_size(option);
	struct receive_limits limits = {
		.max_size = size < trailer ? 0 : size - trailer,
		.leaves_large = option & MACH_RCV_LARGE,
		.buffer_is_bad = size && !user_writable(msg, 1),
	};
	mach_msg_size_t needed;
	struct message *m;
	mach_msg_return_t r;

	r = receive(thread, name, &limits, deadline, &m, &needed);
	if (r == MACH_RCV_TOO_LARGE && !user_write(&msg->msgh_size, &needed, sizeof needed))
		return MACH_RCV_INVALID_DATA;
	if (r)
		return r;
	traffic_note_received(&thread->traffic, message_bytes(m));
	if (m->size > limits.max_size)
		return copyout_header(m, msg, size, MACH_RCV_TOO_LARGE);
	return copyout(thread->task, m, msg, option, notify);
}

static mach_msg_return_t receive_part(struct thread *thread, mach_msg_header_t *msg, mach_msg_option_t option,
				      mach_msg_size_t size, mach_port_name_t name, mach_msg_timeout_t timeout,
				      mach_port_name_t notify)
{
	struct deadline storage;
	const struct deadline *deadline =
		timeout_to_deadline(option & MACH_RCV_TIMEOUT, timeout, option & MACH_RCV_INTERRUPT, &storage);
	mach_msg_return_t r;

	if (!trailer_exists(option))
		return MACH_RCV_INVALID_TRAILER;
	do {
		r = receive_attempt(thread, msg, option, size, name, deadline, notify);
		thread_check_terminated(thread);
	} while (r == MACH_RCV_INTERRUPTED && !(option & MACH_RCV_INTERRUPT));
	return r;
}

/* ---- the same while somebody traces; kept apart, so that the others have nothing of it but a test */

__attribute__((noinline, cold)) static mach_msg_return_t send_part_traced(struct thread *thread, mach_msg_header_t *msg,
									  mach_msg_option_t option,
									  mach_msg_size_t size,
									  mach_msg_timeout_t timeout,
									  mach_port_name_t notify)
{
	struct trace_record record;
	mach_msg_return_t r;

	trace_record_init(&record, PORTUNUS_TRACE_SENT);
	trace_record_message(&record, msg, size);
	r = send_part(thread, msg, option, size, timeout, notify);
	trace_record_write(&record, r);
	return r;
}

__attribute__((noinline, cold)) static void receive_part_traced(const mach_msg_header_t *msg, mach_port_name_t name,
								mach_msg_return_t r)
{
	struct trace_record record;

	if (r && (r & ~MACH_MSG_MASK) != MACH_RCV_BODY_ERROR)
		return;
	trace_record_init(&record, PORTUNUS_TRACE_RECEIVED);
	record.event.port = name;
	trace_record_message(&record, msg, 0);
	trace_record_write(&record, r);
}

/* ---- the call */

mach_msg_return_t mach_msg(mach_msg_header_t *msg, mach_msg_option_t option, mach_msg_size_t send_size,
			   mach_msg_size_t rcv_size, mach_port_name_t rcv_name, mach_msg_timeout_t timeout,
			   mach_port_name_t notify)
{
	struct thread *thread = thread_self();
	mach_msg_return_t r = MACH_MSG_SUCCESS;

	thread_check_terminated(thread);
	remote_look();
	if (option & MACH_SEND_MSG)
		r = trace_is_on() ? send_part_traced(thread, msg, option, send_size, timeout, notify)
				  : send_part(thread, msg, option, send_size, timeout, notify);
	if (!r && (option & MACH_RCV_MSG)) {
		r = receive_part(thread, msg, option, rcv_size, rcv_name, timeout, notify);
		if (trace_is_on()) /* perhaps only since it began */
			receive_part_traced(msg, rcv_name, r);
	}
	remote_settle();
	return r;
}

mach_msg_return_t mach_msg_trap(mach_msg_header_t *msg, mach_msg_option_t option, mach_msg_size_t send_size,
				mach_msg_size_t rcv_size, mach_port_name_t rcv_name, mach_msg_timeout_t timeout,
				mach_port_name_t notify)
{
	return mach_msg(msg, option | MACH_SEND_INTERRUPT | MACH_RCV_INTERRUPT, send_size, rcv_size, rcv_name, timeout,
			notify);
}
