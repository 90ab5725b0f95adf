/* SPDX-License-Identifier: MIT */
#include "sample.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "command.h"
#include "view.h"

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static struct line *add_line(struct sample *s, const struct node_view *node, uint64_t key, uint32_t number)
{
	struct line *line;

	s->lines = must_grow(s->lines, s->n + 1, sizeof *s->lines);
	line = &s->lines[s->n++];
	*line = (struct line){ .node = node->who.node, .key = key, .pid = node->who.pid, .number = number };
	snprintf(line->program, sizeof line->program, "%s", view_program(node));
	return line;
}

static void add_task(struct sample *s, const struct node_view *node, const struct task_view *task)
{
	struct line *line = add_line(s, node, task->task.task, (uint32_t)task->task.task);

	line->counters[0] = task->task.n_sent;
	line->counters[1] = task->task.n_received;
	line->counters[2] = task->task.sent_bytes;
	line->counters[3] = task->task.received_bytes;
	line->levels[0] = task->totals.n_queued;
	line->levels[1] = task->totals.n_blocked;
	line->levels[2] = task->totals.n_receive;
}

static void add_ports(struct sample *s, const struct node_view *node, const struct task_view *task)
{
	for (size_t i = 0; i < task->n_names; i++) {
		const portunus_inspect_name_t *name = &task->names[i];
		struct line *line;

		if (!(name->type & MACH_PORT_TYPE_RECEIVE))
			continue;
		line = add_line(s, node, name->port, name->name);
		line->counters[0] = name->n_passed;
		line->counters[1] = name->passed_bytes;
		line->levels[0] = name->n_queued;
		line->levels[1] = name->qlimit;
		line->levels[2] = name->n_blocked;
	}
}

static int compare_lines(const void *a, const void *b)
{
	const struct line *x = a, *y = b;

	if (x->node != y->node)
		return x->node < y->node ? -1 : 1;
	return x->key < y->key ? -1 : x->key > y->key;
}

static struct line *find_line(const struct sample *s, uint64_t node, uint64_t key)
{
	struct line wanted = { .node = node, .key = key };

	return bsearch(&wanted, s->lines, s->n, sizeof wanted, compare_lines);
}

/* Threads of other processes that wait for room in a queue are counted where they wait. */
static void add_waiting(struct sample *s, struct view *view, const struct node_view *node,
			const portunus_inspect_name_t *name)
{
	const struct node_view *home = view_find_node(view, name->home);

	for (size_t i = 0; home && i < home->n_tasks; i++) {
		for (size_t j = 0; j < home->tasks[i].n_holders; j++) {
			const portunus_inspect_holder_t *h = &home->tasks[i].holders[j];
			struct line *line;

			if (h->holder != node->who.node || h->index != name->index)
				continue;
			line = find_line(s, home->who.node, h->port);
			if (line)
				line->levels[2] += name->n_blocked;
		}
	}
}

static void add_all_waiting(struct sample *s, struct view *view)
{
	for (size_t i = 0; i < view->n_nodes; i++)
		for (size_t j = 0; j < view->nodes[i].n_tasks; j++)
			for (size_t k = 0; k < view->nodes[i].tasks[j].n_names; k++)
				if (view->nodes[i].tasks[j].names[k].n_blocked &&
				    view->nodes[i].tasks[j].names[k].place == PORTUNUS_PLACE_NODE)
					add_waiting(s, view, &view->nodes[i], &view->nodes[i].tasks[j].names[k]);
}

static void read_node(struct sample *s, struct node_view *node)
{
	if (node->result) {
		s->n_unread += node->result != MIG_SERVER_DIED;
		return;
	}
	for (size_t i = 0; i < node->n_tasks; i++) {
		if (s->kind == SAMPLE_TASKS)
			add_task(s, node, &node->tasks[i]);
		else
			add_ports(s, node, &node->tasks[i]);
	}
}

/* A counter that became less is of a port that took the place of another. */
static void compute_rates(struct sample *s, const struct sample *before)
{
	double seconds = s->time - before->time;

	for (size_t i = 0; i < s->n; i++) {
		const struct line *old = find_line(before, s->lines[i].node, s->lines[i].key);

		for (int j = 0; old && j < SAMPLE_RATES; j++)
			if (s->lines[i].counters[j] > old->counters[j])
				s->lines[i].rates[j] = (double)(s->lines[i].counters[j] - old->counters[j]) / seconds;
	}
}

struct sample *sample_take(enum sample_kind kind, const struct sample *before)
{
	struct sample *s = must_alloc(sizeof *s);
	struct view *view = view_new();

	s->kind = kind;
	s->time = now();
	view_read_all(view, kind == SAMPLE_TASKS ? VIEW_TOTALS : VIEW_NAMES);
	for (size_t i = 0; i < view->n_nodes; i++)
		read_node(s, &view->nodes[i]);
	if (s->n)
		qsort(s->lines, s->n, sizeof *s->lines, compare_lines);
	if (kind == SAMPLE_PORTS)
		add_all_waiting(s, view);
	if (before && before->kind == kind && before->n)
		compute_rates(s, before);
	view_free(view);
	return s;
}

void sample_free(struct sample *sample)
{
	if (sample)
		free(sample->lines);
	free(sample);
}
