/* SPDX-License-Identifier: MIT */
/* What MIG's stubs call. */
#include "mig.h"

#include <pthread.h>
#include <string.h>

#include <mach.h>

/* A right of the task in which the thread acts, or MACH_PORT_NULL; the states are in mig.h. A stub that runs in a signal
 * handler, on top of a call of the same thread, would share it: such handlers must not make calls. */
static _Thread_local mach_port_t reply_port;

/* The child of a fork is a fresh task: there the name may soon denote something else, so it is not even destroyed. */
static void reply_port_lost(void)
{
	reply_port = MACH_PORT_NULL;
}

__attribute__((constructor)) static void watch_forks(void)
{
	pthread_atfork(NULL, NULL, reply_port_lost);
}

void mig_reply_port_forget(void)
{
	mach_port_t port = reply_port;

	if (port == MACH_PORT_NULL)
		return;
	reply_port = MACH_PORT_NULL;
	mach_port_mod_refs(mach_task_self(), port, MACH_PORT_RIGHT_RECEIVE, -1);
}

mach_port_t mig_get_reply_port(void)
{
	if (reply_port == MACH_PORT_NULL)
		reply_port = mach_reply_port();
	return reply_port;
}

void mig_put_reply_port(mach_port_t port)
{
	(void)port; /* it stays with the thread */
}

/* port is read from the message of the failed call. A send that gave the message back has put there the send-once right
 * made from our port; only a right of exactly that kind is taken for it. */
void mig_dealloc_reply_port(mach_port_t port)
{
	mach_port_type_t type;

	if (MACH_PORT_VALID(port) && port != reply_port &&
	    mach_port_type(mach_task_self(), port, &type) == KERN_SUCCESS && type == MACH_PORT_TYPE_SEND_ONCE)
		mach_port_deallocate(mach_task_self(), port);
	mig_reply_port_forget();
}

void mig_init(void *first)
{
	(void)first;
}

void mig_allocate(vm_address_t *addr, vm_size_t size)
{
	if (vm_allocate(mach_task_self(), addr, size, TRUE) != KERN_SUCCESS)
		*addr = 0;
}

void mig_deallocate(vm_address_t addr, vm_size_t size)
{
	if (addr != 0)
		vm_deallocate(mach_task_self(), addr, size);
}

vm_size_t mig_strncpy(char *dst, const char *src, vm_size_t len)
{
	vm_size_t n;

	if (len == 0)
		return 0;
	n = strnlen(src, len - 1);
	memcpy(dst, src, n);
	memset(dst + n, 0, len - n);
	return n;
}

void mig_reply_setup(const mach_msg_header_t *request, mach_msg_header_t *reply)
{
	mig_reply_header_t *r = (mig_reply_header_t *)reply;

	memset(r, 0, sizeof *r);
	r->Head.msgh_bits = MACH_MSGH_BITS(MACH_MSGH_BITS_REMOTE(request->msgh_bits), 0);
	r->Head.msgh_size = sizeof *r;
	r->Head.msgh_remote_port = request->msgh_remote_port;
	r->Head.msgh_local_port = MACH_PORT_NULL;
	r->Head.msgh_id = request->msgh_id + 100;
	r->RetCodeType.msgt_name = MACH_MSG_TYPE_INTEGER_32;
	r->RetCodeType.msgt_size = 32;
	r->RetCodeType.msgt_number = 1;
	r->RetCodeType.msgt_inline = TRUE;
	r->RetCode = MIG_BAD_ID;
}
