/* SPDX-License-Identifier: MIT */
/* A process is killed, at thousands of points, and nobody else loses anything by it.
 *
 *   kill [WORKLOAD [POINTS [SEED]]]      rpc, rights, handoff, migrate, bulk, or all
 *
 * A point is a victim, which is started, given a right to each of two survivors' desks (desk.h), plays its role (victim.c) and
 * is killed at a step of its choice (steps.h): one that is as likely to be anywhere between its first call of the library and
 * its last. Then this process and the survivors, which are the same for all points, wait until they have got what they are
 * owed; and each has as many kernel objects, names, descriptors and mappings as before. */
#include "desk.h"

#include <poll.h>
#include <portunus/spawn.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "steps.h"

enum { GRAINS = 64, WARM_UPS = 3, LIFE_MS = 60000 };

static unsigned long n_points = 100;
static uint64_t seed = 1;

/* ---- what is random */

static uint64_t state;

static uint64_t random_below(uint64_t n)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state % n;
}

/* ---- a victim */

static struct steps *steps;
static int steps_fd;

static pid_t victim_start(enum role role, mach_port_t *fronts, task_t *task)
{
	static const mach_msg_type_name_t dispositions[DESKS] = { MACH_MSG_TYPE_MOVE_SEND, MACH_MSG_TYPE_MOVE_SEND };
	char path[] = "/proc/self/exe", option[] = "--victim", number[12], *argv[] = { path, option, number, NULL };
	posix_spawn_file_actions_t actions;
	struct portunus_spawn how = {
		.path = path,
		.argv = argv,
		.ports = fronts,
		.dispositions = dispositions,
		.n_ports = DESKS,
		.file_actions = &actions,
	};
	pid_t pid;

	snprintf(number, sizeof number, "%d", role);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, steps_fd, STEPS_FD);
	expect_ok(portunus_spawn(&how, &pid, task));
	posix_spawn_file_actions_destroy(&actions);
	return pid;
}

/* It ends by itself, and by a kill: whatever else its end is, is a finding. */
static void victim_await(pid_t pid)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0), status;

	if (poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, LIFE_MS) != 1) {
		kill(pid, SIGKILL);
		fail_msg("the victim does not come to an end");
	}
	close(fd);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFSIGNALED(status) || (WTERMSIG(status) != SIGKILL && WTERMSIG(status) != SIGTRAP))
		fail_msg("the victim ended with status %#x", (unsigned)status);
}

/* ---- a point */

static struct point {
	enum role role;
	unsigned long index, end;
	unsigned grain;
} now;

static struct totals {
	unsigned long n_messages, n_answers, n_died;
} totals;

static void check_reports(const struct desk_report *a, const struct desk_report *b)
{
	unsigned last = a->last_seen > b->last_seen ? a->last_seen : b->last_seen;

	totals.n_messages += a->n_messages + b->n_messages;
	totals.n_answers += a->n_answers + b->n_answers;
	totals.n_died += a->n_died + b->n_died;
	if (now.role == MIGRATE_HOLDER) /* D4: nothing between is missing */
		assert_int_equal(a->n_seen + b->n_seen, last);
}

static void run_point(void)
{
	struct process *p[DESKS] = { process_number(1), process_number(2) };
	mach_port_t fronts[DESKS];
	struct desk_report reports[DESKS];
	task_t task;
	pid_t pid;

	atomic_store(&steps->n, 0);
	steps->end = now.end;
	steps->grain = now.grain;
	for (unsigned i = 0; i < DESKS; i++)
		fronts[i] = give_send_to(p[i], desk_open(p[i], now.role), self);
	for (unsigned i = 0; i < DESKS; i++)
		desk_begin(p[i]);
	pid = victim_start(now.role, fronts, &task);
	victim_await(pid);
	for (unsigned i = 0; i < DESKS; i++)
		reports[i] = desk_end(p[i]);
	check_reports(&reports[0], &reports[1]);
	await(task == MACH_PORT_DEAD || type_of(here(), task) == MACH_PORT_TYPE_DEAD_NAME);
	if (task != MACH_PORT_DEAD)
		expect_ok(mach_port_deallocate(here(), task));
}

static void expect_balances(void)
{
	for (unsigned i = 0; i <= DESKS; i++)
		expect_balance(process_number(i));
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

	process_start();
	process_start();
	state = seed * 0x9e3779b97f4a7c15u + w->first;
	totals = (struct totals){ 0 };
	for (enum role role = w->first; role <= w->last; role++)
		lives[role] = measure_life(role);
	expect_balances();
	for (unsigned long i = 0; i < n_points; i++) {
		enum role role = w->first + (enum role)(i % n_roles);

		now = (struct point){ role, i, 1 + random_below(lives[role]), (unsigned)random_below(GRAINS) };
		run_point();
		expect_balances();
	}
	print_message("%lu points, %lu messages, %lu answers, %lu send-once notifications\n", n_points,
		      totals.n_messages, totals.n_answers, totals.n_died);
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
