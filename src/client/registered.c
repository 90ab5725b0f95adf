/* SPDX-License-Identifier: MIT */
#include "registered.h"

#include <mach.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "client/rpc.h"
#include "client/target.h"
#include "client/wellknown.h"
#include "kernel/port.h"
#include "kernel/right.h"
#include "link/broker.h"
#include "platform/list.h"

enum { DELAY_MIN_MS = 5, DELAY_MAX_MS = 250 };

struct registered {
	struct list link;
	enum registered_kind kind;
	struct right port, signature; /* naked; the signature may be null */
	char name[];
};

static struct {
	pthread_mutex_t mutex;	 /* guards the rest; no call is made with it */
	struct list all;	 /* struct registered */
	bool is_looking;	 /* R2 is under way */
	atomic_uint told_broker; /* the last that was told, R3 */
} registered = { .mutex = PTHREAD_MUTEX_INITIALIZER, .all = { &registered.all, &registered.all } };

/* In the child of a fork nothing of the old kernel is left, so neither is what is noted here. */
static void registered_after_fork(void)
{
	pthread_mutex_init(&registered.mutex, NULL);
	list_init(&registered.all);
	registered.is_looking = false;
	atomic_store(&registered.told_broker, 0);
}

__attribute__((constructor)) static void watch_forks(void)
{
	pthread_atfork(NULL, NULL, registered_after_fork);
}

/* ---- R1 ----------------------------------------------------------------------------------------------------------- */

static bool is_broker(mach_port_t server)
{
	struct right right;
	bool is_so;

	if (target_open(thread_self(), server, &right))
		return false;
	is_so = link_is_broker(right.port);
	right_destroy(&right);
	return is_so;
}

static void entry_free(struct registered *e)
{
	right_destroy(&e->port);
	right_destroy(&e->signature);
	free(e);
}

static struct registered *entry_new(enum registered_kind kind, const char *name)
{
	size_t size = strlen(name) + 1;
	struct registered *e = malloc(sizeof *e + size);

	if (!e)
		return NULL;
	*e = (struct registered){ .kind = kind, .port.kind = RIGHT_SEND, .signature.kind = RIGHT_SEND };
	list_init(&e->link);
	memcpy(e->name, name, size);
	return e;
}

static bool entry_is_named(const struct registered *e, enum registered_kind kind, const char *name)
{
	if (e->kind != kind)
		return false;
	return (kind == REGISTERED_NAME ? strcasecmp(e->name, name) : strcmp(e->name, name)) == 0;
}

static bool entry_is_dead(const struct registered *e)
{
	return port_is_dead(e->port.port) || (e->signature.port && port_is_dead(e->signature.port));
}

/* Those of that name, and the dead, which nobody checks out; to be freed when the mutex is not held. */
static void take_out_locked(struct list *out, enum registered_kind kind, const char *name)
{
	list_for_each(e, &registered.all, struct registered, link)
		if (entry_is_dead(e) || (name && entry_is_named(e, kind, name))) {
			list_unlink(&e->link);
			list_append(out, &e->link);
		}
}

static void free_all(struct list *out)
{
	list_for_each(e, out, struct registered, link) {
		list_unlink(&e->link);
		entry_free(e);
	}
}

/* @with: NULL, or what takes the place. */
static void replace(enum registered_kind kind, const char *name, struct registered *with)
{
	struct list out;

	list_init(&out);
	pthread_mutex_lock(&registered.mutex);
	take_out_locked(&out, kind, name);
	if (with)
		list_append(&registered.all, &with->link);
	pthread_mutex_unlock(&registered.mutex);
	free_all(&out);
}

static void lost_broker(void);

void registered_note(enum registered_kind kind, mach_port_t server, const char *name, mach_port_t signature,
		     mach_port_t port, unsigned disposition)
{
	struct thread *self = thread_self();
	struct registered *e;

	if (!is_broker(server))
		return;
	e = entry_new(kind, name);
	if (!e)
		return;
	if (argument_copyin(self, port, disposition, &e->port) ||
	    (signature && argument_copyin(self, signature, MACH_MSG_TYPE_COPY_SEND, &e->signature)) ||
	    !right_is_valid(&e->port)) {
		entry_free(e);
		return;
	}
	link_on_broker_end(lost_broker);
	replace(kind, name, e);
}

void registered_forget(enum registered_kind kind, mach_port_t server, const char *name)
{
	if (is_broker(server))
		replace(kind, name, NULL);
}

