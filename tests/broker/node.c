/* SPDX-License-Identifier: MIT */
/* node: a program that uses the broker. It connects, says "ready", and stays until its input ends.
 * node activate SOCKET PROGRAM ARGUMENT...: what a service manager does: listens at SOCKET and becomes PROGRAM, which gets
 * the socket. */
#include <servers/netname.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int activate(char **words)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	char pid[16];

	strncpy(address.sun_path, words[0], sizeof address.sun_path - 1);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 16) < 0)
		return 1;
	if (fd != 3 && dup2(fd, 3) < 0)
		return 1;
	snprintf(pid, sizeof pid, "%d", getpid());
	setenv("LISTEN_PID", pid, 1);
	setenv("LISTEN_FDS", "1", 1);
	execv(words[1], words + 1);
	return 1;
}

int main(int argc, char **argv)
{
	if (argc > 3 && strcmp(argv[1], "activate") == 0)
		return activate(argv + 2);
	(void)name_server_port;
	puts("ready");
	fflush(stdout);
	while (getchar() != EOF)
		continue;
	return 0;
}
