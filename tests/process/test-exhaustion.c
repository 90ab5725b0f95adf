/* SPDX-License-Identifier: MIT */
/* A process that has used up what the host gives it: descriptors, memory, the size of files; and rings that are full. The call at
 * hand says so, nothing is lost, and all that needs no more goes on, there and elsewhere. */
#include "trio.h"

#include <errno.h>
#include <fcntl.h>
#include <portunus/fileport.h>
#include <portunus/spawn.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FILL_MAX = 1024, BIG = 4 << 20, LARGE = 6000, FLOOD = 2000 };

/* ---- what is used up --------------------------------------------------------------------------------------------- */

static struct rlimit usual[RLIM_NLIMITS];

static void limit(int resource, rlim_t value)
{
	struct rlimit now;

	assert_true(getrlimit(resource, &now) == 0);
	usual[resource] = now;
	now.rlim_cur = value;
	assert_true(setrlimit(resource, &now) == 0);
}

static void unlimit(int resource)
{
	assert_true(setrlimit(resource, &usual[resource]) == 0);
}

/* Every descriptor below the limit is taken, so that not one is left. */
static int fillers[FILL_MAX];
static unsigned n_fillers;

static void do_use_up_descriptors(long *n)
{
	limit(RLIMIT_NOFILE, 512);
	while (n_fillers < FILL_MAX && (fillers[n_fillers] = fcntl(0, F_DUPFD_CLOEXEC, 0)) >= 0)
		n_fillers++;
	assert_true(errno == EMFILE && n_fillers > 0);
	n[0] = n_fillers;
}

static void do_free_descriptors(long *n)
{
	(void)n;
	while (n_fillers)
		close(fillers[--n_fillers]);
	unlimit(RLIMIT_NOFILE);
}

static rlim_t address_space(void)
{
	unsigned long pages = 0;
	FILE *f = fopen("/proc/self/statm", "re");

	assert_true(f && fscanf(f, "%lu", &pages) == 1);
	fclose(f);
	return (rlim_t)pages * vm_page_size;
}

/* What is mapped may be used; what the allocator holds is enough for what is small. */
static void do_use_up_memory(long *n)
{
	limit(RLIMIT_AS, address_space() + (rlim_t)n[0]);
}

static void do_free_memory(long *n)
{
	(void)n;
	unlimit(RLIMIT_AS);
}

static void do_forbid_files(long *n)
{
	signal(SIGXFSZ, SIG_IGN);
	limit(RLIMIT_FSIZE, (rlim_t)n[0]);
}

static void do_allow_files(long *n)
{
	(void)n;
	unlimit(RLIMIT_FSIZE);
}

/* ---- what goes on ------------------------------------------------------------------------------------------------ */

/* Messages to and fro over links that there are. */
static void expect_exchange(struct process *a, struct process *b)
{
	mach_port_t port = port_at(a), name = give_send_to(a, port, b);

	for (int i = 0; i < 10; i++) {
		expect_ok(send_id_at(b, name, i));
		expect_message_at(a, port, i);
	}
	expect_ok(destroy_at(a, port));
	await(type_at(b, name) == MACH_PORT_TYPE_DEAD_NAME);
	expect_ok(deallocate_at(b, name));
}

/* ---- descriptors ------------------------------------------------------------------------------------------------- */

static void do_make_file_port(long *n)
{
	fileport_t port = MACH_PORT_NULL;

	n[0] = fileport_makeport(0, &port) == 0 ? 0 : errno;
	n[1] = port;
}

static void do_make_fd(long *n)
{
	int fd = fileport_makefd((fileport_t)n[0]);

	n[0] = fd >= 0 ? 0 : errno;
	if (fd >= 0)
		close(fd);
}

static void do_spawn(long *n)
{
	char path[] = "/bin/true", *argv[] = { path, NULL };
	struct portunus_spawn how = { .path = path, .argv = argv };
	pid_t pid;

	n[0] = portunus_spawn(&how, &pid, NULL);
	if (n[0] == KERN_SUCCESS)
		assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_true(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD); /* none that nobody knows of */
}

