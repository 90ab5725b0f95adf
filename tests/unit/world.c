/* SPDX-License-Identifier: MIT */
#include "world.h"

#include <dirent.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* ---- entering tasks */

static task_t visited, way_back;

task_t here(void)
{
	return mach_task_self();
}

void in_task_begin(task_t task)
{
	assert_int_equal(visited, MACH_PORT_NULL);
	if (task == mach_task_self())
		return;
	way_back = portunus_task_enter(task);
	assert_int_not_equal(way_back, MACH_PORT_NULL);
	visited = task;
}

/* gives back the two references that entering and returning made */
void in_task_end(void)
{
	task_t again;

	if (visited == MACH_PORT_NULL)
		return;
	again = portunus_task_enter(way_back);
	if (MACH_PORT_VALID(again))
		mach_port_deallocate(mach_task_self(), again);
	mach_port_deallocate(visited, way_back);
	visited = MACH_PORT_NULL;
}

/* ---- wild pointers */

static struct sigaction on_fault[2];

/* The first call of all has put the library's handlers there. */
static void note_who_handles_faults(void)
{
	static bool is_noted;

	if (is_noted)
		return;
	is_noted = true;
	sigaction(SIGSEGV, NULL, &on_fault[0]);
	sigaction(SIGBUS, NULL, &on_fault[1]);
}

void expect_wild_pointers(void)
{
	sigaction(SIGSEGV, &on_fault[0], NULL);
	sigaction(SIGBUS, &on_fault[1], NULL);
}

/* ---- the balance */

static unsigned count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	if (!d)
		return 0;
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* Bytes of anonymous memory that no allocator of the C library owns: what vm_allocate and out-of-line memory would leave.
 * Thread stacks are kept by the C library for reuse and differ by whole stacks; they are not counted. */
static unsigned long count_mapped(void)
{
	FILE *f = fopen("/proc/self/maps", "re");
	unsigned long total = 0, from, to;
	char line[512], perms[8];
	int inode;

	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "%lx-%lx %7s %*x %*s %d", &from, &to, perms, &inode) == 4 && inode == 0 &&
		    strncmp(perms, "rw", 2) == 0 && !strchr(line, '[') && to - from < 1 << 20)
			total += to - from;
	fclose(f);
	return total;
}

int world_setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	if (!w)
		return -1;
	mach_host_self();
	note_who_handles_faults();
	mach_thread_self();
	w->n_names = names_in(here());
	w->n_fds = count_fds();
	w->n_mapped = count_mapped();
	expect_ok(task_create(here(), FALSE, &w->a));
	expect_ok(task_create(here(), FALSE, &w->b));
	*state = w;
	return 0;
}

int world_teardown(void **state)
{
	struct world *w = *state;

	in_task_end();
	end_notices();
	if (type_of(here(), w->a) == MACH_PORT_TYPE_SEND)
		expect_ok(task_terminate(w->a));
	if (type_of(here(), w->b) == MACH_PORT_TYPE_SEND)
		expect_ok(task_terminate(w->b));
	expect_ok(mach_port_deallocate(here(), w->a));
	expect_ok(mach_port_deallocate(here(), w->b));
	mach_thread_self(); /* its name went when the thread entered another task */
	expect_eq(names_in(here()), w->n_names);
	expect_eq(count_fds(), w->n_fds);
	/* the library and malloc() may keep some memory for later, but not that of a message of these tests */
	assert_true(count_mapped() < w->n_mapped + (4 << 20));
	free(w);
	return 0;
}

void expect_result_at(const char *what, kern_return_t got, kern_return_t expected, const char *file, int line)
{
	if (got == expected)
		return;
	print_error("%s\n  gave     %#x %s\n  expected %#x %s\n", what, (unsigned)got, mach_error_string(got),
		    (unsigned)expected, mach_error_string(expected));
	_fail(file, line);
}

/* ---- rights */

