/* SPDX-License-Identifier: MIT */
#include "client/target.h"

#include "kernel/callmsg.h"
#include "kernel/exchange.h"
#include "kernel/port.h"
#include "kernel/right.h"
#include "platform/usercopy.h"

bool target_is_always_sent_to;

/* ---- asking by message */

kern_return_t target_ask_by_message(struct thread *caller, struct right *dest, const struct call *call,
				    struct answer *answer)
{
	const struct right nobody = { NULL, RIGHT_NONE };
	struct message *request = call_request(dest, &nobody, call), *m;
	mach_msg_return_t r;

	if (!request) {
		right_destroy(dest);
		call_discard(call);
		return MACH_SEND_NO_BUFFER;
	}
	r = exchange(caller, request, &m);
	if (!r)
		return call_read_answer(m, call->op, answer);
	thread_check_terminated(caller);
	return r == MACH_RCV_INTERRUPTED || r == MACH_SEND_INTERRUPTED ? MACH_RCV_PORT_DIED : r;
}

/* ---- targets */

static bool port_is_sent_to(const struct port *p)
{
	return port_is_proxy(p) || (target_is_always_sent_to && p->where == PORT_IN_KERNEL);
}

kern_return_t target_open(struct thread *caller, task_t name, struct right *dest)
{
	thread_check_terminated(caller);
	if (right_copyin(caller->task->space, name, MACH_MSG_TYPE_COPY_SEND, dest))
		return MACH_SEND_INVALID_DEST;
	if (right_is_valid(dest) && !port_is_dead(dest->port))
		return KERN_SUCCESS;
	right_destroy(dest);
	return MACH_SEND_INVALID_DEST;
}

kern_return_t target_ask(struct thread *caller, struct right *dest, const struct call *call, struct answer *answer)
{
	kern_return_t r;

	if (port_is_sent_to(dest->port))
		return target_ask_by_message(caller, dest, call, answer);
	r = call_port(dest->port, call, answer);
	right_destroy(dest);
	remote_settle();
	return r;
}

kern_return_t target_call(task_t name, const struct call *call, struct answer *answer)
{
	struct task *own = target_own(name);
	struct right dest;
	kern_return_t r;

	if (own) {
		r = call_perform(own, call, answer);
		remote_settle();
		return r;
	}
	r = target_open(thread_self(), name, &dest);
	return r ? r : target_ask(thread_self(), &dest, call, answer);
}

kern_return_t target_call_with(task_t name, struct call *call, mach_port_name_t argument,
			       mach_msg_type_name_t disposition, struct answer *answer)
{
	struct thread *caller = thread_self();
	struct task *own = target_own(name);
	struct right dest = { NULL, RIGHT_SEND }, right;
	kern_return_t r = own ? KERN_SUCCESS : target_open(caller, name, &dest);

	if (r)
		return r;
	if (MACH_MSG_TYPE_PORT_ANY(disposition)) {
		r = argument_copyin(caller, argument, disposition, &right);
		call->rights = &right;
		call->n_rights = 1;
	}
	if (r) {
		right_destroy(&dest);
		return r;
	}
	r = own ? call_perform(own, call, answer) : target_ask(caller, &dest, call, answer);
	remote_settle();
	return r;
}

/* ---- arguments and results */

bool result_is_writable(void *pointer, size_t size)
{
	return user_writable(pointer, 1) && user_writable((char *)pointer + size - 1, 1);
}

kern_return_t argument_copyin(struct thread *caller, mach_port_name_t name, mach_msg_type_name_t disposition,
			      struct right *right)
{
	*right = (struct right){ name == MACH_PORT_DEAD ? PORT_DEAD : NULL, right_kind_of(disposition) };
	if (!MACH_PORT_VALID(name))
		return KERN_SUCCESS;
	switch (right_copyin(caller->task->space, name, disposition, right)) {
	case KERN_SUCCESS:
		return KERN_SUCCESS;
	case KERN_RESOURCE_SHORTAGE:
		return MACH_SEND_NO_BUFFER;
	default:
		return MACH_SEND_INVALID_RIGHT;
	}
}

kern_return_t result_copyout(struct thread *caller, struct right *right, mach_port_name_t *name)
{
	kern_return_t r = right_copyout(caller->task->space, right, name);

	if (r) {
		right_destroy(right);
		*name = MACH_PORT_NULL;
	}
	remote_settle();
	return r;
}
