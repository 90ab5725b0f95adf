/* SPDX-License-Identifier: MIT */
/* Memory: who owns which pages, and what a message may take. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guarded.h"
#include "kernel/memory.h"
#include "platform/pages.h"
#include "platform/usercopy.h"

static const char alice_[16], bob_[16];
static const void *const alice = alice_, *const bob = bob_;

/* Each test ends with nothing owned. */
static int finish(void **state)
{
	(void)state;
	memory_release(alice);
	memory_release(bob);
	return 0;
}

static size_t pg(size_t n)
{
	return n * page_size();
}

static char *allocate(const void *owner, size_t size)
{
	vm_address_t address = 0;

	assert_int_equal(memory_allocate(owner, &address, size, true), KERN_SUCCESS);
	assert_true(address != 0 && address % page_size() == 0);
	return (char *)address;
}

static void deallocate(const void *p, size_t size)
{
	assert_int_equal(memory_deallocate((vm_address_t)p, size), KERN_SUCCESS);
}

static bool is_mapped(const void *p)
{
	char byte;

	return user_read(&byte, p, 1);
}

/* As a program sees it: can it be sent? */
static bool can_send(const void *p, size_t size)
{
	struct memory m;
	mach_msg_return_t mr = memory_take(&m, p, size, false);

	assert_true(mr == MACH_MSG_SUCCESS || mr == MACH_SEND_INVALID_MEMORY);
	memory_drop(&m);
	return !mr;
}

static struct memory take(const void *p, size_t size, bool dealloc)
{
	struct memory m;

	assert_int_equal(memory_take(&m, p, size, dealloc), MACH_MSG_SUCCESS);
	assert_true((uintptr_t)m.address % page_size() == 0);
	assert_int_equal(m.size, size);
	return m;
}

static void expect_invalid(const void *p, size_t size, bool dealloc)
{
	struct memory m = { &m, 1 };

	assert_int_equal(memory_take(&m, p, size, dealloc), MACH_SEND_INVALID_MEMORY);
	assert_null(m.address);
	assert_int_equal(m.size, 0);
}

static void expect_not_owned(const void *p, size_t size)
{
	assert_int_equal(memory_deallocate((vm_address_t)p, size), KERN_INVALID_ADDRESS);
}

static void allocated_memory_is_zero_and_can_be_freed_once(void **state)
{
	char *p = allocate(alice, pg(2) + 1);

	(void)state;
	for (size_t i = 0; i < pg(3); i++)
		assert_int_equal(p[i], 0);
	deallocate(p, pg(2) + 1);
	assert_false(is_mapped(p));
	assert_false(is_mapped(p + pg(2)));
	expect_not_owned(p, pg(2) + 1);
}

static void size_zero_is_success_and_nothing(void **state)
{
	vm_address_t address = 12345;
	struct memory m;

	(void)state;
	assert_int_equal(memory_allocate(alice, &address, 0, true), KERN_SUCCESS);
	assert_int_equal(address, 0);
	assert_int_equal(memory_deallocate(7, 0), KERN_SUCCESS);
	assert_int_equal(memory_take(&m, (void *)8, 0, true), MACH_MSG_SUCCESS);
	assert_null(m.address);
	memory_drop(&m);
	assert_null(memory_give(&m, alice));
	m = memory_new(0);
	assert_null(m.address);
}

static void allocation_at_an_address_takes_exactly_that_page(void **state)
{
	char *p = allocate(alice, pg(3));
	vm_address_t address = (vm_address_t)p + pg(1) + 77;

	(void)state;
	assert_int_equal(memory_allocate(bob, &address, pg(1), false), KERN_NO_SPACE);
	assert_int_equal(address, (vm_address_t)p + pg(1) + 77);
	deallocate(p + pg(1), 1);
	assert_int_equal(memory_allocate(bob, &address, pg(1), false), KERN_SUCCESS);
	assert_int_equal(address, (vm_address_t)p + pg(1));
	memory_release(alice);
	assert_false(is_mapped(p));
	assert_true(is_mapped(p + pg(1)));
}

