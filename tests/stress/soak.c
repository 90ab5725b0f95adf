/* SPDX-License-Identifier: MIT */
/* Twenty processes that do everything at random, and die at random, for a long time.
 *
 *   soak [SECONDS [SEED]]      SOAK_WITHOUT=moves,kills: no receive right moves; nobody is killed
 *
 * Round by round. In a round each process makes calls at random: messages plain, with rights of its own and of others, with
 * receive rights, with memory and with files; calls that are answered; port sets, limits of queues, notifications, descriptors
 * to poll, names, programs that are started and soon end. Meanwhile some are killed, and now and then the broker is. At the
 * end of a round the dead are replaced, all give back what they have, and when it is quiet
 *   S1  each has as many kernel objects, names, descriptors, mappings as when it was started, and not more bytes
 *   S2  both ends of each link agree on what is known under which number, and on the counts of rights; a proxy is never without
 *       a port there, nor an export without a proxy
 *   S3  no link has been dropped
 * During a round each checks what comes: memory is whole, an answer is that to the question. */
#include "family.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <malloc.h>
#include <portunus/fileport.h>
#include <portunus/poll.h>
#include <portunus/spawn.h>
#include <servers/netname.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "link/export.h"
#include "link/link.h"
#include "link/node.h"
#include "link/peers.h"
#include "link/proxy.h"

enum {
	PROCESSES = 20,
	ROUND_MS = 1500,
	RIGHTS_MAX = 32,
	PORTS_MAX = 12,
	MEMORY_MAX = 300000,
	MAYFLIES_MAX = 3,
	HEAP_SLACK = 2 << 20,
};

enum { ID_PLAIN = 100, ID_RIGHTS, ID_MEMORY, ID_CALL, ID_ANSWER, ID_RECEIVE, ID_FILE };

/* ---- what is random ---------------------------------------------------------------------------------------------- */

static uint64_t state = 1;

static unsigned below(unsigned n)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (unsigned)((state >> 11) % n);
}

static bool one_in(unsigned n)
{
	return below(n) == 0;
}

static long now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- what a process has ------------------------------------------------------------------------------------------ */

struct round {
	uint64_t seed;
	long ms;
	bool moves;
	unsigned n_desks;
	mach_port_t desks[PROCESSES_MAX];
};

static struct round plan;
static mach_port_t set, notices;
static mach_port_t rights[RIGHTS_MAX], ports[PORTS_MAX]; /* send rights, one user reference each; receive rights */
static unsigned n_rights, n_ports, n_mayflies;

static void drop(mach_port_t name)
{
	if (MACH_PORT_VALID(name))
		expect_ok(mach_port_deallocate(here(), name));
}

static void keep_right(mach_port_t name)
{
	if (!MACH_PORT_VALID(name))
		return;
	if (n_rights == RIGHTS_MAX)
		drop(name);
	else
		rights[n_rights++] = name;
}

static void end_port(mach_port_t port)
{
	expect_ok(mach_port_mod_refs(here(), port, MACH_PORT_RIGHT_RECEIVE, -1));
}

static void keep_port(mach_port_t port)
{
	if (!MACH_PORT_VALID(port))
		return;
	if (n_ports == PORTS_MAX) {
		end_port(port);
		return;
	}
	ports[n_ports++] = port;
	expect_ok(mach_port_move_member(here(), port, set));
}

static mach_port_t take_from(mach_port_t *names, unsigned *n)
{
	unsigned i = below(*n);
	mach_port_t name = names[i];

	names[i] = names[--*n];
	return name;
}

static mach_port_t some_port(void)
{
	if (n_ports == 0 || (n_ports < PORTS_MAX && one_in(4)))
		keep_port(port_in(here()));
	return ports[below(n_ports)];
}

static mach_port_t some_target(void)
{
	if (n_rights && one_in(2))
		return rights[below(n_rights)];
	return plan.desks[below(plan.n_desks)];
}

/* ---- sending ----------------------------------------------------------------------------------------------------- */

