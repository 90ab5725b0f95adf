/* SPDX-License-Identifier: MIT */
#include "kernel/call.h"

#include <mach/mig_errors.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/after.h"
#include "kernel/name.h"
#include "kernel/notify.h"
#include "kernel/port.h"
#include "kernel/portset.h"
#include "kernel/space.h"
#include "kernel/thread.h"

/* ---- names */

static kern_return_t perform_on_name(struct task *task, const struct call *call, struct answer *answer)
{
	struct space *space = task->space;
	const uint64_t *n = call->numbers;
	uint32_t value;
	kern_return_t r;

	switch (call->op) {
	case CALL_PORT_ALLOCATE_NAME:
		return name_allocate_as(space, (mach_port_right_t)n[0], (mach_port_name_t)n[1]);
	case CALL_PORT_DEALLOCATE:
		return name_deallocate(space, (mach_port_name_t)n[0]);
	case CALL_PORT_DESTROY:
		return name_destroy(space, (mach_port_name_t)n[0]);
	case CALL_PORT_RENAME:
		return name_rename(space, (mach_port_name_t)n[0], (mach_port_name_t)n[1]);
	case CALL_PORT_MOD_REFS:
		return name_mod_refs(space, (mach_port_name_t)n[0], (mach_port_right_t)n[1], (mach_port_delta_t)n[2]);
	case CALL_PORT_MOVE_MEMBER:
		return name_move_member(space, (mach_port_name_t)n[0], (mach_port_name_t)n[1]);
	case CALL_PORT_ALLOCATE:
		r = name_allocate(space, (mach_port_right_t)n[0], &value);
		break;
	case CALL_PORT_TYPE:
		r = name_get_type(space, (mach_port_name_t)n[0], &value);
		break;
	default: /* CALL_PORT_GET_REFS */
		r = name_get_refs(space, (mach_port_name_t)n[0], (mach_port_right_t)n[1], &value);
	}
	if (!r)
		answer->numbers[0] = value;
	return r;
}

/* Numbers in memory that can be handed out, instead of @numbers, which were malloc'ed. */
static kern_return_t array_from(uint32_t *numbers, uint32_t n, struct memory *array)
{
	*array = memory_new(n * sizeof *numbers);
	if (array->address)
		memcpy(array->address, numbers, n * sizeof *numbers);
	free(numbers);
	return n && !array->address ? KERN_RESOURCE_SHORTAGE : KERN_SUCCESS;
}

static kern_return_t perform_list(struct space *space, struct answer *answer)
{
	mach_port_name_t *names;
	mach_port_type_t *types;
	uint32_t n;
	kern_return_t r = name_list(space, &names, &types, &n);

	if (r)
		return r;
	r = array_from(names, n, &answer->arrays[0]);
	if (r) {
		free(types);
		return r;
	}
	r = array_from(types, n, &answer->arrays[1]);
	if (r)
		memory_drop(&answer->arrays[0]);
	return r;
}

static kern_return_t perform_listing(struct task *task, const struct call *call, struct answer *answer)
{
	mach_port_name_t *members;
	uint32_t n;
	kern_return_t r;

	if (call->op == CALL_PORT_NAMES)
		return perform_list(task->space, answer);
	r = name_get_set_status(task->space, (mach_port_name_t)call->numbers[0], &members, &n);
	return r ? r : array_from(members, n, &answer->arrays[0]);
}

/* ---- receive rights */

/* The set's name changes only with its space locked, by mach_port_rename; a stale one is as good as one a moment ago. */
static mach_port_name_t port_set_name_locked(struct port *port)
{
	return port->set ? atomic_load_explicit(&port->set->name, memory_order_relaxed) : MACH_PORT_NULL;
}

static void read_status_locked(struct port *port, uint64_t *numbers)
{
	numbers[0] = port_set_name_locked(port);
	numbers[1] = port->seqno;
	numbers[2] = port->mscount;
	numbers[3] = port->qlimit;
	numbers[4] = port->n_queued;
	numbers[5] = port->n_sorights;
	numbers[6] = port->n_srights > 0;
	numbers[7] = port->port_destroyed != NULL;
	numbers[8] = port->no_senders != NULL;
}

static void perform_on_port_locked(struct port *port, const struct call *call, struct answer *answer,
				   struct after *after)
{
	uint64_t value = call->numbers[1];

