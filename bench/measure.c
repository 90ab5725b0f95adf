/* SPDX-License-Identifier: MIT */
/* Measuring one row: two workers that take turns. */
#include "bench.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TURN_MAX_SECONDS = 300 }; /* a side that takes longer hangs */

/* A worker answers each count of operations with one struct turn. The first answer comes unasked: it is open. */
struct turn {
	double seconds; /* what run() said */
	double wall;	/* what the whole run took, unmeasured parts included */
};

struct worker {
	const struct side *side;
	void *context; /* solo: the side runs here */
	pid_t pid;     /* else it runs there, 0 if it does not */
	int socket;
};

static struct turn side_turn(const struct side *side, void *context, uint64_t n)
{
	struct turn t;
	double start = now();

	t.seconds = side->run(context, n);
	t.wall = now() - start;
	return t;
}

static _Noreturn void worker_main(const struct side *side, int socket)
{
	struct turn t = { 0 };
	void *context = side->open ? side->open(side->arg) : (void *)(uintptr_t)side->arg;
	uint64_t n;

	for (;;) {
		if (send(socket, &t, sizeof t, MSG_NOSIGNAL) != sizeof t)
			break;
		if (recv(socket, &n, sizeof n, 0) != sizeof n)
			break;
		t = side_turn(side, context, n);
	}
	if (side->close)
		side->close(context);
	_exit(EXIT_SUCCESS);
}

/* Both return false if the worker fell silent. */
static bool worker_answer(struct worker *w, struct turn *t)
{
	struct pollfd p = { .fd = w->socket, .events = POLLIN };

	if (poll(&p, 1, TURN_MAX_SECONDS * 1000) != 1) {
		fprintf(stderr, "bench: %s: no answer in %d seconds\n", w->side->what, TURN_MAX_SECONDS);
		return false;
	}
	return recv(w->socket, t, sizeof *t, 0) == sizeof *t;
}

static bool worker_turn(struct worker *w, uint64_t n, struct turn *t)
{
	if (!w->pid) {
		*t = side_turn(w->side, w->context, n);
		return true;
	}
	return send(w->socket, &n, sizeof n, MSG_NOSIGNAL) == sizeof n && worker_answer(w, t);
}

static bool worker_start(struct worker *w, const struct side *side)
{
	struct turn ready;
	int ends[2];

	*w = (struct worker){ .side = side, .socket = -1 };
	if (options.solo) {
		w->context = side->open ? side->open(side->arg) : (void *)(uintptr_t)side->arg;
		return true;
	}
	need(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
	fflush(NULL);
	w->pid = fork();
	need(w->pid >= 0);
	if (w->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(ends[0]);
		worker_main(side, ends[1]);
	}
	close(ends[1]);
	w->socket = ends[0];
	return worker_answer(w, &ready);
}

/* Says whether the side came to its end in good order. */
static bool worker_stop(struct worker *w, bool alive)
{
	int status = 0;

	if (!w->side)
		return true;
	if (!w->pid) {
		if (w->side->close)
			w->side->close(w->context);
		return true;
	}
	if (!alive)
		kill(w->pid, SIGKILL);
	shutdown(w->socket, SHUT_RDWR); /* the other worker has a copy of our end: closing it would say nothing */
	close(w->socket);
	while (waitpid(w->pid, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFSIGNALED(status) && alive)
		fprintf(stderr, "bench: %s: %s\n", w->side->what, strsignal(WTERMSIG(status)));
	return alive && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* How many operations make one turn long enough to measure. */
static bool calibrate(struct worker *w, uint64_t fixed, uint64_t *n)
{
	struct turn t;
	double more;

	*n = fixed ? fixed : 1;
	if (fixed)
		return true;
	for (;;) {
		if (!worker_turn(w, *n, &t))
			return false;
		if (t.wall >= options.sample * 0.9 || *n >= UINT64_C(1) << 32)
			return true;
		more = t.wall > options.sample * 0.01 ? options.sample / t.wall * 1.1 : 10;
		*n = (uint64_t)ceil((double)*n * more);
	}
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(const double *values, unsigned n)
{
	double sorted[ROUNDS_MAX];

	memcpy(sorted, values, n * sizeof *values);
	qsort(sorted, n, sizeof *sorted, compare);
	return n % 2 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

/* All rounds; false if a side fell silent. Who goes first changes from round to round, so that a machine that steadily
 * warms up or slows down favours neither. */
static bool rounds_run(struct worker *ours, struct worker *other, struct result *out)
{
	double a[ROUNDS_MAX], b[ROUNDS_MAX], ratio[ROUNDS_MAX];
	struct turn t;
	bool once = out->row->kind == ROW_BYTES || out->row->kind == ROW_COUNT;
	unsigned n = once ? 1 : options.rounds;

	for (unsigned i = 0; i < n; i++) {
		a[i] = b[i] = NAN;
		for (unsigned turn = 0; turn < 2; turn++) {
			if ((turn ^ i) & 1) {
				if (other->side && !worker_turn(other, out->n_other, &t))
					return false;
				if (other->side)
					b[i] = t.seconds / (double)out->n_other;
			} else {
				if (ours->side && !worker_turn(ours, out->n_ours, &t))
					return false;
				if (ours->side)
					a[i] = t.seconds / (double)out->n_ours;
			}
		}
		ratio[i] = once ? NAN : out->row->kind == ROW_RATE ? b[i] / a[i] : a[i] / b[i];
	}
	out->n_rounds = n;
	out->ours = median(a, n);
	out->other = median(b, n);
	out->ratio = median(ratio, n);
	qsort(ratio, n, sizeof *ratio, compare);
	out->ratio_min = ratio[0];
	out->ratio_max = ratio[n - 1];
	return true;
}

static enum verdict judge(const struct result *r)
{
	if (r->row->limit <= 0 || !r->row->ours.what || options.quick || options.solo)
		return VERDICT_SHOWN;
	switch (r->row->kind) {
	case ROW_TIME:
		return r->ratio <= r->row->limit ? VERDICT_OK : VERDICT_OVER;
	case ROW_RATE:
		return r->ratio >= r->row->limit ? VERDICT_OK : VERDICT_OVER;
	case ROW_SECONDS:
	case ROW_BYTES:
	case ROW_COUNT:
		return r->ours <= r->row->limit ? VERDICT_OK : VERDICT_OVER;
	}
	return VERDICT_FAILED;
}

void row_measure(const struct row *row, struct result *out)
{
	struct worker ours = { 0 }, other = { 0 };
	bool good = true;

	*out = (struct result){ .row = row, .verdict = VERDICT_SKIPPED };
	if (row->n_cpus > cpus_usable() || (options.solo && !row->ours.what))
		return;
	if (row->ours.what)
		good = worker_start(&ours, &row->ours) && calibrate(&ours, row->n, &out->n_ours);
	if (good && row->other.what && !options.solo)
		good = worker_start(&other, &row->other) && calibrate(&other, row->n, &out->n_other);
	good = good && rounds_run(&ours, &other, out);
	good = worker_stop(&ours, good) && good;
	good = worker_stop(&other, good) && good;
	out->verdict = good ? judge(out) : VERDICT_FAILED;
}
