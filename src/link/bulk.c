/* SPDX-License-Identifier: MIT */
#include "link/bulk.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "link/link.h"
#include "link/table.h"

struct arrived {
	struct list link; /* in bulk.done */
	struct memory memory;
};

void bulk_init(struct bulk *bulk, unsigned patience_ms)
{
	*bulk = (struct bulk){ .patience_ms = patience_ms };
	list_init(&bulk->done);
}

void bulk_deinit(struct bulk *bulk)
{
	memory_drop(&bulk->coming);
	list_for_each(arrived, &bulk->done, struct arrived, link) {
		list_unlink(&arrived->link);
		memory_drop(&arrived->memory);
		free(arrived);
	}
	bulk->n_bytes = 0;
}

static const struct timespec pause = { .tv_nsec = 1000000 };

static bool bulk_begin(struct bulk *bulk, size_t total)
{
	if (bulk->coming.size || total > limits.announced || bulk->n_bytes > limits.announced - total)
		return false;
	bulk->coming = memory_to_fill(total);
	for (unsigned ms = 0; !bulk->coming.address && ms < bulk->patience_ms; ms++) {
		nanosleep(&pause, NULL);
		bulk->coming = memory_to_fill(total);
	}
	bulk->coming.size = total;
	bulk->n_come = 0;
	bulk->n_bytes += total;
	return true;
}

static void bulk_complete(struct bulk *bulk)
{
	struct arrived *arrived = certain_alloc(sizeof *arrived);

	arrived->memory = bulk->coming;
	bulk->coming = (struct memory){ 0 };
	list_init(&arrived->link);
	list_append(&bulk->done, &arrived->link);
}

bool bulk_take_piece(struct bulk *bulk, size_t total, const void *bytes, size_t size)
{
	if (total && !bulk_begin(bulk, total))
		return false;
	if (!bulk->coming.size || size == 0 || size > bulk->coming.size - bulk->n_come)
		return false;
	if (bulk->coming.address)
		memcpy((char *)bulk->coming.address + bulk->n_come, bytes, size);
	bulk->n_come += size;
	if (bulk->n_come == bulk->coming.size)
		bulk_complete(bulk);
	return true;
}

bool bulk_claim(struct bulk *bulk, size_t size, struct memory *m)
{
	struct arrived *arrived;

	if (list_is_empty(&bulk->done))
		return false;
	arrived = list_first(&bulk->done, struct arrived, link);
	if (arrived->memory.size != size)
		return false;
	*m = arrived->memory;
	bulk->n_bytes -= size;
	list_unlink(&arrived->link);
	free(arrived);
	return true;
}