	switch (call->op) {
	case CALL_PORT_SET_QLIMIT:
		port_set_qlimit_locked(port, (uint32_t)value, after);
		break;
	case CALL_PORT_SET_MSCOUNT:
		port->mscount = (mach_port_mscount_t)value;
		break;
	case CALL_PORT_SET_SEQNO:
		port->seqno = (mach_port_seqno_t)value;
		break;
	case CALL_PORT_SET_PAYLOAD:
		port->has_payload = true;
		port->payload = value;
		break;
	case CALL_PORT_CLEAR_PAYLOAD:
		port->has_payload = false;
		break;
	case CALL_PORT_GET_RECEIVE_STATUS:
		read_status_locked(port, answer->numbers);
		break;
	default: /* CALL_PORT_GET_SRIGHTS */
		answer->numbers[0] = port->n_srights;
	}
}

static kern_return_t perform_on_port(struct task *task, const struct call *call, struct answer *answer)
{
	struct after after;
	struct port *port;
	kern_return_t r;

	if (call->op == CALL_PORT_SET_QLIMIT && call->numbers[1] > MACH_PORT_QLIMIT_MAX)
		return KERN_INVALID_VALUE;
	r = name_lock_receive(task->space, (mach_port_name_t)call->numbers[0], &port);
	if (r)
		return r;
	after_init(&after);
	perform_on_port_locked(port, call, answer, &after);
	lock_drop(&port->lock);
	after_run(&after);
	return KERN_SUCCESS;
}

/* ---- rights */

static kern_return_t perform_insert(struct task *task, const struct call *call, struct answer *answer)
{
	mach_port_name_t name = (mach_port_name_t)call->numbers[0];

	(void)answer;
	if (call->n_rights == 0 || !MACH_PORT_VALID(name))
		return KERN_INVALID_VALUE;
	return right_copyout_as(task->space, &call->rights[0], name);
}

static kern_return_t perform_extract(struct task *task, const struct call *call, struct answer *answer)
{
	mach_msg_type_name_t disposition = (mach_msg_type_name_t)call->numbers[1];

	if (!MACH_MSG_TYPE_PORT_ANY(disposition))
		return KERN_INVALID_VALUE;
	answer->n_rights = 1;
	return right_copyin(task->space, (mach_port_name_t)call->numbers[0], disposition, &answer->rights[0]);
}

static kern_return_t perform_request(struct task *task, const struct call *call, struct answer *answer)
{
	const struct right *notify = call->rights;

	if (call->n_rights == 0 || notify->kind != RIGHT_SEND_ONCE)
		return MIG_BAD_ARGUMENTS;
	if (notify->port == PORT_DEAD)
		return KERN_INVALID_CAPABILITY;
	answer->n_rights = 1;
	return notify_request(task->space, (mach_port_name_t)call->numbers[0], (mach_msg_id_t)call->numbers[1],
			      (mach_port_mscount_t)call->numbers[2], notify, &answer->rights[0]);
}

/* ---- tasks */

static kern_return_t perform_create(struct task *parent, struct answer *answer)
{
	struct task *child = task_new(parent);

	if (!child)
		return KERN_RESOURCE_SHORTAGE;
	answer->n_rights = 1;
	answer->rights[0] = object_make_send(&child->object);
	return KERN_SUCCESS;
}

static kern_return_t perform_setup_rights(struct task *task, const struct call *call)
{
	struct right *bootstrap = &call->rights[0];
	kern_return_t r = task_set_special(task, TASK_BOOTSTRAP_PORT, bootstrap);

	if (r)
		return r;
	bootstrap->port = NULL; /* taken, also if the rest fails */
	return task_register(task, bootstrap + 1, call->n_rights - 1);
}

static kern_return_t perform_setup(struct task *task, const struct call *call)
{
	kern_return_t r = perform_setup_rights(task, call);

	atomic_store(&task->is_set_up, true);
	return r;
}

