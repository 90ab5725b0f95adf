/* SPDX-License-Identifier: MIT */
#include "kin.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <portunus/spawn.h>

#include "idle.h"
#include "kernel/remote.h"

enum {
	PATIENCE_S = 20, /* until it must be quiet */
	ANSWER_MS = 20,	 /* until we look whether a process lives that has not answered */
};

struct kin_ways kin_ways;

static struct {
	struct census *census;
	int census_fd, lifeline; /* inherited by all */
	pthread_mutex_t mutex;	 /* of all that follows */
	bool is_quiet;		 /* it was, at these: */
	unsigned moved, n_deaths_seen;
} kin = { .mutex = PTHREAD_MUTEX_INITIALIZER };

static _Noreturn void fail(const char *what)
{
	printf("# FAILED: %s\n", what);
	fflush(stdout);
	_exit(1);
}

/* ---- waiting until all is quiet */

static struct timespec after_ms(long ms)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	t.tv_nsec += ms * 1000000;
	t.tv_sec += t.tv_nsec / 1000000000;
	t.tv_nsec %= 1000000000;
	return t;
}

/* False: the process has ended. */
static bool entry_await_answer(struct census_entry *entry)
{
	struct timespec soon = after_ms(ANSWER_MS);

	while (sem_timedwait(&entry->answered, &soon)) {
		if (errno == ETIMEDOUT && waitpid(entry->pid, NULL, WNOHANG) == entry->pid) {
			entry->pid = 0;
			atomic_fetch_add(&kin.census->n_deaths, 1);
			return false;
		}
		soon = after_ms(ANSWER_MS);
	}
	return true;
}

static bool others_are_idle(unsigned *moved)
{
	bool is_idle = true;

	for (int i = 0; i < KIN_MAX; i++)
		if (kin.census->entries[i].pid)
			sem_post(&kin.census->entries[i].asked);
	for (int i = 0; i < KIN_MAX; i++) {
		struct census_entry *entry = &kin.census->entries[i];

		if (!entry->pid)
			continue;
		is_idle &= entry_await_answer(entry) && entry->is_idle;
		*moved += entry->moved;
	}
	return is_idle && atomic_load(&kin.census->n_hops) == atomic_load(&kin.census->n_hops_due);
}

/* One round. */
static bool all_are_idle(void (*look)(bool thoroughly), unsigned *moved)
{
	unsigned own, n_deaths;
	bool is_idle;

	*moved = 0;
	is_idle = others_are_idle(moved);
	node_take_in(look);
	is_idle &= node_is_idle(&own);
	*moved += own;
	kin.moved = own;
	n_deaths = atomic_load(&kin.census->n_deaths);
	if (!is_idle || n_deaths == kin.n_deaths_seen)
		return is_idle;
	if (!process_is_asleep())
		return false;
	kin.n_deaths_seen = n_deaths;
	return false; /* once more, what its threads did counted */
}

static void print_work(void)
{
	node_print_work();
	for (int i = 0; i < KIN_MAX; i++)
		if (kin.census->entries[i].pid)
			kill(kin.census->entries[i].pid, SIGUSR1);
	sleep(1);
}

static void await_quiet(void (*look)(bool thoroughly))
{
	time_t end = time(NULL) + PATIENCE_S;
	unsigned before, now;

	do {
		while (!all_are_idle(look, &before)) {
			sched_yield();
			if (time(NULL) > end) {
				print_work();
				fail("it does not become quiet");
			}
		}
	} while (!all_are_idle(look, &now) || now != before);
	kin.is_quiet = true;
}

static void (*own_look)(bool thoroughly);

/* Stands for the node's own look at the beginning of each call. */
static void look_until_quiet(bool thoroughly)
{
	static _Thread_local bool is_waiting;
	unsigned moved;

	own_look(thoroughly);
	if (is_waiting)
		return;
	is_waiting = true;
	pthread_mutex_lock(&kin.mutex);
	if (!node_is_idle(&moved) || !kin.is_quiet || moved != kin.moved)
		await_quiet(own_look);
	pthread_mutex_unlock(&kin.mutex);
	is_waiting = false;
}

void kin_settle(void)
{
	if (own_look)
		look_until_quiet(true);
}

void kin_expect_hop(void)
{
	atomic_fetch_add(&kin.census->n_hops_due, 1);
}

/* ---- starting */

static void census_init(void)
{
	int pipe_fds[2];

	kin.census_fd = memfd_create("census", 0);
	if (kin.census_fd < 0 || ftruncate(kin.census_fd, sizeof(*kin.census)) || pipe(pipe_fds))
		fail("no census");
	/* The other end is left open here, and ends with us. */
	if (fcntl(pipe_fds[1], F_SETFD, FD_CLOEXEC))
		fail("no lifeline");
	kin.lifeline = pipe_fds[0];
	kin.census = mmap(NULL, sizeof(*kin.census), PROT_READ | PROT_WRITE, MAP_SHARED, kin.census_fd, 0);
	if (kin.census == MAP_FAILED)
		fail("no census");
}

static int entry_new(void)
{
	int i = 0;

	while (i < KIN_MAX && kin.census->entries[i].pid)
		i++;
	if (i == KIN_MAX)
		fail("too many processes");
	sem_init(&kin.census->entries[i].asked, 1, 0);
	sem_init(&kin.census->entries[i].answered, 1, 0);
	return i;
}

kern_return_t kin_spawn(enum kin_role role, task_t *task)
{
	char path[] = KIN_PROGRAM, census[12], number[12], lifeline[12], hop[] = "hop";
	char *argv[] = { path, census, number, lifeline, role == KIN_HOP ? hop : NULL, NULL };
	struct portunus_spawn how = { .path = path, .argv = argv };
	kern_return_t kr;
	pid_t pid;
	int i;

	if (!kin.census)
		census_init();
	i = entry_new();
	snprintf(census, sizeof(census), "%d", kin.census_fd);
	snprintf(number, sizeof(number), "%d", i);
	snprintf(lifeline, sizeof(lifeline), "%d", kin.lifeline);
	kr = portunus_spawn(&how, &pid, task);
	if (kr)
		return kr;
	kin.census->entries[i].pid = pid;
	kin.is_quiet = false;
	if (!own_look) {
		own_look = remote.ops.look;
		if (!kin_ways.settles_itself)
			remote.ops.look = look_until_quiet;
	}
	return KERN_SUCCESS;
}
