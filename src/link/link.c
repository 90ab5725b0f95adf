/* SPDX-License-Identifier: MIT */
#include "link/link.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "kernel/charge.h"
#include "kernel/notify.h"
#include "kernel/port.h"
#include "kernel/thread.h"
#include "link/broker.h"
#include "link/export.h"
#include "link/frame.h"
#include "link/handoff.h"
#include "link/heir.h"
#include "link/migrate.h"
#include "link/packet.h"
#include "link/poller.h"
#include "link/proxy.h"
#include "platform/cpu.h"
#include "platform/deadline.h"
#include "platform/probe.h"
#include "platform/usercopy.h"

/* A frame that found no room in the ring, or whose descriptors found none in the socket. */
struct late_frame {
	struct list link;
	unsigned n_fds, n_fds_sent;
	int fds[2 * PACKET_MAX_FDS];
	int *more_fds; /* NULL, or instead of fds */
	enum urgency urgency;
	struct memory memory; /* not empty: instead of a frame, pieces of this, of that type */
	enum frame_type pieces;
	size_t n_sent; /* bytes of it */
	/* Not NULL: lent. The bytes are not in memory yet but here, still those of a thread that is in a call: in link.lent, and
	 * only that thread puts pieces and frees this, also when it has been taken out of the backlog. */
	const char *source;
	struct thread *lender;
	struct list lent_link;
	uint32_t gap; /* not 0: nothing, that leaves when there is room for so many bytes */
	uint32_t size;
	_Alignas(8) unsigned char bytes[];
};

/* ---- making one --------------------------------------------------------------------------------------------------- */

static void link_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void link_free(struct link *link)
{
	assert(list_is_empty(&link->backlog) && list_is_empty(&link->lent) && link->n_fds == 0);
	bulk_deinit(&link->bulk);
	bulk_deinit(&link->content);
	table_deinit(&link->exports);
	table_deinit(&link->proxies);
	link_close(&link->socket);
	link_close(&link->doorbell);
	link_close(&link->doorbell_end);
	link_close(&link->peer_doorbell);
	link_close(&link->memfd);
	ring_deinit(&link->ring);
	free(link->fds);
	if (link->charge)
		charge_leave(link->charge);
	free(link);
}

static void link_init(struct link *link, int socket, enum link_role role, uint64_t peer_id)
{
	*link = (struct link){
		.n_refs = 1,
		.role = role,
		.peer_id = peer_id,
		.socket = socket,
		.doorbell = -1,
		.doorbell_end = -1,
		.peer_doorbell = -1,
		.memfd = -1,
	};
	list_init(&link->node_link);
	list_init(&link->hot_link);
	list_init(&link->rest_link);
	list_init(&link->backlog);
	list_init(&link->lent);
	list_init(&link->late_link);
	bulk_init(&link->bulk, 0);
	bulk_init(&link->content, CONTENT_PATIENCE_MS);
	list_init(&link->heirs);
}

/* Both ends of a pipe as one descriptor; -1: the host cannot do that, or does not show us what is open. */
static int open_both_ends(int end)
{
	char path[sizeof "/proc/thread-self/fd/-2147483648"];

	(void)snprintf(path, sizeof path, "/proc/thread-self/fd/%d", end);
	return open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
}

/* Small: the host allows a user only so much memory in pipes. */
static bool link_open_doorbell(struct link *link)
{
	int ends[2], both;

	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
		return false;
	(void)fcntl(ends[1], F_SETPIPE_SZ, DOORBELL_SIZE);
	both = open_both_ends(ends[1]);
	link->doorbell_end = ends[0];
	link->doorbell = both < 0 ? ends[1] : both;
	link->doorbell_has_both = both >= 0;
	if (both >= 0)
		close(ends[1]);
	return true;
}

static bool link_open(struct link *link)
{
	int on = 1;

	link->charge = charge_new();
	return link->charge && setsockopt(link->socket, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) == 0 &&
	       link_open_doorbell(link) && ring_init(&link->ring, &link->memfd);
}

/* A greeting that cannot be sent shows in the socket: if it is not the peer who is dead, it is we who have no memory, or too many
 * descriptors under way, and to both it looks as if the other had died. */
static void link_greet(struct link *link)
{
	int fds[] = { link->memfd, link->doorbell_end };

	if (!packet_send(link->socket, PACKET_GREETING, node.id, fds, 2))
		(void)shutdown(link->socket, SHUT_RDWR);
	link_close(&link->memfd);
	if (link->doorbell_has_both)
		link_close(&link->doorbell_end);
}

/* I1 */
static bool link_greets_first(const struct link *link)
{
	return link->role != LINK_TO_PEER || node.id > link->peer_id;
}

