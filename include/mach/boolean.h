/* SPDX-License-Identifier: MIT */
#ifndef PORTUNUS_MACH_BOOLEAN_H
#define PORTUNUS_MACH_BOOLEAN_H

/* Mach's truth value: an int on the wire and in every prototype. */
typedef int boolean_t;

/* Some programs bring a TRUE and FALSE of their own and say so with NOBOOL. */
#ifndef NOBOOL
#ifndef TRUE
#define TRUE ((boolean_t)1)
#endif
#ifndef FALSE
#define FALSE ((boolean_t)0)
#endif
#endif

#endif
