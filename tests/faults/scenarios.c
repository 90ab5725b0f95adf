/* SPDX-License-Identifier: MIT */
/* What a program might be doing when memory runs out: together, every call that allocates. See alloc-fail.c. */
#include "alloc-fail.h"

#include <errno.h>
#include <fcntl.h>
#include <mach/mig_support.h>
#include <mach/notify.h>
#include <portunus/fileport.h>
#include <portunus/poll.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#define self mach_task_self()
#define PAGE vm_page_size

/* ---- messages */

struct letter {
	union {
		mach_msg_header_t header;
		unsigned char bytes[200 * 1024];
	};
	mach_msg_size_t size;
};

static struct letter out, in;

static void write_to(mach_port_t to, mach_msg_type_name_t disposition, mach_port_t reply)
{
	memset(&out.header, 0, sizeof out.header);
	out.header.msgh_bits = MACH_MSGH_BITS(disposition, reply ? MACH_MSG_TYPE_MAKE_SEND_ONCE : 0);
	out.header.msgh_remote_port = to;
	out.header.msgh_local_port = reply;
	out.header.msgh_id = 4242;
	out.size = sizeof out.header;
}

static void append(const void *data, size_t n)
{
	memcpy(out.bytes + out.size, data, n);
	out.size += (mach_msg_size_t)((n + MACH_MSG_USER_ALIGNMENT - 1) & ~(size_t)(MACH_MSG_USER_ALIGNMENT - 1));
}

static void append_type(unsigned name, size_t bits, unsigned number, bool is_inline, bool deallocate)
{
	mach_msg_type_t type;

	memset(&type, 0, sizeof type);
	type.msgt_name = name & 0xff;
	type.msgt_size = (unsigned short)bits;
	type.msgt_number = number & 0xfff;
	type.msgt_inline = is_inline;
	type.msgt_deallocate = deallocate;
	append(&type, sizeof type);
	out.header.msgh_bits |= MACH_MSGH_BITS_COMPLEX;
}

static void append_ports(const mach_port_t *ports, unsigned n, mach_msg_type_name_t disposition)
{
	mach_port_name_inlined_t inlined[64];

	memset(inlined, 0, sizeof inlined);
	for (unsigned i = 0; i < n; i++)
		inlined[i].name = ports[i];
	append_type(disposition, 8 * sizeof inlined[0], n, true, false);
	append(inlined, n * sizeof inlined[0]);
}

static void append_port(mach_port_t port, mach_msg_type_name_t disposition)
{
	append_ports(&port, 1, disposition);
}

static void append_out_of_line(unsigned name, size_t bits, unsigned number, const void *data, bool deallocate)
{
	append_type(name, bits, number, false, deallocate);
	append(&data, sizeof data);
}

static mach_msg_return_t post(mach_msg_option_t option, mach_port_t notify)
{
	return mach_msg(&out.header, MACH_SEND_MSG | MACH_SEND_TIMEOUT | option, out.size, 0, MACH_PORT_NULL, 0,
			notify);
}

static mach_msg_return_t fetch(mach_port_t from, mach_msg_option_t option, mach_port_t notify)
{
	return mach_msg(&in.header, MACH_RCV_MSG | MACH_RCV_TIMEOUT | option, 0, sizeof in.bytes, from, 0, notify);
}

static mach_port_t new_port(void)
{
	mach_port_t port = MACH_PORT_NULL;

	expect(!mach_port_allocate(self, MACH_PORT_RIGHT_RECEIVE, &port), "allocate");
	return port;
}

static mach_port_t new_port_with_send(void)
{
	mach_port_t port = new_port();

	expect(!mach_port_insert_right(self, port, port, MACH_MSG_TYPE_MAKE_SEND), "make a send right");
	return port;
}

/* A send right to a port of the second task. */
static mach_port_t send_right_to_b(void)
{
	mach_port_t there = MACH_PORT_NULL, here = MACH_PORT_NULL;
	mach_msg_type_name_t type;

	expect(!mach_port_allocate(TASK_B, MACH_PORT_RIGHT_RECEIVE, &there), "allocate there");
	expect(!mach_port_extract_right(TASK_B, there, MACH_MSG_TYPE_MAKE_SEND, &here, &type), "extract");
	return here;
}

