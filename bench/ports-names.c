/* SPDX-License-Identifier: MIT */
/* Looking a port up by its name. */
#include "lookup.h"
#include "small.h"

#include <servers/netname.h>
#include <unistd.h>

/* The worker has checked its service in; that started the broker, if none ran. */
static void *port_names_open(void)
{
	mach_port_t service = port_with_send_right();
	netname_name_t name;

	lookup_name(getpid(), name);
	must(netname_check_in(name_server_port, name, MACH_PORT_NULL, service));
	return name_context(service);
}

static void port_names_close(void *context)
{
	netname_name_t name;

	lookup_name(getpid(), name);
	must(netname_check_out(name_server_port, name, MACH_PORT_NULL));
	port_release(context_name(context));
}

void port_names_ask(void)
{
	netname_name_t host = "*", name;
	mach_port_t service = MACH_PORT_NULL;

	lookup_name(getppid(), name);
	must(netname_look_up(name_server_port, host, name, &service));
	lookup_report();
	need(MACH_PORT_VALID(service));
}

const struct names port_names = { "port-names-ask", port_names_open, port_names_close };
