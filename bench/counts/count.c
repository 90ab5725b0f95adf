/* SPDX-License-Identifier: MIT */
/* count: how many instructions the main paths take, for check-counts.
 *
 * The processor's trap flag makes it stop after each instruction, and a signal handler of this thread counts: so what is
 * counted is what is executed in user space, all of it and nothing else, and it needs no counters of the hardware, no tracer
 * and no emulator. Each path is walked once to warm up, and then TIMES times. Nobody waits on a path, so a count is the same in
 * each run. For the paths of a link there is a second process, which is in no call while this one sends, and has sent all before
 * this one receives: so nobody is woken, and nobody looks whether somebody spins. */
#include "../region.h"
#include "../rpc.h"
#include "../small.h"

#include <portunus/port.h>
#include <portunus/spawn.h>
#include <signal.h>
#include <stdlib.h>
#include <ucontext.h>
#include <unistd.h>

struct options options;

/* Of each path. More would tell no more, and where a hypervisor looks at each trap it is slow. */
enum { TIMES = 3, QUEUE = 1024 };

static volatile uint64_t n_steps;

/* Counting begins and ends here: a breakpoint turns the trap flag. */
static inline void mark(void)
{
	__asm__ volatile("int3" ::: "memory");
}

static void on_trap(int signal, siginfo_t *info, void *context)
{
	enum { TRAP_FLAG = 0x100 };

	(void)signal;
	if (info->si_code == SI_KERNEL)
		((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] ^= TRAP_FLAG;
	else
		n_steps++;
}

static void report(const char *name)
{
	printf("%s %.2f\n", name, (double)n_steps / TIMES);
	fflush(stdout);
	n_steps = 0;
}

#define PATH(path) \
	__attribute__((noinline)) static void path_##path(void) \
	{ \
		walk_##path(); \
		mark(); \
		for (unsigned i = 0; i < TIMES; i++) \
			walk_##path(); \
		mark(); \
		report(#path); \
	}

/* ---- in process ---- */

static mach_port_t queue, carried, set, reply;
static struct small message;

static inline void walk_send_receive(void)
{
	send_to(&message.head, queue, MACH_MSG_TYPE_COPY_SEND);
	receive(&message.head, sizeof message, queue);
}
PATH(send_receive)

static inline void walk_send_receive_in_one_call(void)
{
	head_init(&message.head, sizeof message, queue, MACH_MSG_TYPE_COPY_SEND);
	exchange(&message.head, sizeof message, queue);
}
PATH(send_receive_in_one_call)

static inline void walk_send_receive_through_set(void)
{
	send_to(&message.head, carried, MACH_MSG_TYPE_COPY_SEND);
	receive(&message.head, sizeof message, set);
}
PATH(send_receive_through_set)

/* Both ends of a round trip: a request that makes a send-once right, and the answer to that. */
static inline void walk_rpc(void)
{
	request_init(&message.head, sizeof message, queue, reply, RPC_CALL);
	exchange(&message.head, sizeof message, queue);
	answer_init(&message.head, sizeof message);
	exchange(&message.head, sizeof message, reply);
}
PATH(rpc)

struct carrier {
	mach_msg_header_t head;
	mach_msg_type_t type;
	mach_port_name_inlined_t name;
};

static inline void walk_carry_right(void)
{
	struct carrier m = { .name = { .name = carried } };

	head_init(&m.head, sizeof m, queue, MACH_MSG_TYPE_COPY_SEND);
	m.head.msgh_bits |= MACH_MSGH_BITS_COMPLEX;
	m.type = type_inline(MACH_MSG_TYPE_COPY_SEND, 8 * sizeof m.name, 1);
	exchange(&m.head, sizeof m, queue);
	must(mach_port_deallocate(mach_task_self(), carried));
}
PATH(carry_right)

static char *memory;

enum { REGION = 65536 };

static inline void walk_move_region(void)
{
	struct region_message m;

	region_load(&m, memory, REGION, true);
	send_to(&m.head, queue, MACH_MSG_TYPE_COPY_SEND);
	receive(&m.head, sizeof m, queue);
	memory = region_address(&m);
}
PATH(move_region)

static inline void walk_port(void)
{
	mach_port_t port;

	must(mach_port_allocate(mach_task_self(), MACH_PORT_RIGHT_RECEIVE, &port));
	must(mach_port_mod_refs(mach_task_self(), port, MACH_PORT_RIGHT_RECEIVE, -1));
}
PATH(port)

/* ---- over a link ----
 * What the sender does until the message is in the ring, and what the receiver does from there on. */

static mach_port_t remote, home;

static inline void walk_link_send(void)
{
	send_to(&message.head, remote, MACH_MSG_TYPE_COPY_SEND);
}
PATH(link_send)

/* A request: the reply right is exported. */
static inline void walk_link_send_request(void)
{
	request_init(&message.head, sizeof message, remote, reply, RPC_CALL);
	must(mach_msg(&message.head, MACH_SEND_MSG, sizeof message, 0, MACH_PORT_NULL, MACH_MSG_TIMEOUT_NONE,
		      MACH_PORT_NULL));
}
PATH(link_send_request)

static inline void walk_link_receive(void)
{
	receive(&message.head, sizeof message, home);
}
PATH(link_receive)

/* Moments at which the two processes meet, over a pipe and not over the link. */
enum { OTHER_IN = 100, OTHER_OUT }; /* in the other process, beyond what the library opens */
static int meet_in = OTHER_IN, meet_out = OTHER_OUT;

static void meet_wait(void)
{
	char c;

	need(read(meet_in, &c, 1) == 1);
}

static void meet(void)
{
	need(write(meet_out, "", 1) == 1);
}

/* ---- the other process ---- */

static mach_port_t port_for_stream(void)
{
	mach_port_t port;

	must(mach_port_allocate(mach_task_self(), MACH_PORT_RIGHT_RECEIVE, &port));
	must(portunus_port_set_qlimit(port, QUEUE));
	return port;
}

static void receive_all(mach_port_t from, unsigned n)
{
	while (n--)
		receive(&message.head, sizeof message, from);
}

/* Its parent's port is the first registered. Tells it of its own, is sent to, sends. */
static int other_main(void)
{
	mach_port_t mine = port_for_stream();
	mach_port_array_t ports;
	mach_msg_type_number_t n;
	struct carrier m = { .name = { .name = mine } };

	must(mach_ports_lookup(mach_task_self(), &ports, &n));
	need(n >= 1);
	head_init(&m.head, sizeof m, ports[0], MACH_MSG_TYPE_COPY_SEND);
	m.head.msgh_bits |= MACH_MSGH_BITS_COMPLEX;
	m.type = type_inline(MACH_MSG_TYPE_MAKE_SEND, 8 * sizeof m.name, 1);
	send_to(&m.head, ports[0], MACH_MSG_TYPE_COPY_SEND);
	meet();
	receive_all(mine, 1);
	for (unsigned phase = 0; phase < 2; phase++) {
		meet(); /* in no call from here on */
		meet_wait();
		receive_all(mine, 1 + TIMES);
	}
	small_init(&message, ports[0], MACH_MSG_TYPE_COPY_SEND);
	for (unsigned i = 0; i < 1 + TIMES; i++)
		send_to(&message.head, ports[0], MACH_MSG_TYPE_COPY_SEND);
	meet();
	meet_wait();
	return EXIT_SUCCESS;
}

static void other_start(void)
{
	const mach_msg_type_name_t make = MACH_MSG_TYPE_MAKE_SEND;
	char *argv[] = { (char *)"count", (char *)"--other", NULL };
	posix_spawn_file_actions_t actions;
	int there[2], back[2];
	struct portunus_spawn how = { .path = "/proc/self/exe",
				      .argv = argv,
				      .ports = &home,
				      .dispositions = &make,
				      .n_ports = 1,
				      .file_actions = &actions };

	need(pipe(there) == 0 && pipe(back) == 0);
	need(posix_spawn_file_actions_init(&actions) == 0);
	need(posix_spawn_file_actions_adddup2(&actions, there[0], OTHER_IN) == 0);
	need(posix_spawn_file_actions_adddup2(&actions, back[1], OTHER_OUT) == 0);
	must(portunus_spawn(&how, NULL, NULL));
	posix_spawn_file_actions_destroy(&actions);
	meet_in = back[0];
	meet_out = there[1];
}

static void paths_of_link(void)
{
	struct carrier m;

	home = port_for_stream();
	other_start();
	meet_wait();
	receive(&m.head, sizeof m, home);
	remote = m.name.name;
	small_init(&message, remote, MACH_MSG_TYPE_COPY_SEND);
	send_to(&message.head, remote, MACH_MSG_TYPE_COPY_SEND);
	meet_wait();
	path_link_send();
	meet();
	meet_wait();
	path_link_send_request();
	meet();
	meet_wait();
	path_link_receive();
	meet();
}

static void paths_in_process(void)
{
	queue = port_with_send_right();
	carried = port_with_send_right();
	must(mach_port_allocate(mach_task_self(), MACH_PORT_RIGHT_RECEIVE, &reply));
	must(mach_port_allocate(mach_task_self(), MACH_PORT_RIGHT_PORT_SET, &set));
	must(mach_port_move_member(mach_task_self(), carried, set));
	memory = memory_new(REGION, 'a');
	small_init(&message, queue, MACH_MSG_TYPE_COPY_SEND);
	path_send_receive();
	path_send_receive_in_one_call();
	path_send_receive_through_set();
	path_rpc();
	path_carry_right();
	path_move_region();
	path_port();
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_sigaction = on_trap, .sa_flags = SA_SIGINFO };

	if (argc == 2 && strcmp(argv[1], "--other") == 0)
		return other_main();
	need(sigaction(SIGTRAP, &action, NULL) == 0);
	paths_in_process();
	paths_of_link();
	return EXIT_SUCCESS;
}
