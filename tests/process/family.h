/* SPDX-License-Identifier: MIT */
/* Processes for tests: this one (`self`) and children that do what the test tells them, so that a test of what happens
 * between processes is written in one place and reads from top to bottom.
 *
 * A child is this program once more. at() and ask() run a function of the program in it, and bring back what it did to
 * its argument; with `self` they just call it. The child hears of them by sockets of its own, not by ports: so the test
 * decides which of the processes is in a call of the library, and when.
 *
 * family_test() makes a cmocka test that finds its processes in the array it declares, pair_tests() one for each way in
 * which two processes can be related. At their end, in each process, there are as many kernel objects, names, descriptors
 * and mappings as at the beginning, or the test has failed; likewise if a link was dropped because of what came by it.
 */
#ifndef TESTS_PROCESS_FAMILY_H
#define TESTS_PROCESS_FAMILY_H

#include "world.h"

#include <stdio.h>
#include <sys/types.h>

#include "kernel/count.h"

enum { PROCESSES_MAX = 24, LANES = 10 };

/* What is to be there again at the end. */
struct balance {
	struct kernel_counts counts;
	unsigned n_fds, n_shared;
	unsigned long n_mapped; /* bytes */
};

struct process {
	unsigned number; /* 0: this one */
	pid_t pid;
	task_t task;			    /* its task, as this process names it */
	mach_port_t mail_to[PROCESSES_MAX]; /* its names of send rights to everybody's mailbox */
	int lanes[LANES];		    /* sockets, or -1 */
	struct runner *runners[LANES];	    /* under way */
	struct balance balance;
	bool has_ended;
};

extern struct process *const self;

/* ---- life */

/* What is there when the last process has been started is what is to be there at the end: start them first. */

/* One that has mail with everybody there is. */
struct process *process_start(void);
/* One that has it with this process only: it has no link to the others, nor they to it. */
struct process *process_start_alone(void);
/* Likewise; it begins life with these send rights, and what it names them is in given_ports[] there. */
struct process *process_start_given(const mach_port_t *given, unsigned n_given);
extern mach_port_t given_ports[];
extern unsigned n_given_ports;
/* It has ended: another takes its place, and has mail with everybody there is. The balances of the others stay as they were. */
void process_restart(struct process *p);
/* It returns from main(), or is killed; both wait until it is gone. */
void process_end(struct process *p);
void process_kill(struct process *p, int sig);
/* It is gone, or will be: waits, and returns its status. */
int process_wait(struct process *p);
/* All have ended: there is room for as many again. */
void processes_forget(void);
/* What is there now is what is to be there at the end. */
void process_take_balance(struct process *p);
void expect_balance(struct process *p); /* soon */
bool process_is_balanced(struct process *p, bool prints);

/* ---- what a process does */

/* Runs @f in @p with a copy of @arg, of up to ERRAND_MAX bytes, which comes back. Waits for it. */
enum { ERRAND_MAX = 32768 };
void at(struct process *p, void (*f)(void *), void *arg, size_t size);
/* The same with a few numbers: n[0], n[1] ... come from the call and go to @n; returns n[0]. */
enum { NUMBERS = 6 };
typedef void verb(long *n);
long ask_all(struct process *p, verb *f, long *n);
#define ask(p, f, ...) ask_all((p), (f), (long[NUMBERS]){ __VA_ARGS__ })

/* The same in a thread of its own, without waiting. Lanes are numbered from 1; one errand at a time for each. */
void begin_at(struct process *p, unsigned lane, void (*f)(void *), const void *arg, size_t size);
void end_at(struct process *p, unsigned lane, void *arg, size_t size);
void begin_ask(struct process *p, unsigned lane, verb *f, const long *n);
long end_ask(struct process *p, unsigned lane, long *n); /* n may be null */
bool is_done_at(struct process *p, unsigned lane);
/* Waits until the thread of that lane sleeps, in a call that has begun. */
void await_sleep_at(struct process *p, unsigned lane);
/* A signal to that thread. */
void signal_at(struct process *p, unsigned lane, int sig);

