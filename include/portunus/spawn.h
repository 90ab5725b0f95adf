/* SPDX-License-Identifier: MIT */
#ifndef PORTUNUS_SPAWN_H
#define PORTUNUS_SPAWN_H

#include <spawn.h>
#include <sys/types.h>

#include <mach/mach_types.h>
#include <mach/message.h>
#include <portunus/export.h>

/* Programs that begin life with rights. */

PORTUNUS_BEGIN_DECLS

#define PORTUNUS_SPAWN_PORTS_MAX 64

/* What to start, and what to give it. Whatever is not set is zero.
 *   path          the program's file; one without a slash is looked for in PATH
 *   argv, envp    as for execve, each ended by NULL; a null argv is { path, NULL }, a null envp the caller's environment
 *   ports, dispositions, n_ports    rights of the caller, taken as in a message with these dispositions
 *                 (MACH_MSG_TYPE_COPY_SEND, MAKE_SEND or MOVE_SEND); a null dispositions means COPY_SEND for all
 *   file_actions, attributes   as for posix_spawn; may be null. They must leave the descriptor alone that PORTUNUS_PARENT
 *                 names in the child's environment
 *   flags         0 */
struct portunus_spawn {
	const char *path;
	char *const *argv, *const *envp;
	const mach_port_t *ports;
	const mach_msg_type_name_t *dispositions;
	unsigned n_ports;
	const posix_spawn_file_actions_t *file_actions;
	const posix_spawnattr_t *attributes;
	unsigned flags;
};

/* portunus_spawn - start a program that begins life holding rights
 *   how    what and with what; borrowed
 *   pid    set to the process, the caller's child, to be waited for; may be null
 *   task   set to a send right to the child's task, with one user reference of the caller's; may be null. mach_port_* and
 *          task_* work on it; it becomes a dead name when the child ends, and is MACH_PORT_DEAD if it has by now
 * The child finds the rights with mach_ports_lookup(mach_task_self(), ...), in the order given. Its bootstrap port is the
 * caller's. If the program never uses Portunus the rights are released when it ends.
 *   KERN_INVALID_ARGUMENT    how or its path is null, flags is not 0, or there are more than PORTUNUS_SPAWN_PORTS_MAX ports
 *   KERN_INVALID_VALUE       a disposition that does not yield a send right
 *   MACH_SEND_INVALID_RIGHT  a name is no such right; the rights before it are released
 *   KERN_RESOURCE_SHORTAGE   no memory, descriptor or process; errno says which. The rights are released
 *   KERN_FAILURE             the program could not be started: errno says why (ENOENT, EACCES ...). The rights are released
 * Threads: any. Source: ours; posix_spawn, and what inheritance of registered ports is in Mach. */
PORTUNUS_EXPORT kern_return_t portunus_spawn(const struct portunus_spawn *how, pid_t *pid, task_t *task);

PORTUNUS_END_DECLS

#endif
