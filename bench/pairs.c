/* SPDX-License-Identifier: MIT */
/* Running pairs of threads: each turn starts them, so that none is around while the other side has its turn. */
#include "pairs.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { CHUNK = 64, WARM = 100 };

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

static void place(const struct pair *pair, bool server)
{
	switch (pair->all->plan->placement) {
	case PLACE_ONE_CPU:
		pin(0);
		break;
	case PLACE_ACROSS:
		pin(server ? 1 : 0);
		break;
	case PLACE_PAIR_PER_CPU:
		pin(pair->index % 2);
		break;
	case PLACE_FREE:
		pin_to_first(2);
		break;
	}
}

static void *server_main(void *arg)
{
	struct pair *pair = arg;

	place(pair, true);
	pair->all->plan->way->serve(pair->channel);
	return NULL;
}

/* Takes a chunk of the work: how many round trips. */
static uint64_t draw(struct pairs *all)
{
	uint64_t left = atomic_load_explicit(&all->left, memory_order_relaxed), n;

	do {
		n = left < CHUNK ? left : CHUNK;
	} while (!atomic_compare_exchange_weak_explicit(&all->left, &left, left - n, memory_order_relaxed,
							memory_order_relaxed));
	return n;
}

static void *client_main(void *arg)
{
	struct pair *pair = arg;
	const struct way *way = pair->all->plan->way;
	uint64_t n;

	place(pair, false);
	way->call(pair->channel, WARM);
	pthread_barrier_wait(&pair->all->warm);
	pair->start = now();
	while ((n = draw(pair->all)) > 0)
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
