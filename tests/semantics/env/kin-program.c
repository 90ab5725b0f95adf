/* SPDX-License-Identifier: MIT */
/* kin-program CENSUS ENTRY LIFELINE [hop]: a process whose task is worked on by others (kin.h). It does nothing by itself, and
 * its name space stays empty. It ends when its task is terminated, or the program that started it ends.
 *   CENSUS     descriptor of the shared page       LIFELINE   of a pipe that has an end there
 *   hop        it passes messages on (by-hop.c), that come to the port that it registers */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "idle.h"
#include "kin.h"
#include "kernel/kernel.h"
#include "kernel/message.h"
#include "kernel/port.h"
#include "kernel/receive.h"
#include "kernel/remote.h"
#include "kernel/send.h"
#include "kernel/task.h"
#include "kernel/thread.h"

/* For whoever wonders why it is not quiet. */
static void print_work(int signal)
{
	(void)signal;
	node_print_work();
}

static struct census *census;
static struct census_entry *own;

/* Consequences of a death that this process has begun to see are looked for in its threads. */
static bool is_idle(unsigned *moved)
{
	static unsigned n_deaths_seen;
	unsigned n_deaths = atomic_load(&census->n_deaths);

	if (!node_is_idle(moved))
		return false;
	if (n_deaths == n_deaths_seen)
		return true;
	if (!process_is_asleep() || !node_is_idle(moved))
		return false;
	n_deaths_seen = n_deaths;
	return true;
}

static void *answer_census(void *unused)
{
	mach_msg(NULL, 0, 0, 0, MACH_PORT_NULL, 0, MACH_PORT_NULL); /* makes it a thread of the library's */
	for (;;) {
		while (sem_wait(&own->asked))
			;
		node_take_in(remote.ops.look);
		own->is_idle = is_idle(&own->moved);
		sem_post(&own->answered);
	}
	return unused;
}

/* ---- a hop */

static void hop_register(struct port *port)
{
	struct right right = { port, RIGHT_SEND };

	lock_take(&port->lock);
	port_make_send_locked(port);
	lock_drop(&port->lock);
	task_register(kernel_root_task(), &right, 1);
}

static struct message *hop_receive(struct port *port)
{
	struct message *m;

	while (receive_unnamed(thread_self(), port, &m))
		;
	return m;
}

/* The reply right of a message that is sent for that alone. */
static struct right hop_receive_right(struct port *port)
{
	struct message *m = hop_receive(port);
	struct right right = m->reply;

	m->reply.port = NULL;
	message_destroy(m);
	return right;
}

static void *pass_on(void *arg)
{
	struct port *port = arg;

	for (;;) {
		struct right dest = hop_receive_right(port), reply = hop_receive_right(port);
		struct message *m = hop_receive(port);

		m->dest = dest;
		m->reply = reply;
		send_always(m);
		remote_settle();
		atomic_fetch_add(&census->n_hops, 1);
	}
	return NULL;
}

static bool hop_begin(void)
{
	struct port *port = port_new();
	pthread_t thread;

	if (!port)
		return false;
	hop_register(port);
	return pthread_create(&thread, NULL, pass_on, port) == 0;
}

int main(int argc, char **argv)
{
	pthread_t thread;
	char byte;

	if (argc < 4 || argc > 5)
		return 2;
	census = mmap(NULL, sizeof(*census), PROT_READ | PROT_WRITE, MAP_SHARED, atoi(argv[1]), 0);
	if (census == MAP_FAILED)
		return 2;
	signal(SIGUSR1, print_work);
	own = &census->entries[atoi(argv[2])];
	mach_msg(NULL, 0, 0, 0, MACH_PORT_NULL, 0, MACH_PORT_NULL); /* the first call joins the parent */
	if (pthread_create(&thread, NULL, answer_census, NULL) || (argc == 5 && !hop_begin()))
		return 2;
	return read(atoi(argv[3]), &byte, 1) ? 2 : 0;
}
