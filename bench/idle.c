/* SPDX-License-Identifier: MIT */
/* Memory, descriptors and wake-ups of idle clients and of their server.
 *
 * Memory is the proportional share of anonymous and shared memory. Program text is left out: its share falls in every
 * process whenever one more maps the same library. */
#include "idle.h"
#include "small.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct census {
	double wakes, cpu; /* since the threads began */
};

static double memory_of(pid_t pid)
{
	char path[64], line[128];
	unsigned long kib, sum = 0;
	FILE *f;

	snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)pid);
	f = fopen(path, "re");
	need(f);
	while (fgets(line, sizeof line, f))
		if (sscanf(line, "Pss_Anon: %lu", &kib) == 1 || sscanf(line, "Pss_Shmem: %lu", &kib) == 1)
			sum += kib;
	fclose(f);
	return (double)sum * 1024;
}

/* Calls visit for each entry of a folder of /proc that is a number. */
static void for_numbers(const char *path, void (*visit)(const char *path, long number, void *arg), void *arg)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	char *end;
	long number;

	need(dir);
	while ((entry = readdir(dir))) {
		number = strtol(entry->d_name, &end, 10);
		if (end != entry->d_name && !*end)
			visit(path, number, arg);
	}
	closedir(dir);
}

static void count_one(const char *path, long number, void *arg)
{
	(void)path;
	(void)number;
	++*(unsigned *)arg;
}

/* One more in the process that looks: the folder. */
static double files_of(pid_t pid)
{
	char path[64];
	unsigned n = 0;

	snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
	for_numbers(path, count_one, &n);
	return n;
}

/* Whoever takes the census is not counted. */
static void count_thread(const char *folder, long tid, void *arg)
{
	struct census *c = arg;
	char path[128], line[128];
	unsigned long long n, cpu;
	FILE *f;

	if (tid == gettid())
		return;
	snprintf(path, sizeof path, "%s/%ld/status", folder, tid);
	f = fopen(path, "re");
	need(f);
	while (fgets(line, sizeof line, f))
		if (sscanf(line, "voluntary_ctxt_switches: %llu", &n) == 1 ||
		    sscanf(line, "nonvoluntary_ctxt_switches: %llu", &n) == 1)
			c->wakes += (double)n;
	fclose(f);
	snprintf(path, sizeof path, "%s/%ld/schedstat", folder, tid);
	f = fopen(path, "re");
	need(f && fscanf(f, "%llu", &cpu) == 1);
	fclose(f);
	c->cpu += (double)cpu * 1e-9;
}

static struct census census_of(const struct clients *all)
{
	struct census c = { 0 };
	char path[64];

	for_numbers("/proc/self/task", count_thread, &c);
	for (unsigned i = 0; i < all->n; i++) {
		snprintf(path, sizeof path, "/proc/%d/task", (int)all->peers[i].pid);
		for_numbers(path, count_thread, &c);
	}
	return c;
}

static void pause_for(double seconds)
{
	struct timespec t = { .tv_sec = (time_t)seconds, .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9) };

	nanosleep(&t, NULL);
}

/* ---- the server: a thread of the worker, so that the worker can look on while it waits for its clients ---- */

static void *server_main(void *arg)
{
	struct clients *all = arg;

	all->plan->wire->serve(all->server, 1);
	return NULL;
}

/* What the last clients and the server still have to do after their last exchange comes to its end first. */
static struct census settle(const struct clients *all)
{
	struct census before, c = census_of(all);
	double deadline = now() + 5;

	do {
		before = c;
		pause_for(0.1);
		c = census_of(all);
	} while (c.wakes > before.wakes && now() < deadline);
	return c;
}

