/* SPDX-License-Identifier: MIT */
/* contest: the matrix of works and contestants. For each work all contestants take turns, round after round, each in a worker
 * of its own; only one runs at a time. */
#include "results.h"

#include "../worker.h"
#include "hall.h"

#include <argp.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct options options = { .rounds = 7, .sample = 0.05, .json = "build/contest.json" };
double peer_born;

const struct contestant *const contestants[] = {
	&portunus,	     &floor_spin, &floor_plain, &pipes,	    &posix_queue, &seqpacket, &stream_socket,
	&memory_file_socket, &zeromq,	  &nanomsg_ng,	&dbus_peer, &dbus_daemon, &capnproto,
};
const size_t n_contestants = sizeof contestants / sizeof *contestants;
const struct contestant *const reference = &seqpacket;

enum { WORKS_MAX = 100, CONTESTANTS_MAX = 32 };

_Static_assert(sizeof contestants / sizeof *contestants <= CONTESTANTS_MAX, "a table has room for them");

/* With so many other processes in it, a hall is alone on the machine. */
enum { IDLE_TOGETHER_MAX = 50 };

static struct {
	const struct work *works[WORKS_MAX];
	size_t n_works;
	bool has[CONTESTANTS_MAX];
	bool has_some;
} wanted;

static struct cell cells[WORKS_MAX * CONTESTANTS_MAX];
static size_t n_cells;

/* ---- options ---- */

enum { KEY_ONLY = OPTIONS_KEY_END };

static const struct argp_option argp_options[] = {
	{ "only", KEY_ONLY, "NAME", 0, "Only this contestant, and the reference (may be given more than once)", 0 },
	{ 0 },
};

/* A name chooses the work of that name, or all works whose names begin with it and a dash. */
static bool choose(const char *name)
{
	size_t n = name ? strlen(name) : 0;
	bool any = false;

	for (const struct work *w = works; w->name; w++)
		if (!name || (strncmp(w->name, name, n) == 0 && (w->name[n] == '\0' || w->name[n] == '-'))) {
			need(wanted.n_works < WORKS_MAX);
			wanted.works[wanted.n_works++] = w;
			any = true;
		}
	return any;
}

