/* SPDX-License-Identifier: MIT */
#include <mach/mach_port.h>
#include <mach/mig_errors.h>
#include <mach/notify.h>
#include <stdlib.h>

#include "client/target.h"
#include "kernel/after.h"
#include "kernel/memory.h"
#include "kernel/name.h"
#include "kernel/notify.h"
#include "kernel/port.h"
#include "kernel/portset.h"
#include "kernel/right.h"
#include "platform/usercopy.h"

/* The contracts are in <mach/mach_port.h>. Each call finds its task, works on that task's name space through kernel/name.h
 * (or right.h, notify.h), and writes results only after it has made sure that it can. */

#define OPEN(target, task) \
	do { \
		kern_return_t open_result = target_open(&(target), (task), KERN_INVALID_TASK); \
		if (open_result) \
			return open_result; \
	} while (0)

kern_return_t mach_port_allocate(ipc_space_t task, mach_port_right_t right, mach_port_name_t *name)
{
	struct target target;
	mach_port_name_t number;
	kern_return_t r;

	usercopy_renew();
	if (!result_is_writable(name, sizeof *name))
		return KERN_INVALID_ADDRESS;
	OPEN(target, task);
	r = name_allocate(target.space, right, &number);
	target_close(&target);
	if (!r)
		*name = number;
	return r;
}

kern_return_t mach_port_allocate_name(ipc_space_t task, mach_port_right_t right, mach_port_name_t name)
{
	struct target target;
	kern_return_t r;

	OPEN(target, task);
	r = name_allocate_as(target.space, right, name);
	target_close(&target);
	return r;
}

kern_return_t mach_port_deallocate(ipc_space_t task, mach_port_name_t name)
{
	struct target target;
	kern_return_t r;

	OPEN(target, task);
	r = name_deallocate(target.space, name);
	target_close(&target);
	return r;
}

kern_return_t mach_port_destroy(ipc_space_t task, mach_port_name_t name)
{
	struct target target;
	kern_return_t r;

	OPEN(target, task);
	r = name_destroy(target.space, name);
	target_close(&target);
	return r;
}

kern_return_t mach_port_rename(ipc_space_t task, mach_port_name_t old_name, mach_port_name_t new_name)
{
	struct target target;
	kern_return_t r;

	OPEN(target, task);
	r = name_rename(target.space, old_name, new_name);
	target_close(&target);
	return r;
}

kern_return_t mach_port_type(ipc_space_t task, mach_port_name_t name, mach_port_type_t *ptype)
{
	struct target target;
	mach_port_type_t type;
	kern_return_t r;

	if (!result_is_writable(ptype, sizeof *ptype))
		return KERN_INVALID_ADDRESS;
	OPEN(target, task);
	r = name_get_type(target.space, name, &type);
	target_close(&target);
	if (!r)
		*ptype = type;
	return r;
}

kern_return_t mach_port_get_refs(ipc_space_t task, mach_port_name_t name, mach_port_right_t right,
				 mach_port_urefs_t *refs)
{
	struct target target;
	mach_port_urefs_t urefs;
	kern_return_t r;

	if (!result_is_writable(refs, sizeof *refs))
		return KERN_INVALID_ADDRESS;
	OPEN(target, task);
	r = name_get_refs(target.space, name, right, &urefs);
	target_close(&target);
	if (!r)
		*refs = urefs;
	return r;
}

kern_return_t mach_port_mod_refs(ipc_space_t task, mach_port_name_t name, mach_port_right_t right,
				 mach_port_delta_t delta)
{
	struct target target;
	kern_return_t r;

	OPEN(target, task);
	r = name_mod_refs(target.space, name, right, delta);
	target_close(&target);
	return r;
}

kern_return_t mach_port_move_member(ipc_space_t task, mach_port_name_t member, mach_port_name_t after)
{
	struct target target;
	kern_return_t r;

	OPEN(target, task);
	r = name_move_member(target.space, member, after);
	target_close(&target);
	return r;
}

