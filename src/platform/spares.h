/* SPDX-License-Identifier: MIT */
/* Spares: a few pieces of memory of one size that are kept for the next time, where malloc() and free() would be a good part
 * of the work. Each begins with a pointer to the next. The owner has them to itself, or guards them. */
#ifndef PLATFORM_SPARES_H
#define PLATFORM_SPARES_H

#include <stdlib.h>

/* Under the address sanitizer every object is a malloc of its own, so that use after free is seen. */
#ifdef __SANITIZE_ADDRESS__
enum { SPARES_MAX = 0 };
#else
enum { SPARES_MAX = 8 };
#endif

struct spare {
	struct spare *next;
};

struct spares {
	struct spare *first;
	unsigned n;
};

/* NULL: there is none. */
static inline void *spares_take(struct spares *spares)
{
	struct spare *spare = spares->first;

	if (!spare)
		return NULL;
	spares->first = spare->next;
	spares->n--;
	return spare;
}

/* Frees it if there are enough. */
static inline void spares_put(struct spares *spares, void *memory)
{
	struct spare *spare = memory;

	if (spares->n + 1 > SPARES_MAX) {
		free(memory);
		return;
	}
	spare->next = spares->first;
	spares->first = spare;
	spares->n++;
}

static inline void spares_drain(struct spares *spares)
{
	void *memory;

	while ((memory = spares_take(spares)))
		free(memory);
}

#endif
