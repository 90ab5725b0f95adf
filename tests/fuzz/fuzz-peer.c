/* SPDX-License-Identifier: MIT */
/* Frames from peers on live links. Two nodes that say whatever the input has them say, and up to two more whom they introduce,
 * are linked to this one, in which a program of the input's choice sends, receives, and changes rights, also to their ports.
 * A third, honest node is linked to us all the time.
 *
 * After each step
 *   V1  no link is dropped but of who has spoken, and nobody holds more units of a port than it counts
 * and when all but the honest node are gone
 *   V2  each dropped link has made one line in the log
 *   V3  the honest node's message arrives
 *   V4  the port that nobody was granted a right to has no message, no further right, and is no export
 *   V5  no table has anything left, and there are as many objects and descriptors as before (balance.h) */
#include <fcntl.h>
#include <mach.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "balance.h"
#include "frames.h"
#include "kernel/name.h"
#include "kernel/object.h"
#include "kernel/port.h"
#include "kernel/task.h"
#include "kernel/thread.h"
#include "link/export.h"
#include "link/proxy.h"
#include "nodes.h"
#include "program.h"

enum { N_LINKED = 2, N_PEERS = 4, FRIEND_ID = 7 };

static struct {
	struct peer peers[N_PEERS];
	bool is_there[N_PEERS];
	struct link *links[N_LINKED];
	unsigned n_introduced;
	unsigned spoke; /* who, since we last looked: bits */
	struct frames_world world;
	/* how the next frame is spoilt */
	uint32_t spoil_at;
	uint8_t spoil_with;
	bool is_elsewhere;
} w;

/* What stays from input to input. */
static struct {
	struct peer friend;
	struct link *friend_link;
	mach_port_t service, secret;
} kept;

/* ---- before the first --------------------------------------------------------------------------------------------- */

static struct port *port_of(mach_port_t name)
{
	struct port *port;

	check(name_lock_receive(thread_self()->task->space, name, &port) == KERN_SUCCESS);
	lock_drop(&port->lock);
	return port;
}

/* The next free index. */
static void grant(struct link *link, struct port *port, enum right_kind kind)
{
	struct right right = { port, kind };

	lock_take(&node.lock);
	lock_take(&port->lock);
	if (kind == RIGHT_SEND)
		port_make_send_locked(port);
	else
		port_make_send_once_locked(port);
	lock_drop(&port->lock);
	export_grant_locked(export_of_locked(link, port), &right);
	lock_drop(&node.lock);
}

static mach_port_t port_with_send(void)
{
	mach_port_t name;

	check(mach_port_allocate(mach_task_self(), MACH_PORT_RIGHT_RECEIVE, &name) == KERN_SUCCESS);
	check(mach_port_insert_right(mach_task_self(), name, name, MACH_MSG_TYPE_MAKE_SEND) == KERN_SUCCESS);
	return name;
}

static void begin_all(void)
{
	nodes_init();
	kept.service = port_with_send();
	kept.secret = port_with_send();
	kept.friend_link = node_new(&kept.friend, FRIEND_ID, LINK_TO_PEER);
	grant(kept.friend_link, port_of(kept.service), RIGHT_SEND);
	check(node_greet(&kept.friend));
	nodes_look();
}

/* ---- the world of an input ---------------------------------------------------------------------------------------- */

/* The program has a right to the peer's port of that index. */
static void give_program(struct link *link, enum right_kind kind, uint32_t index, mach_port_t as)
{
	struct wire_right wire = { WIRE_MINE, (uint8_t)kind, 5, index };
	struct right right;

	lock_take(&node.lock);
	proxy_receive_unit_locked(proxy_of_wire_locked(link, &wire), kind, &right);
	lock_drop(&node.lock);
	check(right_copyout_as(thread_self()->task->space, &right, as) == KERN_SUCCESS);
}

static void name_nodes(void)
{
	static const uint32_t numbers[N_PEERS] = { 2, 0xf0000000, 3, 0xf0000001 }; /* below and above ours */
	uint64_t pid = node.id >> 32 << 32;

	for (unsigned i = 0; i < N_PEERS; i++)
		w.world.nodes[i] = pid | numbers[i];
	w.world.nodes[4] = node.id;
	w.world.nodes[5] = pid | FRIEND_ID;
	w.world.nodes[6] = pid | 4; /* never there */
	w.world.nodes[7] = 0;
}

/* Indices 0 to 3 of the first are two ports of the program's, one of them in a set, and its task; 0 and 1 of the second a
 * port that the first has, too, and one more. */
