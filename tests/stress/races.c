/* SPDX-License-Identifier: MIT */
/* Two threads, one moment: each race is run many times, and whatever the order of events, what both did must fit together.
 *
 *   races [ROUNDS]
 *
 * The two begin each round together, at a barrier that they spin on, with a pause in front that differs from round to
 * round, so that over the rounds the one's step falls before, into and after the other's. */
#include <mach.h>
#include <mach_error.h>
#include <portunus/task.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if __has_include("kernel/count.h") && !defined(NDEBUG)
#include "kernel/count.h"
#define HAVE_COUNTS 1
#else
#define HAVE_COUNTS 0
#endif

#define self	mach_task_self()
#define WAIT_MS 20000 /* longer means never */

struct race {
	const char *name;
	void (*prepare)(void);
	void (*one)(void);
	void (*other)(void);
	void (*check)(void); /* what fits together; and gives everything back */
};

static const char *race_name;
static atomic_uint n_wrong;

static void expect(bool is_so, const char *what)
{
	if (is_so)
		return;
	fprintf(stderr, "races: %s: %s\n", race_name, what);
	if (atomic_fetch_add(&n_wrong, 1) > 20)
		exit(1);
}

static void must(kern_return_t r, const char *what)
{
	if (r)
		fprintf(stderr, "races: %s: %s\n", what, mach_error_string(r));
	expect(r == KERN_SUCCESS, what);
}

/* ---- rights and messages */

union buffer {
	mach_msg_header_t header;
	mach_dead_name_notification_t notice;
	unsigned char bytes[1024];
};

static mach_port_t new_port(void)
{
	mach_port_t p = MACH_PORT_NULL;

	must(mach_port_allocate(self, MACH_PORT_RIGHT_RECEIVE, &p), "allocate");
	return p;
}

static mach_port_t new_port_with_send(void)
{
	mach_port_t p = new_port();

	must(mach_port_insert_right(self, p, p, MACH_MSG_TYPE_MAKE_SEND), "make a send right");
	return p;
}

static mach_msg_return_t post(mach_port_t to, mach_msg_type_name_t disposition, int id, mach_msg_timeout_t ms)
{
	mach_msg_header_t m = { .msgh_bits = MACH_MSGH_BITS(disposition, 0) };
	mach_msg_return_t r;

	m.msgh_remote_port = to;
	m.msgh_id = id;
	r = mach_msg(&m, MACH_SEND_MSG | MACH_SEND_TIMEOUT, sizeof m, 0, MACH_PORT_NULL, ms, MACH_PORT_NULL);
	if (r == MACH_SEND_TIMED_OUT) /* the right came back, as a reference more if it was copied */
		mach_msg_destroy(&m);
	return r;
}

static mach_msg_return_t fetch(mach_port_t from, union buffer *m, mach_msg_timeout_t ms)
{
	return mach_msg(&m->header, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof *m, from, ms, MACH_PORT_NULL);
}

static mach_port_type_t type_of(mach_port_t name)
{
	mach_port_type_t type = 0;

	return mach_port_type(self, name, &type) ? 0 : type;
}

static mach_port_urefs_t refs_of(mach_port_t name, mach_port_right_t right)
{
	mach_port_urefs_t n = 0;

	return mach_port_get_refs(self, name, right, &n) ? 0 : n;
}

static void drop(mach_port_t name)
{
	must(mach_port_deallocate(self, name), "deallocate");
}

static void end(mach_port_t name)
{
	must(mach_port_mod_refs(self, name, MACH_PORT_RIGHT_RECEIVE, -1), "end a receive right");
}

/* ---- a port of another task, and a right to it that is watched */

static task_t child;
static mach_port_t there, right, notify, queue, set;
static kern_return_t result, other_result;

static void watch_right(mach_msg_type_name_t disposition)
{
	mach_msg_type_name_t type;
	mach_port_t previous;

	must(mach_port_allocate(child, MACH_PORT_RIGHT_RECEIVE, &there), "allocate there");
	must(mach_port_extract_right(child, there, disposition, &right, &type), "extract");
	must(mach_port_request_notification(self, right, MACH_NOTIFY_DEAD_NAME, 0, notify, MACH_MSG_TYPE_MAKE_SEND_ONCE,
					    &previous),
	     "ask for a dead-name notification");
}

static void watch_send_right(void)
{
	watch_right(MACH_MSG_TYPE_MAKE_SEND);
}

static void watch_send_once_right(void)
{
	watch_right(MACH_MSG_TYPE_MAKE_SEND_ONCE);
}

static void end_there(void)
{
	must(mach_port_mod_refs(child, there, MACH_PORT_RIGHT_RECEIVE, -1), "end a receive right there");
}