struct link *link_new(int socket, enum link_role role, uint64_t peer_id)
{
	struct link *link = malloc(sizeof *link);
	int error;

	if (!link) {
		close(socket);
		errno = ENOMEM;
		return NULL;
	}
	link_init(link, socket, role, peer_id);
	if (link_open(link)) {
		lock_take(&node.lock);
		list_append(&node.all_links, &link->node_link);
		lock_drop(&node.lock);
		return link;
	}
	error = errno;
	link_free(link);
	errno = error;
	return NULL;
}

bool link_begin(struct link *link)
{
	int error;

	if (poller_watch(link)) {
		if (link_greets_first(link))
			link_greet(link);
		return true;
	}
	error = errno;
	link_end(link);
	errno = error;
	return false;
}

void link_ref_locked(struct link *link)
{
	link->n_refs++;
}

void link_unref_locked(struct link *link)
{
	if (--link->n_refs == 0)
		link_free(link);
}

static int link_compare(const void *a, const void *b)
{
	uint64_t x = ((const struct link *)a)->peer_id, y = ((const struct link *)b)->peer_id;

	return x < y ? -1 : x > y;
}

struct link *link_find_locked(uint64_t node_id)
{
	struct link key = { .peer_id = node_id };
	void *found;

	lock_assert_held(&node.lock);
	found = tfind(&key, &node.links, link_compare);
	return found ? *(struct link **)found : NULL;
}

bool link_is_expected_locked(uint64_t node_id)
{
	if (link_find_locked(node_id))
		return true;
	list_for_each(link, &node.all_links, struct link, node_link)
		if (link->state != LINK_ENDED && link->peer_id == node_id)
			return true;
	return false;
}

/* ---- sending ------------------------------------------------------------------------------------------------------ */

/* A pipe that the peer lets run full is no reason to wait. */
static void link_ring_doorbell(struct link *link)
{
	if (write(link->doorbell, "", 1) != 1)
		(void)packet_send(link->socket, PACKET_WAKE, 0, NULL, 0);
}

/* Not by read(): whether that waits is up to the peer, who has the same open file. In small pieces, so that no thread's stack
 * is a page deeper for it, and no more of them than there were: the peer may be ringing all the while. */
void link_empty_doorbell(struct link *link)
{
	char bytes[256];
	struct iovec room = { bytes, sizeof bytes };

	for (unsigned left = DOORBELL_SIZE / sizeof bytes; left > 0; left--)
		if (vmsplice(link->peer_doorbell, &room, 1, SPLICE_F_NONBLOCK) < (ssize_t)sizeof bytes)
			break;
}

/* Whoever is woken for one frame looks at all, so what was to be done soon is done then. */
static void link_wake_peer(struct link *link, enum urgency urgency)
{
	enum ring_wake wake;

	if (urgency == URGENCY_NONE)
		return;
	wake = ring_wake_needed(&link->ring, urgency);
	if (wake == RING_WAKE_DOORBELL || urgency == URGENCY_HIGH)
		list_unlink(&link->late_link);
	switch (wake) {
	case RING_WAKE_NONE:
		break;
	case RING_WAKE_DOORBELL:
		link_ring_doorbell(link);
		break;
	case RING_WAKE_SOCKET:
		/* Once for all that has not been taken yet. A full socket will wake it just as well. */
		if ((int32_t)(link->urgent_tail - atomic_load(&link->ring.other->head)) <= 0)
			(void)packet_send(link->socket, PACKET_WAKE, 0, NULL, 0);
		link->urgent_tail = link->ring.tail;
	}
}

void link_wake_late(void)
{
	lock_take(&node.lock);
	while (!list_is_empty(&node.late))
		link_wake_peer(list_first(&node.late, struct link, late_link), URGENCY_HIGH);
	lock_drop(&node.lock);
}

/* So a program that drops rights while it works does not disturb their owner each time, and may be about to send it something
 * anyway. */
static void link_wake_peer_soon(struct link *link)
{
	if (!list_is_linked(&link->late_link))
		list_append(&node.late, &link->late_link);
	if (ring_is_filling(&link->ring) || !poller_tick_soon())
		link_wake_peer(link, URGENCY_HIGH);
}

static bool link_send_fd(struct link *link, int fd)
{
	if (packet_send(link->socket, PACKET_DESCRIPTOR, 0, &fd, 1))
		return true;
	/* P6 to P8: the peer is to say when it has taken some out. */
	atomic_store_explicit(&link->ring.own->is_full, 1, memory_order_relaxed);
	atomic_thread_fence(memory_order_seq_cst);
	return packet_send(link->socket, PACKET_DESCRIPTOR, 0, &fd, 1);
}

static bool link_send_fds(struct link *link, const int *fds, unsigned n, unsigned *n_sent)
{
	for (; *n_sent < n; ++*n_sent) {
		if (!link_send_fd(link, fds[*n_sent]))
			return false;
		close(fds[*n_sent]);
	}
	return true;
}

