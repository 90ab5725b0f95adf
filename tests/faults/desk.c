/* SPDX-License-Identifier: MIT */
#include "desk.h"

#include <stdlib.h>
#include <unistd.h>

void must_not(const char *what, const char *file, int line)
{
	fprintf(stderr, "%s:%d: process %d: not so: %s\n", file, line, (int)getpid(), what);
	abort();
}

void (*on_failure)(kern_return_t r);

void must_be_success(kern_return_t r, const char *what, const char *file, int line)
{
	if (r == KERN_SUCCESS)
		return;
	if (on_failure)
		on_failure(r);
	fprintf(stderr, "it gave %#x %s\n", (unsigned)r, mach_error_string(r));
	must_not(what, file, line);
}

/* ---- messages ---------------------------------------------------------------------------------------------------- */

void letter_ask(struct letter *l, mach_port_t to, enum wish wish, mach_port_t reply)
{
	letter_to(l, to, MACH_MSG_TYPE_COPY_SEND, wish);
	if (reply)
		letter_reply_to(l, reply, MACH_MSG_TYPE_MAKE_SEND_ONCE);
}

static size_t padded(size_t size)
{
	return (size + MACH_MSG_USER_ALIGNMENT - 1) / MACH_MSG_USER_ALIGNMENT * MACH_MSG_USER_ALIGNMENT;
}

/* The n-th item of a message, of which only memory may have the long form. */
static const unsigned char *item(const struct letter *l, unsigned n)
{
	const unsigned char *at = l->bytes + sizeof l->header;

	for (;; n--) {
		const mach_msg_type_t *type = (const void *)at;
		size_t data = type->msgt_inline ? type->msgt_number * type->msgt_size / 8 : sizeof(void *);

		must(at < l->bytes + l->size);
		at += padded(type->msgt_longform ? sizeof(mach_msg_type_long_t) : sizeof *type);
		if (n == 0)
			return at;
		at += padded(data);
	}
}

mach_port_t letter_nth_port(const struct letter *l, unsigned n)
{
	mach_port_t name;

	memcpy(&name, item(l, n), sizeof name);
	return name;
}

int letter_number(const struct letter *l)
{
	int number;

	memcpy(&number, item(l, 0), sizeof number);
	return number;
}

bool letter_send(struct letter *l)
{
	mach_msg_return_t r = mach_msg(&l->header, MACH_SEND_MSG | MACH_SEND_TIMEOUT, l->size, 0, MACH_PORT_NULL,
				       DESK_PATIENCE, MACH_PORT_NULL);

	if (r != MACH_SEND_INVALID_DEST)
		must_succeed(r);
	return r == MACH_MSG_SUCCESS;
}

static void deallocate(mach_port_t name)
{
	if (MACH_PORT_VALID(name))
		must_succeed(mach_port_deallocate(here(), name));
}

bool letter_answer(struct letter *l)
{
	bool is_sent = letter_send(l);

	if (!is_sent)
		deallocate(l->header.msgh_remote_port);
	return is_sent;
}

/* ---- memory */

static unsigned char bulk_byte(unsigned n, unsigned i)
{
	return (unsigned char)(n * 31 + i / 64 * 7 + i % 64);
}

void letter_add_bulk(struct letter *l, unsigned n)
{
	unsigned size = BULK_SIZE(n);
	vm_address_t at = 0;

	must_succeed(vm_allocate(here(), &at, size, TRUE));
	for (unsigned i = 0; i < size; i += 64)
		((unsigned char *)at)[i] = bulk_byte(n, i);
	letter_add_memory(l, (void *)at, size, true);
}

static void letter_drop_bulk(const struct letter *l)
{
	unsigned size;
	void *at = letter_memory(l, &size);

	must_succeed(vm_deallocate(here(), (vm_address_t)at, size));
}

void letter_check_bulk(const struct letter *l, unsigned n)
{
	unsigned size;
	const unsigned char *at = letter_memory(l, &size);

	must(size == BULK_SIZE(n));
	for (unsigned i = 0; i < size; i += 64)
		must(at[i] == bulk_byte(n, i));
	letter_drop_bulk(l);
}

