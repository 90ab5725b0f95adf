/* SPDX-License-Identifier: MIT */
/* Looking a service up, and the contestant: a process that listens on a socket and passes descriptors to whoever asks. */
#include "lookup.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct lookup {
	const struct names *names;
	void *context;
};

void *lookup_open(const void *arg)
{
	struct lookup *l = calloc(1, sizeof *l);

	need(l);
	l->names = arg;
	l->context = l->names->open();
	return l;
}

void lookup_close(void *context)
{
	struct lookup *l = context;

	l->names->close(l->context);
	free(l);
}

double lookup_run(void *context, uint64_t n)
{
	struct lookup *l = context;
	struct peer asker;
	double sum = 0, seconds;

	for (; n; n--) {
		peer_start(&asker, l->names->role, NULL, launch_plain, NULL);
		need(control_recv(asker.control, &seconds, sizeof seconds));
		peer_stop(&asker);
		sum += seconds;
	}
	return sum;
}

void lookup_name(pid_t worker, char name[LOOKUP_NAME_SIZE])
{
	snprintf(name, LOOKUP_NAME_SIZE, "portunus-bench-%d", (int)worker);
}

void lookup_report(void)
{
	double seconds = now() - peer_born;

	control_send(PEER_CONTROL, &seconds, sizeof seconds);
}

/* ---- the contestant ----
 * The worker listens at an abstract address and gives the listening socket to the process that answers. */

static socklen_t address_of(pid_t worker, struct sockaddr_un *address)
{
	*address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	lookup_name(worker, address->sun_path + 1);
	return sizeof *address;
}

static void *socket_names_open(void)
{
	struct peer *server = calloc(1, sizeof *server);
	struct sockaddr_un address;
	socklen_t size = address_of(getpid(), &address);
	int fds[] = { socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), -1 };

	need(server && fds[0] >= 0);
	need(bind(fds[0], (struct sockaddr *)&address, size) == 0 && listen(fds[0], 16) == 0);
	peer_start(server, "socket-names", fds, launch_plain, NULL);
	close(fds[0]);
	return server;
}

static void socket_names_close(void *context)
{
	struct peer *server = context;

	kill(server->pid, SIGTERM);
	peer_stop(server);
	free(server);
}

union one_fd {
	char bytes[CMSG_SPACE(sizeof(int))];
	struct cmsghdr align;
};

static void fd_send(int socket, int fd)
{
	struct iovec data = { .iov_base = (char[]){ 1 }, .iov_len = 1 };
	union one_fd a;
	struct msghdr m = { .msg_iov = &data, .msg_iovlen = 1, .msg_control = &a, .msg_controllen = sizeof a };

	a.align =
		(struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof fd), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS };
	memcpy(CMSG_DATA(&a.align), &fd, sizeof fd);
	need(sendmsg(socket, &m, MSG_NOSIGNAL) == 1);
}

static int fd_recv(int socket)
{
	char byte;
	struct iovec data = { .iov_base = &byte, .iov_len = 1 };
	union one_fd a;
	struct msghdr m = { .msg_iov = &data, .msg_iovlen = 1, .msg_control = &a, .msg_controllen = sizeof a };
	int fd;

	need(recvmsg(socket, &m, MSG_CMSG_CLOEXEC) == 1 && CMSG_FIRSTHDR(&m));
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof fd);
	return fd;
}

static void leave(int signal)
{
	(void)signal;
	_exit(EXIT_SUCCESS);
}

static void socket_names_serve(void)
{
	char name[LOOKUP_NAME_SIZE], asked[LOOKUP_NAME_SIZE];
	int ends[2], asker;

	lookup_name(getppid(), name);
	need(signal(SIGTERM, leave) != SIG_ERR);
	need(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
	for (;;) {
		asker = accept4(PEER_FIRST, NULL, NULL, SOCK_CLOEXEC);
		need(asker >= 0 && recv(asker, asked, sizeof asked, 0) == sizeof asked);
		need(strcmp(asked, name) == 0);
		fd_send(asker, ends[0]);
		close(asker);
	}
}

static void socket_names_ask(void)
{
	char name[LOOKUP_NAME_SIZE] = "";
	struct sockaddr_un address;
	socklen_t size = address_of(getppid(), &address);
	int server = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), service;

	lookup_name(getppid(), name);
	need(server >= 0 && connect(server, (struct sockaddr *)&address, size) == 0);
	need(send(server, name, sizeof name, MSG_NOSIGNAL) == sizeof name);
	service = fd_recv(server);
	lookup_report();
	close(service);
	close(server);
}

const struct names socket_names = { "socket-names-ask", socket_names_open, socket_names_close };

const struct role lookup_roles[] = {
	{ "socket-names", socket_names_serve },
	{ "socket-names-ask", socket_names_ask },
	{ "port-names-ask", port_names_ask },
	{ 0 },
};