static void calls_that_need_a_descriptor_say_that_there_is_none(struct process *owner, struct process *holder)
{
	long n[NUMBERS] = { 0 };
	mach_port_t file;

	expect_eq(ask_all(owner, do_make_file_port, n), 0);
	file = give(owner, (mach_port_t)n[1], MACH_MSG_TYPE_COPY_SEND, holder);
	expect_eq(ask(holder, do_make_fd, file), 0);
	ask(holder, do_use_up_descriptors);
	expect_eq(ask(holder, do_make_file_port), EMFILE);
	expect_eq(ask(holder, do_make_fd, file), EMFILE);
	expect_eq(ask(holder, do_spawn), KERN_RESOURCE_SHORTAGE);
	expect_exchange(holder, owner);
	ask(holder, do_free_descriptors);
	expect_eq(ask(holder, do_make_fd, file), 0); /* the right is as good as before */
	expect_ok(deallocate_at(holder, file));
	expect_ok(deallocate_at(owner, (mach_port_t)n[1]));
}

static void the_owner_of_a_file_port_may_have_no_descriptor_left(struct process *owner, struct process *holder)
{
	long n[NUMBERS] = { 0 };
	mach_port_t file;

	expect_eq(ask_all(owner, do_make_file_port, n), 0);
	file = give(owner, (mach_port_t)n[1], MACH_MSG_TYPE_COPY_SEND, holder);
	ask(owner, do_use_up_descriptors);
	expect_eq(ask(holder, do_make_fd, file), EMFILE);
	expect_exchange(owner, holder);
	ask(owner, do_free_descriptors);
	expect_eq(ask(holder, do_make_fd, file), 0);
	expect_ok(deallocate_at(holder, file));
	expect_ok(deallocate_at(owner, (mach_port_t)n[1]));
}

/* More than a frame in the ring takes. */
static struct letter large_letter(mach_port_t to, int id)
{
	struct letter l;

	letter_to(&l, to, MACH_MSG_TYPE_COPY_SEND, id);
	memset(l.bytes + sizeof l.header, id, LARGE);
	l.size = (mach_msg_size_t)sizeof l.header + LARGE;
	return l;
}

struct huge {
	mach_port_t name;
	mach_msg_return_t result;
};

enum { HUGE_BODY = 200000 };

static void do_send_huge(void *arg)
{
	struct huge *huge = arg;
	mach_msg_header_t *m = calloc(1, sizeof *m + HUGE_BODY);

	*m = (mach_msg_header_t){ .msgh_bits = MACH_MSGH_BITS(MACH_MSG_TYPE_COPY_SEND, 0), .msgh_id = 77 };
	m->msgh_remote_port = huge->name;
	memset(m + 1, 0x5a, HUGE_BODY);
	huge->result = mach_msg(m, MACH_SEND_MSG, (mach_msg_size_t)sizeof *m + HUGE_BODY, 0, MACH_PORT_NULL, 0,
				MACH_PORT_NULL);
	free(m);
}

static void do_receive_huge(void *arg)
{
	struct huge *huge = arg;
	mach_msg_header_t *m = calloc(1, sizeof *m + HUGE_BODY);

	huge->result = mach_msg(m, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, (mach_msg_size_t)sizeof *m + HUGE_BODY,
				huge->name, 30000, MACH_PORT_NULL);
	assert_true(huge->result || (m->msgh_id == 77 && ((unsigned char *)(m + 1))[HUGE_BODY - 1] == 0x5a));
	free(m);
}

static void expect_huge(struct process *from, mach_port_t name, struct process *to, mach_port_t port)
{
	struct huge huge = { name, 0 };

	at(from, do_send_huge, &huge, sizeof huge);
	expect_ok(huge.result);
	huge.name = port;
	at(to, do_receive_huge, &huge, sizeof huge);
	expect_ok(huge.result);
}