/* What was sent is received, and given back. */
static void deliver(mach_port_t queue)
{
	if (!TRY(post(0, MACH_PORT_NULL)))
		return;
	if (TRY(fetch(queue, 0, MACH_PORT_NULL)) || (in.header.msgh_bits & MACH_MSGH_BITS_COMPLEX))
		mach_msg_destroy(&in.header);
}

/* ---- names */

static void own_names(void)
{
	mach_port_t names[5];

	arm();
	names[0] = mach_task_self();
	names[1] = mach_thread_self();
	names[2] = mach_host_self();
	names[3] = mach_reply_port();
	names[4] = mig_get_reply_port();
	disarm();
	for (int i = 0; i < 5; i++)
		if (names[i] == MACH_PORT_NULL)
			expect(!i || mach_task_self() != MACH_PORT_NULL, "no name for the task later");
	expect(mach_thread_self() && mach_host_self() && mig_get_reply_port(), "a name cannot be had later");
}

static void ports_and_sets(void)
{
	mach_port_name_t *names;
	mach_port_type_t *types;
	mach_msg_type_number_t n, n_types;
	mach_port_t p, set, dead;

	KEEP(mach_port_allocate(self, MACH_PORT_RIGHT_RECEIVE, &p));
	KEEP(mach_port_allocate(self, MACH_PORT_RIGHT_PORT_SET, &set));
	KEEP(mach_port_allocate(self, MACH_PORT_RIGHT_DEAD_NAME, &dead));
	KEEP(mach_port_allocate_name(self, MACH_PORT_RIGHT_RECEIVE, 0x1000));
	KEEP(mach_port_allocate_name(self, MACH_PORT_RIGHT_PORT_SET, 0x1001));
	KEEP(mach_port_allocate_name(self, MACH_PORT_RIGHT_DEAD_NAME, 0x1002));
	KEEP(mach_port_allocate(TASK_B, MACH_PORT_RIGHT_RECEIVE, &dead));
	KEEP(mach_port_rename(self, 0x1000, 0x2000));
	KEEP(mach_port_rename(self, set, 0x2001));
	KEEP(mach_port_move_member(self, p, 0x2001));
	KEEP(mach_port_move_member(self, 0x2000, 0x2001));
	KEEP(mach_port_get_set_status(self, 0x2001, &names, &n));
	MUST(vm_deallocate(self, (vm_address_t)names, n * sizeof *names));
	KEEP(mach_port_names(self, &names, &n, &types, &n_types));
	MUST(vm_deallocate(self, (vm_address_t)names, n * sizeof *names));
	MUST(vm_deallocate(self, (vm_address_t)types, n * sizeof *types));
	KEEP(mach_port_mod_refs(self, 0x2001, MACH_PORT_RIGHT_PORT_SET, -1));
	KEEP(mach_port_destroy(self, p));
}

/* The tables of names grow. */
static void many_names(void)
{
	mach_port_t p;

	for (int i = 0; i < 70; i++) {
		KEEP(mach_port_allocate(self, MACH_PORT_RIGHT_RECEIVE, &p));
		if (TRY(mach_port_insert_right(TASK_B, 0x100000u + (unsigned)i, p, MACH_MSG_TYPE_MAKE_SEND)))
			continue;
		MUST(mach_port_insert_right(TASK_B, 0x100000u + (unsigned)i, p, MACH_MSG_TYPE_MAKE_SEND));
	}
}

static void rights_between_tasks(void)
{
	mach_port_t p = new_port(), q = new_port_with_send(), got;
	mach_msg_type_name_t type;

	KEEP(mach_port_insert_right(self, p, p, MACH_MSG_TYPE_MAKE_SEND));
	KEEP(mach_port_insert_right(TASK_B, 0x77, p, MACH_MSG_TYPE_COPY_SEND));
	KEEP(mach_port_extract_right(TASK_B, 0x77, MACH_MSG_TYPE_COPY_SEND, &got, &type));
	/* A right that is moved or made goes with a call that fails, as in a message; a send-once right says so. */
	if (!TRY(mach_port_insert_right(TASK_B, 0x78, p, MACH_MSG_TYPE_MAKE_SEND_ONCE)))
		return;
	TRY(mach_port_extract_right(self, q, MACH_MSG_TYPE_MAKE_SEND_ONCE, &got, &type));
	if (!TRY(mach_port_insert_right(TASK_B, 0x79, q, MACH_MSG_TYPE_MOVE_RECEIVE)))
		return;
	TRY(mach_port_insert_right(TASK_B, 0x79, q, MACH_MSG_TYPE_MOVE_SEND));
	TRY(mach_port_extract_right(TASK_B, 0x79, MACH_MSG_TYPE_MOVE_RECEIVE, &got, &type));
	TRY(mach_port_extract_right(TASK_B, 0x78, MACH_MSG_TYPE_MOVE_SEND_ONCE, &got, &type));
}

