/* SPDX-License-Identifier: MIT */
/* Frames at random, in each state of a link: before the greeting, while it is live, with rights handed off, with ports that
 * move, in the middle of memory that is streamed, and as it ends.
 *
 *   fuzz-frames [FRAMES [SEED [STATE]]]   so many in each state, or in that one; the seed is said, and repeats the run
 *
 * One victim for each state, with its friend: whatever comes, it lives, its friend goes on, and when the last link has gone it is
 * as before. Frames are mostly right, but for a field or two: what is nonsense altogether ends its link at once. */
#include "host.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <fcntl.h>
#include <mach/message.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static unsigned long n_frames = 300;
static uint64_t seed;

static uint32_t any(void)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(seed >> 33);
}

static uint32_t below(uint32_t n)
{
	return any() % n;
}

static bool one_in(uint32_t n)
{
	return below(n) == 0;
}

/* ---- what a frame may name ---------------------------------------------------------------------------------------- */

/* What the attacker knows; the frames of a run are made of it. */
struct knowledge {
	struct host *h;
	struct peer *p;
	uint32_t service;
	uint32_t n_adopted; /* indices of ports that it has moved */
};

static uint32_t some_number(void)
{
	static const uint32_t numbers[] = { 0,	     1,	      2,	 5,	   65535, 65536,
					    1 << 20, 1 << 24, INT32_MAX, 1u << 31, ~0u,	  ~0u - 1 };

	return one_in(4) ? any() : numbers[below(sizeof numbers / sizeof *numbers)];
}

static uint32_t some_index(const struct knowledge *k)
{
	switch (below(16)) {
	case 0:
		return some_number();
	case 1:
	case 2:
	case 3:
		return INDEX_IS_ADOPTED | below(k->n_adopted + 2);
	case 4:
	case 5:
	case 6:
	case 7:
		return below(8);
	default:
		return k->service;
	}
}

static uint64_t some_node(const struct knowledge *k)
{
	switch (below(8)) {
	case 0:
		return (uint64_t)any() << 32 | any();
	case 1:
	case 2:
		return k->h->parent.other_id;
	case 3:
	case 4:
		return k->p->id;
	default:
		return k->h->parent.id;
	}
}

static struct wire_right some_right(const struct knowledge *k)
{
	static const uint8_t kinds[] = { MACH_MSG_TYPE_PORT_SEND,    MACH_MSG_TYPE_PORT_SEND,
					 MACH_MSG_TYPE_PORT_SEND,    MACH_MSG_TYPE_PORT_SEND_ONCE,
					 MACH_MSG_TYPE_PORT_RECEIVE, 0 };
	struct wire_right right = { .form = (uint8_t)below(7),
				    .kind = kinds[below(sizeof kinds)],
				    .limit = (uint16_t)below(20) };

	if (one_in(20))
		right.form = (uint8_t)any();
	if (one_in(20))
		right.kind = (uint8_t)any();
	right.value = some_index(k);
	return right;
}

static int some_descriptor(void)
{
	int ends[2], fd;

	switch (below(5)) {
	case 0:
		return open("/dev/null", O_RDWR | O_CLOEXEC);
	case 1:
	case 2:
		fd = memfd_create("fuzz", MFD_CLOEXEC);
		(void)!ftruncate(fd, below(70000));
		return fd;
	case 3:
		if (pipe2(ends, O_CLOEXEC) < 0)
			return -1;
		close(ends[1]);
		return ends[0];
	default:
		if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
			return -1;
		close(ends[1]);
		return ends[0];
	}
}

static bool pass_some_descriptor(struct peer *p)
{
	int fd = some_descriptor();
	bool ok = fd >= 0 && peer_pass(p, fd);

	if (fd >= 0)
		close(fd);
	return ok;
}

/* ---- frames ------------------------------------------------------------------------------------------------------- */

static void add_right(struct writing *w, const struct knowledge *k)
{
	struct wire_right right = some_right(k);
	struct wire_ticket ticket = { some_node(k), below(20) };

	writing_add(w, &right, sizeof right);
	if (right.form == WIRE_TICKET)
		writing_add(w, &ticket, sizeof ticket);
}

