/* SPDX-License-Identifier: MIT */
#ifndef LINK_RENDEZVOUS_H
#define LINK_RENDEZVOUS_H

/* Where the broker listens, and how to reach it.
 *
 *   PORTUNUS_BROKER set   the path that it says, which must be absolute
 *   else, for root        /run/portunus/broker
 *   XDG_RUNTIME_DIR set   $XDG_RUNTIME_DIR/portunus/broker
 *   else                  /tmp/portunus-UID/broker
 *
 * Anybody may write to /tmp. So the directory of the last three must belong to the user and be closed to all others, else
 * what listens in it is not believed. Programs with more rights than their caller (set-user-ID) do not read the environment.
 *
 * Where nobody listens, a broker is started, unless PORTUNUS_AUTOSTART is 0: PORTUNUS_BROKER_PROGRAM or the one installed
 * with the library, with the arguments --socket PATH --autostarted. It is in a session of its own, a child of nobody here,
 * with its standard streams on /dev/null, no signal blocked or ignored, and descriptor BROKER_READY_FD, which it closes as
 * soon as it listens. If it cannot, it ends, which closes it too. */

#include <stdbool.h>
#include <stddef.h>
#include <sys/un.h>

#define BROKER_PATH_MAX	     sizeof(((struct sockaddr_un *)NULL)->sun_path) /* bytes, the final 0 included */
#define BROKER_READY_FD	     3
#define BROKER_TIMEOUT_MS    10000 /* for a broker to listen, and for one that listens to take the connection */
#define BROKER_DIRECTORY_OWN 0700

/* @may_start: where nobody listens a broker may be started.
 * A connected, close-on-exec SOCK_SEQPACKET socket for the caller to close, or -1 with errno. Threads: any.
 *   ENOENT, ECONNREFUSED   nobody listens, and none was or could be started     ETIMEDOUT   nor listened in time
 *   EPERM   the directory is not the user's alone      ENAMETOOLONG, EINVAL   of the path
 *   and those of socket(), connect(), pipe2(), clone() */
int broker_connect(bool may_start);

/* The path by the table above. @is_default: not by PORTUNUS_BROKER. False with errno ENAMETOOLONG or EINVAL. */
bool broker_path(char path[static BROKER_PATH_MAX], bool *is_default);

/* The directory that @path is in: true if it belongs to the user and nobody else can use it; false with EPERM or what
 * lstat() says. */
bool broker_directory_is_own(const char *path);

/* Everything before the last slash of @path; "/" or "." where that is nothing. */
void broker_directory(const char *path, char directory[static BROKER_PATH_MAX]);

#endif
