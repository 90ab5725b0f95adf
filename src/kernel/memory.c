/* SPDX-License-Identifier: MIT */
/* Memory: the registry of regions. See memory.h.
 *
 * The registry is a balanced tree (tsearch) in which regions that overlap count as equal: looking up a range finds some
 * region that has a page in common with it, and looking up one page finds its region. A region may shrink or grow in
 * place as long as it does not overlap another. OWNED regions are also in the list of their owner's bucket.
 *
 * Regions that a message brought are not unmapped when they are freed, but kept as spare ones for the next message: mapping,
 * faulting and unmapping a page takes many times as long as copying it. Small ones are sorted by their number of pages. Large
 * ones are few, newest first; a message takes the smallest that it fits in, unless half of that would be left over. */
#include "kernel/memory.h"

#include <assert.h>
#include <errno.h>
#include <search.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "platform/lock.h"
#include "platform/pages.h"
#include "platform/usercopy.h"

enum region_state { IN_FLIGHT, OWNED, SPARE };

struct region {
	uintptr_t start, end; /* start < end */
	enum region_state state;
	bool may_be_spare; /* all its pages were made for a message, not by memory_allocate() */
	union {
		const void *owner; /* if OWNED */
		uint64_t since;	   /* if SPARE and large: ms of some clock */
	};
	struct region *next, **prev; /* OWNED, SPARE: in a list; next also chains regions that are to be freed */
};

enum {
	BUCKETS = 256,
	SPARE_PAGES_EACH = 16, /* the largest small region */
	SPARE_PAGES_ALL = 1024,
	SPARE_LARGE_MAX = 64,
	SPARE_LARGE_BYTES = 128 << 20,
	SPARE_LARGE_MS = 1000,
};

static struct {
	struct lock lock; /* guards the rest */
	void *tree;
	struct region *owned[BUCKETS];
	struct region *spare[SPARE_PAGES_EACH]; /* [n - 1]: of n pages */
	size_t n_spare_pages;
	struct region *large;
	unsigned n_large;
	size_t n_large_bytes;
	void (*trim)(void);   /* asks for memory_trim(); NULL: nobody would call it */
	bool is_trim_ordered; /* it has been asked for, and there is still something large */
	void *forgotten;      /* the tree from before the last fork: lost on purpose, but not leaked */
} registry = { .lock = LOCK_INIT(RANK_MEMORY) };

static int region_compare(const void *a, const void *b)
{
	const struct region *x = a, *y = b;

	return x->end <= y->start ? -1 : x->start >= y->end;
}

/* Some region with a page in [start, end), or NULL. */
static struct region *region_find_locked(uintptr_t start, uintptr_t end)
{
	const struct region range = { .start = start, .end = end };
	void *node;

	lock_assert_held(&registry.lock);
	node = tfind(&range, &registry.tree, region_compare);
	return node ? *(struct region **)node : NULL;
}

static struct region *region_at_locked(uintptr_t page)
{
	return region_find_locked(page, page + page_size());
}

/* Takes r, which overlaps no other region. False: no memory, r is still the caller's. */
static bool region_link_locked(struct region *r)
{
	void *node = tsearch(r, &registry.tree, region_compare);

	assert(!node || *(struct region **)node == r);
	return node != NULL;
}

static struct region **region_bucket(const void *owner)
{
	return &registry.owned[((uintptr_t)owner >> 4) * 0x9e3779b97f4a7c15u >> 56];
}

static void region_list_locked(struct region *r, struct region **head)
{
	r->next = *head;
	r->prev = head;
	if (r->next)
		r->next->prev = &r->next;
	*head = r;
}

static void region_own_locked(struct region *r, const void *owner)
{
	assert(r->state == IN_FLIGHT && owner);
	r->state = OWNED;
	r->owner = owner;
	region_list_locked(r, region_bucket(owner));
}

static size_t region_bytes(const struct region *r)
{
	return r->end - r->start;
}