/* The queue was full: the message is back, with rights for all that it had. */
static void take_back(struct letter *l)
{
	mach_port_t reply = l->header.msgh_local_port;

	l->header.msgh_local_port = MACH_PORT_NULL;
	mach_msg_destroy(&l->header);
	drop(reply);
}

static bool deliver(struct letter *l)
{
	mach_msg_return_t r = mach_msg(&l->header, MACH_SEND_MSG | MACH_SEND_TIMEOUT, l->size, 0, MACH_PORT_NULL,
				       one_in(4) ? below(20) : 0, MACH_PORT_NULL);

	if (r == MACH_SEND_TIMED_OUT)
		take_back(l);
	else if (r != MACH_MSG_SUCCESS)
		expect_result(r, MACH_SEND_INVALID_DEST);
	return r != MACH_SEND_INVALID_DEST;
}

static void send_plain(void)
{
	struct letter l;

	letter_to(&l, some_target(), MACH_MSG_TYPE_COPY_SEND, ID_PLAIN);
	for (unsigned i = below(8); i > 0; i--)
		letter_add_int(&l, (int)i);
	deliver(&l);
}

/* A right of its own, and one that it has of somebody else's, copied or moved. */
static void send_rights_on(void)
{
	bool has_one = n_rights > 0, moves = one_in(3), is_gone;
	mach_port_t to = some_target(), passed = MACH_PORT_NULL;
	struct letter l;

	letter_to(&l, to, MACH_MSG_TYPE_COPY_SEND, ID_RIGHTS);
	letter_add_port(&l, some_port(), one_in(4) ? MACH_MSG_TYPE_MAKE_SEND_ONCE : MACH_MSG_TYPE_MAKE_SEND);
	if (has_one) {
		passed = moves ? take_from(rights, &n_rights) : rights[below(n_rights)];
		letter_add_port(&l, passed, moves ? MACH_MSG_TYPE_MOVE_SEND : MACH_MSG_TYPE_COPY_SEND);
	}
	is_gone = deliver(&l);
	if (!is_gone && moves)
		keep_right(passed);
}

static unsigned char pattern(unsigned size, unsigned i)
{
	return (unsigned char)(size + i / 512);
}

static void send_memory(void)
{
	unsigned size = 1 + below(one_in(3) ? MEMORY_MAX : 5000);
	bool moves = one_in(2);
	unsigned char *bytes;
	vm_address_t at = 0;
	struct letter l;

	expect_ok(vm_allocate(here(), &at, size, TRUE));
	bytes = (unsigned char *)at;
	for (unsigned i = 0; i < size; i += 512)
		bytes[i] = pattern(size, i);
	letter_to(&l, some_target(), MACH_MSG_TYPE_COPY_SEND, ID_MEMORY);
	letter_add_memory(&l, bytes, size, moves);
	if (!deliver(&l) || !moves)
		expect_ok(vm_deallocate(here(), at, size));
}

static void send_receive_right(void)
{
	mach_port_t port;
	struct letter l;

	if (!plan.moves || n_ports == 0)
		return;
	port = take_from(ports, &n_ports);
	letter_to(&l, plan.desks[below(plan.n_desks)], MACH_MSG_TYPE_COPY_SEND, ID_RECEIVE);
	letter_add_port(&l, port, MACH_MSG_TYPE_MOVE_RECEIVE);
	if (!deliver(&l))
		end_port(port);
}

static void send_file(void)
{
	fileport_t file;
	struct letter l;

	assert_int_equal(fileport_makeport(0, &file), 0);
	letter_to(&l, some_target(), MACH_MSG_TYPE_COPY_SEND, ID_FILE);
	letter_add_port(&l, file, MACH_MSG_TYPE_MOVE_SEND);
	if (!deliver(&l))
		drop(file);
}

static int letter_int(const struct letter *l)
{
	int value;

	memcpy(&value, l->bytes + sizeof l->header + sizeof(mach_msg_type_t), sizeof value);
	return value;
}

