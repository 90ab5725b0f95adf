/* SPDX-License-Identifier: MIT */
/* Linked into a program with -Wl,--wrap=send and the library's inside, this lets every message that the program sends go to
 * another process and back before it is queued, with all rights that it carries: each is granted to the other process
 * and comes home, and a receive right moves there and back, with its queue. What the program sees is to be the same.
 *
 * The other process is kin-program in its role as a hop. A message goes there as three: what it is sent through, as the
 * reply right of the first, its reply right, as that of the second, and it itself without both.
 *
 * Only what would be queued at once goes round; what has to wait for room, or fails, is not concerned. */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kin.h"

#include "client/target.h"
#include "kernel/message.h"
#include "kernel/notify.h"
#include "kernel/port.h"
#include "kernel/send.h"

enum { PATIENCE_S = 20 };

static struct {
	pthread_mutex_t mutex; /* one message at a time is on its way */
	struct right right;    /* naked: to the other process */
} hop = { .mutex = PTHREAD_MUTEX_INITIALIZER };

/* ---- the other process */

/* What it has registered, as soon as it has. */
static bool hop_ask(task_t task)
{
	const struct call_form *form = call_form(CALL_TASK_LOOKUP);
	struct answer answer;

	if (target_call(task, CALL_OF(CALL_TASK_LOOKUP), &answer))
		return false;
	hop.right = answer.rights[0];
	answer.rights[0].port = NULL;
	answer_discard(form, &answer);
	return right_is_valid(&hop.right);
}

/* Before the program begins, so that nothing comes to where it expects no memory. */
__attribute__((constructor)) static void hop_open(void)
{
	time_t end = time(NULL) + PATIENCE_S;
	task_t task;

	if (kin_spawn(KIN_HOP, &task))
		abort();
	while (!hop_ask(task)) {
		if (time(NULL) > end)
			abort();
		sched_yield();
	}
	mach_port_deallocate(mach_task_self(), task);
}

static struct right hop_right(void)
{
	lock_take(&hop.right.port->lock);
	port_copy_send_locked(hop.right.port);
	lock_drop(&hop.right.port->lock);
	return hop.right;
}

/* ---- messages */

static void send_right(struct right *right)
{
	struct message *m = message_new_certain(sizeof(mach_msg_header_t));

	memset(&m->header, 0, sizeof(m->header));
	m->size = sizeof(m->header);
	m->dest = hop_right();
	m->reply = *right;
	right->port = NULL;
	send_always(m);
}

static void send_round(struct message *m)
{
	kin_expect_hop();
	send_right(&m->dest);
	send_right(&m->reply);
	m->dest = hop_right();
	m->reply.kind = RIGHT_NONE;
	send_always(m);
	remote_settle();
}

static bool goes_round(const struct message *m)
{
	struct port *p = m->dest.port;
	bool would_be_queued;

	if (!right_is_valid(&m->dest) || m->is_circular)
		return false;
	lock_take(&p->lock);
	would_be_queued = (p->where == PORT_IN_SPACE || p->where == PORT_IN_MESSAGE) &&
			  (m->dest.kind == RIGHT_SEND_ONCE || p->n_queued < p->qlimit);
	lock_drop(&p->lock);
	return would_be_queued;
}

mach_msg_return_t __real_send(struct thread *thread, struct message *m, mach_msg_option_t option,
			      const struct deadline *deadline, mach_port_name_t notify);
mach_msg_return_t __wrap_send(struct thread *thread, struct message *m, mach_msg_option_t option,
			      const struct deadline *deadline, mach_port_name_t notify);

mach_msg_return_t __wrap_send(struct thread *thread, struct message *m, mach_msg_option_t option,
			      const struct deadline *deadline, mach_port_name_t notify)
{
	bool is_sent;

	if (!goes_round(m))
		return __real_send(thread, m, option, deadline, notify);
	pthread_mutex_lock(&hop.mutex);
	is_sent = goes_round(m); /* still */
	if (is_sent)
		send_round(m);
	if (is_sent)
		kin_settle();
	pthread_mutex_unlock(&hop.mutex);
	return is_sent ? MACH_MSG_SUCCESS : __real_send(thread, m, option, deadline, notify);
}
