/* SPDX-License-Identifier: MIT */
#include <mach/mach_port.h>
#include <portunus/port.h>

#include "client/target.h"
#include "kernel/after.h"
#include "kernel/memory.h"
#include "kernel/name.h"
#include "kernel/port.h"
#include "platform/usercopy.h"

/* The contracts are in <mach/mach_port.h> and <portunus/port.h>. Each call makes sure that it can write its results, asks its task, and writes
 * them; what a task does then is in kernel/call.c. What programs do to their own task all the time is done at once. */

/* ---- names */

/* The answer is one number, which is stored in *result. */
static kern_return_t call_for_number(ipc_space_t task, const struct call *call, natural_t *result)
{
	struct answer answer;
	kern_return_t r;

	if (!result_is_writable(result, sizeof *result))
		return KERN_INVALID_ADDRESS;
	r = target_call(task, call, &answer);
	if (!r)
		*result = (natural_t)answer.numbers[0];
	return r;
}

kern_return_t mach_port_allocate(ipc_space_t task, mach_port_right_t right, mach_port_name_t *name)
{
	struct task *own = target_own(task);
	mach_port_name_t number;
	kern_return_t r;

	usercopy_renew();
	if (!own)
		return call_for_number(task, CALL_OF(CALL_PORT_ALLOCATE, right), name);
	if (!result_is_writable(name, sizeof *name))
		return KERN_INVALID_ADDRESS;
	r = name_allocate(own->space, right, &number);
	if (!r)
		*name = number;
	return r;
}

kern_return_t mach_port_allocate_name(ipc_space_t task, mach_port_right_t right, mach_port_name_t name)
{
	return target_call(task, CALL_OF(CALL_PORT_ALLOCATE_NAME, right, name), NULL);
}

kern_return_t mach_port_deallocate(ipc_space_t task, mach_port_name_t name)
{
	struct task *own = target_own(task);

	if (!own)
		return target_call(task, CALL_OF(CALL_PORT_DEALLOCATE, name), NULL);
	return target_settled(name_deallocate(own->space, name));
}

kern_return_t mach_port_destroy(ipc_space_t task, mach_port_name_t name)
{
	return target_call(task, CALL_OF(CALL_PORT_DESTROY, name), NULL);
}

kern_return_t mach_port_rename(ipc_space_t task, mach_port_name_t old_name, mach_port_name_t new_name)
{
	return target_call(task, CALL_OF(CALL_PORT_RENAME, old_name, new_name), NULL);
}

kern_return_t mach_port_type(ipc_space_t task, mach_port_name_t name, mach_port_type_t *ptype)
{
	return call_for_number(task, CALL_OF(CALL_PORT_TYPE, name), ptype);
}

kern_return_t mach_port_get_refs(ipc_space_t task, mach_port_name_t name, mach_port_right_t right,
				 mach_port_urefs_t *refs)
{
	return call_for_number(task, CALL_OF(CALL_PORT_GET_REFS, name, right), refs);
}

kern_return_t mach_port_mod_refs(ipc_space_t task, mach_port_name_t name, mach_port_right_t right,
				 mach_port_delta_t delta)
{
	struct task *own = target_own(task);

	if (!own)
		return target_call(task, CALL_OF(CALL_PORT_MOD_REFS, name, right, (uint32_t)delta), NULL);
	return target_settled(name_mod_refs(own->space, name, right, delta));
}

kern_return_t mach_port_move_member(ipc_space_t task, mach_port_name_t member, mach_port_name_t after)
{
	return target_call(task, CALL_OF(CALL_PORT_MOVE_MEMBER, member, after), NULL);
}

/* ---- arrays of names */

static natural_t *result_array(struct memory *array, mach_msg_type_number_t *n)
{
	*n = (mach_msg_type_number_t)(array->size / sizeof(natural_t));
	return memory_give(array, thread_self()->task);
}

kern_return_t mach_port_names(ipc_space_t task, mach_port_name_array_t *names, mach_msg_type_number_t *namesCnt,
			      mach_port_type_array_t *types, mach_msg_type_number_t *typesCnt)
{
	struct answer answer;
	kern_return_t r;

	if (!result_is_writable(names, sizeof *names) || !result_is_writable(namesCnt, sizeof *namesCnt) ||
	    !result_is_writable(types, sizeof *types) || !result_is_writable(typesCnt, sizeof *typesCnt))
		return KERN_INVALID_ADDRESS;
	r = target_call(task, CALL_OF(CALL_PORT_NAMES), &answer);
	if (r)
		return r;
	*names = result_array(&answer.arrays[0], namesCnt);
	*types = result_array(&answer.arrays[1], typesCnt);
	return KERN_SUCCESS;
}

kern_return_t mach_port_get_set_status(ipc_space_t task, mach_port_name_t name, mach_port_name_array_t *members,
				       mach_msg_type_number_t *membersCnt)
{
	struct answer answer;
	kern_return_t r;

	if (!result_is_writable(members, sizeof *members) || !result_is_writable(membersCnt, sizeof *membersCnt))
		return KERN_INVALID_ADDRESS;
	r = target_call(task, CALL_OF(CALL_PORT_GET_SET_STATUS, name), &answer);
	if (!r)
		*members = result_array(&answer.arrays[0], membersCnt);
	return r;
}

/* ---- receive rights */

