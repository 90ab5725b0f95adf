/* SPDX-License-Identifier: MIT */
#include "service.h"

#include <mach_error.h>
#include <servers/bootstrap.h>
#include <servers/netname.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"

static int fixed_status;

void service_fail_with(int status)
{
	fixed_status = status;
}

static int status_or_fixed(int status)
{
	return fixed_status ? fixed_status : status;
}

static void __attribute__((noreturn)) no_broker(void)
{
	const char *autostart = getenv("PORTUNUS_AUTOSTART"), *path = getenv("PORTUNUS_BROKER");

	if (autostart && strcmp(autostart, "0") == 0)
		fail(status_or_fixed(STATUS_NO_BROKER),
		     "no broker listens%s%s, and PORTUNUS_AUTOSTART=0 forbids to start one; run portunusd",
		     path ? " at " : "", path ? path : "");
	fail(status_or_fixed(STATUS_NO_BROKER),
	     "no broker listens%s%s, and none could be started; run portunusd, which will say why", path ? " at " : "",
	     path ? path : "");
}

void service_need_broker(void)
{
	if (bootstrap_port == MACH_PORT_NULL)
		no_broker();
}

/* What follows @prefix in @name, or NULL if that is not how it begins. */
static const char *behind(const char *name, const char *prefix)
{
	size_t length = strlen(prefix);

	return strncmp(name, prefix, length) == 0 ? name + length : NULL;
}

static void __attribute__((noreturn)) complain(const char *name, kern_return_t kr)
{
	switch (kr) {
	case BOOTSTRAP_UNKNOWN_SERVICE:
	case NETNAME_NOT_CHECKED_IN:
		fail(status_or_fixed(STATUS_NOT_THERE),
		     "there is no service \"%s\"; \"portunus names\" lists those there are", name);
	case BOOTSTRAP_SERVICE_ACTIVE:
		fail(status_or_fixed(STATUS_FAILED), "somebody else receives as \"%s\"; \"portunus names\" tells who",
		     name);
	case KERN_INVALID_ARGUMENT:
		fail(status_or_fixed(STATUS_USAGE),
		     "\"%s\" is too long for a name: a service has at most 127 bytes, in netname 79", name);
	case MACH_SEND_INVALID_DEST:
	case MIG_SERVER_DIED:
		no_broker();
	default:
		fail(status_or_fixed(STATUS_FAILED), "%s: %s", name, mach_error_string(kr));
	}
}

/* That a port died on the way makes it unknown, too. */
static kern_return_t look_up_bootstrap(const char *name, mach_port_t *port)
{
	kern_return_t kr = bootstrap_look_up(bootstrap_port, name, port);

	return kr == KERN_SUCCESS && !MACH_PORT_VALID(*port) ? BOOTSTRAP_UNKNOWN_SERVICE : kr;
}

static kern_return_t look_up_netname(const char *name, mach_port_t *port)
{
	kern_return_t kr = netname_look_up(name_server_port, "", name, port);

	return kr == KERN_SUCCESS && !MACH_PORT_VALID(*port) ? NETNAME_NOT_CHECKED_IN : kr;
}

mach_port_t service_look_up(const char *name)
{
	const char *in_bootstrap = behind(name, "bootstrap:"), *in_netname = behind(name, "netname:");
	mach_port_t port = MACH_PORT_NULL;
	kern_return_t kr;

	service_need_broker();
	if (in_bootstrap)
		kr = look_up_bootstrap(in_bootstrap, &port);
	else if (in_netname)
		kr = look_up_netname(in_netname, &port);
	else if ((kr = look_up_bootstrap(name, &port)) == BOOTSTRAP_UNKNOWN_SERVICE)
		kr = look_up_netname(name, &port);
	if (kr)
		complain(name, kr);
	return port;
}

mach_port_t service_check_in(const char *name)
{
	const char *in_bootstrap = behind(name, "bootstrap:");
	mach_port_t port;
	kern_return_t kr;

	if (behind(name, "netname:"))
		fail(status_or_fixed(STATUS_USAGE),
		     "%s: one can receive as a bootstrap service only; leave \"netname:\" away", name);
	service_need_broker();
	kr = bootstrap_check_in(bootstrap_port, in_bootstrap ? in_bootstrap : name, &port);
	if (kr)
		complain(name, kr);
	return port;
}