static void world_begin(void)
{
	memset(&w, 0, sizeof w);
	node.next_ticket = 0;
	name_nodes();
	program_begin();
	for (unsigned i = 0; i < N_LINKED; i++) {
		w.links[i] = node_new(&w.peers[i], (uint32_t)w.world.nodes[i], LINK_TO_PEER);
		w.is_there[i] = true;
	}
	grant(w.links[0], port_of(FIRST_NAME), RIGHT_SEND);
	grant(w.links[0], port_of(FIRST_NAME), RIGHT_SEND_ONCE);
	grant(w.links[0], port_of(FIRST_NAME + 2), RIGHT_SEND);
	grant(w.links[0], thread_self()->task->object.port, RIGHT_SEND);
	grant(w.links[1], port_of(FIRST_NAME), RIGHT_SEND);
	grant(w.links[1], port_of(FIRST_NAME + 1), RIGHT_SEND);
	give_program(w.links[0], RIGHT_SEND, 0, FIRST_NAME + 6);
	give_program(w.links[0], RIGHT_SEND_ONCE, 1, FIRST_NAME + 7);
	give_program(w.links[1], RIGHT_SEND, 0, FIRST_NAME + 8);
	give_program(w.links[1], RIGHT_SEND, 1, FIRST_NAME + 9);
	for (unsigned i = 0; i < N_LINKED; i++)
		check(node_greet(&w.peers[i]));
	nodes_look();
}

/* ---- V1 ----------------------------------------------------------------------------------------------------------- */

static void check_units(void *export)
{
	const struct export *x = export;
	uint64_t sends = 0, onces = 0;

	for (const struct export *other = x->port->exports; other; other = other->next) {
		sends += other->sends;
		onces += other->onces;
	}
	check(sends <= x->port->n_srights && onces <= x->port->n_sorights);
}

static void check_exports(struct link *link)
{
	for (uint32_t i = 0; i < link->exports.n_slots; i++) {
		void *export = table_get(&link->exports, i);

		if (export)
			check_units(export);
	}
	sparse_visit(&link->adopted_exports, check_units);
}

/* What has been said is taken in, and what that brings is taken out. */
static void look(void)
{
	bool was_well[N_LINKED];

	for (unsigned i = 0; i < N_LINKED; i++)
		was_well[i] = link_is_well(w.links[i]);
	nodes_look();
	for (unsigned i = 0; i < N_PEERS; i++)
		if (w.is_there[i])
			(void)node_drain(&w.peers[i], NULL);
	(void)node_drain(&kept.friend, node_answer_honestly);
	for (unsigned i = 0; i < N_LINKED; i++)
		check(!was_well[i] || link_is_well(w.links[i]) || (w.spoke & 1u << i));
	check(link_is_well(kept.friend_link));
	lock_take(&node.lock);
	list_for_each(link, &node.all_links, struct link, node_link)
		check_exports(link);
	lock_drop(&node.lock);
	w.spoke = 0;
}

/* ---- what is done ------------------------------------------------------------------------------------------------- */