/* Of all links, for a look without a lock. */
static atomic_size_t all_backlog_bytes;

static size_t late_frame_weight(const struct late_frame *late)
{
	return sizeof *late + late->size + late->memory.size;
}

/* Whoever does not take what is sent to it for so long is as good as dead. */
static void link_check_backlog_locked(struct link *link)
{
	if (link->backlog_bytes > limits.backlog)
		link_break_locked(link, "it does not read what is sent to it");
}

static bool is_count(const struct frame *frame)
{
	return frame->type == FRAME_COUNT && !((const struct frame_index *)(const void *)frame)->is_end;
}

/* A change of counts goes into the one that waits already, so what waits for a peer that is stopped does not grow with each
 * call that is made here. Between the two there is nothing but others. */
static bool late_frame_merge(struct link *link, const struct frame *frame)
{
	enum { LOOK_BACK = 16 };
	const struct frame_index *f = (const struct frame_index *)(const void *)frame;
	struct list *at = link->backlog.prev;

	if (!is_count(frame))
		return false;
	for (unsigned i = 0; i < LOOK_BACK && at != &link->backlog; i++, at = at->prev) {
		struct late_frame *late = container_of(at, struct late_frame, link);
		struct frame_index *earlier = (struct frame_index *)(void *)late->bytes;

		if (late->memory.address || late->gap || !is_count(&earlier->header))
			return false;
		if (earlier->index != f->index)
			continue;
		earlier->sends += f->sends;
		earlier->onces += f->onces;
		return true;
	}
	return false;
}

static void late_frame_append(struct link *link, struct late_frame *late)
{
	list_init(&late->link);
	list_init(&late->lent_link);
	list_append(&link->backlog, &late->link);
	link->backlog_bytes += late_frame_weight(late);
	atomic_fetch_add_explicit(&all_backlog_bytes, late_frame_weight(late), memory_order_relaxed);
	atomic_store_explicit(&link->has_backlog, true, memory_order_relaxed);
}

static void link_postpone_locked(struct link *link, const struct frame *frame, enum urgency urgency, const int *fds,
				 unsigned n_fds, unsigned n_fds_sent)
{
	struct late_frame *late;

	if (late_frame_merge(link, frame))
		return;
	link_check_backlog_locked(link);
	late = certain_alloc(sizeof *late + frame->size);
	*late = (struct late_frame){
		.n_fds = n_fds, .n_fds_sent = n_fds_sent, .urgency = urgency, .size = frame->size
	};
	list_init(&late->link);
	if (n_fds > sizeof late->fds / sizeof *late->fds)
		late->more_fds = certain_alloc(n_fds * sizeof *fds);
	if (n_fds)
		memcpy(late->more_fds ? late->more_fds : late->fds, fds, n_fds * sizeof *fds);
	memcpy(late->bytes, frame, frame->size);
	late_frame_append(link, late);
	link_wake_peer(link, URGENCY_HIGH); /* to make room, even if nobody there attends */
}

static void late_frame_remove(struct link *link, struct late_frame *late)
{
	list_unlink(&late->link);
	link->backlog_bytes -= late_frame_weight(late);
	atomic_fetch_sub_explicit(&all_backlog_bytes, late_frame_weight(late), memory_order_relaxed);
	atomic_store_explicit(&link->has_backlog, !list_is_empty(&link->backlog), memory_order_relaxed);
}

static void late_frame_free(struct link *link, struct late_frame *late)
{
	if (list_is_linked(&late->link))
		late_frame_remove(link, late);
	list_unlink(&late->lent_link);
	memory_drop(&late->memory);
	free(late->more_fds);
	free(late);
}

static bool link_put_locked(struct link *link, const void *frame, uint32_t size, const int *fds, unsigned n_fds,
			    unsigned *n_fds_sent)
{
	return link_send_fds(link, fds, n_fds, n_fds_sent) && ring_put(&link->ring, frame, size);
}

/* Whole lines; with its header and what pads it to the next line, a quarter of the ring. */
enum { PIECE_MAX = RING_FRAME_MAX - 64 };

_Static_assert(sizeof(struct frame_data) <= 64, "a piece fits into a frame");

/* What comes before the next piece. */
static struct frame_data late_frame_piece(const struct late_frame *late)
{
	size_t left = late->memory.size - late->n_sent, n = left < PIECE_MAX ? left : PIECE_MAX;

	return (struct frame_data){
		.header = { (uint32_t)(sizeof(struct frame_data) + ((n + 7) & ~(size_t)7)), (uint16_t)late->pieces, 0 },
		.total = late->n_sent ? 0 : late->memory.size,
		.size = n,
	};
}