static size_t region_pages(const struct region *r)
{
	return region_bytes(r) / page_size();
}

static bool region_is_large(const struct region *r)
{
	return region_pages(r) > SPARE_PAGES_EACH;
}

static void spare_count_locked(const struct region *r, int sign)
{
	if (region_is_large(r)) {
		registry.n_large += (unsigned)sign;
		registry.n_large_bytes += (size_t)sign * region_bytes(r);
	} else {
		registry.n_spare_pages += (size_t)sign * region_pages(r);
	}
}

/* Back in flight, that is in no list. */
static void region_disown_locked(struct region *r)
{
	if (r->state == IN_FLIGHT)
		return;
	if (r->state == SPARE)
		spare_count_locked(r, -1);
	*r->prev = r->next;
	if (r->next)
		r->next->prev = r->prev;
	r->state = IN_FLIGHT;
	r->owner = NULL;
}

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static bool spare_has_room_locked(const struct region *r)
{
	if (!region_is_large(r))
		return registry.n_spare_pages + region_pages(r) <= SPARE_PAGES_ALL;
	return registry.trim && registry.n_large < SPARE_LARGE_MAX &&
	       region_bytes(r) <= SPARE_LARGE_BYTES - registry.n_large_bytes;
}

/* False: it has to be unmapped. */
static bool region_spare_locked(struct region *r)
{
	if (!r->may_be_spare || !spare_has_room_locked(r))
		return false;
	region_disown_locked(r);
	r->state = SPARE;
	spare_count_locked(r, 1);
	if (region_is_large(r)) {
		r->since = now_ms();
		region_list_locked(r, &registry.large);
	} else {
		region_list_locked(r, &registry.spare[region_pages(r) - 1]);
	}
	return true;
}

/* Out of the registry and in front of the chain. */
static void region_unlink_locked(struct region *r, struct region **chain)
{
	region_disown_locked(r);
	tdelete(r, &registry.tree, region_compare);
	r->next = *chain;
	*chain = r;
}

/* The end of a region whose pages nobody needs: it becomes a spare one, or is put in front of the chain. */
static void region_discard_locked(struct region *r, struct region **chain)
{
	if (!region_spare_locked(r))
		region_unlink_locked(r, chain);
}

static void regions_free(struct region *chain)
{
	while (chain) {
		struct region *next = chain->next;

		free(chain);
		chain = next;
	}
}

static void regions_unmap(struct region *chain)
{
	for (const struct region *r = chain; r; r = r->next)
		pages_unmap((void *)r->start, r->end - r->start);
	regions_free(chain);
}

/* Drops the lock after regions have been discarded: unmaps the chain, and sees to it that what is spare does not stay. */
static void registry_leave(struct region *chain)
{
	void (*trim)(void) = registry.large && !registry.is_trim_ordered ? registry.trim : NULL;

	registry.is_trim_ordered |= trim != NULL;
	lock_drop(&registry.lock);
	regions_unmap(chain);
	if (trim)
		trim();
}

static struct region *region_new(uintptr_t start, size_t bytes)
{
	struct region *r = calloc(1, sizeof *r);

	if (r) {
		r->start = start;
		r->end = start + bytes;
	}
	return r;
}

/* Makes the address at a border between regions, if it is inside one. False: no memory, nothing changed. */
static bool region_split_locked(uintptr_t at)
{
	struct region *low = region_at_locked(at), *high;

	if (!low || low->start == at)
		return true;
	if (low->state == SPARE) /* only what is stale is split then */
		region_disown_locked(low);
	high = region_new(at, low->end - at);
	if (!high)
		return false;
	low->end = at;
	if (!region_link_locked(high)) {
		low->end = high->end;
		free(high);
		return false;
	}
	high->may_be_spare = low->may_be_spare;
	if (low->state == OWNED)
		region_own_locked(high, low->owner);
	return true;
}

