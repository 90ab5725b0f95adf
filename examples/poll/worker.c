/* SPDX-License-Identifier: MIT */
#include "worker.h"

#include <ctype.h>
#include <err.h>
#include <mach_error.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static void must(const char *what, kern_return_t r)
{
	if (r != KERN_SUCCESS)
		errx(1, "%s: %s", what, mach_error_string(r));
}

static void line_send(mach_msg_bits_t bits, mach_port_t to, mach_port_t reply, const char *text)
{
	struct line_message m = {
		.header = { .msgh_bits = bits, .msgh_remote_port = to, .msgh_local_port = reply },
		.type = { .msgt_name = MACH_MSG_TYPE_CHAR,
			  .msgt_size = 8,
			  .msgt_number = LINE_MAX_SIZE,
			  .msgt_inline = 1 },
	};

	strncpy(m.text, text, sizeof m.text - 1);
	must("send", mach_msg(&m.header, MACH_SEND_MSG, sizeof m, 0, MACH_PORT_NULL, 0, MACH_PORT_NULL));
}

static void line_answer(struct line_message *m)
{
	m->text[sizeof m->text - 1] = '\0';
	for (char *p = m->text; *p; p++)
		*p = (char)toupper((unsigned char)*p);
	line_send(MACH_MSGH_BITS(MACH_MSG_TYPE_MOVE_SEND_ONCE, 0), m->header.msgh_remote_port, MACH_PORT_NULL, m->text);
}

static void *worker_run(void *argument)
{
	mach_port_t port = (mach_port_t)(uintptr_t)argument;
	union {
		struct line_message line;
		mach_no_senders_notification_t notice;
	} m;

	for (;;) {
		must("receive", mach_msg(&m.line.header, MACH_RCV_MSG, 0, sizeof m, port, 0, MACH_PORT_NULL));
		if (m.line.header.msgh_id == MACH_NOTIFY_NO_SENDERS)
			break;
		line_answer(&m.line);
	}
	must("destroy", mach_port_mod_refs(mach_task_self(), port, MACH_PORT_RIGHT_RECEIVE, -1));
	return NULL;
}

mach_port_t worker_start(void)
{
	mach_port_t port, previous;
	pthread_t thread;

	must("port", mach_port_allocate(mach_task_self(), MACH_PORT_RIGHT_RECEIVE, &port));
	must("send right", mach_port_insert_right(mach_task_self(), port, port, MACH_MSG_TYPE_MAKE_SEND));
	must("notification", mach_port_request_notification(mach_task_self(), port, MACH_NOTIFY_NO_SENDERS, 1, port,
							    MACH_MSG_TYPE_MAKE_SEND_ONCE, &previous));
	if (pthread_create(&thread, NULL, worker_run, (void *)(uintptr_t)port))
		errx(1, "no thread");
	pthread_detach(thread);
	return port;
}

void worker_ask(mach_port_t worker, mach_port_t reply, const char *line)
{
	line_send(MACH_MSGH_BITS(MACH_MSG_TYPE_COPY_SEND, MACH_MSG_TYPE_MAKE_SEND_ONCE), worker, reply, line);
}

int worker_take_answer(mach_port_t reply, struct line_message *answer)
{
	mach_msg_return_t r =
		mach_msg(&answer->header, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof *answer, reply, 0, MACH_PORT_NULL);

	if (r == MACH_RCV_TIMED_OUT)
		return 0;
	must("answer", r);
	return 1;
}
