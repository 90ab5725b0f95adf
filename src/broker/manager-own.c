/* SPDX-License-Identifier: MIT */
#include "manager.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define FIRST_FD 3

static int socket_option(int fd, int option)
{
	int value = -1;
	socklen_t size = sizeof value;

	return getsockopt(fd, SOL_SOCKET, option, &value, &size) < 0 ? -1 : value;
}

/* LISTEN_PID says for whom the descriptors are: a child that inherited the variables must not take them. */
int manager_listen_fd(void)
{
	const char *pid = getenv("LISTEN_PID"), *n = getenv("LISTEN_FDS");

	errno = 0;
	if (!pid || !n || strtol(pid, NULL, 10) != getpid())
		return -1;
	if (strcmp(n, "1") == 0 && socket_option(FIRST_FD, SO_DOMAIN) == AF_UNIX &&
	    socket_option(FIRST_FD, SO_TYPE) == SOCK_SEQPACKET && socket_option(FIRST_FD, SO_ACCEPTCONN) == 1) {
		fcntl(FIRST_FD, F_SETFD, FD_CLOEXEC);
		return FIRST_FD;
	}
	errno = EINVAL;
	return -1;
}

void manager_notify(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t length = path ? strlen(path) : 0;
	int fd;

	if (length == 0 || length >= sizeof address.sun_path)
		return;
	memcpy(address.sun_path, path, length);
	if (path[0] == '@')
		address.sun_path[0] = 0; /* an abstract name */
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&address,
	       (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length));
	close(fd);
}
