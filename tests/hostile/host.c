/* SPDX-License-Identifier: MIT */
#include "host.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <mach/message.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	CONTROL_INDEX = 7, /* of ours, of the port that the victim says hello to; and of those that answers go to */
	REPLY_INDEX,
	TASK_INDEX = 0,
	SETUP_ID = 0x504f00 + 28, /* kernel/callmsg.h */
};

/* ---- life --------------------------------------------------------------------------------------------------------- */

static const char *victim_program(void)
{
	const char *path = getenv("HOSTILE_VICTIM");

	if (!path)
		fail_msg("HOSTILE_VICTIM has to name the victim's program");
	return path;
}

static void become_victim(int socket, int log, const struct peer *parent)
{
	char variable[64];

	setrlimit(RLIMIT_NOFILE, &(struct rlimit){ 1024, 1024 });
	fcntl(socket, F_SETFD, 0);
	dup2(log, 2);
	snprintf(variable, sizeof variable, "%d:%08x:%016llx", socket, 1u, (unsigned long long)parent->id);
	setenv("PORTUNUS_PARENT", variable, 1);
	execl(victim_program(), "victim", NULL);
	_exit(127);
}

/* What every child begins life with: no bootstrap port, and the right to our control port. */
static void send_setup(struct host *h)
{
	struct wire_right control = right_mine(MACH_MSG_TYPE_PORT_SEND, CONTROL_INDEX), none = right_none;
	struct writing w;

	none.kind = MACH_MSG_TYPE_PORT_SEND;
	(void)complex_begin(&w, TASK_INDEX, SETUP_ID, right_none, MACH_MSG_TYPE_PORT_SEND, 2);
	writing_add(&w, &none, sizeof none);
	writing_add(&w, &control, sizeof control);
	assert_true(message_put(&h->parent, &w));
}

static void take_hello(struct host *h)
{
	struct {
		struct frame_message message;
		struct wire_right reply;
	} f;

	assert_true(peer_take_type(&h->parent, FRAME_MESSAGE, &f, sizeof f));
	assert_int_equal(f.message.id, WORD_HELLO);
	assert_int_equal(f.reply.form, WIRE_MINE);
	h->service = f.reply.value;
}

/* What an honest end does about what others said to the victim of it: it knows of no such tickets, and gives back what it
 * never asked for. */
static void be_honest(struct peer *p, const void *frame)
{
	const struct frame *header = frame;
	const struct frame_index *index = frame;
	const struct frame_ticket *ticket = frame;

	if (header->type == FRAME_QUERY)
		(void)ticket_send(p, FRAME_VOID, ticket->node, ticket->number, right_none);
	else if (header->type == FRAME_READY && (index->sends || index->onces))
		(void)index_send(p, FRAME_COUNT, index->index, -index->sends, -index->onces, 0);
	else if (header->type == FRAME_OFFER && (ticket->right.form & WIRE_FORM) == WIRE_MINE && ticket->right.kind)
		(void)index_send(p, FRAME_COUNT, ticket->right.value, -(ticket->right.kind == MACH_MSG_TYPE_PORT_SEND),
				 -(ticket->right.kind == MACH_MSG_TYPE_PORT_SEND_ONCE), 0);
}

void host_start(struct host *h)
{
	int ends[2];

	*h = (struct host){ 0 };
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
	h->log = memfd_create("log", MFD_CLOEXEC);
	assert_true(h->log >= 0);
	peer_init(&h->parent, ends[0], peer_id_new());
	h->parent.skipped = be_honest;
	h->pid = fork();
	if (h->pid == 0)
		become_victim(ends[1], h->log, &h->parent);
	close(ends[1]);
	assert_true(peer_greet(&h->parent));
	send_setup(h);
	take_hello(h);
	h->before = host_report(h);
}

void host_say(struct host *h, int word)
{
	assert_true(message_send(&h->parent, h->service, MACH_MSG_TYPE_PORT_SEND, word));
}

static void read_log(struct host *h, char *log, size_t size)
{
	size_t n = 0;
	ssize_t more;

	do {
		more = pread(h->log, log + n, size - 1 - n, (off_t)n);
		n += more > 0 ? (size_t)more : 0;
	} while (more > 0);
	log[n] = '\0';
}