/* Nobody has to answer in time. */
static void call_somebody(void)
{
	mach_port_t reply = port_in(here());
	int number = (int)below(1 << 20);
	mach_msg_return_t r;
	struct letter l;

	letter_to(&l, some_target(), MACH_MSG_TYPE_COPY_SEND, ID_CALL);
	letter_reply_to(&l, reply, MACH_MSG_TYPE_MAKE_SEND_ONCE);
	letter_add_int(&l, number);
	deliver(&l);
	r = mach_msg(&l.header, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof l.bytes, reply, below(30), MACH_PORT_NULL);
	if (r)
		expect_result(r, MACH_RCV_TIMED_OUT);
	else if (l.header.msgh_id == ID_ANSWER)
		assert_int_equal(letter_int(&l), number + 1);
	else if (l.header.msgh_id != ID_CALL + 100) /* the port of a task knows no such call */
		assert_int_equal(l.header.msgh_id, MACH_NOTIFY_SEND_ONCE);
	end_port(reply);
}

/* ---- receiving --------------------------------------------------------------------------------------------------- */

static mach_port_t nth_port(const struct letter *l, unsigned n)
{
	size_t item = sizeof(mach_msg_type_t) + sizeof(mach_port_name_inlined_t), at = sizeof l->header + n * item;
	mach_port_t name;

	if (at + item > l->header.msgh_size)
		return MACH_PORT_NULL;
	memcpy(&name, l->bytes + at + sizeof(mach_msg_type_t), sizeof name);
	return name;
}

static void take_right(mach_port_t name)
{
	mach_port_type_t type = MACH_PORT_VALID(name) ? type_of(here(), name) : 0;

	if (type & MACH_PORT_TYPE_SEND_ONCE)
		drop(name);
	else
		keep_right(name);
}

static void take_memory(struct letter *l)
{
	unsigned size;
	unsigned char *bytes;

	l->size = l->header.msgh_size;
	bytes = letter_memory(l, &size);
	for (unsigned i = 0; i < size; i += 512)
		if (bytes[i] != pattern(size, i))
			fail_msg("byte %u of %u is %#x and not %#x", i, size, bytes[i], pattern(size, i));
	expect_ok(vm_deallocate(here(), (vm_address_t)bytes, size));
}

static void take_file(mach_port_t file)
{
	int fd;

	if (!MACH_PORT_VALID(file))
		return;
	if (one_in(2)) {
		fd = fileport_makefd(file);
		if (fd >= 0)
			close(fd);
		else
			assert_int_equal(errno, EINVAL); /* its process is dead */
	}
	drop(file);
}

static void answer(const struct letter *l)
{
	struct letter a;

	letter_to(&a, l->header.msgh_remote_port, MACH_MSG_TYPE_MOVE_SEND_ONCE, ID_ANSWER);
	letter_add_int(&a, letter_int(l) + 1);
	if (!deliver(&a))
		drop(l->header.msgh_remote_port);
}

static void take_message(struct letter *l)
{
	switch (l->header.msgh_id) {
	case ID_PLAIN:
	case ID_ANSWER:
	case MACH_NOTIFY_SEND_ONCE:
	case MACH_NOTIFY_NO_SENDERS:
	case MACH_NOTIFY_PORT_DELETED:
		break;
	case MACH_NOTIFY_DEAD_NAME:
		drop(nth_port(l, 0)); /* the notification's */
		break;
	case ID_RIGHTS:
		take_right(nth_port(l, 0));
		take_right(nth_port(l, 1));
		break;
	case ID_MEMORY:
		take_memory(l);
		break;
	case ID_CALL:
		if (MACH_PORT_VALID(l->header.msgh_remote_port))
			answer(l);
		break;
	case ID_RECEIVE:
		keep_port(nth_port(l, 0));
		break;
	case ID_FILE:
		take_file(nth_port(l, 0));
		break;
	default:
		fail_msg("a message %d that nobody sends", l->header.msgh_id);
	}
}

static bool receive_one(unsigned timeout)
{
	struct letter l;
	mach_msg_return_t r =
		mach_msg(&l.header, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof l.bytes, set, timeout, MACH_PORT_NULL);

	if (r) {
		expect_result(r, MACH_RCV_TIMED_OUT);
		return false;
	}
	take_message(&l);
	return true;
}

/* ---- all else ---------------------------------------------------------------------------------------------------- */

