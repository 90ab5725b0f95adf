/* SPDX-License-Identifier: MIT */
/* Memory runs out, at each place where it can.
 *
 *   alloc-fail [SCENARIO]
 *
 * A scenario is a few dozen calls that a program might make. It runs with its first allocation failing, then with its
 * second, and so on until it makes fewer than that. The linker puts us between the library and malloc(), calloc(),
 * realloc(), mmap(), tsearch() and pthread_create(): all that the library allocates with. Each time
 *   F1  the call at hand succeeds, or returns an error that means want of memory
 *   F2  a call that promises to change nothing when it fails has changed nothing, and succeeds when it is repeated
 *   F3  at the end of the scenario each port's count of rights is the number of rights that there are
 *   F4  when its tasks have ended there are as many kernel objects, names and bytes as before; what the library keeps
 *       for later is let pass by running again: a leak grows each time, a cache does not
 * The scenario runs in a task of its own, in a thread of its own, so that it finds empty tables and caches. */
#include "alloc-fail.h"

#include <errno.h>
#include <malloc.h>
#include <search.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kernel/accept.h"
#include "kernel/count.h"
#include "kernel/kernel.h"
#include "kernel/message.h"
#include "kernel/port.h"
#include "kernel/space.h"
#include "kernel/task.h"
#include "kernel/thread.h"
#include "platform/usercopy.h"
#include "want.h"

#ifdef NDEBUG /* then nobody counts them */
static void kernel_counts_read(struct kernel_counts *counts)
{
	*counts = (struct kernel_counts){ 0 };
}
#endif

/* ---- between the library and the host */

static _Thread_local bool is_armed;
static unsigned long n_allocations, fail_at; /* of the armed thread */
static bool has_failed;
static atomic_long heap_bytes, page_bytes;

static bool fails_now(void)
{
	if (!is_armed || ++n_allocations != fail_at)
		return false;
	has_failed = true;
	errno = ENOMEM;
	return true;
}

static void *heap_page; /* a block that begins a page, as the large ones may */

static void *note_heap(void *p)
{
	if ((uintptr_t)p % vm_page_size == 0)
		heap_page = p;
	if (p)
		heap_bytes += (long)malloc_usable_size(p);
	return p;
}

#define WRAP(result, name, ...) \
	result __real_##name(__VA_ARGS__); \
	result __wrap_##name(__VA_ARGS__); \
	result __wrap_##name(__VA_ARGS__)

WRAP(void *, malloc, size_t n)
{
	return fails_now() ? NULL : note_heap(__real_malloc(n));
}

WRAP(void *, calloc, size_t n, size_t size)
{
	return fails_now() ? NULL : note_heap(__real_calloc(n, size));
}

WRAP(void *, realloc, void *p, size_t n)
{
	long before = p ? (long)malloc_usable_size(p) : 0;
	void *now = fails_now() ? NULL : __real_realloc(p, n);

	heap_bytes -= now ? before : 0;
	return note_heap(now);
}

WRAP(void, free, void *p)
{
	if (p)
		heap_bytes -= (long)malloc_usable_size(p);
	__real_free(p);
}

static void *note_pages(void *p, size_t n)
{
	if (p != MAP_FAILED)
		page_bytes += (long)n;
	return p;
}

WRAP(void *, mmap, void *p, size_t n, int protection, int flags, int fd, off_t at)
{
	return fails_now() ? MAP_FAILED : note_pages(__real_mmap(p, n, protection, flags, fd, at), n);
}

WRAP(void *, mmap64, void *p, size_t n, int protection, int flags, int fd, off_t at)
{
	return fails_now() ? MAP_FAILED : note_pages(__real_mmap64(p, n, protection, flags, fd, at), n);
}

WRAP(int, munmap, void *p, size_t n)
{
	page_bytes -= (long)n;
	return __real_munmap(p, n);
}