/* Afterwards every region with a page in [start, end) lies inside it. False: no memory; a border more does no harm. */
static bool regions_isolate_locked(uintptr_t start, uintptr_t end)
{
	const struct region *r = region_at_locked(start);

	if (r && r->start == start && r->end == end)
		return true;
	return region_split_locked(start) && region_split_locked(end);
}

/* All regions of an isolated range. */
static void regions_unlink_locked(uintptr_t start, uintptr_t end, struct region **chain)
{
	struct region *r;

	while ((r = region_find_locked(start, end)))
		region_unlink_locked(r, chain);
}

/* The same, of an isolated range that is owned. */
static void regions_discard_locked(uintptr_t start, uintptr_t end, struct region **chain)
{
	while (start < end) {
		struct region *r = region_at_locked(start);

		start = r->end;
		region_discard_locked(r, chain);
	}
}

static bool regions_are_owned_locked(uintptr_t start, uintptr_t end)
{
	while (start < end) {
		const struct region *r = region_at_locked(start);

		if (!r || r->state != OWNED)
			return false;
		start = r->end;
	}
	return true;
}

/* Whether some page of the range is in flight, or spare. What lookup finds first is highest in the tree, so the two
 * rests are below it on different sides, and the recursion is no deeper than the tree. */
static bool regions_are_in_flight_locked(uintptr_t start, uintptr_t end)
{
	const struct region *r = start < end ? region_find_locked(start, end) : NULL;

	return r && (r->state != OWNED || regions_are_in_flight_locked(start, r->start) ||
		     regions_are_in_flight_locked(r->end, end));
}

/* The pages that hold the bytes. False if there can be no such pages; size > 0. */
static bool range_of(uintptr_t address, size_t size, uintptr_t *start, uintptr_t *end)
{
	if (size > UINTPTR_MAX - address)
		return false;
	*start = page_trunc(address);
	*end = page_round(address + size);
	return *end > *start;
}

/* Fresh pages become a region, owned or in flight. What the registry still knew of their range is gone, since the host
 * gave it to us again: the program unmapped it by itself. False: no memory; the pages are still the caller's. */
static bool region_add(uintptr_t start, size_t bytes, const void *owner, bool may_be_spare)
{
	struct region *r = region_new(start, bytes), *stale = NULL;
	bool linked;

	if (!r)
		return false;
	lock_take(&registry.lock);
	linked = regions_isolate_locked(r->start, r->end);
	if (linked) {
		regions_unlink_locked(r->start, r->end, &stale);
		linked = region_link_locked(r);
	}
	if (linked && owner)
		region_own_locked(r, owner);
	r->may_be_spare = may_be_spare;
	lock_drop(&registry.lock);

	regions_free(stale);
	if (!linked)
		free(r);
	return linked;
}

/* KERN_SUCCESS and the pages, or why there are none. */
static kern_return_t pages_obtain(vm_address_t *address, size_t bytes, bool anywhere)
{
	void *p;

	if (anywhere) {
		p = pages_map(bytes);
		if (!p)
			return KERN_RESOURCE_SHORTAGE;
	} else {
		uintptr_t start = page_trunc(*address);

		if (start == 0 || start + bytes < start)
			return KERN_INVALID_ADDRESS;
		p = pages_map_at((void *)start, bytes);
		if (!p)
			return errno == EEXIST	 ? KERN_NO_SPACE
			       : errno == ENOMEM ? KERN_RESOURCE_SHORTAGE
						 : KERN_INVALID_ADDRESS;
	}
	*address = (vm_address_t)p;
	return KERN_SUCCESS;
}

kern_return_t memory_allocate(const void *owner, vm_address_t *address, vm_size_t size, bool anywhere)
{
	vm_address_t at = *address;
	size_t bytes = page_round(size);
	kern_return_t kr;

	assert(owner);
	if (size == 0) {
		*address = 0;
		return KERN_SUCCESS;
	}
	if (bytes == 0)
		return anywhere ? KERN_RESOURCE_SHORTAGE : KERN_INVALID_ADDRESS;
	kr = pages_obtain(&at, bytes, anywhere);
	if (kr)
		return kr;
	if (!region_add(at, bytes, owner, false)) {
		pages_unmap((void *)at, bytes);
		return KERN_RESOURCE_SHORTAGE;
	}
	*address = at;
	return KERN_SUCCESS;
}