static void request(mach_port_t name, mach_msg_id_t what)
{
	mach_port_t previous = MACH_PORT_NULL;
	kern_return_t r;

	r = mach_port_request_notification(here(), name, what, 1, notices, MACH_MSG_TYPE_MAKE_SEND_ONCE, &previous);
	if (r)
		expect_result(r, KERN_INVALID_ARGUMENT); /* it has died */
	drop(previous);
}

static void ask_to_be_notified(void)
{
	if (n_rights && one_in(2))
		request(rights[below(n_rights)], MACH_NOTIFY_DEAD_NAME);
	else
		request(some_port(), MACH_NOTIFY_NO_SENDERS);
}

static void give_something_back(void)
{
	if (n_rights && one_in(2))
		drop(take_from(rights, &n_rights));
	else if (n_ports)
		end_port(take_from(ports, &n_ports));
}

/* From the first on the set keeps a descriptor itself. */
static void watch_set(void)
{
	int fd = portunus_port_fd(set);

	assert_true(fd >= 0);
	close(fd);
}

static void change_a_queue(void)
{
	mach_port_t port = some_port();

	switch (below(3)) {
	case 0:
		expect_ok(mach_port_set_qlimit(here(), port, below(MACH_PORT_QLIMIT_MAX)));
		break;
	case 1:
		expect_ok(mach_port_move_member(here(), port, MACH_PORT_NULL));
		expect_ok(mach_port_move_member(here(), port, set));
		break;
	default:
		watch_set();
	}
}

static kern_return_t check_in(char *name, mach_port_t port)
{
	kern_return_t r;

	expect_ok(mach_port_insert_right(here(), port, port, MACH_MSG_TYPE_MAKE_SEND));
	r = netname_check_in(name_server_port, name, MACH_PORT_NULL, port);
	drop(port);
	return r;
}

/* Whatever happens to the broker meanwhile. */
static void use_names(void)
{
	char name[16];
	mach_port_t found = MACH_PORT_NULL;

	snprintf(name, sizeof name, "soak-%u", below(PROCESSES));
	if (one_in(3))
		(void)check_in(name, some_port());
	else if (netname_look_up(name_server_port, "", name, &found) == KERN_SUCCESS)
		keep_right(found);
}

static void bury_mayflies(bool all)
{
	while (n_mayflies && waitpid(-1, NULL, all ? 0 : WNOHANG) > 0)
		n_mayflies--;
}

static void start_mayfly(void)
{
	char path[] = "/proc/self/exe", role[] = "--mayfly", *argv[] = { path, role, NULL };
	struct portunus_spawn how = { .path = path, .argv = argv, .n_ports = 1 };
	mach_port_t to = some_target(), task = MACH_PORT_NULL;

	bury_mayflies(false);
	if (n_mayflies == MAYFLIES_MAX)
		return;
	how.ports = &to;
	if (portunus_spawn(&how, NULL, &task) == KERN_SUCCESS) {
		n_mayflies++;
		keep_right(task);
	}
}

/* What it is started as: it sends rights to the one port that it was given, and is gone. */
static int mayfly_main(void)
{
	mach_msg_type_number_t n = 0;
	mach_port_t *given;
	struct letter l;

	if (mach_ports_lookup(here(), &given, &n) || n == 0 || !MACH_PORT_VALID(given[0]))
		return 0; /* whose port it was is dead */
	for (int i = 0; i < 3; i++) {
		letter_to(&l, given[0], MACH_MSG_TYPE_COPY_SEND, ID_RIGHTS);
		letter_add_port(&l, port_in(here()), MACH_MSG_TYPE_MAKE_SEND);
		(void)mach_msg(&l.header, MACH_SEND_MSG | MACH_SEND_TIMEOUT, l.size, 0, MACH_PORT_NULL, 10,
			       MACH_PORT_NULL);
	}
	return 0;
}

/* ---- a round, in a process --------------------------------------------------------------------------------------- */

