/* SPDX-License-Identifier: MIT */
#pragma once

/* Charge: how much memory messages from one place take, from when they have come until they are freed. Lives as long as its
 * owner or one of the messages. */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct charge {
	atomic_size_t bytes; /* 1 of them stands for the owner */
	atomic_size_t mark;  /* who waits until there are fewer; 0: nobody */
};

struct charge *charge_new(void); /* NULL: no memory */
/* The owner's. */
void charge_leave(struct charge *charge);
void charge_add(struct charge *charge, size_t n);
/* A message's. When there are fewer than the mark whoever serves the links is woken. */
void charge_remove(struct charge *charge, size_t n);

/* Whether there are as many as @limit; then the mark is set. */
bool charge_is_over(struct charge *charge, size_t limit);
