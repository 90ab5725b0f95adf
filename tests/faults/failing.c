/* SPDX-License-Identifier: MIT */
/* A process to which the host refuses something: each of its calls that can fail for want of memory, descriptors, threads or room
 * fails in turn (host.h), in whatever thread.
 *
 *   failing [WORKLOAD [POINTS [SEED]]]      WORKLOAD-lives, WORKLOAD-ends, or all
 *
 * POINTS is so many calls at random, 0: each call, =N: the Nth.
 *
 * A point is one such failure. The process plays a role of the kill campaign (victim.c) with two others, who keep account at
 * their desks (desk.h: D1 to D6), and
 *   F1  the call at hand succeeds, or returns an error that means want (want.h); then it gives up its role
 *   F2  it gives back what it has, by the end of the task that plays the role (lives) or its own (ends); then the desks have got
 *       what they are owed, as after any death, and no link has been dropped
 *   F3  all have as many kernel objects, names, descriptors, mappings and bytes as before, the process itself too if it lives;
 *       what the library keeps for later is let pass by failing the same again: a leak grows each time
 * A process that lives has been linked before, so nothing excuses it. To one that ends it happens from its first call on, so it
 * may fail to be linked, and then others are dead for it, or it has no parent. */
#include "points.h"

#include <portunus/task.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host.h"
#include "platform/spares.h"
#include "want.h"

enum { FRONT = 0xf001, GUEST = 1 + DESKS, WARM_UPS = 3 };

/* The memory of exports and proxies is kept as well, and each try may keep one more. */
enum { TRIES = 4 + SPARES_MAX };

static unsigned long n_points, only_point;
static uint64_t seed = 1;

static struct host *victims;
static int victims_fd;

/* ---- one that lives ---------------------------------------------------------------------------------------------- */

/* F1 */
static void give_up_role(kern_return_t r)
{
	if (atomic_load(&host->has_failed) && means_want(r))
		pthread_exit(NULL);
}

struct part {
	enum role role;
	unsigned long fail_at;
};

static void *play(void *arg)
{
	static const mach_port_t fronts[DESKS] = { FRONT, FRONT + 1 };
	const struct part *part = arg;

	mach_task_self();
	mach_thread_self();
	on_failure = give_up_role;
	host_arm(part->fail_at);
	victim_play(part->role, fronts);
	return NULL;
}

/* n: role, fronts, which call; then how many calls, whether one has failed. F2: by the end of the task. */
static void do_play(long *n)
{
	struct part part = { (enum role)n[0], (unsigned long)n[3] };
	pthread_t thread;
	task_t task;

	expect_ok(task_create(here(), FALSE, &task));
	for (unsigned i = 0; i < DESKS; i++)
		expect_ok(mach_port_insert_right(task, FRONT + i, (mach_port_t)n[1 + i], MACH_MSG_TYPE_MOVE_SEND));
	expect_ok(portunus_thread_create(task, &thread, play, &part));
	pthread_join(thread, NULL);
	host_disarm();
	expect_ok(task_terminate(task));
	expect_ok(mach_port_deallocate(here(), task));
	n[0] = (long)atomic_load(&host->n);
	n[1] = atomic_load(&host->has_failed);
	memcpy(&n[2], host->name, sizeof host->name);
}

/* The library keeps small messages and small regions for later, up to some number: each goes over a port that is destroyed.
 * It keeps the memory of ports, too. */
static void fill_caches(void)
{
	enum { MESSAGES = 200, SIZE = 16 * 4096 };
	static char bytes[SIZE];
	mach_port_t port = mach_reply_port(), ports[SPARES_MAX + 1];
	struct letter l;

	for (int i = 0; i <= SPARES_MAX; i++)
		ports[i] = mach_reply_port();
	for (int i = 0; i <= SPARES_MAX; i++)
		expect_ok(mach_port_destroy(here(), ports[i]));
	for (int i = 0; i < MESSAGES; i++) {
		letter_to(&l, port, MACH_MSG_TYPE_MAKE_SEND_ONCE, i);
		letter_add_memory(&l, bytes, i < MESSAGES / 2 ? SIZE : 8, false);
		expect_ok(post(here(), &l));
	}
	expect_ok(mach_port_destroy(here(), port));
}

static void do_count_bytes(long *n)
{
	fill_caches();
	n[0] = atomic_load(&host_heap);
	n[1] = atomic_load(&host_pages);
}

/* ---- one that ends ----------------------------------------------------------------------------------------------- */

static void give_up_life(kern_return_t r)
{
	if (atomic_load(&host->has_failed) && (means_want(r) || r == MACH_SEND_INVALID_DEST))
		kill(getpid(), SIGKILL);
}

static int victim_begin(enum role role)
{
	host_join();
	host_arm(host->fail_at);
	on_failure = give_up_life;
	mach_task_self();
	atomic_store(&host->has_begun, true);
	return victim_main(role);
}

/* It ends itself; or the library does in its first call, where there is nobody to report to. */
static void check_end(int status)
{
	if (!WIFSIGNALED(status) || (WTERMSIG(status) != SIGKILL &&
				     !(WTERMSIG(status) == SIGABRT && victims->has_failed && !victims->has_begun)))
		fail_msg("the victim ended with status %#x", (unsigned)status);
}

