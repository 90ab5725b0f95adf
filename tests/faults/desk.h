/* SPDX-License-Identifier: MIT */
/* What those do with messages who survive in the kill campaign (kill.c): each sits at a desk, answers what comes, and keeps
 * account of what the others' death owes it. The victim (victim.c) talks to two desks.
 *
 *   D1  each send right of others that a desk holds turns into a dead name, with the notification that it asked for
 *   D2  each of its ports to which others hold send rights brings no-senders, once
 *   D3  each send-once right that it gave away brings one message: the answer, or send-once
 *   D4  a message is whole, and those of one sender to one port come in order
 *   D5  a right of a survivor's port that one gets from the victim is good, and works
 *   D6  nothing else comes, and nothing else fails; a blocked sender is released
 * A desk closes when it has got all that it is owed and nobody can write to it any more. Its process has then as many
 * objects as before, or one of these was not kept. */
#ifndef TESTS_FAULTS_DESK_H
#define TESTS_FAULTS_DESK_H

#include "family.h"

/* What the victim is: most workloads can be seen from more than one side. */
enum role {
	RPC_CLIENT,
	RPC_SERVER,
	RIGHTS_CLIENT,
	RIGHTS_SERVER,
	HANDOFF_GIVER,	  /* of a right of one survivor's port, to the other */
	HANDOFF_OWNER,	  /* of the port */
	HANDOFF_RECEIVER, /* of the right */
	MIGRATE_HOME,	  /* it and a survivor send each other a port, to which the other survivor sends messages */
	MIGRATE_HOLDER,	  /* the survivors send each other a port, to which it sends messages */
	BULK_CLIENT,
	BULK_SERVER,
	ROLES
};

enum { DESKS = 2, DESK_PATIENCE = 20000 /* milliseconds */ };

/* What messages want, by their id. */
enum wish {
	WISH_ANSWER = 1000, /* a reply, to an operation or by a send-once right that was given */
	WISH_HELLO,	    /* two send rights: the sender's port, and the front of the other desk */
	WISH_CALL,	    /* an answer with the same number */
	WISH_RIGHTS,	    /* a send and a send-once right, to be answered with two such */
	WISH_PASS,	    /* a send right: call it, then answer */
	WISH_HOLD,	    /* a send right, to which to send in order */
	WISH_TAKE,	    /* a receive right, to be looked into and given back */
	WISH_BULK,	    /* memory, to be answered with as much */
	WISH_NOTE,	    /* nothing */
	WISH_LEAVE,	    /* that the victim waits no longer */
};

/* ---- messages */

void letter_ask(struct letter *l, mach_port_t to, enum wish wish, mach_port_t reply);
mach_port_t letter_nth_port(const struct letter *l, unsigned n);
int letter_number(const struct letter *l);
/* Sends, and waits while the queue is full. False: the port is dead, and the message is the caller's still. */
bool letter_send(struct letter *l);
/* To the send-once right that came with a message; gives it back if it is dead. */
bool letter_answer(struct letter *l);
/* Memory with a pattern, and whether it is there. */
void letter_add_bulk(struct letter *l, unsigned n);
void letter_check_bulk(const struct letter *l, unsigned n);
unsigned letter_bulk_number(const struct letter *l); /* of a request, where it comes after the memory */
#define BULK_SIZE(n) (((n)*7919u % 40u + 1) * 4096u)

/* Fails the process. */
#define must(condition) ((condition) ? (void)0 : must_not(#condition, __FILE__, __LINE__))
_Noreturn void must_not(const char *what, const char *file, int line);
#define must_succeed(call) must_be_success((call), #call, __FILE__, __LINE__)
void must_be_success(kern_return_t r, const char *what, const char *file, int line);
/* NULL, or what a victim does whose host was made to fail (failing.c): it returns if that does not explain the result. */
extern void (*on_failure)(kern_return_t r);

/* ---- desks */

/* Opens one; returns its front, to which somebody is to be given a send right. @may_lack: the victim may be unable to be linked to
 * the others, so what it passes on may be dead. */
mach_port_t desk_open(struct process *p, enum role role, bool may_lack);
struct desk_report {
	unsigned n_messages, n_answers, n_died; /* received; of send-once rights: answers, notifications */
	unsigned n_seen, last_seen;		/* at a port that moves */
};
/* It works in a lane of that process until it closes. */
void desk_begin(struct process *p);
struct desk_report desk_end(struct process *p);

/* The main() of a victim. */
int victim_main(enum role role);
/* Its role, and then it lives on. */
void victim_play(enum role role, const mach_port_t *fronts);

#endif