kern_return_t mach_port_names(ipc_space_t task, mach_port_name_array_t *names, mach_msg_type_number_t *namesCnt,
			      mach_port_type_array_t *types, mach_msg_type_number_t *typesCnt)
{
	vm_address_t names_address = 0, types_address = 0;
	struct target target;
	mach_port_name_t *numbers;
	mach_port_type_t *kinds;
	uint32_t n;
	kern_return_t r;

	if (!result_is_writable(names, sizeof *names) || !result_is_writable(namesCnt, sizeof *namesCnt) ||
	    !result_is_writable(types, sizeof *types) || !result_is_writable(typesCnt, sizeof *typesCnt))
		return KERN_INVALID_ADDRESS;
	OPEN(target, task);
	r = name_list(target.space, &numbers, &kinds, &n);
	target_close(&target);
	if (r)
		return r;
	r = result_array(target.caller, numbers, n * sizeof *numbers, &names_address);
	if (r) {
		free(kinds);
		return r;
	}
	r = result_array(target.caller, kinds, n * sizeof *kinds, &types_address);
	if (r) {
		if (n)
			memory_deallocate(names_address, n * sizeof *numbers);
		return r;
	}
	*names = (mach_port_name_array_t)names_address;
	*types = (mach_port_type_array_t)types_address;
	*namesCnt = *typesCnt = n;
	return KERN_SUCCESS;
}

kern_return_t mach_port_get_set_status(ipc_space_t task, mach_port_name_t name, mach_port_name_array_t *members,
				       mach_msg_type_number_t *membersCnt)
{
	struct target target;
	mach_port_name_t *numbers;
	vm_address_t address;
	uint32_t n;
	kern_return_t r;

	if (!result_is_writable(members, sizeof *members) || !result_is_writable(membersCnt, sizeof *membersCnt))
		return KERN_INVALID_ADDRESS;
	OPEN(target, task);
	r = name_get_set_status(target.space, name, &numbers, &n);
	target_close(&target);
	if (!r)
		r = result_array(target.caller, numbers, n * sizeof *numbers, &address);
	if (r)
		return r;
	*members = (mach_port_name_array_t)address;
	*membersCnt = n;
	return KERN_SUCCESS;
}

/* ---- receive rights */

/* On success the port is locked and the target still open. */
static kern_return_t receive_right_open(struct target *target, ipc_space_t task, mach_port_name_t name,
					struct port **port)
{
	kern_return_t r = target_open(target, task, KERN_INVALID_TASK);

	if (r)
		return r;
	r = name_lock_receive(target->space, name, port);
	if (r)
		target_close(target);
	return r;
}

static void receive_right_close(struct target *target, struct port *port)
{
	lock_drop(&port->lock);
	target_close(target);
}

kern_return_t mach_port_set_qlimit(ipc_space_t task, mach_port_name_t name, mach_port_msgcount_t qlimit)
{
	struct target target;
	struct after after;
	struct port *port;
	kern_return_t r;

	OPEN(target, task);
	r = qlimit > MACH_PORT_QLIMIT_MAX ? KERN_INVALID_VALUE : name_lock_receive(target.space, name, &port);
	if (r) {
		target_close(&target);
		return r;
	}
	after_init(&after);
	port_set_qlimit_locked(port, qlimit, &after);
	receive_right_close(&target, port);
	after_run(&after);
	return KERN_SUCCESS;
}

kern_return_t mach_port_set_mscount(ipc_space_t task, mach_port_name_t name, mach_port_mscount_t mscount)
{
	struct target target;
	struct port *port;
	kern_return_t r = receive_right_open(&target, task, name, &port);

	if (r)
		return r;
	port->mscount = mscount;
	receive_right_close(&target, port);
	return KERN_SUCCESS;
}

kern_return_t mach_port_set_seqno(ipc_space_t task, mach_port_name_t name, mach_port_seqno_t seqno)
{
	struct target target;
	struct port *port;
	kern_return_t r = receive_right_open(&target, task, name, &port);

	if (r)
		return r;
	port->seqno = seqno;
	receive_right_close(&target, port);
	return KERN_SUCCESS;
}

kern_return_t mach_port_set_protected_payload(ipc_space_t task, mach_port_name_t name, rpc_uintptr_t payload)
{
	struct target target;
	struct port *port;
	kern_return_t r = receive_right_open(&target, task, name, &port);

	if (r)
		return r;
	port->has_payload = true;
	port->payload = payload;
	receive_right_close(&target, port);
	return KERN_SUCCESS;
}

kern_return_t mach_port_clear_protected_payload(ipc_space_t task, mach_port_name_t name)
{
	struct target target;
	struct port *port;
	kern_return_t r = receive_right_open(&target, task, name, &port);

	if (r)
		return r;
	port->has_payload = false;
	receive_right_close(&target, port);
	return KERN_SUCCESS;
}

/* The set's name changes only with its space locked, by mach_port_rename; a stale one is as good as one a moment ago. */
static mach_port_name_t port_set_name_locked(struct port *port)
{
	return port->set ? atomic_load_explicit(&port->set->name, memory_order_relaxed) : MACH_PORT_NULL;
}

