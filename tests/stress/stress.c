/* SPDX-License-Identifier: MIT */
/* Sixteen threads that do whatever can be done with ports, at random and all at once; then everything must be as before.
 *
 *   stress [SECONDS [SEED]]
 *
 * The threads share one name space with a few slots. A slot holds a port: its receive right and one send right.
 *   A1  Anybody may send to, receive from or ask about the name in a slot, also when it is out of date by now.
 *   A2  Only who takes the name out of its slot may end its receive right, and then gives back the slot's send right.
 *   A3  Who receives rights gives back exactly those. Nothing else gives anything back.
 *   A4  A dead-name notification brings a reference, so these go to a port that is never ended before it is empty.
 * So, whatever the order of events, every reference has one owner, and when all have given back theirs the name space
 * holds what it held at the start: a right that leaked or that existed twice leaves a name, or takes one away.
 *
 * A watchdog ends the program if a thread makes no progress. It also aborts waits all the time, which is why some may
 * be without a timeout.
 */
#include <errno.h>
#include <malloc.h>
#include <mach.h>
#include <mach_error.h>
#include <portunus/task.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#if __has_include("kernel/count.h") && !defined(NDEBUG)
#include "kernel/count.h"
#define HAVE_COUNTS 1
#else
#define HAVE_COUNTS 0
#endif

#define N_WORKERS    16
#define N_SLOTS	     24
#define N_SETS	     4
#define N_ROUNDS     5
#define HANG_SECONDS 30
#define HEAP_SLACK   (512 * 1024) /* caches that fill up */

typedef _Atomic mach_port_t slot_t;

struct worker {
	pthread_t thread;
	_Atomic mach_port_t port; /* its thread port, for thread_abort() */
	mach_port_t reply;	  /* a receive right of its own, no send right */
	uint64_t random;
	_Atomic uint64_t n_steps;
	_Atomic int doing;
	uint64_t n_sent, n_received;
};

union buffer {
	mach_msg_header_t header;
	unsigned char bytes[2048];
};

static slot_t slots[N_SLOTS], sets[N_SETS];
static mach_port_t notices; /* where dead-name notifications go: each brings a reference, none may be lost */
static struct worker workers[N_WORKERS];
static atomic_bool stop, finished;
static atomic_uint n_broken;

static void broken(const char *what, kern_return_t r)
{
	fprintf(stderr, "stress: %s: %s\n", what, mach_error_string(r));
	atomic_fetch_add(&n_broken, 1);
}

static void expect(const char *what, kern_return_t r)
{
	if (r)
		broken(what, r);
}

static unsigned draw(struct worker *w, unsigned n)
{
	w->random ^= w->random << 13;
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	return (unsigned)((w->random >> 11) % n);
}

static mach_port_t any_slot(struct worker *w)
{
	return atomic_load(&slots[draw(w, N_SLOTS)]);
}

static mach_port_t any_set(struct worker *w)
{
	return atomic_load(&sets[draw(w, N_SETS)]);
}

/* ---- ports */

static mach_port_t port_new(void)
{
	mach_port_t p = MACH_PORT_NULL;

	expect("allocate", mach_port_allocate(mach_task_self(), MACH_PORT_RIGHT_RECEIVE, &p));
	return p;
}

static mach_port_t port_new_with_send(void)
{
	mach_port_t p = port_new();

	expect("make send", mach_port_insert_right(mach_task_self(), p, p, MACH_MSG_TYPE_MAKE_SEND));
	return p;
}

static void port_end(mach_port_t p)
{
	expect("end a receive right", mach_port_mod_refs(mach_task_self(), p, MACH_PORT_RIGHT_RECEIVE, -1));
}

/* gives back one send, send-once or dead-name reference */
static void drop(mach_port_t p)
{
	if (MACH_PORT_VALID(p))
		expect("drop", mach_port_deallocate(mach_task_self(), p));
}

static void slot_end(slot_t *slot, mach_port_t next)
{
	mach_port_t p = atomic_exchange(slot, next);

	if (p == MACH_PORT_NULL)
		return; /* somebody else has it in hand */
	port_end(p);
	drop(p);
}

