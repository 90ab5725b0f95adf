/* SPDX-License-Identifier: MIT */
#pragma once

/* Probes: places in the library where perf, bpftrace, SystemTap or a debugger can look on (USDT, <sys/sdt.h>). Each is one nop in
 * the code and a note in the ELF file that says where it is and in which registers or memory its arguments are. Arguments have to be
 * at hand there: nothing is to be worked out that nobody may look at. What they are, docs/introspection.md says; it is a promise.
 *
 * The build chooses (meson option probes). Without <sys/sdt.h> a probe is nothing at all. */

#ifdef PORTUNUS_PROBES
#include <sys/sdt.h>

#define probe2(name, a, b)	 DTRACE_PROBE2(portunus, name, a, b)
#define probe3(name, a, b, c)	 DTRACE_PROBE3(portunus, name, a, b, c)
#define probe4(name, a, b, c, d) DTRACE_PROBE4(portunus, name, a, b, c, d)
#else
#define probe2(name, a, b)	 ((void)(a), (void)(b))
#define probe3(name, a, b, c)	 ((void)(a), (void)(b), (void)(c))
#define probe4(name, a, b, c, d) ((void)(a), (void)(b), (void)(c), (void)(d))
#endif
