/* SPDX-License-Identifier: MIT */
/* The server's part of a hall: who is there, whose turn it is, and what all of it cost. client.c is the other part. */
#include "hall.h"
#include "client.h"
#include "process.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

struct guest {
	struct peer peer; /* pid 0: a thread */
	pthread_t thread;
	int thread_control; /* the thread's end */
};

struct hall {
	const struct pairing *pairing;
	const struct contestant *contestant;
	struct plan plan;
	struct board *board;
	int board_fd;
	void *server;
	struct service service;
	struct endpoint *endpoints; /* that only are there */
	double memory_before, helper_before;
	double figures[N_FIGURES];
	struct guest guests[]; /* active ones first */
};

static pid_t helper_of(const struct hall *h)
{
	return h->contestant->helper ? h->contestant->helper(h->server) : 0;
}

static void *guest_main(void *guest)
{
	client_loop(((struct guest *)guest)->thread_control);
	return NULL;
}

/* Its descriptors are the client's from now on. */
static void tell(const struct hall *h, const struct guest *g, struct ticket *ticket)
{
	struct brief brief = { .work = (size_t)(h->pairing->work - works), .rate = h->pairing->rate };

	while (contestants[brief.contestant] != h->contestant)
		brief.contestant++;
	brief.ticket = *ticket;
	if (!h->plan.threads)
		for (unsigned i = 0; i < CLIENT_FDS_MAX; i++)
			brief.ticket.fds[i] = ticket->fds[i] < 0 ? -1 : CLIENT_FDS + (int)i;
	brief.board = h->plan.threads ? h->board : NULL;
	control_send(g->peer.control, &brief, sizeof brief);
}