static void set_end(slot_t *slot, bool again)
{
	mach_port_t s = atomic_exchange(slot, MACH_PORT_NULL), next = MACH_PORT_NULL;

	if (s != MACH_PORT_NULL)
		expect("end a set", mach_port_mod_refs(mach_task_self(), s, MACH_PORT_RIGHT_PORT_SET, -1));
	if (!again || s == MACH_PORT_NULL)
		return;
	expect("allocate a set", mach_port_allocate(mach_task_self(), MACH_PORT_RIGHT_PORT_SET, &next));
	atomic_store(slot, next);
}

/* ---- messages */

static void append(union buffer *m, mach_msg_size_t *size, const void *data, size_t n)
{
	memcpy(m->bytes + *size, data, n);
	*size += (mach_msg_size_t)((n + MACH_MSG_USER_ALIGNMENT - 1) & ~(size_t)(MACH_MSG_USER_ALIGNMENT - 1));
}

static void append_type(union buffer *m, mach_msg_size_t *size, unsigned name, unsigned bits, unsigned number, bool inl)
{
	mach_msg_type_t type;

	memset(&type, 0, sizeof(type));
	type.msgt_name = name & 0xff;
	type.msgt_size = (unsigned short)bits;
	type.msgt_number = number & 0xfff;
	type.msgt_inline = inl;
	append(m, size, &type, sizeof(type));
}

static void append_port(union buffer *m, mach_msg_size_t *size, unsigned disposition, mach_port_t p)
{
	mach_port_name_inlined_t in;

	memset(&in, 0, sizeof(in));
	in.name = p;
	append_type(m, size, disposition, 8 * sizeof(in), 1, true);
	append(m, size, &in, sizeof(in));
	m->header.msgh_bits |= MACH_MSGH_BITS_COMPLEX;
}

static void append_out_of_line(union buffer *m, mach_msg_size_t *size, unsigned name, unsigned bits, unsigned number,
			       const void *data)
{
	append_type(m, size, name, bits, number, false);
	append(m, size, &data, sizeof(data));
	m->header.msgh_bits |= MACH_MSGH_BITS_COMPLEX;
}

/* everything that came with a message (A3) */
static void message_end(union buffer *m)
{
	if (m->header.msgh_id == MACH_NOTIFY_DEAD_NAME) {
		mach_dead_name_notification_t *n = (void *)m;

		drop(n->not_port); /* the notification brought a reference */
	}
	mach_msg_destroy(&m->header);
}

/* a message that came back unsent holds both its header's rights */
static void message_came_back(union buffer *m)
{
	mach_port_t reply = m->header.msgh_local_port;

	mach_msg_destroy(&m->header);
	drop(reply);
}

static bool receive_notice(void)
{
	union buffer m;

	if (mach_msg(&m.header, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof(m), notices, 0, MACH_PORT_NULL))
		return false;
	message_end(&m);
	return true;
}

static void receive(struct worker *w, mach_port_t name)
{
	union buffer m;
	mach_msg_option_t option = MACH_RCV_MSG | MACH_RCV_INTERRUPT;
	mach_msg_size_t limit = sizeof(m);
	mach_msg_timeout_t timeout = draw(w, 3);

	if (draw(w, 20))
		option |= MACH_RCV_TIMEOUT;
	if (draw(w, 30) == 0)
		limit = sizeof(m.header);
	if (draw(w, 30) == 0)
		option |= MACH_RCV_LARGE;
	if (mach_msg(&m.header, option, 0, limit, name, timeout, MACH_PORT_NULL) != MACH_MSG_SUCCESS)
		return;
	w->n_received++;
	message_end(&m);
}

/* what a message carries: rights that are only copied or made, or a port of the message's own (returned) */
static mach_port_t fill(struct worker *w, union buffer *m, mach_msg_size_t *size, mach_port_t ool[3])
{
	static const char text[3000];
	mach_port_t own = MACH_PORT_NULL;

	switch (draw(w, 8)) {
	case 0:
		append_port(m, size, MACH_MSG_TYPE_COPY_SEND, any_slot(w));
		break;
	case 1:
		append_port(m, size, MACH_MSG_TYPE_MAKE_SEND_ONCE, any_slot(w));
		append_port(m, size, MACH_MSG_TYPE_MAKE_SEND, w->reply);
		break;
	case 2:
		own = port_new();
		append_port(m, size, MACH_MSG_TYPE_MOVE_RECEIVE, own);
		break;
	case 3:
		for (int i = 0; i < 3; i++)
			ool[i] = any_slot(w);
		append_out_of_line(m, size, MACH_MSG_TYPE_COPY_SEND, 32, 3, ool);
		break;
	case 4:
		append_out_of_line(m, size, MACH_MSG_TYPE_BYTE, 8, sizeof(text), text);
		break;
	default:
		break;
	}
	return own;
}

