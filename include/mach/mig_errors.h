/* SPDX-License-Identifier: MIT */
#ifndef PORTUNUS_MACH_MIG_ERRORS_H
#define PORTUNUS_MACH_MIG_ERRORS_H

#include <mach/kern_return.h>
#include <mach/message.h>

/* What a stub answers when the call itself went wrong. Source of the values: probe 01-abi. */
#define MIG_TYPE_ERROR	    -300 /* client: the reply has the wrong types */
#define MIG_REPLY_MISMATCH  -301 /* client: the reply has the wrong id */
#define MIG_REMOTE_ERROR    -302 /* the server found an error of its own */
#define MIG_BAD_ID	    -303 /* server: no routine has this id */
#define MIG_BAD_ARGUMENTS   -304 /* server: the request has the wrong types */
#define MIG_NO_REPLY	    -305 /* server: the routine replies itself, later */
#define MIG_EXCEPTION	    -306 /* the server raised an exception */
#define MIG_ARRAY_TOO_LARGE -307 /* an array does not fit where it is to go */
#define MIG_SERVER_DIED	    -308 /* client: the reply right died, the server with it */
#define MIG_DESTROY_REQUEST -309 /* server: destroy the request, send no reply */

/* How every reply begins; all of it, if RetCode is an error. */
typedef struct {
	mach_msg_header_t Head;
	mach_msg_type_t RetCodeType;
	kern_return_t RetCode;
} mig_reply_header_t;

/* The routines of a server, as its stubs list them. */
typedef struct mig_symtab {
	char *ms_routine_name;
	int ms_routine_number;
	void (*ms_routine)(void);
} mig_symtab_t;

typedef void (*mig_routine_t)(mach_msg_header_t *, mach_msg_header_t *);

#endif