/* Allocates a node, which it may do inside the C library. */
WRAP(void *, tsearch, const void *key, void **tree, int (*compare)(const void *, const void *))
{
	return fails_now() ? NULL : __real_tsearch(key, tree, compare);
}

WRAP(int, pthread_create, pthread_t *t, const pthread_attr_t *attr, void *(*start)(void *), void *argument)
{
	return fails_now() ? EAGAIN : __real_pthread_create(t, attr, start, argument);
}

/* The library keeps some pages for later, but looks first whether they can still be written: let them be gone, so that it
 * has to ask the host. */
WRAP(bool, user_writable, void *p, size_t n)
{
	bool begins_page = (uintptr_t)p % vm_page_size == 0 && p != heap_page;

	return !(is_armed && begins_page) && __real_user_writable(p, n);
}

/* ---- complaints */

static const char *scenario_name = "";
static unsigned n_wrong;

static void complain(const char *format, ...)
{
	va_list arguments;

	fprintf(stderr, "alloc-fail: %s, allocation %lu: ", scenario_name, fail_at);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	n_wrong++;
}

/* The library has aborted, or worse: say where. */
static void on_crash(int sig)
{
	char line[200];
	int n = snprintf(line, sizeof line, "alloc-fail: %s, allocation %lu: crash\n", scenario_name, fail_at);

	if (write(STDERR_FILENO, line, (size_t)n) < 0)
		_exit(3);
	signal(sig, SIG_DFL);
	raise(sig);
}

void expect(bool is_so, const char *what)
{
	if (!is_so)
		complain("%s", what);
}

/* ---- judging calls */

static long pages_before, pages_after;

void arm(void)
{
	pages_before = page_bytes;
	is_armed = true;
}

void disarm(void)
{
	if (is_armed)
		pages_after = page_bytes;
	is_armed = false;
}

bool went_well(const char *call, kern_return_t r)
{
	disarm();
	if (r == KERN_SUCCESS)
		return true;
	if (!has_failed || !means_want(r))
		complain("%s gave %#x %s", call, (unsigned)r, mach_error_string(r));
	return false;
}

bool succeeds_now(const char *call, kern_return_t r)
{
	if (r)
		complain("%s gave %#x %s, with nothing failing", call, (unsigned)r, mach_error_string(r));
	return r == KERN_SUCCESS;
}

/* What a program can see of a task, hashed. Counters that only grow are left out. */
static uint64_t mix(uint64_t hash, uint64_t value)
{
	return (hash ^ value) * 0x100000001b3u;
}

static uint64_t picture_of_name(uint64_t hash, task_t task, mach_port_name_t name, mach_port_type_t type)
{
	mach_port_status_t status;
	mach_port_rights_t n = 0;
	mach_port_urefs_t refs;

	hash = mix(mix(hash, name), type);
	for (mach_port_right_t right = 0; right < MACH_PORT_RIGHT_NUMBER; right++)
		if (mach_port_get_refs(task, name, right, &refs) == KERN_SUCCESS)
			hash = mix(hash, refs);
	if (!(type & MACH_PORT_TYPE_RECEIVE))
		return hash;
	mach_port_get_receive_status(task, name, &status);
	mach_port_get_srights(task, name, &n);
	hash = mix(mix(mix(hash, status.mps_pset), status.mps_msgcount), n);
	return mix(mix(mix(hash, status.mps_sorights), status.mps_nsrequest), status.mps_pdrequest);
}

static uint64_t picture_of_task(uint64_t hash, task_t self, task_t task)
{
	mach_msg_type_number_t n = 0, n_types = 0;
	mach_port_name_t *names = NULL;
	mach_port_type_t *types = NULL;

	if (mach_port_names(task, &names, &n, &types, &n_types))
		return hash;
	for (unsigned i = 0; i < n; i++)
		hash = picture_of_name(hash, task, names[i], types[i]);
	vm_deallocate(self, (vm_address_t)names, n * sizeof *names);
	vm_deallocate(self, (vm_address_t)types, n * sizeof *types);
	return hash;
}