static void send(struct worker *w, mach_port_t to, mach_port_t reply)
{
	union buffer m;
	mach_msg_size_t size = sizeof(m.header);
	mach_port_t ool[3], own;
	mach_msg_option_t option = MACH_SEND_MSG | MACH_SEND_INTERRUPT;
	mach_msg_return_t r;

	memset(&m.header, 0, sizeof(m.header));
	m.header.msgh_bits = MACH_MSGH_BITS(MACH_MSG_TYPE_COPY_SEND, reply ? MACH_MSG_TYPE_MAKE_SEND_ONCE : 0);
	m.header.msgh_remote_port = to;
	m.header.msgh_local_port = reply;
	m.header.msgh_id = 100;
	own = fill(w, &m, &size, ool);
	if (draw(w, 20))
		option |= MACH_SEND_TIMEOUT;
	r = mach_msg(&m.header, option, size, 0, MACH_PORT_NULL, draw(w, 3), MACH_PORT_NULL);
	if (r == MACH_MSG_SUCCESS)
		w->n_sent++;
	else if (r == MACH_SEND_TIMED_OUT || r == MACH_SEND_INTERRUPTED)
		message_came_back(&m);
	else if (own && (r == MACH_SEND_INVALID_DEST || r == MACH_SEND_INVALID_REPLY))
		port_end(own); /* a bad header takes nothing; a bad body takes all */
}

/* ---- what a thread can do */

static void ask_for_notice(struct worker *w)
{
	static const int what[] = { MACH_NOTIFY_DEAD_NAME, MACH_NOTIFY_NO_SENDERS, MACH_NOTIFY_PORT_DESTROYED };
	int id = what[draw(w, 3)];
	mach_port_t before = MACH_PORT_NULL, to = id == MACH_NOTIFY_DEAD_NAME ? notices
						  : draw(w, 2)		      ? w->reply
									      : any_slot(w);

	if (mach_port_request_notification(mach_task_self(), any_slot(w), id, draw(w, 2), to,
					   MACH_MSG_TYPE_MAKE_SEND_ONCE, &before) == KERN_SUCCESS)
		drop(before);
}

static void *child_main(void *data)
{
	mach_port_t queue = (mach_port_t)(uintptr_t)data;
	union buffer m;

	while (mach_msg(&m.header, MACH_RCV_MSG, 0, sizeof(m), queue, 0, MACH_PORT_NULL) == MACH_MSG_SUCCESS)
		mach_msg_destroy(&m.header);
	return NULL;
}

/* a task that is born, holds rights, has threads that wait in it, and dies */
static void live_a_task(struct worker *w)
{
	mach_port_t queue = MACH_PORT_NULL, to = MACH_PORT_NULL;
	mach_msg_type_name_t type;
	pthread_t threads[2];
	unsigned n_threads = draw(w, 3), n = 0;
	task_t child;
	kern_return_t r = task_create(mach_task_self(), FALSE, &child);

	if (r) {
		broken("task_create", r);
		return;
	}
	expect("allocate there", mach_port_allocate(child, MACH_PORT_RIGHT_RECEIVE, &queue));
	expect("extract", mach_port_extract_right(child, queue, MACH_MSG_TYPE_MAKE_SEND, &to, &type));
	mach_port_insert_right(child, 0x5001, any_slot(w), MACH_MSG_TYPE_COPY_SEND);
	mach_port_insert_right(child, 0x5002, any_slot(w), MACH_MSG_TYPE_MAKE_SEND_ONCE);
	for (; n < n_threads; n++)
		if (portunus_thread_create(child, &threads[n], child_main, (void *)(uintptr_t)queue))
			break;
	for (unsigned i = draw(w, 4); i > 0; i--)
		send(w, to, draw(w, 2) ? w->reply : MACH_PORT_NULL);
	expect("task_terminate", task_terminate(child));
	while (n > 0)
		pthread_join(threads[--n], NULL);
	drop(to);
	drop(child);
}