static int take_descriptor(struct input *in)
{
	int ends[2], fd;

	switch (take_below(in, 4)) {
	case 0:
		return open("/dev/null", O_RDWR | O_CLOEXEC);
	case 1:
		fd = memfd_create("fuzz", MFD_CLOEXEC);
		check(ftruncate(fd, (off_t)take(in, 2)) == 0);
		return fd;
	case 2:
		check(pipe2(ends, O_CLOEXEC) == 0);
		break;
	default:
		check(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
	}
	close(ends[1]);
	return ends[0];
}

static void pass_descriptor(struct peer *p, struct input *in)
{
	int fd = take_descriptor(in);

	(void)peer_pass(p, fd);
	close(fd);
}

/* One of the further nodes, at the other end of the socket that is passed. */
static void introduce(struct peer *from, struct input *in)
{
	unsigned which = N_LINKED + (unsigned)take_below(in, N_PEERS - N_LINKED);
	struct frame_introduction f = { { sizeof f, FRAME_INTRODUCTION, 0 }, w.world.nodes[which] };
	int ends[2];

	if (w.is_there[which])
		return;
	check(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
	peer_init(&w.peers[which], ends[1], w.world.nodes[which]);
	w.is_there[which] = true;
	w.n_introduced++;
	(void)peer_pass(from, ends[0]);
	close(ends[0]);
	(void)node_put(from, &f, sizeof f);
}

/* Greets, by and by, as an honest node does: the lower of the two when it has been greeted. */
static void greet(struct peer *p)
{
	struct greeting g = peer_greeting(p);

	if (p->theirs)
		return;
	peer_seal(p);
	if (p->id > node.id)
		peer_send_greeting(p, &g);
	look();
	if (recv(p->socket, &(struct packet){ 0 }, sizeof(struct packet), MSG_PEEK) <= 0 || !peer_await_greeting(p))
		return;
	if (p->id < node.id)
		peer_send_greeting(p, &g);
}

/* With descriptors of its content, which follows in a memory. */
static void put_elsewhere(struct peer *p, const struct writing *frame)
{
	struct frame header;
	struct frame_elsewhere f;
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	memcpy(&header, frame->bytes, sizeof header);
	f = (struct frame_elsewhere){ { sizeof f, header.type, FRAME_IS_ELSEWHERE }, frame->size - sizeof header };
	check(write(fd, frame->bytes + sizeof header, frame->size - sizeof header) ==
	      (ssize_t)(frame->size - sizeof header));
	(void)peer_pass(p, fd);
	close(fd);
	(void)node_put(p, &f, sizeof f);
}

/* A header that lies about the size is put as the frame is. */
static void put(struct peer *p, struct writing *frame)
{
	if (w.spoil_with)
		frame->bytes[w.spoil_at % frame->size] ^= w.spoil_with;
	if (w.is_elsewhere)
		put_elsewhere(p, frame);
	else
		(void)node_put(p, frame->bytes, frame->size);
	w.spoil_with = 0;
	w.is_elsewhere = false;
}

static void choose_spoiling(struct input *in)
{
	uint32_t which = take_below(in, 4);

	if (which == 0) {
		w.is_elsewhere = true;
		return;
	}
	w.spoil_at = (uint32_t)take(in, 1);
	w.spoil_with = (uint8_t)take(in, 1);
}

static void do_odd(unsigned who, struct input *in)
{
	struct peer *p = &w.peers[who];

	switch (take_below(in, 6)) {
	case 0:
		pass_descriptor(p, in);
		break;
	case 1:
		introduce(p, in);
		break;
	case 2:
		greet(p);
		break;
	case 3:
		node_end(p);
		w.is_there[who] = false;
		break;
	case 4:
		(void)peer_wake(p);
		break;
	default:
		atomic_store(&p->own->tail, (uint32_t)take(in, 4));
	}
}

/* One byte says who does what: bits 0 to 4 what, 5 and 6 who, 7 whether nobody looks before the next. */
static void step(struct input *in)
{
	static const uint8_t types[] = {
		FRAME_MESSAGE,	FRAME_MESSAGE, FRAME_MESSAGE, FRAME_MESSAGE, FRAME_COUNT,	 FRAME_COUNT,
		FRAME_RECEIVED, FRAME_LIMIT,   FRAME_DIED,    FRAME_DEPOSIT, FRAME_OFFER,	 FRAME_OFFER,
		FRAME_QUERY,	FRAME_VOID,    FRAME_MOVE,    FRAME_MOVED,   FRAME_FLUSH,	 FRAME_FLUSHED,
		FRAME_READY,	FRAME_DATA,    FRAME_ASK,     FRAME_HEIR,    FRAME_INTRODUCTION,
	};
	uint32_t what = (uint32_t)take(in, 1), who = (what >> 5) & 3;
	struct writing frame;

	if ((what & 31) >= 29) {
		program_step(in);
	} else if (!w.is_there[who]) {
		return;
	} else {
		w.spoke |= 1u << who;
		if ((what & 31) < sizeof types) {
			frame_build(&frame, in, &w.world, types[what & 31]);
			put(&w.peers[who], &frame);
		} else if ((what & 31) == 23) {
			frame_build_raw(&frame, in);
			put(&w.peers[who], &frame);
		} else if ((what & 31) == 24) {
			choose_spoiling(in);
		} else {
			do_odd(who, in);
		}
	}
	if (!(what & 0x80))
		look();
}

/* ---- the end of an input ------------------------------------------------------------------------------------------ */

/* Until the friend has nothing more to answer. */
static void settle(void)
{
	for (int i = 0; i < 64; i++) {
		nodes_look();
		if (!node_drain(&kept.friend, node_answer_honestly) && i > 1)
			return;
	}
	finding("the friend is asked again and again");
}

static void check_lines(unsigned n_broken)
{
	unsigned n = nodes_take_lines();

	check(n >= n_broken && n <= n_broken + w.n_introduced);
}

static void check_friend(void)
{
	union {
		mach_msg_header_t header;
		unsigned char bytes[256];
	} m;
	struct writing frame;

	(void)message_begin(&frame, 0, MACH_MSG_TYPE_PORT_SEND, 77);
	((struct frame *)(void *)frame.bytes)->size = frame.size;
	check(node_put(&kept.friend, frame.bytes, frame.size));
	nodes_look();
	check(mach_msg(&m.header, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof m, kept.service, 0, MACH_PORT_NULL) == 0);
	check(m.header.msgh_id == 77);
	(void)node_drain(&kept.friend, node_answer_honestly);
}

static void check_secret(void)
{
	const struct port *port = port_of(kept.secret);

	check(port->n_srights == 1 && port->n_sorights == 0 && port->n_queued == 0 && port->seqno == 0 &&
	      !port->exports);
}

static void world_end(void)
{
	unsigned n_broken = 0;

	for (unsigned i = 0; i < N_PEERS; i++)
		if (w.is_there[i])
			node_end(&w.peers[i]);
	settle();
	for (unsigned i = 0; i < N_LINKED; i++) {
		check(w.links[i]->state == LINK_ENDED);
		n_broken += w.links[i]->is_broken;
		node_drop_link(w.links[i]);
	}
	check_lines(n_broken);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	task_t task;

	if (!kept.friend_link)
		begin_all();
	balance_begin();
	task = visit_begin();
	world_begin();
	while (in.left > 0)
		step(&in);
	world_end();
	visit_end(task);
	settle();
	check_friend();
	check_secret();
	nodes_check_empty(kept.friend_link, 1);
	balance_end();
	return 0;
}
