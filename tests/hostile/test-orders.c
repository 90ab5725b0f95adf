/* SPDX-License-Identifier: MIT */
/* Peers that keep to the rules, and whose frames come in orders that processes seldom bring about: what two nodes say to a third
 * is taken in any order. Nothing is left of it, and no link is dropped, unless a test says so. */
#include "host.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <mach/message.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "link/limits.h"

/* More than may wait at a time on one peer's account, so what is left of each shows. */
enum { BATCH = 256, ROUNDS = LINK_MAX_WAITING / BATCH + 2 };

enum { OTHER_ID = 1 }; /* of a message of no word */

/* What the victim is to say. */
static char expected[128];

static bool has_said_all(const struct host *h)
{
	char log[sizeof expected] = "";

	return pread(h->log, log, sizeof log - 1, 0) >= 0 && strcmp(log, expected) == 0;
}

static bool is_taken(const struct peer *p)
{
	return atomic_load(&p->theirs->head) == p->tail;
}

/* ---- a port that moves, and dies before its holder has followed ------------------------------------------------------ */

static void send_moved(struct peer *old, const struct peer *new, uint64_t first)
{
	for (uint32_t i = 0; i < BATCH; i++)
		assert_true(ticket_send(old, FRAME_MOVED, new->id, first + i, right_mine(0, i)));
}

static void send_void(struct peer *new, const struct peer *old, uint64_t first)
{
	for (uint32_t i = 0; i < BATCH; i++)
		assert_true(ticket_send(new, FRAME_VOID, old->id, first + i, right_none));
}

/* Of relays, each of which is kept until the holder has answered. */
static void send_died(struct peer *old)
{
	struct frame_index flush;

	for (uint32_t i = 0; i < BATCH; i++)
		assert_true(index_send(old, FRAME_DIED, i, 1, 0, 0));
	for (uint32_t i = 0; i < BATCH; i++)
		assert_true(peer_take_type(old, FRAME_FLUSH, &flush, sizeof flush));
}

/* The new home says so first. */
static void new_home_tells_of_death_first(struct host *h)
{
	struct peer old, new;

	host_link(h, &old);
	host_link(h, &new);
	for (uint64_t i = 0; i < ROUNDS; i++) {
		send_moved(&old, &new, 1 + i * BATCH);
		send_void(&new, &old, 1 + i * BATCH);
		assert_true(soon(is_taken(&new)));
		send_died(&old);
	}
	peer_deinit(&old);
	peer_deinit(&new);
}

/* The old one does. */
static void old_home_tells_of_death_first(struct host *h)
{
	struct peer old, new;

	host_link(h, &old);
	host_link(h, &new);
	for (uint64_t i = 0; i < ROUNDS; i++) {
		send_moved(&old, &new, 1 + i * BATCH);
		send_died(&old);
		send_void(&new, &old, 1 + i * BATCH);
		assert_true(soon(is_taken(&new)));
	}
	peer_deinit(&old);
	peer_deinit(&new);
}

/* ---- the old home dies ----------------------------------------------------------------------------------------------- */

/* A message with a right of the sender's, which is dropped where it arrives. */
static void send_right(struct peer *p, uint32_t service, uint32_t index)
{
	struct wire_right right = right_mine(MACH_MSG_TYPE_PORT_SEND, index);
	struct writing w;

	(void)complex_begin(&w, service, OTHER_ID, right_none, right.kind, 1);
	writing_add(&w, &right, sizeof right);
	assert_true(message_put(p, &w));
}

/* It had not passed on that the holder has dropped its right; and the new home knows of its death, and says what the holder is to
 * have, before the holder does. */