static void look_around(struct worker *w)
{
	mach_port_status_t status;
	mach_port_name_t *names;
	mach_msg_type_number_t n;
	mach_port_urefs_t refs;

	mach_port_get_receive_status(mach_task_self(), any_slot(w), &status);
	mach_port_get_refs(mach_task_self(), any_slot(w), MACH_PORT_RIGHT_SEND, &refs);
	if (mach_port_get_set_status(mach_task_self(), any_set(w), &names, &n) == KERN_SUCCESS && n > 0)
		vm_deallocate(mach_task_self(), (vm_address_t)names, n * sizeof(*names));
	mach_port_set_qlimit(mach_task_self(), any_slot(w), 1 + draw(w, 6));
}

static void step(struct worker *w)
{
	unsigned what = draw(w, 100);

	atomic_store_explicit(&w->doing, (int)what, memory_order_relaxed);
	if (what < 35)
		send(w, any_slot(w), draw(w, 3) ? MACH_PORT_NULL : w->reply);
	else if (what < 55)
		receive(w, any_slot(w));
	else if (what < 65)
		receive(w, any_set(w));
	else if (what < 70)
		receive(w, w->reply);
	else if (what < 72)
		receive_notice();
	else if (what < 78)
		slot_end(&slots[draw(w, N_SLOTS)], port_new_with_send());
	else if (what < 86)
		mach_port_move_member(mach_task_self(), any_slot(w), draw(w, 4) ? any_set(w) : MACH_PORT_NULL);
	else if (what < 88)
		set_end(&sets[draw(w, N_SETS)], true);
	else if (what < 92)
		ask_for_notice(w);
	else if (what < 94)
		live_a_task(w);
	else if (what < 96)
		thread_abort(workers[draw(w, N_WORKERS)].port);
	else
		look_around(w);
}

static void *worker_main(void *data)
{
	struct worker *w = data;

	w->reply = port_new();
	while (!atomic_load(&stop)) {
		step(w);
		atomic_fetch_add_explicit(&w->n_steps, 1, memory_order_relaxed);
	}
	port_end(w->reply);
	return NULL;
}

/* ---- watching */

static void hang(int i, uint64_t n_steps)
{
	fprintf(stderr, "stress: thread %d hangs after %llu steps, doing %d\n", i, (unsigned long long)n_steps,
		atomic_load(&workers[i].doing));
	abort();
}

static void *watchdog_main(void *data)
{
	uint64_t seen[N_WORKERS] = { 0 };
	int idle[N_WORKERS] = { 0 };

	(void)data;
	while (!atomic_load(&finished)) {
		usleep(20000);
		for (int i = 0; i < N_WORKERS; i++) {
			uint64_t n = atomic_load(&workers[i].n_steps);

			thread_abort(workers[i].port);
			idle[i] = n == seen[i] ? idle[i] + 1 : 0;
			seen[i] = n;
			if (idle[i] > HANG_SECONDS * 50)
				hang(i, n);
		}
	}
	return NULL;
}

static unsigned names_here(bool show)
{
	mach_port_name_t *names = NULL;
	mach_port_type_t *types = NULL;
	mach_msg_type_number_t n = 0, n_types = 0;

	expect("names", mach_port_names(mach_task_self(), &names, &n, &types, &n_types));
	for (unsigned i = 0; show && i < n; i++)
		fprintf(stderr, "  name %#x type %#x\n", names[i], types[i]);
	if (n > 0) {
		vm_deallocate(mach_task_self(), (vm_address_t)names, n * sizeof(*names));
		vm_deallocate(mach_task_self(), (vm_address_t)types, n * sizeof(*types));
	}
	return n;
}

/* ---- rounds */