/* The one notification, which must be there: of a dead name, with a reference; or that the name is gone. */
static void settle_notice(void)
{
	union buffer m;
	mach_msg_return_t r = fetch(notify, &m, 0);

	expect(r == MACH_MSG_SUCCESS, "no notification");
	if (r)
		return;
	if (m.header.msgh_id == MACH_NOTIFY_DEAD_NAME) {
		expect(type_of(m.notice.not_port) == MACH_PORT_TYPE_DEAD_NAME, "no dead name for its notification");
		expect(refs_of(m.notice.not_port, MACH_PORT_RIGHT_DEAD_NAME) == 1,
		       "not one reference for the notification");
		drop(m.notice.not_port);
	} else {
		expect(m.header.msgh_id == MACH_NOTIFY_PORT_DELETED, "another notification");
		expect(type_of(right) == 0, "a name that is said to be gone is there");
	}
	expect(fetch(notify, &m, 0) == MACH_RCV_TIMED_OUT, "a second notification");
}

static void drop_right(void)
{
	must(mach_port_deallocate(self, right), "deallocate");
}

static void drop_right_by_count(void)
{
	result = mach_port_mod_refs(self, right,
				    type_of(right) & MACH_PORT_TYPE_SEND_ONCE ? MACH_PORT_RIGHT_SEND_ONCE
									      : MACH_PORT_RIGHT_SEND,
				    -1);
}

static void settle_counted(void)
{
	if (result)
		drop(right); /* it was dead before */
	settle_notice();
}

/* Moved in a message, whose port then is destroyed with it. */
static void move_right(mach_msg_type_name_t disposition)
{
	struct {
		mach_msg_header_t header;
		mach_msg_type_t type;
		mach_port_name_inlined_t name;
	} m;

	memset(&m, 0, sizeof m);
	m.header.msgh_bits = MACH_MSGH_BITS(MACH_MSG_TYPE_MAKE_SEND_ONCE, 0) | MACH_MSGH_BITS_COMPLEX;
	m.header.msgh_remote_port = queue = new_port();
	m.type.msgt_name = disposition;
	m.type.msgt_size = 8 * sizeof m.name;
	m.type.msgt_number = 1;
	m.type.msgt_inline = true;
	m.name.name = right;
	must(mach_msg(&m.header, MACH_SEND_MSG, sizeof m, 0, MACH_PORT_NULL, 0, MACH_PORT_NULL), "move the right");
}

static void move_send_right(void)
{
	move_right(MACH_MSG_TYPE_MOVE_SEND);
}

static void move_send_once_right(void)
{
	move_right(MACH_MSG_TYPE_MOVE_SEND_ONCE);
}

static void settle_moved(void)
{
	end(queue);
	settle_notice();
}

static mach_port_t renamed = 0x7000000;

static void rename_right(void)
{
	must(mach_port_rename(self, right, ++renamed), "rename");
}

/* The notification names the old or the new number; the reference is under the new one. */
static void settle_renamed(void)
{
	union buffer m;

	must(fetch(notify, &m, 0), "a dead-name notification");
	expect(m.notice.not_port == right || m.notice.not_port == renamed, "a notification of some other name");
	expect(refs_of(renamed, MACH_PORT_RIGHT_DEAD_NAME) == 2, "the reference for the notification is not there");
	drop(renamed);
	drop(renamed);
}

/* ---- a full queue joins a set on which a thread waits */

static void fill_queue(void)
{
	queue = new_port_with_send();
	must(mach_port_set_qlimit(self, queue, 1), "set the limit");
	must(mach_port_allocate(self, MACH_PORT_RIGHT_PORT_SET, &set), "allocate a set");
	must(post(queue, MACH_MSG_TYPE_COPY_SEND, 1, 0), "fill the queue");
}

static void send_to_full_queue(void)
{
	result = post(queue, MACH_MSG_TYPE_COPY_SEND, 2, WAIT_MS);
	other_result = result ? result : post(queue, MACH_MSG_TYPE_COPY_SEND, 3, WAIT_MS);
}

static void join_and_receive(void)
{
	union buffer m;

	must(mach_port_move_member(self, queue, set), "join");
	for (int i = 1; i <= 3; i++) {
		must(fetch(set, &m, WAIT_MS), "receive from the set");
		expect(m.header.msgh_id == i, "out of order");
	}
}

static void receive_from_set(void)
{
	union buffer m;

	for (int i = 1; i <= 3; i++) {
		must(fetch(set, &m, WAIT_MS), "receive from the set");
		expect(m.header.msgh_id == i, "out of order");
	}
}

static void join_then_send(void)
{
	must(mach_port_move_member(self, queue, set), "join");
	send_to_full_queue();
}

static void settle_set(void)
{
	must(result, "the first send");
	must(other_result, "the second send");
	must(mach_port_mod_refs(self, set, MACH_PORT_RIGHT_PORT_SET, -1), "end the set");
	end(queue);
	drop(queue);
}

