/* SPDX-License-Identifier: MIT */
#include "link/poller.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kernel/kernel.h"
#include "kernel/memory.h"
#include "kernel/remote.h"
#include "kernel/task.h"
#include "kernel/thread.h"
#include "kernel/watch.h"
#include "link/inbound.h"
#include "link/link.h"
#include "platform/cpu.h"
#include "platform/deadline.h"

enum {
	HOT_MAX = 32,
	EVENTS_MAX = 64,
	TICK_MS = 10,
	AWAIT_STEP_MS = 100,
};

/* A thread that waits while another has the role. */
struct candidate {
	struct list link;
	struct waiter *waiter;
};

static struct {
	atomic_bool is_taken;	/* the role */
	atomic_bool has_events; /* the background thread found the role taken */
	atomic_uint n_turns;	/* how often a holder who stays has taken in what was there */
	int epoll;		/* sockets, doorbells and the kick: the holder's */
	int kick;		/* eventfd */
	int sockets;		/* epoll: the background thread's, sockets and its own kick */
	int background_kick;
	int listening; /* -1: nowhere */
	void (*accept)(int fd);
	bool attends;		  /* what hot links are told; the holder's */
	atomic_uint n_leaves;	  /* how often somebody has left; changed by the holder */
	uint32_t n_leaves_ticked; /* at the last tick; the background thread's */
	atomic_bool is_ticking;	  /* the background thread; only it makes this false */
	struct list hot;	  /* link.hot_link, heard of last first; the holder's */
	/* link.rest_link: cold ones with something that was not taken, because it was too much, or nothing may be taken from
	 * them at the moment (link_is_held()); the holder's */
	struct list rest;
	unsigned n_rounds; /* of taking in since we last looked at epoll; the holder's */
	bool has_rest;	   /* it was too much for one turn; the holder's */
	unsigned n_hot;
	bool stays;	    /* the holder comes back after each turn, until he sleeps or leaves */
	unsigned n_watched; /* hot links where he watches for room; his */

	struct lock lock; /* guards what follows; rank REGISTRY */
	struct list candidates;
	atomic_uint n_candidates;
} poller;

static void eventfd_add(int fd)
{
	static const uint64_t one = 1;

	(void)!write(fd, &one, sizeof one);
}

/* ---- the role ----------------------------------------------------------------------------------------------------- */

static bool role_try(void)
{
	return !atomic_load(&poller.is_taken) && !atomic_exchange(&poller.is_taken, true);
}

static void nudge_candidate(void)
{
	lock_take(&poller.lock);
	if (!list_is_empty(&poller.candidates))
		waiter_nudge(list_first(&poller.candidates, struct candidate, link)->waiter);
	lock_drop(&poller.lock);
}

static void service_events(void);

void poller_attend_always(void)
{
	if (remote_is_linked())
		eventfd_add(poller.background_kick);
}

static void start_ticking(void)
{
	if (!atomic_load(&poller.is_ticking) && !atomic_exchange(&poller.is_ticking, true))
		eventfd_add(poller.background_kick);
}

bool poller_tick_soon(void)
{
	if (watch_count())
		return false;
	start_ticking();
	return true;
}

/* B1 of poller.h. */
static void role_release(void)
{
	bool attends = poller.attends;

	atomic_store(&poller.is_taken, false);
	if (attends)
		start_ticking();
}

static void role_drop(void)
{
	if (__builtin_expect(poller.has_rest, 0)) {
		poller.has_rest = false;
		poller_come_back();
	}
	role_release();
	/* Whoever takes it from us looks, too: only a holder takes the note back. */
	while (atomic_load(&poller.has_events) && role_try()) {
		atomic_store(&poller.has_events, false);
		service_events();
		role_release();
	}
	if (atomic_load(&poller.n_candidates))
		nudge_candidate();
	else if (watch_count())
		poller_attend_always();
}

void poller_come_back(void)
{
	start_ticking();
	eventfd_add(poller.background_kick);
}

void poller_kick(void)
{
	eventfd_add(poller.kick);
}

/* ---- hot links ---------------------------------------------------------------------------------------------------- */