mach_port_t port_in(task_t task)
{
	mach_port_t p = MACH_PORT_NULL;

	expect_ok(mach_port_allocate(task, MACH_PORT_RIGHT_RECEIVE, &p));
	return p;
}

mach_port_t port_with_send_in(task_t task)
{
	mach_port_t p = port_in(task);

	in_task_begin(task);
	expect_ok(mach_port_insert_right(mach_task_self(), p, p, MACH_MSG_TYPE_MAKE_SEND));
	in_task_end();
	return p;
}

mach_port_t set_in(task_t task)
{
	mach_port_t s = MACH_PORT_NULL;

	expect_ok(mach_port_allocate(task, MACH_PORT_RIGHT_PORT_SET, &s));
	return s;
}

mach_port_t dead_name_in(task_t task)
{
	mach_port_t d = MACH_PORT_NULL;

	expect_ok(mach_port_allocate(task, MACH_PORT_RIGHT_DEAD_NAME, &d));
	return d;
}

/* a right made from a port of one task, put into another under a free name, through the test's own task */
static mach_port_t give(task_t from, mach_port_t port, task_t to, unsigned how, unsigned as)
{
	static mach_port_t next = 0x6000;
	mach_port_t passing = MACH_PORT_NULL;
	mach_msg_type_name_t type;
	kern_return_t r;

	expect_ok(mach_port_extract_right(from, port, how, &passing, &type));
	if (to == here())
		return passing;
	r = mach_port_insert_right(to, ++next, passing, as);
	expect_ok(r);
	return next;
}

mach_port_t give_send(task_t from, mach_port_t port, task_t to)
{
	return give(from, port, to, MACH_MSG_TYPE_MAKE_SEND, MACH_MSG_TYPE_MOVE_SEND);
}

mach_port_t give_send_once(task_t from, mach_port_t port, task_t to)
{
	return give(from, port, to, MACH_MSG_TYPE_MAKE_SEND_ONCE, MACH_MSG_TYPE_MOVE_SEND_ONCE);
}

mach_port_t send_once_in(task_t task, mach_port_t port)
{
	return give_send_once(task, port, task);
}

mach_port_type_t type_of(task_t task, mach_port_t name)
{
	mach_port_type_t type;

	return mach_port_type(task, name, &type) == KERN_SUCCESS ? type : 0;
}

unsigned refs_of(task_t task, mach_port_t name, mach_port_right_t right)
{
	mach_port_urefs_t n;

	return mach_port_get_refs(task, name, right, &n) == KERN_SUCCESS ? n : 0;
}

mach_port_status_t status_of(task_t task, mach_port_t port)
{
	mach_port_status_t s;

	expect_ok(mach_port_get_receive_status(task, port, &s));
	return s;
}

unsigned send_rights(task_t task, mach_port_t port)
{
	mach_port_rights_t n = 0;

	expect_ok(mach_port_get_srights(task, port, &n));
	return n;
}

static void *ask_for_own_name(void *unused)
{
	mach_task_self();
	return unused;
}

/* A task may or may not have named itself, as suits the library: so it is made to. By a thread of its own, since this
 * one's name for itself would go if it entered the task. */
static void name_itself(task_t task)
{
	pthread_t t;

	expect_ok(portunus_thread_create(task, &t, ask_for_own_name, NULL));
	pthread_join(t, NULL);
}

unsigned names_in(task_t task)
{
	mach_port_name_t *names = NULL;
	mach_port_type_t *types = NULL;
	mach_msg_type_number_t n = 0, n_types = 0;

	name_itself(task);
	expect_ok(mach_port_names(task, &names, &n, &types, &n_types));
	if (n > 0) {
		vm_deallocate(mach_task_self(), (vm_address_t)names, n * sizeof(*names));
		vm_deallocate(mach_task_self(), (vm_address_t)types, n * sizeof(*types));
	}
	return n - 1;
}

kern_return_t end_receive(task_t task, mach_port_t port)
{
	return mach_port_mod_refs(task, port, MACH_PORT_RIGHT_RECEIVE, -1);
}

