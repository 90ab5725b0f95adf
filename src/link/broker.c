/* SPDX-License-Identifier: MIT */
#include "link/broker.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kernel/name.h"
#include "kernel/port.h"
#include "kernel/right.h"
#include "kernel/task.h"
#include "kernel/thread.h"
#include "link/export.h"
#include "link/link.h"
#include "link/poller.h"
#include "link/proxy.h"
#include "link/rendezvous.h"

enum {
	SERVICE_INDEX = 0, /* the broker's export that is its service */
	LINKS_OF_PROCESS = 16,
	ATTEMPTS = 5, /* a broker that is just leaving may take a connection and then be gone */
};

/* ---- the node's end ----------------------------------------------------------------------------------------------- */

static struct {
	pthread_mutex_t mutex; /* guards the rest */
	struct link *link;     /* one reference; NULL: none yet */
	struct right service;  /* naked, so that the proxy stays */
	unsigned number;       /* of links there have been */
	_Atomic(void (*)(void)) lost;
} broker = { .mutex = PTHREAD_MUTEX_INITIALIZER };

void link_forget_broker(void)
{
	pthread_mutex_init(&broker.mutex, NULL);
	broker.link = NULL;
	broker.service.port = NULL;
}

static bool is_greeted(void *what)
{
	const struct link *link = what;

	return link->state != LINK_GREETING;
}

static void broker_let_go(void)
{
	if (!broker.link)
		return;
	lock_take(&node.lock);
	link_unref_locked(broker.link);
	lock_drop(&node.lock);
	broker.link = NULL;
	right_destroy(&broker.service);
}

static bool broker_try(bool may_start)
{
	int fd = broker_connect(may_start);
	struct link *link;

	if (fd < 0)
		return false;
	if (!node_init(0) || fcntl(fd, F_SETFL, O_NONBLOCK) < 0) {
		close(fd);
		return false;
	}
	link = link_new(fd, LINK_TO_BROKER, 0);
	if (!link)
		return false;
	lock_take(&node.lock);
	link_ref_locked(link);
	proxy_receive_unit_locked(proxy_of_locked(link, SERVICE_INDEX, UINT16_MAX), RIGHT_SEND, &broker.service);
	lock_drop(&node.lock);
	broker.link = link;
	(void)poller_begin(link, is_greeted, POLLER_PATIENCE_MS);
	if (link->state == LINK_LIVE) {
		broker.number++;
		return true;
	}
	broker_let_go();
	errno = ECONNREFUSED;
	return false;
}

static bool broker_find(bool may_start)
{
	if (broker.link && broker.link->state == LINK_LIVE)
		return true;
	broker_let_go();
	for (int i = 0; i < ATTEMPTS; i++)
		if (broker_try(may_start) || errno != ECONNREFUSED)
			break;
	return broker.link != NULL;
}

bool link_broker_right(struct right *right, bool may_start, unsigned *number)
{
	bool has_broker;

	(void)thread_self(); /* whoever started this process is joined first */
	pthread_mutex_lock(&broker.mutex);
	has_broker = broker_find(may_start);
	if (has_broker) {
		*right = broker.service;
		*number = broker.number;
		lock_take(&right->port->lock);
		port_copy_send_locked(right->port);
		lock_drop(&right->port->lock);
	}
	pthread_mutex_unlock(&broker.mutex);
	return has_broker;
}

bool link_is_broker(const struct port *service)
{
	bool is_so;

	pthread_mutex_lock(&broker.mutex);
	is_so = broker.link && broker.service.port == service;
	pthread_mutex_unlock(&broker.mutex);
	return is_so;
}

bool link_has_broker(void)
{
	bool is_live;

	pthread_mutex_lock(&broker.mutex);
	is_live = broker.link && broker.link->state == LINK_LIVE;
	pthread_mutex_unlock(&broker.mutex);
	return is_live;
}

void link_on_broker_end(void (*lost)(void))
{
	atomic_store(&broker.lost, lost);
}

/* ---- the broker's end --------------------------------------------------------------------------------------------- */

static struct {
	struct port *service; /* one reference */
	struct link_limits limits;
	unsigned n_nodes, n_told;
	void (*changed)(unsigned n_nodes);
} server;

/* A process needs one link, and one more while it notices that the first has ended. Those that never greet count, too. */
static bool has_enough(int fd)
{
	struct ucred peer;
	socklen_t size = sizeof peer;
	unsigned n = 0;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
		return true;
	lock_take(&node.lock);
	list_for_each(link, &node.all_links, struct link, node_link)
		n += link->role == LINK_TO_CLIENT && link->peer.pid == peer.pid;
	lock_drop(&node.lock);
	return n >= LINKS_OF_PROCESS;
}

static void note_process(struct link *link)
{
	struct ucred peer;
	socklen_t size = sizeof peer;

	if (getsockopt(link->socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0)
		link->peer = (struct sender){ peer.pid, peer.uid, peer.gid };
}

/* A node that has connected: our first export to it is the service. */
static void server_accept(int fd)
{
	struct link *link;
	struct export *x;

	if (server.n_nodes >= server.limits.max_nodes || has_enough(fd) || fcntl(fd, F_SETFL, O_NONBLOCK) < 0) {
		close(fd);
		return;
	}
	link = link_new(fd, LINK_TO_CLIENT, 0);
	if (!link)
		return;
	lock_take(&node.lock);
	server.n_nodes++;
	note_process(link);
	lock_take(&server.service->lock);
	port_make_send_locked(server.service);
	lock_drop(&server.service->lock);
	x = export_new_locked(link, server.service);
	export_grant_locked(x, &(struct right){ server.service, RIGHT_SEND });
	export_tell_limit_locked(x);
	lock_drop(&node.lock);
	(void)link_begin(link);
}

static void server_tell(void)
{
	unsigned n = server.n_nodes;

	if (n == server.n_told || !server.changed)
		return;
	server.n_told = n;
	server.changed(n);
}

/* The poller's: all that have connected since. */
static void server_accept_all(int listen_fd)
{
	int fd;

	while ((fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC)) >= 0)
		server_accept(fd);
	server_tell();
}

void link_note_end(const struct link *link)
{
	void (*lost)(void) = atomic_load(&broker.lost);

	if (link->role == LINK_TO_BROKER && lost)
		lost();
	if (link->role != LINK_TO_CLIENT)
		return;
	server.n_nodes--;
	server_tell();
}

static kern_return_t server_hold_service(mach_port_name_t name)
{
	struct port *port;

	if (name_lock_receive(thread_self()->task->space, name, &port))
		return KERN_INVALID_RIGHT;
	port_ref_locked(port);
	lock_drop(&port->lock);
	server.service = port;
	return KERN_SUCCESS;
}

kern_return_t link_serve(int listen_fd, mach_port_t service, const struct link_limits *wanted)
{
	kern_return_t r = server_hold_service(service);

	if (r)
		return r;
	server.limits = *wanted;
	limits.links = wanted->max_links;
	limits.exports = wanted->max_exports < LINK_MAX_EXPORTS ? wanted->max_exports : LINK_MAX_EXPORTS;
	if (node_init(0) && fcntl(listen_fd, F_SETFL, O_NONBLOCK) == 0 && poller_listen(listen_fd, server_accept_all))
		return KERN_SUCCESS;
	port_unref(server.service);
	server.service = NULL;
	return KERN_RESOURCE_SHORTAGE;
}

void link_on_count(void (*changed)(unsigned n_nodes))
{
	server.changed = changed;
}