/* ---- R3 ----------------------------------------------------------------------------------------------------------- */

/* A right of its own to the same port. */
static struct right right_copy(const struct right *right)
{
	if (right_is_valid(right)) {
		lock_take(&right->port->lock);
		port_copy_send_locked(right->port);
		lock_drop(&right->port->lock);
	}
	return *right;
}

/* What is noted, copied: so that it can be told while others change it. */
static void copy_all(struct list *copies)
{
	list_init(copies);
	pthread_mutex_lock(&registered.mutex);
	list_for_each(e, &registered.all, struct registered, link) {
		struct registered *copy = entry_is_dead(e) ? NULL : entry_new(e->kind, e->name);

		if (!copy)
			continue;
		copy->port = right_copy(&e->port);
		copy->signature = right_copy(&e->signature);
		list_append(copies, &copy->link);
	}
	pthread_mutex_unlock(&registered.mutex);
}

static void drop(mach_port_t name)
{
	if (MACH_PORT_VALID(name))
		mach_port_deallocate(mach_task_self(), name);
}

/* A right as a name of the caller's, for the time of a call. */
static mach_port_t name_of(struct right *right)
{
	mach_port_name_t name = MACH_PORT_NULL;

	if (right->port && result_copyout(thread_self(), right, &name))
		name = MACH_PORT_NULL;
	right->port = NULL;
	return name;
}

static void tell(mach_port_t broker, struct registered *e)
{
	mach_port_t port = name_of(&e->port), signature = name_of(&e->signature);

	if (MACH_PORT_VALID(port) && e->kind == REGISTERED_SERVICE)
		(void)rpc_bootstrap_register(broker, e->name, port);
	else if (MACH_PORT_VALID(port))
		(void)rpc_netname_check_in(broker, e->name, signature, port);
	drop(port);
	drop(signature);
}

/* True: nobody has told that one or a later one. */
static bool take_turn(unsigned number)
{
	unsigned told = atomic_load(&registered.told_broker);

	while (number > told)
		if (atomic_compare_exchange_weak(&registered.told_broker, &told, number))
			return true;
	return false;
}

void registered_renew(mach_port_t broker, unsigned number)
{
	struct list copies;

	if (!take_turn(number))
		return;
	copy_all(&copies);
	list_for_each(e, &copies, struct registered, link)
		tell(broker, e);
	free_all(&copies);
}

/* ---- R2 ----------------------------------------------------------------------------------------------------------- */

static bool is_anything_noted(void)
{
	bool has_any;

	replace(REGISTERED_NAME, NULL, NULL);
	pthread_mutex_lock(&registered.mutex);
	has_any = !list_is_empty(&registered.all);
	pthread_mutex_unlock(&registered.mutex);
	return has_any;
}

/* True: there is one, and it knows. */
static bool find_broker(void)
{
	mach_port_t broker = wellknown_broker_that_runs();

	drop(broker);
	return MACH_PORT_VALID(broker);
}

/* True: the search is over. If the broker ends after it was found, the search has to be known to be over before. */
static bool end_search(void)
{
	pthread_mutex_lock(&registered.mutex);
	registered.is_looking = false;
	pthread_mutex_unlock(&registered.mutex);
	return link_has_broker() || !is_anything_noted();
}

static bool begin_search(void)
{
	bool is_first;

	pthread_mutex_lock(&registered.mutex);
	is_first = !registered.is_looking && !list_is_empty(&registered.all);
	registered.is_looking |= is_first;
	pthread_mutex_unlock(&registered.mutex);
	return is_first;
}

static void *search(void *unused)
{
	long delay = DELAY_MIN_MS;

	do {
		while (is_anything_noted() && !find_broker()) {
			nanosleep(&(struct timespec){ .tv_nsec = delay * 1000000 }, NULL);
			delay = 2 * delay < DELAY_MAX_MS ? 2 * delay : DELAY_MAX_MS;
		}
	} while (!end_search() && begin_search());
	return unused;
}

/* In the middle of taking in what comes: the work is done elsewhere. Without a thread it is left to the next call that needs the
 * broker. */
static void lost_broker(void)
{
	sigset_t all, before;
	pthread_t thread;
	int error;

	if (!begin_search())
		return;
	sigfillset(&all);
	sigdelset(&all, SIGSEGV);
	sigdelset(&all, SIGBUS);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&thread, NULL, search, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (error)
		(void)end_search();
	else
		pthread_detach(thread);
}
