/* SPDX-License-Identifier: MIT */
#ifndef BROKER_LOG_H
#define BROKER_LOG_H

/* Words of the broker to whoever looks after it. They go to standard error, with a level in front where that is the
 * journal's; or to the system's log (the journal again, where there is one), for a broker that nobody watches. */

#include <syslog.h>

enum log_to { LOG_TO_STDERR, LOG_TO_SYSTEM };

void log_init(enum log_to to);

/* One line, without its end. @level: LOG_ERR, LOG_WARNING, LOG_NOTICE, LOG_INFO. Threads: any. */
void log_line(int level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
