/* SPDX-License-Identifier: MIT */
#include "service.h"

#include <mach.h>
#include <pthread.h>
#include <servers/netname.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "names.h"
#include "server.h"

static int no_broker(void)
{
	const char *autostart = getenv("PORTUNUS_AUTOSTART");

	fprintf(stderr, "portfs: there is no broker to keep names: none listens, and %s\n",
		autostart && strcmp(autostart, "0") == 0 ? "PORTUNUS_AUTOSTART=0 forbids to start one"
							 : "none could be started");
	return NOBODY_SERVES;
}

/* What the name service says of a name. */
static int complain(const char *name, kern_return_t kr)
{
	switch (kr) {
	case NETNAME_NOT_CHECKED_IN:
		fprintf(stderr, "portfs: nobody serves anything under the name %s\n", name);
		return NOBODY_SERVES;
	case NETNAME_NOT_YOURS:
		fprintf(stderr, "portfs: somebody else serves under the name %s\n", name);
		return FAILED;
	case KERN_INVALID_ARGUMENT:
		fprintf(stderr, "portfs: a name has at most %d bytes\n", NETNAME_NAME_MAX - 1);
		return WRONG_USAGE;
	default:
		if (client_server_died(kr))
			return no_broker();
		return client_complain(name, kr);
	}
}

int service_look_up(const char *name, mach_port_t *root)
{
	kern_return_t kr;

	if (name_server_port == MACH_PORT_NULL)
		return no_broker();
	kr = netname_look_up(name_server_port, "", name, root);
	if (kr == KERN_SUCCESS && !MACH_PORT_VALID(*root)) /* it died on the way */
		kr = NETNAME_NOT_CHECKED_IN;
	return kr ? complain(name, kr) : ALL_WELL;
}

/* What a name is signed with: who has it may change the name. So it is a port that is for nothing else: not the root, which
 * every client has a right to, and not the task, over which the name server is to have no power. */
static kern_return_t make_signature(mach_port_t *port)
{
	kern_return_t kr = mach_port_allocate(mach_task_self(), MACH_PORT_RIGHT_RECEIVE, port);

	return kr ? kr : mach_port_insert_right(mach_task_self(), *port, *port, MACH_MSG_TYPE_MAKE_SEND);
}

/* The name goes by itself when the signature or the root dies, so at the latest with this process. The name server of now is
 * remembered: when it is gone, there is nothing to be taken out of another one. */
static int serve_as(const char *name, const char *path, struct server *server, mach_port_t root)
{
	mach_port_t name_server = name_server_port, signature = MACH_PORT_NULL;
	kern_return_t kr = make_signature(&signature);

	if (kr == KERN_SUCCESS)
		kr = netname_check_in(name_server, name, signature, root);
	if (kr) {
		mach_port_destroy(mach_task_self(), signature);
		return complain(name, kr);
	}
	printf("serving %s as %s\n", path, name);
	if (fflush(stdout) != 0)
		clearerr(stdout); /* nobody has to read that */
	kr = server_loop(server);
	netname_check_out(name_server, name, signature);
	mach_port_destroy(mach_task_self(), signature);
	return kr ? client_complain(path, kr) : ALL_WELL;
}

static int serve(const char *name, const char *path)
{
	struct server *server;
	mach_port_t root;
	kern_return_t kr = server_new(path, &server, &root);
	int result;

	if (kr)
		return client_complain(path, kr);
	/* Our own right to the root stays: we are there for whoever comes, also while nobody is. */
	result = serve_as(name, path, server, root);
	server_free(server);
	mach_port_deallocate(mach_task_self(), root);
	return result;
}

int service_run(const char *name, const char *path)
{
	sigset_t signals;
	struct names then;
	int result;

	/* First of all: threads inherit it, those of the library too, and the signals wait for server.c to read them. */
	server_signals(&signals);
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
	if (name_server_port == MACH_PORT_NULL)
		return no_broker();
	if (names_init(&then)) {
		fprintf(stderr, "portfs: cannot look at the names that the task has\n");
		return FAILED;
	}
	result = serve(name, path);
	if (names_left(&then, "the server") && result == ALL_WELL)
		result = FAILED;
	names_deinit(&then);
	return result;
}