static void round_start(uint64_t seed)
{
	atomic_store(&stop, false);
	notices = port_new();
	for (int i = 0; i < N_SLOTS; i++)
		atomic_store(&slots[i], port_new_with_send());
	for (int i = 0; i < N_SETS; i++) {
		mach_port_t s = MACH_PORT_NULL;

		expect("set", mach_port_allocate(mach_task_self(), MACH_PORT_RIGHT_PORT_SET, &s));
		atomic_store(&sets[i], s);
	}
	for (int i = 0; i < N_WORKERS; i++) {
		workers[i].random = (seed + (uint64_t)i) * 0x9e3779b97f4a7c15u + 1;
		expect("thread",
		       portunus_thread_create(mach_task_self(), &workers[i].thread, worker_main, &workers[i]));
		workers[i].port = portunus_thread_port(workers[i].thread);
	}
}

static void round_end(void)
{
	atomic_store(&stop, true);
	for (int i = 0; i < N_WORKERS; i++)
		pthread_join(workers[i].thread, NULL);
	for (int i = 0; i < N_WORKERS; i++) {
		drop(atomic_exchange(&workers[i].port, MACH_PORT_NULL));
	}
	for (int i = 0; i < N_SETS; i++)
		set_end(&sets[i], false);
	for (int i = 0; i < N_SLOTS; i++)
		slot_end(&slots[i], MACH_PORT_NULL);
	while (receive_notice())
		;
	port_end(notices);
}

#if HAVE_COUNTS
static void compare_counts(const struct kernel_counts *a)
{
	struct kernel_counts b;

	kernel_counts_read(&b);
	if (b.ports == a->ports && b.names == a->names && b.messages == a->messages && b.sets == a->sets &&
	    b.tasks == a->tasks && b.spaces == a->spaces)
		return;
	fprintf(stderr,
		"stress: ports %ld -> %ld, names %ld -> %ld, messages %ld -> %ld, sets %ld -> %ld, "
		"tasks %ld -> %ld, spaces %ld -> %ld\n",
		a->ports, b.ports, a->names, b.names, a->messages, b.messages, a->sets, b.sets, a->tasks, b.tasks,
		a->spaces, b.spaces);
	atomic_fetch_add(&n_broken, 1);
}
#endif

static void run(double seconds, uint64_t seed)
{
	unsigned n_names = names_here(false), after;
	struct timespec pause = { .tv_sec = (time_t)(seconds / N_ROUNDS) };
	size_t heap_first = 0;
#if HAVE_COUNTS
	struct kernel_counts counts;

	kernel_counts_read(&counts);
#endif
	pause.tv_nsec = (long)((seconds / N_ROUNDS - (double)pause.tv_sec) * 1e9);
	for (unsigned round = 0; round < N_ROUNDS; round++) {
		struct timespec left = pause;
		size_t heap;

		round_start(seed + round * 100);
		while (nanosleep(&left, &left) && errno == EINTR)
			;
		round_end();
		after = names_here(false);
		if (after != n_names) {
			fprintf(stderr, "stress: %u names at the start, %u at the end of round %u\n", n_names, after,
				round);
			names_here(true);
			atomic_fetch_add(&n_broken, 1);
			return;
		}
		heap = mallinfo2().uordblks;
		if (round == 0)
			heap_first = heap;
		else if (heap > heap_first + HEAP_SLACK)
			broken("the heap grows", KERN_RESOURCE_SHORTAGE);
#if HAVE_COUNTS
		if (round == 0)
			kernel_counts_read(&counts); /* what is made once and kept is there now */
		else
			compare_counts(&counts);
#endif
	}
}

int main(int argc, char **argv)
{
	double seconds = argc > 1 ? atof(argv[1]) : 5;
	uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) : (uint64_t)time(NULL), n_steps = 0, n_sent = 0,
		 n_received = 0;
	pthread_t watchdog;

	printf("stress: %.0f seconds, seed %llu\n", seconds, (unsigned long long)seed);
	fflush(stdout);
	if (pthread_create(&watchdog, NULL, watchdog_main, NULL))
		return 2;
	run(seconds, seed);
	atomic_store(&finished, true);
	pthread_join(watchdog, NULL);
	for (int i = 0; i < N_WORKERS; i++) {
		n_steps += workers[i].n_steps;
		n_sent += workers[i].n_sent;
		n_received += workers[i].n_received;
	}
	printf("stress: %llu steps, %llu messages sent, %llu received, %u wrong\n", (unsigned long long)n_steps,
	       (unsigned long long)n_sent, (unsigned long long)n_received, atomic_load(&n_broken));
	return atomic_load(&n_broken) ? 1 : 0;
}
