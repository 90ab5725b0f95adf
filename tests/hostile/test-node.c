/* SPDX-License-Identifier: MIT */
/* Attacks on an ordinary node by a peer that was introduced to it. After each the victim's friend goes on with his calls,
 * the victim is as it was before, and has said in one line, and nothing else, which link it dropped and why. */
#include "host.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <fcntl.h>
#include <mach/message.h>
#include <mach/notify.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define SEND	  MACH_MSG_TYPE_PORT_SEND
#define SEND_ONCE MACH_MSG_TYPE_PORT_SEND_ONCE
#define RECEIVE	  MACH_MSG_TYPE_PORT_RECEIVE

enum { OUR_ID = 1 }; /* of messages that mean nothing */

/* ---- what the victim is to say ------------------------------------------------------------------------------------ */

static char expected[65536];

/* The link has been dropped, or will be: because of that. */
static void expect_drop(struct peer *p, const char *why)
{
	size_t n = strlen(expected);

	if (!peer_is_dropped(p))
		fail_msg("the link was not dropped (%s)", why);
	snprintf(expected + n, sizeof expected - n, "portunus: link to process %d dropped: %s\n", (int)getpid(), why);
	peer_deinit(p);
}

#define SIZE_WRONG   "a frame of a wrong size"
#define RING_WRONG   "its ring makes no sense"
#define CUT_SHORT    "a message that is cut short"
#define NOT_ITS	     "a message with something that it may not have"
#define NO_RIGHT     "a claim to rights that it does not have"
#define NO_TICKET    "a ticket or a right that it does not have"
#define NO_RECEIVE   "a receive right that it does not have"
#define NO_NOTIFY    "a right to notify that it does not have"
#define WRONG_MEMORY "its memory is not sealed as it should be, or of another version or message layout"
#define WRONG_BELL   "its doorbell is no pipe, or cannot be watched"
#define WRONG_PACKET "it sent a packet that makes no sense"
#define WRONG_BULK   "memory that is more, or less, than it says"
#define NONSENSE     "a large frame that makes no sense"
#define NO_CONTENT   "a large frame without its content"

/* Still there: it is closed without a word. */
static void expect_alive(struct host *h, struct peer *p)
{
	struct pollfd;

	assert_int_equal(recv(p->socket, &(char){ 0 }, 1, MSG_DONTWAIT | MSG_PEEK) == 0, 0);
	host_expect_life(h);
	peer_deinit(p);
}

/* ---- the greeting ------------------------------------------------------------------------------------------------- */

/* A node with a higher id greets first. */
static void greet_with(struct host *h, struct peer *p, struct greeting *g)
{
	(void)h;
	if (p->id < p->other_id)
		assert_true(peer_await_greeting(p));
	peer_send_greeting(p, g);
}

static void greeting_begin(struct host *h, struct peer *p, struct greeting *g)
{
	host_introduce(h, p);
	peer_seal(p);
	*g = peer_greeting(p);
}

static void greeting_of_wrong_magic(struct host *h)
{
	struct greeting g;
	struct peer p;

	greeting_begin(h, &p, &g);
	g.magic++;
	greet_with(h, &p, &g);
	expect_drop(&p, WRONG_PACKET);
}

static void greeting_of_wrong_type(struct host *h)
{
	struct greeting g;
	struct peer p;

	greeting_begin(h, &p, &g);
	g.type = 17;
	greet_with(h, &p, &g);
	expect_drop(&p, WRONG_PACKET);
}

static void greeting_of_wrong_size(struct host *h)
{
	static const size_t sizes[] = { 1, 15, 17, 64 };

	for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		struct greeting g;
		struct peer p;

		greeting_begin(h, &p, &g);
		g.size = sizes[i];
		greet_with(h, &p, &g);
		expect_drop(&p, WRONG_PACKET);
	}
}

static void greeting_with_wrong_number_of_descriptors(struct host *h)
{
	static const unsigned numbers[] = { 0, 1, 3, 4 };

	for (unsigned i = 0; i < sizeof numbers / sizeof *numbers; i++) {
		struct greeting g;
		struct peer p;

		greeting_begin(h, &p, &g);
		g.fds[2] = g.fds[3] = g.fds[0];
		g.n_fds = numbers[i];
		greet_with(h, &p, &g);
		expect_drop(&p, WRONG_PACKET);
	}
}

static void greeting_of_another_node(struct host *h)
{
	struct greeting g;
	struct peer p;

	greeting_begin(h, &p, &g);
	g.id++;
	greet_with(h, &p, &g);
	expect_drop(&p, "it is another node than was announced");
}

/* An introduction that announces the friend, or whoever, is of no use without being that process. */
static void greeting_of_another_process(struct host *h)
{
	struct peer p;
	struct greeting g;
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
	peer_init(&p, ends[0], (uint64_t)1 << 32 | 5);
	p.other_id = h->parent.other_id;
	assert_true(introduction_send(&h->parent, p.id, ends[1]));
	close(ends[1]);
	peer_seal(&p);
	g = peer_greeting(&p);
	greet_with(h, &p, &g);
	assert_true(peer_is_dropped(&p));
	strcat(expected, "portunus: link to process 1 dropped: it is not the process that it says it is\n");
	peer_deinit(&p);
}

static void greeting_twice(struct host *h)
{
	struct greeting g;
	struct peer p;

	host_link(h, &p);
	g = peer_greeting(&p);
	peer_send_greeting(&p, &g);
	expect_drop(&p, "it greeted twice");
}

static void greeting_of_the_victim_itself(struct host *h)
{
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
	for (int i = 0; i < 2; i++) {
		assert_true(introduction_send(&h->parent, h->parent.other_id, ends[i]));
		close(ends[i]);
	}
}

static void greeting_of_a_node_that_is_linked(struct host *h)
{
	struct greeting g;
	struct peer p, other;
	int ends[2];

	host_link(h, &p);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
	assert_true(introduction_send(&h->parent, p.id, ends[1]));
	close(ends[1]);
	peer_init(&other, ends[0], p.id);
	g = peer_greeting(&other);
	strcpy(expected, "*"); /* whether it says why depends on which of the two has the higher id */
	peer_seal(&other);
	peer_send_greeting(&other, &g);
	assert_true(peer_is_dropped(&other));
	peer_deinit(&other);
	expect_alive(h, &p);
}

static void memory_without_seals(struct host *h)
{
	struct greeting g;
	struct peer p;

	host_introduce(h, &p);
	g = peer_greeting(&p);
	greet_with(h, &p, &g);
	expect_drop(&p, WRONG_MEMORY);
}

static void memory_with_too_few_seals(struct host *h)
{
	static const int seals[] = { F_SEAL_SHRINK | F_SEAL_GROW, F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL,
				     F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL };

	for (unsigned i = 0; i < sizeof seals / sizeof *seals; i++) {
		struct greeting g;
		struct peer p;

		host_introduce(h, &p);
		assert_int_equal(fcntl(p.memfd, F_ADD_SEALS, seals[i]), 0);
		g = peer_greeting(&p);
		greet_with(h, &p, &g);
		expect_drop(&p, WRONG_MEMORY);
	}
}

static void memory_of_another_size(struct host *h)
{
	static const off_t sizes[] = { 0, 4096, RING_MEMORY - 4096, RING_MEMORY + 4096 };

	for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		struct greeting g;
		struct peer p;

		host_introduce(h, &p);
		assert_int_equal(ftruncate(p.memfd, sizes[i]), 0);
		peer_seal(&p);
		g = peer_greeting(&p);
		greet_with(h, &p, &g);
		expect_drop(&p, WRONG_MEMORY);
	}
}

/* Shrunk after it has been handed over: the seals do not let it. */
static void memory_shrinks_later(struct host *h)
{
	struct peer p;

	host_link(h, &p);
	assert_int_not_equal(ftruncate(p.memfd, 0), 0);
	assert_int_not_equal(fallocate(p.memfd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, RING_MEMORY), 0);
	expect_alive(h, &p);
}

static void memory_of_another_version(struct host *h)
{
	for (int i = 0; i < 4; i++) {
		struct greeting g;
		struct peer p;

		greeting_begin(h, &p, &g);
		p.own->magic ^= i == 0;
		p.own->version += i == 1;
		p.own->layout += i == 2;
		p.own->size *= i == 3 ? 2 : 1;
		greet_with(h, &p, &g);
		expect_drop(&p, WRONG_MEMORY);
	}
}