/* ---- messages */

void letter_add_raw(struct letter *l, const void *data, size_t size)
{
	size_t padded = (size + MACH_MSG_USER_ALIGNMENT - 1) / MACH_MSG_USER_ALIGNMENT * MACH_MSG_USER_ALIGNMENT;

	assert_true(l->size + padded <= sizeof(l->bytes));
	memset(l->bytes + l->size, 0, padded);
	memcpy(l->bytes + l->size, data, size);
	l->size += (mach_msg_size_t)padded;
}

void letter_to(struct letter *l, mach_port_t to, unsigned disposition, int id)
{
	memset(&l->header, 0, sizeof(l->header));
	l->header.msgh_bits = MACH_MSGH_BITS(disposition, 0);
	l->header.msgh_remote_port = to;
	l->header.msgh_id = id;
	l->size = sizeof(l->header);
}

void letter_reply_to(struct letter *l, mach_port_t reply, unsigned disposition)
{
	l->header.msgh_bits |= MACH_MSGH_BITS(0, disposition);
	l->header.msgh_local_port = reply;
}

void letter_add_type(struct letter *l, unsigned name, unsigned bits, unsigned number, bool is_inline, bool deallocate)
{
	mach_msg_type_t type;

	memset(&type, 0, sizeof(type));
	type.msgt_name = (unsigned char)name;
	type.msgt_size = (unsigned char)bits;
	type.msgt_number = number;
	if (type.msgt_number != number) { /* only the long form has room */
		letter_add_long_type(l, name, bits, number, is_inline, deallocate);
		return;
	}
	type.msgt_inline = is_inline;
	type.msgt_deallocate = deallocate;
	letter_add_raw(l, &type, sizeof(type));
}

void letter_add_long_type(struct letter *l, unsigned name, unsigned bits, unsigned number, bool is_inline,
			  bool deallocate)
{
	mach_msg_type_long_t type;

	memset(&type, 0, sizeof(type));
	type.msgtl_name = (unsigned char)name;
	type.msgtl_size = (unsigned short)bits;
	type.msgtl_number = number;
	type.msgtl_header.msgt_inline = is_inline;
	type.msgtl_header.msgt_longform = 1;
	type.msgtl_header.msgt_deallocate = deallocate;
	letter_add_raw(l, &type, sizeof(type));
}

void letter_add_int(struct letter *l, int value)
{
	letter_add_type(l, MACH_MSG_TYPE_INTEGER_32, 32, 1, true, false);
	letter_add_raw(l, &value, sizeof(value));
}

void letter_add_port(struct letter *l, mach_port_t name, unsigned disposition)
{
	mach_port_name_inlined_t in;

	memset(&in, 0, sizeof(in));
	in.name = name;
	letter_add_type(l, disposition, 8 * sizeof(in), 1, true, false);
	letter_add_raw(l, &in, sizeof(in));
	l->header.msgh_bits |= MACH_MSGH_BITS_COMPLEX;
}

void letter_add_memory(struct letter *l, const void *data, unsigned size, bool deallocate)
{
	letter_add_type(l, MACH_MSG_TYPE_BYTE, 8, size, false, deallocate);
	letter_add_raw(l, &data, sizeof(data));
	l->header.msgh_bits |= MACH_MSGH_BITS_COMPLEX;
}

mach_msg_return_t post(task_t task, struct letter *l)
{
	mach_msg_return_t r;

	in_task_begin(task);
	r = mach_msg(&l->header, MACH_SEND_MSG | MACH_SEND_TIMEOUT, l->size, 0, MACH_PORT_NULL, 0, MACH_PORT_NULL);
	in_task_end();
	return r;
}

mach_msg_return_t fetch_with(task_t task, mach_port_t name, struct letter *l, mach_msg_option_t option,
			     mach_msg_size_t limit)
{
	mach_msg_return_t r;

	memset(l->bytes, 0x5a, 256);
	in_task_begin(task);
	r = mach_msg(&l->header, MACH_RCV_MSG | MACH_RCV_TIMEOUT | option, 0, limit, name, 0, MACH_PORT_NULL);
	in_task_end();
	l->size = r ? 0 : l->header.msgh_size;
	return r;
}