kern_return_t mach_port_get_receive_status(ipc_space_t task, mach_port_name_t name, mach_port_status_t *status)
{
	mach_port_status_t now;
	struct target target;
	struct port *port;
	kern_return_t r;

	if (!result_is_writable(status, sizeof *status))
		return KERN_INVALID_ADDRESS;
	r = receive_right_open(&target, task, name, &port);
	if (r)
		return r;
	now = (mach_port_status_t){
		.mps_pset = port_set_name_locked(port),
		.mps_seqno = port->seqno,
		.mps_mscount = port->mscount,
		.mps_qlimit = port->qlimit,
		.mps_msgcount = port->n_queued,
		.mps_sorights = port->n_sorights,
		.mps_srights = port->n_srights > 0,
		.mps_pdrequest = port->port_destroyed != NULL,
		.mps_nsrequest = port->no_senders != NULL,
	};
	receive_right_close(&target, port);
	*status = now;
	return KERN_SUCCESS;
}

kern_return_t mach_port_get_srights(ipc_space_t task, mach_port_name_t name, mach_port_rights_t *srights)
{
	struct target target;
	struct port *port;
	mach_port_rights_t n;
	kern_return_t r;

	if (!result_is_writable(srights, sizeof *srights))
		return KERN_INVALID_ADDRESS;
	r = receive_right_open(&target, task, name, &port);
	if (r)
		return r;
	n = port->n_srights;
	receive_right_close(&target, port);
	*srights = n;
	return KERN_SUCCESS;
}

/* ---- rights between tasks */

kern_return_t mach_port_insert_right(ipc_space_t task, mach_port_name_t name, mach_port_t poly,
				     mach_msg_type_name_t polyPoly)
{
	struct target target;
	struct right right;
	kern_return_t r;

	if (!MACH_MSG_TYPE_PORT_ANY(polyPoly)) {
		OPEN(target, task);
		target_close(&target);
		return KERN_INVALID_VALUE;
	}
	r = target_open_with(&target, task, KERN_INVALID_TASK, poly, polyPoly, &right);
	if (r)
		return r;
	r = MACH_PORT_VALID(name) ? right_copyout_as(target.space, &right, name) : KERN_INVALID_VALUE;
	if (r)
		right_destroy(&right);
	target_close(&target);
	return r;
}

kern_return_t mach_port_extract_right(ipc_space_t task, mach_port_name_t name, mach_msg_type_name_t msgt_name,
				      mach_port_t *poly, mach_msg_type_name_t *polyPoly)
{
	struct target target;
	struct right right;
	mach_port_name_t number;
	kern_return_t r;

	if (!result_is_writable(poly, sizeof *poly) || !result_is_writable(polyPoly, sizeof *polyPoly))
		return KERN_INVALID_ADDRESS;
	OPEN(target, task);
	if (MACH_MSG_TYPE_PORT_ANY(msgt_name))
		r = right_copyin(target.space, name, msgt_name, &right);
	else
		r = KERN_INVALID_VALUE;
	target_close(&target);
	if (!r)
		r = result_copyout(target.caller, &right, &number);
	if (r)
		return r;
	*poly = number;
	*polyPoly = right.kind;
	return KERN_SUCCESS;
}

/* The notify right is gone, whatever the answer. */
static kern_return_t request_with_right(struct target *target, mach_port_name_t name, mach_msg_id_t id,
					mach_port_mscount_t sync, struct right *notify, struct right *previous)
{
	kern_return_t r;

	if (notify->kind != RIGHT_SEND_ONCE)
		r = MIG_BAD_ARGUMENTS;
	else if (notify->port == PORT_DEAD)
		r = KERN_INVALID_CAPABILITY;
	else
		r = notify_request(target->space, name, id, sync, notify, previous);
	if (r)
		right_destroy(notify);
	return r;
}

kern_return_t mach_port_request_notification(ipc_space_t task, mach_port_name_t name, mach_msg_id_t id,
					     mach_port_mscount_t sync, mach_port_t notify,
					     mach_msg_type_name_t notifyPoly, mach_port_t *previous)
{
	struct right right, old;
	struct target target;
	mach_port_name_t number;
	kern_return_t r;

	if (!result_is_writable(previous, sizeof *previous))
		return KERN_INVALID_ADDRESS;
	if (!MACH_MSG_TYPE_PORT_ANY(notifyPoly)) {
		OPEN(target, task);
		target_close(&target);
		return MIG_BAD_ARGUMENTS;
	}
	r = target_open_with(&target, task, KERN_INVALID_TASK, notify, notifyPoly, &right);
	if (r)
		return r;
	r = request_with_right(&target, name, id, sync, &right, &old);
	target_close(&target);
	if (!r)
		r = result_copyout(target.caller, &old, &number);
	if (!r)
		*previous = number;
	return r;
}
