/* SPDX-License-Identifier: MIT */
#include "inspect/demux.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "inspect/look.h"
#include "inspect/trace.h"
#include "inspect_rpc_server.h"
#include "kernel/task.h"
#include "link/peers.h"

/* As <portunus/inspect.defs> has them. */
_Static_assert(sizeof(portunus_inspect_node_t) == 16 * 4, "words of a node");
_Static_assert(sizeof(portunus_inspect_task_t) == 12 * 4, "words of a task");
_Static_assert(sizeof(portunus_inspect_totals_t) == 14 * 4, "words of totals");
_Static_assert(sizeof(portunus_inspect_name_t) == 28 * 4, "words of a name");
_Static_assert(sizeof(portunus_inspect_holder_t) == 8 * 4, "words of a holder");
_Static_assert(sizeof(portunus_inspect_link_t) == 10 * 4, "words of a link");

/* Of each routine the first argument is the node, and there is only one. Records are written where no pointer of their type may
 * point to, so they are copied there. */

/* Pages that are in memory, from a file that the host makes while it is read. */
static uint64_t memory_in_use(void)
{
	char text[128];
	unsigned long total, resident = 0;
	int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);

	if (fd >= 0)
		close(fd);
	if (n <= 0)
		return 0;
	text[n] = 0;
	return sscanf(text, "%lu %lu", &total, &resident) == 2 ? (uint64_t)resident * (uint64_t)getpagesize() : 0;
}

kern_return_t serve_portunus_inspect_node(mach_port_t self, portunus_inspect_node_t *info)
{
	portunus_inspect_node_t record = {
		.node = peers_own_id(),
		.version = PORTUNUS_INSPECT_VERSION,
		.pid = (uint32_t)getpid(),
		.uid = geteuid(),
		.n_links = peers_count(),
		.memory = memory_in_use(),
	};

	(void)self;
	snprintf(record.program, sizeof record.program, "%s", program_invocation_short_name);
	memcpy(info, &record, sizeof record);
	return KERN_SUCCESS;
}

kern_return_t serve_portunus_inspect_tasks(mach_port_t self, uint64_t after, portunus_inspect_tasks_t tasks,
					   mach_msg_type_number_t *n)
{
	struct task *task;

	(void)self;
	for (*n = 0; *n < PORTUNUS_INSPECT_PAGE && (task = task_next(after)); ++*n) {
		after = task->id;
		look_at_task(task, &tasks[*n]);
		task_unref(task);
	}
	return KERN_SUCCESS;
}

kern_return_t serve_portunus_inspect_links(mach_port_t self, uint64_t after, portunus_inspect_links_t links,
					   mach_msg_type_number_t *n)
{
	struct peer peers[PORTUNUS_INSPECT_PAGE];

	(void)self;
	*n = peers_list(after, peers, PORTUNUS_INSPECT_PAGE);
	for (unsigned i = 0; i < *n; i++)
		links[i] = (portunus_inspect_link_t){
			.node = peers[i].id,
			.pid = (uint32_t)peers[i].who.pid,
			.uid = peers[i].who.uid,
			.gid = peers[i].who.gid,
			.role = peers[i].role,
			.n_exports = peers[i].n_exports,
			.n_proxies = peers[i].n_proxies,
			.backlog = peers[i].backlog,
		};
	return KERN_SUCCESS;
}

kern_return_t serve_portunus_inspect_names(mach_port_t self, uint64_t id, uint64_t *cursor,
					   portunus_inspect_names_t names, mach_msg_type_number_t *n)
{
	struct task *task = task_find(id);

	(void)self;
	if (!task)
		return KERN_INVALID_TASK;
	*n = look_at_names(task, cursor, names, PORTUNUS_INSPECT_PAGE);
	task_unref(task);
	return KERN_SUCCESS;
}

kern_return_t serve_portunus_inspect_holders(mach_port_t self, uint64_t id, uint64_t *cursor, uint32_t *skip,
					     portunus_inspect_holders_t holders, mach_msg_type_number_t *n)
{
	struct task *task = task_find(id);

	(void)self;
	if (!task)
		return KERN_INVALID_TASK;
	*n = look_at_holders(task, cursor, skip, holders, 2 * PORTUNUS_INSPECT_PAGE);
	task_unref(task);
	return KERN_SUCCESS;
}

kern_return_t serve_portunus_inspect_totals(mach_port_t self, uint64_t id, uint64_t *cursor,
					    portunus_inspect_totals_t *totals)
{
	struct task *task = task_find(id);
	portunus_inspect_totals_t sum = { 0 };

	(void)self;
	if (!task)
		return KERN_INVALID_TASK;
	look_at_totals(task, cursor, &sum);
	task_unref(task);
	memcpy(totals, &sum, sizeof sum);
	return KERN_SUCCESS;
}

kern_return_t serve_portunus_inspect_trace(mach_port_t self, const_portunus_inspect_path_t path, uint32_t tracer)
{
	(void)self;
	if (*path)
		return trace_begin(path, (pid_t)tracer, geteuid());
	trace_end();
	return KERN_SUCCESS;
}

bool inspect_demux(mach_msg_header_t *request, mig_reply_header_t *reply)
{
	return portunus_inspect_server(request, &reply->Head);
}
