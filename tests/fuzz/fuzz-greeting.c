/* SPDX-License-Identifier: MIT */
/* The greeting of a link: what the other end says of itself before it is believed, over its socket and in the memory that it
 * passes, and what is in its ring by then.
 *
 *   V1  the link becomes live by a sound greeting and by no other
 *   V2  when the other end has gone, so has the link, with one line in the log if it broke the rules
 *   V3  no descriptor, no object and no entry of a table is left; the honest node is linked to us as before */
#include <fcntl.h>
#include <mach/message.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "balance.h"
#include "frames.h"
#include "nodes.h"

enum { PEER_ID = 0x10, OUR_NUMBER = 0x80000000u, FRIEND_ID = 7, N_FDS = 4 };

static struct {
	struct peer friend;
	struct link *friend_link;
} kept;

/* What is passed as memory or as doorbell, and whether it is what it should be. */
struct thing {
	int fd;
	bool is_own; /* of the peer's: stays open */
	bool is_sound_memory, is_pipe;
};

/* One peer, and how far it is. */
static struct {
	struct peer peer;
	struct link *link;
	bool is_sealed, is_sized, has_constants;
	bool is_shut;	    /* the socket, in one direction: it may be too late for a sound greeting */
	uint64_t announced; /* 0: none */
	struct frames_world world;
} w;

/* ---- what is passed ----------------------------------------------------------------------------------------------- */

static const int all_seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL;

static struct thing own_memory(void)
{
	return (struct thing){ w.peer.memfd, true, w.is_sealed && w.is_sized && w.has_constants, false };
}

static struct thing some_pipe(void)
{
	int ends[2];

	check(pipe2(ends, O_CLOEXEC) == 0);
	close(ends[1]);
	return (struct thing){ ends[0], false, false, true };
}

static struct thing some_memory(struct input *in)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC | (take(in, 1) & 1 ? MFD_ALLOW_SEALING : 0));

	check(ftruncate(fd, (off_t)take(in, 3)) == 0);
	(void)fcntl(fd, F_ADD_SEALS, (int)take(in, 1) & 0x1f);
	return (struct thing){ fd, false, false, false }; /* whatever it is, it has no constants in it */
}

static struct thing take_thing(struct input *in, bool as_memory)
{
	uint32_t which = take_below(in, 16);
	int ends[2];

	switch (which) {
	case 0:
		return some_pipe();
	case 1:
		return some_memory(in);
	case 2:
		return (struct thing){ open("/dev/null", O_RDWR | O_CLOEXEC), false, false, false };
	case 3:
		return (struct thing){ eventfd(0, EFD_CLOEXEC), false, false, false };
	case 4:
		check(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
		close(ends[1]);
		return (struct thing){ ends[0], false, false, false };
	case 5:
		return own_memory();
	case 6:
		return (struct thing){ w.peer.doorbell[0], true, false, true };
	default:
		return as_memory ? own_memory() : (struct thing){ w.peer.doorbell[0], true, false, true };
	}
}

/* ---- packets ------------------------------------------------------------------------------------------------------ */

/* By the words of packet.h and link.h, as if they had been written for this. */
static bool greeting_is_sound(const struct greeting *g, const struct thing *things)
{
	return g->magic == PACKET_MAGIC && g->type == PACKET_GREETING && g->size == sizeof(struct packet) &&
	       g->n_fds == 2 && things[0].is_sound_memory && things[1].is_pipe && g->id >> 32 == (uint64_t)getpid() &&
	       g->id != node.id && g->id != kept.friend.id && (!w.announced || w.announced == g->id);
}

static struct greeting take_greeting(struct input *in)
{
	struct greeting g = peer_greeting(&w.peer);
	uint32_t spoilt = (uint32_t)take(in, 1);