kern_return_t mach_port_set_qlimit(ipc_space_t task, mach_port_name_t name, mach_port_msgcount_t qlimit)
{
	return target_call(task, CALL_OF(CALL_PORT_SET_QLIMIT, name, qlimit), NULL);
}

/* Mach's limit is checked where its call is performed (kernel/call.c), so that it also binds who asks by message. */
kern_return_t portunus_port_set_qlimit(mach_port_name_t name, mach_port_msgcount_t limit)
{
	struct thread *caller = thread_self();
	struct after after;
	struct port *port;
	kern_return_t r;

	thread_check_terminated(caller);
	remote_look();
	if (limit > PORTUNUS_PORT_QLIMIT_MAX)
		return KERN_INVALID_VALUE;
	r = name_lock_receive(caller->task->space, name, &port);
	if (r)
		return r;
	after_init(&after);
	port_set_qlimit_locked(port, limit, &after);
	lock_drop(&port->lock);
	after_run(&after);
	remote_settle();
	return KERN_SUCCESS;
}

kern_return_t mach_port_set_mscount(ipc_space_t task, mach_port_name_t name, mach_port_mscount_t mscount)
{
	return target_call(task, CALL_OF(CALL_PORT_SET_MSCOUNT, name, mscount), NULL);
}

kern_return_t mach_port_set_seqno(ipc_space_t task, mach_port_name_t name, mach_port_seqno_t seqno)
{
	return target_call(task, CALL_OF(CALL_PORT_SET_SEQNO, name, seqno), NULL);
}

kern_return_t mach_port_set_protected_payload(ipc_space_t task, mach_port_name_t name, rpc_uintptr_t payload)
{
	return target_call(task, CALL_OF(CALL_PORT_SET_PAYLOAD, name, payload), NULL);
}

kern_return_t mach_port_clear_protected_payload(ipc_space_t task, mach_port_name_t name)
{
	return target_call(task, CALL_OF(CALL_PORT_CLEAR_PAYLOAD, name), NULL);
}

kern_return_t mach_port_get_receive_status(ipc_space_t task, mach_port_name_t name, mach_port_status_t *status)
{
	struct answer answer;
	const uint64_t *n = answer.numbers;
	kern_return_t r;

	if (!result_is_writable(status, sizeof *status))
		return KERN_INVALID_ADDRESS;
	remote_look_thoroughly();
	r = target_call(task, CALL_OF(CALL_PORT_GET_RECEIVE_STATUS, name), &answer);
	if (r)
		return r;
	*status = (mach_port_status_t){
		.mps_pset = (mach_port_name_t)n[0],
		.mps_seqno = (mach_port_seqno_t)n[1],
		.mps_mscount = (mach_port_mscount_t)n[2],
		.mps_qlimit = (mach_port_msgcount_t)n[3],
		.mps_msgcount = (mach_port_msgcount_t)n[4],
		.mps_sorights = (mach_port_rights_t)n[5],
		.mps_srights = (boolean_t)n[6],
		.mps_pdrequest = (boolean_t)n[7],
		.mps_nsrequest = (boolean_t)n[8],
	};
	return KERN_SUCCESS;
}

kern_return_t mach_port_get_srights(ipc_space_t task, mach_port_name_t name, mach_port_rights_t *srights)
{
	remote_look_thoroughly();
	return call_for_number(task, CALL_OF(CALL_PORT_GET_SRIGHTS, name), srights);
}

/* ---- rights between tasks */

kern_return_t mach_port_insert_right(ipc_space_t task, mach_port_name_t name, mach_port_t poly,
				     mach_msg_type_name_t polyPoly)
{
	return target_call_with(task, CALL_OF(CALL_PORT_INSERT_RIGHT, name), poly, polyPoly, NULL);
}

kern_return_t mach_port_extract_right(ipc_space_t task, mach_port_name_t name, mach_msg_type_name_t msgt_name,
				      mach_port_t *poly, mach_msg_type_name_t *polyPoly)
{
	struct answer answer;
	mach_port_name_t number;
	kern_return_t r;

	if (!result_is_writable(poly, sizeof *poly) || !result_is_writable(polyPoly, sizeof *polyPoly))
		return KERN_INVALID_ADDRESS;
	r = target_call(task, CALL_OF(CALL_PORT_EXTRACT_RIGHT, name, msgt_name), &answer);
	if (!r)
		r = result_copyout(thread_self(), &answer.rights[0], &number);
	if (r)
		return r;
	*poly = number;
	*polyPoly = answer.rights[0].kind;
	return KERN_SUCCESS;
}

kern_return_t mach_port_request_notification(ipc_space_t task, mach_port_name_t name, mach_msg_id_t id,
					     mach_port_mscount_t sync, mach_port_t notify,
					     mach_msg_type_name_t notifyPoly, mach_port_t *previous)
{
	struct call *call = CALL_OF(CALL_PORT_REQUEST, name, (uint32_t)id, sync);
	struct answer answer;
	mach_port_name_t number;
	kern_return_t r;

	if (!result_is_writable(previous, sizeof *previous))
		return KERN_INVALID_ADDRESS;
	r = target_call_with(task, call, notify, notifyPoly, &answer);
	if (!r)
		r = result_copyout(thread_self(), &answer.rights[0], &number);
	if (!r)
		*previous = number;
	return r;
}
