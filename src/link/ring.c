/* SPDX-License-Identifier: MIT */
#include "link/ring.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <portunus/abi.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "link/frame.h"
#include "platform/cpu.h"
#include "platform/farcopy.h"

#define RING_MAGIC   0x50724e75u /* "PrNu" */
#define RING_VERSION 1u
#define RING_SEALS   (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL)

/* When a frame would reach the next page of the memory and all before it has been taken, it goes to the start instead: a link
 * with little under way keeps to one page, that of the fields. */
enum { RING_PAGE = 4096 };

/* So many bytes are worth a copy past the cache, and begin at the start of a line: where source and destination are not aligned
 * alike, copying takes a fifth longer. */
enum { RING_FAR = 4096, RING_LINE = 64 };

_Static_assert(sizeof(struct ring_page) <= RING_DATA, "the fields come before the data");

static uint32_t ring_page_at(uint32_t at)
{
	return (RING_DATA + at) / RING_PAGE;
}

static unsigned char *ring_data(const struct ring_page *page)
{
	return (unsigned char *)page + RING_DATA;
}

static bool ring_seal(int memfd)
{
	return fcntl(memfd, F_ADD_SEALS, RING_SEALS) == 0;
}

bool ring_init(struct ring *ring, int *memfd)
{
	void *p = MAP_FAILED;

	*ring = (struct ring){ 0 };
	*memfd = memfd_create("portunus-link", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (*memfd < 0)
		return false;
	if (fchmod(*memfd, 0600) == 0 && ftruncate(*memfd, RING_MEMORY) == 0)
		p = mmap(NULL, RING_MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED, *memfd, 0);
	/* Sealed after it has been mapped: nobody gets another writable mapping, we included. */
	if (p == MAP_FAILED || !ring_seal(*memfd)) {
		if (p != MAP_FAILED)
			munmap(p, RING_MEMORY);
		close(*memfd);
		*memfd = -1;
		return false;
	}
	(void)madvise(p, RING_MEMORY, MADV_DONTFORK);
	ring->own = p;
	ring->own->magic = RING_MAGIC;
	ring->own->version = RING_VERSION;
	ring->own->layout = MACH_MSG_USER_ALIGNMENT;
	ring->own->size = RING_SIZE;
	ring->own->head_cpu = ~0u;
	return true;
}

static bool ring_memfd_is_sound(int memfd)
{
	struct stat st;
	int seals = fcntl(memfd, F_GET_SEALS);

	return seals >= 0 && (seals & RING_SEALS) == RING_SEALS && fstat(memfd, &st) == 0 && S_ISREG(st.st_mode) &&
	       st.st_size == RING_MEMORY;
}

bool ring_join(struct ring *ring, int memfd)
{
	const struct ring_page *page;

	errno = EINVAL;
	if (!ring_memfd_is_sound(memfd))
		return false;
	page = mmap(NULL, RING_MEMORY, PROT_READ, MAP_SHARED, memfd, 0);
	if (page == MAP_FAILED)
		return false;
	(void)madvise((void *)page, RING_MEMORY, MADV_DONTFORK);
	if (page->magic != RING_MAGIC || page->version != RING_VERSION || page->layout != MACH_MSG_USER_ALIGNMENT ||
	    page->size != RING_SIZE) {
		munmap((void *)page, RING_MEMORY);
		errno = EINVAL;
		return false;
	}
	ring->other = page;
	return true;
}

void ring_deinit(struct ring *ring)
{
	if (ring->own)
		munmap(ring->own, RING_MEMORY);
	if (ring->other)
		munmap((void *)ring->other, RING_MEMORY);
	*ring = (struct ring){ 0 };
}

/* The other end's word on how far it is, if it makes sense. */
void ring_look_for_room(struct ring *ring)
{
	uint32_t head;

	if (!ring->other)
		return;
	head = atomic_load_explicit(&ring->other->head, memory_order_acquire);
	atomic_store_explicit(&ring->seen_head, head, memory_order_relaxed);
	if (ring->tail - head <= ring->tail - ring->known_head)
		atomic_store_explicit(&ring->known_head, head, memory_order_relaxed);
	else
		atomic_store_explicit(&ring->is_wrong, true, memory_order_relaxed);
}

static bool ring_has_room(struct ring *ring, uint32_t size)
{
	if (RING_SIZE - (ring->tail - ring->known_head) >= size)
		return true;
	ring_look_for_room(ring);
	return RING_SIZE - (ring->tail - ring->known_head) >= size;
}

bool ring_is_filling(struct ring *ring)
{
	return !ring_has_room(ring, RING_SIZE - RING_SIZE / 4);
}

/* P6 to P8. */
static bool ring_wait_for_room(struct ring *ring, uint32_t size)
{
	if (ring->n_watchers)
		return false;
	atomic_store_explicit(&ring->own->is_full, 1, memory_order_relaxed);
	atomic_thread_fence(memory_order_seq_cst);
	if (!ring_has_room(ring, size))
		return false;
	atomic_store_explicit(&ring->own->is_full, 0, memory_order_relaxed);
	return true;
}

bool ring_await_room(struct ring *ring, uint32_t size)
{
	return ring_has_room(ring, size) || ring_wait_for_room(ring, size);
}

static uint32_t ring_frame_size(uint32_t head_size, uint32_t rest_size)
{
	return head_size + ((rest_size + 7) & ~7u);
}

/* What is left out before a frame: up to the end of the data, and up to where its second part begins a line. */
struct ring_padding {
	uint32_t to_start, to_line;
};

static uint32_t ring_gap(uint32_t at, uint32_t head_size, uint32_t rest_size)
{
	return rest_size >= RING_FAR ? -(at + head_size) % RING_LINE : 0;
}

static bool ring_goes_to_start(struct ring *ring, uint32_t at, uint32_t size)
{
	if (size > RING_SIZE - at)
		return true;
	/* Not what fills pages anyway: with the rest of the ring left out for each, there would be room for one at a time. */
	if (size > RING_PAGE || at < size || ring_page_at(at) == ring_page_at(at + size - 1))
		return false;
	/* What is left out counts as used until it has been taken, so the frame has to fit beside it. */
	ring_look_for_room(ring);
	return ring->known_head == ring->tail;
}

static struct ring_padding ring_padding(struct ring *ring, uint32_t head_size, uint32_t rest_size)
{
	uint32_t at = ring->tail % RING_SIZE, size = ring_frame_size(head_size, rest_size);
	struct ring_padding padding = { .to_line = ring_gap(at, head_size, rest_size) };

	if (ring_goes_to_start(ring, at, padding.to_line + size))
		padding = (struct ring_padding){ RING_SIZE - at, ring_gap(0, head_size, rest_size) };
	return padding;
}

static void ring_pad(struct ring *ring, uint32_t size)
{
	struct frame pad = { .size = size, .type = FRAME_PAD };

	if (!size)
		return;
	memcpy(ring_data(ring->own) + ring->tail % RING_SIZE, &pad, sizeof pad);
	ring->tail += size;
}

void *ring_begin_put(struct ring *ring, const void *head, uint32_t head_size, uint32_t rest_size)
{
	struct ring_padding padding = ring_padding(ring, head_size, rest_size);
	uint32_t size = ring_frame_size(head_size, rest_size), all = padding.to_start + padding.to_line + size;
	unsigned char *at;

	assert(head_size % 8 == 0 && head_size >= sizeof(struct frame) && size <= RING_FRAME_MAX);
	if (!ring_has_room(ring, all) && !ring_wait_for_room(ring, all))
		return NULL;
	ring_pad(ring, padding.to_start);
	ring_pad(ring, padding.to_line);
	at = ring_data(ring->own) + ring->tail % RING_SIZE;
	memcpy(at, head, head_size); /* P1 */
	return at + head_size;
}

void ring_end_put(struct ring *ring, uint32_t head_size, uint32_t rest_size)
{
	ring->tail += ring_frame_size(head_size, rest_size);
	atomic_store_explicit(&ring->own->cpu, cpu_current(), memory_order_relaxed);
	atomic_store_explicit(&ring->own->tail, ring->tail, memory_order_release); /* P2 */
}

bool ring_is_far(const struct ring *ring, uint32_t size)
{
	return size >= RING_FAR && ring_taker_cpu(ring) != cpu_current();
}

bool ring_put_parts(struct ring *ring, const void *head, uint32_t head_size, const void *rest, uint32_t rest_size)
{
	void *at = ring_begin_put(ring, head, head_size, rest_size);

	if (!at)
		return false;
	if (ring_is_far(ring, rest_size))
		far_copy(at, rest, rest_size);
	else if (rest_size)
		memcpy(at, rest, rest_size);
	ring_end_put(ring, head_size, rest_size);
	return true;
}

bool ring_put(struct ring *ring, const void *frame, uint32_t size)
{
	return ring_put_parts(ring, frame, size, NULL, 0);
}

enum ring_wake ring_wake_needed(struct ring *ring, enum urgency urgency)
{
	uint64_t sleep;

	if (!ring->other)
		return RING_WAKE_NONE;		   /* it looks when the greeting is done */
	atomic_thread_fence(memory_order_seq_cst); /* P3 */
	if (urgency == URGENCY_HIGH && !atomic_load_explicit(&ring->other->is_attended, memory_order_relaxed))
		return RING_WAKE_SOCKET; /* P4 */
	sleep = atomic_load_explicit(&ring->other->sleep, memory_order_relaxed);
	if (sleep == 0 || sleep == ring->rung)
		return RING_WAKE_NONE;
	ring->rung = sleep;
	return RING_WAKE_DOORBELL; /* P5 */
}

enum ring_taken ring_peek(struct ring *ring, struct frame *header, const unsigned char **bytes)
{
	uint32_t tail, at = ring->head % RING_SIZE;

	if (!ring->other)
		return RING_EMPTY;
	tail = atomic_load_explicit(&ring->other->tail, memory_order_acquire);
	if (tail == ring->head)
		return RING_EMPTY;
	if (tail - ring->head > RING_SIZE || tail % 8 != 0) /* I1 */
		return RING_BROKEN;
	*bytes = ring_data(ring->other) + at;
	memcpy(header, *bytes, sizeof *header);
	if (header->size < sizeof *header || header->size % 8 != 0 || header->size > tail - ring->head ||
	    header->size > RING_SIZE - at) /* I3 */
		return RING_BROKEN;
	if (header->type != FRAME_PAD && header->size > RING_FRAME_MAX)
		return RING_BROKEN;
	return RING_TAKEN;
}

static void ring_tell_head(struct ring *ring)
{
	ring->told_head = ring->head;
	atomic_store_explicit(&ring->own->head_cpu, cpu_current(), memory_order_relaxed);
	atomic_store_explicit(&ring->own->head, ring->head, memory_order_release); /* C5 */
}

void ring_advance(struct ring *ring, const struct frame *header)
{
	ring->head += header->size;
	if (ring->head - ring->told_head >= RING_SIZE / 4)
		ring_tell_head(ring);
}

bool ring_publish_head(struct ring *ring)
{
	if (ring->told_head != ring->head)
		ring_tell_head(ring);
	if (!ring->other)
		return false;
	atomic_thread_fence(memory_order_seq_cst);				  /* C6 */
	return atomic_load_explicit(&ring->other->is_full, memory_order_relaxed); /* C7 */
}
