/* SPDX-License-Identifier: MIT */
#ifndef PORTUNUS_SERVERS_BOOTSTRAP_DEFS_H
#define PORTUNUS_SERVERS_BOOTSTRAP_DEFS_H

/* The types and codes of the bootstrap service, for both its sides. Source of names and values: NeXTSTEP, Darwin. */

#define BOOTSTRAP_SUCCESS	  0
#define BOOTSTRAP_NOT_PRIVILEGED  1100 /* belongs to services with users of several ranks; ours never says it */
#define BOOTSTRAP_NAME_IN_USE	  1101 /* in headers only: a name in use is BOOTSTRAP_SERVICE_ACTIVE */
#define BOOTSTRAP_UNKNOWN_SERVICE 1102 /* there is no service of that name */
#define BOOTSTRAP_SERVICE_ACTIVE  1103 /* somebody serves that name already, or it is declared already */
#define BOOTSTRAP_BAD_COUNT	  1104 /* of bootstrap_look_up_array, which is not here */
#define BOOTSTRAP_NO_MEMORY	  1105 /* no memory, or as many services as there may be */

#define BOOTSTRAP_STATUS_INACTIVE  0 /* declared; messages to it wait for somebody to check in */
#define BOOTSTRAP_STATUS_ACTIVE	   1
#define BOOTSTRAP_STATUS_ON_DEMAND 2 /* would be started by a message to it: not here */

#define BOOTSTRAP_MAX_NAME_LEN 128 /* bytes, the final 0 included */

typedef char name_t[BOOTSTRAP_MAX_NAME_LEN];
typedef const char *const_name_t; /* what stubs take */
typedef int bootstrap_status_t;

#endif