static void new_home_knows_first_that_the_old_one_died(struct host *h)
{
	struct wire_right offered = { WIRE_MINE, 0, 5, 4 };
	struct peer old, new;
	struct frame_index f;

	host_link(h, &old);
	host_link(h, &new);
	send_right(&old, host_grant(h, &old), 7);
	assert_true(peer_take_type(&old, FRAME_COUNT, &f, sizeof f));
	assert_int_equal(f.sends, -1);
	assert_true(ticket_send(&old, FRAME_MOVED, new.id, 1, right_mine(0, 7)));
	assert_true(soon(is_taken(&old)));
	assert_true(ticket_send(&new, FRAME_OFFER, old.id, 1, offered));
	assert_true(peer_take_type(&old, FRAME_FLUSH, &f, sizeof f));
	assert_int_equal(f.sends, 0);
	assert_true(index_send(&new, FRAME_READY, offered.value, 1, 0, 0));
	assert_true(peer_take_type(&new, FRAME_COUNT, &f, sizeof f));
	assert_int_equal(f.index, offered.value);
	assert_int_equal(f.sends, -1);
	peer_deinit(&old);
	peer_deinit(&new);
}

/* ---- who follows, and what is named meanwhile --------------------------------------------------------------------------- */

/* What @p sends next stays in the queue, and the rights with it are the victim's own, until it is told to go on. */
static void pause_victim(struct peer *p, uint32_t service)
{
	assert_true(message_send(p, service, MACH_MSG_TYPE_PORT_SEND, WORD_PAUSE));
}

static void resume_victim(struct host *h)
{
	assert_int_equal(kill(h->pid, SIGUSR1), 0);
}

enum { OLD_INDEX = 7, NEW_INDEX = 4 };

/* The victim holds a right to a port of @old, which has moved to @new, and is between the two. */
static void begin_to_follow(struct peer *old, struct peer *new, uint32_t service)
{
	struct wire_right offered = { WIRE_MINE, 0, 5, NEW_INDEX };
	struct frame_index f;

	pause_victim(old, service);
	send_right(old, service, OLD_INDEX);
	assert_true(ticket_send(old, FRAME_MOVED, new->id, 1, right_mine(0, OLD_INDEX)));
	assert_true(soon(is_taken(old)));
	assert_true(ticket_send(new, FRAME_OFFER, old->id, 1, offered));
	assert_true(peer_take_type(old, FRAME_FLUSH, &f, sizeof f));
	assert_int_equal(f.index, OLD_INDEX);
	assert_int_equal(f.sends, 1);
}

static void expect_given_back(struct peer *p, uint32_t index)
{
	struct frame_index f;

	assert_true(peer_take_type(p, FRAME_COUNT, &f, sizeof f));
	assert_int_equal(f.index, index);
	assert_int_equal(f.sends, -1);
	assert_int_equal(f.onces, 0);
}

/* The old home has FLUSH, and grants another port under the index that is free again, before the new home says READY. */
static void old_index_is_granted_again(struct host *h)
{
	struct peer old, new;
	uint32_t service;

	host_link(h, &old);
	host_link(h, &new);
	service = host_grant(h, &old);
	begin_to_follow(&old, &new, service);
	send_right(&old, service, OLD_INDEX);
	assert_true(soon(is_taken(&old)));
	assert_true(index_send(&new, FRAME_READY, NEW_INDEX, 1, 0, 0));
	assert_true(soon(is_taken(&new)));
	resume_victim(h);
	expect_given_back(&old, OLD_INDEX);
	expect_given_back(&new, NEW_INDEX);
	peer_deinit(&old);
	peer_deinit(&new);
}

/* The port dies at its new home, which hears that nothing more will come for the index that it has offered. */
static void what_was_offered_is_given_back_though_it_is_dead(struct host *h)
{
	struct peer old, new;
	struct frame_index f;

	host_link(h, &old);
	host_link(h, &new);
	begin_to_follow(&old, &new, host_grant(h, &old));
	assert_true(index_send(&new, FRAME_DIED, NEW_INDEX, 0, 0, 0));
	assert_true(ticket_send(&new, FRAME_VOID, old.id, 1, right_none));
	assert_true(peer_take_type(&new, FRAME_COUNT, &f, sizeof f));
	assert_int_equal(f.index, NEW_INDEX);
	assert_int_equal(f.sends, 0);
	assert_true(f.is_end);
	resume_victim(h);
	peer_deinit(&old);
	peer_deinit(&new);
}

/* ---- a port that moves to the victim, and dies there before its holder has followed ---------------------------------- */

