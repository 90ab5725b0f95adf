/* SPDX-License-Identifier: MIT */
#include "program.h"

#include <errno.h>
#include <mach_error.h>
#include <portunus/spawn.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>

#include "command.h"

static volatile pid_t running;

static void __attribute__((noreturn)) cannot_start(const char *program, kern_return_t kr, int error)
{
	if (kr == KERN_FAILURE && error == ENOENT)
		fail(STATUS_RUN_NOT_FOUND, "there is no program \"%s\"", program);
	if (kr == KERN_FAILURE)
		fail(STATUS_RUN_CANNOT, "cannot run \"%s\": %s", program, strerror(error));
	fail(STATUS_RUN_FAILED, "cannot start \"%s\": %s%s%s", program, mach_error_string(kr), error ? ": " : "",
	     error ? strerror(error) : "");
}

static void pass_on(int sig)
{
	if (running > 0)
		kill(running, sig);
}

/* What we ignore the program need not. */
static void signals_as_usual(posix_spawnattr_t *attributes)
{
	sigset_t usual;

	sigemptyset(&usual);
	sigaddset(&usual, SIGPIPE);
	posix_spawnattr_init(attributes);
	posix_spawnattr_setsigdefault(attributes, &usual);
	posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGDEF);
}

pid_t program_start(char **argv, const mach_port_t *ports, unsigned int n_ports, char **envp)
{
	posix_spawnattr_t attributes;
	struct portunus_spawn how = {
		.path = argv[0],
		.argv = argv,
		.envp = envp,
		.ports = ports,
		.n_ports = n_ports,
		.attributes = &attributes,
	};
	kern_return_t kr;
	pid_t pid;

	signals_as_usual(&attributes);
	errno = 0;
	kr = portunus_spawn(&how, &pid, NULL);
	if (kr)
		cannot_start(argv[0], kr, errno);
	posix_spawnattr_destroy(&attributes);
	return pid;
}

void program_pass_signals(pid_t pid)
{
	struct sigaction pass = { .sa_handler = pass_on, .sa_flags = SA_RESTART };

	running = pid;
	signal(SIGINT, SIG_IGN);
	signal(SIGQUIT, SIG_IGN);
	sigaction(SIGTERM, &pass, NULL);
	sigaction(SIGHUP, &pass, NULL);
}

int program_wait(pid_t pid)
{
	int status;

	program_pass_signals(pid);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	running = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
