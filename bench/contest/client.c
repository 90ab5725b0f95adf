/* SPDX-License-Identifier: MIT */
/* What clients do: the work itself, written once for all contestants. */
#include "client.h"
#include "hall.h"
#include "process.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

const double quantiles[N_QUANTILES] = {
	0,    0.01, 0.05, 0.1,	0.2,  0.3,   0.4,   0.5,   0.6,	  0.7,	 0.75,	 0.8,	 0.85,	 0.9,	 0.925,
	0.95, 0.96, 0.97, 0.98, 0.99, 0.995, 0.996, 0.997, 0.998, 0.999, 0.9992, 0.9995, 0.9997, 0.9999, 1,
};

struct client {
	const struct contestant *contestant;
	const struct work *work;
	size_t size;
	double rate;
	struct board *board;
	void *end; /* of the contestant */
	uint32_t index;
	uint64_t number, n_posted;
	double memory_before;
};

static double seconds_of(clockid_t clock)
{
	struct timespec t;

	need(clock_gettime(clock, &t) == 0);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

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

/* Writes the next payload. */
static void payload_make(struct client *c, enum request_kind kind, size_t size, uint64_t number)
{
	struct request r = { .kind = kind, .client = c->index, .number = number, .size = size };
	char *data = c->contestant->buffer(c->end, kind, size);

	if (kind == REQUEST_TAKE)
		memset(data + sizeof r, (int)(number & 0xff), size - sizeof r);
	memcpy(data, &r, sizeof r);
}

/* One round trip; what came back is right. */
static void exchange(struct client *c, size_t size, uint64_t number)
{
	struct request answer;

	memcpy(&answer, c->contestant->call(c->end, size), sizeof answer);
	need(answer.number == number + 1 && answer.client == c->index);
}

static void call_once(struct client *c, enum request_kind kind, size_t size)
{
	uint64_t number = ++c->number;

	payload_make(c, kind, size, number);
	exchange(c, size, number);
	if (kind == REQUEST_PASS || kind == REQUEST_MAKE)
		c->contestant->drop(c->end);
}

/* ---- works ----
 * Each returns the seconds that do not count. */

static double do_calls(struct client *c, uint64_t n)
{
	const struct work *w = c->work;
	bool takes_off = w->request == REQUEST_TAKE && !w->counts_making;
	double uncounted = 0, start;
	uint64_t number;

	if (!takes_off) {
		for (; n; n--)
			call_once(c, w->request, c->size);
		return 0;
	}
	for (; n; n--) {
		number = ++c->number;
		start = now();
		payload_make(c, w->request, c->size, number);
		uncounted += now() - start;
		exchange(c, c->size, number);
	}
	return uncounted;
}

static double do_stream(struct client *c, uint64_t n)
{
	for (; n; n--) {
		payload_make(c, REQUEST_POST, c->size, c->n_posted++);
		c->contestant->post(c->end, c->size);
	}
	return 0;
}

/* ---- calls at a pace ----
 * The next call is due at a fixed time, whatever became of the one before; its latency counts from then, so a stall is
 * charged to all calls that it held up. The client looks at the clock until a call is due, so that no timer of the
 * host is measured; CPU time is taken around the calls. */

struct pace {
	double *latencies;
	uint64_t n_late;
	double cpu; /* of this thread, in calls */
};

/* What taking the CPU time itself costs. */
static double cpu_clock_cost(void)
{
	enum { TIMES = 1000 };
	double start = seconds_of(CLOCK_THREAD_CPUTIME_ID), end = start;

	for (unsigned i = 0; i < TIMES; i++)
		end = seconds_of(CLOCK_THREAD_CPUTIME_ID);
	return (end - start) / TIMES;
}

static void paced_call(struct client *c, struct pace *p, uint64_t i, double due, double clock_cost)
{
	double at = now(), cpu;

	p->n_late += at > due;
	while (at < due)
		at = now();
	cpu = seconds_of(CLOCK_THREAD_CPUTIME_ID);
	call_once(c, c->work->request, c->size);
	p->latencies[i] = now() - due;
	p->cpu += seconds_of(CLOCK_THREAD_CPUTIME_ID) - cpu - clock_cost;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void do_pace(struct client *c, uint64_t n, struct report *r)
{
	struct pace p = { .latencies = calloc(n, sizeof *p.latencies) };
	double clock_cost = cpu_clock_cost(), others, start;

	need(p.latencies);
	others = process_cpu(getpid()) - seconds_of(CLOCK_THREAD_CPUTIME_ID);
	start = now();
	for (uint64_t i = 0; i < n; i++)
		paced_call(c, &p, i, start + (double)i / c->rate, clock_cost);
	r->cpu = p.cpu + process_cpu(getpid()) - seconds_of(CLOCK_THREAD_CPUTIME_ID) - others;
	r->late = (double)p.n_late / (double)n;
	atomic_fetch_sub(&c->board->left, n);
	qsort(p.latencies, n, sizeof *p.latencies, compare);
	for (unsigned i = 0; i < N_QUANTILES; i++)
		r->quantiles[i] = p.latencies[(uint64_t)(quantiles[i] * (double)(n - 1))];
	free(p.latencies);
}

static double work_do(struct client *c, uint64_t n)
{
	return c->work->kind == WORK_STREAM ? do_stream(c, n) : do_calls(c, n);
}

static void warm(struct client *c, uint64_t n)
{
	if (n == 0)
		return;
	if (c->work->kind == WORK_CALL)
		do_calls(c, n);
	else
		for (; n; n--)
			call_once(c, REQUEST_ECHO, REQUEST_SIZE_MIN);
}

static void turn(struct client *c, const struct order *order, struct report *r)
{
	uint64_t n;

	if (order->tells_memory) {
		r->memory = process_memory(getpid()) - c->memory_before;
		return;
	}
	process_place(getpid(), order->placement, false, c->work->threads);
	warm(c, order->warm);
	if (order->n)
		pthread_barrier_wait(&c->board->warm);
	r->start = now();
	if (order->n && c->work->kind == WORK_LOAD)
		do_pace(c, order->n, r);
	else if (order->n)
		while ((n = draw(&c->board->left)) > 0)
			r->uncounted += work_do(c, n);
	call_once(c, REQUEST_LEAVE, REQUEST_SIZE_MIN);
}

void client_loop(int control)
{
	struct client c = { 0 };
	struct brief brief;
	struct order order;

	need(control_recv(control, &brief, sizeof brief));
	c.contestant = contestants[brief.contestant];
	c.work = &works[brief.work];
	c.size = work_size(c.work);
	c.rate = brief.rate;
	c.index = brief.ticket.index;
	c.board = brief.board ? brief.board : map_shared(CLIENT_BOARD, sizeof *c.board);
	if (c.work->kind == WORK_MEMORY)
		c.memory_before = process_memory(getpid());
	c.end = c.contestant->join(&brief.ticket);
	while (control_recv(control, &order, sizeof order)) {
		struct report report = { 0 };

		turn(&c, &order, &report);
		control_send(control, &report, sizeof report);
	}
	c.contestant->leave(c.end);
	if (!brief.board)
		munmap(c.board, sizeof *c.board);
}

void hall_client_main(void)
{
	client_loop(PEER_CONTROL);
}