static void step(void)
{
	static void (*const common[])(void) = { send_plain,	     send_rights_on, send_memory,
						send_receive_right,  call_somebody,  ask_to_be_notified,
						give_something_back, change_a_queue };
	static void (*const rare[])(void) = { send_file, use_names, use_names, start_mayfly };

	if (one_in(2))
		receive_one(below(3));
	else if (one_in(40))
		rare[below(sizeof rare / sizeof *rare)]();
	else
		common[below(sizeof common / sizeof *common)]();
}

static void do_round(void *arg)
{
	long end;

	memcpy(&plan, arg, sizeof plan);
	state = plan.seed;
	end = now_ms() + plan.ms;
	while (now_ms() < end)
		step();
}

/* What every round begins with. */
static void do_prepare(long *n)
{
	mach_port_t desk = port_in(here());

	set = set_in(here());
	notices = port_in(here());
	expect_ok(mach_port_move_member(here(), notices, set));
	expect_ok(mach_port_move_member(here(), desk, set));
	watch_set();
	n[0] = desk;
}

/* Names of brokers that are dead. */
static void drop_dead_names(void)
{
	mach_msg_type_number_t n = 0, n_types = 0;
	mach_port_name_t *names;
	mach_port_type_t *types;

	expect_ok(mach_port_names(here(), &names, &n, &types, &n_types));
	for (unsigned i = 0; i < n; i++)
		if (types[i] & MACH_PORT_TYPE_DEAD_NAME)
			expect_ok(mach_port_destroy(here(), names[i]));
	vm_deallocate(here(), (vm_address_t)names, n * sizeof *names);
	vm_deallocate(here(), (vm_address_t)types, n * sizeof *types);
}

/* Until it has a broker that lives. To give a name back makes the library forget the ports that have died under theirs. */
static void find_broker(void)
{
	char name[24];
	kern_return_t r;

	snprintf(name, sizeof name, "quiet-%d", (int)getpid());
	do {
		r = check_in(name, notices);
		if (!r)
			r = netname_check_out(name_server_port, name, MACH_PORT_NULL);
	} while (r == MIG_SERVER_DIED || r == MACH_SEND_INVALID_DEST || r == NETNAME_NOT_CHECKED_IN);
	expect_ok(r);
}

static void do_give_back(long *n)
{
	bury_mayflies(true);
	do {
		while (n_rights)
			drop(rights[--n_rights]);
		while (n_ports)
			end_port(ports[--n_ports]);
	} while (receive_one(0));
	find_broker();
	drop_dead_names();
	n[0] = (long)mallinfo2().uordblks;
}

/* ---- S2 ---------------------------------------------------------------------------------------------------------- */

struct row {
	uint64_t peer;
	uint32_t index, sends, onces;
	bool is_export, is_strange; /* a relay, or not told of yet */
};

enum { ROWS_MAX = 400 };

struct rows {
	uint64_t node;
	unsigned n;
	struct row row[ROWS_MAX];
};

static struct rows *listing;

static void list_row(const struct row *row)
{
	if (listing->n < ROWS_MAX)
		listing->row[listing->n++] = *row;
}

static void list_export(void *pointer)
{
	const struct export *x = pointer;

	list_row(&(struct row){ x->peer_id, x->index, x->sends, x->onces, true,
				x->moved_ticket || x->is_void || x->is_flushing || x->is_settling ||
					port_is_dead(x->port) });
}

static void list_proxy(void *pointer)
{
	const struct proxy *x = pointer;

	list_row(&(struct row){
		x->link ? x->link->peer_id : 0, x->index, x->port->n_srights, x->port->n_sorights, false,
		x->relocation || x->told_sends != x->port->n_srights || x->told_onces != x->port->n_sorights });
}

static void do_list(void *arg)
{
	listing = arg;
	listing->n = 0;
	lock_take(&node.lock);
	listing->node = node.id;
	list_for_each(link, &node.all_links, struct link, node_link) {
		for (uint32_t i = 0; i < link->exports.n_slots; i++)
			if (table_get(&link->exports, i))
				list_export(table_get(&link->exports, i));
		for (uint32_t i = 0; i < link->proxies.n_slots; i++)
			if (table_get(&link->proxies, i))
				list_proxy(table_get(&link->proxies, i));
		sparse_visit(&link->adopted_exports, list_export);
		sparse_visit(&link->adopted_proxies, list_proxy);
	}
	lock_drop(&node.lock);
}