/* ---- notifications */

static void notifications(void)
{
	static const int kinds[] = { MACH_NOTIFY_NO_SENDERS, MACH_NOTIFY_PORT_DESTROYED, MACH_NOTIFY_DEAD_NAME };
	mach_port_t notify = new_port(), p = new_port_with_send(), there = send_right_to_b(), previous;

	for (int i = 0; i < 3; i++)
		for (int again = 0; again < 2; again++)
			TRY(mach_port_request_notification(self, p, kinds[i], kinds[i] != MACH_NOTIFY_PORT_DESTROYED,
							   notify, MACH_MSG_TYPE_MAKE_SEND_ONCE, &previous));
	TRY(mach_port_request_notification(self, there, MACH_NOTIFY_DEAD_NAME, 1, notify, MACH_MSG_TYPE_MAKE_SEND_ONCE,
					   &previous));
	TRY(mach_port_request_notification(self, p, MACH_NOTIFY_DEAD_NAME, 0, MACH_PORT_NULL,
					   MACH_MSG_TYPE_MOVE_SEND_ONCE, &previous));
	KEEP(mach_port_rename(self, there, 0x3333));
	TRY(mach_port_deallocate(self, p));
	TRY(mach_port_mod_refs(self, p, MACH_PORT_RIGHT_RECEIVE, -1));
	TRY(task_terminate(TASK_B));
	while (mach_msg(&in.header, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof in.bytes, notify, 0, MACH_PORT_NULL) ==
	       KERN_SUCCESS)
		mach_msg_destroy(&in.header);
}

/* Nobody can be told that there is no memory to tell him. */
static void unused_send_once_rights(void)
{
	mach_port_t p = new_port(), rights[24];
	mach_msg_type_name_t type;

	for (int i = 0; i < 24; i++)
		MUST(mach_port_extract_right(self, p, MACH_MSG_TYPE_MAKE_SEND_ONCE, &rights[i], &type));
	for (int i = 0; i < 24; i++)
		SURE(mach_port_deallocate(self, rights[i]));
	for (int i = 0; i < 24; i++) {
		MUST(fetch(p, 0, MACH_PORT_NULL));
		expect(in.header.msgh_id == MACH_NOTIFY_SEND_ONCE, "no send-once notification");
	}
}

/* ---- messages */

static void plain_messages(void)
{
	static const mach_msg_size_t sizes[] = { 0, 64, 232, 400, 4096, 150 * 1024 };
	mach_port_t p = new_port_with_send(), reply = new_port();

	for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		write_to(p, MACH_MSG_TYPE_COPY_SEND, reply);
		out.size += sizes[i];
		KEEP(post(0, MACH_PORT_NULL));
		if (!TRY(fetch(p, 0, MACH_PORT_NULL)))
			return;
		expect(in.header.msgh_id == 4242 && in.header.msgh_size == out.size, "another message");
		mach_msg_destroy(&in.header);
	}
}

static void inline_rights(void)
{
	mach_port_t queue = new_port_with_send(), p = new_port_with_send(), moved = new_port_with_send();
	mach_port_t several[12];

	for (int i = 0; i < 12; i++)
		several[i] = send_right_to_b();
	write_to(queue, MACH_MSG_TYPE_COPY_SEND, p);
	append_port(p, MACH_MSG_TYPE_COPY_SEND);
	append_port(p, MACH_MSG_TYPE_MAKE_SEND);
	append_port(p, MACH_MSG_TYPE_MAKE_SEND_ONCE);
	append_ports(several, 5, MACH_MSG_TYPE_COPY_SEND);
	append_ports(several + 5, 7, MACH_MSG_TYPE_MOVE_SEND);
	append_port(moved, MACH_MSG_TYPE_MOVE_RECEIVE);
	append_port(moved, MACH_MSG_TYPE_MOVE_SEND);
	deliver(queue);
}