unsigned letter_bulk_number(const struct letter *l)
{
	unsigned n;

	memcpy(&n, item(l, 1), sizeof n);
	return n;
}

/* ---- the desk ---------------------------------------------------------------------------------------------------- */

enum { HELD_MAX = 8, SEQUENCE_AHEAD = 2 };

static struct {
	enum role role;
	bool may_lack;
	mach_port_t set, front, notices, replies;
	bool is_front_gone;
	mach_port_t victim, other; /* its port, and the front of the other desk */
	mach_port_t held[HELD_MAX];
	unsigned n_held, n_made, n_deleted, n_once;
	mach_port_t moving; /* MIGRATE_HOLDER: the port, here or there */
	mach_port_t target; /* MIGRATE_HOME */
	unsigned n_rounds, n_sequence, n_seen, last_seen;
	bool is_flooding;
	pthread_t flooder;
	struct desk_report report;
} desk;

static bool desk_has_all(void)
{
	return desk.is_front_gone && !desk.victim && !desk.other && !desk.moving && !desk.n_held && !desk.n_made &&
	       !desk.n_deleted && !desk.n_once;
}

static mach_port_t member(void)
{
	mach_port_t port = port_in(here());

	must(mach_port_move_member(here(), port, desk.set) == KERN_SUCCESS);
	return port;
}

static void request(mach_port_t name, mach_msg_id_t what, mach_port_t to)
{
	mach_port_t previous = MACH_PORT_NULL;

	must(mach_port_request_notification(here(), name, what, 1, to, MACH_MSG_TYPE_MAKE_SEND_ONCE, &previous) ==
	     KERN_SUCCESS);
	must(previous == MACH_PORT_NULL);
}

/* D2: it tells by itself. */
static mach_port_t make_port(void)
{
	mach_port_t port = member();

	request(port, MACH_NOTIFY_NO_SENDERS, port);
	desk.n_made++;
	return port;
}

static void unmake_port(mach_port_t port)
{
	must(desk.n_made > 0 && end_receive(here(), port) == KERN_SUCCESS);
	desk.n_made--;
}

/* A request is sent; on success an answer is owed, D3. */
static bool ask_by(struct letter *l)
{
	if (!letter_send(l))
		return false;
	desk.n_once++;
	return true;
}

/* ---- rights that come */

static void hold(mach_port_t name)
{
	if (!MACH_PORT_VALID(name))
		return;
	if (desk.n_held == HELD_MAX) {
		deallocate(desk.held[0]);
		desk.n_deleted++;
		memmove(desk.held, desk.held + 1, --desk.n_held * sizeof *desk.held);
	}
	request(name, MACH_NOTIFY_DEAD_NAME, desk.notices);
	desk.held[desk.n_held++] = name;
}

static void use_once(mach_port_t name)
{
	struct letter l;

	letter_to(&l, name, MACH_MSG_TYPE_MOVE_SEND_ONCE, WISH_NOTE);
	letter_answer(&l);
}

static void take_rights(const struct letter *l)
{
	hold(letter_nth_port(l, 0));
	use_once(letter_nth_port(l, 1));
}

/* Both are given or neither. */
static bool send_rights_by(struct letter *l, bool send(struct letter *l))
{
	mach_port_t made = make_port();

	letter_add_port(l, made, MACH_MSG_TYPE_MAKE_SEND);
	letter_add_port(l, desk.replies, MACH_MSG_TYPE_MAKE_SEND_ONCE);
	if (!send(l)) {
		unmake_port(made);
		return false;
	}
	desk.n_once++;
	return true;
}

