/* SPDX-License-Identifier: MIT */
/* Which results mean that something was wanting: memory, descriptors, threads. */
#ifndef TESTS_FAULTS_WANT_H
#define TESTS_FAULTS_WANT_H

#include <mach.h>
#include <stdbool.h>

static inline bool means_want(kern_return_t r)
{
	switch (r & ~MACH_MSG_MASK) {
	case MACH_RCV_HEADER_ERROR:
	case MACH_RCV_BODY_ERROR:
		return (r & (MACH_MSG_IPC_KERNEL | MACH_MSG_VM_KERNEL)) &&
		       !(r & (MACH_MSG_IPC_SPACE | MACH_MSG_VM_SPACE));
	case MACH_SEND_TIMED_OUT:
		return (r & MACH_MSG_IPC_KERNEL) && !(r & MACH_MSG_IPC_SPACE);
	default:
		return r == KERN_RESOURCE_SHORTAGE || r == MACH_SEND_NO_BUFFER || r == MACH_SEND_NO_NOTIFY;
	}
}

#endif
