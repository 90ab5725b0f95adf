/* SPDX-License-Identifier: MIT */
/* Messages that one thread sends to itself. */
#include "small.h"

#include <string.h>
#include <unistd.h>

static void *open_port(const void *arg)
{
	(void)arg;
	pin(0);
	return name_context(port_with_send_right());
}

static void close_port(void *context)
{
	port_release(context_name(context));
}

static double run_two_calls(void *context, uint64_t n)
{
	mach_port_t port = context_name(context);
	struct small m;
	double start;

	small_init(&m, port, MACH_MSG_TYPE_COPY_SEND);
	start = now();
	for (uint64_t i = 0; i < n; i++) {
		send_to(&m.head, port, MACH_MSG_TYPE_COPY_SEND);
		receive(&m.head, sizeof m, port);
	}
	return now() - start;
}

static double run_one_call(void *context, uint64_t n)
{
	mach_port_t port = context_name(context);
	struct small m;
	double start;

	small_init(&m, port, MACH_MSG_TYPE_COPY_SEND);
	start = now();
	for (uint64_t i = 0; i < n; i++) {
		head_init(&m.head, sizeof m, port, MACH_MSG_TYPE_COPY_SEND);
		must(mach_msg(&m.head, MACH_SEND_MSG | MACH_RCV_MSG, sizeof m, sizeof m, port, MACH_MSG_TIMEOUT_NONE,
			      MACH_PORT_NULL));
	}
	return now() - start;
}

struct pipe_ends {
	int ends[2];
};

static void *open_pipe(const void *arg)
{
	static struct pipe_ends p;

	(void)arg;
	pin(0);
	need(pipe(p.ends) == 0);
	return &p;
}

static void close_pipe(void *context)
{
	struct pipe_ends *p = context;

	close(p->ends[0]);
	close(p->ends[1]);
}

static double run_pipe(void *context, uint64_t n)
{
	struct pipe_ends *p = context;
	char data[SMALL_SIZE] = { 0 };
	double start = now();

	for (uint64_t i = 0; i < n; i++) {
		need(write(p->ends[1], data, sizeof data) == sizeof data);
		need(read(p->ends[0], data, sizeof data) == sizeof data);
	}
	return now() - start;
}

/* ---- a right in the body ---- */

/* One item of the size of a port name; the bytes are a name or just bytes. */
struct carrier {
	mach_msg_header_t head;
	mach_msg_type_t type;
	char item[sizeof(mach_port_name_inlined_t)];
};

struct parcel {
	mach_port_t queue, carried;
};

static void *open_parcel(const void *arg)
{
	static struct parcel p;

	(void)arg;
	pin(0);
	p.queue = port_with_send_right();
	p.carried = port_with_send_right();
	return &p;
}

static void close_parcel(void *context)
{
	struct parcel *p = context;

	port_release(p->queue);
	port_release(p->carried);
}

static void carrier_load(struct carrier *m, const struct parcel *p, unsigned disposition)
{
	mach_port_t name = p->carried;

	*m = (struct carrier){ 0 };
	head_init(&m->head, sizeof *m, p->queue, MACH_MSG_TYPE_COPY_SEND);
	m->type = type_inline(disposition, 8 * sizeof m->item, 1);
	memcpy(m->item, &name, sizeof name);
	if (disposition != MACH_MSG_TYPE_INTEGER_32)
		m->head.msgh_bits |= MACH_MSGH_BITS_COMPLEX;
}

/* Loads it, sends it to its own queue and takes it back. */
static inline void carrier_pass(struct carrier *m, const struct parcel *p, unsigned disposition)
{
	carrier_load(m, p, disposition);
	send_to(&m->head, p->queue, MACH_MSG_TYPE_COPY_SEND);
	receive(&m->head, sizeof *m, p->queue);
}

static double run_plain(void *context, uint64_t n)
{
	struct parcel *p = context;
	struct carrier m;
	double start = now();

	for (uint64_t i = 0; i < n; i++) {
		carrier_pass(&m, p, MACH_MSG_TYPE_INTEGER_32);
	}
	return now() - start;
}

/* Every right that arrives adds a user reference, of which a name holds 65534; now and then they are given back in one
 * call, so that what is measured is the message. */
static double run_right(void *context, uint64_t n)
{
	enum { BATCH = 1024 };
	struct parcel *p = context;
	struct carrier m;
	double start = now();

	for (uint64_t i = 0; i < n; i++) {
		carrier_pass(&m, p, MACH_MSG_TYPE_COPY_SEND);
		if (i % BATCH == BATCH - 1)
			must(mach_port_mod_refs(mach_task_self(), p->carried, MACH_PORT_RIGHT_SEND, -BATCH));
	}
	return now() - start;
}

/* The same, each right given back at once, as a program would. */
static double run_right_released(void *context, uint64_t n)
{
	struct parcel *p = context;
	struct carrier m;
	double start = now();

	for (uint64_t i = 0; i < n; i++) {
		carrier_pass(&m, p, MACH_MSG_TYPE_COPY_SEND);
		must(mach_port_deallocate(mach_task_self(), p->carried));
	}
	return now() - start;
}

/* A send-once right never coalesces: a new name is made and given back each time. */
static double run_once_right(void *context, uint64_t n)
{
	struct parcel *p = context;
	struct carrier m;
	mach_port_t name;
	double start = now();

	for (uint64_t i = 0; i < n; i++) {
		carrier_pass(&m, p, MACH_MSG_TYPE_MAKE_SEND_ONCE);
		memcpy(&name, m.item, sizeof name);
		must(mach_port_mod_refs(mach_task_self(), name, MACH_PORT_RIGHT_SEND_ONCE, -1));
		receive(&m.head, sizeof m, p->carried); /* the right died unused: its notification */
	}
	return now() - start;
}

#define PIPE \
	{ \
		.what = "write + read on a pipe", .open = open_pipe, .run = run_pipe, .close = close_pipe \
	}
#define SIDE(text, function) \
	{ \
		.what = text, .open = open_port, .run = function, .close = close_port \
	}
#define PARCEL(text, function) \
	{ \
		.what = text, .open = open_parcel, .run = function, .close = close_parcel \
	}

const struct row message_rows[] = {
	{ "message", "send + receive 64 bytes, one thread", ROW_TIME, 1.0 / 5, "<= 1/5", 1, 0,
	  SIDE("mach_msg twice", run_two_calls), PIPE },
	{ "message-combined", "the same in one mach_msg call", ROW_TIME, 0, NULL, 1, 0,
	  SIDE("mach_msg once", run_one_call), PIPE },
	{ "right", "message carrying one copied send right", ROW_TIME, 1.5, "<= 1.5", 1, 0,
	  PARCEL("copied right", run_right), PARCEL("plain data of that size", run_plain) },
	{ "right-released", "the same, right released after each message", ROW_TIME, 0, NULL, 1, 0,
	  PARCEL("copied right, mach_port_deallocate", run_right_released),
	  PARCEL("plain data of that size", run_plain) },
	{ "right-once", "made send-once right dropped unused, with its notification", ROW_TIME, 0, NULL, 1, 0,
	  PARCEL("send-once right, two messages", run_once_right), PARCEL("plain data, one message", run_plain) },
	{ 0 },
};
