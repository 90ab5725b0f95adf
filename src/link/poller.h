/* SPDX-License-Identifier: MIT */
#pragma once

/* Poller: who takes in what other nodes send, and how everybody sleeps.
 *
 * One thread at a time has the *role*: it alone takes frames out of rings, reads sockets, makes links live and ends them.
 *   - A thread that waits for a message takes the role if it is free: it takes frames in, spins as long as that pays, and
 *     sleeps in epoll. As it leaves it nudges another thread that waits, if there is one.
 *   - A call that does not wait takes the role for one look.
 *   - The background thread takes it when something happens on a socket (an urgent frame while nobody attends, a greeting,
 *     a death) and the role is free; and for as long as it is free, if there are descriptors made by portunus_port_fd(),
 *     which must become readable though nobody is in a call.
 * Attending: a program that calls all the time is hardly ever unattended for long, and to wake the background thread for each
 * urgent frame in between would cost more than the call. So who leaves goes on seeming to attend, and the background thread
 * *ticks*: every TICK_MS it takes in what has come. When nobody has been here for a whole tick it stops, and urgent frames use
 * the socket from then on. It stops, too, when somebody has been here for a whole tick and has not left: a program that waits.
 * So nothing urgent waits longer than a tick, and an idle program is never woken.
 *   leaving:  B1  drop the role, then look whether the background thread ticks; if not, set it going
 *   stopping: B2  say that it does not tick, then look whether the role is taken; if not, tick on
 *   All four are seq_cst, so when the role is free and links are told that somebody attends, it ticks.
 * A tick is also when peers are woken for what they were sent and nobody is in a hurry about (URGENCY_SOON), if nothing has
 * woken them since.
 * Who finds the role taken has nothing to do, except the background thread: it sets has_events, which the holder looks at
 * after it has dropped the role, and then tries again, so one of the two goes on.
 *
 * Hot and cold: the links that were heard of last, up to HOT_MAX, are *hot*: their rings are looked at in each turn, and
 * they are told whether we sleep and whether anybody attends. To the others we always seem asleep and unattended, so they
 * ring their doorbells, and epoll finds them. So a thousand idle peers cost nothing. */

#include <stdbool.h>

#include "kernel/waiter.h"

struct deadline;
struct link;

/* Before the first link. False with errno: no descriptor, memory or thread. */
bool poller_init(void);
void poller_forget(void); /* in the child of a fork */

/* A socket to be watched. False with errno. */
bool poller_watch(struct link *link);
/* The peer's doorbell has come: by the holder of the role. Takes it, unless it returns false: it is none. */
bool poller_watch_doorbell(struct link *link, int fd);
/* By the holder of the role: not any more. */
void poller_unwatch(struct link *link);

/* Something was left that a descriptor may not tell of again: whoever has the role looks once more, soon. */
void poller_come_back(void);

/* A listening socket, of which there is one: @accept is called when somebody has connected, by the holder of the role, with
 * no lock held. False with errno. */
bool poller_listen(int fd, void (*accept)(int fd));

/* Takes in what comes until @is_done(@what). False: it is not, after so many milliseconds. For a thread that makes links, and
 * can not receive yet, or needs an answer. */
enum { POLLER_PATIENCE_MS = 30000 }; /* with a peer that is to come; then the caller goes on without */
bool poller_await(bool (*is_done)(void *what), void *what, unsigned ms);
/* The same from the beginning of a link on, link_begin(): what comes first is taken in by this thread, if nobody had the role
 * before, and not by the background thread, whose first malloc() would give it an arena of its own. */
bool poller_begin(struct link *link, bool (*is_done)(void *link), unsigned ms);

/* remote_ops */
void poller_look(bool thoroughly);
enum waiter_state poller_wait(struct waiter *w, const struct deadline *deadline, unsigned partner_cpu);
void poller_kick(void);

/* The background thread calls link_wake_late() within a tick. False: it cannot, because it stands in for a thread that waits. */
bool poller_tick_soon(void);

/* Descriptors made by portunus_port_fd() exist from now on, or have again come into being. */
void poller_attend_always(void);
