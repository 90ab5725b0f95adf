/* SPDX-License-Identifier: MIT */
#include <portunus/spawn.h>

#include <errno.h>
#include <fcntl.h>
#include <mach.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/target.h"
#include "kernel/right.h"
#include "link/family.h"

extern char **environ;

/* A program on its way to be started. */
struct start {
	const struct portunus_spawn *how;
	char *const *argv;
	char **envp;	   /* with our variable */
	char variable[64]; /* PORTUNUS_PARENT=... */
	char *own_argv[2];
	int child_socket;
	uint32_t number; /* of the child as a node */
	pid_t pid;
	int error;
};

/* The environment of the child: the given one without what may be left of an earlier start, and with our variable. */
static bool start_make_environment(struct start *start)
{
	char *const *given = start->how->envp ? start->how->envp : environ;
	size_t n = 0, kept = 0;

	while (given[n])
		n++;
	start->envp = malloc((n + 2) * sizeof *start->envp);
	if (!start->envp)
		return false;
	for (size_t i = 0; i < n; i++)
		if (strncmp(given[i], FAMILY_VARIABLE "=", sizeof FAMILY_VARIABLE))
			start->envp[kept++] = given[i];
	start->envp[kept++] = start->variable;
	start->envp[kept] = NULL;
	return true;
}

/* In a thread with a table of descriptors of its own: there the child's socket can be inherited, and programs that other
 * threads start meanwhile do not inherit it. */
static void *start_in_private(void *arg)
{
	struct start *start = arg;
	const struct portunus_spawn *how = start->how;

	if (unshare(CLONE_FILES) < 0 || fcntl(start->child_socket, F_SETFD, 0) < 0) {
		start->error = errno;
		return NULL;
	}
	start->error =
		posix_spawnp(&start->pid, how->path, how->file_actions, how->attributes, start->argv, start->envp);
	return NULL;
}

static int start_run(struct start *start)
{
	pthread_t thread;
	int error;

	start->own_argv[0] = (char *)start->how->path;
	start->argv = start->how->argv ? start->how->argv : start->own_argv;
	snprintf(start->variable, sizeof start->variable, FAMILY_VARIABLE "=%d:%08x:%016llx", start->child_socket,
		 start->number, (unsigned long long)family_own_id());
	if (!start_make_environment(start))
		return ENOMEM;
	error = pthread_create(&thread, NULL, start_in_private, start);
	if (!error) {
		pthread_join(thread, NULL);
		error = start->error;
	}
	free(start->envp);
	return error;
}

/* ---- rights ------------------------------------------------------------------------------------------------------- */

static mach_msg_type_name_t disposition_of(const struct portunus_spawn *how, unsigned i)
{
	return how->dispositions ? how->dispositions[i] : MACH_MSG_TYPE_COPY_SEND;
}

static kern_return_t check(const struct portunus_spawn *how)
{
	if (!how || !how->path || how->flags || how->n_ports > PORTUNUS_SPAWN_PORTS_MAX ||
	    (how->n_ports && !how->ports))
		return KERN_INVALID_ARGUMENT;
	for (unsigned i = 0; i < how->n_ports; i++)
		if (right_kind_of(disposition_of(how, i)) != RIGHT_SEND)
			return KERN_INVALID_VALUE;
	return KERN_SUCCESS;
}

static void rights_destroy(struct right *rights, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		right_destroy(&rights[i]);
}

/* What the child is to have: the bootstrap port, then those that are given. */
static kern_return_t rights_take(struct thread *caller, const struct portunus_spawn *how, struct right *rights)
{
	kern_return_t r = task_get_special(caller->task, TASK_BOOTSTRAP_PORT, &rights[0]);
	unsigned i;

	for (i = 0; i < how->n_ports && !r; i++)
		r = argument_copyin(caller, how->ports[i], disposition_of(how, i), &rights[i + 1]);
	if (r)
		rights_destroy(rights, i);
	return r;
}

/* ---- the call ----------------------------------------------------------------------------------------------------- */

static kern_return_t result_of(int error)
{
	switch (error) {
	case 0:
		return KERN_SUCCESS;
	case EAGAIN:
	case ENOMEM:
	case EMFILE:
	case ENFILE:
		return KERN_RESOURCE_SHORTAGE;
	default:
		return KERN_FAILURE;
	}
}

/* Starts the program with one end of a socketpair; the other is the parent's end of the link. */
static int start_program(struct start *start, int *parent_socket)
{
	int ends[2], error;

	if (!family_begin() || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0)
		return errno;
	(void)!getrandom(&start->number, sizeof start->number, 0);
	start->number |= 1; /* not 0 */
	start->child_socket = ends[1];
	error = start_run(start);
	close(ends[1]);
	if (error)
		close(ends[0]);
	else
		*parent_socket = ends[0];
	return error;
}

/* Nobody would ever hear of it, nor it of its parent. */
static void start_undo(const struct start *start)
{
	int error = errno;

	kill(start->pid, SIGKILL);
	while (waitpid(start->pid, NULL, 0) < 0 && errno == EINTR)
		;
	errno = error;
}

kern_return_t portunus_spawn(const struct portunus_spawn *how, pid_t *pid, task_t *task)
{
	struct right rights[PORTUNUS_SPAWN_PORTS_MAX + 1], child;
	struct thread *caller = thread_self();
	struct start start = { .how = how };
	mach_port_name_t name;
	int parent_socket = -1;
	kern_return_t r = check(how);

	if (!r)
		r = rights_take(caller, how, rights);
	if (r)
		return r;
	errno = start_program(&start, &parent_socket);
	r = result_of(errno);
	if (!r && !family_adopt(parent_socket, start.pid, start.number, rights, how->n_ports + 1, &child)) {
		start_undo(&start);
		r = KERN_RESOURCE_SHORTAGE;
	}
	if (r) {
		rights_destroy(rights, how->n_ports + 1);
		remote_settle();
		return r;
	}
	if (pid)
		*pid = start.pid;
	if (!task) {
		right_destroy(&child);
		remote_settle();
		return KERN_SUCCESS;
	}
	r = result_copyout(caller, &child, &name);
	if (!r)
		*task = name;
	return r;
}
