/* SPDX-License-Identifier: MIT */
/* Starting clients and giving them their turns. */
#include "clients.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

struct order {
	enum placement placement;
	unsigned warm;
	bool meet; /* the other active clients before the clock starts */
};

struct report {
	double start, uncounted;
};

int memory_file(const char *name, size_t size)
{
	int fd = memfd_create(name, MFD_CLOEXEC);

	need(fd >= 0 && ftruncate(fd, (off_t)size) == 0);
	return fd;
}

void *map_shared(int fd, size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	need(memory != MAP_FAILED);
	return memory;
}

/* ---- the server ---- */

static void board_init(struct board *board, const struct clients_plan *plan)
{
	pthread_barrierattr_t shared;

	need(pthread_barrierattr_init(&shared) == 0);
	need(pthread_barrierattr_setpshared(&shared, PTHREAD_PROCESS_SHARED) == 0);
	need(pthread_barrier_init(&board->warm, &shared, plan->n_active ? plan->n_active : 1) == 0);
	board->amount = scaled(plan->amount, plan->amount_quick);
}

/* Lets the clients from first on, n of them, each do what the order says. */
static double turn(struct clients *all, unsigned first, unsigned n, const struct order *order)
{
	double start = 0, end, uncounted = 0;
	struct report r;

	for (unsigned i = first; i < first + n; i++)
		control_send(all->peers[i].control, order, sizeof *order);
	all->plan->wire->serve(all->server, n);
	end = now();
	for (unsigned i = first; i < first + n; i++) {
		need(control_recv(all->peers[i].control, &r, sizeof r));
		start = i == first || r.start < start ? r.start : start;
		uncounted += r.uncounted;
	}
	return end - start - uncounted;
}

/* One operation with each, so that what joins them is there and has been used. */
static void greet(struct clients *all)
{
	struct order order = { .placement = PLACE_FREE, .warm = all->plan->wire->warm ? 1 : 0 };

	for (unsigned i = 0; i < all->n; i++)
		turn(all, i, 1, &order);
}

void *clients_open(const void *arg)
{
	const struct clients_plan *plan = arg;
	unsigned n = plan->n_active + (unsigned)scaled(plan->n_idle, plan->n_idle_quick);
	struct clients *all = calloc(1, sizeof *all + n * sizeof *all->peers);

	need(all);
	all->plan = plan;
	all->n = n;
	all->board_fd = memory_file("bench-board", sizeof *all->board);
	all->board = map_shared(all->board_fd, sizeof *all->board);
	board_init(all->board, plan);
	all->server = plan->wire->open(all);
	for (unsigned i = 0; i < n; i++)
		plan->wire->start(all->server, i);
	close(all->board_fd);
	all->board_fd = -1;
	greet(all);
	return all;
}

void clients_start(struct clients *all, unsigned i, int fd, launcher *launch, const void *arg)
{
	const int fds[] = { all->board_fd, fd, -1 };

	peer_start(&all->peers[i], all->plan->wire->name, fds, launch, arg);
}

double clients_run(void *context, uint64_t n)
{
	struct clients *all = context;
	const struct clients_plan *plan = all->plan;
	struct order order = { .placement = plan->placement, .warm = plan->wire->warm, .meet = true };
	double seconds;

	atomic_store(&all->board->left, n);
	place(plan->placement, 0, true);
	seconds = turn(all, 0, plan->n_active, &order);
	need(atomic_load(&all->board->left) == 0);
	return plan->per_amount ? seconds / (double)all->board->amount : seconds;
}

void clients_stop_one(struct clients *all)
{
	struct order order = { .placement = all->plan->placement };
	struct report r;

	control_send(all->peers[0].control, &order, sizeof order);
	need(control_recv(all->peers[0].control, &r, sizeof r));
}

void clients_close(void *context)
{
	struct clients *all = context;

	for (unsigned i = 0; i < all->n; i++)
		peer_stop(&all->peers[i]);
	all->plan->wire->close(all->server);
	munmap(all->board, sizeof *all->board);
	free(all);
}

/* ---- a client ---- */

static struct report client_turn(const struct wire *wire, void *client, struct board *board, const struct order *order)
{
	struct report r = { 0 };
	uint64_t n;

	place(order->placement, 0, false);
	if (order->warm)
		wire->work(client, order->warm);
	if (order->meet)
		pthread_barrier_wait(&board->warm);
	r.start = now();
	while ((n = draw(&board->left)) > 0)
		r.uncounted += wire->work(client, n);
	wire->stop(client);
	return r;
}

void client_main(const struct wire *wire)
{
	struct board *board = map_shared(CLIENT_BOARD, sizeof *board);
	struct order order;
	struct report r;
	void *client;

	close(CLIENT_BOARD);
	client = wire->join(board);
	while (control_recv(PEER_CONTROL, &order, sizeof order)) {
		r = client_turn(wire, client, board, &order);
		control_send(PEER_CONTROL, &r, sizeof r);
	}
	wire->leave(client);
	munmap(board, sizeof *board);
}