/* By the holder. True: there was something. */
static bool drain_ring(struct link *link)
{
	bool has_any = inbound_drain(link);

	poller.has_rest |= link->has_rest;
	return has_any;
}

static bool drain_link(struct link *link)
{
	bool has_any = drain_ring(link);

	if (link->is_broken)
		link_end(link);
	return has_any;
}

/* Who sends more than a ring holds goes on as soon as there is room. That a holder who stays finds out by himself. */
static void watch_room(struct link *link)
{
	link->is_watched = true;
	poller.n_watched++;
	lock_take(&node.lock);
	ring_begin_watching(&link->ring);
	lock_drop(&node.lock);
}

static void unwatch_room(struct link *link)
{
	link->is_watched = false;
	poller.n_watched--;
	lock_take(&node.lock);
	link_end_watching_locked(link);
	lock_drop(&node.lock);
}

static void hot_unwatch_room(void)
{
	list_for_each(link, &poller.hot, struct link, hot_link)
		if (link->is_watched)
			unwatch_room(link);
	assert(poller.n_watched == 0);
	remote_settle();
}

static void link_make_cold(struct link *link)
{
	if (link->is_watched)
		unwatch_room(link);
	list_unlink(&link->hot_link);
	poller.n_hot--;
	ring_set_asleep(&link->ring, true);
	ring_set_attended(&link->ring, false);
}

/* Heard of just now. A link that becomes cold is looked at once more, so that nothing was put while it seemed hot. */
static void link_make_hot(struct link *link)
{
	struct link *coldest;

	if (list_is_linked(&link->hot_link)) {
		if (poller.hot.next != &link->hot_link) {
			list_unlink(&link->hot_link);
			list_prepend(&poller.hot, &link->hot_link);
		}
		return;
	}
	if (poller.n_hot == HOT_MAX) {
		coldest = container_of(poller.hot.prev, struct link, hot_link);
		link_make_cold(coldest);
		atomic_thread_fence(memory_order_seq_cst);
		(void)drain_link(coldest);
		if (coldest->state != LINK_ENDED && ring_has_more(&coldest->ring))
			list_append(&poller.rest, &coldest->rest_link);
	}
	if (list_is_linked(&link->rest_link))
		list_unlink(&link->rest_link);
	list_prepend(&poller.hot, &link->hot_link);
	poller.n_hot++;
	ring_set_asleep(&link->ring, false);
	ring_set_attended(&link->ring, poller.attends);
}

static void hot_set_asleep(bool is_asleep)
{
	list_for_each(link, &poller.hot, struct link, hot_link)
		ring_set_asleep(&link->ring, is_asleep);
}

static void hot_set_attended(bool is_attended)
{
	if (poller.attends == is_attended)
		return;
	poller.attends = is_attended;
	list_for_each(link, &poller.hot, struct link, hot_link)
		ring_set_attended(&link->ring, is_attended);
}

static bool link_is_late(struct link *link)
{
	return __builtin_expect(atomic_load_explicit(&link->has_backlog, memory_order_relaxed), 0);
}

static bool link_has_more(const struct link *link)
{
	return ring_has_more(&link->ring) && !link_is_held(link);
}

static bool rest_has_more(void)
{
	list_for_each(link, &poller.rest, struct link, rest_link)
		if (link_has_more(link))
			return true;
	return false;
}

static bool hot_have_more(void)
{
	if (__builtin_expect(!list_is_empty(&poller.rest), 0) && rest_has_more())
		return true;
	list_for_each(link, &poller.hot, struct link, hot_link)
		if (link_has_more(link) || (link_is_late(link) && ring_has_new_room(&link->ring)))
			return true;
	return false;
}

/* ---- taking in ---------------------------------------------------------------------------------------------------- */

static void service_events(void);

static void warm_rest(void)
{
	list_for_each(link, &poller.rest, struct link, rest_link)
		if (link_has_more(link)) {
			link_make_hot(link);
			return; /* others may have got here by that */
		}
}