static void write_message(struct writing *w, const struct knowledge *k)
{
	static const unsigned types[] = { MACH_MSG_TYPE_PORT_SEND, MACH_MSG_TYPE_PORT_SEND_ONCE,
					  MACH_MSG_TYPE_PORT_RECEIVE, MACH_MSG_TYPE_BYTE };
	struct wire_memory memory = { below(64), below(3) };
	unsigned n = below(4);
	struct frame_message *f =
		complex_begin(w, some_index(k), one_in(8) ? WORD_CALL : 1, right_none, types[below(4)], n);
	struct wire_right reply = one_in(3) ? some_right(k) : right_none;

	memcpy(w->bytes + sizeof *f, &reply, sizeof reply);
	if (one_in(10))
		f->kind = (uint8_t)(16 + below(4));
	if (one_in(10))
		f->flags = (uint8_t)below(16);
	if (one_in(10))
		f->id = (mach_msg_id_t)(64 + below(12));
	if (one_in(20))
		f->body_size = some_number();
	if (f->id == WORD_QUIT || f->id == WORD_PAUSE)
		f->id = 1;
	for (unsigned i = 0; i < n; i++)
		if (!one_in(20))
			add_right(w, k);
	if (one_in(10))
		writing_add(w, &memory, sizeof memory);
	if (one_in(20)) /* the body, too */
		w->bytes[sizeof *f + sizeof reply + below(16)] ^= (unsigned char)any();
}

static void write_index(struct writing *w, const struct knowledge *k, uint16_t type)
{
	struct frame_index f = {
		.header = { sizeof f, type, 0 },
		.index = some_index(k),
		.sends = one_in(8) ? (int32_t)some_number() : (int32_t)below(5) - 2,
		.onces = one_in(8) ? (int32_t)some_number() : (int32_t)below(3) - 1,
		.is_end = one_in(4),
	};

	w->size = 0;
	writing_add(w, &f, sizeof f);
}

static void write_ticket(struct writing *w, const struct knowledge *k, uint16_t type)
{
	struct frame_ticket f = {
		.header = { sizeof f, type, 0 },
		.node = some_node(k),
		.number = below(20),
		.right = some_right(k),
		.sends = (int32_t)below(3),
		.onces = one_in(8) ? (int32_t)some_number() : 0,
		.onward = { some_node(k), below(20) },
	};

	w->size = 0;
	writing_add(w, &f, sizeof f);
}

static void write_move(struct writing *w, struct knowledge *k)
{
	uint32_t n = below(3);
	struct frame_move f = {
		.header = { 0, FRAME_MOVE, 0 },
		.index = one_in(8) ? some_index(k) : INDEX_IS_ADOPTED | k->n_adopted++,
		.mine = one_in(2) ? INDEX_NONE : some_index(k),
		.sends = one_in(8) ? some_number() : below(4),
		.onces = one_in(8) ? some_number() : below(4),
		.limit = one_in(20) ? some_number() : 5,
		.n_holders = one_in(20) ? some_number() : n,
	};

	w->size = 0;
	writing_add(w, &f, sizeof f);
	for (uint32_t i = 0; i < n; i++) {
		struct move_holder holder = { some_node(k), below(20), below(4), below(4) };

		writing_add(w, &holder, sizeof holder);
	}
}

static void write_data(struct writing *w)
{
	static unsigned char bytes[4096];
	uint32_t n = below(sizeof bytes);
	struct frame_data f = {
		.header = { 0, one_in(3) ? FRAME_CONTENT : FRAME_DATA, 0 },
		.total = one_in(3) ? (one_in(10) ? some_number() : below(20000)) : 0,
		.size = one_in(20) ? some_number() : n,
	};

	w->size = 0;
	writing_add(w, &f, sizeof f);
	writing_add(w, bytes, n);
}

static void write_heir(struct writing *w, const struct knowledge *k)
{
	struct frame_heir f = {
		{ sizeof f, FRAME_HEIR, 0 }, some_index(k), one_in(3) ? INDEX_NONE : some_index(k), 5, 0
	};

	w->size = 0;
	writing_add(w, &f, sizeof f);
}

