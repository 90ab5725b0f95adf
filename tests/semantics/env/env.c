/* SPDX-License-Identifier: MIT */
/* The probes' surroundings on Linux; see env.h. */
#include "env.h"

#include <dirent.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

void mach_print(const char *text)
{
	size_t left = strlen(text);

	while (left > 0) {
		ssize_t n = write(STDOUT_FILENO, text, left);

		if (n <= 0)
			_exit(2);
		text += n;
		left -= (size_t)n;
	}
}

void halt(void)
{
	_exit(1);
}

/* ---- threads */

struct start {
	void (*function)(void *);
	void *argument;
	sem_t go;
};

static void *start_main(void *data)
{
	struct start *s = data;
	void (*function)(void *) = s->function;
	void *argument = s->argument;

	/* the starter takes the thread's port first: a thread may be gone in no time, and its port with it */
	sem_wait(&s->go);
	sem_destroy(&s->go);
	free(s);
	function(argument);
	return NULL;
}

thread_t test_thread_start(task_t task, void (*function)(void *), void *argument)
{
	struct start *s = malloc(sizeof(*s));
	pthread_t thread;
	thread_t port;

	if (!s)
		halt();
	s->function = function;
	s->argument = argument;
	sem_init(&s->go, 0, 0);
	if (portunus_thread_create(task, &thread, start_main, s) != KERN_SUCCESS) {
		mach_print("# FAILED: no thread could be made\n");
		halt();
	}
	port = portunus_thread_port(thread);
	pthread_detach(thread);
	sem_post(&s->go);
	return port;
}

/* ---- waiting for the others */

static int thread_is_busy(const char *tid)
{
	char path[64], stat[512], *state;
	size_t n;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%.20s/stat", tid);
	f = fopen(path, "re");
	if (!f)
		return 0; /* gone meanwhile */
	n = fread(stat, 1, sizeof(stat) - 1, f);
	fclose(f);
	stat[n] = '\0';
	state = strrchr(stat, ')');
	return state && state[1] == ' ' && (state[2] == 'R' || state[2] == 'D');
}

static int others_are_busy(void)
{
	long self = syscall(SYS_gettid);
	struct dirent *entry;
	DIR *tasks = opendir("/proc/self/task");
	int busy = 0;

	if (!tasks)
		return 0;
	while (!busy && (entry = readdir(tasks)))
		if (entry->d_name[0] != '.' && atol(entry->d_name) != self)
			busy = thread_is_busy(entry->d_name);
	closedir(tasks);
	return busy;
}

void sleep_until_quiet(mach_port_t port, unsigned milliseconds)
{
	mach_msg(NULL, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, 0, port, milliseconds, MACH_PORT_NULL);
	if (milliseconds < 30)
		return; /* a step of somebody's polling, not a wait for others to block */
	for (int i = 0; i < 50 && others_are_busy(); i++)
		mach_msg(NULL, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, 0, port, 5, MACH_PORT_NULL);
}