mach_msg_return_t fetch(task_t task, mach_port_t name, struct letter *l)
{
	return fetch_with(task, name, l, 0, sizeof(l->bytes));
}

void destroy_letter(task_t task, struct letter *l)
{
	in_task_begin(task);
	mach_msg_destroy(&l->header);
	in_task_end();
}

const mach_msg_type_t *letter_type(const struct letter *l)
{
	assert_true(l->size > sizeof(l->header));
	return (const void *)(l->bytes + sizeof(l->header));
}

static const unsigned char *letter_data(const struct letter *l)
{
	const mach_msg_type_t *type = letter_type(l);

	return (const unsigned char *)type + (type->msgt_longform ? sizeof(mach_msg_type_long_t) : sizeof(*type));
}

mach_port_t letter_port(const struct letter *l)
{
	mach_port_t name;

	assert_true(letter_type(l)->msgt_inline);
	memcpy(&name, letter_data(l), sizeof(name));
	return name;
}

void *letter_memory(const struct letter *l, unsigned *size)
{
	const mach_msg_type_t *type = letter_type(l);
	const mach_msg_type_long_t *lt = (const void *)type;
	void *p;

	assert_false(type->msgt_inline);
	*size = type->msgt_longform ? lt->msgtl_number * lt->msgtl_size / 8 : type->msgt_number * type->msgt_size / 8;
	memcpy(&p, letter_data(l), sizeof(p));
	return p;
}

mach_msg_return_t send_id(task_t task, mach_port_t to, int id)
{
	struct letter l;

	letter_to(&l, to, MACH_MSG_TYPE_COPY_SEND, id);
	return post(task, &l);
}

mach_msg_return_t send_moving(task_t task, mach_port_t to, mach_port_t carried)
{
	struct letter l;

	letter_to(&l, to, type_of(task, to) & MACH_PORT_TYPE_SEND ? MACH_MSG_TYPE_COPY_SEND : MACH_MSG_TYPE_MAKE_SEND,
		  0);
	letter_add_port(&l, carried, MACH_MSG_TYPE_MOVE_SEND);
	return post(task, &l);
}

mach_msg_return_t send_moving_receive(task_t task, mach_port_t to, mach_port_t carried)
{
	struct letter l;

	letter_to(&l, to, type_of(task, to) & MACH_PORT_TYPE_SEND ? MACH_MSG_TYPE_COPY_SEND : MACH_MSG_TYPE_MAKE_SEND,
		  0);
	letter_add_port(&l, carried, MACH_MSG_TYPE_MOVE_RECEIVE);
	return post(task, &l);
}

void expect_message(task_t task, mach_port_t name, int id)
{
	struct letter l;

	expect_ok(fetch(task, name, &l));
	expect_eq(l.header.msgh_id, id);
	destroy_letter(task, &l);
}

void expect_no_message(task_t task, mach_port_t name)
{
	struct letter l;

	expect_result(fetch(task, name, &l), MACH_RCV_TIMED_OUT);
}

/* ---- notifications */

static struct {
	task_t task;
	mach_port_t port;
} notices[8];

static mach_port_t notices_of(task_t task)
{
	size_t i = 0;

	while (i < 8 && notices[i].task != task && notices[i].task != MACH_PORT_NULL)
		i++;
	assert_true(i < 8);
	if (notices[i].task == MACH_PORT_NULL) {
		notices[i].task = task;
		notices[i].port = port_in(task);
	}
	return notices[i].port;
}

void end_notices(void)
{
	for (size_t i = 0; i < 8; i++)
		if (notices[i].task == mach_task_self())
			end_receive(notices[i].task, notices[i].port);
	memset(notices, 0, sizeof(notices));
}