static void memory_that_is_none(struct host *h)
{
	int fds[3], pipes[2];

	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	fds[0] = open("/dev/null", O_RDWR | O_CLOEXEC);
	fds[1] = pipes[0];
	fds[2] = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	for (unsigned i = 0; i < 3; i++) {
		struct greeting g;
		struct peer p;

		greeting_begin(h, &p, &g);
		g.fds[0] = fds[i];
		greet_with(h, &p, &g);
		expect_drop(&p, WRONG_MEMORY);
		close(fds[i]);
	}
	close(pipes[1]);
}

static void doorbell_that_is_none(struct host *h)
{
	int fds[4];

	fds[0] = open("/dev/null", O_RDWR | O_CLOEXEC);
	fds[1] = eventfd(0, EFD_CLOEXEC);
	fds[2] = memfd_create("bell", MFD_CLOEXEC);
	fds[3] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	for (unsigned i = 0; i < 4; i++) {
		struct greeting g;
		struct peer p;

		greeting_begin(h, &p, &g);
		g.fds[1] = fds[i];
		greet_with(h, &p, &g);
		expect_drop(&p, WRONG_BELL);
		close(fds[i]);
	}
}

/* Nobody greets on it, and the socket may be anything. */
static void introduction_of_what_is_no_socket(struct host *h)
{
	int fds[4];

	fds[0] = open("/dev/null", O_RDWR | O_CLOEXEC);
	fds[1] = eventfd(0, EFD_CLOEXEC);
	fds[2] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	fds[3] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	for (unsigned i = 0; i < 4; i++) {
		assert_true(introduction_send(&h->parent, peer_id_new(), fds[i]));
		close(fds[i]);
	}
}

static void silence_instead_of_a_greeting(struct host *h)
{
	struct peer p[8];

	for (int i = 0; i < 8; i++)
		host_introduce(h, &p[i]);
	host_deposit(h, &p[0], 1);
	host_expect_life(h);
	for (int i = 0; i < 8; i++)
		peer_deinit(&p[i]);
}

/* A process that is stopped in the middle of the handshake, with a right under way to it. */
static void stop_in_the_handshake(struct host *h)
{
	int ends[2], status;
	uint64_t id;
	pid_t pid;

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
	pid = fork();
	if (pid == 0) {
		close(ends[1]);
		raise(SIGSTOP);
		_exit(0);
	}
	close(ends[0]);
	assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
	id = (uint64_t)(uint32_t)pid << 32 | 1;
	assert_true(introduction_send(&h->parent, id, ends[1]));
	close(ends[1]);
	assert_true(ticket_send(&h->parent, FRAME_DEPOSIT, id, 1, right_yours(SEND, h->service)));
	host_expect_life(h);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void memory_is_the_owners_alone(struct host *h)
{
	struct peer p;

	host_link(h, &p);
	assert_int_equal(p.their_mode, 0600);
	expect_alive(h, &p);
}

/* ---- frames that are none ----------------------------------------------------------------------------------------- */

static void frame_of_unknown_type(struct host *h)
{
	static const uint16_t types[] = { FRAME_TYPES, 100, 0xffff };

	for (unsigned i = 0; i < 3; i++) {
		struct frame_index f = { .header = { sizeof f, types[i], 0 } };
		struct peer p;

		host_link(h, &p);
		(void)peer_put(&p, &f, sizeof f);
		expect_drop(&p, "a frame of an unknown type");
	}
}

static void frame_of_wrong_size(struct host *h)
{
	static const uint32_t sizes[] = { 0, 4, 7, 9, 12, 32, RING_FRAME_MAX + 8, RING_SIZE, ~0u, ~0u - 7 };

	for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		struct frame f[2] = { { sizes[i], FRAME_COUNT, 0 }, { 0 } };
		struct peer p;

		host_link(h, &p);
		peer_put_raw(&p, f, sizeof f);
		expect_drop(&p, RING_WRONG);
	}
}

static void frame_across_the_end_of_the_ring(struct host *h)
{
	struct frame f = { 64, FRAME_COUNT, 0 }, pad = { RING_SIZE - 16, FRAME_PAD, 0 };
	struct peer p;

	host_link(h, &p);
	memcpy((char *)p.own + RING_DATA, &pad, sizeof pad);
	p.tail = RING_SIZE - 16;
	peer_publish(&p, p.tail);
	assert_true(soon(atomic_load(&p.theirs->head) == p.tail));
	peer_put_raw(&p, &f, sizeof f);
	p.tail += 56;
	peer_publish(&p, p.tail);
	expect_drop(&p, RING_WRONG);
}

static void frame_that_is_cut_short(struct host *h)
{
	for (uint16_t type = FRAME_MESSAGE; type < FRAME_TYPES; type++) {
		struct frame f = { sizeof f, type, 0 };
		struct peer p;

		host_link(h, &p);
		(void)peer_put(&p, &f, sizeof f);
		expect_drop(&p, type == FRAME_MESSAGE ? CUT_SHORT : SIZE_WRONG);
	}
}

static void frame_with_more_than_belongs_to_it(struct host *h)
{
	for (uint16_t type = FRAME_COUNT; type < FRAME_TYPES; type++) {
		struct {
			struct frame header;
			unsigned char rest[2048];
		} f = { .header = { sizeof f, type, 0 } };
		struct peer p;

		host_link(h, &p);
		(void)peer_put(&p, &f, sizeof f);
		expect_drop(&p, type == FRAME_DATA || type == FRAME_CONTENT ? WRONG_BULK : SIZE_WRONG);
	}
}

static void large_frame_without_content(struct host *h)
{
	struct frame_elsewhere f = { { sizeof f, FRAME_MESSAGE, FRAME_IS_ELSEWHERE }, 65536 };
	struct peer p;

	host_link(h, &p);
	(void)peer_put(&p, &f, sizeof f);
	expect_drop(&p, NO_CONTENT);
}

static void large_frame_of_impossible_size(struct host *h)
{
	static const uint64_t sizes[] = { 12345, (uint64_t)1 << 31, ~(uint64_t)7, 1ull << 63, 0 };

	for (unsigned i = 0; i < 5; i++) {
		struct frame_elsewhere f = { { sizeof f, FRAME_MESSAGE, FRAME_IS_ELSEWHERE }, sizes[i] };
		struct peer p;

		host_link(h, &p);
		(void)peer_put(&p, &f, sizeof f);
		expect_drop(&p, i == 0 ? NONSENSE : NO_CONTENT);
	}
}

enum { PIECE = 4096 };

/* Content that says it has so many bytes, and of it so many, all zero. */
static void put_content(struct peer *p, enum frame_type type, uint64_t total, unsigned n_pieces)
{
	struct {
		struct frame_data data;
		unsigned char bytes[PIECE];
	} f = { .data = { .header = { sizeof f, (uint16_t)type, 0 }, .size = PIECE } };

	for (unsigned i = 0; i < n_pieces; i++) {
		f.data.total = i ? 0 : total;
		(void)peer_put(p, &f, sizeof f);
	}
}

static void put_large(struct peer *p, enum frame_type type, uint64_t size)
{
	struct frame_elsewhere f = { { sizeof f, (uint16_t)type, FRAME_IS_ELSEWHERE }, size };

	(void)peer_put(p, &f, sizeof f);
}

static void large_frame_with_other_content(struct host *h)
{
	static const struct {
		enum frame_type type;
		uint64_t total;
		unsigned n_pieces;
	} content[] = {
		{ FRAME_CONTENT, 8 * PIECE, 8 },   /* less */
		{ FRAME_CONTENT, 17 * PIECE, 17 }, /* more */
		{ FRAME_CONTENT, 16 * PIECE, 15 }, /* not all of it */
		{ FRAME_DATA, 16 * PIECE, 16 },	   /* memory out of line */
	};

	for (unsigned i = 0; i < 4; i++) {
		struct peer p;

		host_link(h, &p);
		put_content(&p, content[i].type, content[i].total, content[i].n_pieces);
		put_large(&p, FRAME_MESSAGE, 16 * PIECE);
		expect_drop(&p, NO_CONTENT);
	}
}

static void content_that_is_more_than_it_says(struct host *h)
{
	static const struct {
		uint64_t total;
		unsigned n_pieces;
	} content[] = { { PIECE - 8, 1 }, { 3 * PIECE, 4 }, { (uint64_t)1 << 31, 1 }, { ~(uint64_t)0, 1 }, { 0, 1 } };

	for (unsigned i = 0; i < 5; i++) {
		struct peer p;

		host_link(h, &p);
		put_content(&p, FRAME_CONTENT, content[i].total, content[i].n_pieces);
		expect_drop(&p, WRONG_BULK);
	}
}