/* Rights that are new to the receiver: each needs a name. */
static void rights_for_another_task(void)
{
	mach_port_t queue = new_port_with_send(), p, moved;
	task_t home;

	MUST(mach_port_insert_right(TASK_B, 0x99, queue, MACH_MSG_TYPE_MOVE_RECEIVE));
	write_to(queue, MACH_MSG_TYPE_COPY_SEND, new_port());
	for (int i = 0; i < 4; i++) {
		p = new_port();
		moved = new_port();
		append_port(p, MACH_MSG_TYPE_MAKE_SEND);
		append_port(p, MACH_MSG_TYPE_MAKE_SEND_ONCE);
		append_port(moved, MACH_MSG_TYPE_MOVE_RECEIVE);
	}
	if (!TRY(post(0, MACH_PORT_NULL)))
		return;
	home = portunus_task_enter(TASK_B);
	mach_task_self();
	if (TRY(fetch(0x99, 0, MACH_PORT_NULL)) || (in.header.msgh_bits & MACH_MSGH_BITS_COMPLEX))
		mach_msg_destroy(&in.header);
	portunus_task_enter(home);
}

static unsigned count_descriptors(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static kern_return_t watch_and_forget(mach_port_t name)
{
	int fd = portunus_port_fd(name);

	if (fd < 0)
		return errno == ENOMEM ? KERN_RESOURCE_SHORTAGE : KERN_FAILURE;
	close(fd);
	return KERN_SUCCESS;
}

static void descriptors_to_poll(void)
{
	mach_port_t p = new_port(), set;

	MUST(mach_port_allocate(self, MACH_PORT_RIGHT_PORT_SET, &set));
	KEEP(watch_and_forget(p));
	KEEP(watch_and_forget(set));
	KEEP(watch_and_forget(p));
}

static kern_return_t file_result(bool is_well)
{
	if (is_well)
		return KERN_SUCCESS;
	return errno == ENOMEM ? KERN_RESOURCE_SHORTAGE : KERN_FAILURE;
}

static kern_return_t file_there_and_back(int fd)
{
	fileport_t port;
	kern_return_t r = file_result(fileport_makeport(fd, &port) == 0);
	int copy;

	if (r)
		return r;
	copy = fileport_makefd(port);
	r = file_result(copy >= 0);
	if (!r)
		close(copy);
	disarm(); /* asked for by message, this needs memory too, and is not what is tried here */
	mach_port_deallocate(self, port);
	return r;
}

static void file_ports(void)
{
	unsigned n = count_descriptors();

	KEEP(file_there_and_back(0));
	KEEP(file_there_and_back(0));
	expect(count_descriptors() == n, "a descriptor is left");
}

static void arrays_of_rights(void)
{
	mach_port_t queue = new_port_with_send(), p = new_port_with_send();
	mach_port_t names[40], *array;
	vm_address_t page = 0;

	for (int i = 0; i < 40; i++)
		names[i] = p;
	write_to(queue, MACH_MSG_TYPE_COPY_SEND, MACH_PORT_NULL);
	append_out_of_line(MACH_MSG_TYPE_COPY_SEND, 32, 40, names, false);
	append_out_of_line(MACH_MSG_TYPE_MAKE_SEND_ONCE, 32, 3, names, false);
	deliver(queue);

	KEEP(vm_allocate(self, &page, PAGE, TRUE));
	array = (mach_port_t *)page;
	for (int i = 0; i < 8; i++)
		array[i] = new_port();
	write_to(queue, MACH_MSG_TYPE_COPY_SEND, MACH_PORT_NULL);
	append_out_of_line(MACH_MSG_TYPE_MOVE_RECEIVE, 32, 8, array, true);
	deliver(queue);
}

static void out_of_line_memory(void)
{
	static unsigned char data[70 * 4096];
	mach_port_t queue = new_port_with_send();
	vm_address_t pages = 0, whole = 0;

	KEEP(vm_allocate(self, &pages, 6 * PAGE, TRUE));
	KEEP(vm_allocate(self, &whole, 64 * PAGE, TRUE));
	memset((void *)whole, 1, 64 * PAGE);
	write_to(queue, MACH_MSG_TYPE_COPY_SEND, MACH_PORT_NULL);
	append_out_of_line(MACH_MSG_TYPE_BYTE, 8, 10, data, false);
	append_out_of_line(MACH_MSG_TYPE_INTEGER_32, 32, 4000, data, false);
	append_out_of_line(MACH_MSG_TYPE_BYTE, 8, 4000, (void *)(pages + 2 * PAGE), true);
	append_out_of_line(MACH_MSG_TYPE_BYTE, 8, 100, (void *)(pages + 4 * PAGE + 5), true);
	append_out_of_line(MACH_MSG_TYPE_INTEGER_64, 64, 2048, (void *)whole, true);
	append_out_of_line(MACH_MSG_TYPE_INTEGER_64, 512, 560, data, false);
	deliver(queue);
}

/* ---- messages that do not go the usual way */

static void message_that_comes_back(void)
{
	mach_port_t queue = send_right_to_b(), p = new_port_with_send(), moved = new_port(), several[3] = { p, p, p };
	static unsigned char data[100];
	mach_msg_return_t r;

	for (unsigned i = 0; i < MACH_PORT_QLIMIT_DEFAULT; i++) {
		write_to(queue, MACH_MSG_TYPE_COPY_SEND, MACH_PORT_NULL);
		MUST(post(0, MACH_PORT_NULL));
	}
	write_to(queue, MACH_MSG_TYPE_COPY_SEND, p);
	append_port(moved, MACH_MSG_TYPE_MOVE_RECEIVE);
	append_ports(several, 3, MACH_MSG_TYPE_COPY_SEND);
	append_out_of_line(MACH_MSG_TYPE_MAKE_SEND_ONCE, 32, 3, several, false);
	append_out_of_line(MACH_MSG_TYPE_BYTE, 8, sizeof data, data, false);
	arm();
	r = post(0, MACH_PORT_NULL);
	if (r != MACH_SEND_TIMED_OUT && !went_well("a send to a full queue", r))
		return;
	disarm();
	expect(r == MACH_SEND_TIMED_OUT, "sent to a full queue");
	mach_msg_destroy(&out.header);
	mach_port_deallocate(self, out.header.msgh_local_port);
}

static void accepted_notification(void)
{
	mach_port_t queue = new_port_with_send(), notify = new_port();
	mach_msg_return_t r;

	MUST(mach_port_set_qlimit(self, queue, 1));
	write_to(queue, MACH_MSG_TYPE_COPY_SEND, MACH_PORT_NULL);
	MUST(post(0, MACH_PORT_NULL));
	write_to(queue, MACH_MSG_TYPE_COPY_SEND, MACH_PORT_NULL);
	arm();
	r = post(MACH_SEND_NOTIFY, notify);
	if (r != MACH_SEND_WILL_NOTIFY && !went_well("MACH_SEND_NOTIFY", r))
		return;
	disarm();
	for (int i = 0; i < 2; i++)
		if (!TRY(fetch(queue, 0, MACH_PORT_NULL)))
			return;
	MUST(fetch(notify, 0, MACH_PORT_NULL));
	expect(in.header.msgh_id == MACH_NOTIFY_MSG_ACCEPTED, "not told that it was accepted");
}

static void reply_right_with_notification(void)
{
	mach_port_t queue = new_port_with_send(), notify = new_port(), reply;
	task_t home;

	MUST(mach_port_insert_right(TASK_B, 0x99, queue, MACH_MSG_TYPE_MOVE_RECEIVE));
	MUST(mach_port_insert_right(TASK_B, 0x9a, notify, MACH_MSG_TYPE_MOVE_RECEIVE));
	reply = new_port();
	write_to(queue, MACH_MSG_TYPE_COPY_SEND, reply);
	KEEP(post(0, MACH_PORT_NULL));
	home = portunus_task_enter(TASK_B);
	if (TRY(fetch(0x99, MACH_RCV_NOTIFY, 0x9a))) {
		MUST(mach_port_destroy(home, reply));
		MUST(fetch(0x9a, 0, MACH_PORT_NULL));
		expect(in.header.msgh_id == MACH_NOTIFY_DEAD_NAME, "not told that the reply port died");
	}
	portunus_task_enter(home);
}

/* ---- ends */

static void fill(mach_port_t queue, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		mach_port_t inner = new_port_with_send();

		write_to(queue, MACH_MSG_TYPE_MAKE_SEND_ONCE, inner);
		append_port(inner, MACH_MSG_TYPE_MOVE_SEND);
		append_port(inner, MACH_MSG_TYPE_MAKE_SEND_ONCE);
		append_out_of_line(MACH_MSG_TYPE_BYTE, 8, 100, out.bytes, false);
		append_port(inner, MACH_MSG_TYPE_MOVE_RECEIVE);
		expect(!post(0, MACH_PORT_NULL), "fill a queue");
	}
}