/* D5 */
static void call_passed(mach_port_t name)
{
	struct letter l;

	if (desk.role == HANDOFF_GIVER && desk.may_lack && !MACH_PORT_VALID(name))
		return;
	if (desk.role == HANDOFF_GIVER)
		must(type_of(here(), name) == MACH_PORT_TYPE_SEND);
	letter_to(&l, name, MACH_MSG_TYPE_MOVE_SEND, WISH_CALL);
	letter_reply_to(&l, desk.replies, MACH_MSG_TYPE_MAKE_SEND_ONCE);
	letter_add_int(&l, 7);
	if (ask_by(&l))
		return;
	must(desk.role != HANDOFF_GIVER);
	deallocate(name);
}

/* ---- a port that moves */

static void see_in_order(struct letter *l)
{
	unsigned number = (unsigned)letter_number(l);
	struct letter answer;

	must(l->header.msgh_id == WISH_NOTE && number > desk.last_seen); /* D4 */
	desk.last_seen = number;
	desk.n_seen++;
	letter_to(&answer, l->header.msgh_remote_port, MACH_MSG_TYPE_MOVE_SEND_ONCE, WISH_ANSWER);
	letter_answer(&answer);
}

static void look_into(mach_port_t port)
{
	struct letter l;
	mach_msg_return_t r;

	must(type_of(here(), port) & MACH_PORT_TYPE_RECEIVE);
	while ((r = fetch(here(), port, &l)) == MACH_MSG_SUCCESS)
		see_in_order(&l);
	must(r == MACH_RCV_TIMED_OUT);
}

static void give_back(struct letter *l)
{
	mach_port_t port = letter_nth_port(l, 0);
	struct letter answer;

	look_into(port);
	letter_to(&answer, l->header.msgh_remote_port, MACH_MSG_TYPE_MOVE_SEND_ONCE, WISH_ANSWER);
	letter_add_port(&answer, port, MACH_MSG_TYPE_MOVE_RECEIVE);
	if (!letter_answer(&answer))
		must(end_receive(here(), port) == KERN_SUCCESS);
}

static void move_on(void)
{
	struct letter l;

	letter_ask(&l, desk.other, WISH_TAKE, desk.replies);
	letter_add_port(&l, desk.moving, MACH_MSG_TYPE_MOVE_RECEIVE);
	must(ask_by(&l));
}

static void take_back(const struct letter *l)
{
	desk.moving = letter_nth_port(l, 0);
	look_into(desk.moving);
	if (!desk.is_front_gone) {
		move_on();
		return;
	}
	must(end_receive(here(), desk.moving) == KERN_SUCCESS);
	deallocate(desk.other);
	desk.moving = desk.other = MACH_PORT_NULL;
}

static void begin_to_move(void)
{
	struct letter l;

	desk.moving = port_in(here());
	letter_ask(&l, desk.victim, WISH_HOLD, MACH_PORT_NULL);
	letter_add_port(&l, desk.moving, MACH_MSG_TYPE_MAKE_SEND);
	letter_send(&l);
	move_on();
}

static void send_in_order(void)
{
	struct letter l;

	while (desk.n_held && desk.n_once < SEQUENCE_AHEAD) {
		letter_ask(&l, desk.target, WISH_NOTE, desk.replies);
		letter_add_int(&l, (int)++desk.n_sequence);
		if (!ask_by(&l))
			return; /* the notification is under way */
	}
}

/* ---- what it asks of the victim */

static void *flood(void *unused)
{
	struct letter l;

	do
		letter_ask(&l, desk.victim, WISH_NOTE, MACH_PORT_NULL);
	while (letter_send(&l));
	return unused;
}

static void ask_victim(void)
{
	unsigned n = ++desk.n_rounds;
	struct letter l;

	switch (desk.role) {
	case RPC_SERVER:
		letter_ask(&l, desk.victim, WISH_CALL, desk.replies);
		letter_add_int(&l, (int)n);
		ask_by(&l);
		break;
	case RIGHTS_SERVER:
		letter_ask(&l, desk.victim, WISH_RIGHTS, desk.replies);
		send_rights_by(&l, ask_by);
		break;
	case HANDOFF_OWNER:
		letter_ask(&l, desk.other, WISH_PASS, desk.replies);
		letter_add_port(&l, desk.victim, MACH_MSG_TYPE_COPY_SEND);
		must(ask_by(&l));
		break;
	case HANDOFF_RECEIVER:
		letter_ask(&l, desk.victim, WISH_PASS, desk.replies);
		letter_add_port(&l, desk.other, MACH_MSG_TYPE_COPY_SEND);
		ask_by(&l);
		break;
	case BULK_SERVER:
		letter_ask(&l, desk.victim, WISH_BULK, desk.replies);
		letter_add_bulk(&l, n);
		letter_add_int(&l, (int)n);
		if (!ask_by(&l))
			letter_drop_bulk(&l);
		break;
	default:
		break;
	}
}

