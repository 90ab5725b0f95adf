/* SPDX-License-Identifier: MIT */
/* A small world for tests: the test's own task (it "holds" a and b) and two more tasks in the same process.
 *
 * Every helper names the task it happens in: w->a and w->b are names of their task ports in the test's own task, and
 * here() is the test's own. The calling thread enters that task for the time of the call. Helpers that cannot fail fail
 * the test.
 *
 * world_test() makes a cmocka test that gets its world from setup and, at its end, fails on anything left over: names in
 * the test's own task, descriptors, mappings.
 */
#ifndef TESTS_UNIT_WORLD_H
#define TESTS_UNIT_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <mach.h>
#include <mach_error.h>
#include <portunus/task.h>
#include <pthread.h>

#define UNUSED_NAME  ((mach_port_name_t)0x7654321)
#define WILD_POINTER ((void *)0x10)

struct world {
	task_t a, b;
	unsigned n_names, n_fds;
	unsigned long n_mapped; /* bytes */
};

int world_setup(void **state);
int world_teardown(void **state);
#define world_test(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

task_t here(void);

/* The calling thread acts in that task from here on, until in_task_end(); one level deep. */
void in_task_begin(task_t task);
void in_task_end(void);

/* At the beginning of a test that hands wild pointers to the kernel: cmocka has put handlers of its own in front of the
 * library's, and does not chain to them. */
void expect_wild_pointers(void);

/* ---- what is expected */

#define expect_result(call, code) expect_result_at(#call, (call), (code), __FILE__, __LINE__)
#define expect_ok(call)		  expect_result(call, KERN_SUCCESS)
#define expect_eq(x, y)		  assert_int_equal((x), (y))
void expect_result_at(const char *what, kern_return_t got, kern_return_t expected, const char *file, int line);

/* ---- rights */

mach_port_t port_in(task_t task);	    /* a receive right */
mach_port_t port_with_send_in(task_t task); /* and a send right under the same name */
mach_port_t set_in(task_t task);
mach_port_t dead_name_in(task_t task);
mach_port_t send_once_in(task_t task, mach_port_t port);	 /* a send-once right to that port, same task */
mach_port_t give_send(task_t from, mach_port_t port, task_t to); /* a send right to from's port; its name in to */
mach_port_t give_send_once(task_t from, mach_port_t port, task_t to);

mach_port_type_t type_of(task_t task, mach_port_t name);		  /* 0: no such name */
unsigned refs_of(task_t task, mach_port_t name, mach_port_right_t right); /* 0: none */
mach_port_status_t status_of(task_t task, mach_port_t port);
unsigned send_rights(task_t task, mach_port_t port);	  /* that exist, anywhere */
unsigned names_in(task_t task);				  /* but for its own */
kern_return_t end_receive(task_t task, mach_port_t port); /* only the receive right */

/* ---- messages */

struct letter {
	union {
		mach_msg_header_t header;
		unsigned char bytes[8192];
	} __attribute__((aligned(16)));
	mach_msg_size_t size;
};

/* builds: a letter to that right, then what it carries */
void letter_to(struct letter *l, mach_port_t to, unsigned disposition, int id);
void letter_reply_to(struct letter *l, mach_port_t reply, unsigned disposition);
void letter_add_type(struct letter *l, unsigned name, unsigned bits, unsigned number, bool is_inline, bool deallocate);
void letter_add_long_type(struct letter *l, unsigned name, unsigned bits, unsigned number, bool is_inline,
			  bool deallocate);
void letter_add_raw(struct letter *l, const void *data, size_t size); /* padded */
void letter_add_int(struct letter *l, int value);
void letter_add_port(struct letter *l, mach_port_t name, unsigned disposition);
void letter_add_memory(struct letter *l, const void *data, unsigned size, bool deallocate);

/* sends and receives without waiting */
mach_msg_return_t post(task_t task, struct letter *l);
mach_msg_return_t fetch(task_t task, mach_port_t name, struct letter *l);
mach_msg_return_t fetch_with(task_t task, mach_port_t name, struct letter *l, mach_msg_option_t option,
			     mach_msg_size_t limit);
void destroy_letter(task_t task, struct letter *l);

/* the first item of a letter received */
mach_port_t letter_port(const struct letter *l);	     /* inline */
void *letter_memory(const struct letter *l, unsigned *size); /* out of line; size in bytes */
const mach_msg_type_t *letter_type(const struct letter *l);

/* one bare message; COPY_SEND */
mach_msg_return_t send_id(task_t task, mach_port_t to, int id);
/* one message that moves (a reference of) a send right, or the receive right */
mach_msg_return_t send_moving(task_t task, mach_port_t to, mach_port_t carried);
mach_msg_return_t send_moving_receive(task_t task, mach_port_t to, mach_port_t carried);

/* the next message has this id, or there is none; what it carries is given back */
void expect_message(task_t task, mach_port_t name, int id);
void expect_no_message(task_t task, mach_port_t name);

/* ---- notifications: each task has one port for them */

#define NO_SENDERS     MACH_NOTIFY_NO_SENDERS
#define DEAD_NAME      MACH_NOTIFY_DEAD_NAME
#define PORT_DESTROYED MACH_NOTIFY_PORT_DESTROYED
#define PORT_DELETED   MACH_NOTIFY_PORT_DELETED

kern_return_t watch(task_t task, int notice, mach_port_t name);
kern_return_t watch_no_senders(task_t task, mach_port_t name);
kern_return_t watch_dead_name(task_t task, mach_port_t name);
/* exactly this one came and no other; name matters where the notice bears one */
void expect_notice(task_t task, int notice, mach_port_t name);
void expect_no_notice(task_t task);
/* Waits for a notice, up to so many milliseconds, and leaves it queued. False: none came. */
bool await_notice(task_t task, unsigned timeout);
void end_notices(void); /* the test's own task has none any more */

/* ---- a thread that makes one call */

struct caller {
	pthread_t thread;
	atomic_int tid;
	atomic_bool done;
	struct letter letter;
	mach_msg_option_t option;
	mach_port_t receive_from;
	mach_msg_timeout_t timeout;
	mach_msg_return_t result;
};

/* starts and waits until the thread sleeps in its call */
void caller_start(struct caller *c, task_t task);
void caller_start_receive(struct caller *c, task_t task, mach_port_t name, mach_msg_option_t option);
void caller_start_send(struct caller *c, task_t task, mach_msg_option_t option); /* c->letter */
/* waits for its end */
mach_msg_return_t caller_join(struct caller *c);
bool caller_sleeps(struct caller *c); /* still */

#endif
