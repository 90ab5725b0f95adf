/* SPDX-License-Identifier: MIT */
#include "manager.h"

#include <errno.h>
#include <stddef.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>

int manager_listen_fd(void)
{
	int n = sd_listen_fds(1);

	errno = 0;
	if (n == 0)
		return -1;
	if (n == 1 && sd_is_socket_unix(SD_LISTEN_FDS_START, SOCK_SEQPACKET, 1, NULL, 0) > 0)
		return SD_LISTEN_FDS_START;
	errno = EINVAL;
	return -1;
}

void manager_notify(const char *state)
{
	sd_notify(0, state);
}
