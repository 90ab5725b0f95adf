/* SPDX-License-Identifier: MIT */
#include "comparison.h"

#include <errno.h>
#include <mach.h>
#include <portunus/spawn.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "client.h"
#include "listener.h"
#include "names.h"
#include "portfs.h"
#include "portfs_event.h"

/* What a client begins life with, in this order. */
enum { ROOT, REPORTS, N_GIVEN };

struct comparison {
	struct listener listener; /* the clients report here */
	int is_over;		  /* nobody is left who could report */
	unsigned long n_reports;
	struct tally sum;
};

/* ---- a client */

static kern_return_t get_given(mach_port_t given[N_GIVEN])
{
	mach_msg_type_number_t n = 0;
	mach_port_array_t ports;
	kern_return_t kr = mach_ports_lookup(mach_task_self(), &ports, &n);

	if (kr)
		return kr;
	for (mach_msg_type_number_t i = 0; i < N_GIVEN; i++)
		given[i] = i < n ? ports[i] : MACH_PORT_NULL;
	vm_deallocate(mach_task_self(), (vm_address_t)ports, n * sizeof *ports);
	return MACH_PORT_VALID(given[ROOT]) && MACH_PORT_VALID(given[REPORTS]) ? KERN_SUCCESS : KERN_INVALID_RIGHT;
}

int comparison_client(const char *path)
{
	mach_port_t given[N_GIVEN];
	struct tally tally = { 0 };
	struct names then;
	kern_return_t kr;
	char who[32];

	if (get_given(given)) {
		fprintf(stderr, "portfs: this command is for processes that 'portfs check' starts\n");
		return WRONG_USAGE;
	}
	kr = names_init(&then);
	if (kr)
		return client_complain("names", kr);
	check_tree(given[ROOT], given[REPORTS], path, &tally);
	snprintf(who, sizeof who, "client %d", (int)getpid());
	tally.left_over = names_left(&then, who);
	names_deinit(&then);
	kr = portfs_report(given[REPORTS], (char *)&tally);
	return kr ? client_complain("the report", kr) : ALL_WELL;
}

/* ---- the clients */

static kern_return_t client_start(struct comparison *c, mach_port_t root, const char *path, pid_t *pid)
{
	char *const words[] = { (char *)"portfs", (char *)"client", (char *)path, NULL };
	const mach_port_t given[N_GIVEN] = { [ROOT] = root, [REPORTS] = c->listener.port };
	const struct portunus_spawn how = {
		.path = "/proc/self/exe",
		.argv = words,
		.ports = given,
		.n_ports = N_GIVEN,
	};
	kern_return_t kr = portunus_spawn(&how, pid, NULL);

	return kr == KERN_FAILURE ? PORTFS_ERROR(errno) : kr;
}

static void take_report(struct listener *listener, const struct tally *t)
{
	struct comparison *c = (struct comparison *)listener;
	struct tally *sum = &c->sum;

	c->n_reports++;
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
	sum->server_died |= t->server_died;
}

static void note_end(struct listener *listener)
{
	((struct comparison *)listener)->is_over = 1;
}

/* A client that ends, in whatever way, loses its right to our port. So when nobody has one, all have ended, and whatever they
 * had to report has come. While we start them we have one ourselves, else the first could have come and gone already. */