/* Polls until it is true; fails the test after a time that nothing takes. */
#define await(condition) \
	do { \
		for (int tries_ = 0; !(condition); tries_++) \
			await_again(tries_, #condition, __FILE__, __LINE__); \
	} while (0)
void await_again(int tries, const char *what, const char *file, int line);

/* ---- verbs of world.h, in any process; those that may fail return what they return there */

mach_port_t port_at(struct process *p);		  /* a receive right */
mach_port_t port_with_send_at(struct process *p); /* and a send right */
/* Sends a right of @from's to @to, which names it: what it names it. */
mach_port_t give(struct process *from, mach_port_t name, mach_msg_type_name_t disposition, struct process *to);
mach_port_t take_mail(struct process *to); /* what such a letter, on its way to @to, brings */
#define give_send_to(from, port, to)	  give((from), (port), MACH_MSG_TYPE_MAKE_SEND, (to))
#define give_send_once_to(from, port, to) give((from), (port), MACH_MSG_TYPE_MAKE_SEND_ONCE, (to))

mach_port_type_t type_at(struct process *p, mach_port_t name);
unsigned refs_at(struct process *p, mach_port_t name, mach_port_right_t right);
unsigned srights_at(struct process *p, mach_port_t port);
mach_port_status_t status_at(struct process *p, mach_port_t port);
kern_return_t mod_refs_at(struct process *p, mach_port_t name, mach_port_right_t right, int delta);
kern_return_t deallocate_at(struct process *p, mach_port_t name);
kern_return_t destroy_at(struct process *p, mach_port_t name);
kern_return_t end_receive_at(struct process *p, mach_port_t port);

mach_msg_return_t post_at(struct process *p, struct letter *l); /* does not wait */
mach_msg_return_t send_at(struct process *p, struct letter *l, mach_msg_option_t option, mach_msg_timeout_t timeout);
mach_msg_return_t receive_with_at(struct process *p, mach_port_t name, struct letter *l, mach_msg_option_t option,
				  mach_msg_timeout_t timeout, mach_msg_size_t limit);
mach_msg_return_t send_id_at(struct process *p, mach_port_t to, int id);
mach_msg_return_t fetch_at(struct process *p, mach_port_t name, struct letter *l);   /* does not wait */
mach_msg_return_t receive_at(struct process *p, mach_port_t name, struct letter *l); /* waits, but not for ever */
void expect_message_at(struct process *p, mach_port_t name,
		       int id); /* that comes soon; what it carries is given back */
void expect_no_message_at(struct process *p, mach_port_t name);
void destroy_letter_at(struct process *p, struct letter *l);

/* In a lane. */
void begin_receive_at(struct process *p, unsigned lane, mach_port_t name, mach_msg_option_t option,
		      mach_msg_timeout_t timeout);
void begin_send_at(struct process *p, unsigned lane, const struct letter *l, mach_msg_option_t option,
		   mach_msg_timeout_t timeout);
mach_msg_return_t end_message_at(struct process *p, unsigned lane, struct letter *l); /* l may be null */

kern_return_t watch_at(struct process *p, int notice, mach_port_t name);
void expect_notice_at(struct process *p, int notice, mach_port_t name); /* it comes soon, and no other does */
void expect_no_notice_at(struct process *p);

/* ---- tests */

struct pair {
	void (*rule)(struct process *owner, struct process *holder);
	unsigned owner, holder;
};

int family_setup(void **state); /* *state: struct pair, or NULL for one child */
int family_teardown(void **state);
void pair_run(void **state);

#define pair_test(rule, how, owner, holder) \
	{ \
#rule " (" how ")", pair_run, family_setup, family_teardown, &(struct pair) \
		{ \
			rule, owner, holder \
		} \
	}
/* The parent owns the port, the child does, and two children that met through their parent. */
#define pair_tests(rule) \
	pair_test(rule, "parent owns", 0, 1), pair_test(rule, "child owns", 1, 0), pair_test(rule, "siblings", 1, 2)

/* The n-th process: 0 is this one. */
struct process *process_number(unsigned n);

/* One with this process alone; it starts whom it wants. */
#define family_test(rule) \
	{ \
#rule, rule, family_setup, family_teardown, &(struct pair) \
		{ \
			NULL, 0, 0 \
		} \
	}

/* The main() of a test program: runs the tests, those that argv[1] matches, or what a child does. */
#define family_main(argc, argv, tests) family_run((argc), (argv), (tests), sizeof(tests) / sizeof *(tests))
int family_run(int argc, char **argv, const struct CMUnitTest *tests, size_t n);

/* The broker that listens at that socket; 0: none. */
pid_t broker_at(const char *path);

#endif
