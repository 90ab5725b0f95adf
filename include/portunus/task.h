/* SPDX-License-Identifier: MIT */
#ifndef PORTUNUS_TASK_H
#define PORTUNUS_TASK_H

#include <pthread.h>

#include <mach/mach_types.h>
#include <portunus/export.h>

/* Tasks inside one process. task_create makes one; threads work in it after they enter it. A thread that never enters a
 * task works in the process's first one. */

PORTUNUS_BEGIN_DECLS

/* portunus_task_enter - the calling thread acts in another task from now on
 *   task   a send right, in the thread's present task, to a task of this process
 * Returns the former task as the new one names it: a send right with one user reference of the thread's new task, for
 * the way back, to be given back when it is not needed any more; MACH_PORT_DEAD if the former task has terminated; or
 * MACH_PORT_NULL if nothing changed, because task is no task of this process or has terminated, or for want of memory.
 * Entering the task one is in changes nothing and returns it. The right task
 * stays with the task that held it. The thread's own port goes along, its reply port (mig_get_reply_port) does not.
 * Threads: any, each for itself. Source: ours. */
PORTUNUS_EXPORT task_t portunus_task_enter(task_t task);

/* portunus_thread_create - start a thread in a task
 *   task     a send right of the caller to a task of this process
 *   thread   set to the new thread, to be joined or detached
 *   start    what it runs, with arg, acting in that task from its first step
 *   KERN_INVALID_ARGUMENT    task is no task of this process, or a pointer is null
 *   KERN_RESOURCE_SHORTAGE   no memory, or the system allows no more threads
 * Source: ours. */
PORTUNUS_EXPORT kern_return_t portunus_thread_create(task_t task, pthread_t *thread, void *(*start)(void *), void *arg);

/* portunus_thread_port - the port of a thread of this process
 *   thread   a thread that has not been joined
 * Returns a send right with one user reference added in the caller's task, the caller's to deallocate, or MACH_PORT_NULL
 * if that thread never used Portunus or has ended. For thread_abort and thread_terminate. Source: ours; the counterpart
 * of Darwin's pthread_mach_thread_np, except that the reference is the caller's. */
PORTUNUS_EXPORT thread_t portunus_thread_port(pthread_t thread);

PORTUNUS_END_DECLS

#endif