static void impossible_allocations_are_refused(void **state)
{
	static const vm_address_t silly[] = { 0, 1, UINT64_C(1) << 47, UINT64_C(1) << 63, UINTPTR_MAX };
	vm_address_t address;

	(void)state;
	for (size_t i = 0; i < sizeof(silly) / sizeof(*silly); i++) {
		address = silly[i];
		assert_int_equal(memory_allocate(alice, &address, pg(1), false), KERN_INVALID_ADDRESS);
		assert_int_equal(address, silly[i]);
	}
	address = pg(16);
	assert_int_equal(memory_allocate(alice, &address, UINTPTR_MAX, false), KERN_INVALID_ADDRESS);
	assert_int_equal(memory_allocate(alice, &address, UINTPTR_MAX, true), KERN_RESOURCE_SHORTAGE);
	assert_int_equal(memory_allocate(alice, &address, UINTPTR_MAX / 2, true), KERN_RESOURCE_SHORTAGE);
}

static void part_of_a_region_can_be_freed(void **state)
{
	char *p = allocate(alice, pg(5));

	(void)state;
	deallocate(p + pg(2) + 10, 5);
	assert_false(is_mapped(p + pg(2)));
	assert_true(is_mapped(p + pg(1)) && is_mapped(p + pg(3)));
	expect_not_owned(p, pg(5));
	assert_true(is_mapped(p));
	deallocate(p, pg(2));
	deallocate(p + pg(3), pg(2));
	assert_false(is_mapped(p) || is_mapped(p + pg(4)));
}

/* The two regions are made adjacent: allocated at an address. */
static char *allocate_neighbours(void)
{
	char *p = allocate(alice, pg(4));
	vm_address_t address = (vm_address_t)p + pg(2);

	deallocate(p + pg(2), pg(2));
	assert_int_equal(memory_allocate(bob, &address, pg(2), false), KERN_SUCCESS);
	return p;
}

static void a_range_may_span_regions(void **state)
{
	char *p = allocate_neighbours();
	struct memory m;

	(void)state;
	deallocate(p + pg(1), pg(2));
	assert_true(is_mapped(p) && !is_mapped(p + pg(1)) && !is_mapped(p + pg(2)) && is_mapped(p + pg(3)));

	p = allocate_neighbours();
	memset(p, 6, pg(4));
	m = take(p, pg(4), true);
	assert_ptr_equal(m.address, p);
	expect_not_owned(p, pg(1));
	expect_not_owned(p + pg(3), pg(1));
	assert_ptr_equal(memory_give(&m, bob), p);
	assert_int_equal(p[0] + p[pg(4) - 1], 12);
	deallocate(p, pg(4));
}

static void memory_that_is_not_ours_cannot_be_freed(void **state)
{
	static char data[3 * 4096];
	char *heap = malloc(3 * 4096);

	(void)state;
	expect_not_owned(data, sizeof(data));
	expect_not_owned(heap, 3 * 4096);
	expect_not_owned(&heap, 1);
	expect_not_owned(NULL, 1);
	expect_not_owned((void *)UINTPTR_MAX, 1);
	expect_not_owned((void *)UINTPTR_MAX, UINTPTR_MAX);
	expect_not_owned((void *)pg(1), UINTPTR_MAX - pg(1) + 1);
	free(heap);
}

static void a_copy_is_a_snapshot(void **state)
{
	char *p = allocate(alice, pg(2)), *q;
	struct memory m;

	(void)state;
	memset(p, 1, pg(2));
	m = take(p + 100, pg(1), false);
	memset(p, 2, pg(2));
	q = memory_give(&m, bob);
	assert_null(m.address);
	assert_true(q < p || q >= p + pg(2));
	for (size_t i = 0; i < pg(1); i++)
		assert_int_equal(q[i], 1);
	q[0] = 3;
	assert_int_equal(p[100], 2);
	deallocate(q, pg(1));
	deallocate(p, pg(2));
}