static double activity(struct clients *all, enum idle_figure figure)
{
	double seconds = options.quick ? 0.05 : 3;
	struct census before, after;
	pthread_t server;

	need(pthread_create(&server, NULL, server_main, all) == 0);
	before = settle(all);
	pause_for(seconds);
	after = census_of(all);
	clients_stop_one(all);
	need(pthread_join(server, NULL) == 0);
	return figure == IDLE_WAKES ? after.wakes - before.wakes : (after.cpu - before.cpu) / seconds * 1e6;
}

/* ---- clients of a server that does not exist: what is a client's own ---- */

static void *nothing_open(struct clients *all)
{
	return all;
}

static void nothing_start(void *all, unsigned i)
{
	clients_start(all, i, -1, launch_plain, NULL);
}

static void nothing_serve(void *all, unsigned n_clients)
{
	(void)all;
	(void)n_clients;
}

static void nothing_end(void *either)
{
	(void)either;
}

static void *nothing_join(const struct board *board)
{
	(void)board;
	return NULL;
}

static double nothing_work(void *client, uint64_t n)
{
	(void)client;
	(void)n;
	return 0;
}

const struct wire linked_only = {
	.name = "linked-only",
	.warm = 1,
	.open = nothing_open,
	.start = nothing_start,
	.serve = nothing_serve,
	.close = nothing_end,
	.join = nothing_join,
	.work = nothing_work,
	.stop = nothing_end,
	.leave = nothing_end,
};

/* A program with ports has a kernel in it, whether or not one of them is somebody else's: its task, its table of names, its
 * caches. Nothing of that belongs to the link. */
static void *alone_join(const struct board *board)
{
	(void)board;
	return name_context(port_with_send_right());
}

static double alone_work(void *client, uint64_t n)
{
	mach_port_t port = context_name(client);
	struct small m;

	for (; n; n--) {
		small_init(&m, port, MACH_MSG_TYPE_COPY_SEND);
		send_to(&m.head, port, MACH_MSG_TYPE_COPY_SEND);
		receive(&m.head, sizeof m, port);
	}
	return 0;
}

static void alone_leave(void *client)
{
	port_release(context_name(client));
}

const struct wire port_alone = {
	.name = "port-alone",
	.warm = 1,
	.open = nothing_open,
	.start = nothing_start,
	.serve = nothing_serve,
	.close = nothing_end,
	.join = alone_join,
	.work = alone_work,
	.stop = nothing_end,
	.leave = alone_leave,
};

static double clients_sum(const struct clients *all, double (*what)(pid_t pid))
{
	double sum = 0;

	for (unsigned i = 0; i < all->n; i++)
		sum += what(all->peers[i].pid);
	return sum;
}

/* For each client, less what it would have anyway. */
static double client_beyond(const struct clients *all, const struct wire *own, double (*what)(pid_t pid))
{
	const struct clients_plan plan = { .wire = own, .n_idle = all->n, .n_idle_quick = all->n };
	struct clients *unlinked = clients_open(&plan);
	double anyway = clients_sum(unlinked, what);

	clients_close(unlinked);
	return (clients_sum(all, what) - anyway) / all->n;
}

static double figure_of(struct clients *all, const struct idle_plan *plan, double memory, double files)
{
	switch (plan->figure) {
	case IDLE_SERVER_BYTES:
		return (memory_of(getpid()) - memory) / all->n;
	case IDLE_CLIENT_BYTES:
		return client_beyond(all, plan->own, memory_of);
	case IDLE_SERVER_FILES:
		return (files_of(getpid()) - files) / all->n - 1; /* the control socket is the bench's */
	case IDLE_CLIENT_FILES:
		return client_beyond(all, plan->own, files_of);
	case IDLE_WAKES:
	case IDLE_CPU:
		return activity(all, plan->figure);
	}
	return 0;
}

double idle_run(void *context, uint64_t n)
{
	const struct idle_plan *plan = context;
	double memory = memory_of(getpid()), files = files_of(getpid()), figure;
	struct clients *all = clients_open(&plan->clients);

	figure = figure_of(all, plan, memory, files);
	clients_close(all);
	return figure * (double)n;
}
