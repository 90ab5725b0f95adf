/* SPDX-License-Identifier: MIT */
#ifndef PORTUNUS_MACH_MIG_SUPPORT_H
#define PORTUNUS_MACH_MIG_SUPPORT_H

#include <string.h>

#include <mach/mach_types.h>
#include <mach/message.h>
#include <portunus/export.h>

/* What the stubs that MIG writes call. Programs rarely do. */

/* Stubs wrap their checks in this, and define it unless it is there. Those in the packed layout compare msgh_size with sums
 * of a 12-bit field, which C makes signed: gcc's -Wextra would find that in every one of them. */
#if defined PORTUNUS_MIG_ABI_PACKED4 && defined __GNUC__ && !defined __clang__ && !defined __cplusplus
#define mig_unlikely(condition) \
	__extension__({ \
		_Pragma("GCC diagnostic push") _Pragma("GCC diagnostic ignored \"-Wsign-compare\""); \
		__builtin_expect(!!(condition), 0); \
		_Pragma("GCC diagnostic pop") \
	})
#endif

PORTUNUS_BEGIN_DECLS

/* mig_init - nothing to prepare here; kept because C libraries for Mach call it at their start
 *   first   ignored. Source: GNU. */
PORTUNUS_EXPORT void mig_init(void *first);

/* mig_allocate - memory for out-of-line data
 *   addr   set to the address of fresh zeroed memory, or to 0 if there is none
 *   size   bytes
 * The memory is the caller's; free it with mig_deallocate or vm_deallocate. Source: GNU. */
PORTUNUS_EXPORT void mig_allocate(vm_address_t *addr, vm_size_t size);

/* mig_deallocate - free memory of mig_allocate, vm_allocate or a received message
 *   addr   where it begins; 0 is fine
 *   size   bytes, as received. Source: GNU. */
PORTUNUS_EXPORT void mig_deallocate(vm_address_t addr, vm_size_t size);

/* mig_get_reply_port - the calling thread's port for replies
 * Returns the name of a receive right, or MACH_PORT_NULL if none could be made. It belongs to the library, which keeps
 * one for each thread and makes it when first asked; a thread that ends, or goes to another task, leaves none behind.
 * Source: GNU. */
PORTUNUS_EXPORT mach_port_t mig_get_reply_port(void);

/* mig_put_reply_port - a call that used mig_get_reply_port is over, and the port is as good as before
 *   port   what mig_get_reply_port returned. Source: GNU. */
PORTUNUS_EXPORT void mig_put_reply_port(mach_port_t port);

/* mig_dealloc_reply_port - a call failed, so that a late reply may still come to the port: destroy it
 *   port   what mig_get_reply_port returned, or what the failed call made of it
 * The right that mig_get_reply_port gave out is destroyed; the next call of it makes another. A send that timed out gives
 * the message back, and port is then the send-once right that it would have carried: that goes, too. Source: GNU; giving
 * up the send-once right is ours. */
PORTUNUS_EXPORT void mig_dealloc_reply_port(mach_port_t port);

/* mig_strncpy - copy a string into a fixed field
 *   dst   the field    src   the string    len   bytes of the field
 * Copies at most len - 1 bytes of the string, always ends it (unless len is 0) and clears the rest of the field, so that
 * a message carries nothing of what was there before. Returns the length of what is in dst now, without the final zero.
 * Source: GNU; ours always ends the string. */
PORTUNUS_EXPORT vm_size_t mig_strncpy(char *dst, const char *src, vm_size_t len);

/* mig_reply_setup - a reply that says MIG_BAD_ID, ready for a demultiplexer to hand on or fill in
 *   request   a received message    reply   room for a mig_reply_header_t
 * The reply goes to the request's reply right with its disposition, and has the request's id plus 100. No right
 * changes hands. Source: GNU. */
PORTUNUS_EXPORT void mig_reply_setup(const mach_msg_header_t *request, mach_msg_header_t *reply);

PORTUNUS_END_DECLS

#endif
