/* SPDX-License-Identifier: MIT */
/* Until there are links: a node is connected to the broker while it lives, and no message passes. */
#include "link/broker.h"

#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/broker.h"

#define MAX_NODES 256

static int connection = -1;
static void (*count_changed)(unsigned n_nodes);
static struct link_limits limits;

mach_port_t link_broker_port(void)
{
	static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

	pthread_mutex_lock(&mutex);
	if (connection < 0)
		connection = broker_connect();
	pthread_mutex_unlock(&mutex);
	return MACH_PORT_NULL;
}

static unsigned accept_node(struct pollfd *nodes, unsigned n)
{
	int fd = accept4(nodes[0].fd, NULL, NULL, SOCK_CLOEXEC);

	if (fd >= 0 && (n == MAX_NODES || n > limits.max_nodes))
		close(fd);
	else if (fd >= 0)
		nodes[n++] = (struct pollfd){ .fd = fd, .events = POLLRDHUP };
	return n;
}

static void *watch_nodes(void *listen_fd)
{
	struct pollfd nodes[MAX_NODES] = { { .fd = (int)(intptr_t)listen_fd, .events = POLLIN } };
	unsigned n = 1, before;

	for (;;) {
		poll(nodes, n, -1);
		before = n;
		for (unsigned i = n - 1; i > 0; i--)
			if (nodes[i].revents) {
				close(nodes[i].fd);
				nodes[i] = nodes[--n];
			}
		if (nodes[0].revents)
			n = accept_node(nodes, n);
		if (n != before && count_changed)
			count_changed(n - 1);
	}
	return NULL;
}

kern_return_t link_serve(int listen_fd, mach_port_t service, const struct link_limits *wanted)
{
	pthread_t thread;

	(void)service;
	limits = *wanted;
	if (pthread_create(&thread, NULL, watch_nodes, (void *)(intptr_t)listen_fd))
		return KERN_RESOURCE_SHORTAGE;
	pthread_detach(thread);
	return KERN_SUCCESS;
}

void link_on_count(void (*changed)(unsigned n_nodes))
{
	count_changed = changed;
}