kern_return_t memory_deallocate(vm_address_t address, vm_size_t size)
{
	struct region *gone = NULL;
	kern_return_t kr = KERN_SUCCESS;
	uintptr_t start, end;

	if (size == 0)
		return KERN_SUCCESS;
	if (!range_of(address, size, &start, &end))
		return KERN_INVALID_ADDRESS;

	lock_take(&registry.lock);
	if (!regions_are_owned_locked(start, end))
		kr = KERN_INVALID_ADDRESS;
	else if (!regions_isolate_locked(start, end))
		kr = KERN_RESOURCE_SHORTAGE;
	else
		regions_discard_locked(start, end, &gone);
	registry_leave(gone);
	return kr;
}

/* How the bytes of a send become the message's. */
enum take { TAKE_BAD, TAKE_MOVE, TAKE_COPY, TAKE_COPY_AND_FREE };

static enum take take_how_locked(uintptr_t user, uintptr_t start, uintptr_t end, bool deallocate)
{
	if (deallocate && regions_are_owned_locked(start, end))
		return user == start ? TAKE_MOVE : TAKE_COPY_AND_FREE;
	return regions_are_in_flight_locked(start, end) ? TAKE_BAD : TAKE_COPY;
}

/* Owned regions that cover the range become one region in flight. False: no memory, nothing changed. */
static bool regions_send_locked(uintptr_t start, uintptr_t end, struct region **chain)
{
	struct region *r;

	if (!regions_isolate_locked(start, end))
		return false;

	/* No way back from here. */
	r = region_at_locked(start);
	region_disown_locked(r);
	if (r->end < end) {
		regions_unlink_locked(r->end, end, chain);
		r->end = end;
		r->may_be_spare = false;
	}
	return true;
}

/* The region of a block in flight. NULL only if the program itself unmapped the block and the host gave its place
 * away. */
static struct region *memory_region_locked(const struct memory *m)
{
	struct region *r = region_at_locked((uintptr_t)m->address);

	if (!r || r->state != IN_FLIGHT || r->start != (uintptr_t)m->address)
		return NULL;
	return r->end - r->start == page_round(m->size) ? r : NULL;
}

static void memory_end(struct memory *m, bool keep)
{
	struct region *gone = NULL, *r;

	if (!m->address)
		return;
	lock_take(&registry.lock);
	r = memory_region_locked(m);
	if (r) {
		r->may_be_spare &= keep;
		region_discard_locked(r, &gone);
	}
	registry_leave(gone);
	*m = (struct memory){ 0 };
}

/* The host likes to put fresh pages where somebody else just unmapped some: maybe under the user's stale pointer. That
 * range was not mapped then, at least not all of it, although it can be read now. */
static bool ranges_overlap(uintptr_t a, size_t a_size, uintptr_t b, size_t b_size)
{
	return a < b + b_size && b < a + a_size;
}

static struct region *spare_large_locked(size_t bytes)
{
	struct region *best = NULL;

	for (struct region *r = registry.large; r; r = r->next)
		if (region_bytes(r) >= bytes && region_bytes(r) / 2 <= bytes &&
		    (!best || region_bytes(r) < region_bytes(best)))
			best = r;
	return best;
}

static struct region *spare_find_locked(size_t bytes)
{
	size_t n = bytes / page_size();

	return n > SPARE_PAGES_EACH ? spare_large_locked(bytes) : registry.spare[n - 1];
}