/* Content that is a large frame again, or nothing but zeroes. */
static void large_frame_in_a_large_frame(struct host *h)
{
	struct peer p;

	host_link(h, &p);
	put_content(&p, FRAME_CONTENT, 16 * PIECE, 16);
	put_large(&p, FRAME_INTRODUCTION, 16 * PIECE);
	expect_drop(&p, SIZE_WRONG);
}

/* ---- the ring ----------------------------------------------------------------------------------------------------- */

static void ring_index_jumps(struct host *h)
{
	static const uint32_t tails[] = { RING_SIZE + 8, 1u << 31, ~7u, 4 };

	for (unsigned i = 0; i < 4; i++) {
		struct peer p;

		host_link(h, &p);
		peer_publish(&p, tails[i]);
		expect_drop(&p, RING_WRONG);
	}
}

static void ring_index_runs_backwards(struct host *h)
{
	struct peer p;

	host_link(h, &p);
	assert_true(index_send(&p, FRAME_ASK, 0, 0, 0, 0));
	assert_true(soon(atomic_load(&p.theirs->head) == p.tail));
	peer_publish(&p, p.tail - 8);
	expect_drop(&p, RING_WRONG);
}

/* What the other end says that it has taken. */
static void taken_index_jumps(struct host *h)
{
	static const uint32_t heads[] = { RING_SIZE, 1u << 31, ~7u };

	for (unsigned i = 0; i < 3; i++) {
		struct peer p;
		uint32_t service;

		host_link(h, &p);
		service = host_grant(h, &p);
		p.reads = false;
		atomic_store(&p.own->head, heads[i]);
		for (int n = 0; n < 20000 && index_send(&p, FRAME_ASK, service, 0, 1, 0); n++)
			;
		expect_drop(&p, RING_WRONG);
	}
}

struct scribbler {
	struct peer *p;
	atomic_bool is_over;
	unsigned seed;
};

static void *scribble(void *arg)
{
	struct scribbler *s = arg;
	unsigned char *data = (unsigned char *)s->p->own + RING_DATA;

	while (!atomic_load(&s->is_over)) {
		unsigned at = (unsigned)rand_r(&s->seed) % 4096;

		((volatile unsigned char *)data)[at] = (unsigned char)rand_r(&s->seed);
	}
	return NULL;
}

/* A thread that changes what is being read: headers, sizes, rights, counts. */
static void ring_changes_while_it_is_read(struct host *h)
{
	for (unsigned round = 0; round < 20; round++) {
		struct scribbler s = { .seed = round };
		pthread_t thread;
		struct writing w;
		struct peer p;
		uint32_t service;

		host_link(h, &p);
		service = host_grant(h, &p);
		s.p = &p;
		assert_int_equal(pthread_create(&thread, NULL, scribble, &s), 0);
		for (int i = 0; i < 2000; i++) {
			(void)complex_begin(&w, service, OUR_ID, right_none, SEND, 2);
			writing_add(&w, &right_mine(SEND, 3), sizeof(struct wire_right));
			writing_add(&w, &right_yours(SEND, service), sizeof(struct wire_right));
			if (!message_put(&p, &w))
				break;
		}
		peer_publish(&p, p.tail + RING_SIZE + 8);
		assert_true(peer_is_dropped(&p));
		atomic_store(&s.is_over, true);
		pthread_join(thread, NULL);
		peer_deinit(&p);
	}
	strcpy(expected, "*");
}

static void *scribble_indices(void *arg)
{
	struct scribbler *s = arg;

	while (!atomic_load(&s->is_over)) {
		atomic_store(&s->p->own->tail, (uint32_t)rand_r(&s->seed) % 64 * 8);
		atomic_store(&s->p->own->head, (uint32_t)rand_r(&s->seed));
		s->p->own->sleep = (uint32_t)rand_r(&s->seed) & 1;
		s->p->own->is_full = (uint32_t)rand_r(&s->seed) & 1;
		s->p->own->is_attended = (uint32_t)rand_r(&s->seed) & 1;
		s->p->own->cpu = (uint32_t)rand_r(&s->seed);
	}
	return NULL;
}

static void ring_page_changes_all_the_time(struct host *h)
{
	for (unsigned round = 0; round < 20; round++) {
		struct scribbler s = { .seed = round };
		pthread_t thread;
		struct peer p;

		host_link(h, &p);
		(void)host_grant(h, &p);
		s.p = &p;
		assert_int_equal(pthread_create(&thread, NULL, scribble_indices, &s), 0);
		peer_ring(&p);
		(void)peer_wake(&p);
		assert_true(peer_is_dropped(&p));
		atomic_store(&s.is_over, true);
		pthread_join(thread, NULL);
		peer_deinit(&p);
	}
	strcpy(expected, "*");
}

/* ---- rights that were never granted ------------------------------------------------------------------------------- */

static void message_to_an_index_never_granted(struct host *h)
{
	static const uint32_t indices[] = { 1, 0, 1000000, INDEX_IS_ADOPTED, INDEX_NONE };

	for (unsigned i = 0; i < 5; i++) {
		struct peer p;

		host_link(h, &p);
		if (i == 0) /* beside one that was */
			(void)host_grant(h, &p);
		(void)message_send(&p, indices[i], SEND, OUR_ID);
		expect_drop(&p, NOT_ITS);
	}
}

static void message_by_a_right_of_another_kind(struct host *h)
{
	struct peer p;
	uint32_t service;

	host_link(h, &p);
	service = host_grant(h, &p);
	(void)message_send(&p, service, SEND_ONCE, OUR_ID);
	expect_drop(&p, NOT_ITS);
	host_link(h, &p);
	service = host_grant(h, &p);
	(void)message_send(&p, service, RECEIVE, OUR_ID);
	expect_drop(&p, CUT_SHORT);
}

static void right_never_granted(struct host *h)
{
	static const uint8_t kinds[] = { SEND, SEND_ONCE };

	for (unsigned i = 0; i < 8; i++) {
		struct wire_right right = i & 1 ? right_moved(kinds[i / 2 % 2], 5) : right_yours(kinds[i / 2 % 2], 5);
		struct writing w;
		struct peer p;
		uint32_t service;

		host_link(h, &p);
		service = host_grant(h, &p);
		if (i >= 4) { /* as reply right */
			(void)complex_begin(&w, service, OUR_ID, right, SEND, 0);
		} else {
			(void)complex_begin(&w, service, OUR_ID, right_none, right.kind, 1);
			writing_add(&w, &right, sizeof right);
		}
		(void)message_put(&p, &w);
		expect_drop(&p, NOT_ITS);
	}
}

/* A send right is none to send once, and does not become a receive right. */
static void right_of_another_kind(struct host *h)
{
	static const struct {
		uint8_t form, kind, type;
	} wrong[] = {
		{ WIRE_YOURS, SEND_ONCE, SEND_ONCE },
		{ WIRE_YOURS_MOVED, SEND_ONCE, SEND_ONCE },
		{ WIRE_YOURS, RECEIVE, RECEIVE },
		{ WIRE_YOURS, SEND, SEND_ONCE },
		{ WIRE_MINE, RECEIVE, RECEIVE },
		{ WIRE_RECEIVE, RECEIVE, RECEIVE },
		{ WIRE_RECEIVE, SEND, SEND },
		{ WIRE_YOURS | WIRE_IS_OBJECT, SEND, SEND },
		{ WIRE_MINE, 0, SEND },
		{ WIRE_MINE, 77, SEND },
		{ 33, SEND, SEND },
	};

	for (unsigned i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		struct writing w;
		struct peer p;
		struct wire_right right = { wrong[i].form, wrong[i].kind, 5, 0 };

		host_link(h, &p);
		right.value = host_grant(h, &p);
		(void)complex_begin(&w, right.value, OUR_ID, right_none, wrong[i].type, 1);
		writing_add(&w, &right, sizeof right);
		(void)message_put(&p, &w);
		expect_drop(&p, NOT_ITS);
	}
}