static void request_all(task_t task, mach_port_t name, mach_port_t notify)
{
	mach_port_t previous;

	for (int id = MACH_NOTIFY_PORT_DESTROYED; id <= MACH_NOTIFY_DEAD_NAME; id++)
		if (id != MACH_NOTIFY_PORT_DESTROYED)
			mach_port_request_notification(task, name, id, 1, notify, MACH_MSG_TYPE_MAKE_SEND_ONCE,
						       &previous);
}

static void death_of_a_port(void)
{
	mach_port_t p = new_port_with_send(), notify = new_port();

	fill(p, 20);
	request_all(self, p, notify);
	SURE(mach_port_destroy(self, p));
}

static void death_of_a_task(void)
{
	mach_port_t p = new_port_with_send(), notify = new_port(), got;
	mach_msg_type_name_t type;

	fill(p, 20);
	request_all(self, p, notify);
	for (unsigned i = 0; i < 10; i++) {
		MUST(mach_port_insert_right(TASK_B, 0x100 + i, p, MACH_MSG_TYPE_MAKE_SEND_ONCE));
		MUST(mach_port_insert_right(TASK_B, 0x200 + i, new_port(), MACH_MSG_TYPE_MAKE_SEND));
	}
	MUST(mach_port_insert_right(TASK_B, 0x99, p, MACH_MSG_TYPE_MOVE_RECEIVE));
	MUST(mach_port_extract_right(TASK_B, 0x99, MACH_MSG_TYPE_MAKE_SEND, &got, &type));
	SURE(task_terminate(TASK_B));
}

