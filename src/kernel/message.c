/* SPDX-License-Identifier: MIT */
#include "kernel/message.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kernel/accept.h"
#include "kernel/charge.h"
#include "kernel/count.h"
#include "kernel/port.h"
#include "kernel/remote.h"
#include "kernel/thread.h"
#include "platform/fd.h"
#include "platform/lock.h"

/* Under the address sanitizer (as gcc tells of it, and as clang does) every message is a malloc of its own, so that use after free
 * is seen. */
#if defined(__has_feature)
#define IS_CHECKED __has_feature(address_sanitizer)
#elif defined(__SANITIZE_ADDRESS__)
#define IS_CHECKED 1
#else
#define IS_CHECKED 0
#endif
#if IS_CHECKED
#define CACHE_MAX 0
#else
#define CACHE_MAX 32
#endif

#define RESERVE_MIN 16
#define RESERVE_MAX 64

/* Small messages for notifications that must not fail: some from the start, more from messages that are freed. */
static struct {
	struct lock lock;
	struct list messages;
	atomic_uint n;
} reserve = { LOCK_INIT(RANK_REGISTRY), { &reserve.messages, &reserve.messages }, 0 };

static struct message *message_from_cache(void)
{
	struct thread *thread = thread_self();
	struct message *m;

	if (list_is_empty(&thread->message_cache))
		return NULL;
	m = list_first(&thread->message_cache, struct message, port_link);
	list_unlink(&m->port_link);
	thread->n_cached--;
	return m;
}

static struct message *message_alloc(uint32_t capacity)
{
	struct message *m = NULL;

	if (capacity <= MESSAGE_SMALL_IMAGE) {
		capacity = MESSAGE_SMALL_IMAGE;
		m = message_from_cache();
	}
	if (!m)
		m = malloc(offsetof(struct message, image) + capacity);
	if (m)
		m->capacity = capacity;
	return m;
}

static void message_init(struct message *m, uint32_t size)
{
	m->size = size;
	list_init(&m->port_link);
	list_init(&m->set_link);
	m->dest = (struct right){ NULL, RIGHT_NONE }; /* each for itself: a copy of what was just stored would stall */
	m->reply = (struct right){ NULL, RIGHT_NONE };
	m->accept = NULL;
	m->origin = NULL;
	m->charge = NULL;
	m->sent_by = SENDER_SELF;
	m->fd = -1;
	m->n_items = 0;
	m->items_capacity = MESSAGE_INLINE_ITEMS;
	m->items = m->inline_items;
	m->is_circular = m->is_complex = m->has_payload = false;
	m->is_relayed = m->is_request = m->is_unfilled = false;
	count_add(messages, 1);
}

struct message *message_new(uint32_t size)
{
	struct message *m = message_alloc(size);

	if (m)
		message_init(m, size);
	return m;
}

static struct message *reserve_take(void)
{
	struct message *m = NULL;

	lock_take(&reserve.lock);
	if (reserve.n) {
		reserve.n--;
		m = list_first(&reserve.messages, struct message, port_link);
		list_unlink(&m->port_link);
	}
	lock_drop(&reserve.lock);
	return m;
}

/* Keeps a small message back. False: there are enough. */
static bool reserve_put(struct message *m)
{
	bool is_kept = false;

	if (reserve.n >= (CACHE_MAX ? RESERVE_MAX : RESERVE_MIN))
		return false;
	lock_take(&reserve.lock);
	if (reserve.n < RESERVE_MAX) {
		reserve.n++;
		list_append(&reserve.messages, &m->port_link);
		is_kept = true;
	}
	lock_drop(&reserve.lock);
	return is_kept;
}

bool message_init_reserve(void)
{
	while (reserve.n < RESERVE_MIN) {
		struct message *m = malloc(offsetof(struct message, image) + MESSAGE_SMALL_IMAGE);

		if (!m)
			return false;
		m->capacity = MESSAGE_SMALL_IMAGE;
		list_append(&reserve.messages, &m->port_link);
		reserve.n++;
	}
	return true;
}

void message_forget_reserve(void)
{
	lock_init(&reserve.lock, RANK_REGISTRY);
	list_init(&reserve.messages);
	reserve.n = 0;
}

struct message *message_new_certain(uint32_t size)
{
	static const struct timespec pause = { .tv_nsec = 1000000 };
	struct message *m;