/* False: the ring is full, or it is somebody else who puts it. */
static bool link_put_pieces_locked(struct link *link, struct late_frame *late)
{
	while (!late->source && late->n_sent < late->memory.size) {
		struct frame_data f = late_frame_piece(late);

		if (!ring_put_parts(&link->ring, &f, sizeof f, (char *)late->memory.address + late->n_sent,
				    (uint32_t)f.size))
			return false;
		late->n_sent += f.size;
	}
	return !late->source;
}

static bool link_put_late_locked(struct link *link, struct late_frame *late)
{
	const int *fds = late->more_fds ? late->more_fds : late->fds;

	if (late->memory.address)
		return link_put_pieces_locked(link, late);
	if (late->gap)
		return ring_await_room(&link->ring, late->gap);
	return link_put_locked(link, late->bytes, late->size, fds, late->n_fds, &late->n_fds_sent);
}

size_t link_backlog_of_all(void)
{
	return atomic_load_explicit(&all_backlog_bytes, memory_order_relaxed);
}

void link_forget_backlog(void)
{
	atomic_store_explicit(&all_backlog_bytes, 0, memory_order_relaxed);
}

void link_flush_locked(struct link *link)
{
	bool was_late = !list_is_empty(&link->backlog);
	enum urgency urgency = URGENCY_NONE;
	uint32_t tail = link->ring.tail;
	struct list sent;

	list_init(&sent);
	if (was_late)
		ring_look_for_room(&link->ring); /* perhaps it is the socket that is full */
	while (link->state != LINK_ENDED && !link->is_broken && !list_is_empty(&link->backlog)) {
		struct late_frame *late = list_first(&link->backlog, struct late_frame, link);

		if (!link_put_late_locked(link, late))
			break;
		urgency = late->urgency > urgency ? late->urgency : urgency;
		late_frame_remove(link, late);
		list_append(&sent, &late->link);
		link->is_stuck = false;
	}
	if (atomic_load_explicit(&link->ring.is_wrong, memory_order_relaxed))
		link_break_locked(link, "its ring makes no sense");
	if (list_is_empty(&link->backlog))
		atomic_store_explicit(&link->ring.own->is_full, 0, memory_order_relaxed);
	if (was_late && list_is_empty(&link->backlog))
		node_go_on_later_locked();
	if (!list_is_empty(&link->backlog))
		link_wake_peer(link, URGENCY_HIGH); /* to make room, even if nobody there attends */
	else if (link->ring.tail != tail)
		link_wake_peer(link, urgency >= URGENCY_SOON ? URGENCY_HIGH : URGENCY_NORMAL);
	/* To unmap memory may take as long as a tenth of sending it: the peer need not wait for that. */
	list_for_each(late, &sent, struct late_frame, link) {
		list_unlink(&late->link);
		late_frame_free(link, late);
	}
}

/* Whoever waits for room may not be looking, though somebody there attends. */
void link_tell_room_locked(struct link *link)
{
	if (ring_wake_needed(&link->ring, URGENCY_HIGH) == RING_WAKE_DOORBELL)
		link_ring_doorbell(link);
	else
		(void)packet_send(link->socket, PACKET_WAKE, 0, NULL, 0);
}

void link_send_memory_locked(struct link *link, struct memory *m, enum frame_type pieces, const void *source)
{
	struct late_frame *late;

	if (link->state == LINK_ENDED || link->is_broken) {
		memory_drop(m);
		return;
	}
	link_check_backlog_locked(link);
	late = certain_alloc(sizeof *late);
	*late = (struct late_frame){ .memory = *m, .pieces = pieces, .source = source };
	*m = (struct memory){ 0 };
	late_frame_append(link, late);
	if (source) {
		late->lender = thread_self();
		list_append(&link->lent, &late->lent_link);
	}
	link_flush_locked(link);
}

bool link_has_room_locked(struct link *link, uint32_t bytes)
{
	struct late_frame *late;

	if (link->state == LINK_ENDED || link->is_broken)
		return true;
	if (!list_is_empty(&link->backlog))
		link_flush_locked(link);
	if (!list_is_empty(&link->backlog))
		return false;
	if (ring_await_room(&link->ring, bytes))
		return true;
	late = certain_alloc(sizeof *late);
	*late = (struct late_frame){ .gap = bytes };
	late_frame_append(link, late);
	link_wake_peer(link, URGENCY_HIGH);
	return false;
}

bool link_is_behind_locked(const struct link *link)
{
	return link->backlog_bytes > RING_SIZE && !link->is_broken && !link->is_stuck;
}

void link_end_watching_locked(struct link *link)
{
	ring_end_watching(&link->ring);
	link_flush_locked(link);
}

