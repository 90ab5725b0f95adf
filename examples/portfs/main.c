/* SPDX-License-Identifier: MIT */
#include <argp.h>
#include <errno.h>
#include <mach.h>
#include <mach_error.h>
#include <portunus/task.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "client.h"
#include "listener.h"
#include "names.h"
#include "portfs.h"
#include "server.h"

#define MAX_CLIENTS 64

struct arguments {
	char *words[3];
	int n_words;
	unsigned long n_clients, n_changes;
};

/* The server, in a task of its own. */
struct service {
	struct listener listener; /* its bootstrap port: on it we hear of the root */
	const char *path;
	task_t task;
	pthread_t thread;
	mach_port_t root; /* our send right */
	int answered;
	kern_return_t result;	/* of its start */
	unsigned int left_over; /* names that it still had at its end */
};

struct client {
	const char *path;
	unsigned int number;
	task_t task;
	pthread_t thread;
	struct tally tally;
};

static int complain(const char *what, kern_return_t kr)
{
	fprintf(stderr, "portfs: %s: %s\n", what, portfs_error_string(kr));
	return 1;
}

/* Starting and ending the server */

static void *service_thread(void *argument)
{
	struct service *s = argument;
	struct names then;

	if (names_init(&then)) {
		s->left_over = 1;
		return NULL;
	}
	server_run(s->path);
	s->left_over = names_left(&then, "the server");
	names_deinit(&then);
	return NULL;
}

static void service_ready(struct listener *listener, kern_return_t result, mach_port_t root)
{
	struct service *s = (struct service *)listener;

	s->answered = 1;
	s->result = result;
	s->root = root;
}

/* A task starts with one right: its bootstrap port. Whoever made the task decides what is behind it. */
static kern_return_t give_bootstrap(task_t task, mach_port_t receive)
{
	kern_return_t kr = mach_port_insert_right(mach_task_self(), receive, receive, MACH_MSG_TYPE_MAKE_SEND);

	if (kr)
		return kr;
	kr = task_set_special_port(task, TASK_BOOTSTRAP_PORT, receive);
	mach_port_deallocate(mach_task_self(), receive);
	return kr;
}

static kern_return_t service_listen(struct service *s)
{
	kern_return_t kr = give_bootstrap(s->task, s->listener.port);

	if (kr == KERN_SUCCESS)
		kr = portunus_thread_create(s->task, &s->thread, service_thread, s);
	if (kr)
		return kr;
	while (kr == KERN_SUCCESS && !s->answered)
		kr = listener_wait(&s->listener);
	if (kr || s->result)
		pthread_join(s->thread, NULL);
	return kr ? kr : s->result;
}

static void task_end(task_t task)
{
	task_terminate(task);
	mach_port_deallocate(mach_task_self(), task);
}

static kern_return_t service_start(struct service *s, const char *path)
{
	kern_return_t kr;

	*s = (struct service){ .path = path, .listener.ready = service_ready };
	kr = task_create(mach_task_self(), FALSE, &s->task);
	if (kr)
		return kr;
	kr = listener_init(&s->listener);
	if (kr == KERN_SUCCESS) {
		kr = service_listen(s);
		listener_deinit(&s->listener);
	}
	if (kr)
		task_end(s->task);
	return kr;
}

/* The server ends by itself once nobody has a right to any of its files; ours is the last. */
static void service_stop(struct service *s)
{
	mach_port_deallocate(mach_task_self(), s->root);
	pthread_join(s->thread, NULL);
	task_end(s->task);
}

/* The check: client tasks */

static void *client_thread(void *argument)
{
	struct client *client = argument;
	mach_port_t root = MACH_PORT_NULL;
	struct names then;
	kern_return_t kr;
	char who[32];

	if (names_init(&then)) {
		client->tally.left_over = 1;
		return NULL;
	}
	kr = task_get_special_port(mach_task_self(), TASK_BOOTSTRAP_PORT, &root);
	if (kr) {
		complain("a client has no root", kr);
		client->tally.differences++;
	} else {
		check_tree(root, client->path, &client->tally);
		mach_port_deallocate(mach_task_self(), root);
	}
	snprintf(who, sizeof who, "client %u", client->number);
	client->tally.left_over = names_left(&then, who);
	names_deinit(&then);
	return NULL;
}