static void welcome(struct hall *h, unsigned i)
{
	struct ticket ticket = { .plan = h->plan, .index = i, .fds = { -1, -1 } };
	struct guest *g = &h->guests[i];
	int ends[2];

	h->contestant->invite(h->server, &ticket);
	if (h->plan.threads) {
		need(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
		g->peer.control = ends[0];
		g->thread_control = ends[1];
		need(pthread_create(&g->thread, NULL, guest_main, g) == 0);
		tell(h, g, &ticket);
		return;
	}
	peer_start(&g->peer, "client", (int[]){ h->board_fd, ticket.fds[0], ticket.fds[1], -1 },
		   h->contestant->launch ? h->contestant->launch : launch_plain,
		   h->contestant->launch_arg ? h->contestant->launch_arg(h->server, i) : NULL);
	tell(h, g, &ticket);
	for (unsigned k = 0; k < CLIENT_FDS_MAX; k++)
		if (ticket.fds[k] >= 0)
			close(ticket.fds[k]);
}

/* Lets the guests from first on, n of them, each do what the order says. The reports are the caller's to read. */
static double turn(struct hall *h, unsigned first, unsigned n, const struct order *order, struct report *reports)
{
	double start = 0, end, uncounted = 0;

	h->service.n_clients = n;
	for (unsigned i = 0; i < n; i++)
		control_send(h->guests[first + i].peer.control, order, sizeof *order);
	h->contestant->serve(h->server, &h->service);
	end = now();
	for (unsigned i = 0; i < n; i++) {
		need(control_recv(h->guests[first + i].peer.control, &reports[i], sizeof reports[i]));
		start = i == 0 || reports[i].start < start ? reports[i].start : start;
		uncounted += reports[i].uncounted;
	}
	return end - start - uncounted;
}

/* One operation with each, so that what joins them is there and has been used. */
static void greet(struct hall *h)
{
	struct order order = { .placement = PLACE_FREE, .warm = 1 };
	struct report report;

	for (unsigned i = 0; i < h->plan.n_clients; i++)
		turn(h, i, 1, &order, &report);
}

static void endpoints_make(struct hall *h)
{
	uint64_t n = work_endpoints(h->pairing->work);

	h->endpoints = calloc(n + 1, sizeof *h->endpoints);
	need(h->endpoints);
	for (uint64_t i = 0; i < n; i++)
		h->contestant->endpoint_new(h->server, &h->endpoints[i]);
}

static void board_init(struct hall *h)
{
	pthread_barrierattr_t shared;
	unsigned n = h->pairing->work->n_clients;

	h->board_fd = memory_file("bench-board", sizeof *h->board);
	h->board = map_shared(h->board_fd, sizeof *h->board);
	need(pthread_barrierattr_init(&shared) == 0);
	need(pthread_barrierattr_setpshared(&shared, PTHREAD_PROCESS_SHARED) == 0);
	need(pthread_barrier_init(&h->board->warm, &shared, n ? n : 1) == 0);
}

static struct plan plan_of(const struct work *w)
{
	return (struct plan){
		.n_clients = w->n_clients + work_idle(w),
		.size = work_size(w),
		.threads = w->threads,
		.posts = w->kind == WORK_STREAM,
		.idle = w->n_idle > 0,
	};
}

void *hall_open(const void *arg)
{
	const struct pairing *pairing = arg;
	struct plan plan = plan_of(pairing->work);
	struct hall *h = calloc(1, sizeof *h + plan.n_clients * sizeof *h->guests);

	need(h);
	h->pairing = pairing;
	h->contestant = pairing->contestant;
	h->plan = plan;
	board_init(h);
	h->server = h->contestant->open(&h->plan);
	h->memory_before = process_memory(getpid());
	h->helper_before = helper_of(h) ? process_memory(helper_of(h)) : 0;
	for (unsigned i = 0; i < plan.n_clients; i++)
		welcome(h, i);
	if (pairing->work->n_endpoints)
		endpoints_make(h); /* some have endpoints on what joins them with a client */
	greet(h);
	return h;
}

static void figures_gather(struct hall *h, const struct report *r, double cpu, uint64_t n)
{
	h->figures[FIGURE_CPU] = (cpu + r->cpu) / (double)n;
	h->figures[FIGURE_LATE] = r->late;
	for (unsigned i = 0; i < N_QUANTILES; i++)
		h->figures[FIGURE_QUANTILES + i] = r->quantiles[i];
}

double hall_run(void *hall, uint64_t n)
{
	struct hall *h = hall;
	const struct work *w = h->pairing->work;
	struct order order = { .placement = w->placement, .warm = w->size <= 65536 ? 100 : 1, .n = n };
	struct report *reports = calloc(w->n_clients, sizeof *reports);
	double cpu, seconds;

	need(reports);
	if (options.quick)
		order.warm = 1;
	atomic_store(&h->board->left, n);
	process_place(getpid(), w->placement, true, w->threads);
	if (helper_of(h))
		process_place(helper_of(h), w->placement == PLACE_ACROSS ? PLACE_FREE : w->placement, true, false);
	cpu = process_cpu(getpid()) + process_cpu(helper_of(h));
	seconds = turn(h, 0, w->n_clients, &order, reports);
	cpu = process_cpu(getpid()) + process_cpu(helper_of(h)) - cpu;
	need(atomic_load(&h->board->left) == 0);
	figures_gather(h, &reports[0], cpu, n);
	free(reports);
	return seconds;
}

void hall_figures(void *hall, double *out)
{
	struct hall *h = hall;

	memcpy(out, h->figures, sizeof h->figures);
}

double hall_memory(void *hall, uint64_t n)
{
	struct hall *h = hall;
	double clients = 0;

	for (unsigned i = 0; i < h->plan.n_clients; i++) {
		struct order order = { .tells_memory = true };
		struct report r;

		control_send(h->guests[i].peer.control, &order, sizeof order);
		need(control_recv(h->guests[i].peer.control, &r, sizeof r));
		clients += r.memory;
	}
	h->figures[FIGURE_CLIENT] = clients / h->plan.n_clients;
	if (helper_of(h))
		h->figures[FIGURE_HELPER] = (process_memory(helper_of(h)) - h->helper_before) / h->plan.n_clients;
	return (process_memory(getpid()) - h->memory_before) / h->plan.n_clients * (double)n;
}

static void guest_stop(struct guest *g)
{
	if (g->peer.pid) {
		peer_stop(&g->peer);
		return;
	}
	shutdown(g->peer.control, SHUT_RDWR);
	need(pthread_join(g->thread, NULL) == 0);
	close(g->peer.control);
	close(g->thread_control);
}

void hall_close(void *hall)
{
	struct hall *h = hall;

	for (unsigned i = 0; i < h->plan.n_clients; i++)
		guest_stop(&h->guests[i]);
	for (uint64_t i = 0; h->endpoints && i < work_endpoints(h->pairing->work); i++)
		h->contestant->endpoint_free(h->server, &h->endpoints[i]);
	free(h->endpoints);
	h->contestant->close(h->server);
	munmap(h->board, sizeof *h->board);
	close(h->board_fd);
	free(h);
}
