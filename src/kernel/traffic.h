/* SPDX-License-Identifier: MIT */
#pragma once

/* Traffic: what a thread, or a task, has sent and received by mach_msg() so far. Only the thread itself writes its own, on
 * its own cache line, so counting costs no more than four additions; anybody may read it. A task's is that of its
 * threads, and of those that have left it. */

#include <stdatomic.h>
#include <stdint.h>

struct traffic {
	_Atomic uint64_t n_sent, sent_bytes, n_received, received_bytes;
};

static inline void traffic_add(_Atomic uint64_t *counter, uint64_t n)
{
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n, memory_order_relaxed);
}

static inline void traffic_note_sent(struct traffic *t, uint64_t bytes)
{
	traffic_add(&t->n_sent, 1);
	traffic_add(&t->sent_bytes, bytes);
}

static inline void traffic_note_received(struct traffic *t, uint64_t bytes)
{
	traffic_add(&t->n_received, 1);
	traffic_add(&t->received_bytes, bytes);
}

/* @sum has one writer, too. */
static inline void traffic_sum(struct traffic *sum, const struct traffic *t)
{
	traffic_add(&sum->n_sent, atomic_load_explicit(&t->n_sent, memory_order_relaxed));
	traffic_add(&sum->sent_bytes, atomic_load_explicit(&t->sent_bytes, memory_order_relaxed));
	traffic_add(&sum->n_received, atomic_load_explicit(&t->n_received, memory_order_relaxed));
	traffic_add(&sum->received_bytes, atomic_load_explicit(&t->received_bytes, memory_order_relaxed));
}
