/* SPDX-License-Identifier: MIT */
/* D-Bus with sd-bus: two processes directly, and through dbus-daemon.
 *
 * For speed: sd-bus, which is the fastest of the client libraries; a payload is one array of bytes that is written and read
 * in place; a method without an answer has the NO_REPLY flag; with one connection the loop is sd_bus_process() and
 * sd_bus_wait(), with many it is sd-event, both as sd-bus(3) recommends. The daemon is a private one with
 * the limits of the session bus. The object that an answer brings is a descriptor ('h'): D-Bus itself passes only the names
 * of objects, which give no rights. */
#include "contestant.h"
#include "work.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#define PATH	  "/org/portunus/Contest"
#define INTERFACE "org.portunus.Contest"
#define NAME	  "org.portunus.Contest"

enum { ARRAY_MAX = 64 << 20 };

struct server {
	struct plan plan;
	bool has_daemon;
	pid_t daemon;
	char config[64], socket[64], address[ADDRESS_SIZE];
	sd_event *event; /* where there are several connections */
	sd_bus **buses;
	unsigned n_buses;
	int passed;
	struct service *service;
};

struct client {
	sd_bus *bus;
	const char *destination;
	sd_bus_message *out, *in;
};

static int good(int r, const char *what, int line)
{
	if (r < 0)
		fail(what, __FILE__, line, strerror(-r));
	return r;
}

#define GOOD(call) good((call), #call, __LINE__)

/* ---- the server ---- */

