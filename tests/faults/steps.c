/* SPDX-License-Identifier: MIT */
#include "steps.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static struct steps own;
static struct steps *steps = &own;

void __sanitizer_cov_trace_pc(void);

static void die(void)
{
	kill(getpid(), SIGKILL);
}

#ifdef __x86_64__
static void on_instruction(int sig)
{
	(void)sig;
	if (steps->grain-- == 0)
		die();
}

/* The processor traps after each instruction of this thread from here on. */
static void trap_each_instruction(void)
{
	struct sigaction action = { .sa_handler = on_instruction };
	sigset_t trap;

	sigaction(SIGTRAP, &action, NULL);
	sigemptyset(&trap);
	sigaddset(&trap, SIGTRAP);
	pthread_sigmask(SIG_UNBLOCK, &trap, NULL);
	__asm__ volatile("lea -128(%%rsp), %%rsp; pushf; orl $0x100, (%%rsp); popf; lea 128(%%rsp), %%rsp" ::
				 : "memory", "cc");
}
#else
static void trap_each_instruction(void)
{
	die();
}
#endif

void __sanitizer_cov_trace_pc(void)
{
	if (atomic_fetch_add_explicit(&steps->n, 1, memory_order_relaxed) + 1 != steps->end)
		return;
	if (steps->grain)
		trap_each_instruction();
	else
		die();
}

static struct steps *steps_map(int fd)
{
	void *p = mmap(NULL, sizeof *steps, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		abort();
	return p;
}

struct steps *steps_make(int *fd)
{
	*fd = memfd_create("steps", MFD_CLOEXEC);
	if (*fd < 0 || ftruncate(*fd, sizeof *steps) < 0)
		abort();
	return steps_map(*fd);
}

void steps_join(void)
{
	steps = steps_map(STEPS_FD);
}