static void the_heap_is_copied_and_left_alone(void **state)
{
	char *heap = malloc(10000), *q;
	struct memory m;

	(void)state;
	memset(heap, 4, 10000);
	m = take(heap, 10000, true);
	memset(heap, 5, 10000);
	free(heap);
	q = memory_give(&m, alice);
	assert_int_equal(q[0] + q[9999], 8);
	deallocate(q, 10000);
}

static void a_move_keeps_the_address_and_the_rest(void **state)
{
	char *p = allocate(alice, pg(4));
	struct memory m;

	(void)state;
	p[pg(1)] = 9;
	m = take(p + pg(1), pg(2) - 3, true);
	assert_ptr_equal(m.address, p + pg(1));
	assert_true(can_send(p, pg(1)) && can_send(p + pg(3), pg(1)));
	assert_ptr_equal(memory_give(&m, bob), p + pg(1));
	assert_int_equal(p[pg(1)], 9);
	memory_release(alice);
	assert_true(!is_mapped(p) && is_mapped(p + pg(1)) && is_mapped(p + pg(2)) && !is_mapped(p + pg(3)));
	deallocate(p + pg(1), pg(2) - 3);
	assert_false(is_mapped(p + pg(2)));
}

static void what_is_in_flight_is_nobodys(void **state)
{
	char *p = allocate(alice, pg(3));
	struct memory m = take(p + pg(1), pg(1), true);

	(void)state;
	expect_not_owned(p + pg(1), 1);
	expect_not_owned(p, pg(3));
	expect_invalid(p + pg(1), 1, false);
	expect_invalid(p + pg(1), pg(1), true);
	expect_invalid(p, pg(3), false);
	expect_invalid(p, pg(3), true);
	expect_invalid(p + pg(2) - 1, 2, false);
	memory_release(alice);
	assert_true(is_mapped(p + pg(1)));
	memory_drop(&m);
	assert_false(is_mapped(p + pg(1)));
	memory_drop(&m);
}

static void a_copy_in_flight_is_nobodys_either(void **state)
{
	char byte = 3;
	struct memory m = take(&byte, 1, false);

	(void)state;
	expect_not_owned(m.address, 1);
	expect_invalid(m.address, 1, false);
	memory_drop(&m);
}

/* Sent with deallocate from within a page: copied, and the pages that held it are freed whole. */
static void an_unaligned_send_frees_its_pages(void **state)
{
	char *p = allocate(alice, pg(3));
	struct memory m;

	(void)state;
	memset(p, 8, pg(3));
	m = take(p + 100, 50, true);
	assert_true(!is_mapped(p) && is_mapped(p + pg(1)));
	assert_int_equal(((char *)m.address)[49], 8);
	memory_drop(&m);
	m = take(p + pg(1) + 100, pg(1), true);
	assert_true(!is_mapped(p + pg(1)) && !is_mapped(p + pg(2)));
	assert_int_equal(((char *)m.address)[pg(1) - 1], 8);
	memory_drop(&m);
}

static void memory_that_is_not_there_cannot_be_sent(void **state)
{
	char *p = allocate(alice, pg(2));

	(void)state;
	deallocate(p + pg(1), pg(1));
	for (int dealloc = 0; dealloc < 2; dealloc++) {
		expect_invalid(p, pg(2), dealloc);
		expect_invalid(p + pg(1) - 5, 10, dealloc);
		expect_invalid(p + pg(1), 1, dealloc);
		expect_invalid(NULL, 10, dealloc);
		expect_invalid((void *)8, 10, dealloc);
		expect_invalid((void *)UINTPTR_MAX, 1, dealloc);
		expect_invalid(p, UINTPTR_MAX, dealloc);
		expect_invalid(p, (size_t)1 << 46, dealloc);
		expect_invalid(p, UINTPTR_MAX - (uintptr_t)p, dealloc);
	}
	assert_true(can_send(p, pg(1)));
	deallocate(p, pg(1));
	/* The host may put the copy exactly where the freed page was. */
	expect_invalid(p, pg(1), false);
}

