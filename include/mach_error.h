/* SPDX-License-Identifier: MIT */
#ifndef PORTUNUS_MACH_ERROR_MESSAGES_H
#define PORTUNUS_MACH_ERROR_MESSAGES_H

#include <mach/error.h>
#include <portunus/export.h>

PORTUNUS_BEGIN_DECLS

/* mach_error_string - what an error code means
 *   error_value   a kern_return_t, mach_msg_return_t, MIG code or mach_error_t
 * Returns a sentence with the code's symbol in parentheses. It belongs to the library: a constant, or, for a code with
 * special bits or an unknown one, a buffer of the calling thread that its next such call overwrites. Never NULL.
 * Source: ours; the texts of a Mach C library differ. */
PORTUNUS_EXPORT const char *mach_error_string(mach_error_t error_value);

/* mach_error_type - where an error code comes from
 *   error_value   as above
 * Returns a constant such as "(os/kern)", "(ipc/send)", "(ipc/rcv)", "(ipc/mig)", or "(?/?)" if nobody knows. */
PORTUNUS_EXPORT const char *mach_error_type(mach_error_t error_value);

/* mach_error - say on standard error what went wrong, as perror does
 *   str           what was being done
 *   error_value   what came of it
 * Writes one line: str, the type, the sentence and the number. */
PORTUNUS_EXPORT void mach_error(const char *str, mach_error_t error_value);

PORTUNUS_END_DECLS

#endif