/* ---- tasks and threads */

static void tasks(void)
{
	mach_port_t p = new_port_with_send(), ports[2] = { p, p }, *found, got;
	mach_msg_type_number_t n;
	task_t child;

	KEEP(task_set_special_port(self, TASK_BOOTSTRAP_PORT, p));
	KEEP(mach_ports_register(self, ports, 2));
	KEEP(task_create(self, FALSE, &child));
	KEEP(mach_ports_lookup(child, &found, &n));
	MUST(vm_deallocate(self, (vm_address_t)found, n * sizeof *found));
	KEEP(task_get_special_port(child, TASK_BOOTSTRAP_PORT, &got));
	KEEP(task_get_special_port(child, TASK_KERNEL_PORT, &got));
	KEEP(task_terminate(child));
	KEEP(mach_ports_register(self, NULL, 0));
}

/* What is looked up is new to whoever looks. */
static void registered_ports(void)
{
	mach_port_t ports[2] = { send_right_to_b(), send_right_to_b() }, *found, got;
	mach_msg_type_number_t n;

	MUST(mach_ports_register(TASK_B, ports, 2));
	MUST(task_set_special_port(TASK_B, TASK_BOOTSTRAP_PORT, ports[0]));
	MUST(mach_port_deallocate(self, ports[0]));
	MUST(mach_port_deallocate(self, ports[1]));
	new_port(); /* the two names that were freed are used up */
	new_port();
	KEEP(mach_ports_lookup(TASK_B, &found, &n));
	MUST(mach_port_deallocate(self, found[0]));
	KEEP(task_get_special_port(TASK_B, TASK_BOOTSTRAP_PORT, &got));
}

static task_t enter(task_t task)
{
	task_t home;

	arm();
	home = portunus_task_enter(task);
	disarm();
	return home;
}