/* By messages it would take long. */
uint64_t picture(void)
{
	bool sends = target_is_always_sent_to;
	task_t self = mach_task_self();
	uint64_t hash;

	target_is_always_sent_to = false;
	hash = picture_of_task(picture_of_task(0xcbf29ce484222325u, self, self), self, TASK_B);
	target_is_always_sent_to = sends;
	return hash;
}

bool is_unchanged(const char *call, uint64_t before)
{
	bool is_same = picture() == before && pages_after <= pages_before;

	if (!is_same)
		complain("%s failed, and changed something", call);
	return is_same;
}

/* ---- F3: rights counted */

struct tally {
	const struct port *port;
	unsigned n_srights, n_sorights;
};

static void tally_right(struct tally *t, const struct right *right)
{
	if (right->port != t->port)
		return;
	t->n_srights += right->kind == RIGHT_SEND;
	t->n_sorights += right->kind == RIGHT_SEND_ONCE;
}

static void tally_message(struct tally *t, const struct message *m)
{
	if (!m)
		return;
	tally_right(t, &m->dest);
	tally_right(t, &m->reply);
	if (m->accept)
		tally_message(t, m->accept->notice);
	for (uint32_t i = 0; i < m->n_items; i++)
		for (uint32_t k = 0; k < m->items[i].n_rights; k++)
			tally_right(t, &(struct right){ item_ports(&m->items[i])[k], m->items[i].right });
}

static void tally_port(struct tally *t, struct port *p)
{
	list_for_each(m, &p->messages, struct message, port_link)
		tally_message(t, m);
	tally_message(t, p->no_senders);
	tally_message(t, p->port_destroyed);
}

static void tally_name(struct tally *t, const struct name *name)
{
	if (!(name->type & MACH_PORT_TYPE_PORT_RIGHTS))
		return;
	if (name->port == t->port) {
		t->n_srights += (name->type & MACH_PORT_TYPE_SEND) != 0;
		t->n_sorights += (name->type & MACH_PORT_TYPE_SEND_ONCE) != 0;
	}
	if (!port_is_dead(name->port))
		tally_message(t, name->dead_request);
	if (name->type & MACH_PORT_TYPE_RECEIVE)
		tally_port(t, name->port);
}

#define for_each_name(name, space) \
	for (uint32_t bucket = 0; bucket < (space)->by_name.n_buckets; bucket++) \
		for (struct name *name = (space)->by_name.buckets[bucket]; name; name = name->next_by_name)

static void tally_task(struct tally *t, struct task *task)
{
	for_each_name(name, task->space) tally_name(t, name);
	tally_right(t, &task->bootstrap);
	for (unsigned i = 0; i < task->n_registered; i++)
		tally_right(t, &task->registered[i]);
}

static void audit_port(const struct port *p, struct task *const tasks[3])
{
	struct tally t = { p, 0, 0 };

	for (int i = 0; i < 3; i++)
		tally_task(&t, tasks[i]);
	if (t.n_srights != p->n_srights || t.n_sorights != p->n_sorights)
		complain("port %#x counts %u send and %u send-once rights, but there are %u and %u", p->name,
			 p->n_srights, p->n_sorights, t.n_srights, t.n_sorights);
}

/* No other thread is about. */
static void audit(void)
{
	struct task *tasks[3] = { kernel_root_task(), thread_self()->task, NULL };

	if (task_lookup(thread_self()->task, TASK_B, &tasks[2]))
		return; /* the scenario has ended it */
	for (int i = 1; i < 3; i++)
		for_each_name(name, tasks[i]->space) if (name->type & MACH_PORT_TYPE_RECEIVE)
			audit_port(name->port, tasks);
	task_unref(tasks[2]);
}

/* ---- running */

static void *scenario_main(void *data)
{
	const struct scenario *s = data;

	if (!s->names_itself) {
		mach_task_self();
		mach_thread_self();
	}
	s->run();
	disarm();
	audit();
	return NULL;
}

