/* SPDX-License-Identifier: MIT */
#ifndef BROKER_NAMES_H
#define BROKER_NAMES_H

/* A table of names that stand for ports. An entry lives as long as its port and as what it is signed with; one that is
 * declared outlives its port:
 *
 *   KEPT         the broker made the port and holds the receive right; messages wait in it
 *   HANDED_OUT   it was handed out, to whoever serves
 *   FOREIGN      the port is somebody else's
 *
 *   -> KEPT                 names_declare
 *   -> FOREIGN              names_add; from each state: names_change
 *   KEPT -> HANDED_OUT      names_hand_out
 *   HANDED_OUT -> KEPT      the receive right came back (names_came_back)
 *   not KEPT -> KEPT        declared, and the port is dead: a new one is made
 *   not KEPT -> gone        not declared, and the port is dead
 *
 * Of deaths the table hears by notifications to its notify port, which its user hands on to names_died() and
 * names_came_back(). A port that has died is found out by names_find(), too, when the news is still under way. */

#include <mach/mach_types.h>
#include <mach/port.h>
#include <stdbool.h>
#include <sys/types.h>

#define NAMES_BUCKETS 1024

enum names_case { NAMES_EXACT, NAMES_ANY_CASE };
enum entry_state { ENTRY_KEPT, ENTRY_HANDED_OUT, ENTRY_FOREIGN };

struct entry {
	struct entry *next;    /* in its bucket */
	mach_port_t port;      /* one reference to a send right, or to the dead name that it became */
	mach_port_t signature; /* the same, or MACH_PORT_NULL */
	enum entry_state state;
	bool is_declared;
	pid_t owner; /* the process that it was made for; 0: declared by the broker itself */
	char name[];
};

struct names {
	enum names_case how;
	unsigned int n, max; /* max: of one owner, and sixteen times as many of all */
	mach_port_t notify;  /* a receive right; borrowed */
	struct entry *buckets[NAMES_BUCKETS];
};

void names_init(struct names *names, enum names_case how, unsigned int max, mach_port_t notify);
/* Gives back every right that the entries hold. */
void names_deinit(struct names *names);

/* The entry of that name, with a port and a signature that are alive, or NULL. */
struct entry *names_find(struct names *names, const char *name);

/* A new name. Takes one reference of each right on success.
 *   KERN_RESOURCE_SHORTAGE   no memory, or the table is full, or the owner has enough */
kern_return_t names_add(struct names *names, pid_t owner, const char *name, mach_port_t port, mach_port_t signature,
			struct entry **entry);
/* The same for a port that is made and kept here. */
kern_return_t names_declare(struct names *names, pid_t owner, const char *name, struct entry **entry);
/* The entry stands for another port from now on. Takes one reference. */
kern_return_t names_change(struct names *names, struct entry *entry, mach_port_t port);
void names_remove(struct names *names, struct entry *entry);

/* From KEPT to HANDED_OUT: the receive right is the caller's to give away. What is declared hears of its end. */
kern_return_t names_hand_out(struct names *names, struct entry *entry, mach_port_t *receive);
/* A receive right came back by port-destroyed; taken. False: it was none of this table's, and is the caller's. */
bool names_came_back(struct names *names, mach_port_t receive);
/* A port died: what stood for it, or was signed with it, goes. */
void names_died(struct names *names, mach_port_t dead);

#endif
