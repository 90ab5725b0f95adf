/* SPDX-License-Identifier: MIT */
/* Measuring one row: two workers that take turns. */
#include "worker.h"

#include <math.h>
#include <stdlib.h>

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
	out->ratio_min = least(ratio, n);
	out->ratio_max = greatest(ratio, n);
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
		good = worker_start(&ours, &row->ours) && worker_calibrate(&ours, row->n, &out->n_ours);
	if (good && row->other.what && !options.solo)
		good = worker_start(&other, &row->other) && worker_calibrate(&other, row->n, &out->n_other);
	good = good && rounds_run(&ours, &other, out);
	good = worker_stop(&ours, good) && good;
	good = worker_stop(&other, good) && good;
	out->verdict = good ? judge(out) : VERDICT_FAILED;
}
