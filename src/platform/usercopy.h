/* SPDX-License-Identifier: MIT */
/* Usercopy: the only door to memory that a caller's pointer names. A bad pointer is a result, not a crash.
 *
 * user_read(), user_read_far() and user_write() copy n bytes from and to the user's memory and return false if any byte of it is not
 * there or not permitted, if it wraps around the end of the address space, or if it is null (for n > 0). What was
 * copied before is unspecified. n == 0 is true and touches nothing. The kernel's own end must be good memory: that is
 * our invariant. Nothing else in the library dereferences a user's pointer, but for results of a few bytes that are
 * stored where user_writable() has just found that they can be. Call them with no lock held (a fault may take long).
 *
 * How, on x86-64 (usercopy-x86_64.c): the copy is one asm routine without calls. SIGSEGV and SIGBUS go to our handler,
 * which sends a fault whose instruction lies in that routine to the routine's exit. Every other such signal goes to
 * the handler that was there before us, as if we were not: same mask, same arguments, SIG_DFL and SIG_IGN included. A
 * copy that does not fault costs no system call. Elsewhere (usercopy-generic.c) the host copies for us:
 * process_vm_readv() on ourselves; no handler.
 *
 * What is not caught, on x86-64:
 *  - A program that installs its own handler of SIGSEGV or SIGBUS after us, and neither calls the one that it replaced
 *    nor expects faults: until usercopy_renew() puts ours before it (in mach_port_allocate, mach_reply_port, vm_allocate
 *    and task_create), a wild pointer given to us ends in that handler, as a wild pointer in the program's own code
 *    would. One that chains to the previous handler, as crash reporters and language runtimes do, loses nothing.
 *  - A thread that blocks SIGSEGV or SIGBUS: the host kills the process on a fault, whoever handles it.
 *  - Pages that are mapped but are not what the caller meant: they are simply copied. Nor does it see who owns a page; a
 *    few freed pages stay mapped (kernel/memory.h, SPARE).
 *  - A handler that siglongjmp()s out of the fault: our caller never returns, and may hold references.
 *  - An alternate signal stack that is too small for the chained handler, as without us.
 * Nothing of that can happen while all pointers are good. */
#ifndef PLATFORM_USERCOPY_H
#define PLATFORM_USERCOPY_H

#include <stdbool.h>
#include <stddef.h>

bool user_read(void *to, const void *user, size_t n);
bool user_read_far(void *to, const void *user, size_t n); /* for somebody on another CPU: as far_copy() */
bool user_write(void *user, const void *from, size_t n);

/* True if the byte at user can be written now: reads it and writes it back, on x86-64 in one atomic step, so that
 * it never undoes another thread's store. Says nothing about the bytes after it, beyond that user + n does not wrap.
 * n == 0 is true. */
bool user_writable(void *user, size_t n);

/* Before the first copy; any thread, and as often as one likes. Only the first call installs anything. */
void usercopy_init(void);

/* Takes the place before a handler that the program has installed since (unless it looked a few microseconds ago; half a
 * millisecond in a program that has it look all the time). A system call: for functions that are not in a great hurry. */
void usercopy_renew(void);

#endif