/* Whoever always has something more must not keep us from those that only epoll knows of. */
static void count_round(bool was_full)
{
	enum { ROUNDS_MAX = 256, FULL_ROUND = 16 };

	poller.n_rounds += was_full ? FULL_ROUND : 1;
	if (poller.n_rounds < ROUNDS_MAX)
		return;
	poller.n_rounds = 0;
	service_events();
}

static void flush(struct link *link)
{
	lock_take(&node.lock);
	link_flush_locked(link);
	lock_drop(&node.lock);
	remote_settle();
}

static bool drain_hot(void)
{
	bool has_any = false;

	poller.has_rest = false;
	if (__builtin_expect(!list_is_empty(&poller.rest), 0))
		warm_rest();
	list_for_each(link, &poller.hot, struct link, hot_link) {
		if (link_is_late(link) && poller.stays && !link->is_watched)
			watch_room(link);
		if (link_has_more(link))
			has_any |= drain_link(link);
		else if (link_is_late(link))
			flush(link);
	}
	if (has_any) {
		remote_settle();
		count_round(poller.has_rest);
	}
	return has_any;
}

/* In the socket, where descriptors wait whose frames are still to come. */
static void tell_room(struct link *link)
{
	lock_take(&node.lock);
	if (link->state == LINK_LIVE && ring_publish_head(&link->ring))
		link_tell_room_locked(link);
	lock_drop(&node.lock);
}

static void break_link(struct link *link, const char *why)
{
	lock_take(&node.lock);
	link_break_locked(link, why);
	lock_drop(&node.lock);
}

/* What the peer had put is taken before its end is noticed. */
static void service_socket(struct link *link)
{
	uint32_t n_fds = link->n_fds;
	bool is_alive = link_read_socket(link);

	if (link->state == LINK_ENDED)
		return;
	if (link->state == LINK_LIVE)
		link_make_hot(link);
	link->is_closed = !is_alive;
	if (!drain_ring(link) && link->n_fds != n_fds)
		tell_room(link);
	/* Each was passed just before its frame was put, so not more than the last are too early. */
	if (link->n_fds == LINK_MAX_FDS && !ring_has_more(&link->ring))
		break_link(link, "it sent too many descriptors");
	if (link->state != LINK_ENDED && (!is_alive || link->is_broken))
		link_end(link);
}

/* What has come by a link that was hot is taken in at the next turn, as ever. */
static void service_doorbell(struct link *link)
{
	bool was_hot = list_is_linked(&link->hot_link);

	if (link->state != LINK_LIVE)
		return;
	link_make_hot(link);
	if (++link->n_rung % (DOORBELL_SIZE / 64) == 0)
		link_empty_doorbell(link);
	if (!was_hot && !drain_link(link) && link_is_late(link))
		flush(link);
}

/* What epoll tells of a descriptor: the link, and which of its two it is. */
enum { EVENT_DOORBELL = 1, EVENT_LISTENING = 2, EVENT_MARKS = 3 };

static struct link *event_link(void *what)
{
	return (struct link *)((uintptr_t)what & ~(uintptr_t)EVENT_MARKS);
}

static void service_event(void *what)
{
	struct link *link = event_link(what);
	uint64_t n;

	if (!what) {
		(void)!read(poller.kick, &n, sizeof n);
		return;
	}
	if ((uintptr_t)what == EVENT_LISTENING)
		poller.accept(poller.listening);
	else if ((uintptr_t)what & EVENT_DOORBELL)
		service_doorbell(link);
	else
		service_socket(link);
}

/* Links may end while events of theirs are still to be looked at: they are kept until then. */
static void service_several(const struct epoll_event *events, int n)
{
	struct link *links[EVENTS_MAX];

	lock_take(&node.lock);
	for (int i = 0; i < n; i++) {
		links[i] = event_link(events[i].data.ptr);
		if (links[i])
			link_ref_locked(links[i]);
	}
	lock_drop(&node.lock);
	for (int i = 0; i < n; i++)
		if (!links[i] || links[i]->state != LINK_ENDED)
			service_event(events[i].data.ptr);
	lock_take(&node.lock);
	for (int i = 0; i < n; i++)
		if (links[i])
			link_unref_locked(links[i]);
	lock_drop(&node.lock);
	remote_settle();
}