static kern_return_t client_start(struct client *client, mach_port_t root)
{
	kern_return_t kr = task_create(mach_task_self(), FALSE, &client->task);

	if (kr)
		return kr;
	kr = task_set_special_port(client->task, TASK_BOOTSTRAP_PORT, root);
	if (kr == KERN_SUCCESS)
		kr = portunus_thread_create(client->task, &client->thread, client_thread, client);
	if (kr)
		task_end(client->task);
	return kr;
}

static void tally_add(struct tally *sum, const struct tally *t)
{
	sum->files += t->files;
	sum->directories += t->directories;
	sum->links += t->links;
	sum->refused += t->refused;
	sum->bytes += t->bytes;
	sum->n_rpcs += t->n_rpcs;
	sum->rights_got += t->rights_got;
	sum->rights_released += t->rights_released;
	sum->differences += t->differences;
	sum->left_over += t->left_over;
	sum->changed |= t->changed;
}

/* All clients at once. Returns the seconds that it took, or less than 0 if they could not be started. */
static double run_clients(mach_port_t root, const char *path, unsigned long n, struct tally *sum)
{
	struct client *clients = calloc(n, sizeof *clients);
	struct timespec start, end;
	kern_return_t kr = clients ? KERN_SUCCESS : KERN_RESOURCE_SHORTAGE;
	unsigned long started;

	clock_gettime(CLOCK_MONOTONIC, &start);
	for (started = 0; started < n && kr == KERN_SUCCESS; started++) {
		clients[started] = (struct client){ .path = path, .number = (unsigned int)started + 1 };
		kr = client_start(&clients[started], root);
		if (kr)
			break;
	}
	for (unsigned long i = 0; i < started; i++) {
		pthread_join(clients[i].thread, NULL);
		tally_add(sum, &clients[i].tally);
	}
	clock_gettime(CLOCK_MONOTONIC, &end);
	for (unsigned long i = 0; i < started; i++)
		task_end(clients[i].task);
	free(clients);
	if (kr) {
		complain("cannot start the clients", kr);
		return -1;
	}
	return (double)(end.tv_sec - start.tv_sec) + (double)(end.tv_nsec - start.tv_nsec) / 1e9;
}

/* Ask until the server has closed all; no-senders may be a little behind. */
static kern_return_t settled_status(mach_port_t root, portfs_status_t *status)
{
	kern_return_t kr;

	for (int tries = 0; tries < 5000; tries++) {
		kr = portfs_status(root, status);
		if (kr || status->open == 0)
			return kr;
		usleep(1000);
	}
	return KERN_SUCCESS;
}

static void print_report(const struct tally *t, const portfs_status_t *s, double seconds)
{
	printf("files        %12llu\ndirectories  %12llu\nlinks        %12llu\nrefused      %12llu   (unreadable or special: "
	       "the same for both)\nbytes        %12llu   (%.0f MB/s)\n",
	       (unsigned long long)t->files, (unsigned long long)t->directories, (unsigned long long)t->links,
	       (unsigned long long)t->refused, (unsigned long long)t->bytes, (double)t->bytes / seconds / 1e6);
	printf("RPCs         %12llu   (%.0f per second, in %.2f s)\n", (unsigned long long)t->n_rpcs,
	       (double)t->n_rpcs / seconds, seconds);
	printf("rights       %12llu   made, %llu released, %llu closed by the server, %u still open\n",
	       (unsigned long long)portfs_u64(s->opened), (unsigned long long)t->rights_released,
	       (unsigned long long)portfs_u64(s->closed), s->open);
	if (t->changed)
		printf("note: the top directory changed meanwhile\n");
}

/* Is every right accounted for? */
static int rights_balance(const struct tally *t, const portfs_status_t *s)
{
	return s->open == 0 && portfs_u64(s->opened) == t->rights_got && portfs_u64(s->closed) == t->rights_got &&
	       t->rights_released == t->rights_got;
}

static int print_verdict(const struct tally *t, int balanced, unsigned int left_over)
{
	if (t->differences)
		printf("%llu differences\n", (unsigned long long)t->differences);
	if (!balanced || left_over)
		printf("rights are left over: %u names%s\n", left_over,
		       balanced ? "" : ", and the counts above disagree");
	if (t->differences || !balanced || left_over)
		return 1;
	printf("every byte equal, every right returned\n");
	return 0;
}

