/* SPDX-License-Identifier: MIT */
/* Running pairs of threads: each turn starts them, so that none is around while the other side has its turn. */
#include "pairs.h"

#include <pthread.h>
#include <stdlib.h>

enum { WARM = 100 };

struct pair {
	struct pairs *all;
	unsigned index;
	void *channel;
	pthread_t client, server;
	double start, end;
};

struct pairs {
	const struct pairs_plan *plan;
	pthread_barrier_t warm;
	_Atomic uint64_t left;
	struct pair pairs[];
};

void *pairs_open(const void *arg)
{
	const struct pairs_plan *plan = arg;
	struct pairs *all = calloc(1, sizeof *all + plan->n_pairs * sizeof *all->pairs);

	need(all);
	all->plan = plan;
	for (unsigned i = 0; i < plan->n_pairs; i++)
		all->pairs[i] = (struct pair){ .all = all, .index = i, .channel = plan->way->open() };
	return all;
}

void pairs_close(void *context)
{
	struct pairs *all = context;

	for (unsigned i = 0; i < all->plan->n_pairs; i++)
		all->plan->way->close(all->pairs[i].channel);
	free(all);
}

static void *server_main(void *arg)
{
	struct pair *pair = arg;

	place(pair->all->plan->placement, pair->index, true);
	pair->all->plan->way->serve(pair->channel);
	return NULL;
}

static void *client_main(void *arg)
{
	struct pair *pair = arg;
	const struct way *way = pair->all->plan->way;
	uint64_t n;

	place(pair->all->plan->placement, pair->index, false);
	way->call(pair->channel, WARM);
	pthread_barrier_wait(&pair->all->warm);
	pair->start = now();
	while ((n = draw(&pair->all->left)) > 0)
		way->call(pair->channel, n);
	pair->end = now();
	way->stop(pair->channel);
	return NULL;
}

static double elapsed(const struct pairs *all)
{
	double start = all->pairs[0].start, end = all->pairs[0].end;

	for (unsigned i = 1; i < all->plan->n_pairs; i++) {
		if (all->pairs[i].start < start)
			start = all->pairs[i].start;
		if (all->pairs[i].end > end)
			end = all->pairs[i].end;
	}
	return end - start;
}

double pairs_run(void *context, uint64_t n)
{
	struct pairs *all = context;

	atomic_store(&all->left, n);
	need(pthread_barrier_init(&all->warm, NULL, all->plan->n_pairs) == 0);
	for (unsigned i = 0; i < all->plan->n_pairs; i++) {
		need(pthread_create(&all->pairs[i].server, NULL, server_main, &all->pairs[i]) == 0);
		need(pthread_create(&all->pairs[i].client, NULL, client_main, &all->pairs[i]) == 0);
	}
	for (unsigned i = 0; i < all->plan->n_pairs; i++) {
		need(pthread_join(all->pairs[i].client, NULL) == 0);
		need(pthread_join(all->pairs[i].server, NULL) == 0);
	}
	pthread_barrier_destroy(&all->warm);
	return elapsed(all);
}
