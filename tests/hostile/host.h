/* SPDX-License-Identifier: MIT */
/* A victim and its surroundings: this process starts it as its parent, by hand, and over that link behaves; further links
 * of this process to it are for attacks. */
#ifndef TESTS_HOSTILE_HOST_H
#define TESTS_HOSTILE_HOST_H

#include "victim.h"
#include "wire.h"

struct host {
	pid_t pid;
	int log; /* what it writes to stderr */
	struct peer parent;
	uint32_t service; /* its index for us of its service */
	uint64_t next_ticket;
	struct report before;
};

void host_start(struct host *h);
/* A report; fails the test if none comes. */
struct report host_report(struct host *h);
/* It answers us, its friend goes on, and nothing is left of what came since the start. */
void host_expect_balance(struct host *h);
void host_expect_life(struct host *h);
/* It ends well; what it wrote is @log, of @size bytes. */
void host_end(struct host *h, char *log, size_t size);

/* A further node of this process, which the victim has been told of and not been greeted by; and one that has greeted. */
void host_introduce(struct host *h, struct peer *p);
void host_link(struct host *h, struct peer *p);
/* The index of a send right to the service that @p is granted. */
uint32_t host_grant(struct host *h, struct peer *p);
/* The same without taking the offer. */
void host_deposit(struct host *h, struct peer *p, uint64_t number);

/* Sends the service a word. */
void host_say(struct host *h, int word);

#endif