static void lose_victim(void)
{
	if (desk.is_flooding)
		pthread_join(desk.flooder, NULL);
	desk.is_flooding = false;
	desk.victim = MACH_PORT_NULL;
	if (desk.moving)
		return; /* it is given up when that is back */
	deallocate(desk.other);
	desk.other = MACH_PORT_NULL;
}

static void dismiss_victim(void)
{
	struct letter l;

	if (!MACH_PORT_VALID(desk.victim))
		return;
	letter_to(&l, desk.victim, MACH_MSG_TYPE_MOVE_SEND, WISH_LEAVE);
	if (!letter_send(&l))
		deallocate(desk.victim);
}

static void meet_victim(const struct letter *l)
{
	desk.victim = letter_nth_port(l, 0);
	desk.other = letter_nth_port(l, 1);
	must(MACH_PORT_VALID(desk.other) || desk.may_lack); /* D5 */
	if (!MACH_PORT_VALID(desk.victim) || !MACH_PORT_VALID(desk.other)) {
		dismiss_victim();
		lose_victim();
		return;
	}
	request(desk.victim, MACH_NOTIFY_DEAD_NAME, desk.notices);
	if (desk.role == RPC_SERVER) {
		must(pthread_create(&desk.flooder, NULL, flood, NULL) == 0);
		desk.is_flooding = true;
	}
	if (desk.role == MIGRATE_HOLDER)
		begin_to_move();
	else
		ask_victim();
}

/* ---- what comes */

/* D1 */
static void take_dead_name(mach_port_t name)
{
	unsigned i = 0;

	must(type_of(here(), name) == MACH_PORT_TYPE_DEAD_NAME);
	deallocate(name); /* the notification's */
	while (i < desk.n_held && desk.held[i] != name)
		i++;
	if (name == desk.victim) {
		lose_victim();
		deallocate(name);
	} else if (i < desk.n_held) {
		desk.held[i] = desk.held[--desk.n_held];
		deallocate(name);
	} else {
		must(desk.n_deleted-- > 0);
	}
}

static void take_no_senders(mach_port_t port)
{
	if (port != desk.front) {
		unmake_port(port);
		return;
	}
	must(!desk.is_front_gone);
	desk.is_front_gone = true;
}

/* D3 */
static void settle_once(bool is_answer)
{
	must(desk.n_once-- > 0);
	if (is_answer)
		desk.report.n_answers++;
	else
		desk.report.n_died++;
}

static void take_answer(struct letter *l)
{
	settle_once(true);
	if (l->header.msgh_id == WISH_NOTE)
		return; /* by a right that was given away */
	must(l->header.msgh_id == WISH_ANSWER);
	if (desk.role == RIGHTS_SERVER)
		take_rights(l);
	else if (desk.role == BULK_SERVER)
		letter_check_bulk(l, desk.n_rounds + 1);
	else if (desk.role == RPC_SERVER)
		must(letter_number(l) == (int)desk.n_rounds);
	if (desk.role == MIGRATE_HOLDER)
		take_back(l);
	else if (desk.victim)
		ask_victim();
}

