/* SPDX-License-Identifier: MIT */
#include "kernel/space.h"

#include <assert.h>
#include <stdlib.h>

#include "kernel/accept.h"
#include "kernel/after.h"
#include "kernel/count.h"
#include "kernel/message.h"
#include "kernel/name.h"
#include "kernel/notify.h"
#include "kernel/port.h"
#include "kernel/portset.h"

#define FIRST_BUCKETS 32u

struct space *space_new(void)
{
	struct space *space = malloc(sizeof *space);

	if (!space)
		return NULL;
	*space = (struct space){ .n_refs = 1, .next_fresh = 1 };
	lock_init(&space->lock, RANK_SPACE);
	list_init(&space->free);
	count_add(spaces, 1);
	return space;
}

struct space *space_ref(struct space *space)
{
	atomic_fetch_add_explicit(&space->n_refs, 1, memory_order_relaxed);
	return space;
}

static void space_free_names(struct space *space)
{
	list_for_each(name, &space->free, struct name, free_link)
		free(name);
	free(space->by_name.buckets);
	free(space->by_port.buckets);
}

void space_unref(struct space *space)
{
	if (atomic_fetch_sub_explicit(&space->n_refs, 1, memory_order_acq_rel) > 1)
		return;
	assert(space->n_used == 0 && space->by_port.n_names == 0);
	space_free_names(space);
	count_add(spaces, -1);
	free(space);
}

/* Multiplicative hashing: names are mostly dense, ports are aligned; both spread well over a power of two. */
static uint32_t hash_to_bucket(uint64_t key, uint32_t n_buckets)
{
	return (uint32_t)((key * 0x9e3779b97f4a7c15u) >> 32) & (n_buckets - 1);
}

static struct name **bucket_by_name(const struct name_index *index, mach_port_name_t number)
{
	return &index->buckets[hash_to_bucket(number, index->n_buckets)];
}

static struct name **bucket_by_port(const struct name_index *index, const struct port *p)
{
	return &index->buckets[hash_to_bucket((uintptr_t)p >> 4, index->n_buckets)];
}

/* A table twice as large, empty. False: no memory; the old one serves on, only slower. */
static bool index_double(const struct name_index *old, struct name_index *new)
{
	new->n_buckets = old->n_buckets ? old->n_buckets * 2 : FIRST_BUCKETS;
	new->n_names = old->n_names;
	new->buckets = calloc(new->n_buckets, sizeof *new->buckets);
	return new->buckets != NULL;
}

static bool index_is_full(const struct name_index *index)
{
	return index->n_names >= index->n_buckets && index->n_buckets < (1u << 31);
}

static void index_by_name_grow(struct name_index *index)
{
	struct name_index new;

	if (!index_is_full(index) || !index_double(index, &new))
		return;
	for (uint32_t i = 0; i < index->n_buckets; i++) {
		for (struct name *name = index->buckets[i], *next; name; name = next) {
			struct name **bucket = bucket_by_name(&new, name->name);

			next = name->next_by_name;
			name->next_by_name = *bucket;
			*bucket = name;
		}
	}
	free(index->buckets);
	*index = new;
}

static void index_by_port_grow(struct name_index *index)
{
	struct name_index new;

	if (!index_is_full(index) || !index_double(index, &new))
		return;
	for (uint32_t i = 0; i < index->n_buckets; i++) {
		for (struct name *name = index->buckets[i], *next; name; name = next) {
			struct name **bucket = bucket_by_port(&new, name->port);

			next = name->next_by_port;
			name->next_by_port = *bucket;
			*bucket = name;
		}
	}
	free(index->buckets);
	*index = new;
}

/* The entry with this number, in use or free; NULL: none. */
static struct name *space_entry_locked(struct space *space, mach_port_name_t number)
{
	struct name *name;

	lock_assert_held(&space->lock);
	if (space->by_name.n_buckets == 0)
		return NULL;
	name = *bucket_by_name(&space->by_name, number);
	while (name && name->name != number)
		name = name->next_by_name;
	return name;
}

struct name *space_find_locked(struct space *space, mach_port_name_t number)
{
	struct name *name = space_entry_locked(space, number);

	return name && name->type != MACH_PORT_TYPE_NONE ? name : NULL;
}

struct name *space_lookup_locked(struct space *space, mach_port_name_t number)
{
	struct name *name = space_find_locked(space, number);

	if (name)
		name_check_dead_locked(space, name);
	return name;
}

struct name *space_find_port_locked(struct space *space, const struct port *p)
{
	struct name *name;

	lock_assert_held(&p->lock);
	if (p->where == PORT_IN_SPACE && p->space == space)
		return p->entry;
	if (port_is_dead(p) || !space->by_port.n_buckets)
		return NULL;
	name = *bucket_by_port(&space->by_port, p);
	while (name && name->port != p)
		name = name->next_by_port;
	return name;
}

