/* SPDX-License-Identifier: MIT */
#include "routines.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "scan.h"

struct listed {
	char *name;
	mach_msg_id_t request, reply;
};

static const struct interface **interfaces;
static unsigned int n_interfaces;
static struct listed *listed;
static unsigned int n_listed;

static void add_line(const char *file, int number, const char *line)
{
	struct listed l;

	if (line[strspn(line, " \t\n")] == '\0')
		return;
	if (sscanf(line, "%*s %*d %ms %*d %d %d", &l.name, &l.request, &l.reply) != 3)
		fail(STATUS_DEFS, "%s:%d: here has to be SUBSYSTEM BASE ROUTINE N REQUEST REPLY", file, number);
	listed = must_grow(listed, n_listed + 1, sizeof *listed);
	listed[n_listed++] = l;
}

static void add_list(const char *file)
{
	FILE *from = fopen(file, "re");
	char *line = NULL;
	size_t room = 0;

	if (!from)
		fail(STATUS_DEFS, "%s: %s", file, strerror(errno));
	for (int number = 1; getline(&line, &room, from) >= 0; number++)
		add_line(file, number, line);
	free(line);
	fclose(from);
}

void routines_add(const char *file, const struct defs_flags *flags)
{
	size_t length = strlen(file);

	if (length > 7 && strcmp(file + length - 7, ".msgids") == 0) {
		add_list(file);
		return;
	}
	interfaces = must_grow(interfaces, n_interfaces + 1, sizeof(struct interface *));
	interfaces[n_interfaces++] = defs_read(file, flags);
}

void routines_add_installed(void)
{
	static const char *const files[] = { "servers/netname.defs", "servers/bootstrap.defs", "servers/nodes.defs",
					     "portunus/inspect.defs", "portunus/pipe.defs" };
	struct defs_flags none = { 0 };

	if (!scan_is_possible())
		return;
	for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
		char *path = must_print("%s/%s", PORTUNUS_INCLUDE_DIR, files[i]);

		if (access(path, R_OK) == 0)
			routines_add(path, &none);
	}
}

bool routines_find(mach_msg_id_t id, struct routine_found *found)
{
	for (unsigned int i = n_interfaces; i-- > 0;) {
		found->routine = defs_find_id(interfaces[i], id, &found->is_reply);
		if (found->routine) {
			found->name = found->routine->name;
			return true;
		}
	}
	for (unsigned int i = n_listed; i-- > 0;)
		if (listed[i].request == id || listed[i].reply == id) {
			*found = (struct routine_found){ listed[i].name, listed[i].reply == id, NULL };
			return true;
		}
	return false;
}
