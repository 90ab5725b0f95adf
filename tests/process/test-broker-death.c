/* SPDX-License-Identifier: MIT */
/* The broker introduces processes to each other. When it dies their links live on, and the next that asks for a name starts
 * another broker, with which all connect again. While nobody needs it, it sleeps. $PORTUNUS_BROKER_PROGRAM is the broker. */
#include "idle.h"

#include <ftw.h>
#include <servers/netname.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static char place[64], path[96];

/* The broker that listens; 0: none. */
static pid_t broker_pid(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	struct ucred peer = { 0 };
	socklen_t size = sizeof peer;

	strncpy(address.sun_path, path, sizeof address.sun_path - 1);
	if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
		getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size);
	close(fd);
	return peer.pid;
}

static void kill_broker(void)
{
	pid_t pid = broker_pid();

	assert_true(pid > 0);
	kill(pid, SIGKILL);
	await(broker_pid() != pid);
}

static void do_check_in(long *n)
{
	n[0] = netname_check_in(name_server_port, "served", MACH_PORT_NULL, (mach_port_t)n[0]);
}

static void do_look_up(long *n)
{
	mach_port_t port = MACH_PORT_NULL;

	n[0] = netname_look_up(name_server_port, "", "served", &port);
	n[1] = port;
}

/* Until a process hears of the broker's death it asks the dead one, and is told so. */
static mach_port_t look_up(struct process *p)
{
	long n[NUMBERS] = { 0 };

	await(ask_all(p, do_look_up, n) == KERN_SUCCESS);
	return (mach_port_t)n[1];
}

static void links_and_names_outlive_the_broker(void **state)
{
	struct process *server = process_start_alone(), *client = process_start_alone();
	mach_port_t port = port_with_send_at(server), name;

	(void)state;
	await(ask(server, do_check_in, port) == KERN_SUCCESS);
	name = look_up(client);
	expect_ok(send_id_at(client, name, 1));
	expect_message_at(server, port, 1);

	kill_broker();
	expect_ok(send_id_at(client, name, 2));
	expect_message_at(server, port, 2);
	expect_eq(type_at(client, name), MACH_PORT_TYPE_SEND);

	await(ask(server, do_check_in, port) == KERN_SUCCESS);
	expect_eq(look_up(client), name);
	expect_ok(send_id_at(client, name, 3));
	expect_message_at(server, port, 3);

	kill_broker();
	await(srights_at(server, port) == 2); /* the server's own and the client's */
	await(ask(client, do_look_up) == NETNAME_NOT_CHECKED_IN);
	kill_broker();
	process_end(client);
	process_end(server);
}

static void a_broker_with_idle_nodes_sleeps(void **state)
{
	struct process *server = process_start_alone(), *client = process_start_alone();
	mach_port_t port = port_with_send_at(server), name;
	pid_t pids[3];

	(void)state;
	await(ask(server, do_check_in, port) == KERN_SUCCESS);
	name = look_up(client);
	expect_ok(send_id_at(client, name, 1));
	expect_message_at(server, port, 1);
	pids[0] = broker_pid();
	pids[1] = server->pid;
	pids[2] = client->pid;
	expect_sleep(pids, 3);
	kill_broker();
	process_end(client);
	process_end(server);
}

static int remove_one(const char *name, const struct stat *st, int kind, struct FTW *where)
{
	(void)st, (void)kind, (void)where;
	return remove(name);
}

static int with_a_place(int argc, char **argv, const struct CMUnitTest *tests, size_t n)
{
	int r;

	strcpy(place, "/tmp/portunus-test-XXXXXX");
	if (!mkdtemp(place))
		return 1;
	snprintf(path, sizeof path, "%s/broker", place);
	setenv("PORTUNUS_BROKER", path, 1);
	r = family_run(argc, argv, tests, n);
	if (broker_pid() > 0)
		kill(broker_pid(), SIGKILL);
	nftw(place, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	return r;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		family_test(links_and_names_outlive_the_broker),
		family_test(a_broker_with_idle_nodes_sleeps),
	};

	if (argc > 1 && strcmp(argv[1], "--child") == 0)
		return family_main(argc, argv, tests);
	return with_a_place(argc, argv, tests, sizeof tests / sizeof *tests);
}
