/* SPDX-License-Identifier: MIT */
#include "link/table.h"

#include <assert.h>
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