/* A peer that takes nothing for a while is left alone: it will say when there is room. */
enum { PATIENCE = 20000, PATIENCE_MS = 1000 };

static void wait_a_turn(const struct link *link)
{
	if (ring_taker_cpu(&link->ring) == cpu_current())
		sched_yield();
	cpu_relax();
}

/* What the peer puts meanwhile has to be taken, or two that send to each other would wait for each other. */
void link_help(struct link *link)
{
	struct deadline end = deadline_after_ms(PATIENCE_MS);
	bool is_behind;

	lock_take(&node.lock);
	is_behind = link_is_behind_locked(link);
	if (is_behind)
		ring_begin_watching(&link->ring);
	lock_drop(&node.lock);
	if (!is_behind)
		return;
	for (unsigned turns = 0; is_behind && turns < PATIENCE; turns++) {
		if (!ring_has_new_room(&link->ring)) {
			wait_a_turn(link);
			continue;
		}
		turns = 0;
		lock_take(&node.lock);
		link_flush_locked(link);
		is_behind = link_is_behind_locked(link) && !deadline_passed(&end);
		lock_drop(&node.lock);
		poller_look(false);
	}
	lock_take(&node.lock);
	link->is_stuck = is_behind; /* cleared by what leaves now */
	link_end_watching_locked(link);
	lock_drop(&node.lock);
}

/* ---- memory that is still its sender's ---------------------------------------------------------------------------- */

static struct late_frame *lent_by_locked(struct link *link, const struct thread *lender)
{
	list_for_each(late, &link->lent, struct late_frame, lent_link)
		if (late->lender == lender)
			return late;
	return NULL;
}

static void lent_copy(const struct link *link, void *to, const char *from, size_t n)
{
	if (!ring_is_far(&link->ring, (uint32_t)n) || !user_read_far(to, from, n))
		(void)memory_read(to, from, n);
}

/* As nobody else is told of room, we put what is before it. False: nothing of that has left. */
static bool lent_advance_locked(struct link *link)
{
	const struct list *first = link->backlog.next;

	link_flush_locked(link);
	return link->backlog.next != first;
}

/* Puts the next piece, and drops the lock for as long as the sender's memory is looked at. Whatever else is put meanwhile waits
 * behind it. False: there is no room. */
static bool lent_put_locked(struct link *link, struct late_frame *late)
{
	struct frame_data f = late_frame_piece(late);
	void *at;

	if (link->backlog.next != &late->link)
		return lent_advance_locked(link);
	at = ring_begin_put(&link->ring, &f, sizeof f, (uint32_t)f.size);
	if (!at)
		return false;
	lock_drop(&node.lock);
	lent_copy(link, at, late->source + late->n_sent, f.size);
	lock_take(&node.lock);
	if (!list_is_linked(&late->link))
		return true; /* the link is over */
	ring_end_put(&link->ring, sizeof f, (uint32_t)f.size);
	late->n_sent += f.size;
	if (late->n_sent == late->memory.size) {
		late_frame_free(link, late);
		link->is_stuck = false;
	}
	link_wake_peer(link, URGENCY_HIGH); /* to make room, even if nobody there attends */
	return true;
}

/* What is left becomes the link's. */
static void lent_take_locked(struct link *link, struct late_frame *late)
{
	lock_drop(&node.lock);
	(void)memory_read((char *)late->memory.address + late->n_sent, late->source + late->n_sent,
			  late->memory.size - late->n_sent);
	lock_take(&node.lock);
	late->source = NULL;
	list_unlink(&late->lent_link);
	if (!list_is_linked(&late->link))
		late_frame_free(link, late);
}

/* Until another turn makes sense. */
static void lent_wait_locked(struct link *link, unsigned *turns)
{
	lock_drop(&node.lock);
	do
		wait_a_turn(link);
	while (++*turns % (PATIENCE / 100) && !ring_has_new_room(&link->ring));
	poller_look(false);
	lock_take(&node.lock);
}

void link_send_lent(struct link *link)
{
	struct deadline end = deadline_after_ms(PATIENCE_MS);
	const struct thread *self = thread_self();
	struct late_frame *late;
	unsigned turns = 0;

	lock_take(&node.lock);
	ring_begin_watching(&link->ring);
	while ((late = lent_by_locked(link, self))) {
		if (!list_is_linked(&late->link) || link->is_broken)
			late_frame_free(link, late);
		else if (link->is_stuck || turns >= PATIENCE || deadline_passed(&end))
			lent_take_locked(link, late);
		else if (lent_put_locked(link, late))
			turns = 0;
		else
			lent_wait_locked(link, &turns);
	}
	link->is_stuck |= turns >= PATIENCE || deadline_passed(&end);
	link_end_watching_locked(link);
	lock_drop(&node.lock);
}