static kern_return_t run_clients(struct comparison *c, mach_port_t root, const char *path, pid_t *pids, unsigned long n)
{
	mach_port_t port = c->listener.port;
	kern_return_t kr = mach_port_insert_right(mach_task_self(), port, port, MACH_MSG_TYPE_MAKE_SEND), heard;
	unsigned long started = 0;

	if (kr)
		return kr;
	while (kr == KERN_SUCCESS && started < n) {
		kr = client_start(c, root, path, &pids[started]);
		started += kr == KERN_SUCCESS;
	}
	mach_port_deallocate(mach_task_self(), port);
	do
		heard = listener_wait(&c->listener);
	while (heard == KERN_SUCCESS && !c->is_over);
	for (unsigned long i = 0; i < started; i++)
		waitpid(pids[i], NULL, 0);
	return kr ? kr : heard;
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* All clients at once. */
static kern_return_t compare(struct comparison *c, mach_port_t root, const char *path, unsigned long n, double *seconds)
{
	pid_t *pids = calloc(n, sizeof *pids);
	kern_return_t kr = pids ? listener_init(&c->listener) : KERN_RESOURCE_SHORTAGE;

	if (kr == KERN_SUCCESS) {
		*seconds = -now();
		kr = run_clients(c, root, path, pids, n);
		*seconds += now();
		listener_deinit(&c->listener);
	}
	free(pids);
	return kr;
}

/* ---- what comes of it */

/* What the server has opened and closed between two moments. */
struct served {
	uint64_t opened, closed;
	uint32_t open;
};

static struct served served_between(const portfs_status_t *before, const portfs_status_t *after)
{
	return (struct served){
		.opened = portfs_u64(after->opened) - portfs_u64(before->opened),
		.closed = portfs_u64(after->closed) - portfs_u64(before->closed),
		.open = after->open,
	};
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

static void print_report(const struct tally *t, const struct served *s, double seconds)
{
	printf("files        %12llu\ndirectories  %12llu\nlinks        %12llu\nrefused      %12llu   (unreadable or special: "
	       "the same for both)\nbytes        %12llu   (%.0f MB/s)\n",
	       (unsigned long long)t->files, (unsigned long long)t->directories, (unsigned long long)t->links,
	       (unsigned long long)t->refused, (unsigned long long)t->bytes, (double)t->bytes / seconds / 1e6);
	printf("RPCs         %12llu   (%.0f per second, in %.2f s)\n", (unsigned long long)t->n_rpcs,
	       (double)t->n_rpcs / seconds, seconds);
	printf("rights       %12llu   made, %llu released, %llu closed by the server, %u still open\n",
	       (unsigned long long)s->opened, (unsigned long long)t->rights_released, (unsigned long long)s->closed,
	       s->open);
	if (t->changed)
		printf("note: the top directory changed meanwhile\n");
}

/* Is every right accounted for? */
static int rights_balance(const struct tally *t, const struct served *s)
{
	return s->open == 0 && s->opened == t->rights_got && s->closed == t->rights_got &&
	       t->rights_released == t->rights_got;
}

static int print_verdict(const struct tally *t, int balanced, unsigned long n_missing)
{
	if (n_missing)
		printf("%lu clients ended without a report\n", n_missing);
	if (t->differences)
		printf("%llu differences\n", (unsigned long long)t->differences);
	if (!balanced || t->left_over)
		printf("rights are left over: %llu names%s\n", (unsigned long long)t->left_over,
		       balanced ? "" : ", and the counts above disagree");
	if (n_missing || t->differences || !balanced || t->left_over)
		return FAILED;
	printf("every byte equal, every right returned\n");
	return ALL_WELL;
}

static int compare_and_print(mach_port_t root, const char *path, unsigned long n)
{
	struct comparison c = { .listener = { .report = take_report, .alone = note_end } };
	portfs_status_t before, after;
	struct served served;
	struct names then;
	double seconds;
	kern_return_t kr = names_init(&then);

	if (kr == KERN_SUCCESS)
		kr = portfs_status(root, &before);
	if (kr == KERN_SUCCESS)
		kr = compare(&c, root, path, n, &seconds);
	if (kr == KERN_SUCCESS)
		kr = c.sum.server_died ? MIG_SERVER_DIED : settled_status(root, &after);
	if (kr == KERN_SUCCESS)
		c.sum.left_over += names_left(&then, "the first process");
	names_deinit(&then);
	if (kr)
		return client_complain(path, kr);
	served = served_between(&before, &after);
	print_report(&c.sum, &served, seconds > 0 ? seconds : 1e-9);
	return print_verdict(&c.sum, rights_balance(&c.sum, &served), n - c.n_reports);
}

int comparison_run(mach_port_t root, const char *path, unsigned long n)
{
	printf("%s, served by one process with one thread to %lu client processes at once\n", path, n);
	fflush(stdout);
	return compare_and_print(root, path, n);
}
