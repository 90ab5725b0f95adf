/* SPDX-License-Identifier: MIT */
/* mover [NAME]: makes ports with send rights, and moves these to and fro, to another task of its own or to "mover --echo NAME",
 * another process; for tests that look at both meanwhile.
 *
 *   It prints "moving" and the size of a header, then does what the lines of its standard input say:
 *     rest    waits until all rights are back, and prints how many messages the task has sent and received
 *     move    goes on
 *   and ends with its input.
 *
 * "mover --idle NAME" receives nothing until there is a line. */
#include <mach.h>
#include <portunus/task.h>
#include <servers/netname.h>

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { N_PORTS = 200, N_RIGHTS = 7, N_UNDER_WAY = 4, ID_HELLO = 1, ID_RIGHT = 2 };

static _Thread_local unsigned long n_sent, n_received; /* by this thread, which is all of its task */

static void check(kern_return_t kr, const char *what)
{
	if (kr == KERN_SUCCESS)
		return;
	fprintf(stderr, "mover: %s: %#x\n", what, kr);
	exit(1);
}

static mach_port_t port_new(void)
{
	mach_port_t port;

	check(mach_port_allocate(mach_task_self(), MACH_PORT_RIGHT_RECEIVE, &port), "mach_port_allocate");
	return port;
}

/* A message that is nothing but a right, in the place of the reply port. */
static void send(mach_port_t to, mach_port_t right, mach_msg_type_name_t disposition, mach_msg_id_t id)
{
	mach_msg_header_t m = {
		.msgh_bits = MACH_MSGH_BITS(MACH_MSG_TYPE_COPY_SEND, disposition),
		.msgh_size = sizeof m,
		.msgh_remote_port = to,
		.msgh_local_port = right,
		.msgh_id = id,
	};

	check(mach_msg(&m, MACH_SEND_MSG, sizeof m, 0, MACH_PORT_NULL, 0, MACH_PORT_NULL), "send");
	n_sent++;
}

static mach_port_t receive(mach_port_t from, mach_msg_id_t *id)
{
	mach_msg_header_t m;

	check(mach_msg(&m, MACH_RCV_MSG, 0, sizeof m, from, 0, MACH_PORT_NULL), "receive");
	*id = m.msgh_id;
	n_received++;
	return m.msgh_remote_port;
}

/* Who greets gets back all that he sends. */
static void echo(mach_port_t queue)
{
	mach_port_t to = MACH_PORT_NULL, right;
	mach_msg_id_t id;

	for (;;) {
		right = receive(queue, &id);
		if (id == ID_HELLO)
			to = right;
		else
			send(to, right, MACH_MSG_TYPE_MOVE_SEND, ID_RIGHT);
	}
}

static void swallow(mach_port_t queue)
{
	static union {
		mach_msg_header_t header;
		char bytes[65536];
	} m;

	getchar();
	for (;;) {
		check(mach_msg(&m.header, MACH_RCV_MSG, 0, sizeof m, queue, 0, MACH_PORT_NULL), "receive");
		mach_msg_destroy(&m.header);
	}
}

static int serve(const char *how, const char *name)
{
	mach_port_t queue = port_new();

	check(mach_port_insert_right(mach_task_self(), queue, queue, MACH_MSG_TYPE_MAKE_SEND),
	      "mach_port_insert_right");
	check(netname_check_in(name_server_port, name, mach_task_self(), queue), "netname_check_in");
	printf("there %zu\n", sizeof(mach_msg_header_t));
	fflush(stdout);
	strcmp(how, "--idle") == 0 ? swallow(queue) : echo(queue);
	return 0;
}

/* ---- the other task of the same process */

static pthread_barrier_t is_ready;
static mach_port_t other_queue; /* as the first task knows it */
static task_t other;

static void *other_thread(void *arg)
{
	mach_port_t queue;

	(void)arg;
	queue = port_new();
	other_queue = queue;
	pthread_barrier_wait(&is_ready);
	echo(queue);
	return NULL;
}

static mach_port_t start_other(void)
{
	mach_port_t queue;
	mach_msg_type_name_t kind;
	pthread_t thread;

	pthread_barrier_init(&is_ready, NULL, 2);
	check(task_create(mach_task_self(), FALSE, &other), "task_create");
	check(portunus_thread_create(other, &thread, other_thread, NULL), "portunus_thread_create");
	pthread_barrier_wait(&is_ready);
	check(mach_port_extract_right(other, other_queue, MACH_MSG_TYPE_MAKE_SEND, &queue, &kind),
	      "mach_port_extract_right");
	return queue;
}

/* ---- moving */

struct mover {
	mach_port_t queue, peer, ports[N_PORTS];
	unsigned n_under_way, next;
};

static void take_one(struct mover *m)
{
	mach_msg_id_t id;

	receive(m->queue, &id);
	m->n_under_way--;
}

static void step(struct mover *m)
{
	m->next = (m->next + 1) % N_PORTS;
	send(m->peer, m->ports[m->next], MACH_MSG_TYPE_MOVE_SEND, ID_RIGHT);
	if (++m->n_under_way == N_UNDER_WAY)
		take_one(m);
}

static void rest(struct mover *m)
{
	while (m->n_under_way)
		take_one(m);
	printf("resting %lu %lu\n", n_sent, n_received);
	fflush(stdout);
}

static int has_input(int wait_ms)
{
	struct pollfd p = { .fd = STDIN_FILENO, .events = POLLIN };

	return poll(&p, 1, wait_ms) > 0;
}

static void move(struct mover *m)
{
	char line[32];

	printf("moving %zu\n", sizeof(mach_msg_header_t));
	fflush(stdout);
	for (;;) {
		while (!has_input(0))
			step(m);
		do {
			if (!fgets(line, sizeof line, stdin))
				return;
			if (strcmp(line, "rest\n") == 0)
				rest(m);
		} while (strcmp(line, "move\n") != 0);
	}
}

int main(int argc, char **argv)
{
	struct mover m = { 0 };

	if (argc > 2)
		return serve(argv[1], argv[2]);
	setbuf(stdin, NULL);
	m.queue = port_new();
	for (unsigned i = 0; i < N_PORTS; i++) {
		m.ports[i] = port_new();
		for (unsigned j = 0; j < N_RIGHTS; j++)
			check(mach_port_insert_right(mach_task_self(), m.ports[i], m.ports[i], MACH_MSG_TYPE_MAKE_SEND),
			      "mach_port_insert_right");
	}
	if (argc > 1)
		check(netname_look_up(name_server_port, "", argv[1], &m.peer), "netname_look_up");
	else if (!MACH_PORT_VALID(name_server_port)) /* so that it is seen */
		check(KERN_FAILURE, "no broker");
	else
		m.peer = start_other();
	send(m.peer, m.queue, MACH_MSG_TYPE_MAKE_SEND, ID_HELLO);
	move(&m);
	return 0;
}