	assert(size <= MESSAGE_SMALL_IMAGE);
	while (!(m = message_new(size))) {
		m = reserve_take();
		if (m) {
			message_init(m, size);
			break;
		}
		nanosleep(&pause, NULL);
	}
	return m;
}

/* What few messages have; out of line, so that the others do not pay for it in registers. */
static __attribute__((noinline, cold)) void message_free_extras(struct message *m)
{
	if (m->items != m->inline_items)
		free(m->items);
	if (m->fd >= 0)
		fd_close(m->fd);
	if (m->charge)
		charge_remove(m->charge, m->weight);
}

void message_free(struct message *m)
{
	struct thread *thread;

	assert(!list_is_linked(&m->port_link) && !list_is_linked(&m->set_link) && !m->accept);
	count_add(messages, -1);
	if (__builtin_expect(m->items != m->inline_items || m->fd >= 0 || m->charge, 0))
		message_free_extras(m);
	if (m->capacity == MESSAGE_SMALL_IMAGE) {
		thread = thread_self();
		if (thread->n_cached + 1 <= CACHE_MAX) {
			list_prepend(&thread->message_cache, &m->port_link);
			thread->n_cached++;
			return;
		}
		if (reserve_put(m))
			return;
	}
	free(m);
}

void message_cache_drain(struct thread *thread)
{
	list_for_each(m, &thread->message_cache, struct message, port_link) {
		list_unlink(&m->port_link);
		free(m);
	}
	thread->n_cached = 0;
}

struct item *message_add_item(struct message *m)
{
	struct item *item;

	if (m->n_items == m->items_capacity) {
		uint32_t capacity = m->items_capacity * 2;
		bool is_inline = m->items == m->inline_items;
		struct item *items = realloc(is_inline ? NULL : m->items, capacity * sizeof *items);

		if (!items)
			return NULL;
		if (is_inline)
			memcpy(items, m->inline_items, sizeof m->inline_items);
		m->items = items;
		m->items_capacity = capacity;
	}
	item = &m->items[m->n_items++];
	*item = (struct item){ .kind = ITEM_MEMORY };
	return item;
}

bool item_alloc_ports(struct item *item, uint32_t n)
{
	item->n_rights = n;
	if (n <= 1)
		return true;
	item->ports = calloc(n, sizeof *item->ports);
	if (!item->ports)
		item->n_rights = 0;
	return item->ports != NULL;
}

struct port **item_ports(struct item *item)
{
	return item->n_rights == 1 ? &item->port : item->ports;
}

bool message_fill(struct message *m)
{
	bool is_whole = true;

	for (uint32_t i = 0; i < m->n_items; i++) {
		struct item *item = &m->items[i];

		if (item->kind != ITEM_MEMORY || !item->source)
			continue;
		is_whole &= memory_read(item->memory.address, item->source, item->memory.size);
		item->source = NULL;
	}
	m->is_unfilled = false;
	return is_whole;
}

static void item_clear(struct item *item)
{
	for (uint32_t i = 0; i < item->n_rights; i++) {
		struct right right = { item_ports(item)[i], item->right };

		right_destroy(&right);
	}
	if (item->n_rights > 1)
		free(item->ports);
	if (item->kind != ITEM_INLINE_RIGHTS)
		memory_drop(&item->memory);
}

/* What another node sent and nobody received. */
void message_leave_origin(struct message *m)
{
	lock_take(&m->dest.port->lock);
	remote.ops.note_received_locked(m->origin);
	lock_drop(&m->dest.port->lock);
	m->origin = NULL;
}

static void message_clear(struct message *m)
{
	if (m->origin)
		message_leave_origin(m);
	if (m->accept)
		accept_request_fire(m->accept);
	m->accept = NULL;
	right_destroy(&m->dest);
	right_destroy(&m->reply);
	for (uint32_t i = 0; i < m->n_items; i++)
		item_clear(&m->items[i]);
	m->n_items = 0;
}

void message_destroy(struct message *m)
{
	struct list *graves = &thread_self()->graves;
	bool is_nested = !list_is_empty(graves);

	lock_assert_none_held();
	list_append(graves, &m->port_link);
	if (is_nested)
		return;
	while (!list_is_empty(graves)) {
		m = list_first(graves, struct message, port_link);
		message_clear(m);
		list_unlink(&m->port_link);
		message_free(m);
	}
}