static kern_return_t perform_on_task(struct task *task, const struct call *call, struct answer *answer)
{
	switch (call->op) {
	case CALL_TASK_CREATE:
		return perform_create(task, answer);
	case CALL_TASK_TERMINATE:
		return task_terminate_object(task);
	case CALL_TASK_GET_SPECIAL:
		answer->n_rights = 1;
		return task_get_special(task, (int)call->numbers[0], &answer->rights[0]);
	case CALL_TASK_SET_SPECIAL:
		return task_set_special(task, (int)call->numbers[0], &call->rights[0]);
	case CALL_TASK_REGISTER:
		return task_register(task, call->rights, call->n_rights);
	case CALL_TASK_LOOKUP:
		answer->n_rights = task_get_registered(task, answer->rights);
		return KERN_SUCCESS;
	default: /* CALL_TASK_SETUP */
		return perform_setup(task, call);
	}
}

/* ---- memory */

static kern_return_t perform_on_memory(struct task *task, const struct call *call, struct answer *answer)
{
	vm_address_t address = call->numbers[0];
	vm_size_t size = call->numbers[1];
	kern_return_t r;

	if (call->op == CALL_VM_DEALLOCATE)
		return memory_deallocate(address, size);
	r = memory_allocate(task, &address, size, call->numbers[2] != 0);
	if (!r)
		answer->numbers[0] = address;
	return r;
}

/* ---- all of them */

#define OF_SPACE  .object = OBJECT_TASK, .wrong = KERN_INVALID_TASK
#define OF_TASK	  .object = OBJECT_TASK, .wrong = KERN_INVALID_ARGUMENT
#define OF_THREAD .object = OBJECT_THREAD, .wrong = KERN_INVALID_ARGUMENT

#define NUMBERS(n)	    .n_numbers = (n)
#define RIGHTS(min, max, k) .min_rights = (min), .max_rights = (max), .kind = (k)
#define ONE_RIGHT(k)	    RIGHTS(1, 1, k)
#define ARRAYS(n)	    .n_arrays = (n)

static const struct call_form forms[CALL_OPS] = {
	[CALL_PORT_ALLOCATE] = { perform_on_name, OF_SPACE, { NUMBERS(1) }, { NUMBERS(1) } },
	[CALL_PORT_ALLOCATE_NAME] = { perform_on_name, OF_SPACE, { NUMBERS(2) } },
	[CALL_PORT_DEALLOCATE] = { perform_on_name, OF_SPACE, { NUMBERS(1) } },
	[CALL_PORT_DESTROY] = { perform_on_name, OF_SPACE, { NUMBERS(1) } },
	[CALL_PORT_RENAME] = { perform_on_name, OF_SPACE, { NUMBERS(2) } },
	[CALL_PORT_TYPE] = { perform_on_name, OF_SPACE, { NUMBERS(1) }, { NUMBERS(1) } },
	[CALL_PORT_GET_REFS] = { perform_on_name, OF_SPACE, { NUMBERS(2) }, { NUMBERS(1) } },
	[CALL_PORT_MOD_REFS] = { perform_on_name, OF_SPACE, { NUMBERS(3) } },
	[CALL_PORT_MOVE_MEMBER] = { perform_on_name, OF_SPACE, { NUMBERS(2) } },
	[CALL_PORT_NAMES] = { perform_listing, OF_SPACE, { NUMBERS(0) }, { ARRAYS(2) } },
	[CALL_PORT_GET_SET_STATUS] = { perform_listing, OF_SPACE, { NUMBERS(1) }, { ARRAYS(1) } },
	[CALL_PORT_SET_QLIMIT] = { perform_on_port, OF_SPACE, { NUMBERS(2) } },
	[CALL_PORT_SET_MSCOUNT] = { perform_on_port, OF_SPACE, { NUMBERS(2) } },
	[CALL_PORT_SET_SEQNO] = { perform_on_port, OF_SPACE, { NUMBERS(2) } },
	[CALL_PORT_SET_PAYLOAD] = { perform_on_port, OF_SPACE, { NUMBERS(2), .wide = 1 << 1 } },
	[CALL_PORT_CLEAR_PAYLOAD] = { perform_on_port, OF_SPACE, { NUMBERS(1) } },
	[CALL_PORT_GET_RECEIVE_STATUS] = { perform_on_port, OF_SPACE, { NUMBERS(1) }, { NUMBERS(9) } },
	[CALL_PORT_GET_SRIGHTS] = { perform_on_port, OF_SPACE, { NUMBERS(1) }, { NUMBERS(1) } },
	[CALL_PORT_INSERT_RIGHT] = { perform_insert, OF_SPACE, { NUMBERS(1), RIGHTS(0, 1, RIGHT_NONE) } },
	[CALL_PORT_EXTRACT_RIGHT] = { perform_extract, OF_SPACE, { NUMBERS(2) }, { ONE_RIGHT(RIGHT_NONE) } },
	[CALL_PORT_REQUEST] = { perform_request,
				OF_SPACE,
				{ NUMBERS(3), RIGHTS(0, 1, RIGHT_NONE) },
				{ ONE_RIGHT(RIGHT_SEND_ONCE) } },
	[CALL_TASK_CREATE] = { perform_on_task, OF_SPACE, { NUMBERS(0) }, { ONE_RIGHT(RIGHT_SEND) } },
	[CALL_TASK_TERMINATE] = { perform_on_task, OF_TASK },
	[CALL_TASK_GET_SPECIAL] = { perform_on_task, OF_TASK, { NUMBERS(1) }, { ONE_RIGHT(RIGHT_SEND) } },
	[CALL_TASK_SET_SPECIAL] = { perform_on_task, OF_TASK, { NUMBERS(1), ONE_RIGHT(RIGHT_SEND) } },
	[CALL_TASK_REGISTER] = { perform_on_task, OF_TASK, { RIGHTS(0, TASK_REGISTERED_MAX, RIGHT_SEND) } },
	[CALL_TASK_LOOKUP] = { perform_on_task,
			       OF_TASK,
			       { NUMBERS(0) },
			       { RIGHTS(TASK_PORT_REGISTER_MAX, TASK_REGISTERED_MAX, RIGHT_SEND) } },
	[CALL_TASK_SETUP] = { perform_on_task, OF_TASK, { RIGHTS(1, CALL_RIGHTS_MAX, RIGHT_SEND) } },
	[CALL_VM_ALLOCATE] = { perform_on_memory,
			       OF_TASK,
			       { NUMBERS(3), .wide = 1 << 0 | 1 << 1 },
			       { NUMBERS(1), .wide = 1 << 0 } },
	[CALL_VM_DEALLOCATE] = { perform_on_memory, OF_TASK, { NUMBERS(2), .wide = 1 << 0 | 1 << 1 } },
	[CALL_THREAD_ABORT] = { NULL, OF_THREAD },
	[CALL_THREAD_TERMINATE] = { NULL, OF_THREAD },
};

