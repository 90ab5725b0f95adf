/* SPDX-License-Identifier: MIT */
#include "link/rendezvous.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* ---- where */

/* An empty variable is as good as none. */
static const char *environment(const char *name)
{
	const char *value = secure_getenv(name);

	return value && value[0] ? value : NULL;
}

static bool default_path(char path[static BROKER_PATH_MAX])
{
	const char *runtime = environment("XDG_RUNTIME_DIR");
	int n;

	if (geteuid() == 0)
		n = snprintf(path, BROKER_PATH_MAX, "/run/portunus/broker");
	else if (runtime && runtime[0] == '/')
		n = snprintf(path, BROKER_PATH_MAX, "%s/portunus/broker", runtime);
	else
		n = snprintf(path, BROKER_PATH_MAX, "/tmp/portunus-%u/broker", geteuid());
	return n < (int)BROKER_PATH_MAX;
}

bool broker_path(char path[static BROKER_PATH_MAX], bool *is_default)
{
	const char *chosen = environment("PORTUNUS_BROKER");

	*is_default = !chosen;
	if (chosen && chosen[0] != '/') {
		errno = EINVAL;
		return false;
	}
	if (chosen ? snprintf(path, BROKER_PATH_MAX, "%s", chosen) >= (int)BROKER_PATH_MAX : !default_path(path)) {
		errno = ENAMETOOLONG;
		return false;
	}
	return true;
}

void broker_directory(const char *path, char directory[static BROKER_PATH_MAX])
{
	const char *slash = strrchr(path, '/');
	int n = slash ? (int)(slash - path) : 0;

	if (n == 0)
		snprintf(directory, BROKER_PATH_MAX, "%s", slash ? "/" : ".");
	else
		snprintf(directory, BROKER_PATH_MAX, "%.*s", n, path);
}

bool broker_directory_is_own(const char *path)
{
	char directory[BROKER_PATH_MAX];
	struct stat st;

	broker_directory(path, directory);
	if (lstat(directory, &st) < 0)
		return false;
	if (S_ISDIR(st.st_mode) && st.st_uid == geteuid() && (st.st_mode & 0777) == BROKER_DIRECTORY_OWN)
		return true;
	errno = EPERM;
	return false;
}

/* Root's directory may be opened to others (portunusd --mode): /run is root's, so nobody can have put it there. */
static bool is_believed(const char *path)
{
	return geteuid() == 0 || broker_directory_is_own(path);
}

/* ---- connecting */

static int connect_to(const char *path)
{
	struct timeval limit = { .tv_sec = BROKER_TIMEOUT_MS / 1000 }, none = { 0 };
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), error;

	if (fd < 0)
		return -1;
	strcpy(address.sun_path, path);
	/* A broker whose queue of connections is full is waited for, but not for ever. */
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
	while (connect(fd, (struct sockaddr *)&address, sizeof address) < 0) {
		if (errno == EINTR)
			continue;
		error = errno == EAGAIN ? ETIMEDOUT : errno;
		close(fd);
		errno = error;
		return -1;
	}
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &none, sizeof none);
	return fd;
}

/* ---- starting one */

static const char *program(void)
{
	const char *chosen = environment("PORTUNUS_BROKER_PROGRAM");

	return chosen ? chosen : PORTUNUSD_PROGRAM;
}

/* What starts has signals as a program expects them, whatever the one that started it has done with them. */
static void reset_signals(void)
{
	struct sigaction standard = { .sa_handler = SIG_DFL };
	sigset_t none;

	for (int sig = 1; sig < NSIG; sig++)
		sigaction(sig, &standard, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* The descriptors of this program are none of the broker's business. @ready may be 0, 1 or 2, if those were closed. */
static void reset_descriptors(int ready)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	ready = fcntl(ready, F_DUPFD, BROKER_READY_FD + 1);
	null = fcntl(null, F_DUPFD, BROKER_READY_FD + 1);
	if (ready < 0 || null < 0)
		_exit(127);
	for (int fd = 0; fd < BROKER_READY_FD; fd++)
		dup2(null, fd);
	dup2(ready, BROKER_READY_FD);
	syscall(SYS_close_range, BROKER_READY_FD + 1, ~0U, 0);
}

/* A child whose end sends no SIGCHLD, and which no wait() for just any child sees: the program does not know of it. It runs no
 * handlers of pthread_atfork() either; those are for children that go on. */
static pid_t fork_quietly(void)
{
	return (pid_t)syscall(SYS_clone, 0, NULL, NULL, NULL, NULL);
}

/* In a child of a process with perhaps many threads: nothing but system calls. The child ends at once, and its own child,
 * which is nobody's any more, becomes the broker. */
static void become_broker(const char *const arguments[], int ready)
{
	pid_t pid;

	setsid();
	pid = fork_quietly();
	if (pid)
		_exit(pid < 0);
	reset_signals();
	reset_descriptors(ready);
	if (chdir("/") == 0)
		execv(arguments[0], (char *const *)arguments); /* it writes to none of them */
	_exit(127);
}

/* Signals are blocked meanwhile, so that no handler of the program runs in the child. */
static bool spawn(const char *const arguments[], int ready)
{
	sigset_t all, before;
	pid_t pid;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pid = fork_quietly();
	if (pid == 0)
		become_broker(arguments, ready);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (pid < 0)
		return false;
	while (waitpid(pid, NULL, __WCLONE) < 0 && errno == EINTR)
		continue;
	return true; /* whether a broker came of it, the pipe tells */
}

static long now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Until the other end is closed. */
static bool wait_ready(int ready)
{
	long end = now_ms() + BROKER_TIMEOUT_MS, left;
	struct pollfd p = { .fd = ready, .events = POLLIN };
	int n = 0;

	while (n <= 0) {
		left = end - now_ms();
		if (left <= 0) {
			errno = ETIMEDOUT;
			return false;
		}
		n = poll(&p, 1, (int)left);
		if (n < 0 && errno != EINTR)
			return false;
	}
	return true;
}

static bool start(const char *path)
{
	const char *arguments[] = { program(), "--socket", path, "--autostarted", NULL };
	int ends[2], error;
	bool ok;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return false;
	ok = spawn(arguments, ends[1]);
	error = errno;
	close(ends[1]);
	if (ok) {
		ok = wait_ready(ends[0]);
		error = errno;
	}
	close(ends[0]);
	errno = error;
	return ok;
}

static bool may_start(void)
{
	const char *value = environment("PORTUNUS_AUTOSTART");

	return !value || strcmp(value, "0") != 0;
}

/* ENOENT, also of the directory: nobody has ever listened here. ECONNREFUSED: somebody had. */
static bool nobody_listens(void)
{
	return errno == ENOENT || errno == ECONNREFUSED;
}

static int connect_if_believed(const char *path, bool is_default)
{
	if (is_default && !is_believed(path))
		return -1;
	return connect_to(path);
}

int broker_connect(bool is_wanted)
{
	char path[BROKER_PATH_MAX];
	bool is_default;
	int fd;

	if (!broker_path(path, &is_default))
		return -1;
	fd = connect_if_believed(path, is_default);
	if (fd >= 0 || !nobody_listens() || !is_wanted || !may_start())
		return fd;
	if (!start(path))
		return -1;
	return connect_if_believed(path, is_default);
}
