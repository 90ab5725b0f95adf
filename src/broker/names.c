/* SPDX-License-Identifier: MIT */
#include "names.h"

#include <ctype.h>
#include <mach.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

void names_init(struct names *names, enum names_case how, unsigned int max, mach_port_t notify)
{
	*names = (struct names){ .how = how, .max = max, .notify = notify };
}

void names_deinit(struct names *names)
{
	for (unsigned int i = 0; i < NAMES_BUCKETS; i++)
		while (names->buckets[i])
			names_remove(names, names->buckets[i]);
}

/* ---- rights */

static bool is_alive(mach_port_t port)
{
	mach_port_type_t type;

	return mach_port_type(mach_task_self(), port, &type) == KERN_SUCCESS && (type & MACH_PORT_TYPE_SEND);
}

/* Asks for a notification, in place of one that was asked for earlier for the same name. */
static kern_return_t request(struct names *names, mach_port_t port, mach_msg_id_t what, mach_port_mscount_t sync)
{
	mach_port_t previous = MACH_PORT_NULL;
	kern_return_t kr = mach_port_request_notification(mach_task_self(), port, what, sync, names->notify,
							  MACH_MSG_TYPE_MAKE_SEND_ONCE, &previous);

	if (kr == KERN_SUCCESS && MACH_PORT_VALID(previous))
		mach_port_deallocate(mach_task_self(), previous);
	return kr;
}

/* Sync: a port that is dead already is told of at once. */
static kern_return_t watch(struct names *names, mach_port_t port)
{
	return MACH_PORT_VALID(port) ? request(names, port, MACH_NOTIFY_DEAD_NAME, 1) : KERN_SUCCESS;
}

static void drop(mach_port_t port)
{
	if (MACH_PORT_VALID(port))
		mach_port_deallocate(mach_task_self(), port);
}

static void drop_receive(mach_port_t port)
{
	mach_port_mod_refs(mach_task_self(), port, MACH_PORT_RIGHT_RECEIVE, -1);
}

/* A port with a send right under the same name. */
static kern_return_t port_new(mach_port_t *port)
{
	kern_return_t kr = mach_port_allocate(mach_task_self(), MACH_PORT_RIGHT_RECEIVE, port);

	if (kr)
		return kr;
	kr = mach_port_insert_right(mach_task_self(), *port, *port, MACH_MSG_TYPE_MAKE_SEND);
	if (kr)
		drop_receive(*port);
	return kr;
}

/* What the entry holds of its port. The send right goes first: then no dead name is left of the port, and no news of it. */
static void entry_give_up_port(struct entry *e)
{
	drop(e->port);
	if (e->state == ENTRY_KEPT)
		drop_receive(e->port);
}

/* ---- the table */

static struct entry **bucket_of(struct names *names, const char *name)
{
	unsigned int hash = 0;

	for (; *name; name++)
		hash = hash * 31 +
		       (unsigned char)(names->how == NAMES_ANY_CASE ? tolower((unsigned char)*name) : *name);
	return &names->buckets[hash % NAMES_BUCKETS];
}

static bool is_named(const struct names *names, const struct entry *e, const char *name)
{
	return (names->how == NAMES_ANY_CASE ? strcasecmp(e->name, name) : strcmp(e->name, name)) == 0;
}

void names_remove(struct names *names, struct entry *entry)
{
	struct entry **at = bucket_of(names, entry->name);

	while (*at != entry)
		at = &(*at)->next;
	*at = entry->next;
	names->n--;
	entry_give_up_port(entry);
	drop(entry->signature);
	free(entry);
}

/* The port of a declared entry died with whoever served it. Without a new one the name is given up. */
static bool entry_renew(struct names *names, struct entry *e)
{
	mach_port_t port;

	if (!e->is_declared || port_new(&port))
		return false;
	entry_give_up_port(e);
	e->port = port;
	e->state = ENTRY_KEPT;
	return watch(names, port) == KERN_SUCCESS;
}