	if (spoilt & 1)
		g.magic ^= (uint32_t)take(in, 4);
	if (spoilt & 2)
		g.type = (uint32_t)take(in, 1);
	if (spoilt & 4)
		g.id = take_below(in, 2) ? take(in, 8) : w.world.nodes[take_below(in, FRAMES_NODES)];
	if (spoilt & 8)
		g.size = 1 + take(in, 1) % 64;
	if (spoilt & 16)
		g.n_fds = take_below(in, N_FDS + 1);
	return g;
}

/* With credentials always: the host adds them in any case. */
static void send_packet(struct input *in)
{
	struct greeting g = take_greeting(in);
	struct thing things[N_FDS];
	bool was_greeting, is_sound;

	for (unsigned i = 0; i < N_FDS; i++)
		things[i] = i < g.n_fds ? take_thing(in, i == 0) : (struct thing){ .fd = -1, .is_own = true };
	for (unsigned i = 0; i < N_FDS; i++)
		g.fds[i] = things[i].fd;
	is_sound = greeting_is_sound(&g, things);
	nodes_look();
	was_greeting = w.link->state == LINK_GREETING;
	peer_send_greeting(&w.peer, &g);
	nodes_look();
	for (unsigned i = 0; i < N_FDS; i++)
		if (!things[i].is_own)
			close(things[i].fd);
	if (was_greeting && is_sound) /* V1; what is in the ring may end it again at once */
		check(w.link->state == LINK_LIVE || w.link->is_broken || w.is_shut);
	else if (was_greeting)
		check(w.link->state != LINK_LIVE);
}

static void send_raw_packet(struct input *in)
{
	unsigned char bytes[64];
	size_t n = 1 + take_below(in, sizeof bytes);

	for (size_t i = 0; i < n; i++)
		bytes[i] = (unsigned char)take(in, 1);
	(void)peer_send_packet(&w.peer, bytes, n, NULL, 0);
}

/* ---- the memory --------------------------------------------------------------------------------------------------- */

static void write_constants(struct input *in)
{
	uint32_t *constants = (uint32_t *)(void *)w.peer.own, wrong = (uint32_t)take(in, 4);

	if (wrong == 0)
		return;
	constants[take_below(in, 4)] ^= wrong;
	w.has_constants = w.peer.own->magic == RING_MAGIC && w.peer.own->version == RING_VERSION &&
			  w.peer.own->layout == MACH_MSG_USER_ALIGNMENT && w.peer.own->size == RING_SIZE;
}

/* The rest of the page that each end writes. */
static void write_page(struct input *in)
{
	static const size_t offsets[] = { 64, 68, 72, 128, 132, 192, 256 };
	uint32_t value = (uint32_t)take(in, 4);

	memcpy((char *)w.peer.own + offsets[take_below(in, 7)], &value, sizeof value);
}

/* As long as it can be mapped by us. */
static void change_size(struct input *in)
{
	off_t size = RING_MEMORY + (off_t)(take(in, 1) % 3) * 4096;

	if (ftruncate(w.peer.memfd, size) == 0)
		w.is_sized = size == RING_MEMORY;
}

static void add_seals(struct input *in)
{
	uint32_t which = (uint32_t)take(in, 1);

	(void)fcntl(w.peer.memfd, F_ADD_SEALS, which & 1 ? all_seals : (int)(which >> 1) & 0x1f);
	w.is_sealed = (fcntl(w.peer.memfd, F_GET_SEALS) & all_seals) == all_seals;
}

static void put_frame(struct input *in)
{
	struct writing frame;

	if (take(in, 1) & 1)
		frame_build_raw(&frame, in);
	else
		frame_build(&frame, in, &w.world, take_below(in, FRAME_TYPES));
	if (w.peer.tail % RING_SIZE + frame.size > RING_SIZE)
		return;
	memcpy((char *)w.peer.own + RING_DATA + w.peer.tail % RING_SIZE, frame.bytes, frame.size);
	w.peer.tail += frame.size;
	atomic_store(&w.peer.own->tail, w.peer.tail);
}

/* ---- an input ----------------------------------------------------------------------------------------------------- */

static void begin_all(void)
{
	nodes_init();
	kept.friend_link = node_new(&kept.friend, FRIEND_ID, LINK_TO_PEER);
	check(node_greet(&kept.friend));
	nodes_look();
}

/* The first byte says what the peer is to us, and whether we know who it will be. */
static void world_begin(struct input *in)
{
	static const enum link_role roles[] = { LINK_TO_PEER, LINK_TO_PEER, LINK_TO_PARENT, LINK_TO_CHILD };
	uint32_t what = (uint32_t)take(in, 1);
	uint32_t number = what & 1 ? PEER_ID : 0xf0000000u;
	enum link_role role = roles[what >> 1 & 3];

	memset(&w, 0, sizeof w);
	w.link = node_new(&w.peer, number, role);
	w.announced = w.peer.id;
	w.is_sized = w.has_constants = true;
	if (role != LINK_TO_PEER && what & 8)
		w.link->peer_id = w.announced = 0;
	w.world.nodes[0] = w.peer.id;
	w.world.nodes[1] = node.id;
	w.world.nodes[2] = kept.friend.id;
}

static void step(struct input *in)
{
	switch (take_below(in, 12)) {
	case 0:
		send_raw_packet(in);
		break;
	case 1:
		write_constants(in);
		break;
	case 2:
		write_page(in);
		break;
	case 3:
		change_size(in);
		break;
	case 4:
		add_seals(in);
		break;
	case 5:
		put_frame(in);
		break;
	case 6:
		nodes_look();
		break;
	case 7:
		peer_ring(&w.peer);
		break;
	case 8:
		(void)shutdown(w.peer.socket, take(in, 1) & 1 ? SHUT_WR : SHUT_RD);
		w.is_shut = true;
		break;
	case 9:
		peer_seal(&w.peer);
		w.is_sealed = (fcntl(w.peer.memfd, F_GET_SEALS) & all_seals) == all_seals;
		break;
	default:
		send_packet(in);
	}
	(void)node_drain(&kept.friend, node_answer_honestly);
}

static void world_end(void)
{
	unsigned n_lines;

	nodes_look();
	node_end(&w.peer);
	for (int i = 0; i < 8; i++) {
		nodes_look();
		(void)node_drain(&kept.friend, node_answer_honestly);
	}
	check(w.link->state == LINK_ENDED && link_is_well(kept.friend_link));
	n_lines = nodes_take_lines();
	check(n_lines == w.link->is_broken);
	node_drop_link(w.link);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };

	if (!kept.friend_link)
		begin_all();
	balance_begin();
	world_begin(&in);
	for (unsigned n = 0; in.left > 0 && n < 64; n++)
		step(&in);
	world_end();
	nodes_check_empty(kept.friend_link, 0);
	balance_end();
	return 0;
}