static struct timespec time_left(const struct deadline *deadline)
{
	struct timespec now, left;

	clock_gettime(CLOCK_MONOTONIC, &now);
	left.tv_sec = deadline->at.tv_sec - now.tv_sec;
	left.tv_nsec = deadline->at.tv_nsec - now.tv_nsec;
	if (left.tv_nsec < 0) {
		left.tv_sec--;
		left.tv_nsec += 1000000000L;
	}
	return left.tv_sec < 0 ? (struct timespec){ 0 } : left;
}

/* Not a cancellation point, unlike the library's. @deadline NULL: does not wait. */
static int wait_events(struct epoll_event *events, const struct deadline *deadline)
{
	struct timespec left;

	poller.n_rounds = 0;
	/* Cheaper, and understood by what runs programs that know no newer calls. */
	if (!deadline || deadline->never)
		return (int)syscall(SYS_epoll_pwait, poller.epoll, events, EVENTS_MAX, deadline ? -1 : 0, NULL, 0);
	left = time_left(deadline);
	return (int)syscall(SYS_epoll_pwait2, poller.epoll, events, EVENTS_MAX, &left, NULL, 0);
}

/* Most often it is one doorbell, of a link that is hot: nothing ends by that. */
static void service_all(const struct epoll_event *events, int n)
{
	void *what = events[0].data.ptr;

	if (n == 1 && ((uintptr_t)what & EVENT_MARKS) == EVENT_DOORBELL && list_is_linked(&event_link(what)->hot_link))
		service_doorbell(event_link(what));
	else
		service_several(events, n);
}

/* All that epoll knows of, without waiting. */
static void service_events(void)
{
	struct epoll_event events[EVENTS_MAX];
	int n;

	do {
		n = wait_events(events, NULL);
		if (n > 0)
			service_all(events, n);
	} while (n == EVENTS_MAX);
}

/* True: the role is ours. False: its holder has taken in what there was when we came. That takes two turns, because he may have
 * been in the middle of one. */
static bool role_take_or_wait(void)
{
	uint32_t before = atomic_load(&poller.n_turns), seen = before - 1, now;

	while (!role_try()) {
		now = atomic_load(&poller.n_turns);
		if (now - before >= 2)
			return false;
		if (now != seen)
			poller_kick();
		seen = now;
		sched_yield();
	}
	return true;
}

void poller_look(bool thoroughly)
{
	if (!(thoroughly ? role_take_or_wait() : role_try()))
		return;
	if (thoroughly || hot_have_more())
		(void)drain_hot();
	if (thoroughly)
		service_events();
	role_drop();
}

/* ---- waiting ------------------------------------------------------------------------------------------------------ */

/* Whom to spin for: who sent what this thread received last or, if that was on our own CPU (a notification of our own
 * kernel, say), the peer that we heard of last. */
static unsigned likely_cpu(unsigned partner_cpu)
{
	if ((partner_cpu != CPU_UNKNOWN && partner_cpu != cpu_current()) || list_is_empty(&poller.hot))
		return partner_cpu;
	return ring_cpu(&list_first(&poller.hot, struct link, hot_link)->ring);
}

/* False: the wait has ended, or there is something to take in. */
static bool spin(struct waiter *w, unsigned partner_cpu)
{
	uint32_t turns = waiter_spin_turns(w, likely_cpu(partner_cpu));

	for (uint32_t i = 0; i < turns; i++) {
		if (waiter_has_ended(w) || hot_have_more()) {
			waiter_spin_done(w, turns, true);
			return false;
		}
		cpu_relax();
	}
	waiter_spin_done(w, turns, false);
	return true;
}

static bool waiter_change(struct waiter *w, unsigned from, unsigned to)
{
	return atomic_compare_exchange_strong(&w->state, &from, to);
}