static void object_append(sd_bus_message *reply, const struct server *s, bool is_new)
{
	int ends[2];

	if (!is_new) {
		GOOD(sd_bus_message_append(reply, "h", s->passed));
		return;
	}
	need(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
	GOOD(sd_bus_message_append(reply, "h", ends[1]));
	close(ends[0]);
	close(ends[1]);
}

static void answer(struct server *s, sd_bus_message *m, const char *data, size_t n, enum reaction reaction)
{
	sd_bus_message *reply = NULL;
	void *space;

	GOOD(sd_bus_message_new_method_return(m, &reply));
	GOOD(sd_bus_message_append_array_space(reply, 'y', n, &space));
	answer_write(space, data, n);
	if (reaction != REACT_ANSWER)
		object_append(reply, s, reaction == REACT_MAKE);
	GOOD(sd_bus_send(NULL, reply, NULL));
	sd_bus_message_unref(reply);
}

static int on_call(sd_bus_message *m, void *server, sd_bus_error *error)
{
	struct server *s = server;
	enum reaction reaction;
	const void *data;
	size_t size, n;

	(void)error;
	GOOD(sd_bus_message_read_array(m, 'y', &data, &size));
	reaction = service_react(s->service, data, size, &n);
	if (reaction != REACT_NOT)
		answer(s, m, data, n, reaction);
	return 1;
}

static const sd_bus_vtable vtable[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_METHOD("Do", "ay", "ay", on_call, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD("Post", "ay", "", on_call, SD_BUS_VTABLE_UNPRIVILEGED | SD_BUS_VTABLE_METHOD_NO_REPLY),
	SD_BUS_METHOD("Pass", "ay", "ayh", on_call, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_VTABLE_END,
};

static void bus_add(struct server *s, sd_bus *bus)
{
	GOOD(sd_bus_add_object_vtable(bus, NULL, PATH, INTERFACE, vtable, s));
	if (s->event)
		GOOD(sd_bus_attach_event(bus, s->event, SD_EVENT_PRIORITY_NORMAL));
	s->buses[s->n_buses++] = bus;
}

/* As the session bus is set up, but its socket is one that nobody else knows. */
static void config_write(struct server *s)
{
	int fd;
	FILE *f;

	strcpy(s->config, "/tmp/bench-dbus-XXXXXX");
	fd = mkstemp(s->config);
	f = fd >= 0 ? fdopen(fd, "w") : NULL;
	need(f);
	snprintf(s->socket, sizeof s->socket, "%s.socket", s->config);
	snprintf(s->address, sizeof s->address, "unix:path=%s", s->socket);
	fprintf(f,
		"<busconfig><type>session</type><listen>%s</listen><auth>EXTERNAL</auth>"
		"<policy context=\"default\"><allow send_destination=\"*\" eavesdrop=\"true\"/>"
		"<allow eavesdrop=\"true\"/><allow own=\"*\"/></policy>",
		s->address);
	for (const char *const *limit =
		     (const char *const[]){ "max_incoming_bytes", "max_outgoing_bytes", "max_message_size",
					    "max_incoming_unix_fds", "max_outgoing_unix_fds", "service_start_timeout",
					    "auth_timeout", "pending_fd_timeout", "max_completed_connections",
					    "max_incomplete_connections", "max_connections_per_user",
					    "max_pending_service_starts", "max_names_per_connection",
					    "max_match_rules_per_connection", "max_replies_per_connection", NULL };
	     *limit; limit++)
		fprintf(f, "<limit name=\"%s\">%s</limit>", *limit,
			strstr(*limit, "bytes") || strstr(*limit, "size") ? "1000000000"
			: strstr(*limit, "timeout")			  ? "120000"
									  : "100000");
	fputs("</busconfig>\n", f);
	need(fclose(f) == 0);
}

/* It says its address when it can be reached. */
static void daemon_start(struct server *s)
{
	char config[96], line[256];
	int said[2];

	config_write(s);
	snprintf(config, sizeof config, "--config-file=%s", s->config);
	need(pipe2(said, O_CLOEXEC) == 0);
	s->daemon = fork();
	need(s->daemon >= 0);
	if (s->daemon == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(said[1], STDOUT_FILENO);
		dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), STDERR_FILENO); /* that it cannot raise a limit */
		execlp("dbus-daemon", "dbus-daemon", config, "--nofork", "--nopidfile", "--nosyslog",
		       "--print-address=1", (char *)NULL);
		_exit(127);
	}
	close(said[1]);
	need(read(said[0], line, sizeof line) > 0);
	close(said[0]);
}

static sd_bus *bus_connect(const char *address)
{
	sd_bus *bus = NULL;

	GOOD(sd_bus_new(&bus));
	GOOD(sd_bus_set_address(bus, address));
	GOOD(sd_bus_set_bus_client(bus, 1));
	GOOD(sd_bus_negotiate_fds(bus, 1));
	GOOD(sd_bus_start(bus));
	return bus;
}

static struct server *server_new(const struct plan *plan, bool has_daemon)
{
	struct server *s = calloc(1, sizeof *s);
	sd_bus *bus;

	need(s);
	s->plan = *plan;
	s->has_daemon = has_daemon;
	s->buses = calloc(plan->n_clients + 1, sizeof(sd_bus *));
	need(s->buses);
	s->passed = open("/dev/null", O_RDONLY | O_CLOEXEC);
	need(s->passed >= 0);
	if (!has_daemon) {
		if (plan->n_clients > 1)
			GOOD(sd_event_new(&s->event));
		return s;
	}
	daemon_start(s);
	bus = bus_connect(s->address);
	bus_add(s, bus);
	GOOD(sd_bus_request_name(bus, NAME, 0));
	return s;
}

static void *peer_open(const struct plan *plan)
{
	return server_new(plan, false);
}

static void *daemon_open(const struct plan *plan)
{
	return server_new(plan, true);
}

static void invite(void *server, struct ticket *ticket)
{
	struct server *s = server;
	sd_id128_t id;
	sd_bus *bus = NULL;
	int ends[2];

	if (s->has_daemon) {
		memcpy(ticket->address, s->address, sizeof ticket->address);
		return;
	}
	need(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
	GOOD(sd_bus_new(&bus));
	GOOD(sd_bus_set_fd(bus, ends[0], ends[0]));
	GOOD(sd_id128_randomize(&id));
	GOOD(sd_bus_set_server(bus, 1, id));
	GOOD(sd_bus_negotiate_fds(bus, 1));
	GOOD(sd_bus_start(bus));
	bus_add(s, bus);
	ticket->fds[0] = ends[1];
}

static void serve(void *server, struct service *service)
{
	struct server *s = server;

	s->service = service;
	while (service->n_clients > 0) {
		if (s->event)
			GOOD(sd_event_run(s->event, UINT64_MAX));
		else if (GOOD(sd_bus_process(s->buses[0], NULL)) == 0)
			GOOD(sd_bus_wait(s->buses[0], UINT64_MAX));
	}
	for (unsigned i = 0; i < s->n_buses; i++)
		if (sd_bus_is_open(s->buses[i]) > 0)
			sd_bus_flush(s->buses[i]);
}

static void close_server(void *server)
{
	struct server *s = server;

	while (s->n_buses)
		sd_bus_close_unref(s->buses[--s->n_buses]);
	free(s->buses);
	sd_event_unref(s->event);
	if (s->daemon) {
		kill(s->daemon, SIGTERM);
		waitpid(s->daemon, NULL, 0);
		unlink(s->config);
		unlink(s->socket);
	}
	close(s->passed);
	free(s);
}

static pid_t helper(void *server)
{
	return ((struct server *)server)->daemon;
}

/* ---- clients ---- */

static void *peer_join(const struct ticket *ticket)
{
	struct client *c = calloc(1, sizeof *c);

	need(c);
	GOOD(sd_bus_new(&c->bus));
	GOOD(sd_bus_set_fd(c->bus, ticket->fds[0], ticket->fds[0]));
	GOOD(sd_bus_negotiate_fds(c->bus, 1));
	GOOD(sd_bus_start(c->bus));
	return c;
}

static void *daemon_join(const struct ticket *ticket)
{
	struct client *c = calloc(1, sizeof *c);

	need(c);
	c->bus = bus_connect(ticket->address);
	c->destination = NAME;
	return c;
}

static char *buffer(void *client, enum request_kind kind, size_t size)
{
	struct client *c = client;
	const char *method = kind == REQUEST_PASS || kind == REQUEST_MAKE ? "Pass"
			     : kind == REQUEST_POST			  ? "Post"
									  : "Do";
	void *space;

	GOOD(sd_bus_message_new_method_call(c->bus, &c->out, c->destination, PATH, INTERFACE, method));
	GOOD(sd_bus_message_append_array_space(c->out, 'y', size, &space));
	return space;
}

static const char *call(void *client, size_t size)
{
	struct client *c = client;
	sd_bus_error error = SD_BUS_ERROR_NULL;
	const void *data;

	(void)size;
	c->in = sd_bus_message_unref(c->in);
	if (sd_bus_call(c->bus, c->out, UINT64_MAX, &error, &c->in) < 0)
		fail("sd_bus_call", __FILE__, __LINE__, error.message);
	c->out = sd_bus_message_unref(c->out);
	GOOD(sd_bus_message_read_array(c->in, 'y', &data, &size));
	return data;
}

/* The descriptor of an answer belongs to its message. */
static void drop(void *client)
{
	struct client *c = client;
	int fd;

	GOOD(sd_bus_message_read(c->in, "h", &fd));
	c->in = sd_bus_message_unref(c->in);
}

/* What finds no room in the socket waits in the library; the loop that a program has would send it. */
static void post(void *client, size_t size)
{
	enum { KEPT_MAX = 100 };
	struct client *c = client;
	static _Thread_local unsigned n;

	(void)size;
	GOOD(sd_bus_message_set_expect_reply(c->out, 0));
	GOOD(sd_bus_send(c->bus, c->out, NULL));
	c->out = sd_bus_message_unref(c->out);
	if (++n % KEPT_MAX == 0)
		GOOD(sd_bus_flush(c->bus));
}

static void leave(void *client)
{
	struct client *c = client;

	sd_bus_message_unref(c->in);
	sd_bus_close_unref(c->bus);
	free(c);
}

/* ---- endpoints: objects on a connection ---- */

static void endpoint_new(void *server, struct endpoint *e)
{
	static _Atomic uint64_t next;
	struct server *s = server;
	struct ticket ticket;
	char path[64];
	sd_bus_slot *slot = NULL;

	if (!s->n_buses) { /* without clients there is no connection yet */
		invite(s, &ticket);
		close(ticket.fds[0]);
	}
	snprintf(path, sizeof path, "/org/portunus/%llu", (unsigned long long)next++);
	GOOD(sd_bus_add_object_vtable(s->buses[0], &slot, path, INTERFACE, vtable, s));
	e->object = slot;
}

static void endpoint_free(void *server, struct endpoint *e)
{
	(void)server;
	sd_bus_slot_unref(e->object);
}

static const char *unfit(const struct work *work)
{
	if (work->size > ARRAY_MAX)
		return "64 MiB at most";
	if (work->n_endpoints > 100000)
		return "not measured";
	return files_unfit(2 * (work->n_clients + work->n_idle));
}

#define DBUS(open_it, join_it) \
	.unfit = unfit, .open = open_it, .invite = invite, .serve = serve, .close = close_server, .join = join_it, \
	.buffer = buffer, .call = call, .post = post, .drop = drop, .leave = leave

const struct contestant dbus_peer = {
	.name = "dbus-peer",
	.what = "D-Bus without a daemon, sd-bus at both ends",
	.endpoint = "an object on a connection",
	.endpoint_new = endpoint_new,
	.endpoint_free = endpoint_free,
	DBUS(peer_open, peer_join),
};

const struct contestant dbus_daemon = {
	.name = "dbus-daemon",
	.what = "D-Bus through dbus-daemon, sd-bus at both ends",
#ifndef HAVE_DBUS_DAEMON
	.absent = "absent: dbus-daemon was not there when this was built",
#endif
	.helper = helper,
	DBUS(daemon_open, daemon_join),
};