/* ---- a message meets the end of the wait for it */

static void new_queue(void)
{
	queue = new_port_with_send();
	must(mach_port_allocate(self, MACH_PORT_RIGHT_PORT_SET, &set), "allocate a set");
}

static void send_one(void)
{
	other_result = post(queue, MACH_MSG_TYPE_COPY_SEND, 7, 0);
}

static void receive_briefly(void)
{
	union buffer m;

	result = fetch(queue, &m, 1);
}

/* Received once, by whoever asked in time or asks now. */
static void settle_one(void)
{
	union buffer m;

	must(other_result, "send");
	expect((fetch(queue, &m, 0) == MACH_MSG_SUCCESS) == (result != MACH_MSG_SUCCESS),
	       "the message was lost, or is two");
	must(mach_port_mod_refs(self, set, MACH_PORT_RIGHT_PORT_SET, -1), "end the set");
	end(queue);
	drop(queue);
}

/* Waits on the port while it joins a set, and on the set when it has. */
static void receive_somewhere(void)
{
	union buffer m;

	result = fetch(queue, &m, WAIT_MS);
	if (result == MACH_RCV_PORT_CHANGED || result == MACH_RCV_IN_SET)
		result = fetch(set, &m, WAIT_MS);
}

static void send_and_join(void)
{
	send_one();
	must(mach_port_move_member(self, queue, set), "join");
}

static void join_and_send(void)
{
	must(mach_port_move_member(self, queue, set), "join");
	send_one();
}

/* ---- a set ends while its member gets a message and a thread waits */

static void join_set(void)
{
	new_queue();
	must(mach_port_move_member(self, queue, set), "join");
}

static void end_set_and_send(void)
{
	must(mach_port_mod_refs(self, set, MACH_PORT_RIGHT_PORT_SET, -1), "end the set");
	send_one();
}

static void receive_from_ending_set(void)
{
	union buffer m;

	result = fetch(set, &m, WAIT_MS);
	expect(result == MACH_RCV_PORT_DIED || result == MACH_RCV_INVALID_NAME, "received from a set that ends");
}

static void settle_without_set(void)
{
	union buffer m;

	must(other_result, "send");
	must(fetch(queue, &m, 0), "the message stays with its port");
	end(queue);
	drop(queue);
}

/* ---- the port dies under a sender that waits, and under one that is interrupted */

static void fill_dying_queue(void)
{
	queue = new_port_with_send();
	must(mach_port_set_qlimit(self, queue, 1), "set the limit");
	must(post(queue, MACH_MSG_TYPE_COPY_SEND, 1, 0), "fill the queue");
}

static void send_briefly(void)
{
	result = post(queue, MACH_MSG_TYPE_COPY_SEND, 2, 1);
}

static void end_queue(void)
{
	end(queue);
}

static void settle_dead_queue(void)
{
	expect(result == MACH_MSG_SUCCESS || result == MACH_SEND_TIMED_OUT || result == MACH_SEND_INVALID_DEST,
	       "another end of a send to a dying port");
	expect(refs_of(queue, MACH_PORT_RIGHT_DEAD_NAME) == 1, "the sender's right is there once");
	drop(queue);
}

/* ---- a task ends while a thread in it works, and while somebody gives it something */

static task_t victim;

static void *work_until_the_end(void *unused)
{
	union buffer m;
	mach_port_t p;

	while (mach_port_allocate(mach_task_self(), MACH_PORT_RIGHT_RECEIVE, &p) == KERN_SUCCESS) {
		if (mach_msg(&m.header, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof m, p, 0, MACH_PORT_NULL) ==
		    MACH_MSG_SUCCESS)
			mach_msg_destroy(&m.header);
		mach_thread_self();
		mach_host_self();
		mig_get_reply_port();
	}
	expect(mach_task_self() == MACH_PORT_NULL || type_of(mach_task_self()) == 0, "a dead task has a living port");
	expect(portunus_task_enter(0x5555) == MACH_PORT_NULL, "a way out of a dead task by a name that is gone");
	return unused;
}

static pthread_t worker;

static void make_victim(void)
{
	must(task_create(self, FALSE, &victim), "task_create");
	must(portunus_thread_create(victim, &worker, work_until_the_end, NULL), "portunus_thread_create");
	queue = new_port_with_send();
}

static void give_to_victim(void)
{
	mach_port_t ports[2] = { queue, queue };

	task_set_special_port(victim, TASK_BOOTSTRAP_PORT, queue);
	mach_ports_register(victim, ports, 2);
	mach_port_insert_right(victim, 0x1234567, queue, MACH_MSG_TYPE_COPY_SEND);
}

static void end_victim(void)
{
	must(task_terminate(victim), "task_terminate");
}

