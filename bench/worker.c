/* SPDX-License-Identifier: MIT */
/* Starting and ending workers, and their turns. */
#include "worker.h"

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

static struct turn side_turn(const struct side *side, void *context, uint64_t n)
{
	struct turn t = { 0 };
	double start = now();

	t.seconds = side->run(context, n);
	t.wall = now() - start;
	if (side->figures)
		side->figures(context, t.figures);
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

static bool worker_answer(struct worker *w, struct turn *t)
{
	struct pollfd p = { .fd = w->socket, .events = POLLIN };

	if (poll(&p, 1, TURN_MAX_SECONDS * 1000) != 1) {
		fprintf(stderr, "bench: %s: no answer in %d seconds\n", w->side->what, TURN_MAX_SECONDS);
		return false;
	}
	return recv(w->socket, t, sizeof *t, 0) == sizeof *t;
}

bool worker_turn(struct worker *w, uint64_t n, struct turn *t)
{
	if (!w->pid) {
		*t = side_turn(w->side, w->context, n);
		return true;
	}
	return send(w->socket, &n, sizeof n, MSG_NOSIGNAL) == sizeof n && worker_answer(w, t);
}

bool worker_start(struct worker *w, const struct side *side)
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

bool worker_stop(struct worker *w, bool alive)
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

bool worker_calibrate(struct worker *w, uint64_t fixed, uint64_t *n)
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
