/* SPDX-License-Identifier: MIT */
/* Memory: vm_allocate, vm_deallocate, and what travels out of line. */
#include "world.h"

#include <errno.h>
#include <sys/mman.h>

#define PAGE vm_page_size

static vm_address_t memory(vm_size_t size)
{
	vm_address_t a = 0;

	expect_ok(vm_allocate(here(), &a, size, TRUE));
	assert_int_equal(a % PAGE, 0);
	return a;
}

/* is there any memory at that page? */
static bool is_mapped(vm_address_t a)
{
	return msync((void *)a, PAGE, MS_ASYNC) == 0;
}

static kern_return_t forget(vm_address_t a, vm_size_t size)
{
	return vm_deallocate(here(), a, size);
}

static void fresh_memory_is_zero_and_ours(void **state)
{
	vm_address_t a = memory(3 * PAGE + 1);

	(void)state;
	for (vm_size_t i = 0; i < 4 * PAGE; i++)
		assert_int_equal(((unsigned char *)a)[i], 0);
	memset((void *)a, 0xff, 4 * PAGE);
	expect_ok(forget(a, 3 * PAGE + 1));
	assert_false(is_mapped(a));
	assert_false(is_mapped(a + 3 * PAGE));
}

static void part_of_an_allocation_can_be_freed(void **state)
{
	vm_address_t a = memory(4 * PAGE);

	(void)state;
	expect_ok(forget(a + PAGE, PAGE));
	assert_true(is_mapped(a));
	assert_false(is_mapped(a + PAGE));
	assert_true(is_mapped(a + 2 * PAGE));
	memset((void *)(a + 2 * PAGE), 1, 2 * PAGE);
	expect_ok(forget(a, PAGE)); /* what is left of it */
	expect_ok(forget(a + 2 * PAGE, 2 * PAGE));
	assert_false(is_mapped(a));
	assert_false(is_mapped(a + 3 * PAGE));
}

static void wrong_ranges_are_refused_or_do_nothing(void **state)
{
	vm_address_t a = memory(PAGE);

	(void)state;
	expect_ok(forget(a, 0));
	expect_ok(forget(0, 0));
	expect_result(forget(a, ~(vm_size_t)0), KERN_INVALID_ADDRESS);
	expect_result(forget(~(vm_address_t)0, 2 * PAGE), KERN_INVALID_ADDRESS);
	expect_result(forget(0xffffffffffffe000, 0x3000), KERN_INVALID_ADDRESS);
	assert_true(is_mapped(a));
	expect_ok(forget(a, PAGE));
}

static void impossible_allocations_are_refused(void **state)
{
	vm_address_t a = memory(PAGE), taken = a;

	(void)state;
	expect_result(vm_allocate(here(), &taken, PAGE, FALSE), KERN_NO_SPACE);
	assert_true(vm_allocate(here(), &taken, ~(vm_size_t)0, TRUE) != KERN_SUCCESS);
	assert_true(vm_allocate(here(), &taken, (vm_size_t)1 << 62, TRUE) != KERN_SUCCESS);
	expect_eq(taken, a);
	expect_result(vm_allocate(here(), NULL, PAGE, TRUE), KERN_INVALID_ADDRESS);
	expect_ok(vm_allocate(here(), &taken, 0, TRUE));
	expect_eq(taken, 0);
	expect_ok(forget(a, PAGE));
}

static void memory_can_be_had_at_a_place_that_is_free(void **state)
{
	vm_address_t a = memory(4 * PAGE), there = a + PAGE + 10;

	(void)state;
	expect_ok(forget(a, 4 * PAGE));
	expect_ok(vm_allocate(here(), &there, PAGE, FALSE));
	expect_eq(there, a + PAGE);
	expect_ok(forget(there, PAGE));
}

/* one item of memory, to a port of the same task */
static mach_msg_return_t post_memory(task_t task, mach_port_t p, vm_address_t a, unsigned size, bool deallocate)
{
	struct letter l;

	letter_to(&l, p, MACH_MSG_TYPE_MAKE_SEND, 1);
	letter_add_memory(&l, (void *)a, size, deallocate);
	return post(task, &l);
}

static void moved_memory_is_freed_with_a_queue_nobody_reads(void **state)
{
	struct world *w = *state;
	mach_port_t p = port_in(w->a);
	vm_address_t a = memory(64 * PAGE);

	memset((void *)a, 1, 64 * PAGE);
	expect_ok(post_memory(w->a, p, a, (unsigned)(64 * PAGE), true));
	expect_ok(mach_port_destroy(w->a, p));
	assert_false(is_mapped(a));
	assert_false(is_mapped(a + 63 * PAGE));
}

