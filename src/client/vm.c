/* SPDX-License-Identifier: MIT */
#include <mach.h>
#include <time.h>

#include "client/target.h"
#include "kernel/kernel.h"
#include "kernel/memory.h"
#include "kernel/object.h"
#include "kernel/port.h"
#include "platform/pages.h"
#include "platform/usercopy.h"

vm_size_t vm_page_size = 4096;

/* Before any code of the program runs. */
__attribute__((constructor(101))) static void vm_init(void)
{
	vm_page_size = page_size();
}

kern_return_t vm_allocate(vm_task_t target_task, vm_address_t *address, vm_size_t size, boolean_t anywhere)
{
	struct answer answer;
	kern_return_t r;

	usercopy_renew();
	if (!result_is_writable(address, sizeof *address))
		return KERN_INVALID_ADDRESS;
	r = target_call(target_task, CALL_OF(CALL_VM_ALLOCATE, *address, size, anywhere != 0), &answer);
	if (!r)
		*address = answer.numbers[0];
	return r;
}

kern_return_t vm_deallocate(vm_task_t target_task, vm_address_t address, vm_size_t size)
{
	return target_own(target_task) ? memory_deallocate(address, size)
				       : target_call(target_task, CALL_OF(CALL_VM_DEALLOCATE, address, size), NULL);
}

kern_return_t host_get_time(host_t host, time_value_t *current_time)
{
	struct object *object;
	struct timespec now;
	kern_return_t r;

	if (!result_is_writable(current_time, sizeof *current_time))
		return KERN_INVALID_ADDRESS;
	r = object_lock(thread_self()->task->space, host, OBJECT_HOST, &object);
	if (r)
		return r == KERN_INVALID_ARGUMENT ? KERN_INVALID_HOST : r;
	lock_drop(&object->port->lock);
	clock_gettime(CLOCK_REALTIME, &now);
	current_time->seconds = now.tv_sec;
	current_time->microseconds = (integer_t)(now.tv_nsec / 1000);
	return KERN_SUCCESS;
}