/* Returns false if the entry is gone. */
static bool entry_check(struct names *names, struct entry *e)
{
	bool is_signed = e->signature == MACH_PORT_NULL || is_alive(e->signature);

	if (is_signed && (is_alive(e->port) || entry_renew(names, e)))
		return true;
	names_remove(names, e);
	return false;
}

struct entry *names_find(struct names *names, const char *name)
{
	struct entry *e = *bucket_of(names, name);

	while (e && !is_named(names, e, name))
		e = e->next;
	return e && entry_check(names, e) ? e : NULL;
}

static unsigned int names_of(const struct names *names, pid_t owner)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < NAMES_BUCKETS; i++)
		for (const struct entry *e = names->buckets[i]; e; e = e->next)
			n += e->owner == owner;
	return n;
}

/* What is declared in the configuration has been counted by whoever wrote it. */
static bool has_room(const struct names *names, pid_t owner)
{
	enum { OWNERS = 16 };

	return names->n / OWNERS < names->max && (owner == 0 || names_of(names, owner) < names->max);
}

kern_return_t names_add(struct names *names, pid_t owner, const char *name, mach_port_t port, mach_port_t signature,
			struct entry **entry)
{
	struct entry **bucket = bucket_of(names, name), *e;
	size_t size = strlen(name) + 1;
	kern_return_t kr;

	if (!has_room(names, owner))
		return KERN_RESOURCE_SHORTAGE;
	kr = watch(names, port);
	if (kr == KERN_SUCCESS)
		kr = watch(names, signature);
	if (kr)
		return kr;
	e = malloc(sizeof *e + size);
	if (!e)
		return KERN_RESOURCE_SHORTAGE;
	*e = (struct entry){
		.next = *bucket, .port = port, .signature = signature, .state = ENTRY_FOREIGN, .owner = owner
	};
	memcpy(e->name, name, size);
	*bucket = e;
	names->n++;
	*entry = e;
	return KERN_SUCCESS;
}

kern_return_t names_declare(struct names *names, pid_t owner, const char *name, struct entry **entry)
{
	mach_port_t port;
	kern_return_t kr = port_new(&port);

	if (kr)
		return kr;
	kr = names_add(names, owner, name, port, MACH_PORT_NULL, entry);
	if (kr) {
		drop_receive(port);
		drop(port);
		return kr;
	}
	(*entry)->is_declared = true;
	(*entry)->state = ENTRY_KEPT;
	return KERN_SUCCESS;
}

kern_return_t names_change(struct names *names, struct entry *entry, mach_port_t port)
{
	kern_return_t kr = watch(names, port);

	if (kr)
		return kr;
	entry_give_up_port(entry);
	entry->port = port;
	entry->state = ENTRY_FOREIGN;
	return KERN_SUCCESS;
}

/* ---- comings and goings */

kern_return_t names_hand_out(struct names *names, struct entry *entry, mach_port_t *receive)
{
	kern_return_t kr = KERN_SUCCESS;

	if (entry->is_declared)
		kr = request(names, entry->port, MACH_NOTIFY_PORT_DESTROYED, 0);
	if (kr)
		return kr;
	entry->state = ENTRY_HANDED_OUT;
	*receive = entry->port;
	return KERN_SUCCESS;
}

bool names_came_back(struct names *names, mach_port_t receive)
{
	for (unsigned int i = 0; i < NAMES_BUCKETS; i++)
		for (struct entry *e = names->buckets[i]; e; e = e->next)
			if (e->port == receive && e->state == ENTRY_HANDED_OUT) {
				e->state = ENTRY_KEPT;
				return true;
			}
	return false;
}

void names_died(struct names *names, mach_port_t dead)
{
	struct entry *next;

	for (unsigned int i = 0; i < NAMES_BUCKETS; i++)
		for (struct entry *e = names->buckets[i]; e; e = next) {
			next = e->next;
			if (e->port == dead || e->signature == dead)
				entry_check(names, e);
		}
}
