/* SPDX-License-Identifier: MIT */
#ifndef PORTUNUS_SERVERS_NETNAME_DEFS_H
#define PORTUNUS_SERVERS_NETNAME_DEFS_H

/* The types and codes of the name service, for both its sides. Source of names and values: Mach. */

#define NETNAME_SUCCESS	       0
#define NETNAME_PENDING	       (-1) /* belongs to services that ask other hosts; ours never says it */
#define NETNAME_NOT_YOURS      1000 /* the name is checked in with another signature */
#define NETNAME_NOT_CHECKED_IN 1001 /* nobody has checked the name in */
#define NETNAME_NO_SUCH_HOST   1002 /* no such host, as far as the name service knows */
#define NETNAME_HOST_NOT_FOUND 1003 /* the host did not answer; as for PENDING */
#define NETNAME_INVALID_PORT   1004 /* the right to check in is null or dead */

/* As older programs call them. */
#define NAME_NOT_YOURS	    NETNAME_NOT_YOURS
#define NAME_NOT_CHECKED_IN NETNAME_NOT_CHECKED_IN

#define NETNAME_NAME_MAX 80 /* bytes, the final 0 included */

typedef char netname_name_t[NETNAME_NAME_MAX];
typedef const char *const_netname_name_t; /* what stubs take */

#endif
