/* SPDX-License-Identifier: MIT */
#ifndef PORTUNUS_MACH_KERN_RETURN_H
#define PORTUNUS_MACH_KERN_RETURN_H

/* What a kernel call answers: 0 or one of the codes below. Calls that travel as messages can also give a
 * mach_msg_return_t (<mach/message.h>) or a MIG code (<mach/mig_errors.h>); the three ranges do not overlap.
 * Source of the values: probe 01-abi. */
typedef int kern_return_t;

#define KERN_SUCCESS		      0
#define KERN_INVALID_ADDRESS	      1	 /* no memory there, or not of this size */
#define KERN_PROTECTION_FAILURE	      2	 /* there is memory, but not for this kind of access */
#define KERN_NO_SPACE		      3	 /* no free address range, or no free name, of what was asked */
#define KERN_INVALID_ARGUMENT	      4	 /* an argument that this call cannot work on */
#define KERN_FAILURE		      5	 /* anything else */
#define KERN_RESOURCE_SHORTAGE	      6	 /* out of memory or of another resource; may pass */
#define KERN_NOT_RECEIVER	      7	 /* the task does not hold the receive right */
#define KERN_NO_ACCESS		      8	 /* a restriction that makes no sense */
#define KERN_MEMORY_FAILURE	      9	 /* the memory object behind the page is gone */
#define KERN_MEMORY_ERROR	      10 /* the memory object could not supply the page */
#define KERN_NOT_IN_SET		      12 /* the receive right is in no port set */
#define KERN_NAME_EXISTS	      13 /* the name is in use */
#define KERN_ABORTED		      14 /* cut short by thread_abort; messages show it as an interruption */
#define KERN_INVALID_NAME	      15 /* the name denotes nothing in the task */
#define KERN_INVALID_TASK	      16 /* the port is no task, or its task has terminated */
#define KERN_INVALID_RIGHT	      17 /* the name denotes a right, but of the wrong kind */
#define KERN_INVALID_VALUE	      18 /* a number out of its range */
#define KERN_UREFS_OVERFLOW	      19 /* the user references would pass their limit */
#define KERN_INVALID_CAPABILITY	      20 /* the right handed in is null, dead or of the wrong kind */
#define KERN_RIGHT_EXISTS	      21 /* the task has the right already, under another name */
#define KERN_INVALID_HOST	      22 /* the port is no host */
#define KERN_MEMORY_PRESENT	      23 /* the memory object already has the page */
#define KERN_WRITE_PROTECTION_FAILURE 24 /* the page may not be written */
#define KERN_TERMINATED		      26 /* the object is no more */
#define KERN_TIMEDOUT		      27 /* the time given ran out */
#define KERN_INTERRUPTED	      28 /* cut short by a signal */

#endif