static void must(const char *what, kern_return_t r)
{
	if (r == KERN_SUCCESS)
		return;
	complain("%s: %s", what, mach_error_string(r));
	exit(2);
}

static void run_once(const struct scenario *s)
{
	pthread_t thread;
	task_t a, b;

	has_failed = false;
	n_allocations = 0;
	must("task_create", task_create(mach_task_self(), FALSE, &a));
	must("task_create", task_create(mach_task_self(), FALSE, &b));
	must("insert", mach_port_insert_right(a, TASK_B, b, MACH_MSG_TYPE_COPY_SEND));
	must("thread_create", portunus_thread_create(a, &thread, scenario_main, (void *)s));
	pthread_join(thread, NULL);
	must("task_terminate", task_terminate(a));
	task_terminate(b);
	must("deallocate", mach_port_deallocate(mach_task_self(), a));
	must("deallocate", mach_port_deallocate(mach_task_self(), b));
}

static void expect_counts(const struct kernel_counts *was)
{
	struct kernel_counts is;

	kernel_counts_read(&is);
	if (!memcmp(was, &is, sizeof is))
		return;
	complain("left over: %ld ports, %ld names, %ld messages, %ld spaces, %ld sets, %ld tasks, %ld threads",
		 is.ports - was->ports, is.names - was->names, is.messages - was->messages, is.spaces - was->spaces,
		 is.sets - was->sets, is.tasks - was->tasks, is.threads - was->threads);
}

/* The library keeps small messages for later, up to some number. */
static void fill_caches(void)
{
	mach_msg_header_t m = { .msgh_bits = MACH_MSGH_BITS(MACH_MSG_TYPE_MAKE_SEND_ONCE, 0) };

	m.msgh_remote_port = mach_reply_port();
	for (int i = 0; i < 200; i++)
		must("mach_msg", mach_msg(&m, MACH_SEND_MSG, sizeof m, 0, MACH_PORT_NULL, 0, MACH_PORT_NULL));
	must("mach_port_destroy", mach_port_destroy(mach_task_self(), m.msgh_remote_port));
}

/* Ports' memory is kept as well; pieces of it may differ by a few bytes, so it is given back before bytes are counted. */
static long heap_in_use(void)
{
	spares_drain(&thread_current->spare_ports);
	return heap_bytes;
}

/* F4. Runs the scenario with one failure; again when bytes seem to be left over. False: it has no such allocation. */
static bool run_balanced(const struct scenario *s, unsigned long which)
{
	struct kernel_counts counts;
	long heap, pages;

	fail_at = which;
	for (int i = 0; i < 4; i++) {
		fill_caches(); /* a failure before this one may have used up some of them */
		kernel_counts_read(&counts);
		heap = heap_in_use();
		pages = page_bytes;
		run_once(s);
		expect_counts(&counts);
		if (heap_in_use() <= heap && page_bytes <= pages)
			return has_failed;
	}
	complain("leaks %ld bytes of the heap and %ld of pages", heap_in_use() - heap, page_bytes - pages);
	return has_failed;
}

static void run_scenario(const struct scenario *s)
{
	unsigned before = n_wrong;
	unsigned long n = 0;

	scenario_name = s->name;
	run_once(s); /* tables of our own task grow */
	run_balanced(s, 0);
	while (n_wrong - before < 10 && run_balanced(s, n + 1))
		n++;
	expect(n > 0, "the scenario allocates nothing");
	printf("%s: %lu allocations, each failed in turn\n", s->name, n);
}

int main(int argc, char **argv)
{
	mach_task_self();
	mach_thread_self();
	signal(SIGABRT, on_crash);
	for (const struct scenario *s = scenarios; s->name; s++)
		if (argc < 2 || !strcmp(argv[1], s->name))
			run_scenario(s);
	fflush(stdout);
	return n_wrong != 0;
}