static struct rows all_rows[PROCESSES + 1];

static const struct rows *rows_of(uint64_t id)
{
	for (unsigned i = 0; i <= PROCESSES; i++)
		if (all_rows[i].node == id)
			return &all_rows[i];
	return NULL; /* the broker */
}

static bool has_other_end(const struct rows *from, const struct row *row)
{
	const struct rows *to = rows_of(row->peer);

	for (unsigned i = 0; to && i < to->n; i++)
		if (to->row[i].peer == from->node && to->row[i].index == row->index &&
		    to->row[i].is_export != row->is_export)
			return to->row[i].sends == row->sends && to->row[i].onces == row->onces;
	return !to;
}

static const struct row *disagreement(unsigned *process)
{
	for (unsigned i = 0; i <= PROCESSES; i++)
		at(process_number(i), do_list, &all_rows[i], sizeof all_rows[i]);
	for (unsigned i = 0; i <= PROCESSES; i++)
		for (unsigned k = 0; k < all_rows[i].n; k++)
			if (all_rows[i].row[k].is_strange || !has_other_end(&all_rows[i], &all_rows[i].row[k])) {
				*process = i;
				return &all_rows[i].row[k];
			}
	return NULL;
}

static void expect_agreement(void)
{
	const struct row *row = NULL;
	unsigned process = 0;

	for (int tries = 0; tries < 500; tries++) {
		row = disagreement(&process);
		if (!row)
			return;
		nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
	}
	fail_msg(
		"process %u (%d): %s %#x of process %u: %u send rights, %u send-once rights%s; the other end does not agree",
		process, (int)process_number(process)->pid, row->is_export ? "export" : "proxy", row->index,
		(unsigned)(row->peer >> 32), row->sends, row->onces, row->is_strange ? ", not settled" : "");
}

/* ---- the broker -------------------------------------------------------------------------------------------------- */

static char place[64], path[96];

static void kill_broker(void)
{
	pid_t pid = broker_at(path);

	if (pid > 0)
		kill(pid, SIGKILL);
}

static int remove_entry(const char *at, const struct stat *st, int type, struct FTW *walk)
{
	(void)st;
	(void)type;
	(void)walk;
	return remove(at);
}

/* ---- rounds ------------------------------------------------------------------------------------------------------ */

static long seconds = 20;
static uint64_t seed = 1;
static struct {
	unsigned n_rounds, n_killed, n_brokers;
} totals;

static bool is_without(const char *what)
{
	const char *list = getenv("SOAK_WITHOUT");

	return list && strstr(list, what);
}

static mach_port_t desks[PROCESSES + 1][PROCESSES + 1]; /* [i][k]: what i names a right to the desk of k */

static void begin_round(struct process *p)
{
	struct round round = {
		.seed = state | 1,
		.ms = ROUND_MS,
		.moves = !is_without("moves"),
	};

	(void)below(2);
	for (unsigned i = 1; i <= PROCESSES; i++)
		if (i != p->number)
			round.desks[round.n_desks++] = desks[p->number][i];
	begin_at(p, 1, do_round, &round, sizeof round);
}

static void kill_some(void)
{
	long end = now_ms() + ROUND_MS;

	if (is_without("kills"))
		return;
	for (unsigned i = 1 + below(3); i > 0; i--) {
		struct process *p = process_number(1 + below(PROCESSES));

		nanosleep(&(struct timespec){ .tv_nsec = (long)below(ROUND_MS / 4) * 1000000 }, NULL);
		if (p->has_ended || now_ms() > end)
			continue;
		process_kill(p, SIGKILL);
		totals.n_killed++;
		if (one_in(4)) {
			kill_broker();
			totals.n_brokers++;
		}
	}
}

static long heap_first[PROCESSES + 1];