/* A program may have done to its memory what it liked before it freed it, so spare pages are looked at again. */
static bool memory_from_spare(struct memory *m, size_t size)
{
	size_t bytes = page_round(size), rest = 0;
	struct region *r;

	if (bytes == 0)
		return false;
	lock_take(&registry.lock);
	r = spare_find_locked(bytes);
	if (r) {
		region_disown_locked(r);
		rest = region_bytes(r) - bytes;
		r->end -= rest;
		*m = (struct memory){ (void *)r->start, size };
	}
	lock_drop(&registry.lock);

	if (!r)
		return false;
	if (rest)
		pages_unmap((char *)m->address + bytes, rest);
	if (!pages_are_writable(m->address, bytes)) {
		memory_end(m, false);
		return false;
	}
	return true;
}

enum memory_use { MEMORY_FILLED, MEMORY_UNFILLED };

static bool memory_from_host(struct memory *m, size_t size, enum memory_use use)
{
	size_t bytes = page_round(size);
	void *p = NULL;

	if (bytes)
		p = use == MEMORY_FILLED ? pages_map_filled(bytes) : pages_map(bytes);
	if (!p)
		return false;
	if (!region_add((uintptr_t)p, bytes, NULL, use == MEMORY_FILLED)) {
		pages_unmap(p, bytes);
		return false;
	}
	*m = (struct memory){ p, size };
	return true;
}

struct memory memory_to_fill(size_t size)
{
	struct memory m = { 0 };

	if (memory_from_spare(&m, size))
		memset((char *)m.address + size, 0, page_round(size) - size);
	else
		(void)memory_from_host(&m, size, MEMORY_FILLED);
	return m;
}

/* A size that lies shows at the end, before it costs anything. */
static bool ends_are_readable(const void *user, size_t size)
{
	char byte;

	return user_read(&byte, user, 1) && user_read(&byte, (const char *)user + size - 1, 1);
}

static mach_msg_return_t memory_copy(struct memory *m, const void *user, size_t size)
{
	if (!ends_are_readable(user, size))
		return MACH_SEND_INVALID_MEMORY;
	*m = memory_to_fill(size);
	if (!m->address)
		return MACH_SEND_NO_BUFFER;
	if (ranges_overlap((uintptr_t)user, size, (uintptr_t)m->address, page_round(size)) ||
	    !user_read(m->address, user, size)) {
		memory_end(m, false);
		return MACH_SEND_INVALID_MEMORY;
	}
	return MACH_MSG_SUCCESS;
}

mach_msg_return_t memory_take(struct memory *m, const void *user, size_t size, bool deallocate)
{
	mach_msg_return_t mr = MACH_MSG_SUCCESS;
	struct region *merged = NULL;
	uintptr_t start, end;
	enum take how;

	*m = (struct memory){ 0 };
	if (size == 0)
		return MACH_MSG_SUCCESS;
	if (!range_of((uintptr_t)user, size, &start, &end))
		return MACH_SEND_INVALID_MEMORY;
	lock_assert_none_held();

	lock_take(&registry.lock);
	how = take_how_locked((uintptr_t)user, start, end, deallocate);
	if (how == TAKE_MOVE) {
		if (regions_send_locked(start, end, &merged))
			*m = (struct memory){ (void *)start, size };
		else
			mr = MACH_SEND_NO_BUFFER;
	}
	lock_drop(&registry.lock);

	regions_free(merged);
	if (how == TAKE_BAD)
		return MACH_SEND_INVALID_MEMORY;
	if (how != TAKE_MOVE)
		mr = memory_copy(m, user, size);
	if (how == TAKE_COPY_AND_FREE && !mr) {
		kern_return_t kr = memory_deallocate((vm_address_t)user, size);

		if (kr) { /* another thread freed or sent it meanwhile, or no memory */
			memory_drop(m);
			mr = kr == KERN_RESOURCE_SHORTAGE ? MACH_SEND_NO_BUFFER : MACH_SEND_INVALID_MEMORY;
		}
	}
	return mr;
}

