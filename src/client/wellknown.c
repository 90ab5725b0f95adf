/* SPDX-License-Identifier: MIT */
#include "wellknown.h"

#include <pthread.h>

#include "client/registered.h"
#include "client/target.h"
#include "kernel/name.h"
#include "kernel/task.h"
#include "kernel/thread.h"
#include "link/broker.h"

/* Two uses at once come with two references; without the mutex each could take the other's for the one that stays. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static void mutex_renew(void)
{
	pthread_mutex_init(&mutex, NULL);
}

/* In the child of a fork the thread that held it is not there. */
__attribute__((constructor)) static void watch_forks(void)
{
	pthread_atfork(NULL, NULL, mutex_renew);
}

mach_port_t wellknown_keep(mach_port_t name)
{
	struct space *space = thread_self()->task->space;
	mach_port_urefs_t n;

	if (!MACH_PORT_VALID(name))
		return MACH_PORT_NULL;
	pthread_mutex_lock(&mutex);
	if (name_get_refs(space, name, MACH_PORT_RIGHT_SEND, &n) == KERN_SUCCESS && n > 1)
		name_mod_refs(space, name, MACH_PORT_RIGHT_SEND, -1);
	pthread_mutex_unlock(&mutex);
	return name;
}

static mach_port_t broker(bool may_start)
{
	mach_port_name_t name;
	struct right right;
	unsigned number;

	if (!link_broker_right(&right, may_start, &number) || result_copyout(thread_self(), &right, &name))
		return MACH_PORT_NULL;
	if (!MACH_PORT_VALID(name))
		return MACH_PORT_NULL;
	registered_renew(name, number);
	return name;
}

mach_port_t wellknown_broker(void)
{
	return broker(true);
}

mach_port_t wellknown_broker_that_runs(void)
{
	return broker(false);
}
