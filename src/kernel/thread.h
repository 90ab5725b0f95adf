/* SPDX-License-Identifier: MIT */
#pragma once

/* A thread: any pthread that has called in, and the task in which it acts. The memory of a thread is never given back
 * (it is reused for later threads), so that a late wake of its futex word cannot go astray. */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "kernel/object.h"
#include "kernel/right.h"
#include "kernel/traffic.h"
#include "kernel/waiter.h"
#include "platform/list.h"
#include "platform/spares.h"

struct space;
struct task;

struct thread {
	struct object object;  /* port is NULL while the thread is free for reuse */
	struct task *task;     /* one reference; only the thread itself changes it */
	struct list task_link; /* in task->threads, guarded by task->lock */
	struct waiter waiter;
	struct traffic traffic;	   /* in its task */
	unsigned partner_cpu;	   /* where the thread that last gave us a message ran; CPU_UNKNOWN at first */
	atomic_bool is_terminated; /* ends at its next call */
	pthread_t pthread;	   /* these two are guarded by the registry's lock */
	struct list registry_link; /* running threads, or unused memory */
	struct list graves;	   /* messages being destroyed, see message_destroy() */
	struct list message_cache; /* message.port_link */
	unsigned n_cached;
	struct spares spare_ports;
};

#define CPU_UNKNOWN (~0u)

extern _Thread_local struct thread *thread_current __attribute__((tls_model("initial-exec")));

/* The calling thread, made on its first call. Aborts the process when there is no memory for it: nothing could be
 * reported to anybody. Does not return if the thread was terminated. */
struct thread *thread_self_slow(void);
static inline struct thread *thread_self(void)
{
	struct thread *t = thread_current;

	return __builtin_expect(t != NULL, 1) ? t : thread_self_slow();
}

/* A thread that will act in @task (whose reference it takes on success), not running yet; NULL: no memory. */
struct thread *thread_new(struct task *task);
/* The calling pthread becomes @thread, which thread_new() made. */
void thread_adopt(struct thread *thread);
/* The pthread for it could not be started. */
void thread_discard(struct thread *thread);

/* The calling thread acts in @task from now on; takes that reference and returns the one on the task it acted in. */
struct task *thread_enter(struct thread *thread, struct task *task);

/* After listing itself as waiting and before it blocks: gives up at once if the thread or its task has been ended in
 * between. (Either this sees the flag, or whoever set it afterwards sees the waiter: both use sequentially consistent
 * stores and loads.) */
void thread_check_wait(struct thread *thread);
/* Ends the pthread if the thread was terminated; returns otherwise. */
void thread_check_terminated(struct thread *thread);
/* Ends the wait of every thread in the task, whose lock is held. */
void thread_interrupt_all_locked(struct task *task);

/* thread_abort(), thread_terminate(), of a thread that lives: its port, say, is locked. The thread itself may be the one
 * that kills it; it then ends at its next call. */
void thread_interrupt(struct thread *thread);
void thread_kill(struct thread *thread);
/* Every thread that waits looks again at how it should (waiter_nudge()). */
void thread_nudge_all(void);
/* A naked send right to the port of a pthread; its port is NULL if there is none. */
struct right thread_find(pthread_t pthread);
/* The name of the thread's own port in its task. MACH_PORT_NULL: no memory. */
mach_port_name_t thread_self_name(struct thread *thread);

/* The end of a thread, from its last destructor. */
void thread_exit(struct thread *thread);
/* After fork, in the child: there are no threads, the caller included. */
void thread_forget_all(void);
