/* SPDX-License-Identifier: MIT */
/* portunusd(8): the broker's program. It reads what it is to be, gets a socket, and serves. */
#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <mach_error.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "link/rendezvous.h"
#include "config.h"
#include "link/broker.h"
#include "listen.h"
#include "log.h"
#include "manager.h"
#include "server.h"

#define EXIT_USAGE  2
#define MAX_OPTIONS 64
#define PATIENCE_MS 500 /* programs look for a new broker every quarter of a second (client/registered.c) */

const char *argp_program_version = "portunusd (Portunus) " PORTUNUS_VERSION;

/* ---- arguments */

struct given {
	const char *key, *value;
};

struct arguments {
	const char *config_file;
	bool is_foreground, is_autostarted;
	struct given given[MAX_OPTIONS]; /* to be set after what the file says */
	unsigned int n_given;
};

enum { OPTION_CONFIG = 0x100, OPTION_FOREGROUND, OPTION_AUTOSTARTED, OPTION_SETTING /* and those after it */ };
#define N_SETTINGS 8

static const struct argp_option options[] = {
	{ "config", OPTION_CONFIG, "FILE", 0, "Read settings from FILE; options on the command line come after it", 0 },
	{ "foreground", OPTION_FOREGROUND, NULL, 0, "Stay in the foreground", 0 },
	{ "autostarted", OPTION_AUTOSTARTED, NULL, OPTION_HIDDEN, NULL, 0 },
	{ NULL, 0, NULL, 0, "Settings:", 1 },
	{ "socket", OPTION_SETTING, "PATH", 0, "Listen at PATH", 2 },
	{ "mode", OPTION_SETTING + 1, "MODE", 0, "The socket's mode, octal (0600)", 2 },
	{ "idle-exit", OPTION_SETTING + 2, "SECONDS", 0, "Leave when no node was connected for so long (0: never)", 2 },
	{ "service", OPTION_SETTING + 3, "NAME", 0, "Declare a bootstrap service; may be repeated", 2 },
	{ NULL, 0, NULL, 0, "Limits:", 3 },
	{ "max-nodes", OPTION_SETTING + 4, "N", 0, "Nodes connected at once (4096)", 4 },
	{ "max-links", OPTION_SETTING + 5, "N", 0, "Links that one node may introduce (1024)", 4 },
	{ "max-exports", OPTION_SETTING + 6, "N", 0, "Rights of one node, each way (1048576)", 4 },
	{ "max-names", OPTION_SETTING + 7, "N", 0, "Names of one process in each service (4096)", 4 },
	{ 0 },
};

static const char *option_name(int key)
{
	const struct argp_option *o = options;

	while (o->key != key)
		o++;
	return o->name;
}

static error_t parse_option(int key, char *value, struct argp_state *state)
{
	struct arguments *a = state->input;

	switch (key) {
	case OPTION_CONFIG:
		a->config_file = value;
		return 0;
	case OPTION_FOREGROUND:
		a->is_foreground = true;
		return 0;
	case OPTION_AUTOSTARTED:
		a->is_autostarted = true;
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "there is no argument \"%s\"", value);
		return 0;
	default:
		if (key < OPTION_SETTING || key >= OPTION_SETTING + N_SETTINGS)
			return ARGP_ERR_UNKNOWN;
		if (a->n_given == MAX_OPTIONS)
			argp_error(state, "too many options; please write a file for --config");
		a->given[a->n_given++] = (struct given){ option_name(key), value };
		return 0;
	}
}

static const struct argp argp = {
	.options = options,
	.parser = parse_option,
	.doc = "The broker of Portunus: introduces processes to each other and keeps the names of services."
	       "\vWhat it is told to do on its command line or in FILE, portunusd(8) describes. It serves until it gets "
	       "SIGTERM or SIGINT. Exit status: 0, 1 when it could not serve, 2 for wrong usage or configuration.",
};

static bool read_file(struct config *c, const char *name)
{
	FILE *file = fopen(name, "re");
	bool ok;

	if (!file) {
		fprintf(stderr, "portunusd: %s: %s\n", name, strerror(errno));
		return false;
	}
	ok = config_read(c, file, name, stderr);
	fclose(file);
	return ok;
}

static bool configure(struct config *c, const struct arguments *a)
{
	const char *what;
	bool ok = true;

	config_init(c);
	if (a->is_autostarted)
		c->idle_exit = CONFIG_IDLE_AUTOSTARTED;
	if (a->config_file)
		ok = read_file(c, a->config_file);
	for (unsigned int i = 0; i < a->n_given; i++) {
		what = config_set(c, a->given[i].key, a->given[i].value);
		if (what)
			fprintf(stderr, "portunusd: --%s %s\n", a->given[i].key, what);
		ok = ok && !what;
	}
	if (ok && !config_choose_socket(c)) {
		fprintf(stderr, "portunusd: PORTUNUS_BROKER or XDG_RUNTIME_DIR: %s\n", strerror(errno));
		ok = false;
	}
	return ok;
}

/* ---- in the background */

/* The parent ends when the child listens or has ended: with what the child writes, or ends with. */
static int wait_for_child(pid_t child, int ready)
{
	unsigned char byte;
	int status;

	if (read(ready, &byte, 1) == 1)
		return EXIT_SUCCESS;
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		continue;
	return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILURE;
}

