/* SPDX-License-Identifier: MIT */
#pragma once

/* The kernel of this process as a whole: what exists once, its first use, fork, and the hooks by which the layers above
 * hear of what concerns them. */

#include <stdbool.h>

struct message;
struct object;
struct task;
struct thread;

/* Made on first use. Abort when there is no memory for them: nothing could be reported to anybody. */
struct task *kernel_root_task(void); /* the task of every thread that has entered no other; borrowed */
struct object *kernel_host(void);
struct object *kernel_node(void); /* this process as one that can be looked into: <portunus/inspect.defs> */

/* What the layers above want to hear. Set once, before any thread calls in. */
struct kernel_hooks {
	/* The calling thread is about to leave the task it acts in, for another or for good. */
	void (*thread_leaves)(void);
	/* A thread is about to make its first call. */
	void (*thread_begins)(void);
	/* Another process has terminated the root task, and has its answer: this process is to end. */
	void (*process_ends)(void);
	/* There was no watch (watch.h), and now there is one; no lock is held, and what is watched cannot have been waited
	 * for yet. */
	void (*watch_begins)(void);
	/* A message came for kernel_node(); it is taken. No lock is held. */
	void (*serve_node)(struct message *request);
};

void kernel_set_hooks(const struct kernel_hooks *hooks);

void kernel_tell_leaving(void);
void kernel_tell_beginning(void);
void kernel_tell_process_ends(void);
void kernel_tell_watch_begins(void);
/* True: the message is for kernel_node(), and has been taken. */
bool kernel_serve_node(struct message *m);
/* thread_exit(@thread) will run when the calling pthread ends. */
void kernel_at_thread_exit(struct thread *thread);
