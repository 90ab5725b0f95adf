/* SPDX-License-Identifier: MIT */
/* The victim of tests/hostile: an ordinary program with the library. It has a friend, a process whose calls it answers in
 * one thread, and a service, in another, to which whoever started it sends the words below.
 *
 *   victim          child of a test, which it gives a right to its service
 *   victim friend   child of a victim: calls, one after the other
 *   victim guest    calls the broker, one call after the other, and writes a byte to standard output for each
 *   victim greedy   takes names of the broker as long as it gets some, writes how many, and keeps them */
#include <mach.h>

#include <dirent.h>
#include <portunus/limits.h>
#include <portunus/spawn.h>
#include <pthread.h>
#include <servers/netname.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <stdbool.h>
#include <unistd.h>

#include "victim.h"

#define CHECK(call) \
	do { \
		kern_return_t r_ = (call); \
		if (r_) { \
			fprintf(stderr, "victim: %s: %x\n", #call, (unsigned)r_); \
			exit(3); \
		} \
	} while (0)

union buffer {
	mach_msg_header_t header;
	struct {
		mach_msg_header_t header;
		struct report report;
	} answer;
	unsigned char bytes[65536];
};

static atomic_ulong n_calls; /* of the friend */

static mach_port_t port_new(void)
{
	mach_port_t port;

	CHECK(mach_port_allocate(mach_task_self(), MACH_PORT_RIGHT_RECEIVE, &port));
	return port;
}

static mach_port_t given_port(void)
{
	mach_port_t *ports, port;
	mach_msg_type_number_t n;

	CHECK(mach_ports_lookup(mach_task_self(), &ports, &n));
	port = n ? ports[0] : MACH_PORT_NULL;
	CHECK(vm_deallocate(mach_task_self(), (vm_address_t)ports, n * sizeof *ports));
	CHECK(mach_ports_register(mach_task_self(), NULL, 0));
	if (!MACH_PORT_VALID(port))
		exit(4);
	return port;
}

/* ---- the friend */

static int be_friend(void)
{
	mach_port_t port = given_port(), reply = mach_reply_port();
	union buffer b;

	for (;;) {
		b.header = (mach_msg_header_t){
			.msgh_bits = MACH_MSGH_BITS(MACH_MSG_TYPE_COPY_SEND, MACH_MSG_TYPE_MAKE_SEND_ONCE),
			.msgh_remote_port = port,
			.msgh_local_port = reply,
			.msgh_id = 1,
		};
		if (mach_msg(&b.header, MACH_SEND_MSG | MACH_RCV_MSG, sizeof b.header, sizeof b, reply, 0,
			     MACH_PORT_NULL) ||
		    b.header.msgh_id != 2)
			return 0; /* the victim has ended */
		usleep(500);
	}
}

static void *answer_friend(void *port)
{
	mach_port_t *from = port;
	union buffer b;

	for (;;) {
		CHECK(mach_msg(&b.header, MACH_RCV_MSG, 0, sizeof b, *from, 0, MACH_PORT_NULL));
		b.header.msgh_bits = MACH_MSGH_BITS(MACH_MSGH_BITS_REMOTE(b.header.msgh_bits), 0);
		b.header.msgh_local_port = MACH_PORT_NULL;
		b.header.msgh_id = 2;
		(void)mach_msg(&b.header, MACH_SEND_MSG, sizeof b.header, 0, MACH_PORT_NULL, 0, MACH_PORT_NULL);
		atomic_fetch_add(&n_calls, 1);
	}
	return NULL;
}

static void start_friend(void)
{
	static mach_port_t port;
	mach_msg_type_name_t make_send = MACH_MSG_TYPE_MAKE_SEND;
	char path[256], role[] = "friend", *argv[] = { path, role, NULL };
	struct portunus_spawn how = {
		.path = path, .argv = argv, .ports = &port, .dispositions = &make_send, .n_ports = 1
	};
	ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
	pthread_t thread;

	path[n > 0 ? n : 0] = '\0';
	port = port_new();
	CHECK(portunus_spawn(&how, NULL, NULL));
	if (pthread_create(&thread, NULL, answer_friend, &port))
		exit(6);
	while (!atomic_load(&n_calls))
		usleep(500);
}

/* ---- the service */

static unsigned count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static unsigned count_rings(void)
{
	FILE *f = fopen("/proc/self/maps", "re");
	char line[512];
	unsigned n = 0;

	while (fgets(line, sizeof line, f))
		n += strstr(line, "memfd:") != NULL;
	fclose(f);
	return n;
}

static unsigned long resident(void)
{
	FILE *f = fopen("/proc/self/statm", "re");
	unsigned long size, pages = 0;

	if (fscanf(f, "%lu %lu", &size, &pages) != 2)
		pages = 0;
	fclose(f);
	return pages / 256;
}

static struct report measured;

static void report(union buffer *b)
{
	mach_port_t to = b->header.msgh_remote_port;
	mach_msg_bits_t bits = MACH_MSGH_BITS(MACH_MSGH_BITS_REMOTE(b->header.msgh_bits), 0);

	kernel_counts_read(&measured.counts);
	measured.n_fds = count_fds();
	measured.n_rings = count_rings();
	measured.n_megabytes = (unsigned)resident();
	measured.n_calls = atomic_load(&n_calls);
	b->answer.header = (mach_msg_header_t){ .msgh_bits = bits, .msgh_remote_port = to, .msgh_id = WORD_REPORT };
	b->answer.report = measured;
	(void)mach_msg(&b->header, MACH_SEND_MSG | MACH_SEND_TIMEOUT, sizeof b->answer, 0, MACH_PORT_NULL, 0,
		       MACH_PORT_NULL);
}

/* Answers with a new right to its service, and keeps none of what it was given. */
static void answer(union buffer *b, mach_port_t service)
{
	if (b->header.msgh_bits & MACH_MSGH_BITS_COMPLEX) {
		mach_msg_destroy(&b->header);
		return;
	}
	b->header = (mach_msg_header_t){
		.msgh_bits = MACH_MSGH_BITS(MACH_MSGH_BITS_REMOTE(b->header.msgh_bits), MACH_MSG_TYPE_MAKE_SEND_ONCE),
		.msgh_remote_port = b->header.msgh_remote_port,
		.msgh_local_port = service,
		.msgh_id = WORD_CALL,
	};
	if (mach_msg(&b->header, MACH_SEND_MSG | MACH_SEND_TIMEOUT, sizeof b->header, 0, MACH_PORT_NULL, 0,
		     MACH_PORT_NULL))
		mach_msg_destroy(&b->header);
}

/* The port that moves; there is one at a time, and who asks may be anybody. */
static mach_port_t moving;

static bool answer_with(union buffer *b, mach_msg_header_t *m, mach_msg_size_t size)
{
	if (!(b->header.msgh_bits & MACH_MSGH_BITS_COMPLEX)) {
		m->msgh_bits |= MACH_MSGH_BITS_REMOTE(b->header.msgh_bits);
		m->msgh_remote_port = b->header.msgh_remote_port;
		if (!mach_msg(m, MACH_SEND_MSG | MACH_SEND_TIMEOUT, size, 0, MACH_PORT_NULL, 0, MACH_PORT_NULL))
			return true;
	}
	mach_msg_destroy(&b->header);
	return false;
}

static void end_moving(void)
{
	if (MACH_PORT_VALID(moving))
		mach_port_destroy(mach_task_self(), moving);
	moving = MACH_PORT_NULL;
}

static void answer_with_port(union buffer *b)
{
	mach_msg_header_t m = { .msgh_bits = MACH_MSGH_BITS(0, MACH_MSG_TYPE_MAKE_SEND), .msgh_id = WORD_MAKE };

	end_moving();
	moving = m.msgh_local_port = port_new();
	if (!answer_with(b, &m, sizeof m))
		end_moving();
}

static void answer_with_receive_right(union buffer *b)
{
	struct {
		mach_msg_header_t header;
		mach_msg_type_t type;
		mach_port_name_inlined_t port;
	} m = {
		.header.msgh_bits = MACH_MSGH_BITS_COMPLEX,
		.header.msgh_id = WORD_MOVE,
		.type = { .msgt_name = MACH_MSG_TYPE_MOVE_RECEIVE,
			  .msgt_size = 8 * sizeof m.port,
			  .msgt_number = 1,
			  .msgt_inline = TRUE },
		.port.name = moving,
	};

	if (answer_with(b, &m.header, sizeof m))
		moving = MACH_PORT_NULL;
	else
		end_moving();
}

/* To whom it was told to talk: as often as there is room. */
static void talk(union buffer *b)
{
	mach_port_t to = b->header.msgh_remote_port;
	mach_msg_bits_t bits = MACH_MSGH_BITS(MACH_MSG_TYPE_COPY_SEND, 0);

	for (int i = 0; i < 100000; i++) {
		b->header = (mach_msg_header_t){ .msgh_bits = bits, .msgh_remote_port = to, .msgh_id = WORD_TALK };
		if (mach_msg(&b->header, MACH_SEND_MSG | MACH_SEND_TIMEOUT, 8192, 0, MACH_PORT_NULL, 0, MACH_PORT_NULL))
			break;
		measured.n_talked++;
	}
	mach_port_deallocate(mach_task_self(), to);
}

/* Nobody receives what comes meanwhile. */
static void await_signal(void)
{
	sigset_t resume;
	int sig;

	sigemptyset(&resume);
	sigaddset(&resume, SIGUSR1);
	sigwait(&resume, &sig);
}

static void serve(mach_port_t service)
{
	static union buffer b;

	for (;;) {
		mach_msg_return_t r = mach_msg(&b.header, MACH_RCV_MSG, 0, sizeof b, service, 0, MACH_PORT_NULL);

		if (r)
			continue;
		switch (b.header.msgh_id) {
		case WORD_REPORT:
			report(&b);
			break;
		case WORD_QUIT:
			exit(0);
		case WORD_CALL:
			answer(&b, service);
			break;
		case WORD_TALK:
			talk(&b);
			break;
		case WORD_MAKE:
			answer_with_port(&b);
			break;
		case WORD_MOVE:
			answer_with_receive_right(&b);
			break;
		case WORD_PAUSE:
			await_signal();
			break;
		default:
			measured.n_served++;
			mach_msg_destroy(&b.header);
		}
	}
}

static int be_victim(void)
{
	mach_port_t control = given_port(), service = port_new();
	mach_msg_header_t hello = {
		.msgh_bits = MACH_MSGH_BITS(MACH_MSG_TYPE_MOVE_SEND, MACH_MSG_TYPE_MAKE_SEND),
		.msgh_remote_port = control,
		.msgh_local_port = service,
		.msgh_id = WORD_HELLO,
	};

	sigset_t resume;

	sigemptyset(&resume);
	sigaddset(&resume, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &resume, NULL);
	CHECK(portunus_set_limit(PORTUNUS_LIMIT_QUEUED, 32 << 20));
	CHECK(portunus_set_limit(PORTUNUS_LIMIT_BACKLOG, 32 << 20));
	start_friend();
	CHECK(mach_msg(&hello, MACH_SEND_MSG, sizeof hello, 0, MACH_PORT_NULL, 0, MACH_PORT_NULL));
	serve(service);
	return 0;
}

/* ---- the broker's guest */

static int be_guest(void)
{
	mach_port_t port;

	for (;;) {
		kern_return_t r = netname_look_up(name_server_port, "", "nobody", &port);

		if (r != NETNAME_NOT_CHECKED_IN || write(1, ".", 1) != 1) {
			fprintf(stderr, "guest: %x\n", (unsigned)r);
			return 1;
		}
		usleep(500);
	}
}

static int be_greedy(void)
{
	mach_port_t port = port_new();
	unsigned char n = 0;
	netname_name_t name;

	CHECK(mach_port_insert_right(mach_task_self(), port, port, MACH_MSG_TYPE_MAKE_SEND));
	for (;;) {
		snprintf(name, sizeof name, "greedy-%d-%u", (int)getpid(), n);
		if (netname_check_in(name_server_port, name, MACH_PORT_NULL, port))
			break;
		n++;
	}
	if (write(1, &n, 1) == 1)
		pause();
	return 1;
}

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "friend") == 0)
		return be_friend();
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (argc > 1 && strcmp(argv[1], "guest") == 0)
		return be_guest();
	if (argc > 1 && strcmp(argv[1], "greedy") == 0)
		return be_greedy();
	return be_victim();
}