static void kernel_made_memory_is_zero_and_given_or_dropped(void **state)
{
	struct memory m = memory_new(pg(1) + 5);
	char *p = m.address;

	(void)state;
	assert_non_null(p);
	assert_int_equal(m.size, pg(1) + 5);
	for (size_t i = 0; i < pg(2); i++)
		assert_int_equal(p[i], 0);
	expect_not_owned(p, 1);
	assert_ptr_equal(memory_give(&m, alice), p);
	deallocate(p, pg(1) + 5);

	m = memory_new(pg(100));
	p = m.address;
	memory_drop(&m);
	assert_null(m.address);
	assert_false(is_mapped(p));
	m = memory_new(UINTPTR_MAX);
	assert_null(m.address);
	assert_int_equal(m.size, 0);
}

/* A page of a freed message is kept for the next one, but is free memory to everybody. Returns its address. */
static char *leave_a_spare_page(void)
{
	struct memory m = memory_new(1);
	char *p = memory_give(&m, alice);

	assert_non_null(p);
	memset(p, 7, pg(1));
	return p;
}

static void a_spare_page_is_free_and_comes_back_zero(void **state)
{
	char *p = leave_a_spare_page(), *q, byte = 1;
	struct memory m;

	(void)state;
	deallocate(p, 1);
	expect_not_owned(p, 1);
	expect_invalid(p, 1, false);
	expect_invalid(p, 1, true);
	m = memory_new(pg(1) - 1);
	assert_ptr_equal(m.address, p);
	for (size_t i = 0; i < pg(1); i++)
		assert_int_equal(p[i], 0);
	memory_drop(&m);

	p = leave_a_spare_page();
	memory_release(alice);
	m = take(&byte, 1, false);
	assert_ptr_equal(m.address, p);
	q = memory_give(&m, bob);
	assert_int_equal(q[0], 1);
	for (size_t i = 1; i < pg(1); i++)
		assert_int_equal(q[i], 0);
}

static void a_spoilt_spare_page_is_not_used(void **state)
{
	char *p = leave_a_spare_page(), byte = 1;
	struct memory m;

	(void)state;
	assert_int_equal(mprotect(p, page_size(), PROT_READ), 0);
	deallocate(p, 1);
	m = memory_new(1);
	assert_int_equal(*(char *)m.address, 0);
	*(char *)m.address = 1;
	memory_drop(&m);

	p = leave_a_spare_page();
	assert_int_equal(munmap(p, page_size()), 0);
	memory_release(alice);
	m = take(&byte, 1, false);
	assert_int_equal(*(char *)m.address, 1);
	memory_drop(&m);
}

/* ---- large regions */

enum { LARGE = 1 << 20, HUGE = 2 << 20 };

static unsigned n_trims_ordered;

static void order_trim(void)
{
	n_trims_ordered++;
}

static void keep_large(void)
{
	n_trims_ordered = 0;
	memory_keep_large(order_trim);
}

/* Nothing large is left. It takes a second. */
static void await_trim(void)
{
	for (int tries = 0; memory_trim() >= 0; tries++) {
		assert_true(tries < 10000);
		usleep(1000);
	}
	memory_keep_large(NULL);
}

/* A region of a message that a program has written all over and freed. */
static char *leave_large(size_t size)
{
	struct memory m = memory_to_fill(size);
	char *p = memory_give(&m, alice);

	assert_non_null(p);
	memset(p, 7, size);
	deallocate(p, size);
	return p;
}

static void expect_zeros(const char *from, const char *to)
{
	for (; from < to; from++)
		assert_int_equal(*from, 0);
}

static void huge_memory_begins_where_a_huge_page_can(void **state)
{
	static const size_t sizes[] = { HUGE, HUGE + 1, 3 * HUGE - 1, 9 * HUGE };

	(void)state;
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		char *p = allocate(alice, sizes[i]);
		struct memory m = memory_to_fill(sizes[i]);

		assert_int_equal((uintptr_t)p % HUGE, 0);
		assert_int_equal((uintptr_t)m.address % HUGE, 0);
		assert_true(is_mapped(p + sizes[i] - 1));
		p[sizes[i] - 1] = 1;
		memory_drop(&m);
		deallocate(p, sizes[i]);
		assert_false(is_mapped(p) || is_mapped(p + sizes[i] - 1));
	}
}

