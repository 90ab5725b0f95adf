/* SPDX-License-Identifier: MIT */
/* The broker introduces processes to each other. When it is killed their links live on, and the next that asks for a name starts
 * another broker, to which the names come back. While nobody needs it, it sleeps. $PORTUNUS_BROKER_PROGRAM is the broker. */
#include "idle.h"

#include <ftw.h>
#include <servers/bootstrap.h>
#include <servers/netname.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

static char place[64], path[96];

static void kill_broker(void)
{
	pid_t pid = broker_at(path);

	assert_true(pid > 0);
	kill(pid, SIGKILL);
	await(broker_at(path) != pid);
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
static kern_return_t try_look_up(struct process *p, mach_port_t *name)
{
	long n[NUMBERS];
	kern_return_t r;

	do
		r = (kern_return_t)ask_all(p, do_look_up, memset(n, 0, sizeof n));
	while (r == MIG_SERVER_DIED || r == MACH_SEND_INVALID_DEST);
	*name = (mach_port_t)n[1];
	return r;
}

static mach_port_t look_up(struct process *p)
{
	mach_port_t name;

	expect_ok(try_look_up(p, &name));
	return name;
}

static void expect_use(struct process *client, mach_port_t name, struct process *server, mach_port_t port, int id)
{
	expect_ok(send_id_at(client, name, id));
	expect_message_at(server, port, id);
}

static void links_outlive_the_broker(void **state)
{
	struct process *server = process_start_alone(), *client = process_start_alone();
	mach_port_t port = port_with_send_at(server), name;

	(void)state;
	expect_ok(ask(server, do_check_in, port));
	name = look_up(client);
	expect_use(client, name, server, port, 1);
	kill_broker();
	expect_use(client, name, server, port, 2);
	expect_eq(type_at(client, name), MACH_PORT_TYPE_SEND);
	process_end(client);
	process_end(server);
}

static void names_come_back_to_whoever_asks(void **state)
{
	struct process *server = process_start_alone(), *client = process_start_alone(), *late;
	mach_port_t port = port_with_send_at(server), name;

	(void)state;
	expect_ok(ask(server, do_check_in, port));
	name = look_up(client);
	for (int i = 0; i < 3; i++) {
		kill_broker();
		expect_eq(look_up(client), name); /* which starts one */
		expect_use(client, name, server, port, 2 * i);
		late = process_start_alone(); /* to whom the new one introduces the server */
		expect_use(late, look_up(late), server, port, 2 * i + 1);
		process_end(late);
	}
	process_end(client);
	process_end(server);
}

static void do_serve(long *n)
{
	mach_port_t port;

	expect_ok(bootstrap_check_in(MACH_PORT_NULL, "service", &port));
	n[0] = port;
}

static void do_find_service(long *n)
{
	mach_port_t port = MACH_PORT_NULL;

	n[0] = bootstrap_look_up(MACH_PORT_NULL, "service", &port);
	n[1] = port;
}

static void services_come_back(void **state)
{
	struct process *server = process_start_alone(), *client = process_start_alone();
	mach_port_t port = (mach_port_t)ask(server, do_serve);
	long n[NUMBERS] = { 0 };

	(void)state;
	expect_ok((kern_return_t)ask_all(client, do_find_service, n));
	expect_use(client, (mach_port_t)n[1], server, port, 1);
	kill_broker();
	await(ask(client, do_find_service) != MIG_SERVER_DIED);
	expect_ok((kern_return_t)ask_all(client, do_find_service, n));
	expect_use(client, (mach_port_t)n[1], server, port, 2);
	process_end(client);
	process_end(server);
}

static void nobody_starts_a_broker_just_to_be_known(void **state)
{
	struct process *server = process_start_alone();
	mach_port_t port = port_with_send_at(server);

	(void)state;
	expect_ok(ask(server, do_check_in, port));
	kill_broker();
	await(srights_at(server, port) == 2); /* its own, and the one with which it will be known again */
	expect_eq(broker_at(path), 0);
	process_end(server);
}

static void do_check_out(long *n)
{
	n[0] = netname_check_out(name_server_port, "served", MACH_PORT_NULL);
}

static void what_was_checked_out_does_not_come_back(void **state)
{
	struct process *server = process_start_alone(), *client = process_start_alone();
	mach_port_t port = port_with_send_at(server), name;

	(void)state;
	expect_ok(ask(server, do_check_in, port));
	expect_ok(ask(server, do_check_out));
	expect_eq(try_look_up(client, &name), NETNAME_NOT_CHECKED_IN);
	await(srights_at(server, port) == 1);
	kill_broker();
	expect_eq(try_look_up(client, &name), NETNAME_NOT_CHECKED_IN);
	process_end(client);
	process_end(server);
}

static void a_name_goes_with_its_port(void **state)
{
	struct process *server = process_start_alone(), *client = process_start_alone();
	mach_port_t port = port_with_send_at(server), name;

	(void)state;
	expect_ok(ask(server, do_check_in, port));
	expect_ok(end_receive_at(server, port));
	kill_broker();
	expect_eq(try_look_up(client, &name), NETNAME_NOT_CHECKED_IN);
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
	pids[0] = broker_at(path);
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
	if (broker_at(path) > 0)
		kill(broker_at(path), SIGKILL);
	nftw(place, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	return r;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		family_test(links_outlive_the_broker),
		family_test(names_come_back_to_whoever_asks),
		family_test(services_come_back),
		family_test(nobody_starts_a_broker_just_to_be_known),
		family_test(what_was_checked_out_does_not_come_back),
		family_test(a_name_goes_with_its_port),
		family_test(a_broker_with_idle_nodes_sleeps),
	};

	if (argc > 1 && strcmp(argv[1], "--child") == 0)
		return family_main(argc, argv, tests);
	return with_a_place(argc, argv, tests, sizeof tests / sizeof *tests);
}
