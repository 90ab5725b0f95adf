/* SPDX-License-Identifier: MIT */
/* A process is killed, at thousands of points, and nobody else loses anything by it.
 *
 *   kill [WORKLOAD [POINTS [SEED]]]      rpc, rights, handoff, migrate, bulk, or all
 *
 * A point is a victim, which is started, given a right to each of two survivors' desks (desk.h), plays its role (victim.c) and
 * is killed at a step of its choice (steps.h): one that is as likely to be anywhere between its first call of the library and
 * its last. Then this process and the survivors, which are the same for all points, wait until they have got what they are
 * owed; and each has as many kernel objects, names, descriptors and mappings as before. */
#include "points.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "steps.h"

enum { GRAINS = 64, WARM_UPS = 3 };

static unsigned long n_points = 100;
static uint64_t seed = 1;

static struct steps *steps;
static int steps_fd;

/* ---- a point */

static struct point {
	enum role role;
	unsigned long index, end;
	unsigned grain;
} now;

/* It ends by itself, and by a kill: whatever else its end is, is a finding. */
static void check_end(int status)
{
	if (!WIFSIGNALED(status) || (WTERMSIG(status) != SIGKILL && WTERMSIG(status) != SIGTRAP))
		fail_msg("the victim ended with status %#x", (unsigned)status);
}

static void run_point(void)
{
	mach_port_t fronts[DESKS];
	task_t task;

	atomic_store(&steps->n, 0);
	steps->end = now.end;
	steps->grain = now.grain;
	desks_open(now.role, false, self, fronts);
	check_end(victim_await(victim_start(now.role, fronts, steps_fd, STEPS_FD, &task)));
	desks_close(now.role);
	victim_forget(task);
}

/* How long its life is when nobody kills it. */
static unsigned long measure_life(enum role role)
{
	unsigned long longest = 0;

	now = (struct point){ .role = role };
	for (unsigned i = 0; i < WARM_UPS; i++) {
		run_point();
		if (steps->n > longest)
			longest = steps->n;
	}
	return longest;
}

/* ---- workloads */

struct workload {
	struct pair pair; /* this process alone, at first */
	enum role first, last;
	bool is_done;
};

static void kill_in(void **test)
{
	struct workload *w = *test;
	unsigned n_roles = w->last - w->first + 1;
	unsigned long lives[ROLES];

	desks_start();
	random_begin(seed * 0x9e3779b97f4a7c15u + w->first);
	totals_begin();
	for (enum role role = w->first; role <= w->last; role++)
		lives[role] = measure_life(role);
	expect_balances(1 + DESKS);
	for (unsigned long i = 0; i < n_points; i++) {
		enum role role = w->first + (enum role)(i % n_roles);

		now = (struct point){ role, i, 1 + random_below(lives[role]), (unsigned)random_below(GRAINS) };
		run_point();
		expect_balances(1 + DESKS);
	}
	totals_print(n_points);
	w->is_done = true;
}

static int teardown(void **test)
{
	struct workload *w = *test;

	if (!w->is_done)
		print_error("at point %lu, seed %llu: role %d, killed at step %lu and %u instructions\n", now.index,
			    (unsigned long long)seed, now.role, now.end, now.grain);
	return family_teardown(test);
}

#define workload(name, first, last) \
	{ \
		name, kill_in, family_setup, teardown, &(struct workload) \
		{ \
			{ NULL, 0, 0 }, first, last, false \
		} \
	}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		workload("rpc", RPC_CLIENT, RPC_SERVER),
		workload("rights", RIGHTS_CLIENT, RIGHTS_SERVER),
		workload("handoff", HANDOFF_GIVER, HANDOFF_RECEIVER),
		workload("migrate", MIGRATE_HOME, MIGRATE_HOLDER),
		workload("bulk", BULK_CLIENT, BULK_SERVER),
	};
	bool is_one = argc > 1 && strcmp(argv[1], "all") != 0;

	if (argc > 2 && strcmp(argv[1], "--victim") == 0) {
		steps_join();
		return victim_main((enum role)atoi(argv[2]));
	}
	if (argc > 2)
		n_points = strtoul(argv[2], NULL, 0);
	if (argc > 3)
		seed = strtoull(argv[3], NULL, 0);
	steps = steps_make(&steps_fd);
	return family_main(is_one || (argc > 1 && argv[1][0] == '-') ? 2 : 1, argv, tests);
}