/* With the end of what it said, and how it ended, if it has. */
static _Noreturn void fail_without_answer(struct host *h)
{
	static char log[64 << 20];
	size_t n, shown = 2000;
	int status;

	read_log(h, log, sizeof log);
	n = strlen(log);
	fprintf(stderr, "%s\n", n > shown ? log + n - shown : log); /* more than print_error() prints */
	if (waitpid(h->pid, &status, WNOHANG) == h->pid)
		print_error("it has ended with status %#x\n", (unsigned)status);
	fail_msg("the victim does not answer any more");
	abort();
}

struct report host_report(struct host *h)
{
	struct {
		struct frame_message message;
		struct wire_right reply;
		struct report report;
	} answer;
	struct frame_message f = {
		.header = { sizeof f + sizeof(struct wire_right), FRAME_MESSAGE, 0 },
		.index = h->service,
		.kind = MACH_MSG_TYPE_PORT_SEND,
		.id = WORD_REPORT,
	};
	struct wire_right reply = right_mine(MACH_MSG_TYPE_PORT_SEND_ONCE, REPLY_INDEX);
	struct writing w = { .size = 0 };

	writing_add(&w, &f, sizeof f);
	writing_add(&w, &reply, sizeof reply);
	assert_true(message_put(&h->parent, &w));
	do
		if (!peer_take_type(&h->parent, FRAME_MESSAGE, &answer, sizeof answer))
			fail_without_answer(h);
	while (answer.message.id != WORD_REPORT);
	return answer.report;
}

void host_expect_life(struct host *h)
{
	unsigned long n = host_report(h).n_calls;

	if (!soon(host_report(h).n_calls > n + 1))
		fail_msg("the victim's friend does not come forward any more");
}

static bool is_balanced(struct host *h, struct report *now)
{
	*now = host_report(h);
	return memcmp(&now->counts, &h->before.counts, sizeof now->counts) == 0 && now->n_fds == h->before.n_fds &&
	       now->n_rings == h->before.n_rings;
}

static void print_report(const char *when, const struct report *r)
{
	print_error("%s: ports %ld names %ld messages %ld spaces %ld sets %ld tasks %ld threads %ld, descriptors %u, "
		    "rings %u\n",
		    when, r->counts.ports, r->counts.names, r->counts.messages, r->counts.spaces, r->counts.sets,
		    r->counts.tasks, r->counts.threads, r->n_fds, r->n_rings);
}

void host_expect_balance(struct host *h)
{
	struct report now;

	for (int tries = 0; !is_balanced(h, &now); tries++) {
		if (tries > 5000) {
			print_report("before", &h->before);
			print_report("now", &now);
			fail_msg("the victim does not return to where it was");
		}
		nap();
	}
}

void host_end(struct host *h, char *log, size_t size)
{
	int status = 0;

	(void)message_send(&h->parent, h->service, MACH_MSG_TYPE_PORT_SEND,
			   WORD_QUIT); /* it may be gone by the end of this */
	assert_true(soon(waitpid(h->pid, &status, WNOHANG) != 0));
	read_log(h, log, size);
	if (status) {
		print_error("%s", log);
		fail_msg("the victim ended with status %x", (unsigned)status);
	}
	close(h->log);
	peer_deinit(&h->parent);
}

/* ---- further nodes ------------------------------------------------------------------------------------------------ */

void host_introduce(struct host *h, struct peer *p)
{
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
	peer_init(p, ends[0], peer_id_new());
	p->other_id = h->parent.other_id;
	assert_true(introduction_send(&h->parent, p->id, ends[1]));
	close(ends[1]);
}

void host_link(struct host *h, struct peer *p)
{
	host_introduce(h, p);
	assert_true(peer_greet(p));
}

void host_deposit(struct host *h, struct peer *p, uint64_t number)
{
	assert_true(ticket_send(&h->parent, FRAME_DEPOSIT, p->id, number,
				right_yours(MACH_MSG_TYPE_PORT_SEND, h->service)));
}

uint32_t host_grant(struct host *h, struct peer *p)
{
	struct frame_ticket offer;

	host_deposit(h, p, ++h->next_ticket);
	assert_true(peer_take_type(p, FRAME_OFFER, &offer, sizeof offer));
	assert_int_equal(offer.right.form & WIRE_FORM, WIRE_MINE);
	return offer.right.value;
}