static void moved_memory_outlives_its_sender(void **state)
{
	struct world *w = *state;
	mach_port_t p = port_in(w->b), to = give_send(w->b, p, w->a);
	vm_address_t a = memory(16 * PAGE);
	struct letter l;
	unsigned size;
	unsigned char *got;

	memset((void *)a, 0x77, 16 * PAGE);
	letter_to(&l, to, MACH_MSG_TYPE_COPY_SEND, 1);
	letter_add_memory(&l, (void *)a, (unsigned)(16 * PAGE), true);
	expect_ok(post(w->a, &l));
	expect_ok(task_terminate(w->a));
	expect_ok(fetch(w->b, p, &l));
	got = letter_memory(&l, &size);
	expect_eq(size, 16 * PAGE);
	for (unsigned i = 0; i < size; i += 97)
		assert_int_equal(got[i], 0x77);
	destroy_letter(w->b, &l);
	assert_false(is_mapped((vm_address_t)got));
}

static void received_memory_can_be_freed_in_parts(void **state)
{
	struct world *w = *state;
	mach_port_t p = port_in(w->a);
	static unsigned char data[5 * 4096];
	struct letter l;
	unsigned size;
	vm_address_t got;

	expect_ok(post_memory(w->a, p, (vm_address_t)data, sizeof(data), false));
	expect_ok(fetch(w->a, p, &l));
	got = (vm_address_t)letter_memory(&l, &size);
	expect_ok(forget(got + PAGE, PAGE));
	((unsigned char *)got)[0] = 1;
	((unsigned char *)got)[2 * PAGE] = 1;
	expect_ok(forget(got, PAGE));
	expect_ok(forget(got + 2 * PAGE, size - 2 * PAGE));
}

static void memory_stays_where_a_send_failed_on_its_header(void **state)
{
	struct world *w = *state;
	vm_address_t a = memory(PAGE);

	expect_result(post_memory(w->a, UNUSED_NAME, a, (unsigned)PAGE, true), MACH_SEND_INVALID_DEST);
	assert_true(is_mapped(a));
	expect_ok(forget(a, PAGE));
}

static void memory_that_is_not_there_cannot_be_sent(void **state)
{
	struct world *w = *state;
	mach_port_t p = port_in(w->a);
	static const vm_address_t wild[] = { 0, 16, 0x8000000000000000, 0xfffffffffffff000, 0x7ffffffff000 };

	expect_wild_pointers();
	for (size_t i = 0; i < sizeof(wild) / sizeof(wild[0]); i++) {
		expect_result(post_memory(w->a, p, wild[i], 100, false), MACH_SEND_INVALID_MEMORY);
		expect_result(post_memory(w->a, p, wild[i], 100000, false), MACH_SEND_INVALID_MEMORY);
		expect_result(post_memory(w->a, p, wild[i], 100000, true), MACH_SEND_INVALID_MEMORY);
	}
	expect_no_message(w->a, p);
}

/* the message was only too large for the buffer; its memory must not stay behind */
static void memory_of_a_message_that_did_not_fit_is_freed(void **state)
{
	struct world *w = *state;
	mach_port_t p = port_in(w->a);
	vm_address_t a = memory(64 * PAGE);
	struct letter l;

	expect_ok(post_memory(w->a, p, a, (unsigned)(64 * PAGE), true));
	expect_result(fetch_with(w->a, p, &l, MACH_RCV_LARGE, sizeof(l.header)), MACH_RCV_TOO_LARGE);
	expect_result(fetch_with(w->a, p, &l, 0, sizeof(l.header)), MACH_RCV_TOO_LARGE);
	expect_no_message(w->a, p);
	assert_false(is_mapped(a));
}

static void mig_memory_is_freed_by_vm_deallocate(void **state)
{
	vm_address_t a = 0;

	(void)state;
	mig_allocate(&a, 3 * PAGE);
	assert_int_not_equal(a, 0);
	expect_ok(forget(a, 3 * PAGE));
	assert_false(is_mapped(a));
	mig_deallocate(0, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		world_test(fresh_memory_is_zero_and_ours),
		world_test(part_of_an_allocation_can_be_freed),
		world_test(wrong_ranges_are_refused_or_do_nothing),
		world_test(impossible_allocations_are_refused),
		world_test(memory_can_be_had_at_a_place_that_is_free),
		world_test(moved_memory_is_freed_with_a_queue_nobody_reads),
		world_test(moved_memory_outlives_its_sender),
		world_test(received_memory_can_be_freed_in_parts),
		world_test(memory_stays_where_a_send_failed_on_its_header),
		world_test(memory_that_is_not_there_cannot_be_sent),
		world_test(memory_of_a_message_that_did_not_fit_is_freed),
		world_test(mig_memory_is_freed_by_vm_deallocate),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
