/* SPDX-License-Identifier: MIT */
/* Works of one process: endpoints that come and go, and many for which one thread waits. */
#include "work.h"

#include <stdlib.h>

enum { FEW = 10 };

struct stage {
	const struct contestant *contestant;
	const struct work *work;
	void *server, *set;
};

static struct stage *stage_new(const struct pairing *pairing)
{
	struct stage *s = calloc(1, sizeof *s);

	need(s);
	s->contestant = pairing->contestant;
	s->work = pairing->work;
	pin(0);
	return s;
}

static void *endpoint_open(const void *pairing)
{
	static const struct plan plan = { .size = REQUEST_SIZE_MIN };
	struct stage *s = stage_new(pairing);

	s->server = s->contestant->open(&plan);
	return s;
}

static double endpoint_run(void *stage, uint64_t n)
{
	struct stage *s = stage;
	struct endpoint e;
	double start = now();

	for (; n; n--) {
		s->contestant->endpoint_new(s->server, &e);
		s->contestant->endpoint_free(s->server, &e);
	}
	return now() - start;
}

static void endpoint_close(void *stage)
{
	struct stage *s = stage;

	s->contestant->close(s->server);
	free(s);
}

const struct side endpoint_side = { .open = endpoint_open, .run = endpoint_run, .close = endpoint_close };

static void *set_open(const void *pairing)
{
	struct stage *s = stage_new(pairing);

	s->set = s->contestant->set_new((unsigned)work_endpoints(s->work));
	return s;
}

/* To ten members in turn, spread evenly, whatever the number. */
static double set_run(void *stage, uint64_t n)
{
	struct stage *s = stage;
	unsigned n_members = (unsigned)work_endpoints(s->work);
	char data[REQUEST_SIZE_MIN] = { 0 };
	double start = now();

	for (uint64_t i = 0; i < n; i++) {
		memcpy(data, &i, sizeof i);
		s->contestant->set_pass(s->set, (unsigned)(i % FEW) * (n_members / FEW) + n_members / FEW / 2, data,
					sizeof data);
	}
	return now() - start;
}

static void set_close(void *stage)
{
	struct stage *s = stage;

	s->contestant->set_free(s->set);
	free(s);
}

const struct side set_side = { .open = set_open, .run = set_run, .close = set_close };