/* C1 to C4 of ring.h. @w is NULL for the background thread. */
static void sleep_for_events(struct waiter *w, const struct deadline *deadline)
{
	struct epoll_event events[EVENTS_MAX];
	int n = 0, error = 0;

	if (w && !waiter_change(w, WAITER_SPINNING, WAITER_POLLING))
		return;
	if (poller.n_watched)
		hot_unwatch_room();
	hot_set_asleep(true);
	atomic_thread_fence(memory_order_seq_cst);
	if (!hot_have_more()) {
		n = wait_events(events, deadline);
		error = n < 0 ? errno : 0;
	} else {
		n = 1; /* no time-out */
		events[0].data.ptr = NULL;
	}
	hot_set_asleep(false);
	if (w)
		(void)waiter_change(w, WAITER_POLLING, WAITER_SPINNING);
	if (n > 0)
		service_all(events, n);
	else if (w)
		waiter_cancel(w, error == EINTR ? WAITER_INTERRUPTED : WAITER_TIMED_OUT);
}

/* By the holder, the only one who counts. */
static void count_turn(void)
{
	uint32_t n = atomic_load_explicit(&poller.n_turns, memory_order_relaxed);

	atomic_store_explicit(&poller.n_turns, n + 1, memory_order_release);
}

/* With the role, until the wait ends. */
static void serve(struct waiter *w, const struct deadline *deadline, unsigned partner_cpu)
{
	hot_set_attended(true);
	poller.stays = true;
	for (;;) {
		while (drain_hot() && !waiter_has_ended(w))
			;
		count_turn();
		if (waiter_has_ended(w))
			break;
		if (spin(w, partner_cpu))
			sleep_for_events(w, deadline);
	}
	poller.stays = false;
	if (poller.n_watched)
		hot_unwatch_room();
	atomic_store_explicit(&poller.n_leaves, atomic_load_explicit(&poller.n_leaves, memory_order_relaxed) + 1,
			      memory_order_relaxed);
}

static void stand_in_line(struct waiter *w, const struct deadline *deadline, unsigned partner_cpu)
{
	struct candidate candidate = { .waiter = w };

	lock_take(&poller.lock);
	list_append(&poller.candidates, &candidate.link);
	atomic_fetch_add(&poller.n_candidates, 1);
	lock_drop(&poller.lock);
	/* The role may have been dropped before we stood in line. */
	if (atomic_load(&poller.is_taken) && !waiter_spin(w, partner_cpu))
		(void)waiter_sleep(w, deadline);
	lock_take(&poller.lock);
	list_unlink(&candidate.link);
	atomic_fetch_sub(&poller.n_candidates, 1);
	lock_drop(&poller.lock);
}

enum waiter_state poller_wait(struct waiter *w, const struct deadline *deadline, unsigned partner_cpu)
{
	remote_settle();
	while (!waiter_has_ended(w)) {
		if (role_try()) {
			serve(w, deadline, partner_cpu);
			role_drop();
		} else {
			stand_in_line(w, deadline, partner_cpu);
		}
	}
	/* We may have been nudged as our wait ended. */
	if (atomic_load(&poller.n_candidates) && !atomic_load(&poller.is_taken))
		nudge_candidate();
	return atomic_load_explicit(&w->state, memory_order_acquire);
}

static bool await(bool has_role, bool (*is_done)(void *what), void *what, unsigned ms)
{
	struct deadline deadline = deadline_after_ms(ms);

	while (!is_done(what) && !deadline_passed(&deadline)) {
		struct deadline soon = deadline_after_ms(ms < AWAIT_STEP_MS ? ms : AWAIT_STEP_MS);

		if (!has_role && !(has_role = role_try())) {
			sched_yield(); /* whoever has the role does our work */
			continue;
		}
		if (drain_hot())
			continue;
		sleep_for_events(NULL, &soon);
		count_turn();
	}
	if (has_role)
		role_drop();
	return is_done(what);
}

bool poller_await(bool (*is_done)(void *what), void *what, unsigned ms)
{
	return await(false, is_done, what, ms);
}

bool poller_begin(struct link *link, bool (*is_done)(void *link), unsigned ms)
{
	bool has_role = role_try();

	if (link_begin(link))
		return await(has_role, is_done, link, ms);
	if (has_role)
		role_drop();
	return false;
}

