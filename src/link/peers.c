/* SPDX-License-Identifier: MIT */
#include "link/peers.h"

#include <search.h>
#include <unistd.h>

#include "kernel/kernel.h"
#include "kernel/object.h"
#include "kernel/port.h"
#include "kernel/remote.h"
#include "kernel/space.h"
#include "kernel/task.h"
#include "kernel/thread.h"
#include "link/frame.h"
#include "link/link.h"
#include "link/node.h"
#include "link/proxy.h"

uint64_t peers_own_id(void)
{
	return remote_is_linked() ? node.id : 0;
}

unsigned peers_count(void)
{
	unsigned n;

	lock_take(&node.lock);
	n = node.n_links;
	lock_drop(&node.lock);
	return n;
}

struct listing {
	uint64_t after;
	struct peer *peers;
	unsigned n, max;
};

static void list_link(const void *nodep, VISIT which, void *arg)
{
	const struct link *link = *(struct link *const *)nodep;
	struct listing *listing = arg;

	if ((which != postorder && which != leaf) || link->peer_id <= listing->after || listing->n == listing->max)
		return;
	listing->peers[listing->n++] = (struct peer){
		.id = link->peer_id,
		.who = link->peer,
		.role = link->role,
		.n_exports = link->exports.n_used + link->adopted_exports.n_used,
		.n_proxies = link->proxies.n_used + link->adopted_proxies.n_used,
		.backlog = link->backlog_bytes,
	};
}

unsigned peers_list(uint64_t after, struct peer *peers, unsigned max)
{
	struct listing listing = { .after = after, .peers = peers, .max = max };

	lock_take(&node.lock);
	twalk_r(node.links, list_link, &listing);
	lock_drop(&node.lock);
	return listing.n;
}

/* A first right from nowhere: the peer knows that we may have it (INDEX_OF_NODE). */
static kern_return_t take_node_right_locked(struct link *link, struct right *right)
{
	struct proxy *x;

	if (!link)
		return KERN_INVALID_ARGUMENT;
	if (geteuid() != 0 && geteuid() != link->peer.uid)
		return KERN_NO_ACCESS;
	x = proxy_of_locked(link, INDEX_OF_NODE, UINT16_MAX);
	x->is_object = true;
	proxy_mint_locked(x, RIGHT_SEND);
	*right = (struct right){ x->port, RIGHT_SEND };
	return KERN_SUCCESS;
}

kern_return_t peers_node_right(uint64_t id, struct right *right)
{
	kern_return_t r;

	if (id == peers_own_id()) {
		*right = object_make_send(kernel_node());
		return KERN_SUCCESS;
	}
	lock_take(&node.lock);
	r = take_node_right_locked(link_find_locked(id), right);
	lock_drop(&node.lock);
	return r;
}

bool peers_home_of(mach_port_name_t number, uint64_t *id, uint32_t *index, uint64_t *port)
{
	struct space *space = thread_self()->task->space;
	struct name *name;
	bool is_there;

	lock_take(&space->lock);
	name = space_lookup_locked(space, number);
	is_there = name && (name->type & MACH_PORT_TYPE_SEND_RECEIVE);
	if (is_there) {
		*id = node.id;
		*index = INDEX_NONE;
		*port = (uintptr_t)name->port;
		lock_take(&node.lock);
		if (port_is_proxy(name->port)) {
			*id = name->port->proxy->link->peer_id;
			*index = name->port->proxy->index;
		}
		lock_drop(&node.lock);
	}
	lock_drop(&space->lock);
	return is_there;
}