/* Neither end needs a descriptor for that. */
static void large_messages_go_on_without_descriptors(struct process *owner, struct process *holder)
{
	mach_port_t port = port_at(owner), name = give_send_to(owner, port, holder);

	ask(owner, do_use_up_descriptors);
	expect_huge(holder, name, owner, port);
	ask(owner, do_free_descriptors);
	ask(holder, do_use_up_descriptors);
	expect_huge(holder, name, owner, port);
	ask(holder, do_free_descriptors);
	expect_ok(destroy_at(owner, port));
	await(type_at(holder, name) == MACH_PORT_TYPE_DEAD_NAME);
	expect_ok(deallocate_at(holder, name));
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

struct bulk_errand {
	mach_port_t name;
	unsigned size;
	mach_msg_return_t result;
	bool has_bytes;
};

static void do_send_bulk(void *arg)
{
	struct bulk_errand *e = arg;
	vm_address_t at = 0;
	struct letter l;

	expect_ok(vm_allocate(here(), &at, e->size, TRUE));
	memset((void *)at, 0x77, e->size);
	letter_to(&l, e->name, MACH_MSG_TYPE_COPY_SEND, 5);
	letter_add_memory(&l, (void *)at, e->size, false);
	e->result = mach_msg(&l.header, MACH_SEND_MSG, l.size, 0, MACH_PORT_NULL, 0, MACH_PORT_NULL);
	expect_ok(vm_deallocate(here(), at, e->size));
}

static void do_receive_bulk(void *arg)
{
	struct bulk_errand *e = arg;
	struct letter l;
	unsigned size;
	unsigned char *at;

	e->result =
		mach_msg(&l.header, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof l.bytes, e->name, 30000, MACH_PORT_NULL);
	l.size = l.header.msgh_size;
	at = letter_memory(&l, &size);
	assert_true(l.header.msgh_id == 5 && size == e->size);
	e->has_bytes = at && at[0] == 0x77 && at[size - 1] == 0x77;
	if (at)
		expect_ok(vm_deallocate(here(), (vm_address_t)at, size));
}

static void send_bulk(struct process *from, mach_port_t name, unsigned size)
{
	struct bulk_errand e = { .name = name, .size = size };

	at(from, do_send_bulk, &e, sizeof e);
	expect_ok(e.result);
}

static struct bulk_errand receive_bulk(struct process *to, mach_port_t port, unsigned size)
{
	struct bulk_errand e = { .name = port, .size = size };

	at(to, do_receive_bulk, &e, sizeof e);
	return e;
}

/* The message comes, the memory does not, and whoever receives is told. What needs less comes whole. */
static void memory_that_finds_no_place_is_told_of(struct process *owner, struct process *holder)
{
	mach_port_t port = port_at(owner), name = give_send_to(owner, port, holder);
	struct bulk_errand e;

	ask(owner, do_use_up_memory, BIG / 2);
	send_bulk(holder, name, BIG);
	send_bulk(holder, name, BIG / 16);
	e = receive_bulk(owner, port, BIG);
	expect_result(e.result, MACH_RCV_BODY_ERROR | MACH_MSG_VM_KERNEL);
	assert_false(e.has_bytes);
	e = receive_bulk(owner, port, BIG / 16);
	expect_ok(e.result);
	assert_true(e.has_bytes);
	expect_exchange(owner, holder);
	ask(owner, do_free_memory);
	send_bulk(holder, name, BIG);
	e = receive_bulk(owner, port, BIG);
	expect_ok(e.result);
	assert_true(e.has_bytes);
	expect_ok(destroy_at(owner, port));
	await(type_at(holder, name) == MACH_PORT_TYPE_DEAD_NAME);
	expect_ok(deallocate_at(holder, name));
}

static void do_allocate(long *n)
{
	vm_address_t at = 0;

	n[0] = vm_allocate(here(), &at, BIG, TRUE);
}

struct copy_errand {
	mach_port_t name;
	mach_msg_return_t result;
};

/* Memory that has to be copied before it can be sent. */
static void do_send_copy(void *arg)
{
	static unsigned char bytes[BIG];
	struct copy_errand *e = arg;
	struct letter l;

	letter_to(&l, e->name, MACH_MSG_TYPE_COPY_SEND, 6);
	letter_add_memory(&l, bytes, BIG, false);
	e->result = mach_msg(&l.header, MACH_SEND_MSG, l.size, 0, MACH_PORT_NULL, 0, MACH_PORT_NULL);
}

static void calls_that_need_memory_say_that_there_is_none(struct process *owner, struct process *holder)
{
	mach_port_t port = port_at(owner), name = give_send_to(owner, port, holder);
	struct copy_errand e = { .name = name };

	ask(holder, do_use_up_memory, BIG / 2);
	expect_result((kern_return_t)ask(holder, do_allocate), KERN_RESOURCE_SHORTAGE);
	at(holder, do_send_copy, &e, sizeof e);
	expect_result(e.result, MACH_SEND_NO_BUFFER);
	expect_no_message_at(owner, port);
	expect_exchange(holder, owner);
	ask(holder, do_free_memory);
	expect_ok(destroy_at(owner, port));
	await(type_at(holder, name) == MACH_PORT_TYPE_DEAD_NAME);
	expect_ok(deallocate_at(holder, name));
}

/* ---- the size of files: the rings are files in memory ------------------------------------------------------------ */

static void who_may_make_no_file_of_the_size_of_a_ring_cannot_spawn(struct process *owner, struct process *holder)
{
	ask(holder, do_forbid_files, 4096);
	expect_eq(ask(holder, do_spawn), KERN_RESOURCE_SHORTAGE);
	expect_exchange(owner, holder);
	ask(holder, do_allow_files);
	expect_ok((kern_return_t)ask(holder, do_spawn));
}

/* ---- a ring that is full ----------------------------------------------------------------------------------------- */

static void do_raise_limit(long *n)
{
	n[0] = mach_port_set_qlimit(here(), (mach_port_t)n[0], MACH_PORT_QLIMIT_MAX);
}

struct flood_errand {
	mach_port_t name;
	unsigned n_sent;
};

/* As many as the queue takes, to somebody who takes nothing out of the ring. */
static void do_flood(void *arg)
{
	struct flood_errand *e = arg;
	mach_msg_return_t r = MACH_MSG_SUCCESS;

	while (e->n_sent < FLOOD && !r) {
		struct letter l = large_letter(e->name, (int)e->n_sent % 100);

		r = post(here(), &l);
		e->n_sent += r == MACH_MSG_SUCCESS;
	}
	if (r) {
		assert_true(r == MACH_SEND_TIMED_OUT);
		expect_ok(mach_port_deallocate(here(), e->name));
	}
}

/* It is stopped while it is sent more than a ring holds; then all is there, in order. */
static void what_finds_no_room_in_a_ring_waits(struct process *a, struct process *b, struct process *c)
{
	mach_port_t port = port_at(a), name = give_send_to(a, port, b);
	struct flood_errand e = { .name = name };
	struct letter l;

	expect_ok((kern_return_t)ask(a, do_raise_limit, port));
	kill(a->pid, SIGSTOP);
	at(b, do_flood, &e, sizeof e);
	assert_true(e.n_sent * LARGE > 65536);
	expect_exchange(b, c); /* others do not wait */
	kill(a->pid, SIGCONT);
	for (unsigned i = 0; i < e.n_sent; i++) {
		expect_ok(receive_at(a, port, &l));
		expect_eq(l.header.msgh_id, i % 100);
		expect_eq(l.bytes[sizeof l.header + LARGE - 1], i % 100);
	}
	expect_no_message_at(a, port);
	expect_ok(destroy_at(a, port));
	await(type_at(b, name) == MACH_PORT_TYPE_DEAD_NAME);
	expect_ok(deallocate_at(b, name));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		pair_test(calls_that_need_a_descriptor_say_that_there_is_none, "child holds", 0, 1),
		pair_test(calls_that_need_a_descriptor_say_that_there_is_none, "siblings", 1, 2),
		pair_test(the_owner_of_a_file_port_may_have_no_descriptor_left, "child owns", 1, 0),
		pair_test(the_owner_of_a_file_port_may_have_no_descriptor_left, "siblings", 1, 2),
		pair_test(large_messages_go_on_without_descriptors, "siblings", 1, 2),
		pair_test(memory_that_finds_no_place_is_told_of, "child owns", 1, 0),
		pair_test(memory_that_finds_no_place_is_told_of, "siblings", 1, 2),
		pair_test(calls_that_need_memory_say_that_there_is_none, "siblings", 1, 2),
		pair_test(who_may_make_no_file_of_the_size_of_a_ring_cannot_spawn, "siblings", 1, 2),
		trio_test(what_finds_no_room_in_a_ring_waits, "siblings", 1, 2, 3),
	};

	return family_main(argc, argv, tests);
}
