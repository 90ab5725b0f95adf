/* SPDX-License-Identifier: MIT */
#include "idle.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kernel/remote.h"
#include "link/link.h"
#include "link/node.h"

void node_take_in(void (*look)(bool thoroughly))
{
	unsigned moved;

	if (!remote_is_linked())
		return;
	look(true);
	remote_settle();
	if (!node_is_idle(&moved))
		remote.ops.kick();
}

static bool peer_lives(const struct link *link)
{
	return kill((pid_t)(link->peer_id >> 32), 0) == 0 || errno != ESRCH;
}

static bool link_is_idle_locked(const struct link *link)
{
	const struct ring *ring = &link->ring;

	return link->state == LINK_LIVE && list_is_empty(&link->backlog) && link->n_fds == 0 &&
	       ring->tail == ring->other->head && ring->head == ring->other->tail && peer_lives(link);
}

static bool tables_are_idle_locked(void)
{
	return !node.noted && !node.meetings && list_is_empty(&node.parked) && list_is_empty(&node.deposits) &&
	       list_is_empty(&node.queries) && list_is_empty(&node.moves) && list_is_empty(&node.settlers) &&
	       list_is_empty(&node.flushes) && list_is_empty(&node.relocations) && list_is_empty(&node.kept);
}

bool node_is_idle(unsigned *moved)
{
	bool is_idle = true;

	*moved = 0;
	if (!remote_is_linked())
		return true;
	lock_take(&node.lock);
	is_idle = tables_are_idle_locked();
	list_for_each(link, &node.all_links, struct link, node_link) {
		is_idle &= link_is_idle_locked(link);
		*moved += link->ring.tail + link->ring.head + 1;
	}
	lock_drop(&node.lock);
	return is_idle;
}

void node_print_work(void)
{
	lock_take(&node.lock);
	fprintf(stderr,
		"process %d: noted %d, meetings %d, parked %d, deposits %d, queries %d, settlers %d, relocations %d, kept %d, moves %d, flushes %d\n",
		getpid(), !!node.noted, !!node.meetings, !list_is_empty(&node.parked), !list_is_empty(&node.deposits),
		!list_is_empty(&node.queries), !list_is_empty(&node.settlers), !list_is_empty(&node.relocations),
		!list_is_empty(&node.kept), !list_is_empty(&node.moves), !list_is_empty(&node.flushes));
	list_for_each(link, &node.all_links, struct link, node_link) {
		const struct ring *ring = &link->ring;

		fprintf(stderr, "  link to %d: state %d, backlog %d, fds %u", (int)(link->peer_id >> 32), link->state,
			!list_is_empty(&link->backlog), link->n_fds);
		if (ring->other)
			fprintf(stderr, ", not taken by it %u, by us %u", ring->tail - ring->other->head,
				ring->other->tail - ring->head);
		fprintf(stderr, "\n");
	}
	lock_drop(&node.lock);
}

/* ---- threads */

static bool thread_is_busy(const char *tid)
{
	char path[64], stat[512], *state;
	size_t n;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%.20s/stat", tid);
	f = fopen(path, "re");
	if (!f)
		return false; /* gone meanwhile */
	n = fread(stat, 1, sizeof(stat) - 1, f);
	fclose(f);
	stat[n] = '\0';
	state = strrchr(stat, ')');
	return state && state[1] == ' ' && (state[2] == 'R' || state[2] == 'D');
}

bool process_is_asleep(void)
{
	long self = syscall(SYS_gettid);
	DIR *tasks = opendir("/proc/self/task");
	struct dirent *entry;
	bool is_asleep = true;

	if (!tasks)
		return true;
	while (is_asleep && (entry = readdir(tasks)))
		if (entry->d_name[0] != '.' && atol(entry->d_name) != self)
			is_asleep = !thread_is_busy(entry->d_name);
	closedir(tasks);
	return is_asleep;
}
