/* SPDX-License-Identifier: MIT */
#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <mach.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "client.h"
#include "comparison.h"
#include "service.h"

#define MAX_CLIENTS 64

struct arguments {
	char *words[3]; /* command, name, path */
	int n_words;
	unsigned long n_clients, n_changes;
};

/* ---- commands */

static const char *path_of(const struct arguments *a)
{
	return a->n_words > 2 ? a->words[2] : "";
}

static int cat(mach_port_t root, const struct arguments *a)
{
	return client_cat(root, path_of(a));
}

static int ls(mach_port_t root, const struct arguments *a)
{
	return client_ls(root, path_of(a));
}

static int stat(mach_port_t root, const struct arguments *a)
{
	return client_stat(root, path_of(a));
}

static int watch(mach_port_t root, const struct arguments *a)
{
	return client_watch(root, path_of(a), a->n_changes);
}

static int check(mach_port_t root, const struct arguments *a)
{
	return comparison_run(root, path_of(a), a->n_clients);
}

/* A command that asks a server: it has to be found first. */
static int ask(int (*command)(mach_port_t root, const struct arguments *a), const struct arguments *a)
{
	mach_port_t root;
	int result = service_look_up(a->words[1], &root);

	if (result)
		return result;
	result = command(root, a);
	mach_port_deallocate(mach_task_self(), root);
	return result;
}

/* ---- the command line */

const char *argp_program_version = "portfs (Portunus) 0.1.0";

static const char doc[] =
	"Serve a directory tree over Mach ports, and be its client: an example of Portunus.\v"
	"Commands:\n"
	"  serve NAME DIR    serve DIR under NAME until SIGINT, SIGTERM or SIGHUP\n"
	"  cat NAME PATH     print a file\n"
	"  ls NAME [PATH]    list a directory: / after directories, @ after links, ? after special files\n"
	"  stat NAME PATH    print kind, mode, links, owner, size, inode and time\n"
	"  watch NAME PATH   print a line for each change until the file is gone\n"
	"  check NAME DIR    several client processes at once compare all of DIR with what is served as NAME\n"
	"\nPATH is found beneath what is served and cannot leave it. "
	"Exit status: 0 all well; 1 something failed or differs; 2 wrong usage; 3 nobody serves under NAME, or there is "
	"no broker to ask; 4 the server died while it was being asked.";

static const struct argp_option options[] = {
	{ "clients", 'n', "N", 0, "check: so many client processes (1 to 64, default 4)", 0 },
	{ "count", 'c', "N", 0, "watch: end after N changes", 0 },
	{ 0 },
};

static unsigned long parse_number(struct argp_state *state, const char *text, unsigned long max)
{
	char *end;
	unsigned long n;

	errno = 0;
	n = strtoul(text, &end, 10);
	if (errno || *end || end == text || text[0] == '-' || n < 1 || n > max)
		argp_error(state, "'%s' is not a number from 1 to %lu", text, max);
	return n;
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
	struct arguments *a = state->input;

	switch (key) {
	case 'n':
		a->n_clients = parse_number(state, argument, MAX_CLIENTS);
		return 0;
	case 'c':
		a->n_changes = parse_number(state, argument, 1000000000);
		return 0;
	case ARGP_KEY_ARG:
		if (a->n_words == 3)
			argp_error(state, "too many arguments");
		a->words[a->n_words++] = argument;
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_error(state, "which command?");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = { options, parse_option, "COMMAND NAME [PATH]", doc, NULL, NULL, NULL };

static int usage(const char *what)
{
	fprintf(stderr, "portfs: %s\nTry 'portfs --help'.\n", what);
	return WRONG_USAGE;
}

static int dispatch(const struct arguments *a)
{
	static const struct {
		const char *name;
		int min, max; /* words, itself included */
		int (*command)(mach_port_t root, const struct arguments *a);
	} commands[] = {
		{ "cat", 3, 3, cat },	 { "check", 3, 3, check }, { "client", 2, 2, NULL }, { "ls", 2, 3, ls },
		{ "serve", 3, 3, NULL }, { "stat", 3, 3, stat },   { "watch", 3, 3, watch },
	};

	for (unsigned int i = 0; i < sizeof commands / sizeof commands[0]; i++) {
		if (strcmp(a->words[0], commands[i].name) != 0)
			continue;
		if (a->n_words < commands[i].min)
			return usage("an argument is missing");
		if (a->n_words > commands[i].max)
			return usage("too many arguments");
		if (commands[i].command)
			return ask(commands[i].command, a);
		return a->n_words == 3 ? service_run(a->words[1], a->words[2]) : comparison_client(a->words[1]);
	}
	return usage("there is no such command");
}

/* ---- the process */

/* A tree may be deep, and each client has one file open per level, on both sides. */
static void raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

/* A standard stream that is closed is a number that the next descriptor gets, and whatever is printed goes there. So
 * something takes the place that can neither be read nor written. */
static void fill_standard_streams(void)
{
	int fd;

	do
		fd = open("/dev/null", O_PATH);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

int main(int argc, char **argv)
{
	struct arguments a = { .n_clients = 4 };
	int result;

	fill_standard_streams();
	argp_err_exit_status = WRONG_USAGE;
	argp_parse(&argp, argc, argv, 0, NULL, &a);
	raise_file_limit();
	result = dispatch(&a);
	if (fflush(stdout) != 0 || ferror(stdout)) {
		if (result == ALL_WELL)
			perror("portfs: cannot write the output");
		return FAILED;
	}
	return result;
}