/* ---- the background thread ---------------------------------------------------------------------------------------- */

static void background_serve(void)
{
	atomic_store(&poller.has_events, true);
	if (!role_try())
		return; /* the holder will see has_events, or we the role dropped */
	atomic_store(&poller.has_events, false);
	service_events();
	(void)drain_hot();
	role_drop();
}

/* An urgent frame must not believe any more that somebody is here. */
static void cease_to_attend(void)
{
	hot_set_attended(false);
	atomic_thread_fence(memory_order_seq_cst);
	(void)drain_hot();
}

/* B2 of poller.h: somebody is here. */
static void stop_ticking(void)
{
	atomic_store(&poller.is_ticking, false);
	if (!atomic_load(&poller.is_taken))
		atomic_store(&poller.is_ticking, true);
}

static void background_tick(void)
{
	uint32_t n_leaves = atomic_load_explicit(&poller.n_leaves, memory_order_relaxed);
	bool is_quiet = n_leaves == poller.n_leaves_ticked;

	poller.n_leaves_ticked = n_leaves;
	if (!role_try()) {
		if (is_quiet)
			stop_ticking();
		return;
	}
	service_events();
	(void)drain_hot();
	if (is_quiet) {
		cease_to_attend();
		atomic_store(&poller.is_ticking, false);
	}
	role_drop();
}

/* Memory that no message has needed for a while is the background thread's to unmap, whether it waits or attends. */
static void trim_order(void)
{
	eventfd_add(poller.background_kick);
	if (watch_count())
		poller_kick();
}

/* When the background thread has to look by itself. */
static struct deadline trim_deadline(void)
{
	int ms = memory_trim();

	return ms < 0 ? deadline_never() : deadline_after_ms((uint32_t)ms);
}

/* As long as somebody polls for messages, in the place of a thread that waits. */
static void background_attend(void)
{
	struct deadline deadline;

	while (watch_count() && role_try()) {
		link_wake_late(); /* what was put before it could be known that we would be busy here */
		hot_set_attended(true);
		do {
			while (drain_hot())
				;
			count_turn();
			deadline = trim_deadline();
			sleep_for_events(NULL, &deadline);
		} while (watch_count());
		cease_to_attend();
		role_drop();
	}
}

/* True: something but a kick. */
static bool background_wait(void)
{
	struct epoll_event events[EVENTS_MAX];
	int trim = memory_trim(), timeout = atomic_load(&poller.is_ticking) ? TICK_MS : trim;
	int n = epoll_wait(poller.sockets, events, EVENTS_MAX, timeout);
	bool has_any = false;
	uint64_t count;

	for (int i = 0; i < n; i++) {
		if (events[i].data.ptr)
			has_any = true;
		else
			(void)!read(poller.background_kick, &count, sizeof count);
	}
	return has_any;
}

static void *background(void *thread)
{
	prctl(PR_SET_NAME, "portunus");
	thread_adopt(thread);
	for (;;) {
		if (background_wait())
			background_serve();
		else if (atomic_load(&poller.is_ticking))
			background_tick();
		link_wake_late();
		background_attend();
	}
	return NULL;
}

/* A small stack, unless the program's thread-local variables need more: memory that a program locks, or that is given in huge
 * pages, is there as a whole. */
static int background_create(struct thread *self)
{
	enum { STACK_BYTES = 256 << 10 };
	pthread_attr_t attributes;
	pthread_t thread;
	int error = pthread_attr_init(&attributes);

	if (error)
		return error;
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attributes, STACK_BYTES);
	error = pthread_create(&thread, &attributes, background, self);
	pthread_attr_destroy(&attributes);
	if (error == EINVAL && !(error = pthread_create(&thread, NULL, background, self)))
		pthread_detach(thread);
	return error;
}

static bool background_start(void)
{
	struct task *task = task_ref(kernel_root_task());
	struct thread *self = thread_new(task);
	sigset_t all, old;
	int error;

	if (!self) {
		task_unref(task);
		errno = ENOMEM;
		return false;
	}
	sigfillset(&all);
	sigdelset(&all, SIGSEGV);
	sigdelset(&all, SIGBUS);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	error = background_create(self);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (error) {
		thread_discard(self);
		errno = error;
		return false;
	}
	return true;
}