struct name *space_lookup_port_locked(struct space *space, struct port *p)
{
	struct name *name;

	lock_take(&p->lock);
	name = space_find_port_locked(space, p);
	lock_drop(&p->lock);
	return name;
}

/* A new entry, free and listed nowhere but in the index by name. */
static struct name *space_add_entry_locked(struct space *space, mach_port_name_t number)
{
	struct name *name, **bucket;

	index_by_name_grow(&space->by_name);
	if (!space->by_name.n_buckets)
		return NULL;
	name = malloc(sizeof *name);
	if (!name)
		return NULL;
	*name = (struct name){ .name = number };
	list_init(&name->free_link);
	bucket = bucket_by_name(&space->by_name, number);
	name->next_by_name = *bucket;
	*bucket = name;
	space->by_name.n_names++;
	return name;
}

static struct name *space_use_locked(struct space *space, struct name *name)
{
	list_unlink(&name->free_link);
	name->port = NULL;
	name->next_by_port = NULL;
	name->urefs = 0;
	name->is_implicit = false;
	name->dead_request = NULL;
	name->accept = NULL;
	space->n_used++;
	count_add(names, 1);
	return name;
}

/* The next number that no entry has, beginning with the lowest. */
static mach_port_name_t space_fresh_number_locked(struct space *space)
{
	mach_port_name_t number;

	do {
		number = space->next_fresh++;
	} while (!MACH_PORT_VALID(number) || space_entry_locked(space, number));
	return number;
}

struct name *space_allocate_locked(struct space *space)
{
	struct name *name;

	lock_assert_held(&space->lock);
	if (!list_is_empty(&space->free))
		name = list_first(&space->free, struct name, free_link);
	else
		name = space_add_entry_locked(space, space_fresh_number_locked(space));
	return name ? space_use_locked(space, name) : NULL;
}

struct name *space_allocate_as_locked(struct space *space, mach_port_name_t number)
{
	struct name *name = space_entry_locked(space, number);

	assert(!name || name->type == MACH_PORT_TYPE_NONE);
	if (!name)
		name = space_add_entry_locked(space, number);
	return name ? space_use_locked(space, name) : NULL;
}

void space_free_locked(struct space *space, struct name *name)
{
	assert(!name->dead_request && !name->accept);
	if (name->name == space->self_name)
		space->self_name = MACH_PORT_NULL;
	name->type = MACH_PORT_TYPE_NONE;
	list_prepend(&space->free, &name->free_link);
	space->n_used--;
	count_add(names, -1);
}

void space_index_port_locked(struct space *space, struct name *name)
{
	struct name_index *index = &space->by_port;
	struct name **bucket;

	index_by_port_grow(index);
	bucket = bucket_by_port(index, name->port);
	name->next_by_port = *bucket;
	*bucket = name;
	index->n_names++;
}

bool space_reserve_index_locked(struct space *space)
{
	index_by_port_grow(&space->by_port);
	return space->by_port.n_buckets != 0;
}

void space_unindex_port_locked(struct space *space, struct name *name)
{
	struct name **at = bucket_by_port(&space->by_port, name->port);

	while (*at != name)
		at = &(*at)->next_by_port;
	*at = name->next_by_port;
	name->next_by_port = NULL;
	space->by_port.n_names--;
}

/* What refers to a name by its number learns the new one. */
static void name_tell_number_locked(struct name *name)
{
	if (name->type & MACH_PORT_TYPE_PORT_SET)
		name->set->name = name->name;
	if (name->accept)
		name->accept->name = name->name;
	if (!(name->type & MACH_PORT_TYPE_PORT_RIGHTS))
		return;
	lock_take(&name->port->lock);
	if (name->type & MACH_PORT_TYPE_RECEIVE) {
		name->port->entry = name;
		name->port->name = name->name;
	}
	if (name->dead_request && !port_is_dead(name->port))
		notice_set_value(name->dead_request, MACH_NOTIFY_DEAD_NAME, name->name);
	lock_drop(&name->port->lock);
}

void space_renumber_locked(struct space *space, struct name *old, struct name *new)
{
	bool is_indexed = (old->type & MACH_PORT_TYPE_SEND_RECEIVE) == MACH_PORT_TYPE_SEND;

	if (is_indexed)
		space_unindex_port_locked(space, old);
	new->type = old->type;
	new->port = old->port;
	new->urefs = old->urefs;
	new->is_implicit = old->is_implicit;
	new->dead_request = old->dead_request;
	new->accept = old->accept;
	old->dead_request = NULL;
	old->accept = NULL;
	if (is_indexed)
		space_index_port_locked(space, new);
	name_tell_number_locked(new);
	if (space->self_name == old->name)
		space->self_name = new->name;
	space_free_locked(space, old);
}

void space_set_self_name(struct space *space, mach_port_name_t number)
{
	lock_take(&space->lock);
	if (space_find_locked(space, number))
		space->self_name = number;
	lock_drop(&space->lock);
}