static bool range_is_in_flight(uintptr_t start, uintptr_t end)
{
	bool is_in_flight;

	lock_take(&registry.lock);
	is_in_flight = regions_are_in_flight_locked(start, end);
	lock_drop(&registry.lock);
	return is_in_flight;
}

/* Mostly it is never written, so neither does it come from spare pages nor become one of them. */
mach_msg_return_t memory_take_unfilled(struct memory *m, const void *user, size_t size)
{
	uintptr_t start, end;

	*m = (struct memory){ 0 };
	lock_assert_none_held();
	if (!range_of((uintptr_t)user, size, &start, &end) || range_is_in_flight(start, end) ||
	    !ends_are_readable(user, size) || !pages_are_readable((const void *)start, end - start))
		return MACH_SEND_INVALID_MEMORY;
	if (!memory_from_host(m, size, MEMORY_UNFILLED))
		return MACH_SEND_NO_BUFFER;
	if (!ranges_overlap((uintptr_t)user, size, (uintptr_t)m->address, page_round(size)))
		return MACH_MSG_SUCCESS;
	memory_drop(m);
	return MACH_SEND_INVALID_MEMORY;
}

bool memory_read(void *to, const void *user, size_t size)
{
	size_t n;

	if (user_read(to, user, size))
		return true;
	for (size_t done = 0; done < size; done += n) {
		const char *from = (const char *)user + done;

		n = page_size() - (uintptr_t)from % page_size();
		if (n > size - done)
			n = size - done;
		if (!user_read((char *)to + done, from, n))
			memset((char *)to + done, 0, n);
	}
	return false;
}

struct memory memory_new(size_t size)
{
	struct memory m = { 0 };

	if (memory_from_spare(&m, size))
		memset(m.address, 0, page_round(size));
	else
		(void)memory_from_host(&m, size, MEMORY_FILLED);
	return m;
}

void *memory_give(struct memory *m, const void *owner)
{
	void *address = m->address;
	struct region *r;

	assert(owner);
	if (!address)
		return NULL;
	lock_take(&registry.lock);
	r = memory_region_locked(m);
	if (r)
		region_own_locked(r, owner);
	lock_drop(&registry.lock);
	*m = (struct memory){ 0 };
	return address;
}

void memory_drop(struct memory *m)
{
	memory_end(m, true);
}

void memory_release(const void *owner)
{
	struct region *gone = NULL, *r, *next;

	lock_take(&registry.lock);
	for (r = *region_bucket(owner); r; r = next) {
		next = r->next; /* r is in another list then */
		if (r->owner == owner)
			region_discard_locked(r, &gone);
	}
	registry_leave(gone);
}

void memory_keep_large(void (*trim)(void))
{
	lock_take(&registry.lock);
	registry.trim = trim;
	lock_drop(&registry.lock);
}

int memory_trim(void)
{
	struct region *gone = NULL, *r, *next;
	int left = -1;
	uint64_t now;

	lock_take(&registry.lock);
	now = now_ms();
	for (r = registry.large; r; r = next) {
		next = r->next;
		if (now - r->since < SPARE_LARGE_MS)
			left = (int)(SPARE_LARGE_MS - (now - r->since)); /* the last is the oldest */
		else
			region_unlink_locked(r, &gone);
	}
	registry.is_trim_ordered = registry.large != NULL;
	registry_leave(gone);
	return left;
}

/* Another thread may have been changing the tree when the process forked, so nothing in it can be used any more. */
void memory_forget(void)
{
	lock_init(&registry.lock, RANK_MEMORY);
	if (registry.tree)
		registry.forgotten = registry.tree;
	registry.tree = NULL;
	for (unsigned i = 0; i < BUCKETS; i++)
		registry.owned[i] = NULL;
	for (unsigned i = 0; i < SPARE_PAGES_EACH; i++)
		registry.spare[i] = NULL;
	registry.n_spare_pages = 0;
	registry.large = NULL;
	registry.n_large = 0;
	registry.n_large_bytes = 0;
	registry.trim = NULL;
	registry.is_trim_ordered = false;
}