static void write_introduction(struct writing *w, const struct knowledge *k)
{
	struct frame_introduction f = { { sizeof f, FRAME_INTRODUCTION, 0 }, some_node(k) };

	(void)pass_some_descriptor(k->p);
	w->size = 0;
	writing_add(w, &f, sizeof f);
}

static void write_elsewhere(struct writing *w, const struct knowledge *k)
{
	struct frame_elsewhere f = { { sizeof f, (uint16_t)below(FRAME_TYPES), FRAME_IS_ELSEWHERE }, below(8192) * 8 };

	(void)k;
	w->size = 0;
	writing_add(w, &f, sizeof f);
}

static void write_frame(struct writing *w, struct knowledge *k, uint16_t type)
{
	switch (type) {
	case FRAME_MESSAGE:
		write_message(w, k);
		break;
	case FRAME_INTRODUCTION:
		write_introduction(w, k);
		break;
	case FRAME_DEPOSIT:
	case FRAME_OFFER:
	case FRAME_QUERY:
	case FRAME_VOID:
	case FRAME_MOVED:
	case FRAME_FLUSHED:
		write_ticket(w, k, type);
		break;
	case FRAME_MOVE:
		write_move(w, k);
		break;
	case FRAME_DATA:
	case FRAME_CONTENT:
		write_data(w);
		break;
	case FRAME_HEIR:
		write_heir(w, k);
		break;
	case FRAME_PAD:
		write_elsewhere(w, k);
		break;
	default:
		write_index(w, k, type);
	}
}

/* False: the link is over. */
static bool send_frame(struct knowledge *k, const uint16_t *types, unsigned n_types)
{
	struct writing w;
	struct frame *header = (struct frame *)(void *)w.bytes;

	write_frame(&w, k, one_in(8) ? (uint16_t)below(FRAME_TYPES) : types[below(n_types)]);
	header->size = w.size;
	if (one_in(50))
		w.bytes[below(w.size)] = (unsigned char)any();
	if (one_in(200)) /* no frame at all */
		peer_put_raw(k->p, w.bytes, below(w.size) & ~7u);
	header->size = header->size % 8 || header->size > w.size ? w.size : header->size;
	return peer_put(k->p, w.bytes, w.size);
}

/* ---- states ------------------------------------------------------------------------------------------------------- */

struct state {
	const char *name;
	const uint16_t *types;
	unsigned n_types;
	bool is_greeted;
	bool ends; /* the peer closes the socket, and goes on */
	unsigned frames_a_link;
};

#define TYPES(...) (const uint16_t[]){ __VA_ARGS__ }, sizeof((const uint16_t[]){ __VA_ARGS__ }) / sizeof(uint16_t)

static const struct state states[] = {
	{ "before the greeting", TYPES(FRAME_MESSAGE, FRAME_COUNT, FRAME_MOVE), false, false, 8 },
	{ "live",
	  TYPES(FRAME_MESSAGE, FRAME_COUNT, FRAME_RECEIVED, FRAME_LIMIT, FRAME_DIED, FRAME_ASK, FRAME_HEIR, FRAME_PAD),
	  true, false, 100 },
	{ "in a handoff", TYPES(FRAME_MESSAGE, FRAME_DEPOSIT, FRAME_OFFER, FRAME_QUERY, FRAME_VOID, FRAME_INTRODUCTION),
	  true, false, 100 },
	{ "in a migration",
	  TYPES(FRAME_MESSAGE, FRAME_MOVE, FRAME_MOVED, FRAME_FLUSH, FRAME_FLUSHED, FRAME_READY, FRAME_OFFER,
		FRAME_COUNT),
	  true, false, 100 },
	{ "in bulk", TYPES(FRAME_DATA, FRAME_DATA, FRAME_MESSAGE, FRAME_PAD), true, false, 100 },
	{ "ending", TYPES(FRAME_MESSAGE, FRAME_COUNT, FRAME_MOVE, FRAME_DEPOSIT, FRAME_HEIR), true, true, 30 },
};