static int compare_numbers(const void *a, const void *b)
{
	mach_port_name_t x = *(const mach_port_name_t *)a, y = *(const mach_port_name_t *)b;

	return x < y ? -1 : x > y;
}

void space_sort_numbers(mach_port_name_t *numbers, uint32_t n)
{
	qsort(numbers, n, sizeof *numbers, compare_numbers);
}

bool space_list_locked(struct space *space, mach_port_name_t **names, uint32_t *n)
{
	mach_port_name_t *list = malloc((space->n_used + 1) * sizeof *list);
	uint32_t at = 0;

	if (!list)
		return false;
	for (uint32_t i = 0; i < space->by_name.n_buckets; i++)
		for (struct name *name = space->by_name.buckets[i]; name; name = name->next_by_name)
			if (name->type != MACH_PORT_TYPE_NONE)
				list[at++] = name->name;
	assert(at == space->n_used);
	space_sort_numbers(list, at);
	*names = list;
	*n = at;
	return true;
}

/* ---- a walk in steps
 *
 * The cursor has a bucket's number in its upper half, and in the lower how many entries of it have been visited. Buckets
 * are taken in the order of their numbers read backwards: when the table doubles, bucket b becomes b and b + n, which
 * follow each other in that order. So those before b have been visited whatever the size was. */

static uint32_t reverse_bits(uint32_t x)
{
	x = (x >> 1 & 0x55555555u) | (x & 0x55555555u) << 1;
	x = (x >> 2 & 0x33333333u) | (x & 0x33333333u) << 2;
	x = (x >> 4 & 0x0f0f0f0fu) | (x & 0x0f0f0f0fu) << 4;
	return __builtin_bswap32(x);
}

/* 0: that was the last. */
static uint32_t bucket_after(uint32_t bucket, uint32_t n_buckets)
{
	return reverse_bits(reverse_bits(bucket | ~(n_buckets - 1)) + 1);
}

static unsigned bucket_length(const struct name *name)
{
	unsigned n = 0;

	for (; name; name = name->next_by_name)
		n++;
	return n;
}

struct walk {
	void (*visit)(const struct name *name, void *context);
	void *context;
	unsigned room; /* names */
};

/* Returns how many entries there were room for. */
static unsigned walk_bucket(struct walk *walk, const struct name *name, unsigned skip)
{
	unsigned n = 0;

	for (; name && (n < skip || walk->room); name = name->next_by_name, n++) {
		if (n < skip || name->type == MACH_PORT_TYPE_NONE)
			continue;
		walk->visit(name, walk->context);
		walk->room--;
	}
	return n;
}

void space_walk_locked(struct space *space, uint64_t *cursor, unsigned max, unsigned *budget,
		       void (*visit)(const struct name *name, void *context), void *context)
{
	struct walk walk = { visit, context, max };
	uint32_t at = (uint32_t)(*cursor >> 32), skip = (uint32_t)*cursor, n = space->by_name.n_buckets;
	bool is_first = true;

	lock_assert_held(&space->lock);
	*cursor = 0;
	if (!n)
		return;
	do {
		const struct name *bucket = space->by_name.buckets[at & (n - 1)];
		unsigned length = bucket_length(bucket), cost = length + 1;

		*cursor = (uint64_t)at << 32 | skip;
		if (!is_first && (cost > *budget || walk.room < length))
			return;
		*budget -= cost < *budget ? cost : *budget;
		is_first = false;
		if (length > skip && (skip = walk_bucket(&walk, bucket, skip)) < length) {
			*cursor = (uint64_t)at << 32 | skip;
			return;
		}
		skip = 0;
		at = bucket_after(at & (n - 1), n);
	} while (at);
	*cursor = 0;
}

static void space_destroy_name(struct space *space, mach_port_name_t number)
{
	struct after after;
	struct name *name;

	after_init(&after);
	lock_take(&space->lock);
	name = space_lookup_locked(space, number);
	if (name)
		name_clear_locked(space, name, &after);
	lock_drop(&space->lock);
	after_run(&after);
}

/* Without memory for a list the order is lost, but nothing else. */
static void space_destroy_unlisted(struct space *space)
{
	for (uint32_t i = 0; i < space->by_name.n_buckets; i++)
		for (struct name *name = space->by_name.buckets[i]; name; name = name->next_by_name)
			space_destroy_name(space, name->name);
}

void space_destroy(struct space *space)
{
	mach_port_name_t *names;
	uint32_t n;
	bool is_listed;

	lock_take(&space->lock);
	space->is_dead = true;
	is_listed = space_list_locked(space, &names, &n);
	lock_drop(&space->lock);
	if (!is_listed) {
		space_destroy_unlisted(space);
		return;
	}
	for (uint32_t i = 0; i < n; i++)
		space_destroy_name(space, names[i]);
	free(names);
}