static void settle_victim(void)
{
	mach_port_rights_t n = 0;

	pthread_join(worker, NULL);
	must(mach_port_get_srights(self, queue, &n), "get_srights");
	expect(n == 1, "a dead task holds a right");
	drop(victim);
	end(queue);
	drop(queue);
}

/* ---- running */

static const struct race races[] = {
	{ "last send right dropped as its port dies", watch_send_right, drop_right, end_there, settle_notice },
	{ "last send right counted down as its port dies", watch_send_right, drop_right_by_count, end_there,
	  settle_counted },
	{ "last send right moved as its port dies", watch_send_right, move_send_right, end_there, settle_moved },
	{ "send-once right dropped as its port dies", watch_send_once_right, drop_right, end_there, settle_notice },
	{ "send-once right counted down as its port dies", watch_send_once_right, drop_right_by_count, end_there,
	  settle_counted },
	{ "send-once right moved as its port dies", watch_send_once_right, move_send_once_right, end_there,
	  settle_moved },
	{ "send right renamed as its port dies", watch_send_right, rename_right, end_there, settle_renamed },
	{ "full queue joins a set, then is received from", fill_queue, send_to_full_queue, join_and_receive,
	  settle_set },
	{ "full queue joins a set that is received from", fill_queue, receive_from_set, join_then_send, settle_set },
	{ "message meets a time-out", new_queue, receive_briefly, send_one, settle_one },
	{ "port joins a set after a message", new_queue, receive_somewhere, send_and_join, settle_one },
	{ "port joins a set before a message", new_queue, receive_somewhere, join_and_send, settle_one },
	{ "set ends under its receiver", join_set, receive_from_ending_set, end_set_and_send, settle_without_set },
	{ "port dies under its sender", fill_dying_queue, send_briefly, end_queue, settle_dead_queue },
	{ "task ends under its thread", make_victim, give_to_victim, end_victim, settle_victim },
};

#define N_RACES (sizeof races / sizeof races[0])

/* The other thread runs races[going] when round has changed, and says so in done. */
static atomic_uint round_now, done;
static atomic_bool is_over;
static unsigned going, pause_other;

static void hesitate(unsigned turns)
{
	for (volatile unsigned i = 0; i < turns; i++)
		;
}

static void await(atomic_uint *word, unsigned value)
{
	for (unsigned i = 0; atomic_load(word) != value && !atomic_load(&is_over); i++)
		if (i > 200)
			sched_yield();
}

static void *other_main(void *unused)
{
	for (unsigned n = 1;; n++) {
		await(&round_now, n);
		if (atomic_load(&is_over))
			return unused;
		hesitate(pause_other);
		races[going].other();
		atomic_store(&done, n);
	}
}

static unsigned n_rounds_run;

static void run(unsigned which, unsigned n_rounds)
{
	const struct race *race = &races[which];

	race_name = race->name;
	for (unsigned i = 0; i < n_rounds; i++) {
		unsigned pause = (i * 7919u) % 600;

		race->prepare();
		result = other_result = KERN_SUCCESS;
		going = which;
		pause_other = pause > 300 ? pause - 300 : 0;
		atomic_store(&round_now, ++n_rounds_run);
		hesitate(pause < 300 ? 300 - pause : 0);
		race->one();
		await(&done, n_rounds_run);
		race->check();
	}
}

#if HAVE_COUNTS
static void compare_counts(const struct kernel_counts *was)
{
	struct kernel_counts is;

	kernel_counts_read(&is);
	if (memcmp(was, &is, sizeof is))
		fprintf(stderr,
			"races: left over: %ld ports, %ld names, %ld messages, %ld spaces, %ld sets, %ld tasks\n",
			is.ports - was->ports, is.names - was->names, is.messages - was->messages,
			is.spaces - was->spaces, is.sets - was->sets, is.tasks - was->tasks);
	expect(!memcmp(was, &is, sizeof is), "something is left over");
}
#endif

int main(int argc, char **argv)
{
	unsigned n_rounds = argc > 1 ? (unsigned)atoi(argv[1]) : 2000;
	pthread_t other;

	must(task_create(self, FALSE, &child), "task_create");
	notify = new_port();
	must(portunus_thread_create(self, &other, other_main, NULL), "portunus_thread_create");
	for (unsigned i = 0; i < N_RACES; i++) {
#if HAVE_COUNTS
		struct kernel_counts counts;

		kernel_counts_read(&counts);
#endif
		run(i, n_rounds);
#if HAVE_COUNTS
		compare_counts(&counts);
#endif
	}
	atomic_store(&is_over, true);
	pthread_join(other, NULL);
	printf("%u races, %u rounds each, %u wrong\n", (unsigned)N_RACES, n_rounds, atomic_load(&n_wrong));
	return atomic_load(&n_wrong) != 0;
}
