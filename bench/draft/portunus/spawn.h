/* SPDX-License-Identifier: MIT */
#ifndef PORTUNUS_SPAWN_H
#define PORTUNUS_SPAWN_H

#include <spawn.h>
#include <sys/types.h>

#include <mach/mach_types.h>
#include <mach/message.h>
#include <portunus/export.h>

PORTUNUS_BEGIN_DECLS

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

PORTUNUS_EXPORT kern_return_t portunus_spawn(const struct portunus_spawn *how, pid_t *pid, task_t *task);

PORTUNUS_END_DECLS

#endif