static void a_large_region_is_not_kept_if_nobody_would_unmap_it(void **state)
{
	(void)state;
	assert_false(is_mapped(leave_large(LARGE)));
	assert_int_equal(memory_trim(), -1);
}

static void a_large_spare_region_is_free_and_nothing_in_it_is_seen(void **state)
{
	char *p, *q;
	struct memory m;

	(void)state;
	keep_large();
	p = leave_large(LARGE);
	assert_true(is_mapped(p));
	expect_not_owned(p, 1);
	expect_invalid(p, LARGE, false);
	q = allocate(alice, LARGE);
	assert_ptr_not_equal(q, p);
	deallocate(q, LARGE);

	m = memory_new(LARGE - 5);
	assert_ptr_equal(m.address, p);
	expect_zeros(p, p + LARGE);
	q = memory_give(&m, alice);
	memset(q, 7, LARGE);
	deallocate(q, LARGE);

	m = memory_to_fill(LARGE - 5);
	assert_ptr_equal(m.address, p);
	expect_zeros(p + LARGE - 5, p + LARGE);
	memory_drop(&m);
	await_trim();
}

static void a_message_takes_the_smallest_large_region_that_fits(void **state)
{
	struct memory m, other;
	char *p, *q;

	(void)state;
	keep_large();
	m = memory_to_fill(LARGE);
	p = m.address;
	other = memory_to_fill(LARGE + pg(10));
	q = other.address;
	memory_drop(&m);
	memory_drop(&other);
	m = memory_to_fill(LARGE - pg(20));
	assert_ptr_equal(m.address, p);
	assert_false(is_mapped(p + LARGE - pg(20)) || is_mapped(p + LARGE - 1)); /* the rest is not kept */
	other = memory_to_fill(pg(17));
	assert_ptr_not_equal(other.address, q); /* nor is a large one cut to pieces */
	memory_drop(&other);
	memory_drop(&m);
	await_trim();
	assert_false(is_mapped(p) || is_mapped(q));
}

static void a_large_spare_region_goes_after_a_second(void **state)
{
	int left;
	char *p;

	(void)state;
	keep_large();
	p = leave_large(LARGE);
	p = leave_large(LARGE);
	assert_int_equal(n_trims_ordered, 1);
	left = memory_trim();
	assert_true(left > 0 && left <= 1000);
	await_trim();
	assert_false(is_mapped(p));
	keep_large();
	p = leave_large(LARGE);
	assert_int_equal(n_trims_ordered, 1); /* asked for anew */
	await_trim();
	assert_false(is_mapped(p));
}

/* Never touched, so it costs nothing here. */
static void large_spare_regions_have_a_bound(void **state)
{
	enum { N = 80, SIZE = 64 << 20 };
	unsigned n_mapped = 0;
	struct memory m[N];
	char *p[N];

	(void)state;
	keep_large();
	for (int i = 0; i < 3; i++) {
		m[i] = memory_to_fill(SIZE);
		p[i] = m[i].address;
	}
	for (int i = 0; i < 3; i++)
		memory_drop(&m[i]);
	assert_true(is_mapped(p[0]) && is_mapped(p[1]) && !is_mapped(p[2]));
	await_trim();

	keep_large();
	for (int i = 0; i < N; i++) {
		m[i] = memory_to_fill(pg(20));
		p[i] = m[i].address;
	}
	for (int i = 0; i < N; i++)
		memory_drop(&m[i]);
	for (int i = 0; i < N; i++)
		n_mapped += is_mapped(p[i]);
	assert_int_equal(n_mapped, 64);
	await_trim();
}

static void a_spoilt_large_region_is_not_used(void **state)
{
	struct memory m;
	char *p;

	(void)state;
	keep_large();
	p = leave_large(LARGE);
	assert_int_equal(mprotect(p + pg(5), page_size(), PROT_READ), 0);
	m = memory_to_fill(LARGE);
	memset(m.address, 1, LARGE);
	memory_drop(&m);

	p = leave_large(LARGE);
	assert_int_equal(munmap(p + pg(5), page_size()), 0);
	m = memory_to_fill(LARGE);
	memset(m.address, 1, LARGE);
	memory_drop(&m);
	await_trim();
}

