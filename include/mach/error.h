/* SPDX-License-Identifier: MIT */
#ifndef PORTUNUS_MACH_ERROR_H
#define PORTUNUS_MACH_ERROR_H

#include <mach/kern_return.h>

/* How an error code is put together.
 *   bits   26-31   25-14       0-13
 *          system  subsystem   code
 * The codes of the kernel are system 0, those of messages system 4 with subsystem 0 (send) and 1 (receive). MIG's codes
 * are small negative numbers and stand outside this scheme. */
typedef kern_return_t mach_error_t;
typedef mach_error_t (*mach_error_fn_t)(void);

#define err_none    ((mach_error_t)0)
#define ERR_SUCCESS ((mach_error_t)0)

#define err_system(x)	  ((mach_error_t)((((unsigned int)(x)) & 0x3f) << 26))
#define err_sub(x)	  ((((mach_error_t)(x)) & 0xfff) << 14)
#define err_get_system(e) ((((unsigned int)(e)) >> 26) & 0x3f)
#define err_get_sub(e)	  ((((unsigned int)(e)) >> 14) & 0xfff)
#define err_get_code(e)	  (((unsigned int)(e)) & 0x3fff)

#define system_emask (err_system(0x3f))
#define sub_emask    (err_sub(0xfff))
#define code_emask   (0x3fff)

#define err_kern       err_system(0x00) /* the kernel */
#define err_us	       err_system(0x01) /* user space libraries */
#define err_server     err_system(0x02) /* user space servers */
#define err_ipc	       err_system(0x03) /* the IPC that came before this one */
#define err_mach_ipc   err_system(0x04) /* messages */
#define err_bootstrap  err_system(0x05) /* the bootstrap server */
#define err_local      err_system(0x3e) /* what a program makes up for itself */
#define err_ipc_compat err_system(0x3f) /* compatibility with the IPC that came before */
#define err_max_system 0x3f

#define unix_err(errno) (err_kern | err_sub(3) | (errno))

#endif