/* In the place of a reply right, which is one to send, or to send once, or none. */
static void reply_right_of_no_kind(struct host *h)
{
	static const struct wire_right wrong[] = {
		{ WIRE_MINE, 0, 5, 3 },	      { WIRE_TICKET, 0, 0, 0 },	       { WIRE_DEAD, 0, 0, 0 },
		{ WIRE_MINE, RECEIVE, 5, 3 }, { WIRE_RECEIVE, RECEIVE, 0, 3 }, { WIRE_YOURS, 0, 0, 0 },
	};

	for (unsigned i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		struct wire_ticket ticket = { h->parent.id, 77 };
		struct frame_message *f;
		struct writing w;
		struct peer p;

		host_link(h, &p);
		f = message_begin(&w, host_grant(h, &p), SEND, OUR_ID);
		w.size = sizeof *f;
		writing_add(&w, &wrong[i], sizeof wrong[i]);
		if (wrong[i].form == WIRE_TICKET)
			writing_add(&w, &ticket, sizeof ticket);
		(void)message_put(&p, &w);
		expect_drop(&p, NOT_ITS);
	}
}

/* The port was announced to come, and a send right is not what has come then. */
static void receive_right_as_another(struct host *h)
{
	struct frame_move move = {
		.header = { sizeof move, FRAME_MOVE, 0 },
		.index = INDEX_IS_ADOPTED | 1,
		.mine = INDEX_NONE,
		.sends = 1,
		.limit = 5,
	};

	for (int i = 0; i < 2; i++) {
		struct wire_right right = { WIRE_RECEIVE | (i ? WIRE_IS_FILE : WIRE_IS_OBJECT), SEND, 0, move.index };
		struct writing w;
		struct peer p;
		uint32_t service;

		host_link(h, &p);
		service = host_grant(h, &p);
		assert_true(peer_put(&p, &move, sizeof move));
		(void)complex_begin(&w, service, OUR_ID, right_none, SEND, 1);
		writing_add(&w, &right, sizeof right);
		(void)message_put(&p, &w);
		expect_drop(&p, NOT_ITS);
	}
}

static void message_whose_body_lies(struct host *h)
{
	for (int i = 0; i < 6; i++) {
		struct frame_message *f;
		struct writing w;
		struct peer p;
		uint32_t service;

		host_link(h, &p);
		service = host_grant(h, &p);
		f = complex_begin(&w, service, OUR_ID, right_none, i == 3 ? 19 : SEND, i == 4 ? 60 : 2);
		if (i != 0) /* a right less than it says */
			writing_add(&w, &right_mine(SEND, 3), sizeof(struct wire_right));
		if (i == 1) /* and more */
			for (int j = 0; j < 9; j++)
				writing_add(&w, &right_mine(SEND, 4), sizeof(struct wire_right));
		if (i == 2)
			f->body_size -= MACH_MSG_USER_ALIGNMENT;
		if (i == 5)
			f->body_size += 4000;
		(void)message_put(&p, &w);
		expect_drop(&p, i == 5 ? CUT_SHORT : NOT_ITS);
	}
}

/* Memory out of line whose size, or form, is not what the body says. */
static void memory_that_lies(struct host *h)
{
	static const struct wire_memory wrong[] = {
		{ 64, MEMORY_INLINE },
		{ 1ull << 40, MEMORY_INLINE },
		{ ~0ull, MEMORY_STREAMED },
		{ 4096, MEMORY_STREAMED },
		{ 4096, 7 },
		{ 4096, MEMORY_INLINE },
	};

	for (unsigned i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		struct frame_message *f;
		mach_msg_type_t t = { 0 };
		struct writing w;
		struct peer p;
		unsigned char body[sizeof t + sizeof(void *)] = { 0 };

		host_link(h, &p);
		f = message_begin(&w, host_grant(h, &p), SEND, OUR_ID);
		t.msgt_name = MACH_MSG_TYPE_BYTE;
		t.msgt_size = 128;
		t.msgt_number = 256;
		memcpy(body, &t, sizeof t);
		f->flags = MESSAGE_IS_COMPLEX;
		f->body_size = sizeof body;
		writing_add(&w, body, sizeof body);
		writing_add(&w, &wrong[i], sizeof wrong[i]);
		(void)message_put(&p, &w);
		expect_drop(&p, NOT_ITS);
	}
}

static bool data_send(struct peer *p, uint64_t total, uint64_t said, uint32_t size)
{
	struct {
		struct frame_data data;
		unsigned char bytes[RING_FRAME_MAX - sizeof(struct frame_data)];
	} f = { .data = { { (uint32_t)sizeof f.data + size, FRAME_DATA, 0 }, total, said } };

	return peer_put(p, &f, f.data.header.size);
}

static void streamed_memory_that_lies(struct host *h)
{
	static const struct {
		uint64_t total, said;
		uint32_t size;
	} wrong[] = {
		{ 0, 64, 64 },				/* no first piece */
		{ 64, 128, 128 },			/* more than all */
		{ 64, 0, 0 },				/* nothing */
		{ 1ull << 40, 64, 64 },			/* too much */
		{ ~0ull, 64, 64 },	{ 64, 64, 32 }, /* less than it says */
		{ 64, 1ull << 63, 64 },
	};

	for (unsigned i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		struct peer p;

		host_link(h, &p);
		(void)data_send(&p, wrong[i].total, wrong[i].said, wrong[i].size);
		expect_drop(&p, WRONG_BULK);
	}
}

static void streamed_memory_twice_at_once(struct host *h)
{
	struct peer p;

	host_link(h, &p);
	assert_true(data_send(&p, 1 << 20, 64, 64));
	(void)data_send(&p, 1 << 20, 64, 64);
	expect_drop(&p, WRONG_BULK);
}

static void more_memory_than_may_be_announced(struct host *h)
{
	struct peer p;

	host_link(h, &p);
	(void)data_send(&p, (1ull << 30) + 1, 64, 64);
	expect_drop(&p, WRONG_BULK);
}

/* ---- counts ------------------------------------------------------------------------------------------------------- */

static void release_of_more_than_it_has(struct host *h)
{
	static const int32_t less[][2] = { { -2, 0 }, { 0, -1 }, { INT32_MIN, 0 }, { -1, -1 }, { 0, INT32_MIN } };

	for (unsigned i = 0; i < 5; i++) {
		struct peer p;

		host_link(h, &p);
		(void)index_send(&p, FRAME_COUNT, host_grant(h, &p), less[i][0], less[i][1], 0);
		expect_drop(&p, NO_RIGHT);
	}
}

static void release_twice(struct host *h)
{
	struct peer p;
	uint32_t service;

	host_link(h, &p);
	service = host_grant(h, &p);
	assert_true(index_send(&p, FRAME_COUNT, service, -1, 0, 0));
	(void)index_send(&p, FRAME_COUNT, service, -1, 0, 0);
	expect_drop(&p, NO_RIGHT);
}

static void right_spent_twice(struct host *h)
{
	struct peer p;
	uint32_t service;

	host_link(h, &p);
	service = host_grant(h, &p);
	for (int i = 0; i < 2; i++) {
		struct writing w;

		(void)complex_begin(&w, i ? 0 : service, OUR_ID, right_none, SEND, 1);
		writing_add(&w, &right_moved(SEND, service), sizeof(struct wire_right));
		(void)message_put(&p, &w);
	}
	expect_drop(&p, NOT_ITS);
}

/* Makes the host answer a call with a send-once right of its own, and gives the index of that. */
static uint32_t once_granted(struct host *h, struct peer *p)
{
	struct {
		struct frame_message message;
		struct wire_right reply;
	} answer;
	struct wire_right reply = right_mine(SEND_ONCE, 3);
	struct frame_message *f;
	struct writing w;

	f = message_begin(&w, host_grant(h, p), SEND, WORD_CALL);
	w.size = sizeof *f;
	writing_add(&w, &reply, sizeof reply);
	assert_true(message_put(p, &w));
	assert_true(peer_take_type(p, FRAME_MESSAGE, &answer, sizeof answer));
	assert_int_equal(answer.reply.kind, SEND_ONCE);
	return answer.reply.value;
}

static void once_spent_twice(struct host *h)
{
	struct peer p;
	uint32_t once;

	host_link(h, &p);
	once = once_granted(h, &p);
	assert_true(message_send(&p, once, SEND_ONCE, OUR_ID));
	(void)message_send(&p, once, SEND_ONCE, OUR_ID);
	expect_drop(&p, NOT_ITS);
}

