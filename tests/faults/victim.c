/* SPDX-License-Identifier: MIT */
/* What the victim of the kill campaign does, in each of its roles, until it is killed: at the given step or, if it comes
 * that far, at the end. */
#include "desk.h"

#include <signal.h>
#include <unistd.h>

enum { ROUNDS = 12, MOVES = 6 };

static mach_port_t fronts[DESKS], service, reply, unread;

static void find_fronts(void)
{
	mach_port_t *ports;
	mach_msg_type_number_t n;

	must_succeed(mach_ports_lookup(here(), &ports, &n));
	must(n >= DESKS);
	memcpy(fronts, ports, sizeof fronts);
	vm_deallocate(here(), (vm_address_t)ports, n * sizeof *ports);
}

static mach_port_t new_port(void)
{
	mach_port_t name = MACH_PORT_NULL;

	must_succeed(mach_port_allocate(here(), MACH_PORT_RIGHT_RECEIVE, &name));
	return name;
}

static void receive(mach_port_t port, struct letter *l)
{
	must_succeed(mach_msg(&l->header, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof l->bytes, port, DESK_PATIENCE,
			      MACH_PORT_NULL));
	l->size = l->header.msgh_size;
}

/* What it serves. */
static void receive_request(struct letter *l)
{
	receive(service, l);
	if (l->header.msgh_id == WISH_LEAVE)
		must_succeed(MACH_SEND_INVALID_DEST);
}

/* Nobody but itself dies. */
static void send(struct letter *l)
{
	if (!letter_send(l))
		must_succeed(MACH_SEND_INVALID_DEST);
}

/* What it asks is answered. */
static void call(struct letter *l)
{
	send(l);
	receive(reply, l);
	if (l->header.msgh_id == MACH_NOTIFY_SEND_ONCE)
		must_succeed(MACH_SEND_INVALID_DEST);
	must(l->header.msgh_id == WISH_ANSWER);
}

static void hello(mach_port_t to, mach_port_t other)
{
	struct letter l;

	letter_ask(&l, to, WISH_HELLO, MACH_PORT_NULL);
	letter_add_port(&l, service, MACH_MSG_TYPE_MAKE_SEND);
	letter_add_port(&l, other, MACH_MSG_TYPE_COPY_SEND);
	send(&l);
}

static void add_rights(struct letter *l)
{
	letter_add_port(l, new_port(), MACH_MSG_TYPE_MAKE_SEND);
	letter_add_port(l, unread, MACH_MSG_TYPE_MAKE_SEND_ONCE);
}

/* ---- it asks */

static void ask_number(unsigned n)
{
	struct letter l;

	letter_ask(&l, fronts[n % DESKS], WISH_CALL, reply);
	letter_add_int(&l, (int)n);
	call(&l);
	must(letter_number(&l) == (int)n);
}

static void note(mach_port_t to, mach_msg_type_name_t disposition)
{
	struct letter l;

	letter_to(&l, to, disposition, WISH_NOTE);
	send(&l);
}

static void ask_rights(unsigned n)
{
	struct letter l;

	letter_ask(&l, fronts[n % DESKS], WISH_RIGHTS, reply);
	add_rights(&l);
	call(&l);
	note(letter_nth_port(&l, 0), n % 3 ? MACH_MSG_TYPE_COPY_SEND : MACH_MSG_TYPE_MOVE_SEND);
	if (n & 4)
		note(letter_nth_port(&l, 1), MACH_MSG_TYPE_MOVE_SEND_ONCE);
	else
		must_succeed(mach_port_deallocate(here(), letter_nth_port(&l, 1)));
}

/* A right of one to the other. */
static void pass(unsigned n)
{
	struct letter l;
	mach_port_t name;

	letter_ask(&l, fronts[n % DESKS], WISH_RIGHTS, reply);
	add_rights(&l);
	call(&l);
	name = letter_nth_port(&l, 0);
	letter_ask(&l, fronts[(n + 1) % DESKS], WISH_PASS, reply);
	letter_add_port(&l, name, n & 2 ? MACH_MSG_TYPE_COPY_SEND : MACH_MSG_TYPE_MOVE_SEND);
	call(&l);
}

static void ask_bulk(unsigned n)
{
	struct letter l;

	letter_ask(&l, fronts[n % DESKS], WISH_BULK, reply);
	letter_add_bulk(&l, n);
	letter_add_int(&l, (int)n);
	call(&l);
	letter_check_bulk(&l, n + 1);
}

/* ---- it serves */