/* The content of a frame that is too large for a ring goes before it. */
static void link_send_elsewhere_locked(struct link *link, struct frame *frame, enum urgency urgency, const int *fds,
				       unsigned n_fds)
{
	static const struct timespec pause = { .tv_nsec = 1000000 };
	struct frame_elsewhere f = {
		.header = { sizeof f, frame->type, frame->flags | FRAME_IS_ELSEWHERE },
		.size = frame->size - sizeof *frame,
	};
	struct memory content;

	while (!(content = memory_to_fill(f.size)).address)
		nanosleep(&pause, NULL);
	memcpy(content.address, frame + 1, f.size);
	link_send_memory_locked(link, &content, FRAME_CONTENT, NULL);
	link_send_locked(link, &f.header, urgency, fds, n_fds);
}

void link_send_locked(struct link *link, struct frame *frame, enum urgency urgency, const int *fds, unsigned n_fds)
{
	unsigned n_fds_sent = 0;

	lock_assert_held(&node.lock);
	if (link->state == LINK_ENDED || link->is_broken) {
		for (unsigned i = 0; i < n_fds; i++)
			close(fds[i]);
		return;
	}
	if (frame->size > RING_FRAME_MAX) {
		link_send_elsewhere_locked(link, frame, urgency, fds, n_fds);
		return;
	}
	if (!list_is_empty(&link->backlog))
		link_flush_locked(link);
	if (!list_is_empty(&link->backlog) || !link_put_locked(link, frame, frame->size, fds, n_fds, &n_fds_sent))
		link_postpone_locked(link, frame, urgency, fds, n_fds, n_fds_sent);
	else if (urgency == URGENCY_SOON)
		link_wake_peer_soon(link);
	else
		link_wake_peer(link, urgency);
}

/* ---- the socket --------------------------------------------------------------------------------------------------- */

void link_break_locked(struct link *link, const char *why)
{
	if (link->is_broken)
		return;
	link->is_broken = true;
	(void)shutdown(link->socket, SHUT_RDWR); /* the poller will see it, if it is not he who found out */
	fprintf(stderr, "portunus: link to process %d dropped: %s\n", (int)(link->peer_id >> 32), why);
}

bool link_take_fd_locked(struct link *link, int *fd)
{
	if (link->n_fds == 0)
		return false;
	*fd = link->fds[link->first_fd];
	link->first_fd = (link->first_fd + 1) % link->fds_capacity;
	link->n_fds--;
	return true;
}

bool link_charge_waiting_locked(struct link *link)
{
	if (link->n_waiting == LINK_MAX_WAITING)
		return false;
	link->n_waiting++;
	return true;
}

void link_discharge_waiting_locked(uint64_t peer_id)
{
	struct link *link = link_find_locked(peer_id);

	if (link && link->n_waiting)
		link->n_waiting--;
}

bool link_is_held(const struct link *link)
{
	return charge_is_over(link->charge, atomic_load_explicit(&limits.queued, memory_order_relaxed)) &&
	       !link->is_closed;
}

bool link_is_overloaded(const struct link *link)
{
	return charge_is_over(link->charge, atomic_load_explicit(&limits.queued, memory_order_relaxed) +
						    2 * atomic_load_explicit(&limits.announced, memory_order_relaxed));
}

static bool link_keep_fd_locked(struct link *link, int fd)
{
	if (link->n_fds == LINK_MAX_FDS)
		return false;
	if (link->n_fds == link->fds_capacity) {
		uint32_t capacity = link->fds_capacity ? 2 * link->fds_capacity : 4;
		int *fds = certain_alloc(capacity * sizeof *fds);

		for (uint32_t i = 0; i < link->n_fds; i++)
			fds[i] = link->fds[(link->first_fd + i) % link->fds_capacity];
		free(link->fds);
		link->fds = fds;
		link->fds_capacity = capacity;
		link->first_fd = 0;
	}
	link->fds[(link->first_fd + link->n_fds++) % link->fds_capacity] = fd;
	return true;
}

/* Who the peer is. A pid that the host vouches for keeps one node from passing for another. */
static const char *link_check_greeting(const struct link *link, const struct parcel *parcel)
{
	uint64_t id = parcel->packet.node;

	if (link->state != LINK_GREETING)
		return "it greeted twice";
	if (!parcel->has_sender || (uint32_t)parcel->sender.pid != id >> 32)
		return "it is not the process that it says it is";
	if (link->peer_id && link->peer_id != id)
		return "it is another node than was announced";
	if (id == node.id)
		return "it is this very node";
	return NULL;
}

enum greeting { GREETING_TAKEN, GREETING_NOT_WANTED, GREETING_BROKEN };

static enum greeting link_take_greeting(struct link *link, struct parcel *parcel)
{
	const char *objection = link_check_greeting(link, parcel);
	bool is_linked;

