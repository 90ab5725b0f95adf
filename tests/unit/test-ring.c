/* SPDX-License-Identifier: MIT */
/* Two ends of a link, both in this process, and when one has to wake the other. */
#include "link/ring.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "link/frame.h"

static struct ring here, there;

static int setup(void **state)
{
	int here_fd, there_fd;

	(void)state;
	assert_true(ring_init(&here, &here_fd));
	assert_true(ring_init(&there, &there_fd));
	assert_true(ring_join(&here, there_fd));
	assert_true(ring_join(&there, here_fd));
	close(here_fd);
	close(there_fd);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	ring_deinit(&here);
	ring_deinit(&there);
	return 0;
}

static bool put(void)
{
	struct frame_index f = { .header = { sizeof f, FRAME_COUNT, 0 }, .index = 1 };

	return ring_put(&here, &f, sizeof f);
}

static enum ring_wake put_and_wake(enum urgency urgency)
{
	assert_true(put());
	return ring_wake_needed(&here, urgency);
}

static void who_is_awake_is_not_woken(void **state)
{
	(void)state;
	assert_int_equal(put_and_wake(URGENCY_NORMAL), RING_WAKE_NONE);
	ring_set_attended(&there, true);
	assert_int_equal(put_and_wake(URGENCY_HIGH), RING_WAKE_NONE);
}

static void the_doorbell_is_rung_once_for_each_sleep(void **state)
{
	(void)state;
	ring_set_attended(&there, true);
	for (int i = 0; i < 3; i++) {
		ring_set_asleep(&there, true);
		assert_int_equal(put_and_wake(URGENCY_NORMAL), RING_WAKE_DOORBELL);
		assert_int_equal(put_and_wake(URGENCY_NORMAL), RING_WAKE_NONE);
		assert_int_equal(put_and_wake(URGENCY_HIGH), RING_WAKE_NONE);
		ring_set_asleep(&there, false);
		assert_int_equal(put_and_wake(URGENCY_NORMAL), RING_WAKE_NONE);
	}
}

/* It may be awake in between without anybody seeing it. */
static void a_sleep_after_the_one_that_was_ended_is_another(void **state)
{
	(void)state;
	ring_set_asleep(&there, true);
	assert_int_equal(put_and_wake(URGENCY_NORMAL), RING_WAKE_DOORBELL);
	ring_set_asleep(&there, false);
	ring_set_asleep(&there, true);
	assert_int_equal(put_and_wake(URGENCY_NORMAL), RING_WAKE_DOORBELL);
}

/* Who is not attended looks at doorbells some day; who seems to sleep besides, at all times. */
static void what_is_urgent_goes_to_the_socket_of_who_is_not_attended(void **state)
{
	(void)state;
	assert_int_equal(put_and_wake(URGENCY_HIGH), RING_WAKE_SOCKET);
	ring_set_asleep(&there, true);
	assert_int_equal(put_and_wake(URGENCY_HIGH), RING_WAKE_SOCKET);
	assert_int_equal(put_and_wake(URGENCY_NORMAL), RING_WAKE_DOORBELL);
	assert_int_equal(put_and_wake(URGENCY_HIGH), RING_WAKE_SOCKET);
}

static void take_all(void)
{
	const unsigned char *bytes;
	struct frame header;

	while (ring_peek(&there, &header, &bytes) == RING_TAKEN)
		ring_advance(&there, &header);
}

static void a_ring_with_a_quarter_waiting_is_filling(void **state)
{
	uint32_t n = RING_SIZE / 4 / sizeof(struct frame_index);

	(void)state;
	for (uint32_t i = 0; i < n; i++) {
		assert_true(put());
		assert_false(ring_is_filling(&here));
	}
	assert_true(put());
	assert_true(ring_is_filling(&here));
	take_all();
	(void)ring_publish_head(&there);
	assert_false(ring_is_filling(&here));
}

static void who_found_no_room_is_told_of_some(void **state)
{
	(void)state;
	while (put())
		;
	assert_true(ring_publish_head(&there)); /* of none so far */
	take_all();
	assert_true(ring_publish_head(&there));
	assert_true(put());
}

/* As large as a frame gets with what makes its content begin a line. */
enum { CONTENT = RING_FRAME_MAX - 64 };

static bool put_large(void)
{
	static const unsigned char content[CONTENT];
	struct frame_data f = { .header = { sizeof f + CONTENT, FRAME_DATA, 0 }, .size = CONTENT };

	return ring_put_parts(&here, &f, sizeof f, content, CONTENT);
}

static unsigned put_large_ones(void)
{
	unsigned n = 0;

	while (put_large())
		n++;
	return n;
}

/* Takes all, of which so many are large. */
static void expect_large_ones(unsigned n)
{
	const unsigned char *bytes;
	struct frame header;

	while (ring_peek(&there, &header, &bytes) == RING_TAKEN) {
		if (header.type == FRAME_DATA) {
			assert_int_equal((uintptr_t)(bytes + sizeof(struct frame_data)) % 64, 0);
			n--;
		}
		ring_advance(&there, &header);
	}
	assert_int_equal(n, 0);
	(void)ring_publish_head(&there);
}

/* However it was filled before. */
static void an_empty_ring_has_room_for_large_frames(void **state)
{
	(void)state;
	for (unsigned n = 0; n < 40; n++) {
		for (unsigned i = 0; i < n; i++)
			assert_true(put());
		expect_large_ones(0);
		assert_true(put_large());
		expect_large_ones(1);
		assert_true(put_large_ones() >= 3);
		take_all();
		(void)ring_publish_head(&there);
	}
}

static void large_frames_fill_the_ring_and_begin_lines(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(put_large_ones(), 4);
		expect_large_ones(4);
	}
}

#define ring_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ring_test(who_is_awake_is_not_woken),
		ring_test(the_doorbell_is_rung_once_for_each_sleep),
		ring_test(a_sleep_after_the_one_that_was_ended_is_another),
		ring_test(what_is_urgent_goes_to_the_socket_of_who_is_not_attended),
		ring_test(a_ring_with_a_quarter_waiting_is_filling),
		ring_test(who_found_no_room_is_told_of_some),
		ring_test(an_empty_ring_has_room_for_large_frames),
		ring_test(large_frames_fill_the_ring_and_begin_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