static void the_end_of_a_task_frees_only_what_it_owns(void **state)
{
	char *a = allocate(alice, pg(1)), *b = allocate(bob, pg(1)), *moved = allocate(alice, pg(1));
	struct memory m = take(moved, pg(1), true);

	(void)state;
	memory_give(&m, bob);
	memory_release(alice);
	assert_true(!is_mapped(a) && is_mapped(b) && is_mapped(moved));
	memory_release(bob);
	assert_true(!is_mapped(b) && !is_mapped(moved));
}

static void forgetting_leaves_the_pages_mapped(void **state)
{
	pid_t child;
	char *p = allocate(alice, pg(1));
	int status;

	(void)state;
	*p = 5;
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		struct memory m;
		bool good;

		memory_forget();
		memory_release(alice);
		good = is_mapped(p) && *p == 5 && memory_deallocate((vm_address_t)p, 1) == KERN_INVALID_ADDRESS &&
		       !memory_take(&m, p, 1, true) && m.address != p;
		memory_drop(&m);
		_exit(good ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	deallocate(p, pg(1));
}

/* A program that unmaps our memory by itself must not confuse what we make later at the same address. */
static void a_stale_region_gives_way(void **state)
{
	char *p = allocate(alice, pg(4)), *q;
	vm_address_t address = (vm_address_t)p + pg(1);
	struct memory m = take(p + pg(2), pg(1), true);

	(void)state;
	assert_int_equal(munmap(p + pg(1), pg(2)), 0);
	assert_int_equal(memory_allocate(bob, &address, pg(2), false), KERN_SUCCESS);
	q = (char *)address;
	memset(q, 1, pg(2));
	memory_drop(&m);
	memory_release(alice);
	assert_true(is_mapped(q) && is_mapped(q + pg(1)) && !is_mapped(p) && !is_mapped(p + pg(3)));
	deallocate(q, pg(2));
}

/* Every page of a region is sent away, in an order that splits it each time. */
static void many_small_regions_are_kept_apart(void **state)
{
	enum { PAGES = 4096 };
	static struct memory flying[PAGES];
	char *p = allocate(alice, pg(PAGES));

	(void)state;
	for (unsigned i = 0; i < PAGES; i++) {
		unsigned page = i * 2654435761u % PAGES;

		flying[page] = take(p + pg(page), pg(1), true);
	}
	expect_not_owned(p, pg(PAGES));
	for (unsigned i = 0; i < PAGES; i++) {
		if (i % 2)
			memory_drop(&flying[i]);
		else
			assert_ptr_equal(memory_give(&flying[i], bob), p + pg(i));
	}
	memory_release(alice);
	for (unsigned i = 0; i < PAGES; i++)
		assert_int_equal(is_mapped(p + pg(i)), i % 2 == 0);
	memory_release(bob);
	assert_false(is_mapped(p));
}

static void *churn(void *argument)
{
	const void *owner = argument;

	for (unsigned i = 0; i < 2000; i++) {
		vm_address_t address = 0;
		struct memory m;
		char *p;

		if (memory_allocate(owner, &address, pg(1 + i % 3), true))
			return (void *)1;
		p = (char *)address;
		p[0] = (char)i;
		if (memory_take(&m, p + (i % 4 == 3), pg(1) - 1, i % 2))
			return (void *)2;
		p = memory_give(&m, owner);
		if (i % 5 && memory_deallocate((vm_address_t)p, pg(1)))
			return (void *)3;
	}
	memory_release(owner);
	return NULL;
}

static void threads_do_not_disturb_each_other(void **state)
{
	static char owners[4][16];
	pthread_t threads[4];
	void *result;

	(void)state;
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, churn, owners[i]), 0);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(pthread_join(threads[i], &result), 0);
		assert_null(result);
	}
}

