/* SPDX-License-Identifier: MIT */
/* What the probes expect around them, on Linux: printing, ending, and threads that live in a given task.
 * Everything is built on Portunus' public interface, so a probe exercises just what a program would.
 */
#ifndef SEMANTICS_ENV_H
#define SEMANTICS_ENV_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <mach.h>
#include <portunus/task.h>

#define TEST_FAILURE_MARKER "# FAILED:"

/* the symbol of an error code ("KERN_INVALID_NAME"), NULL if there is none */
const char *e2s_gnumach(int code);

/* one write to standard output: lines of different threads never mix */
void mach_print(const char *text);

/* ends the program as failed */
void halt(void) __attribute__((noreturn));

/* Starts function(argument) on a new thread in that task. Returns a send right to the thread, with one user
 * reference for the caller. The function must end with thread_terminate(mach_thread_self()). */
thread_t test_thread_start(task_t task, void (*function)(void *), void *argument);

/* Sleeps, then waits (bounded) until no other thread of the program has work to do, so that "long enough for the
 * others to block" is also true on a machine that is busy. */
void sleep_until_quiet(mach_port_t port, unsigned milliseconds);

#endif