static void more_rights_out_of_nothing(struct host *h)
{
	static const int32_t more[][2] = { { 0, 1 }, { INT32_MAX, 0 }, { 1 << 24, 0 } };

	for (unsigned i = 0; i < 3; i++) {
		struct peer p;

		host_link(h, &p);
		(void)index_send(&p, FRAME_COUNT, host_grant(h, &p), more[i][0], more[i][1], 0);
		expect_drop(&p, NO_RIGHT);
	}
	for (unsigned i = 0; i < 2; i++) {
		struct peer p;

		host_link(h, &p);
		(void)index_send(&p, FRAME_COUNT, i ? 12345 : 0, 1, 0, 0);
		expect_drop(&p, NO_RIGHT);
	}
	for (unsigned i = 0; i < 2; i++) { /* to the node itself it may have rights to send, and no others */
		struct peer p;

		host_link(h, &p);
		(void)index_send(&p, FRAME_COUNT, INDEX_OF_NODE, i, 1, 0);
		expect_drop(&p, NO_RIGHT);
	}
}

/* Rights by the million, come and gone, cost nobody else anything. */
static void counts_that_go_up_and_down(struct host *h)
{
	struct peer p;
	uint32_t service;

	host_link(h, &p);
	service = host_grant(h, &p);
	for (int i = 0; i < 500; i++) {
		assert_true(index_send(&p, FRAME_COUNT, service, (1 << 24) - 1, 0, 0));
		assert_true(index_send(&p, FRAME_COUNT, service, -(1 << 24) + 1, 0, 0));
	}
	assert_true(index_send(&p, FRAME_COUNT, service, (1 << 24) - 1, 0, 0));
	expect_alive(h, &p);
}

static void room_that_makes_no_sense(struct host *h)
{
	static const struct {
		enum frame_type type;
		int32_t n;
	} wrong[] = {
		{ FRAME_RECEIVED, -65536 }, { FRAME_RECEIVED, INT32_MIN }, { FRAME_LIMIT, -1 }, { FRAME_LIMIT, 65536 }
	};

	for (unsigned i = 0; i < 4; i++) {
		struct peer p;

		host_link(h, &p);
		(void)index_send(&p, wrong[i].type, 3, wrong[i].n, 0, 0);
		expect_drop(&p, NO_RIGHT);
	}
}

/* Numbers about a port of its own harm nobody but who sends to it. */
static void room_that_is_not_there(struct host *h)
{
	struct wire_right reply = right_mine(SEND, 3);
	struct frame_message *f;
	struct writing w;
	struct peer p;

	host_link(h, &p);
	f = message_begin(&w, host_grant(h, &p), SEND, OUR_ID);
	w.size = sizeof *f;
	writing_add(&w, &reply, sizeof reply);
	assert_true(message_put(&p, &w));
	for (int i = 0; i < 1000; i++) {
		(void)index_send(&p, FRAME_RECEIVED, 3, i % 3 ? -65535 : INT32_MAX, 1, 0);
		(void)index_send(&p, FRAME_LIMIT, 3, i % 65536, 0, 0);
	}
	(void)index_send(&p, FRAME_DIED, 3, 0, 0, 0);
	(void)index_send(&p, FRAME_DIED, 3, 0, 0, 0);
	expect_alive(h, &p);
}

static void indices_beyond_all_limits(struct host *h)
{
	static const uint32_t indices[] = { 1 << 20, 0x7fffffff };

	for (unsigned i = 0; i < 2; i++) {
		struct writing w;
		struct peer p;

		host_link(h, &p);
		(void)complex_begin(&w, host_grant(h, &p), OUR_ID, right_none, SEND, 1);
		writing_add(&w, &right_mine(SEND, indices[i]), sizeof(struct wire_right));
		(void)message_put(&p, &w);
		expect_drop(&p, NOT_ITS);
	}
}

/* ---- tickets ------------------------------------------------------------------------------------------------------ */

static void send_with_ticket(struct peer *p, uint32_t index, uint64_t owner, uint64_t number, uint8_t kind)
{
	struct wire_right right = { WIRE_TICKET, kind, 0, 0 };
	struct wire_ticket ticket = { owner, number };
	struct writing w;

	(void)complex_begin(&w, index, OUR_ID, right_none, kind, 1);
	writing_add(&w, &right, sizeof right);
	writing_add(&w, &ticket, sizeof ticket);
	(void)message_put(p, &w);
}

static void ticket_used_twice(struct host *h)
{
	struct peer p, owner;
	uint32_t service;

	host_link(h, &p);
	host_link(h, &owner);
	service = host_grant(h, &p);
	send_with_ticket(&p, service, owner.id, 9, SEND);
	send_with_ticket(&p, service, owner.id, 9, SEND);
	expect_drop(&p, NOT_ITS);
	expect_alive(h, &owner);
}

/* The ticket was given by the parent to its own messages: p's is another one, which is never offered. */
static void ticket_of_another_giver(struct host *h)
{
	unsigned long n_served = h->before.n_served;
	struct peer p, owner;
	uint32_t service;

	host_link(h, &p);
	host_link(h, &owner);
	service = host_grant(h, &p);
	assert_true(ticket_send(&owner, FRAME_OFFER, h->parent.id, 9, right_mine(SEND, 4)));
	send_with_ticket(&p, service, owner.id, 9, SEND);
	host_expect_life(h);
	assert_int_equal(host_report(h).n_served, n_served);
	expect_alive(h, &p);
	expect_alive(h, &owner);
}

static void ticket_that_is_never_offered(struct host *h)
{
	struct peer p;
	uint32_t service;

	host_link(h, &p);
	service = host_grant(h, &p);
	send_with_ticket(&p, service, h->parent.id, 10, SEND);
	send_with_ticket(&p, service, h->parent.other_id, 11, SEND);
	send_with_ticket(&p, service, p.id, 12, SEND);
	send_with_ticket(&p, service, 1234567, 13, SEND);
	(void)message_send(&p, service, SEND, OUR_ID);
	expect_alive(h, &p); /* the parent is asked, and knows of nothing */
}

static void deposit_of_what_it_has_not(struct host *h)
{
	for (int i = 0; i < 5; i++) {
		struct peer p;
		uint32_t service;

		host_link(h, &p);
		service = host_grant(h, &p);
		(void)ticket_send(&p, FRAME_DEPOSIT, h->parent.id, 5,
				  i == 0   ? right_yours(SEND, service + 1)
				  : i == 1 ? right_yours(SEND_ONCE, service)
				  : i == 2 ? right_mine(SEND, service)
				  : i == 3 ? right_yours(RECEIVE, service)
					   : right_none);
		expect_drop(&p, NO_TICKET);
	}
}

static void offers_that_nobody_asked_for(struct host *h)
{
	struct peer p;

	host_link(h, &p);
	for (int i = 0; i < 1000; i++) {
		assert_true(ticket_send(&p, FRAME_OFFER, h->parent.id, (uint64_t)i, right_mine(SEND, 3)));
		assert_true(ticket_send(&p, FRAME_OFFER, 1234567, (uint64_t)i, right_mine(SEND_ONCE, 4)));
		assert_true(ticket_send(&p, FRAME_OFFER, p.id, (uint64_t)i, right_mine(SEND, 5)));
	}
	/* That they wait for a ticket of the parent's is no loss: they are gone with the peer, or with the parent. */
	expect_alive(h, &p);
	strcpy(expected, "*");
}

/* What would be offered by the ticket that is offered. */
static void offer_that_goes_on_to_itself(struct host *h)
{
	struct frame_ticket f = { .header = { sizeof f, FRAME_OFFER, 0 }, .number = 5 };
	struct peer p;

	host_link(h, &p);
	f.right = (struct wire_right){ WIRE_TICKET, SEND, 0, 0 };
	f.node = p.id;
	f.onward = (struct wire_ticket){ p.id, f.number };
	(void)peer_put(&p, &f, sizeof f);
	expect_drop(&p, NO_TICKET);
}

static void offer_of_wrong_kind(struct host *h)
{
	for (int i = 0; i < 5; i++) {
		struct peer p;
		struct wire_right right = right_mine(SEND, 3);
		uint32_t service;

		host_link(h, &p);
		service = host_grant(h, &p);
		if (i == 0)
			right.kind = RECEIVE;
		else if (i == 1)
			right.kind = 99;
		else if (i == 2)
			right = right_yours(SEND, service + 1);
		else if (i == 3)
			right.form = WIRE_DEAD;
		else
			right.value = 1 << 20;
		(void)ticket_send(&p, FRAME_OFFER, p.id, 5, right);
		expect_drop(&p, NO_TICKET);
	}
}

