/* SPDX-License-Identifier: MIT */
/* What the library asks of its host, and how the host refuses. The linker puts us between the library and what it calls in the C
 * library (host_wraps in meson.build), in these tests only. While it is armed each call that can fail for want of something is
 * counted, in all threads, and one of them fails as it would on a real host: allocations of memory, mappings, descriptors,
 * threads and processes; packets for which a socket has no room; descriptors that come and find no room in the table. */
#ifndef TESTS_FAULTS_HOST_H
#define TESTS_FAULTS_HOST_H

#include <stdatomic.h>
#include <stdbool.h>

enum { HOST_FD = 291 };

struct host {
	atomic_ulong n;	       /* calls that could fail, by now */
	unsigned long fail_at; /* 0: none fails */
	atomic_bool is_armed, has_failed;
	atomic_bool has_begun; /* the victim is through its first call */
	char name[24];	       /* of the call that failed */
};

extern struct host *host; /* this process' own, until it joins another's */

void host_arm(unsigned long fail_at);
void host_disarm(void);

/* For processes that inherit @fd as HOST_FD: host is what they have in common. */
struct host *host_make(int *fd);
void host_join(void);

/* What the library has allocated and mapped, and not given back. */
extern atomic_long host_heap, host_pages;

#endif