static void expect_not_taken_unfilled(const void *p, size_t size)
{
	struct memory m = { &m, 1 };

	assert_int_equal(memory_take_unfilled(&m, p, size), MACH_SEND_INVALID_MEMORY);
	assert_null(m.address);
	assert_int_equal(m.size, 0);
}

static void memory_can_be_taken_now_and_filled_later(void **state)
{
	size_t size = pg(40) + 5;
	char *p = allocate(alice, size);
	struct memory m, other;

	(void)state;
	memset(p, 'a', size);
	assert_int_equal(memory_take_unfilled(&m, p + 1, size - 1), MACH_MSG_SUCCESS);
	assert_int_equal(m.size, size - 1);
	assert_int_equal(((char *)m.address)[7], 0);
	memset(p, 'b', size);
	assert_true(memory_read(m.address, p + 1, size - 1));
	assert_memory_equal(m.address, p + 1, size - 1);
	assert_false(can_send(m.address, 1)); /* it is in flight */
	expect_not_taken_unfilled(m.address, 1);
	memory_drop(&m);

	assert_int_equal(mprotect(p + pg(20), pg(1), PROT_NONE), 0);
	expect_not_taken_unfilled(p, size);
	expect_not_taken_unfilled((void *)8, 8);
	expect_not_taken_unfilled(p, SIZE_MAX - 8);
	other = take(p, pg(20), false);
	memory_drop(&other);
	deallocate(p, size);
}

static void what_cannot_be_read_any_more_is_zero(void **state)
{
	char *p = allocate(alice, pg(4)), *to = malloc(pg(4));

	(void)state;
	assert_non_null(to);
	memset(p, 'a', pg(4));
	memset(to, 'b', pg(4));
	assert_int_equal(mprotect(p + pg(1), pg(1), PROT_NONE), 0);
	assert_false(memory_read(to, p + 5, pg(4) - 10));
	for (size_t i = 5; i < pg(4) - 5; i++)
		assert_int_equal(to[i - 5], i / pg(1) == 1 ? 0 : 'a');
	assert_int_equal(to[pg(4) - 10], 'b');
	free(to);
	deallocate(p, pg(4));
}

#define TEST(name) GUARDED_TEST(name, NULL, finish)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(allocated_memory_is_zero_and_can_be_freed_once),
		TEST(size_zero_is_success_and_nothing),
		TEST(allocation_at_an_address_takes_exactly_that_page),
		TEST(impossible_allocations_are_refused),
		TEST(part_of_a_region_can_be_freed),
		TEST(a_range_may_span_regions),
		TEST(memory_that_is_not_ours_cannot_be_freed),
		TEST(a_copy_is_a_snapshot),
		TEST(the_heap_is_copied_and_left_alone),
		TEST(a_move_keeps_the_address_and_the_rest),
		TEST(what_is_in_flight_is_nobodys),
		TEST(a_copy_in_flight_is_nobodys_either),
		TEST(an_unaligned_send_frees_its_pages),
		TEST(memory_that_is_not_there_cannot_be_sent),
		TEST(memory_can_be_taken_now_and_filled_later),
		TEST(what_cannot_be_read_any_more_is_zero),
		TEST(kernel_made_memory_is_zero_and_given_or_dropped),
		TEST(a_spare_page_is_free_and_comes_back_zero),
		TEST(a_spoilt_spare_page_is_not_used),
		TEST(huge_memory_begins_where_a_huge_page_can),
		TEST(a_large_region_is_not_kept_if_nobody_would_unmap_it),
		TEST(a_large_spare_region_is_free_and_nothing_in_it_is_seen),
		TEST(a_message_takes_the_smallest_large_region_that_fits),
		TEST(a_large_spare_region_goes_after_a_second),
		TEST(large_spare_regions_have_a_bound),
		TEST(a_spoilt_large_region_is_not_used),
		TEST(the_end_of_a_task_frees_only_what_it_owns),
		TEST(forgetting_leaves_the_pages_mapped),
		TEST(a_stale_region_gives_way),
		TEST(many_small_regions_are_kept_apart),
		TEST(threads_do_not_disturb_each_other),
	};

	guarded_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