/* All that has been sent is received and given back: as often as it takes. */
static bool all_are_balanced(bool prints)
{
	for (unsigned i = 0; i <= PROCESSES; i++)
		if (i && ask(process_number(i), do_give_back) < 0)
			return false;
	for (unsigned i = 0; i <= PROCESSES; i++)
		if (!process_is_balanced(process_number(i), prints))
			return false;
	return true;
}

static void expect_quiet(void)
{
	for (int tries = 0; !all_are_balanced(tries == 400); tries++) {
		assert_true(tries < 400);
		nanosleep(&(struct timespec){ .tv_nsec = 20000000 }, NULL);
	}
	expect_agreement();
	for (unsigned i = 1; i <= PROCESSES; i++) {
		long heap = ask(process_number(i), do_give_back);

		if (!heap_first[i])
			heap_first[i] = heap;
		else if (heap > heap_first[i] + HEAP_SLACK)
			fail_msg("process %u has %ld bytes of the heap more than at first", i, heap - heap_first[i]);
	}
}

static void prepare(struct process *p)
{
	desks[p->number][p->number] = (mach_port_t)ask(p, do_prepare);
	ask(p, do_give_back);
}

static void give_desk(struct process *from, struct process *to)
{
	desks[to->number][from->number] = give_send_to(from, desks[from->number][from->number], to);
}

static void replace_the_dead(void)
{
	bool is_new[PROCESSES + 1];

	for (unsigned i = 1; i <= PROCESSES; i++) {
		is_new[i] = process_number(i)->has_ended;
		if (!is_new[i])
			continue;
		process_restart(process_number(i));
		prepare(process_number(i));
		heap_first[i] = 0;
	}
	for (unsigned i = 1; i <= PROCESSES; i++)
		for (unsigned k = 1; k <= PROCESSES; k++)
			if (i != k && (is_new[i] || is_new[k]))
				give_desk(process_number(i), process_number(k));
	for (unsigned i = 1; i <= PROCESSES; i++)
		if (is_new[i])
			process_take_balance(process_number(i));
}

static void run_round(void)
{
	for (unsigned i = 1; i <= PROCESSES; i++)
		begin_round(process_number(i));
	kill_some();
	for (unsigned i = 1; i <= PROCESSES; i++)
		if (!process_number(i)->has_ended)
			end_at(process_number(i), 1, NULL, 0);
	replace_the_dead();
	expect_quiet();
	totals.n_rounds++;
}

static void everything_goes_on(void **test)
{
	long end = now_ms() + seconds * 1000;

	(void)test;
	state = seed * 0x9e3779b97f4a7c15u | 1;
	for (unsigned i = 0; i < PROCESSES; i++)
		process_start();
	for (unsigned i = 1; i <= PROCESSES; i++)
		prepare(process_number(i));
	for (unsigned i = 1; i <= PROCESSES; i++)
		for (unsigned k = 1; k <= PROCESSES; k++)
			if (i != k)
				give_desk(process_number(i), process_number(k));
	for (unsigned i = 0; i <= PROCESSES; i++)
		process_take_balance(process_number(i));
	do
		run_round();
	while (now_ms() < end);
	print_message("%u rounds, %u processes and %u brokers killed, seed %llu\n", totals.n_rounds, totals.n_killed,
		      totals.n_brokers, (unsigned long long)seed);
}

static int teardown(void **test)
{
	int r = family_teardown(test);

	kill_broker();
	return r;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		{ "everything_goes_on", everything_goes_on, family_setup, teardown, &(struct pair){ NULL, 0, 0 } },
	};
	bool is_child = argc > 1 && argv[1][0] == '-';
	int r;

	if (argc > 1 && strcmp(argv[1], "--mayfly") == 0)
		return mayfly_main();
	if (is_child)
		return family_main(argc, argv, tests);
	if (argc > 1)
		seconds = strtol(argv[1], NULL, 0);
	if (argc > 2)
		seed = strtoull(argv[2], NULL, 0);
	strcpy(place, "/tmp/portunus-soak-XXXXXX");
	if (!mkdtemp(place))
		return 1;
	snprintf(path, sizeof path, "%s/broker", place);
	setenv("PORTUNUS_BROKER", path, 1);
	r = family_main(1, argv, tests);
	nftw(place, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
	return r;
}