kern_return_t watch(task_t task, int notice, mach_port_t name)
{
	mach_port_t to = notices_of(task), previous = MACH_PORT_NULL;
	kern_return_t r;

	in_task_begin(task);
	r = mach_port_request_notification(mach_task_self(), name, notice, 0, to, MACH_MSG_TYPE_MAKE_SEND_ONCE,
					   &previous);
	in_task_end();
	assert_int_equal(previous, MACH_PORT_NULL);
	return r;
}

kern_return_t watch_no_senders(task_t task, mach_port_t name)
{
	return watch(task, NO_SENDERS, name);
}

kern_return_t watch_dead_name(task_t task, mach_port_t name)
{
	return watch(task, DEAD_NAME, name);
}

void expect_notice(task_t task, int notice, mach_port_t name)
{
	struct letter l;

	expect_ok(fetch(task, notices_of(task), &l));
	expect_eq(l.header.msgh_id, notice);
	if (notice == DEAD_NAME || notice == PORT_DELETED)
		expect_eq(letter_port(&l), name);
	if (notice == DEAD_NAME)
		expect_ok(mach_port_deallocate(task, name)); /* the notice brought a reference */
	destroy_letter(task, &l);
	expect_no_notice(task);
}

bool await_notice(task_t task, unsigned timeout)
{
	struct letter l;
	mach_msg_return_t r;

	in_task_begin(task);
	r = mach_msg(&l.header, MACH_RCV_MSG | MACH_RCV_TIMEOUT | MACH_RCV_LARGE, 0, 0, notices_of(task), timeout,
		     MACH_PORT_NULL);
	in_task_end();
	return r == MACH_RCV_TOO_LARGE;
}

void expect_no_notice(task_t task)
{
	expect_no_message(task, notices_of(task));
}

/* ---- callers */

static void *caller_main(void *data)
{
	struct caller *c = data;

	atomic_store(&c->tid, (int)syscall(SYS_gettid));
	c->result = mach_msg(&c->letter.header, c->option, c->letter.size, sizeof(c->letter.bytes), c->receive_from,
			     c->timeout, MACH_PORT_NULL);
	atomic_store(&c->done, true);
	return NULL;
}

/* Does the thread sleep in a futex wait? The kernel tells; where it does not, sleeping in general must do. */
static bool thread_sleeps(int tid)
{
	char path[64], text[512] = "", *state;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
	f = fopen(path, "re");
	if (!f)
		return false;
	if (!fgets(text, sizeof(text), f))
		text[0] = '\0';
	fclose(f);
	state = strrchr(text, ')');
	return state && state[1] == ' ' && state[2] == 'S';
}

static void nap(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
}

/* Seen asleep several times in a row: not just for a lock. */
bool caller_sleeps(struct caller *c)
{
	for (int i = 0; i < 5; i++) {
		if (atomic_load(&c->done) || !thread_sleeps(atomic_load(&c->tid)))
			return false;
		nap();
	}
	return true;
}

void caller_start(struct caller *c, task_t task)
{
	atomic_store(&c->done, false);
	atomic_store(&c->tid, 0);
	expect_ok(portunus_thread_create(task, &c->thread, caller_main, c));
	while (atomic_load(&c->tid) == 0 || (!atomic_load(&c->done) && !caller_sleeps(c)))
		sched_yield();
}

void caller_start_receive(struct caller *c, task_t task, mach_port_t name, mach_msg_option_t option)
{
	c->option = MACH_RCV_MSG | option;
	c->letter.size = 0;
	c->receive_from = name;
	c->timeout = 0;
	caller_start(c, task);
}

void caller_start_send(struct caller *c, task_t task, mach_msg_option_t option)
{
	c->option = MACH_SEND_MSG | option;
	c->receive_from = MACH_PORT_NULL;
	c->timeout = 0;
	caller_start(c, task);
}

mach_msg_return_t caller_join(struct caller *c)
{
	assert_int_equal(pthread_join(c->thread, NULL), 0);
	return c->result;
}