	if (!objection && !ring_join(&link->ring, parcel->fds[0]))
		objection =
			errno == ENOMEM
				? "no memory is left to map its memory"
				: "its memory is not sealed as it should be, or of another version or message layout";
	if (!objection && !poller_watch_doorbell(link, parcel->fds[1]))
		objection = "its doorbell is no pipe, or cannot be watched";
	lock_take(&node.lock);
	is_linked = link_find_locked(parcel->packet.node) != NULL;
	if (!objection && is_linked && link_greets_first(link))
		objection = "there is a link to that node already";
	if (objection)
		link_break_locked(link, objection);
	if (objection || is_linked) {
		lock_drop(&node.lock);
		if (link->peer_doorbell == parcel->fds[1])
			parcel->fds[1] = -1; /* the link's */
		parcel_close(parcel);
		return objection ? GREETING_BROKEN : GREETING_NOT_WANTED; /* I1 */
	}
	if (!link_greets_first(link))
		link_greet(link);
	close(parcel->fds[0]);
	link->peer_id = parcel->packet.node;
	link->peer = (struct sender){ parcel->sender.pid, parcel->sender.uid, parcel->sender.gid };
	link->state = LINK_LIVE;
	node.n_links++;
	probe3(link__up, link->peer.pid, link->peer.uid, link->peer_id);
	while (!tsearch(link, &node.links, link_compare))
		free(certain_alloc(sizeof(void *) * 4)); /* waits for memory */
	/* What we put before the peer could be woken. */
	link_wake_peer(link, URGENCY_HIGH);
	lock_drop(&node.lock);
	handoff_take_link(link);
	return GREETING_TAKEN;
}

static bool link_take_descriptor(struct link *link, struct parcel *parcel)
{
	bool ok;

	lock_take(&node.lock);
	ok = link_keep_fd_locked(link, parcel->fds[0]);
	if (!ok)
		link_break_locked(link, "it sent too many descriptors");
	lock_drop(&node.lock);
	if (!ok)
		parcel_close(parcel);
	return ok;
}

static bool link_take_packet(struct link *link, struct parcel *parcel)
{
	switch (parcel->packet.type) {
	case PACKET_GREETING:
		return link_take_greeting(link, parcel) == GREETING_TAKEN;
	case PACKET_DESCRIPTOR:
		return link_take_descriptor(link, parcel);
	default:
		return true; /* a wake has done what it is for by coming */
	}
}

static void link_break(struct link *link, const char *why)
{
	lock_take(&node.lock);
	link_break_locked(link, why);
	lock_drop(&node.lock);
}

enum { PACKETS_AT_ONCE = 256 };

bool link_read_socket(struct link *link)
{
	struct parcel parcel;

	/* As many as are needed now: the rest stays in the socket, and its sender waits. */
	for (unsigned n = 0; n < PACKETS_AT_ONCE && link->n_fds < LINK_MAX_FDS; n++) {
		switch (packet_receive(link->socket, &parcel)) {
		case PACKET_NONE:
			return true;
		case PACKET_CAME:
			if (!link_take_packet(link, &parcel))
				return false;
			break;
		case PACKET_BROKEN:
			link_break(link, "it sent a packet that makes no sense");
			return false;
		case PACKET_LOST:
			link_break(link, "no descriptor is left for what it greets with");
			return false;
		case PACKET_END:
			return false;
		}
	}
	poller_come_back();
	return true;
}

/* ---- introductions ------------------------------------------------------------------------------------------------ */

static void link_begin_with(struct link *introducer, int socket, uint64_t peer_id)
{
	struct link *link = link_new(socket, LINK_TO_PEER, peer_id);

	if (!link)
		return;
	introducer->n_introduced++;
	link->introducer = introducer->peer_id;
	(void)link_begin(link);
}

void link_take_introduction(struct link *from, int socket, uint64_t peer_id)
{
	bool is_wanted;

	lock_take(&node.lock);
	is_wanted = !link_find_locked(peer_id) && peer_id != node.id && from->n_introduced < limits.links;
	lock_drop(&node.lock);
	if (is_wanted)
		link_begin_with(from, socket, peer_id);
	else
		close(socket); /* to whom it was meant for it looks as if we had died */
}

static int id_compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Notes that @link has been introduced to a node; false: it was before. */
static bool link_note_introduced_locked(struct link *link, uint64_t id)
{
	uint64_t *key = certain_alloc(sizeof *key);
	void **found;

	*key = id;
	while (!(found = tsearch(key, &link->introduced, id_compare)))
		free(certain_alloc(sizeof(void *) * 4));
	if (*found == key)
		return true;
	free(key);
	return false;
}