/* ---- a point ----------------------------------------------------------------------------------------------------- */

static struct now {
	enum role role;
	unsigned long fail_at, n; /* which call, and of how many */
	bool has_failed;
	char name[24];
} now;

static void run_life(void)
{
	mach_port_t fronts[DESKS];
	task_t task;

	victims->fail_at = now.fail_at;
	victims->has_begun = false;
	desks_open(now.role, true, self, fronts);
	check_end(victim_await(victim_start(now.role, fronts, victims_fd, HOST_FD, &task)));
	desks_close(now.role);
	victim_forget(task);
	now.n = victims->n;
	now.has_failed = victims->has_failed;
	memcpy(now.name, victims->name, sizeof now.name);
}

static void run_role(void)
{
	mach_port_t fronts[DESKS];
	long n[NUMBERS];

	desks_open(now.role, false, process_number(GUEST), fronts);
	n[0] = now.role;
	n[1] = fronts[0];
	n[2] = fronts[1];
	n[3] = (long)now.fail_at;
	ask_all(process_number(GUEST), do_play, n);
	now.n = (unsigned long)n[0];
	now.has_failed = n[1];
	memcpy(now.name, &n[2], sizeof now.name);
	desks_close(now.role);
}

/* F3 */
static void run_role_balanced(void)
{
	long before[NUMBERS], after[NUMBERS];

	for (unsigned i = 0; i < TRIES; i++) {
		ask_all(process_number(GUEST), do_count_bytes, before);
		run_role();
		expect_balances(1 + GUEST);
		ask_all(process_number(GUEST), do_count_bytes, after);
		if (after[0] <= before[0] && after[1] <= before[1])
			return;
	}
	fail_msg("it leaks %ld bytes of the heap and %ld of pages", after[0] - before[0], after[1] - before[1]);
}

/* ---- workloads --------------------------------------------------------------------------------------------------- */

struct workload {
	struct pair pair; /* this process alone, at first */
	enum role first, last;
	bool lives, is_done;
};

static void run_point(const struct workload *w)
{
	if (w->lives) {
		run_role_balanced();
	} else {
		run_life();
		expect_balances(1 + DESKS);
	}
}

/* Without a failure; how many calls there are. */
static unsigned long measure(const struct workload *w, enum role role)
{
	unsigned long most = 0;

	now = (struct now){ .role = role };
	for (unsigned i = 0; i < WARM_UPS; i++) {
		if (w->lives)
			run_role();
		else
			run_life();
		most = now.n > most ? now.n : most;
	}
	return most;
}

/* All calls, or so many of them. They are not always as many, so it may be that there is none to fail. */
static void fail_in(void **test)
{
	struct workload *w = *test;
	unsigned n_roles = w->last - w->first + 1;
	unsigned long n_run = 0, n_failed = 0;

	desks_start();
	if (w->lives)
		process_start();
	random_begin(seed * 0x9e3779b97f4a7c15u + w->first);
	totals_begin();
	for (enum role role = w->first; role <= w->last; role++) {
		unsigned long n = measure(w, role), some = n_points / n_roles;
		bool is_all = n_points == 0 || some >= n;

		for (unsigned long i = only_point ? only_point : 1;
		     i <= (is_all ? n : some) && (!only_point || i == only_point); i++) {
			now = (struct now){ .role = role, .fail_at = is_all ? i : 1 + random_below(n) };
			run_point(w);
			n_run++;
			n_failed += now.has_failed;
		}
	}
	totals_print(n_run);
	assert_true(n_failed > n_run / 2 || only_point);
	w->is_done = true;
}

static int teardown(void **test)
{
	struct workload *w = *test;

	if (!w->is_done)
		print_error("role %d, call %lu of %lu (%s), seed %llu\n", now.role, now.fail_at, now.n,
			    w->lives ? now.name : victims->name, (unsigned long long)seed);
	return family_teardown(test);
}

#define workload(name, first, last, lives) \
	{ \
		name, fail_in, family_setup, teardown, &(struct workload) \
		{ \
			{ NULL, 0, 0 }, first, last, lives, false \
		} \
	}
#define workloads(name, first, last) \
	workload(name "-lives", first, last, true), workload(name "-ends", first, last, false)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		workloads("rpc", RPC_CLIENT, RPC_SERVER),
		workloads("rights", RIGHTS_CLIENT, RIGHTS_SERVER),
		workloads("handoff", HANDOFF_GIVER, HANDOFF_RECEIVER),
		workloads("migrate", MIGRATE_HOME, MIGRATE_HOLDER),
		workloads("bulk", BULK_CLIENT, BULK_SERVER),
	};
	bool is_one = argc > 1 && strcmp(argv[1], "all") != 0;

	if (argc > 2 && strcmp(argv[1], "--victim") == 0)
		return victim_begin((enum role)atoi(argv[2]));
	if (argc > 2 && argv[2][0] == '=')
		only_point = strtoul(argv[2] + 1, NULL, 0);
	else if (argc > 2)
		n_points = strtoul(argv[2], NULL, 0);
	if (argc > 3)
		seed = strtoull(argv[3], NULL, 0);
	victims = host_make(&victims_fd);
	return family_main(is_one || (argc > 1 && argv[1][0] == '-') ? 2 : 1, argv, tests);
}
