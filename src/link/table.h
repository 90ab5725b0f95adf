/* SPDX-License-Identifier: MIT */
#pragma once

/* Table: pointers by small indices, which are handed out again, the last freed first. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct table {
	void **slots;	  /* in use: the pointer; free: the next free index, shifted and marked */
	uint32_t n_slots; /* made so far */
	uint32_t capacity;
	uint32_t first_free; /* n_slots: none */
	uint32_t n_used;
};

/* The pointer at an index; NULL: none. */
void *table_get(const struct table *table, uint32_t index);
/* Puts a pointer (not NULL) at a free index of the table's choice. */
uint32_t table_add(struct table *table, void *pointer);
/* The index is free. */
void table_remove(struct table *table, uint32_t index);
/* Puts a pointer at an index of the caller's choice, and takes it out again, in tables that the two above are not used
 * on. */
void table_set(struct table *table, uint32_t index, void *pointer);
void table_unset(struct table *table, uint32_t index);
void table_deinit(struct table *table);

/* The same for indices from a large range: a tsearch() tree. NULL: empty. */
struct sparse {
	void *tree;
	uint32_t n_used;
};

void *sparse_get(const struct sparse *sparse, uint32_t index);
void sparse_set(struct sparse *sparse, uint32_t index, void *pointer);
void sparse_unset(struct sparse *sparse, uint32_t index);
/* Any pointer that is in it; NULL: none. */
void *sparse_any(const struct sparse *sparse);
/* Calls @visit with each, which changes nothing of it. */
void sparse_visit(const struct sparse *sparse, void (*visit)(void *pointer));

/* malloc() that waits for memory where an operation must not fail any more. */
void *certain_alloc(size_t bytes);
void *certain_realloc(void *pointer, size_t bytes);