static void take_request(struct letter *l)
{
	struct letter answer;

	letter_to(&answer, l->header.msgh_remote_port, MACH_MSG_TYPE_MOVE_SEND_ONCE, WISH_ANSWER);
	switch (l->header.msgh_id) {
	case WISH_HELLO:
		meet_victim(l);
		break;
	case WISH_CALL:
		letter_add_int(&answer, letter_number(l));
		letter_answer(&answer);
		break;
	case WISH_RIGHTS:
		take_rights(l);
		send_rights_by(&answer, letter_answer);
		break;
	case WISH_PASS:
		call_passed(letter_nth_port(l, 0));
		letter_answer(&answer);
		break;
	case WISH_HOLD:
		desk.target = letter_nth_port(l, 0);
		hold(desk.target);
		break;
	case WISH_TAKE:
		give_back(l);
		break;
	case WISH_BULK:
		letter_check_bulk(l, letter_bulk_number(l));
		letter_add_bulk(&answer, letter_bulk_number(l) + 1);
		if (!letter_answer(&answer))
			letter_drop_bulk(&answer);
		break;
	default:
		must(l->header.msgh_id == WISH_NOTE);
	}
}

static void take(struct letter *l)
{
	mach_port_t port = l->header.msgh_local_port;
	mach_msg_id_t id = l->header.msgh_id;

	desk.report.n_messages++;
	if (id == MACH_NOTIFY_DEAD_NAME)
		take_dead_name(letter_nth_port(l, 0));
	else if (id == MACH_NOTIFY_PORT_DELETED)
		must(desk.n_deleted-- > 0);
	else if (id == MACH_NOTIFY_NO_SENDERS)
		take_no_senders(port);
	else if (id == MACH_NOTIFY_SEND_ONCE)
		settle_once(false);
	else if (port == desk.replies)
		take_answer(l);
	else
		take_request(l);
	if (desk.role == MIGRATE_HOME)
		send_in_order();
}

/* ---- opening and closing */

static void do_open(long *n)
{
	memset(&desk, 0, sizeof desk);
	desk.role = (enum role)n[0];
	desk.may_lack = n[1];
	desk.set = set_in(here());
	desk.front = member();
	desk.notices = member();
	desk.replies = member();
	request(desk.front, MACH_NOTIFY_NO_SENDERS, desk.front);
	n[0] = desk.front;
}

mach_port_t desk_open(struct process *p, enum role role, bool may_lack)
{
	return (mach_port_t)ask(p, do_open, role, may_lack);
}

static void complain_of_silence(void)
{
	fprintf(stderr,
		"process %d waits in vain: front gone %d, victim %#x, other %#x, moving %#x, held %u, made %u, "
		"deleted %u, once %u\n",
		(int)getpid(), desk.is_front_gone, desk.victim, desk.other, desk.moving, desk.n_held, desk.n_made,
		desk.n_deleted, desk.n_once);
	abort();
}

static void close_port(mach_port_t port)
{
	must(status_of(here(), port).mps_msgcount == 0); /* D6 */
	must(end_receive(here(), port) == KERN_SUCCESS);
}

static void do_desk(long *n)
{
	while (!desk_has_all()) {
		struct letter l;
		mach_msg_return_t r = mach_msg(&l.header, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof l.bytes, desk.set,
					       DESK_PATIENCE, MACH_PORT_NULL);

		if (r == MACH_RCV_TIMED_OUT)
			complain_of_silence();
		must(r == MACH_MSG_SUCCESS);
		l.size = l.header.msgh_size;
		take(&l);
	}
	close_port(desk.front);
	close_port(desk.notices);
	close_port(desk.replies);
	must(mach_port_mod_refs(here(), desk.set, MACH_PORT_RIGHT_PORT_SET, -1) == KERN_SUCCESS);
	n[0] = desk.report.n_messages;
	n[1] = desk.report.n_answers;
	n[2] = desk.report.n_died;
	n[3] = desk.n_seen;
	n[4] = desk.last_seen;
}

void desk_begin(struct process *p)
{
	begin_ask(p, 1, do_desk, (long[NUMBERS]){ 0 });
}

struct desk_report desk_end(struct process *p)
{
	long n[NUMBERS];

	end_ask(p, 1, n);
	return (struct desk_report){ (unsigned)n[0], (unsigned)n[1], (unsigned)n[2], (unsigned)n[3], (unsigned)n[4] };
}