/* Before the greeting there are packets only; what is in the ring is looked at when one is sound. */
static void send_some_greeting(struct peer *p)
{
	struct greeting g = peer_greeting(p);
	int fd = -1;

	if (one_in(4))
		g.magic = any();
	if (one_in(4))
		g.type = below(5);
	if (one_in(4))
		g.id ^= any();
	if (one_in(4))
		g.size = below(40) + 1;
	if (one_in(4))
		g.n_fds = below(4);
	if (one_in(4))
		g.fds[below(2)] = fd = some_descriptor();
	g.fds[2] = g.fds[3] = p->memfd;
	for (unsigned i = 0; i < g.n_fds; i++)
		if (g.fds[i] < 0)
			g.fds[i] = p->memfd;
	if (one_in(4))
		((uint32_t *)p->own)[below(4)] = any();
	if (!one_in(8))
		peer_seal(p);
	peer_send_greeting(p, &g);
	if (fd >= 0)
		close(fd);
}

static unsigned long link_ungreeted(struct host *h, const struct state *state)
{
	struct peer p;

	host_introduce(h, &p);
	memset((char *)p.own + RING_DATA, (int)below(256), 256);
	for (unsigned i = 0; i < 64; i++)
		((unsigned char *)p.own + RING_DATA)[i] = (unsigned char)any();
	p.own->tail = below(4) ? 64 : any();
	for (unsigned i = 0; i < 1 + below(state->frames_a_link); i++)
		send_some_greeting(&p);
	peer_deinit(&p);
	return state->frames_a_link;
}

/* The victim may refuse to meet one more while it works off the ends of many; then it meets one that comes later. */
static void link_patiently(struct host *h, struct peer *p)
{
	for (unsigned tries = 0; tries < 8; tries++) {
		host_introduce(h, p);
		if (peer_greet(p))
			return;
		peer_deinit(p);
		host_expect_life(h);
	}
	fail_msg("the victim meets nobody any more");
}

static unsigned long link_once(struct host *h, const struct state *state)
{
	struct knowledge k = { .h = h };
	unsigned long n = 0;
	struct peer p;

	link_patiently(h, &p);
	k.p = &p;
	k.service = host_grant(h, &p);
	p.reads = !one_in(8);
	while (n < state->frames_a_link && send_frame(&k, state->types, state->n_types)) {
		n++;
		if (one_in(64))
			peer_drain(&p);
		if (state->ends && one_in(10)) {
			shutdown(p.socket, SHUT_WR);
			for (int i = 0; i < 5; i++)
				peer_put_raw(&p, &(struct frame){ 8, (uint16_t)below(FRAME_TYPES), 0 }, 8);
			break;
		}
	}
	peer_deinit(&p);
	peer_drain(&h->parent); /* what it was asked, or told, because of that */
	return n + 1;
}

static void check_log(char *log)
{
	for (char *line = strtok(log, "\n"); line; line = strtok(NULL, "\n"))
		if (strncmp(line, "portunus: link to process ", 26) != 0)
			fail_msg("%s", line);
}

static void run_state(void **which)
{
	const struct state *state = *which;
	static char log[64 << 20];
	unsigned long n = 0, n_links = 0;
	struct host h;

	host_start(&h);
	while (n < n_frames) {
		n += state->is_greeted ? link_once(&h, state) : link_ungreeted(&h, state);
		if (++n_links % 32 == 0) { /* more than it may introduce at once would be refused */
			host_expect_life(&h);
			assert_true(soon(host_report(&h).n_rings < h.before.n_rings + 32));
		}
	}
	host_expect_life(&h);
	host_expect_balance(&h);
	host_end(&h, log, sizeof log);
	check_log(log);
	print_message("%s: %lu frames on %lu links\n", state->name, n, n_links);
}

int main(int argc, char **argv)
{
	struct CMUnitTest tests[sizeof states / sizeof *states];

	signal(SIGPIPE, SIG_IGN);
	if (argc > 1)
		n_frames = strtoul(argv[1], NULL, 0);
	seed = argc > 2 ? strtoull(argv[2], NULL, 0) : (uint64_t)time(NULL);
	printf("fuzz-frames: seed %llu\n", (unsigned long long)seed);
	for (unsigned i = 0; i < sizeof states / sizeof *states; i++)
		tests[i] = (struct CMUnitTest){ states[i].name, run_state, NULL, NULL, (void *)&states[i] };
	if (argc > 3)
		cmocka_set_test_filter(argv[3]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
