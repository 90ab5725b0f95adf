/* SPDX-License-Identifier: MIT */
#pragma once

/* A task: a name space and the threads that act in it. All tasks of this kernel live in one process and share its
 * memory; what separates them is the name space. A task dies when it is terminated; its memory goes with the last
 * reference (its threads', and calls under way). */

#include <mach/port.h>
#include <mach/mach_param.h>
#include <mach/task_special_ports.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "kernel/object.h"
#include "kernel/right.h"
#include "kernel/traffic.h"
#include "platform/list.h"
#include "platform/lock.h"

/* A task that begins life with rights given to it finds them registered, in order: more than mach_ports_register() can
 * set (TASK_PORT_REGISTER_MAX). */
#define TASK_REGISTERED_MAX 64

struct space;

struct task {
	struct object object;
	atomic_uint n_refs;
	atomic_bool is_dead;
	atomic_bool is_set_up;	   /* CALL_TASK_SETUP has come, from who started this process */
	struct space *space;	   /* one reference, for good */
	uint64_t id;		   /* no other task of this process ever has it; the first is 1 */
	struct lock lock;	   /* rank TASK: what follows */
	struct list registry_link; /* in the list of all living tasks, under a lock of its own */
	struct list threads;	   /* thread.task_link: those acting in the task */
	struct traffic past;	   /* of those that have acted in it */
	struct right kernel_port, bootstrap;
	unsigned n_registered;
	struct right registered[TASK_REGISTERED_MAX];
};

struct task *task_new(struct task *parent); /* inherits the special ports; one reference; NULL: no memory */
struct task *task_ref(struct task *task);
void task_unref(struct task *task);
/* After fork, in the child: there are no tasks. */
void task_forget_all(void);
/* The living task of that number, and the first that has a higher one; one reference; NULL: none. */
struct task *task_find(uint64_t id);
struct task *task_next(uint64_t id);
/* What its threads have sent and received; returns how many there are. */
unsigned task_read_traffic(struct task *task, struct traffic *traffic);
/* KERN_FAILURE: already dead. */
kern_return_t task_terminate_object(struct task *task);

/* The task that @name, in the name space of @self, is the port of; one reference.
 *   MACH_SEND_INVALID_DEST, KERN_INVALID_TASK */
kern_return_t task_lookup(struct task *self, mach_port_name_t name, struct task **task);

/* Special ports; rights are copied in and out by the callers. Setting takes them on success, else they are the caller's.
 *   KERN_INVALID_ARGUMENT   no such special port, or the task is dead */
kern_return_t task_get_special(struct task *task, int which, struct right *right);
kern_return_t task_set_special(struct task *task, int which, struct right *right);
kern_return_t task_register(struct task *task, struct right *rights, unsigned n);
/* Copies of them, into room for TASK_REGISTERED_MAX; returns how many: those that were set, or TASK_PORT_REGISTER_MAX
 * with null rights behind them. */
unsigned task_get_registered(struct task *task, struct right *rights);