static bool choose_contestant(const char *name)
{
	for (size_t i = 0; i < n_contestants; i++)
		if (strcmp(contestants[i]->name, name) == 0)
			return wanted.has[i] = wanted.has_some = true;
	return false;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	switch (key) {
	case KEY_ONLY:
		if (!choose_contestant(arg))
			argp_error(state, "%s: no such contestant (see --list)", arg);
		return 0;
	case ARGP_KEY_ARG:
		if (!choose(arg))
			argp_error(state, "%s: no such work (see --list)", arg);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const char doc[] =
	"Compare Portunus with what a program would use instead, all doing the same work in one run.\v"
	"NAME is a work, or the first words of several: 'rpc-64' means rpc-64-cpu and so on. Without one, all works are "
	"done, in 7 turns of 50 ms for each contestant, and the results are in build/contest.json.";

static const struct argp_child children[] = { { &options_argp, 0, NULL, 0 }, { 0 } };

static const struct argp argp = { argp_options, parse, "[NAME...]", doc, children, NULL, NULL };

/* ---- one work ---- */

struct entry {
	struct pairing pairing;
	struct side side;
	struct worker worker;
	struct cell *cell;
	bool good;
	uint64_t n;
	double seconds[ROUNDS_MAX], figures[N_FIGURES][ROUNDS_MAX];
};

static void entry_start(struct entry *e)
{
	e->side = work_side(&e->pairing);
	e->good =
		worker_start(&e->worker, &e->side) && worker_calibrate(&e->worker, work_operations(&e->pairing), &e->n);
}

static void entry_turn(struct entry *e, unsigned round)
{
	struct turn t;

	if (!e->good)
		return;
	e->good = worker_turn(&e->worker, e->n, &t);
	e->seconds[round] = e->good ? t.seconds / (double)e->n : NAN;
	for (unsigned i = 0; i < N_FIGURES; i++)
		e->figures[i][round] = t.figures[i];
}

static void entry_stop(struct entry *e)
{
	if (!e->worker.side)
		return;
	e->good = worker_stop(&e->worker, e->good) && e->good;
	e->worker = (struct worker){ 0 };
}

/* Ratios are those of turns of the same round: what slows the machine for a second slows both. */
static void entry_finish(const struct entry *e, const struct entry *to, unsigned rounds)
{
	double ratio[ROUNDS_MAX];
	struct cell *c = e->cell;

	c->state = e->good ? CELL_DONE : CELL_FAILED;
	if (!e->good)
		return;
	c->n_rounds = rounds;
	c->n_operations = e->n;
	c->value = median(e->seconds, rounds);
	c->least = least(e->seconds, rounds);
	c->greatest = greatest(e->seconds, rounds);
	for (unsigned i = 0; i < N_FIGURES; i++)
		c->figures[i] = median(e->figures[i], rounds);
	c->is_compared = to && to->good;
	if (!c->is_compared)
		return;
	for (unsigned i = 0; i < rounds; i++)
		ratio[i] = e->seconds[i] / to->seconds[i];
	c->ratio = median(ratio, rounds);
	c->ratio_least = least(ratio, rounds);
	c->ratio_greatest = greatest(ratio, rounds);
}

static struct cell *cell_find(const char *work, const struct contestant *contestant)
{
	for (size_t i = 0; i < n_cells; i++)
		if (strcmp(cells[i].work->name, work) == 0 && cells[i].contestant == contestant)
			return &cells[i];
	return NULL;
}

static struct cell *cell_new(const struct work *work, const struct contestant *contestant)
{
	struct cell *c = &cells[n_cells++];

	*c = (struct cell){ .work = work, .contestant = contestant, .state = CELL_UNFIT };
	if (contestant->absent) {
		c->state = CELL_ABSENT;
		c->why = contestant->absent;
	} else if ((c->why = work_unfit(work, contestant))) {
		c->why = strdup(c->why);
	} else {
		c->state = CELL_DONE;
	}
	return c;
}

/* How many calls a second half of all that it can do is. */
static double rate_for(const struct work *work, const struct contestant *contestant)
{
	const struct cell *c = cell_find("rpc-64-cpus", work->load == LOAD_SAME ? reference : contestant);

	return c && c->state == CELL_DONE ? 0.5 / c->value : 0;
}

static unsigned rounds_of(const struct work *w)
{
	return w->kind == WORK_MEMORY ? 1 : options.rounds;
}

static void rounds_run(struct entry *entries, size_t n, const struct work *w)
{
	unsigned rounds = rounds_of(w);

	if (w->n_idle > IDLE_TOGETHER_MAX) {
		for (size_t i = 0; i < n; i++) {
			entry_start(&entries[i]);
			for (unsigned r = 0; r < rounds; r++)
				entry_turn(&entries[i], r);
			entry_stop(&entries[i]);
		}
		return;
	}
	for (size_t i = 0; i < n; i++)
		entry_start(&entries[i]);
	for (unsigned r = 0; r < rounds; r++)
		for (size_t i = 0; i < n; i++)
			entry_turn(&entries[i], r);
	for (size_t i = 0; i < n; i++)
		entry_stop(&entries[i]);
}

static void work_measure(const struct work *w)
{
	static struct entry entries[CONTESTANTS_MAX];
	const struct entry *to = NULL;
	size_t n = 0, first = n_cells;

	for (size_t i = 0; i < n_contestants; i++) {
		const struct contestant *who = contestants[i];
		struct cell *c;

		if (wanted.has_some && !wanted.has[i] && who != reference)
			continue;
		c = cell_new(w, who);
		if (c->state != CELL_DONE)
			continue;
		entries[n] = (struct entry){ .pairing = { w, who, 0 }, .cell = c };
		if (w->kind == WORK_LOAD) {
			c->rate = entries[n].pairing.rate = rate_for(w, who);
			if (c->rate <= 0) {
				c->state = CELL_FAILED;
				continue;
			}
		}
		if (who == reference)
			to = &entries[n];
		n++;
	}
	rounds_run(entries, n, w);
	for (size_t i = 0; i < n; i++)
		entry_finish(&entries[i], to, rounds_of(w));
	results_print(&cells[first], n_cells - first);
}

static void list_print(void)
{
	for (size_t i = 0; i < wanted.n_works; i++)
		printf("%-20s %s\n", wanted.works[i]->name, wanted.works[i]->what);
	printf("\n");
	for (size_t i = 0; i < n_contestants; i++)
		printf("%-20s %s\n", contestants[i]->name,
		       contestants[i]->absent ? contestants[i]->absent : contestants[i]->what);
}

static bool is_wanted(const char *name)
{
	for (size_t i = 0; i < wanted.n_works; i++)
		if (strcmp(wanted.works[i]->name, name) == 0)
			return true;
	return false;
}

int peer_main(const char *name)
{
	need(strcmp(name, "client") == 0);
	peer_end_with_worker();
	cpus_usable(); /* remembered before anything is pinned */
	hall_client_main();
	return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	size_t n_failed = 0;

	peer_born = now();
	if (argc == 3 && strncmp(argv[1], PEER_OPTION, strlen(PEER_OPTION)) == 0) {
		options.quick = strcmp(argv[1], PEER_OPTION_QUICK) == 0;
		return peer_main(argv[2]);
	}
	peer_reserve();
	files_raise();
	argp_parse(&argp, argc, argv, 0, NULL, NULL);
	if (wanted.n_works == 0)
		choose(NULL);
	if ((is_wanted("load") || is_wanted("load-own")) && !is_wanted("rpc-64-cpus")) {
		memmove(wanted.works + 1, wanted.works, wanted.n_works * sizeof *wanted.works);
		wanted.n_works++;
		for (wanted.works[0] = works; strcmp(wanted.works[0]->name, "rpc-64-cpus") != 0;)
			wanted.works[0]++;
	}
	if (options.list) {
		list_print();
		return EXIT_SUCCESS;
	}
	cpus_usable(); /* remembered before anything is pinned */
	for (size_t i = 0; i < wanted.n_works; i++) {
		work_measure(wanted.works[i]);
		/* After each: a run takes long, and what it has found so far is worth keeping. */
		if (results_write(options.json, cells, n_cells) != 0) {
			fprintf(stderr, "contest: %s: %s\n", options.json, strerror(errno));
			return EXIT_FAILURE;
		}
	}
	for (size_t i = 0; i < n_cells; i++)
		n_failed += cells[i].state == CELL_FAILED;
	printf("%zu failed; written to %s\n", n_failed, options.json);
	return options.check && n_failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