/* ---- making and forgetting ---------------------------------------------------------------------------------------- */

static bool epoll_add(int epoll, int fd, uint32_t events, void *data)
{
	struct epoll_event event = { .events = events, .data.ptr = data };

	return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

bool poller_init(void)
{
	list_init(&poller.hot);
	list_init(&poller.rest);
	list_init(&poller.candidates);
	lock_init(&poller.lock, RANK_REGISTRY);
	poller.epoll = epoll_create1(EPOLL_CLOEXEC);
	poller.sockets = epoll_create1(EPOLL_CLOEXEC);
	poller.kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	poller.background_kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (poller.epoll >= 0 && poller.sockets >= 0 && poller.kick >= 0 && poller.background_kick >= 0 &&
	    epoll_add(poller.epoll, poller.kick, EPOLLIN, NULL) &&
	    epoll_add(poller.sockets, poller.background_kick, EPOLLIN, NULL) && background_start()) {
		memory_keep_large(trim_order);
		return true;
	}
	poller_forget();
	return false;
}

void poller_forget(void)
{
	int error = errno;
	int *const fds[] = { &poller.epoll, &poller.sockets, &poller.kick, &poller.background_kick };

	for (unsigned i = 0; i < sizeof fds / sizeof *fds; i++)
		if (*fds[i] > 0)
			close(*fds[i]);
	memset(&poller, 0, sizeof poller);
	errno = error;
}

bool poller_watch(struct link *link)
{
	ring_set_asleep(&link->ring, true); /* cold */
	return epoll_add(poller.epoll, link->socket, EPOLLIN | EPOLLRDHUP, link) &&
	       epoll_add(poller.sockets, link->socket, EPOLLIN | EPOLLRDHUP | EPOLLET, link);
}

/* Of a descriptor that is no pipe we ask nothing: whoever made it may let us wait for the answer. */
bool poller_watch_doorbell(struct link *link, int fd)
{
	void *doorbell = (void *)((uintptr_t)link | EVENT_DOORBELL);

	if (fcntl(fd, F_GETPIPE_SZ) < 0 || !epoll_add(poller.epoll, fd, EPOLLIN | EPOLLET, doorbell))
		return false;
	link->peer_doorbell = fd;
	return true;
}

bool poller_listen(int fd, void (*accept)(int fd))
{
	poller.listening = fd;
	poller.accept = accept;
	return epoll_add(poller.epoll, fd, EPOLLIN, (void *)EVENT_LISTENING) &&
	       epoll_add(poller.sockets, fd, EPOLLIN | EPOLLET, (void *)EVENT_LISTENING);
}

void poller_unwatch(struct link *link)
{
	if (list_is_linked(&link->hot_link))
		link_make_cold(link);
	if (list_is_linked(&link->rest_link))
		list_unlink(&link->rest_link);
	(void)epoll_ctl(poller.epoll, EPOLL_CTL_DEL, link->socket, NULL);
	if (link->peer_doorbell >= 0)
		(void)epoll_ctl(poller.epoll, EPOLL_CTL_DEL, link->peer_doorbell, NULL);
	(void)epoll_ctl(poller.sockets, EPOLL_CTL_DEL, link->socket, NULL);
}

/* ---- the end of the process --------------------------------------------------------------------------------------- */

enum { EXIT_PATIENCE_MS = 10000 }; /* with peers that take nothing of what waits for them */

static bool nothing_waits(void *unused)
{
	(void)unused;
	return link_backlog_of_all() == 0;
}

/* What mach_msg() has sent is sent, also if the program ends now: what is in a ring is there for the peer to read, and what
 * found no room is waited for. */
__attribute__((destructor)) static void send_the_rest(void)
{
	size_t before;

	do {
		before = link_backlog_of_all();
	} while (before && !poller_await(nothing_waits, NULL, EXIT_PATIENCE_MS) && link_backlog_of_all() < before);
}