static void questions_about_anything(struct host *h)
{
	struct frame_ticket answer;
	struct peer p;

	host_link(h, &p);
	p.reads = false;
	for (uint64_t i = 0; i < 1000; i++) {
		assert_true(ticket_send(&p, FRAME_QUERY, 1234567, i, right_none));
		assert_true(ticket_send(&p, FRAME_VOID, h->parent.id, i, right_none));
	}
	for (uint64_t i = 0; i < 1000; i++) {
		assert_true(peer_take_type(&p, FRAME_VOID, &answer, sizeof answer));
		assert_int_equal(answer.number, i);
	}
	expect_alive(h, &p);
}

/* ---- innocents: what one peer says must not cost another his link --------------------------------------------------- */

/* A giver who deposits the same ticket twice, or of another kind than it said, makes the owner offer what it should not. */
static void deposit_that_makes_the_owner_lie(struct host *h)
{
	struct peer owner, giver;
	uint32_t service;

	host_link(h, &owner);
	host_link(h, &giver);
	service = host_grant(h, &giver);
	strcpy(expected, "*"); /* the giver may be found out, if the offer is taken in before its message */
	send_with_ticket(&giver, service, owner.id, 1, SEND);
	/* The owner, who is honest, was told to offer another kind, and that twice. */
	assert_true(ticket_send(&owner, FRAME_OFFER, giver.id, 1, right_mine(SEND_ONCE, 3)));
	assert_true(ticket_send(&owner, FRAME_OFFER, giver.id, 1, right_mine(SEND_ONCE, 3)));
	assert_true(ticket_send(&owner, FRAME_OFFER, giver.id, 2, right_mine(SEND, 4)));
	assert_true(ticket_send(&owner, FRAME_OFFER, giver.id, 2, right_mine(SEND, 4)));
	expect_alive(h, &owner);
	peer_deinit(&giver);
}

/* A former home that told the holder nothing of the move, or told the new home twice of the same holder. */
static void move_that_makes_the_new_home_lie(struct host *h)
{
	struct wire_right right = { WIRE_MINE, 0, 5, 3 };
	struct peer home, former;
	struct frame_index count;

	host_link(h, &home);
	host_link(h, &former);
	assert_true(ticket_send(&home, FRAME_OFFER, former.id, 1, right));
	right.value = 4;
	assert_true(ticket_send(&home, FRAME_OFFER, former.id, 1, right));
	right.value = 5;
	assert_true(ticket_send(&former, FRAME_MOVED, home.id, 2, right_mine(0, 7)));
	assert_true(ticket_send(&home, FRAME_OFFER, former.id, 2, right));
	right.value = 6;
	assert_true(ticket_send(&home, FRAME_OFFER, former.id, 2, right));
	for (uint32_t i = 3; i < 7; i++) /* what they bring is given back */
		assert_true(index_send(&home, FRAME_READY, i, 1, 0, 0));
	assert_true(peer_take_type(&home, FRAME_COUNT, &count, sizeof count));
	assert_int_equal(count.sends, -1);
	peer_deinit(&former);
	expect_alive(h, &home);
}

/* ---- migration ---------------------------------------------------------------------------------------------------- */

static struct frame_move move_of(uint32_t index)
{
	return (struct frame_move){
		.header = { sizeof(struct frame_move), FRAME_MOVE, 0 },
		.index = index,
		.mine = INDEX_NONE,
		.limit = 5,
	};
}

static void move_that_makes_no_sense(struct host *h)
{
	for (int i = 0; i < 6; i++) {
		struct frame_move f = move_of(INDEX_IS_ADOPTED | 1);
		struct peer p;

		host_link(h, &p);
		if (i == 0)
			f.index = 5;
		else if (i == 1)
			f.index = INDEX_NONE;
		else if (i == 2)
			f.limit = 65536;
		else if (i == 3)
			f.sends = ~0u;
		else if (i == 4)
			f.onces = (1 << 24) + 1;
		else
			(void)peer_put(&p, &f, sizeof f);
		(void)peer_put(&p, &f, sizeof f);
		expect_drop(&p, NO_RECEIVE);
	}
}

/* What was asked for of a port that moves is a header; rights that came with it would be nobody's. */
static void request_with_a_body(struct host *h)
{
	struct frame_move f = move_of(INDEX_IS_ADOPTED | 1);
	struct wire_right notify = right_mine(SEND_ONCE, 3), right;
	struct frame_message *m;
	struct writing w;
	struct peer p;

	host_link(h, &p);
	right = right_yours(SEND, host_grant(h, &p));
	assert_true(peer_put(&p, &f, sizeof f));
	m = complex_begin(&w, f.index, MACH_NOTIFY_NO_SENDERS, notify, SEND, 2);
	m->flags |= MESSAGE_IS_REQUEST;
	writing_add(&w, &right, sizeof right);
	writing_add(&w, &right, sizeof right);
	(void)message_put(&p, &w);
	expect_drop(&p, NOT_ITS);
}

static void move_with_wrong_holders(struct host *h)
{
	for (int i = 0; i < 3; i++) {
		struct {
			struct frame_move move;
			struct move_holder holder;
		} f = { .move = move_of(INDEX_IS_ADOPTED | 1), .holder = { h->parent.id, 1, 1, 1 } };
		struct peer p;

		f.move.header.size = sizeof f;
		f.move.n_holders = i == 0 ? ~0u : i == 1 ? 2 : 1;
		host_link(h, &p);
		(void)peer_put(&p, &f, sizeof f);
		expect_drop(&p, i == 2 ? NO_RECEIVE : SIZE_WRONG);
	}
}

/* Ports that were announced and never come, with holders who never will. */
static void moves_that_never_arrive(struct host *h)
{
	struct peer p;

	host_link(h, &p);
	for (uint32_t i = 0; i < 500; i++) {
		struct frame_move f = move_of(INDEX_IS_ADOPTED | i);

		f.sends = 10;
		f.onces = 10;
		f.mine = i % 2 ? INDEX_NONE : i;
		assert_true(peer_put(&p, &f, sizeof f));
	}
	expect_alive(h, &p);
}

/* It arrives once. */
static void receive_right_twice(struct host *h)
{
	struct frame_move f = move_of(INDEX_IS_ADOPTED | 1);
	struct peer p;
	uint32_t service;

	host_link(h, &p);
	service = host_grant(h, &p);
	f.sends = 1;
	assert_true(peer_put(&p, &f, sizeof f));
	for (int i = 0; i < 2; i++) {
		struct wire_right right = { WIRE_RECEIVE, RECEIVE, 0, f.index };
		struct writing w;

		(void)complex_begin(&w, service, OUR_ID, right_none, RECEIVE, 1);
		writing_add(&w, &right, sizeof right);
		(void)message_put(&p, &w);
	}
	expect_drop(&p, NOT_ITS);
}

/* A port in a message to itself, which nobody can receive. */
static void receive_right_in_its_own_queue(struct host *h)
{
	struct frame_move f = move_of(INDEX_IS_ADOPTED | 1);
	struct wire_right right = { WIRE_RECEIVE, RECEIVE, 0, f.index };
	struct writing w;
	struct peer p;

	host_link(h, &p);
	f.sends = 1;
	assert_true(peer_put(&p, &f, sizeof f));
	(void)complex_begin(&w, f.index, OUR_ID, right_none, RECEIVE, 1);
	writing_add(&w, &right, sizeof right);
	assert_true(message_put(&p, &w));
	expect_alive(h, &p);
}

/* A right of the victim's own that moved nowhere. */
static void end_of_a_move_that_was_none(struct host *h)
{
	static const enum frame_type types[] = { FRAME_FLUSH, FRAME_READY };

	for (int i = 0; i < 4; i++) {
		struct peer p;
		uint32_t service;

		host_link(h, &p);
		service = host_grant(h, &p);
		(void)index_send(&p, types[i % 2], i < 2 ? service : 999, 1, 0, 0);
		expect_drop(&p, NO_RIGHT);
	}
	for (int i = 0; i < 3; i++) {
		struct peer p;
		uint32_t service;

		host_link(h, &p);
		service = host_grant(h, &p);
		(void)ticket_send(&p, FRAME_FLUSHED, p.id, i, right_yours(0, i == 2 ? service + 1 : service));
		if (i == 1) /* no units, of nobody: nothing happens */
			expect_alive(h, &p);
		else
			expect_drop(&p, NO_TICKET);
	}
}