enum { MOVED_INDEX = INDEX_IS_ADOPTED | 1, MOVED_TICKET = 9 };

/* MOVE, of a port to which only @holder has a right, and that right; and the message with the port, which waits to be received. */
static uint32_t move_to_victim(struct host *h, struct peer *old, struct peer *holder, struct frame_ticket *offer)
{
	struct {
		struct frame_move f;
		struct move_holder holder;
	} move = {
		.f = { .header = { sizeof move, FRAME_MOVE, 0 },
		       .index = MOVED_INDEX,
		       .mine = INDEX_NONE,
		       .sends = 1,
		       .limit = 5,
		       .n_holders = 1 },
		.holder = { holder->id, MOVED_TICKET, 1, 0 },
	};
	struct wire_right right = { WIRE_RECEIVE, MACH_MSG_TYPE_PORT_RECEIVE, 0, MOVED_INDEX };
	uint32_t service = host_grant(h, old);
	struct writing w;

	pause_victim(old, service);
	assert_true(peer_put(old, &move, sizeof move));
	(void)complex_begin(&w, service, OTHER_ID, right_none, right.kind, 1);
	writing_add(&w, &right, sizeof right);
	assert_true(message_put(old, &w));
	assert_true(peer_take_type(holder, FRAME_OFFER, offer, sizeof *offer));
	assert_int_equal(offer->right.kind, 0);
	assert_int_equal(offer->number, MOVED_TICKET);
	return offer->right.value;
}

static void send_flushed(struct peer *old, const struct peer *holder)
{
	struct frame_ticket f = {
		.header = { sizeof f, FRAME_FLUSHED, 0 },
		.node = holder->id,
		.number = MOVED_TICKET,
		.right = { WIRE_YOURS, 0, 0, MOVED_INDEX },
		.sends = 1,
	};

	assert_true(peer_put(old, &f, sizeof f));
	assert_true(index_send(old, FRAME_COUNT, MOVED_INDEX, 0, 0, 1));
}

static bool has_ports(struct host *h, long n)
{
	return host_report(h).counts.ports == n;
}

/* It hands on a right that it had been told of by the offer, and the new home has not heard of that when the port dies. */
static void holder_gives_what_died_as_it_was_offered(struct host *h)
{
	struct peer old, holder;
	struct frame_ticket f;
	uint32_t index;
	long n_ports;

	host_link(h, &old);
	host_link(h, &holder);
	n_ports = host_report(h).counts.ports;
	index = move_to_victim(h, &old, &holder, &f);
	resume_victim(h);
	assert_true(peer_take_type(&holder, FRAME_VOID, &f, sizeof f));
	assert_true(ticket_send(&holder, FRAME_DEPOSIT, old.id, 1, right_moved(MACH_MSG_TYPE_PORT_SEND, index)));
	assert_true(peer_take_type(&old, FRAME_VOID, &f, sizeof f));
	assert_int_equal(f.node, holder.id);
	assert_true(index_send(&holder, FRAME_COUNT, index, 0, 0, 1));
	send_flushed(&old, &holder);
	assert_true(soon(has_ports(h, n_ports)));
	peer_deinit(&old);
	peer_deinit(&holder);
}

/* All that came by the old way has not been delivered, because of a right that is still to come. */
static void port_dies_between_flushed_and_ready(struct host *h)
{
	struct wire_right right = { WIRE_TICKET, MACH_MSG_TYPE_PORT_SEND, 0, 0 }, dead = { .kind = right.kind };
	struct peer old, holder;
	struct wire_ticket ticket;
	struct frame_ticket f;
	struct writing w;
	uint32_t index;
	long n_ports;

	host_link(h, &old);
	host_link(h, &holder);
	ticket = (struct wire_ticket){ holder.id, 1 };
	n_ports = host_report(h).counts.ports;
	index = move_to_victim(h, &old, &holder, &f);
	(void)complex_begin(&w, MOVED_INDEX, OTHER_ID, right_none, right.kind, 1);
	writing_add(&w, &right, sizeof right);
	writing_add(&w, &ticket, sizeof ticket);
	assert_true(message_put(&old, &w));
	send_flushed(&old, &holder);
	assert_true(soon(is_taken(&old)));
	resume_victim(h);
	assert_true(peer_take_type(&holder, FRAME_VOID, &f, sizeof f));
	assert_true(index_send(&holder, FRAME_COUNT, index, 0, 0, 1));
	assert_true(ticket_send(&holder, FRAME_VOID, old.id, 1, dead));
	assert_true(soon(has_ports(h, n_ports)));
	peer_deinit(&old);
	peer_deinit(&holder);
}