static void answer_call_of(mach_port_t name)
{
	struct letter l;

	letter_to(&l, name, MACH_MSG_TYPE_MOVE_SEND, WISH_CALL);
	letter_reply_to(&l, reply, MACH_MSG_TYPE_MAKE_SEND_ONCE);
	letter_add_int(&l, 7);
	call(&l);
}

static void serve_once(void)
{
	struct letter l, answer;
	unsigned n;

	receive_request(&l);
	letter_to(&answer, l.header.msgh_remote_port, MACH_MSG_TYPE_MOVE_SEND_ONCE, WISH_ANSWER);
	switch (l.header.msgh_id) {
	case WISH_CALL:
		letter_add_int(&answer, letter_number(&l));
		break;
	case WISH_RIGHTS:
		note(letter_nth_port(&l, 0), MACH_MSG_TYPE_COPY_SEND);
		note(letter_nth_port(&l, 1), MACH_MSG_TYPE_MOVE_SEND_ONCE);
		add_rights(&answer);
		break;
	case WISH_PASS:
		answer_call_of(letter_nth_port(&l, 0));
		break;
	case WISH_BULK:
		n = letter_bulk_number(&l);
		letter_check_bulk(&l, n);
		letter_add_bulk(&answer, n + 1);
		break;
	default:
		must(l.header.msgh_id == WISH_NOTE);
		return;
	}
	must(letter_answer(&answer));
}

/* ---- a port that moves */

static mach_port_t moving;

static void see(struct letter *l)
{
	struct letter answer;

	letter_to(&answer, l->header.msgh_remote_port, MACH_MSG_TYPE_MOVE_SEND_ONCE, WISH_ANSWER);
	must(letter_answer(&answer));
}

static void begin_to_move(void)
{
	struct letter l;

	moving = new_port();
	letter_ask(&l, fronts[1], WISH_HOLD, MACH_PORT_NULL);
	letter_add_port(&l, moving, MACH_MSG_TYPE_MAKE_SEND);
	send(&l);
}

static void move(unsigned n)
{
	struct letter l;

	if (n & 1) {
		receive(moving, &l); /* from the one that holds it */
		see(&l);
	}
	letter_ask(&l, fronts[0], WISH_TAKE, reply);
	letter_add_port(&l, moving, MACH_MSG_TYPE_MOVE_RECEIVE);
	call(&l);
	moving = letter_nth_port(&l, 0);
	while (fetch(here(), moving, &l) == MACH_MSG_SUCCESS)
		see(&l);
}

static void write_to_moving(unsigned n)
{
	struct letter l;

	if (!moving) {
		receive_request(&l);
		moving = letter_nth_port(&l, 0);
	}
	letter_ask(&l, moving, WISH_NOTE, reply);
	letter_add_int(&l, (int)n + 1);
	call(&l);
}

/* ---- roles */

static void say_hello(enum role role)
{
	switch (role) {
	case RPC_SERVER:
	case RIGHTS_SERVER:
	case BULK_SERVER:
		hello(fronts[1], fronts[0]);
		hello(fronts[0], fronts[1]);
		break;
	case HANDOFF_OWNER:
	case HANDOFF_RECEIVER:
	case MIGRATE_HOLDER:
		hello(fronts[0], fronts[1]);
		break;
	default:
		break;
	}
}

static void play(enum role role, unsigned n)
{
	switch (role) {
	case RPC_CLIENT:
		ask_number(n);
		break;
	case RIGHTS_CLIENT:
		ask_rights(n);
		break;
	case HANDOFF_GIVER:
		pass(n);
		break;
	case BULK_CLIENT:
		ask_bulk(n);
		break;
	case MIGRATE_HOME:
		move(n);
		break;
	case MIGRATE_HOLDER:
		write_to_moving(n);
		break;
	default:
		serve_once();
	}
}

static unsigned rounds(enum role role)
{
	if (role == RPC_SERVER)
		return 4 * ROUNDS; /* most are not asked to be answered */
	return role == MIGRATE_HOME || role == MIGRATE_HOLDER || role == HANDOFF_GIVER ? MOVES : ROUNDS;
}

static void begin_and_play(enum role role)
{
	service = new_port();
	reply = new_port();
	unread = new_port();
	say_hello(role);
	if (role == MIGRATE_HOME)
		begin_to_move();
	for (unsigned n = 0; n < rounds(role); n++)
		play(role, n);
}

void victim_play(enum role role, const mach_port_t *given)
{
	memcpy(fronts, given, sizeof fronts);
	moving = MACH_PORT_NULL;
	begin_and_play(role);
}

int victim_main(enum role role)
{
	find_fronts();
	begin_and_play(role);
	kill(getpid(), SIGKILL);
	return 1;
}