static void entering_a_task(void)
{
	uint64_t before = picture();
	task_t home = enter(TASK_B), there;

	if (home == MACH_PORT_NULL) {
		is_unchanged("portunus_task_enter", before);
		home = portunus_task_enter(TASK_B);
		expect(home != MACH_PORT_NULL, "a task cannot be entered later");
	}
	there = enter(home);
	if (there == MACH_PORT_NULL) {
		there = portunus_task_enter(home);
		expect(there != MACH_PORT_NULL, "no way back");
	}
}

static void *ask_for_port(void *port)
{
	*(mach_port_t *)port = mach_thread_self();
	return NULL;
}

static void threads(void)
{
	mach_port_t ports[3];
	pthread_t t[3];

	for (int i = 0; i < 3; i++) {
		KEEP(portunus_thread_create(i == 2 ? self : TASK_B, &t[i], ask_for_port, &ports[i]));
		pthread_join(t[i], NULL);
		expect(ports[i] != MACH_PORT_NULL, "the thread has no port");
	}
	arm();
	ports[0] = portunus_thread_port(pthread_self());
	disarm();
}

/* ---- memory */

static void memory(void)
{
	vm_address_t a = 0, b = 0;

	KEEP(vm_allocate(self, &a, 9 * PAGE, TRUE));
	KEEP(vm_allocate(TASK_B, &b, 3 * PAGE, TRUE));
	KEEP(vm_deallocate(self, a + PAGE, PAGE));
	KEEP(vm_deallocate(self, a + 4 * PAGE, 2 * PAGE));
	KEEP(vm_allocate(self, &(vm_address_t){ a + PAGE }, PAGE, FALSE));
	KEEP(vm_deallocate(self, a, 4 * PAGE));
	KEEP(vm_deallocate(self, b, 3 * PAGE));
	arm();
	mig_allocate(&a, PAGE);
	disarm();
}

/* ---- servers */

static boolean_t demux(mach_msg_header_t *request, mach_msg_header_t *reply)
{
	(void)request;
	((mig_reply_header_t *)reply)->RetCode = KERN_SUCCESS;
	return TRUE;
}

static void server(void)
{
	mach_port_t queue = new_port_with_send(), reply = new_port();
	mach_msg_return_t r;

	for (mach_msg_size_t extra = 0; extra <= 8192; extra += 8192) {
		write_to(queue, MACH_MSG_TYPE_COPY_SEND, reply);
		out.size += extra;
		KEEP(post(0, MACH_PORT_NULL));
		arm();
		/* A request that cannot be received is dropped, and the server goes on. Its client hears of it. */
		r = mach_msg_server_timeout(demux, 1024, queue, MACH_RCV_TIMEOUT, 0);
		if (r != MACH_RCV_TIMED_OUT && !went_well("mach_msg_server_timeout", r))
			return;
		disarm();
		MUST(fetch(reply, 0, MACH_PORT_NULL));
		expect(in.header.msgh_id == 4342 || in.header.msgh_id == MACH_NOTIFY_SEND_ONCE, "no answer");
	}
}

const struct scenario scenarios[] = {
	{ "own-names", own_names, true },
	{ "ports-and-sets", ports_and_sets, false },
	{ "many-names", many_names, false },
	{ "rights-between-tasks", rights_between_tasks, false },
	{ "notifications", notifications, false },
	{ "unused-send-once-rights", unused_send_once_rights, false },
	{ "plain-messages", plain_messages, false },
	{ "inline-rights", inline_rights, false },
	{ "rights-for-another-task", rights_for_another_task, false },
	{ "descriptors-to-poll", descriptors_to_poll, false },
	{ "file-ports", file_ports, false },
	{ "arrays-of-rights", arrays_of_rights, false },
	{ "out-of-line-memory", out_of_line_memory, false },
	{ "message-that-comes-back", message_that_comes_back, false },
	{ "accepted-notification", accepted_notification, false },
	{ "reply-right-with-notification", reply_right_with_notification, false },
	{ "death-of-a-port", death_of_a_port, false },
	{ "death-of-a-task", death_of_a_task, false },
	{ "tasks", tasks, false },
	{ "registered-ports", registered_ports, false },
	{ "entering-a-task", entering_a_task, false },
	{ "threads", threads, false },
	{ "memory", memory, false },
	{ "server", server, false },
	{ NULL, NULL, false },
};