static void flushed_with_more_than_there_is(struct host *h)
{
	for (int i = 0; i < 4; i++) {
		struct frame_ticket f = { .header = { sizeof f, FRAME_FLUSHED, 0 }, .node = 1, .number = 5 };
		struct peer p;

		host_link(h, &p);
		f.right = right_yours(0, host_grant(h, &p));
		f.sends = i == 0 ? 2 : i == 1 ? -1 : 0;
		f.onces = i == 2 ? 1 : i == 3 ? INT32_MIN : 0;
		(void)peer_put(&p, &f, sizeof f);
		expect_drop(&p, NO_TICKET);
	}
}

static void moved_without_end(struct host *h)
{
	struct peer p, home;

	host_link(h, &p);
	host_link(h, &home);
	for (uint64_t i = 1; i < 500; i++)
		assert_true(ticket_send(&p, FRAME_MOVED, home.id, i, right_mine(0, (uint32_t)i)));
	(void)ticket_send(&p, FRAME_MOVED, home.id, 1, right_mine(0, 1));
	expect_drop(&p, NO_TICKET);
	expect_alive(h, &home);
}

struct answer {
	struct frame_message message;
	struct wire_right reply;
};

/* What @p asks the victim is answered: by a right of its own, number 3. */
static void put_question(struct peer *p, uint32_t service, int word)
{
	struct wire_right reply = right_mine(SEND_ONCE, 3);
	struct writing w;

	(void)message_begin(&w, service, SEND, word);
	w.size = sizeof(struct frame_message);
	writing_add(&w, &reply, sizeof reply);
	assert_true(message_put(p, &w));
}

/* A port of the victim's moves away, in an answer; a holder says twice that it has sent all. */
static void flushed_twice(struct host *h)
{
	struct frame_ticket moved;
	struct answer answer;
	struct peer p, home;

	host_link(h, &p);
	host_link(h, &home);
	put_question(&p, host_grant(h, &p), WORD_MAKE);
	assert_true(peer_take_type(&p, FRAME_MESSAGE, &answer, sizeof answer));
	put_question(&home, host_grant(h, &home), WORD_MOVE);
	assert_true(peer_take_type(&p, FRAME_MOVED, &moved, sizeof moved));
	assert_true(moved.node == home.id);
	assert_true(index_send(&p, FRAME_FLUSH, answer.reply.value, 1, 0, 0));
	(void)index_send(&p, FRAME_FLUSH, answer.reply.value, 1, 0, 0);
	expect_drop(&p, NO_RIGHT);
	expect_alive(h, &home);
}

static void heir_without_a_right(struct host *h)
{
	struct frame_heir f = { { sizeof f, FRAME_HEIR, 0 }, 3, 0, 5, 0 };

	for (int i = 0; i < 3; i++) {
		struct peer p;

		host_link(h, &p);
		f.notify = i == 0 ? host_grant(h, &p) : i == 1 ? 999 : INDEX_IS_ADOPTED | 5;
		(void)peer_put(&p, &f, sizeof f);
		expect_drop(&p, NO_NOTIFY);
	}
}

/* One right to notify is good for one port. */
static void heir_of_more_than_it_can_notify_of(struct host *h)
{
	struct peer p;
	uint32_t once;

	host_link(h, &p);
	once = once_granted(h, &p);
	for (uint32_t i = 0; i < 2; i++) {
		struct frame_heir heir = { { sizeof heir, FRAME_HEIR, 0 }, i, once, 5, 0 };

		(void)peer_put(&p, &heir, sizeof heir);
	}
	expect_drop(&p, NO_NOTIFY);
}

/* ---- floods ------------------------------------------------------------------------------------------------------- */

static void endless_wake_ups(struct host *h)
{
	struct peer p;

	host_link(h, &p);
	for (int i = 0; i < 20000; i++) {
		peer_ring(&p);
		if (i % 8 == 0)
			assert_true(peer_wake(&p));
		if (i % 5000 == 0)
			host_expect_life(h);
	}
	expect_alive(h, &p);
}

struct flood {
	struct peer *p;
	uint32_t index;
	unsigned n;
	atomic_bool is_over;
	void (*put)(struct flood *f);
};

static void *flood(void *arg)
{
	struct flood *f = arg;

	while (!atomic_load(&f->is_over))
		f->put(f);
	return NULL;
}

/* While frames, or packets, come without a pause everybody else goes on. */
static void flood_with(struct host *h, void (*put)(struct flood *))
{
	struct peer p;
	struct flood f = { .p = &p, .put = put };
	pthread_t thread;

	host_link(h, &p);
	f.index = host_grant(h, &p);
	assert_int_equal(pthread_create(&thread, NULL, flood, &f), 0);
	for (int i = 0; i < 5; i++)
		host_expect_life(h);
	atomic_store(&f.is_over, true);
	pthread_join(thread, NULL);
	peer_drain(&p);
	expect_alive(h, &p);
}

/* Without a system call, so that there is always something more. */
static void put_frames(struct flood *f)
{
	struct frame_index ask = { { sizeof ask, FRAME_ASK, 0 }, 999, 0, 0, 0 };
	uint32_t left = RING_SIZE - f->p->tail % RING_SIZE;

	if (left < sizeof ask)
		ask.header = (struct frame){ left, FRAME_PAD, 0 };
	while (RING_SIZE - (f->p->tail - atomic_load(&f->p->theirs->head)) < sizeof ask)
		if (atomic_load(&f->is_over))
			return;
	memcpy((char *)f->p->own + RING_DATA + f->p->tail % RING_SIZE, &ask, left < sizeof ask ? left : sizeof ask);
	f->p->tail += ask.header.size;
	atomic_store(&f->p->own->tail, f->p->tail);
	if (f->n++ % 100000 == 0)
		peer_ring(f->p);
}

static void endless_frames(struct host *h)
{
	flood_with(h, put_frames);
}

static void put_packets(struct flood *f)
{
	(void)peer_wake(f->p);
}

static void endless_packets(struct host *h)
{
	flood_with(h, put_packets);
}

/* It asks and does not read the answers. */
static void answers_that_nobody_reads(struct host *h)
{
	struct peer p;
	uint32_t service;

	host_link(h, &p);
	service = host_grant(h, &p);
	p.reads = false;
	for (int i = 0; i < 4000000 && index_send(&p, FRAME_ASK, service, 0, 1, 0); i++)
		;
	expect_drop(&p, "it does not read what is sent to it");
	assert_true(host_report(h).n_megabytes < h->before.n_megabytes + 300);
}

/* It says that there is room for what it does not read. */
static void messages_that_nobody_reads(struct host *h)
{
	struct wire_right reply = right_mine(SEND, 3);
	struct frame_message *f;
	struct writing w;
	struct peer p;

	host_link(h, &p);
	f = message_begin(&w, host_grant(h, &p), SEND, WORD_TALK);
	w.size = sizeof *f;
	writing_add(&w, &reply, sizeof reply);
	p.reads = false;
	assert_true(index_send(&p, FRAME_LIMIT, 3, 65535, 0, 0));
	reply.limit = 65535;
	memcpy(w.bytes + sizeof *f, &reply, sizeof reply);
	assert_true(message_put(&p, &w));
	expect_drop(&p, "it does not read what is sent to it");
	assert_true(host_report(h).n_megabytes < h->before.n_megabytes + 300);
}

/* More than the queue's limit, which an honest end keeps: it is held up until something is received. */
static void messages_that_nobody_receives(struct host *h)
{
	static unsigned char body[8192];
	struct peer p;
	uint32_t service, n = 0;

	host_link(h, &p);
	service = host_grant(h, &p);
	assert_true(message_send(&p, service, SEND, WORD_PAUSE));
	for (;; n++) {
		struct frame_message *f;
		struct writing w;

		f = message_begin(&w, service, SEND, OUR_ID);
		f->body_size = sizeof body;
		writing_add(&w, body, sizeof body);
		w.bytes[0] = 0;
		if (RING_SIZE - (p.tail - atomic_load(&p.theirs->head)) < 2 * RING_FRAME_MAX) {
			uint32_t head = atomic_load(&p.theirs->head);
			bool is_taken = false;

			for (int i = 0; i < 500 && !is_taken; i++) {
				is_taken = atomic_load(&p.theirs->head) != head;
				peer_ring(&p);
				nap();
			}
			if (!is_taken)
				break;
		}
		assert_true(message_put(&p, &w));
		assert_true(n < 200000);
	}
	kill(h->pid, SIGUSR1);
	assert_true(soon(host_report(h).n_served >= n - 8));
	host_expect_life(h);
	expect_alive(h, &p);
}

static void descriptors_without_frames(struct host *h)
{
	struct peer p;
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	host_link(h, &p);
	for (int i = 0; i < 5000 && peer_pass(&p, fd); i++)
		;
	expect_drop(&p, "it sent too many descriptors");
	close(fd);
}

