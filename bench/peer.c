/* SPDX-License-Identifier: MIT */
/* Starting and ending peers, and talking with them. */
#include "peer.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* Async-signal-safe throughout. A peer that ended well stays to be waited for. */
static void child_ended(int signal)
{
	static const char text[] = "bench: a process that it works with ended badly\n";
	siginfo_t info = { 0 };
	int saved = errno;

	(void)signal;
	if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid &&
	    (info.si_code != CLD_EXITED || info.si_status != 0)) {
		if (write(STDERR_FILENO, text, sizeof text - 1) < 0)
			_exit(EXIT_FAILURE);
		_exit(EXIT_FAILURE);
	}
	errno = saved;
}

static void watch_children(void)
{
	struct sigaction action = { .sa_handler = child_ended, .sa_flags = SA_RESTART | SA_NOCLDSTOP };

	need(sigaction(SIGCHLD, &action, NULL) == 0);
}

void peer_reserve(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
		need(fd >= 0);
	} while (fd < PEER_FIRST + PEER_FDS_MAX);
	close(fd);
}

static pid_t worker;

/* The signal comes also when only the thread has ended that started this process. */
static void parent_ended(int signal)
{
	(void)signal;
	if (getppid() != worker)
		_exit(EXIT_FAILURE);
}

void peer_end_with_worker(void)
{
	struct sigaction action = { .sa_handler = parent_ended, .sa_flags = SA_RESTART };

	worker = getppid();
	need(sigaction(SIGUSR1, &action, NULL) == 0);
	need(prctl(PR_SET_PDEATHSIG, SIGUSR1) == 0);
}

pid_t launch_plain(const struct launch *l, const void *arg)
{
	pid_t pid;

	(void)arg;
	errno = posix_spawn(&pid, l->path, l->actions, NULL, l->argv, l->envp);
	need(errno == 0);
	return pid;
}

/* Moves a descriptor out of the way of those that a peer is to find at fixed numbers. */
static int fd_high(int fd)
{
	int high = fcntl(fd, F_DUPFD_CLOEXEC, PEER_FIRST + PEER_FDS_MAX);

	need(high >= 0);
	return high;
}

static void launch_with(struct peer *p, const char *role, const int *fds, launcher *launch, const void *arg)
{
	char *argv[] = { (char *)"bench", (char *)(options.quick ? PEER_OPTION_QUICK : PEER_OPTION), (char *)role,
			 NULL };
	posix_spawn_file_actions_t actions;
	int high[PEER_FDS_MAX + 1];
	unsigned n = 0;

	need(posix_spawn_file_actions_init(&actions) == 0);
	for (; fds[n] >= 0; n++) {
		high[n] = fd_high(fds[n]);
		need(posix_spawn_file_actions_adddup2(&actions, high[n], PEER_CONTROL + (int)n) == 0);
	}
	p->pid =
		launch(&(struct launch){ .path = "/proc/self/exe", .argv = argv, .envp = environ, .actions = &actions },
		       arg);
	while (n > 0)
		close(high[--n]);
	posix_spawn_file_actions_destroy(&actions);
}

void peer_start(struct peer *p, const char *role, const int *fds, launcher *launch, const void *arg)
{
	int ends[2], all[PEER_FDS_MAX + 2];
	unsigned n = 0;

	watch_children();
	unpin(); /* a process may run where its parent might when it was born */
	fflush(NULL);
	need(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
	all[n++] = ends[1];
	while (n <= PEER_FDS_MAX && fds && *fds >= 0)
		all[n++] = *fds++;
	all[n] = -1;
	launch_with(p, role, all, launch, arg);
	close(ends[1]);
	p->control = ends[0];
}

void peer_stop(struct peer *p)
{
	int status;

	shutdown(p->control, SHUT_RDWR); /* a peer that was started later may have a copy for a moment */
	close(p->control);
	while (waitpid(p->pid, &status, 0) < 0)
		need(errno == EINTR);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		fail("a process that it works with", __FILE__, __LINE__, "ended badly");
}

void control_send(int control, const void *data, size_t size)
{
	need(send(control, data, size, MSG_NOSIGNAL) == (ssize_t)size);
}

bool control_recv(int control, void *data, size_t size)
{
	ssize_t got = recv(control, data, size, 0);

	need(got == 0 || got == (ssize_t)size);
	return got != 0;
}