/* Before there are threads. Returns, in the child, where to tell that it listens. */
static int go_to_background(void)
{
	int ends[2];
	pid_t child;

	if (pipe2(ends, O_CLOEXEC) < 0 || (child = fork()) < 0) {
		log_line(LOG_ERR, "cannot go to the background: %s", strerror(errno));
		exit(EXIT_FAILURE);
	}
	if (child) {
		close(ends[1]);
		_exit(wait_for_child(child, ends[0]));
	}
	close(ends[0]);
	setsid();
	return ends[1];
}

/* Nobody reads what a broker in the background writes. */
static void leave_terminal(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	for (int fd = 0; fd < 3 && null >= 0; fd++)
		dup2(null, fd);
	if (null > 2)
		close(null);
	if (chdir("/") < 0)
		log_line(LOG_WARNING, "/: %s", strerror(errno));
	log_init(LOG_TO_SYSTEM);
}

/* ---- serving */

static void block_ends(sigset_t *ends)
{
	sigemptyset(ends);
	sigaddset(ends, SIGTERM);
	sigaddset(ends, SIGINT);
	sigaddset(ends, SIGHUP);
	pthread_sigmask(SIG_BLOCK, ends, NULL);
	signal(SIGPIPE, SIG_IGN);
}

static void *wait_for_end(void *ends)
{
	int sig;

	sigwait(ends, &sig);
	log_line(LOG_INFO, "%s", strsignal(sig));
	server_stop();
	return NULL;
}

static bool declare_services(const struct config *c)
{
	kern_return_t kr;

	for (unsigned int i = 0; i < c->n_services; i++) {
		kr = server_declare(c->services[i]);
		if (kr) {
			log_line(LOG_ERR, "service %s: %s", c->services[i], mach_error_string(kr));
			return false;
		}
	}
	return true;
}

static bool server_start(const struct config *c, sigset_t *ends, int *listen_fd, bool is_successor)
{
	struct server_options o = {
		.max_names = c->max_names,
		.idle_seconds = c->idle_exit,
		.patience_ms = is_successor ? PATIENCE_MS : 0,
	};
	kern_return_t kr = server_init(&o);
	pthread_t thread;

	if (kr == KERN_SUCCESS && !declare_services(c))
		return false;
	if (kr == KERN_SUCCESS && pthread_create(&thread, NULL, wait_for_end, ends))
		kr = KERN_RESOURCE_SHORTAGE;
	if (kr == KERN_SUCCESS) {
		pthread_detach(thread);
		link_on_count(server_count_nodes);
		kr = link_serve(*listen_fd, server_service(), &c->limits);
	}
	if (kr)
		log_line(LOG_ERR, "cannot serve: %s", mach_error_string(kr));
	else
		*listen_fd = -1; /* given away */
	return kr == KERN_SUCCESS;
}

/* To whoever waits for us. */
static void tell_ready(const struct arguments *a, int ready)
{
	manager_notify("READY=1");
	if (ready >= 0) {
		if (write(ready, "", 1) < 0)
			log_line(LOG_WARNING, "nobody waits: %s", strerror(errno));
		close(ready);
		leave_terminal();
	}
	if (a->is_autostarted)
		close(BROKER_READY_FD);
}

static int serve(const struct config *c, const struct arguments *a, int *listen_fd, bool is_successor,
		 const char *where, int ready)
{
	static sigset_t ends; /* outlives us: a thread waits for them */
	kern_return_t kr;

	block_ends(&ends);
	if (!server_start(c, &ends, listen_fd, is_successor))
		return EXIT_FAILURE;
	log_line(LOG_INFO, "listening at %s", where);
	tell_ready(a, ready);
	kr = server_run();
	manager_notify("STOPPING=1");
	if (kr)
		log_line(LOG_ERR, "cannot go on: %s", mach_error_string(kr));
	else
		log_line(LOG_INFO, "leaving");
	return kr ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* With a socket of our own. Where another broker listens, whoever started us has what he wants; but a person who did will
 * want to know. */
static int serve_own(const struct config *c, const struct arguments *a)
{
	int ready = a->is_foreground || a->is_autostarted ? -1 : go_to_background(), status = EXIT_FAILURE;
	struct listen_socket s;

	switch (listen_open(&s, c->socket, c->mode, c->is_default)) {
	case LISTEN_OK:
		status = serve(c, a, &s.fd, s.is_successor, c->socket, ready);
		listen_close(&s);
		break;
	case LISTEN_TAKEN:
		log_line(a->is_autostarted ? LOG_INFO : LOG_ERR, "%s: another broker listens there", c->socket);
		status = a->is_autostarted ? EXIT_SUCCESS : EXIT_FAILURE;
		break;
	case LISTEN_FAILED:
		break;
	}
	return status;
}

int main(int argc, char **argv)
{
	struct arguments a = { 0 };
	struct config c;
	int fd, status;

	argp_err_exit_status = EXIT_USAGE;
	argp_parse(&argp, argc, argv, 0, NULL, &a);
	log_init(a.is_autostarted ? LOG_TO_SYSTEM : LOG_TO_STDERR);
	if (!configure(&c, &a)) {
		config_deinit(&c);
		return EXIT_USAGE;
	}
	fd = manager_listen_fd();
	if (fd >= 0) {
		status = serve(&c, &a, &fd, false, "the manager's socket", -1);
	} else if (errno) {
		log_line(LOG_ERR, "the manager's socket is not a listening SOCK_SEQPACKET socket of its own");
		status = EXIT_FAILURE;
	} else {
		status = serve_own(&c, &a);
	}
	config_deinit(&c);
	return status;
}
