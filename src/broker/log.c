/* SPDX-License-Identifier: MIT */
#include "log.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINE_MAX 1024

static enum log_to log_to;
static bool has_levels;

/* systemd says which stream it connected to the journal. */
static bool is_journal(int fd)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long device, inode;
	struct stat st;

	return stream && sscanf(stream, "%lu:%lu", &device, &inode) == 2 && fstat(fd, &st) == 0 &&
	       st.st_dev == device && st.st_ino == inode;
}

void log_init(enum log_to to)
{
	log_to = to;
	has_levels = is_journal(STDERR_FILENO);
	if (to == LOG_TO_SYSTEM)
		openlog("portunusd", LOG_PID, LOG_DAEMON);
}

void log_line(int level, const char *format, ...)
{
	char line[LINE_MAX];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(line, sizeof line, format, arguments);
	va_end(arguments);
	if (log_to == LOG_TO_SYSTEM)
		syslog(level, "%s", line);
	else if (has_levels)
		fprintf(stderr, "<%d>%s\n", level, line);
	else
		fprintf(stderr, "portunusd: %s\n", line);
}