/* ---- a right that is handed on, to a port that has died ---------------------------------------------------------------- */

/* The owner says so before the giver's message has come. */
static void ticket_comes_after_its_owner_has_said_no(struct host *h)
{
	struct wire_right dead = { WIRE_NULL, MACH_MSG_TYPE_PORT_SEND, 0, 0 }, right = dead;
	unsigned long n_served = host_report(h).n_served;
	struct peer giver, owner;
	struct wire_ticket ticket;
	struct writing w;

	host_link(h, &giver);
	host_link(h, &owner);
	right.form = WIRE_TICKET;
	ticket = (struct wire_ticket){ owner.id, 1 };
	assert_true(ticket_send(&owner, FRAME_VOID, giver.id, 1, dead));
	assert_true(soon(is_taken(&owner)));
	(void)complex_begin(&w, host_grant(h, &giver), OTHER_ID, right_none, right.kind, 1);
	writing_add(&w, &right, sizeof right);
	writing_add(&w, &ticket, sizeof ticket);
	assert_true(message_put(&giver, &w));
	assert_true(soon(host_report(h).n_served == n_served + 1));
	peer_deinit(&giver);
	peer_deinit(&owner);
}

/* ---- a peer that dies ------------------------------------------------------------------------------------------------ */

/* It has greeted, and put a frame, and has not read what was sent to it; all that is there when the victim looks. */
static void last_words_of_a_peer_that_read_nothing(struct host *h)
{
	struct frame_index nonsense = { .header = { sizeof nonsense, FRAME_TYPES, 0 } };
	struct pollfd pollfd;
	struct greeting g;
	struct peer p;

	host_introduce(h, &p);
	if (p.id > p.other_id)
		skip(); /* pids have begun anew: the victim sends nothing before we do */
	pollfd = (struct pollfd){ p.socket, POLLIN, 0 };
	assert_int_equal(poll(&pollfd, 1, 20000), 1);
	assert_int_equal(kill(h->pid, SIGSTOP), 0);
	peer_seal(&p);
	g = peer_greeting(&p);
	peer_put_raw(&p, &nonsense, sizeof nonsense);
	peer_send_greeting(&p, &g);
	peer_deinit(&p);
	assert_int_equal(kill(h->pid, SIGCONT), 0);
	snprintf(expected, sizeof expected, "portunus: link to process %d dropped: a frame of an unknown type\n",
		 (int)getpid());
	assert_true(soon(has_said_all(h)));
}

/* ---- running ------------------------------------------------------------------------------------------------------ */

static void run(void **state)
{
	void (*order)(struct host *) = *(void (**)(struct host *)) * state;
	static char log[1 << 16];
	struct host h;

	expected[0] = '\0';
	host_start(&h);
	order(&h);
	host_expect_life(&h);
	host_expect_balance(&h);
	host_end(&h, log, sizeof log);
	assert_string_equal(log, expected);
}

#define order(name) \
	{ \
#name, run, NULL, NULL, &(void (*)(struct host *)) \
		{ \
			name \
		} \
	}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		order(new_home_tells_of_death_first),
		order(old_home_tells_of_death_first),
		order(new_home_knows_first_that_the_old_one_died),
		order(old_index_is_granted_again),
		order(what_was_offered_is_given_back_though_it_is_dead),
		order(holder_gives_what_died_as_it_was_offered),
		order(port_dies_between_flushed_and_ready),
		order(last_words_of_a_peer_that_read_nothing),
		order(ticket_comes_after_its_owner_has_said_no),
	};

	signal(SIGPIPE, SIG_IGN); /* where a link is dropped */
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