static int check(const char *path, unsigned long n_clients)
{
	portfs_status_t status = { 0 };
	struct tally sum = { 0 };
	struct service service;
	unsigned int left_over;
	struct names then;
	kern_return_t kr;
	double seconds;

	kr = names_init(&then);
	if (kr == KERN_SUCCESS)
		kr = service_start(&service, path);
	if (kr)
		return complain(path, kr);
	printf("%s, served by one thread to %lu client tasks at once\n", path, n_clients);
	fflush(stdout);
	seconds = run_clients(service.root, path, n_clients, &sum);
	if (seconds >= 0) {
		kr = settled_status(service.root, &status);
		if (kr)
			complain("the server's status", kr);
	}
	service_stop(&service);
	left_over = (unsigned int)sum.left_over + service.left_over + names_left(&then, "the first task");
	names_deinit(&then);
	if (seconds < 0 || kr)
		return 1;
	print_report(&sum, &status, seconds > 0 ? seconds : 1e-9);
	return print_verdict(&sum, rights_balance(&sum, &status), left_over);
}

/* The command line */

const char *argp_program_version = "portfs (Portunus) 0.1.0";

static const char doc[] =
	"Serve a directory tree over Mach ports, and be its client: an example of Portunus.\v"
	"Commands:\n"
	"  check [DIR]       several client tasks at once compare all of DIR with the file system; demo is the same\n"
	"  cat DIR PATH      print a file\n"
	"  ls DIR [PATH]     list a directory: / after directories, @ after links, ? after special files\n"
	"  stat DIR PATH     print kind, mode, links, owner, size, inode and time\n"
	"  watch DIR PATH    print a line for each change until the file is gone\n"
	"\nDIR (default of check: /usr/include) is what is served; PATH is found beneath it and cannot leave it. "
	"Exit status: 0 all well; 1 something failed or differs; 2 wrong usage.";

static const struct argp_option options[] = {
	{ "clients", 'n', "N", 0, "check: so many client tasks (1 to 64, default 4)", 0 },
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

static const struct argp argp = { options, parse_option, "COMMAND [DIR [PATH]]", doc, NULL, NULL, NULL };

static int usage(const char *what)
{
	fprintf(stderr, "portfs: %s\nTry 'portfs --help'.\n", what);
	return 2;
}

enum command { CHECK, CAT, LS, STAT, WATCH };

static int run_command(enum command command, const struct arguments *a, mach_port_t root)
{
	const char *path = a->n_words > 2 ? a->words[2] : "";

	switch (command) {
	case CAT:
		return client_cat(root, path);
	case LS:
		return client_ls(root, path);
	case STAT:
		return client_stat(root, path);
	default:
		return client_watch(root, path, a->n_changes);
	}
}

static int serve_and_run(enum command command, const struct arguments *a)
{
	struct service service;
	kern_return_t kr = service_start(&service, a->words[1]);
	int result;

	if (kr)
		return complain(a->words[1], kr);
	result = run_command(command, a, service.root);
	service_stop(&service);
	return result;
}

static int dispatch(const struct arguments *a)
{
	static const struct {
		const char *name;
		enum command command;
		int min, max; /* words, itself included */
	} commands[] = {
		{ "check", CHECK, 1, 2 }, { "demo", CHECK, 1, 2 }, { "cat", CAT, 3, 3 },
		{ "ls", LS, 2, 3 },	  { "stat", STAT, 3, 3 },  { "watch", WATCH, 3, 3 },
	};

	for (unsigned int i = 0; i < sizeof commands / sizeof commands[0]; i++) {
		if (strcmp(a->words[0], commands[i].name) != 0)
			continue;
		if (a->n_words < commands[i].min)
			return usage("an argument is missing");
		if (a->n_words > commands[i].max)
			return usage("too many arguments");
		if (commands[i].command == CHECK)
			return check(a->n_words > 1 ? a->words[1] : "/usr/include", a->n_clients);
		return serve_and_run(commands[i].command, a);
	}
	return usage("there is no such command");
}

/* A tree may be deep, and each client has one file open per level, on both sides. */
static void raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

int main(int argc, char **argv)
{
	struct arguments a = { .n_clients = 4 };
	int result;

	argp_err_exit_status = 2;
	argp_parse(&argp, argc, argv, 0, NULL, &a);
	raise_file_limit();
	result = dispatch(&a);
	if (fflush(stdout) != 0 || ferror(stdout)) {
		if (result == 0)
			perror("portfs: cannot write the output");
		return 1;
	}
	return result;
}
