/* SPDX-License-Identifier: MIT */
#ifndef COMMAND_RELATIONS_H
#define COMMAND_RELATIONS_H

/* Who holds rights to whom: the names of all processes put together. A port is known by the process that receives from it, and
 * what others hold of it is found by the number under which each of them knows it. */

#include <stdbool.h>
#include <stddef.h>

#include "view.h"

struct box {
	const struct node_view *node; /* NULL: a process that cannot be looked into, and this is its node id */
	uint64_t id, task;
	unsigned int n_private; /* ports that nobody else knows, with nothing in their queues */
	unsigned int n_relations;
};

struct circle {
	uint64_t home, port;
	size_t receiver; /* index of a box */
	uint32_t n_queued, qlimit, n_blocked;
	const char *name; /* registered; NULL: none */
	bool is_shown;
};

enum right { RIGHT_SEND, RIGHT_ONCE };

struct arrow {
	size_t from, to; /* a box; a circle */
	enum right kind;
};

struct relations {
	struct box *boxes;
	struct circle *circles;
	struct arrow *arrows;
	size_t n_boxes, n_circles, n_arrows;
};

/* Of all nodes that can be read, but for this process; the broker and the ports of kernel objects only if @all. The view and
 * the names are borrowed by what is returned. */
struct relations *relations_read(struct view *view, const struct name_view *names, size_t n_names, bool all);

#endif
