/* SPDX-License-Identifier: MIT */
#include "points.h"

#include <poll.h>
#include <portunus/spawn.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LIFE_MS = 60000 };

/* ---- what is random */

static uint64_t state;

void random_begin(uint64_t seed)
{
	state = seed;
}

uint64_t random_below(uint64_t n)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state % n;
}

/* ---- desks */

void desks_start(void)
{
	for (unsigned i = 0; i < DESKS; i++)
		process_start();
}

void desks_open(enum role role, bool may_lack, struct process *to, mach_port_t *fronts)
{
	for (unsigned i = 0; i < DESKS; i++)
		fronts[i] = give_send_to(process_number(1 + i), desk_open(process_number(1 + i), role, may_lack), to);
	for (unsigned i = 0; i < DESKS; i++)
		desk_begin(process_number(1 + i));
}

static struct totals {
	unsigned long n_messages, n_answers, n_died;
} totals;

static void check_reports(enum role role, const struct desk_report *a, const struct desk_report *b)
{
	unsigned last = a->last_seen > b->last_seen ? a->last_seen : b->last_seen;

	totals.n_messages += a->n_messages + b->n_messages;
	totals.n_answers += a->n_answers + b->n_answers;
	totals.n_died += a->n_died + b->n_died;
	if (role == MIGRATE_HOLDER) /* D4: nothing between is missing */
		assert_int_equal(a->n_seen + b->n_seen, last);
}

void desks_close(enum role role)
{
	struct desk_report reports[DESKS];

	for (unsigned i = 0; i < DESKS; i++)
		reports[i] = desk_end(process_number(1 + i));
	check_reports(role, &reports[0], &reports[1]);
}

void totals_begin(void)
{
	totals = (struct totals){ 0 };
}

void totals_print(unsigned long n_points)
{
	print_message("%lu points, %lu messages, %lu answers, %lu send-once notifications\n", n_points,
		      totals.n_messages, totals.n_answers, totals.n_died);
}

/* ---- a victim */

pid_t victim_start(enum role role, mach_port_t *fronts, int fd, int fd_there, task_t *task)
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
	posix_spawn_file_actions_adddup2(&actions, fd, fd_there);
	expect_ok(portunus_spawn(&how, &pid, task));
	posix_spawn_file_actions_destroy(&actions);
	return pid;
}

int victim_await(pid_t pid)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0), status;

	if (poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, LIFE_MS) != 1) {
		kill(pid, SIGKILL);
		fail_msg("the victim does not come to an end");
	}
	close(fd);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

void victim_forget(task_t task)
{
	await(task == MACH_PORT_DEAD || type_of(here(), task) == MACH_PORT_TYPE_DEAD_NAME);
	if (task != MACH_PORT_DEAD)
		expect_ok(mach_port_deallocate(here(), task));
}

void expect_balances(unsigned n_processes)
{
	for (unsigned i = 0; i < n_processes; i++)
		expect_balance(process_number(i));
}