static void packets_that_make_no_sense(struct host *h)
{
	for (int i = 0; i < 6; i++) {
		struct packet packet = { PACKET_MAGIC, PACKET_WAKE, 0 };
		struct peer p;
		int fds[8];

		host_link(h, &p);
		for (int j = 0; j < 8; j++)
			fds[j] = p.memfd;
		if (i == 0)
			packet.magic = 0;
		else if (i == 1)
			packet.type = 3;
		else if (i == 2)
			packet.type = ~0u;
		else if (i == 4)
			packet.type = PACKET_DESCRIPTOR; /* without one */
		(void)peer_send_packet(&p, &packet, i == 5 ? 8 : sizeof packet, fds, i == 3 ? 8 : 0);
		expect_drop(&p, WRONG_PACKET);
	}
}

/* Sockets for nodes that do not exist, as many as it likes. */
static void links_without_end(struct host *h)
{
	struct peer p;
	int n = 0, ends[2];

	host_link(h, &p);
	while (n < 5000 && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0) {
		bool is_alive = introduction_send(&p, peer_id_new(), ends[1]);

		close(ends[1]);
		if (!is_alive)
			break;
		fcntl(ends[0], F_SETFD, FD_CLOEXEC);
		n++;
		if (n > 900) {
			close(ends[0]);
			break;
		}
	}
	host_expect_life(h);
	assert_true(host_report(h).n_fds < h->before.n_fds + 600);
	for (int fd = 3; fd < 1024; fd++)
		if (fd != p.socket && fd != p.memfd && fd != p.doorbell[0] && fd != p.doorbell[1] &&
		    fd != p.their_doorbell && fd != h->log && fd != h->parent.socket && fd != h->parent.memfd &&
		    fd != h->parent.doorbell[0] && fd != h->parent.doorbell[1] && fd != h->parent.their_doorbell)
			close(fd);
	expect_alive(h, &p);
}

/* Has the victim answer, each time to somebody who has gone to sleep anew. */
static void have_it_ring(struct peer *p, uint32_t service)
{
	struct wire_right reply = right_mine(SEND_ONCE, 3);

	for (int i = 0; i < 10000; i++) {
		struct frame_message *f;
		struct writing w;

		atomic_fetch_add(&p->own->sleep, 1);
		f = message_begin(&w, service, SEND, WORD_CALL);
		w.size = sizeof *f;
		writing_add(&w, &reply, sizeof reply);
		assert_true(message_put(p, &w));
	}
	peer_drain(p);
}

/* A doorbell that is full, and cannot be written to without waiting. */
static void doorbell_that_nobody_hears(struct host *h)
{
	uint32_t service;
	struct peer p;

	host_link(h, &p);
	service = host_grant(h, &p);
	assert_int_equal(fcntl(p.their_doorbell, F_SETFL, 0), 0); /* what it likes */
	have_it_ring(&p, service);
	expect_alive(h, &p);
}

/* To write into a pipe that nobody can read ends whoever does not expect it. */
static void doorbell_that_is_torn_off(struct host *h)
{
	uint32_t service;
	struct peer p;

	host_link(h, &p);
	service = host_grant(h, &p);
	close(p.their_doorbell);
	p.their_doorbell = -1;
	have_it_ring(&p, service);
	expect_alive(h, &p);
}

/* And one that seems to ring, but has nothing to be read. */
static void doorbell_that_is_emptied_again(struct host *h)
{
	struct peer p;
	char byte;

	host_link(h, &p);
	assert_int_equal(fcntl(p.doorbell[0], F_SETFL, 0), 0);
	for (int i = 0; i < 5000; i++) {
		peer_ring(&p);
		(void)!vmsplice(p.doorbell[0], &(struct iovec){ &byte, 1 }, 1, SPLICE_F_NONBLOCK);
	}
	expect_alive(h, &p);
}

/* ---- running ------------------------------------------------------------------------------------------------------ */

static void run(void **state)
{
	void (*attack)(struct host *) = *(void (**)(struct host *)) * state;
	static char log[1 << 16];
	struct host h;

	expected[0] = '\0';
	host_start(&h);
	attack(&h);
	host_expect_life(&h);
	host_expect_balance(&h);
	host_end(&h, log, sizeof log);
	if (strcmp(expected, "*") == 0) { /* which link, and why, is a matter of chance; but nothing else is said */
		for (char *line = strtok(log, "\n"); line; line = strtok(NULL, "\n"))
			assert_true(strncmp(line, "portunus: link to process ", 26) == 0);
		return;
	}
	assert_string_equal(log, expected);
}

#define attack(name) \
	{ \
#name, run, NULL, NULL, &(void (*)(struct host *)) \
		{ \
			name \
		} \
	}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		attack(greeting_of_wrong_magic),
		attack(greeting_of_wrong_type),
		attack(greeting_of_wrong_size),
		attack(greeting_with_wrong_number_of_descriptors),
		attack(greeting_of_another_node),
		attack(greeting_of_another_process),
		attack(greeting_twice),
		attack(greeting_of_the_victim_itself),
		attack(greeting_of_a_node_that_is_linked),
		attack(memory_without_seals),
		attack(memory_with_too_few_seals),
		attack(memory_of_another_size),
		attack(memory_shrinks_later),
		attack(memory_of_another_version),
		attack(memory_that_is_none),
		attack(doorbell_that_is_none),
		attack(introduction_of_what_is_no_socket),
		attack(silence_instead_of_a_greeting),
		attack(stop_in_the_handshake),
		attack(memory_is_the_owners_alone),
		attack(frame_of_unknown_type),
		attack(frame_of_wrong_size),
		attack(frame_across_the_end_of_the_ring),
		attack(frame_that_is_cut_short),
		attack(frame_with_more_than_belongs_to_it),
		attack(large_frame_without_content),
		attack(large_frame_of_impossible_size),
		attack(large_frame_with_other_content),
		attack(large_frame_in_a_large_frame),
		attack(content_that_is_more_than_it_says),
		attack(ring_index_jumps),
		attack(ring_index_runs_backwards),
		attack(taken_index_jumps),
		attack(ring_changes_while_it_is_read),
		attack(ring_page_changes_all_the_time),
		attack(message_to_an_index_never_granted),
		attack(message_by_a_right_of_another_kind),
		attack(right_never_granted),
		attack(right_of_another_kind),
		attack(reply_right_of_no_kind),
		attack(receive_right_as_another),
		attack(message_whose_body_lies),
		attack(memory_that_lies),
		attack(streamed_memory_that_lies),
		attack(streamed_memory_twice_at_once),
		attack(more_memory_than_may_be_announced),
		attack(release_of_more_than_it_has),
		attack(release_twice),
		attack(right_spent_twice),
		attack(once_spent_twice),
		attack(more_rights_out_of_nothing),
		attack(counts_that_go_up_and_down),
		attack(room_that_makes_no_sense),
		attack(room_that_is_not_there),
		attack(indices_beyond_all_limits),
		attack(ticket_used_twice),
		attack(ticket_of_another_giver),
		attack(ticket_that_is_never_offered),
		attack(deposit_of_what_it_has_not),
		attack(offers_that_nobody_asked_for),
		attack(offer_that_goes_on_to_itself),
		attack(offer_of_wrong_kind),
		attack(questions_about_anything),
		attack(deposit_that_makes_the_owner_lie),
		attack(move_that_makes_the_new_home_lie),
		attack(move_that_makes_no_sense),
		attack(request_with_a_body),
		attack(move_with_wrong_holders),
		attack(moves_that_never_arrive),
		attack(receive_right_twice),
		attack(receive_right_in_its_own_queue),
		attack(end_of_a_move_that_was_none),
		attack(flushed_with_more_than_there_is),
		attack(moved_without_end),
		attack(flushed_twice),
		attack(heir_without_a_right),
		attack(heir_of_more_than_it_can_notify_of),
		attack(endless_wake_ups),
		attack(endless_frames),
		attack(endless_packets),
		attack(answers_that_nobody_reads),
		attack(messages_that_nobody_reads),
		attack(messages_that_nobody_receives),
		attack(descriptors_without_frames),
		attack(packets_that_make_no_sense),
		attack(links_without_end),
		attack(doorbell_that_nobody_hears),
		attack(doorbell_that_is_torn_off),
		attack(doorbell_that_is_emptied_again),
	};

	signal(SIGPIPE, SIG_IGN);
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
