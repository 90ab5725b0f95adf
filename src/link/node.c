/* SPDX-License-Identifier: MIT */
#include "link/node.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#include "kernel/remote.h"
#include "kernel/right.h"
#include "kernel/thread.h"
#include "link/broker.h"
#include "link/export.h"
#include "link/heir.h"
#include "link/link.h"
#include "link/migrate.h"
#include "link/outbound.h"
#include "link/poller.h"
#include "link/proxy.h"
#include "link/table.h"

struct node node = { .lock = LOCK_INIT(RANK_LINK) };

void node_note(struct noted *noted)
{
	struct noted *next;

	if (atomic_exchange(&noted->is_listed, true))
		return;
	next = atomic_load(&node.noted);
	do
		noted->next = next;
	while (!atomic_compare_exchange_weak(&node.noted, &next, noted));
	atomic_store_explicit(&remote.is_unsettled, true,
			      memory_order_release); /* this thread's own call will settle it */
}

/* Only who holds node.lock takes notes off the stack, so the one below the first stays there. is_unsettled is false first, so
 * that it is true in the end when something is noted meanwhile. */
void node_unnote_locked(struct noted *noted)
{
	struct noted *first = noted;

	lock_assert_held(&node.lock);
	if (!noted->is_listed || atomic_load(&node.noted) != noted)
		return;
	atomic_store(&remote.is_unsettled, false);
	if (atomic_compare_exchange_strong(&node.noted, &first, noted->next))
		atomic_store_explicit(&noted->is_listed, false, memory_order_release);
	if (atomic_load(&node.noted))
		atomic_store(&remote.is_unsettled, true);
}

struct unsent {
	struct list link;
	struct right right;
};

void node_drop_later_locked(const struct right *right)
{
	struct unsent *unsent = certain_alloc(sizeof *unsent);

	unsent->right = *right;
	list_init(&unsent->link);
	list_append(&node.unsent, &unsent->link);
	atomic_store(&remote.is_unsettled, true);
}

void node_go_on_later_locked(void)
{
	lock_assert_held(&node.lock);
	if (list_is_empty(&node.kept))
		return;
	node.has_to_go_on = true;
	atomic_store(&remote.is_unsettled, true);
}

static void drop_unsent(struct list *unsent)
{
	list_for_each(x, unsent, struct unsent, link) {
		list_unlink(&x->link);
		right_destroy(&x->right);
		free(x);
	}
}

/* True: messages that were kept are to go on. */
static bool settle_noted(void)
{
	struct noted *noted, *next;
	struct list unsent;
	bool has_to_go_on;

	lock_take(&node.lock);
	atomic_store(&remote.is_unsettled, false);
	for (noted = atomic_exchange(&node.noted, NULL); noted; noted = next) {
		next = noted->next;
		if (noted->kind == NOTED_EXPORT)
			export_settle_locked(container_of(noted, struct export, noted));
		else
			proxy_settle_locked(container_of(noted, struct proxy, noted));
	}
	list_init(&unsent);
	list_splice(&unsent, &node.unsent);
	has_to_go_on = node.has_to_go_on;
	node.has_to_go_on = false;
	lock_drop(&node.lock);
	drop_unsent(&unsent);
	return has_to_go_on;
}

static void node_settle(void)
{
	while (settle_noted())
		migrate_go_on();
}

static const struct remote_ops node_ops = {
	.transmit = outbound_transmit,
	.port_died = export_tell_death,
	.note_count_locked = proxy_note_count_locked,
	.note_received_locked = export_note_received_locked,
	.note_limit_locked = export_note_limit_locked,
	.ask_for_room = proxy_ask_for_room,
	.look_for_room = proxy_look_for_room,
	.request_changed = heir_tell,
	.is_file = proxy_is_file,
	.cpu = proxy_cpu,
	.settle = node_settle,
	.look = poller_look,
	.wait = poller_wait,
	.kick = poller_kick,
	.forget = node_forget,
};

static void node_make_id(void)
{
	uint32_t number = 0;

	(void)!getrandom(&number, sizeof number, 0);
	node.id = (uint64_t)(uint32_t)getpid() << 32 | number;
}

bool node_init(uint32_t number)
{
	static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
	bool ok = true;

	pthread_mutex_lock(&mutex);
	if (!remote_is_linked()) {
		list_init(&node.all_links);
		list_init(&node.late);
		list_init(&node.parked);
		list_init(&node.deposits);
		list_init(&node.queries);
		list_init(&node.moves);
		list_init(&node.settlers);
		list_init(&node.relocations);
		list_init(&node.flushes);
		list_init(&node.kept);
		list_init(&node.unsent);
		node_make_id();
		if (number)
			node.id = (uint64_t)(uint32_t)getpid() << 32 | number;
		remote.ops = node_ops;
		remote.unfilled_from = BULK_LENT_FROM;
		ok = poller_init();
		if (ok) {
			atomic_store(&remote.is_linked, true);
			thread_nudge_all();
			poller_attend_always();
		}
	}
	pthread_mutex_unlock(&mutex);
	return ok;
}

/* Sockets and doorbells are closed, so that the parent's death is seen by its peers although the child lives. Rings are
 * not in the child at all (MADV_DONTFORK). All else is the parent's: left alone. */
void node_forget(void)
{
	static struct node forgotten; /* reachable, for leak checkers */

	if (!remote_is_linked())
		return;
	list_for_each(link, &node.all_links, struct link, node_link) {
		close(link->socket);
		close(link->doorbell);
		if (link->doorbell_end >= 0)
			close(link->doorbell_end);
		if (link->peer_doorbell >= 0)
			close(link->peer_doorbell);
	}
	poller_forget();
	link_forget_broker();
	link_forget_backlog();
	forgotten = node;
	(void)forgotten;
	node = (struct node){ .lock = LOCK_INIT(RANK_LINK) };
	remote.is_linked = false;
	remote.is_unsettled = false;
}