static void link_forget_introduced_locked(struct link *link, uint64_t id)
{
	void *found = tfind(&id, &link->introduced, id_compare);
	uint64_t *key;

	if (!found)
		return;
	key = *(uint64_t **)found;
	tdelete(key, &link->introduced, id_compare);
	free(key);
}

static void link_send_introduction_locked(struct link *link, uint64_t id, int socket)
{
	struct frame_introduction f = { .header = { sizeof f, FRAME_INTRODUCTION, 0 }, .node = id };

	link_send_locked(link, &f.header, URGENCY_HIGH, &socket, 1);
}

void link_introduce_locked(struct link *a, struct link *b)
{
	int ends[2];

	assert(a->peer_id && b->peer_id);
	if (!link_note_introduced_locked(a, b->peer_id))
		return;
	(void)link_note_introduced_locked(b, a->peer_id);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0) {
		link_send_introduction_locked(a, b->peer_id, ends[0]);
		link_send_introduction_locked(b, a->peer_id, ends[1]);
		return;
	}
	/* To them it looks as if the other had died. */
	link_forget_introduced_locked(a, b->peer_id);
	link_forget_introduced_locked(b, a->peer_id);
}

/* ---- the end ------------------------------------------------------------------------------------------------------ */

static struct proxy *next_proxy_locked(struct link *link, uint32_t *at)
{
	struct proxy *x = sparse_any(&link->adopted_proxies);

	while (!x && *at < link->proxies.n_slots)
		x = table_get(&link->proxies, (*at)++);
	return x;
}

static struct export *next_export_locked(struct link *link, uint32_t *at)
{
	struct export *x = sparse_any(&link->adopted_exports);

	while (!x && *at < link->exports.n_slots)
		x = table_get(&link->exports, (*at)++);
	return x;
}

/* False: there was none. */
static bool link_end_proxy(struct link *link, uint32_t *at)
{
	struct ended_proxy ended = { 0 };
	struct proxy *x;

	lock_take(&node.lock);
	x = next_proxy_locked(link, at);
	if (x)
		proxy_end_locked(x, &ended);
	lock_drop(&node.lock);
	ended_proxy_settle(&ended);
	return x != NULL;
}

static void drop_units(struct port *port, uint32_t sends, uint32_t onces)
{
	port_drop_sends(port, sends);
	for (; onces > 0; onces--)
		notify_send_once(port);
	port_unref(port);
}

static bool link_end_export(struct link *link, uint32_t *at)
{
	struct port *port = NULL;
	uint32_t sends, onces;
	struct export *x;

	lock_take(&node.lock);
	x = next_export_locked(link, at);
	if (x)
		port = export_end_locked(x, &sends, &onces);
	lock_drop(&node.lock);
	if (port)
		drop_units(port, sends, onces);
	return port != NULL;
}

/* With all consequences of the peer's death. */
static void link_end_tables(struct link *link)
{
	uint32_t at = 0;

	while (link_end_proxy(link, &at))
		;
	at = 0;
	while (link_end_export(link, &at))
		;
}

static void link_drop_backlog_locked(struct link *link)
{
	while (!list_is_empty(&link->backlog)) {
		struct late_frame *late = list_first(&link->backlog, struct late_frame, link);
		const int *fds = late->more_fds ? late->more_fds : late->fds;

		for (unsigned i = late->n_fds_sent; i < late->n_fds; i++)
			close(fds[i]);
		if (late->source)
			late_frame_remove(link, late);
		else
			late_frame_free(link, late);
	}
}

static void link_detach_locked(struct link *link)
{
	struct link *introducer = link_find_locked(link->introducer);
	int fd;

	if (introducer && introducer->n_introduced)
		introducer->n_introduced--;

	if (link->state == LINK_LIVE) {
		tdelete(link, &node.links, link_compare);
		node.n_links--;
		probe3(link__down, link->peer.pid, link->is_broken, link->peer_id);
	}
	link->state = LINK_ENDED;
	list_unlink(&link->node_link);
	list_unlink(&link->late_link);
	link_drop_backlog_locked(link);
	while (link_take_fd_locked(link, &fd))
		if (fd >= 0)
			close(fd);
	tdestroy(link->introduced, free);
	tdestroy(link->offers, free);
	link->introduced = link->offers = NULL;
	list_for_each(other, &node.all_links, struct link, node_link)
		link_forget_introduced_locked(other, link->peer_id);
}

void link_end(struct link *link)
{
	lock_take(&node.lock);
	link_detach_locked(link);
	lock_drop(&node.lock);
	poller_unwatch(link);
	heir_end_link(link);
	migrate_end_link(link);
	link_end_tables(link);
	handoff_end_link(link);
	link_note_end(link);
	lock_take(&node.lock);
	link_unref_locked(link);
	lock_drop(&node.lock);
}
