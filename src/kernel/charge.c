/* SPDX-License-Identifier: MIT */
#include "kernel/charge.h"

#include <stdlib.h>

#include "kernel/remote.h"

struct charge *charge_new(void)
{
	struct charge *charge = calloc(1, sizeof *charge);

	if (charge)
		atomic_init(&charge->bytes, 1);
	return charge;
}

static void charge_subtract(struct charge *charge, size_t n)
{
	if (atomic_fetch_sub(&charge->bytes, n) == n)
		free(charge);
}

void charge_leave(struct charge *charge)
{
	charge_subtract(charge, 1);
}

void charge_add(struct charge *charge, size_t n)
{
	atomic_fetch_add(&charge->bytes, n);
}

void charge_remove(struct charge *charge, size_t n)
{
	size_t mark = atomic_load(&charge->mark);
	bool is_crossed = mark && atomic_load(&charge->bytes) - n < mark && atomic_exchange(&charge->mark, 0);

	charge_subtract(charge, n);
	if (is_crossed)
		remote.ops.kick();
}

bool charge_is_over(struct charge *charge, size_t limit)
{
	if (atomic_load_explicit(&charge->bytes, memory_order_relaxed) < limit)
		return false;
	atomic_store(&charge->mark, limit);
	/* It may have become less in this moment, and nobody saw the mark. */
	return atomic_load(&charge->bytes) >= limit;
}
