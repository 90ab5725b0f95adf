/* SPDX-License-Identifier: MIT */
#include "client/target.h"

#include <stdlib.h>
#include <string.h>

#include "kernel/memory.h"
#include "kernel/right.h"
#include "platform/usercopy.h"

kern_return_t target_open_other(struct target *target, task_t name, kern_return_t wrong)
{
	kern_return_t r = task_lookup(target->caller->task, name, &target->task);

	if (r)
		return r == KERN_INVALID_TASK ? wrong : r;
	target->space = target->task->space;
	return KERN_SUCCESS;
}

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

kern_return_t target_open_with(struct target *target, task_t name, kern_return_t wrong, mach_port_name_t argument,
			       mach_msg_type_name_t disposition, struct right *right)
{
	kern_return_t opened = target_open(target, name, wrong), taken;

	if (opened == MACH_SEND_INVALID_DEST)
		return opened;
	taken = argument_copyin(target->caller, argument, disposition, right);
	if (!taken && opened)
		right_destroy(right);
	if (taken && !opened)
		target_close(target);
	return taken ? taken : opened;
}

kern_return_t result_copyout(struct thread *caller, struct right *right, mach_port_name_t *name)
{
	kern_return_t r = right_copyout(caller->task->space, right, name);

	if (r) {
		right_destroy(right);
		*name = MACH_PORT_NULL;
	}
	return r;
}

kern_return_t result_array(struct thread *caller, void *bytes, size_t size, vm_address_t *address)
{
	struct memory memory = memory_new(size);
	kern_return_t r = KERN_SUCCESS;

	if (size && !memory.address)
		r = KERN_RESOURCE_SHORTAGE;
	else if (size)
		memcpy(memory.address, bytes, size);
	free(bytes);
	*address = r ? 0 : (vm_address_t)memory_give(&memory, caller->task);
	return r;
}
