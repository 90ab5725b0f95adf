/* SPDX-License-Identifier: MIT */
#include "link/table.h"

#include <assert.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { FIRST_CAPACITY = 8 };

void *certain_realloc(void *pointer, size_t bytes)
{
	static const struct timespec pause = { .tv_nsec = 1000000 };
	void *p;

	while (!(p = realloc(pointer, bytes)))
		nanosleep(&pause, NULL);
	return p;
}

void *certain_alloc(size_t bytes)
{
	return certain_realloc(NULL, bytes);
}

/* A free slot holds an odd number, which no pointer is. */
static void *slot_of_free(uint32_t next)
{
	return (void *)(((uintptr_t)next << 1) | 1);
}

static bool slot_is_free(const void *slot)
{
	return (uintptr_t)slot & 1;
}

void *table_get(const struct table *table, uint32_t index)
{
	void *slot = index < table->n_slots ? table->slots[index] : NULL;

	return slot_is_free(slot) ? NULL : slot;
}

static void table_reserve(struct table *table, uint32_t n)
{
	uint32_t capacity = table->capacity ? table->capacity : FIRST_CAPACITY;

	if (n <= table->capacity)
		return;
	while (capacity < n)
		capacity *= 2;
	table->slots = certain_realloc(table->slots, capacity * sizeof *table->slots);
	table->capacity = capacity;
}

uint32_t table_add(struct table *table, void *pointer)
{
	uint32_t index = table->first_free;

	assert(pointer && !slot_is_free(pointer));
	if (index == table->n_slots) {
		table_reserve(table, ++table->n_slots);
		table->first_free = table->n_slots;
	} else {
		table->first_free = (uint32_t)((uintptr_t)table->slots[index] >> 1);
	}
	table->slots[index] = pointer;
	table->n_used++;
	return index;
}

void table_set(struct table *table, uint32_t index, void *pointer)
{
	if (index >= table->n_slots) {
		table_reserve(table, index + 1);
		memset(table->slots + table->n_slots, 0, (index + 1 - table->n_slots) * sizeof *table->slots);
		table->n_slots = index + 1;
	}
	assert(!table->slots[index] && pointer);
	table->slots[index] = pointer;
	table->n_used++;
}

void table_remove(struct table *table, uint32_t index)
{
	assert(table_get(table, index));
	table->slots[index] = slot_of_free(table->first_free);
	table->first_free = index;
	table->n_used--;
}

void table_unset(struct table *table, uint32_t index)
{
	assert(table_get(table, index));
	table->slots[index] = NULL;
	table->n_used--;
}

void table_deinit(struct table *table)
{
	assert(table->n_used == 0);
	free(table->slots);
	*table = (struct table){ 0 };
}

struct sparse_entry {
	uint32_t index;
	void *pointer;
};

static int entry_compare(const void *a, const void *b)
{
	uint32_t x = ((const struct sparse_entry *)a)->index, y = ((const struct sparse_entry *)b)->index;

	return x < y ? -1 : x > y;
}

static struct sparse_entry *sparse_find(const struct sparse *sparse, uint32_t index)
{
	struct sparse_entry key = { .index = index };
	void *found = tfind(&key, &sparse->tree, entry_compare);

	return found ? *(struct sparse_entry **)found : NULL;
}

void *sparse_get(const struct sparse *sparse, uint32_t index)
{
	struct sparse_entry *entry = sparse_find(sparse, index);

	return entry ? entry->pointer : NULL;
}

void sparse_set(struct sparse *sparse, uint32_t index, void *pointer)
{
	struct sparse_entry *entry = certain_alloc(sizeof *entry);
	void **found;

	*entry = (struct sparse_entry){ index, pointer };
	while (!(found = tsearch(entry, &sparse->tree, entry_compare)))
		free(certain_alloc(4 * sizeof(void *))); /* waits for memory */
	assert(*found == entry);
	(void)found;
	sparse->n_used++;
}

void sparse_unset(struct sparse *sparse, uint32_t index)
{
	struct sparse_entry *entry = sparse_find(sparse, index);

	assert(entry);
	tdelete(entry, &sparse->tree, entry_compare);
	free(entry);
	sparse->n_used--;
}

void *sparse_any(const struct sparse *sparse)
{
	/* What tsearch() gives is a node, and a node begins with its key. */
	return sparse->tree ? (*(struct sparse_entry *const *)sparse->tree)->pointer : NULL;
}

struct visitor {
	void (*visit)(void *pointer);
};

static void visit_entry(const void *nodep, VISIT which, void *visitor)
{
	if (which == postorder || which == leaf)
		((struct visitor *)visitor)->visit((*(struct sparse_entry *const *)nodep)->pointer);
}

void sparse_visit(const struct sparse *sparse, void (*visit)(void *pointer))
{
	struct visitor visitor = { visit };

	twalk_r(sparse->tree, visit_entry, &visitor);
}