const struct call_form *call_form(uint32_t op)
{
	return op > 0 && op < CALL_OPS ? &forms[op] : NULL;
}

void call_discard(const struct call *call)
{
	for (unsigned i = 0; i < call->n_rights; i++)
		right_destroy(&call->rights[i]);
}

void answer_discard(const struct call_form *form, struct answer *answer)
{
	for (unsigned i = 0; i < (form->gives.max_rights ? answer->n_rights : 0); i++)
		right_destroy(&answer->rights[i]);
	for (unsigned i = 0; i < form->gives.n_arrays; i++)
		memory_drop(&answer->arrays[i]);
}

kern_return_t call_perform(struct task *task, const struct call *call, struct answer *answer)
{
	const struct call_form *form = &forms[call->op];
	kern_return_t r = form->object == OBJECT_TASK ? form->perform(task, call, answer) : form->wrong;

	if (r)
		call_discard(call);
	return r;
}

/* A thread's memory is used again when it has ended, so this happens while its port is locked. */
static void call_thread_locked(struct thread *thread, enum call_op op)
{
	if (op == CALL_THREAD_TERMINATE)
		thread_kill(thread);
	else
		thread_interrupt(thread);
}

kern_return_t call_port(struct port *p, const struct call *call, struct answer *answer)
{
	const struct call_form *form = &forms[call->op];
	kern_return_t r = KERN_SUCCESS;
	struct task *task = NULL;

	lock_take(&p->lock);
	if (port_is_dead(p))
		r = MACH_SEND_INVALID_DEST;
	else if (p->where != PORT_IN_KERNEL || p->object->type != form->object)
		r = form->wrong;
	else if (form->object == OBJECT_THREAD)
		call_thread_locked(container_of(p->object, struct thread, object), call->op);
	else
		task = task_ref(container_of(p->object, struct task, object));
	lock_drop(&p->lock);
	if (r)
		call_discard(call);
	if (task) {
		r = call_perform(task, call, answer);
		task_unref(task);
	}
	return r;
}
