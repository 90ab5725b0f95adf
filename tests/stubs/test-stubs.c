/* SPDX-License-Identifier: MIT */
/* Stubs that MIG made, at work: the server runs in a task of its own, the client is the test's task. After each test the
 * client holds the names it held before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <mach.h>
#include <mach_error.h>
#include <portunus/task.h>

#include "kinds.h"
#include "kinds_server.h"

#define MAX_MESSAGE 8192
#define LARGE	    (300 * 1024)

#define assert_kern(expected, call) assert_string_equal(mach_error_string(call), mach_error_string(expected))
#define assert_ok(call)		    assert_kern(KERN_SUCCESS, call)

struct world {
	task_t task;	     /* the server's */
	mach_port_t in_task; /* its name of the service's receive right */
	mach_port_t service; /* our send right */
	pthread_t thread;
	mach_msg_type_number_t n_names; /* ours, before the test */
};

static mach_msg_type_number_t count_names(void)
{
	mach_port_name_array_t names;
	mach_port_type_array_t types;
	mach_msg_type_number_t n, n_types;

	assert_ok(mach_port_names(mach_task_self(), &names, &n, &types, &n_types));
	vm_deallocate(mach_task_self(), (vm_address_t)names, n * sizeof *names);
	vm_deallocate(mach_task_self(), (vm_address_t)types, n_types * sizeof *types);
	return n;
}

/* ---- the server's side ---------------------------------------------------------------------------------------- */

static int told;

kern_return_t serve_kinds_numbers(mach_port_t server, int small, uint64_t big, uint64_t *sum, int *counter)
{
	(void)server;
	*sum = big + (uint64_t)small;
	++*counter;
	return KERN_SUCCESS;
}

kern_return_t serve_kinds_text(mach_port_t server, const_text_t text, text_t answer)
{
	(void)server;
	strcpy(answer, "<");
	strncat(answer, text, sizeof(text_t) - 3);
	strcat(answer, ">");
	return KERN_SUCCESS;
}

kern_return_t serve_kinds_word(mach_port_t server, const_word_t word, word_t answer)
{
	(void)server;
	memcpy(answer, word, sizeof(word_t));
	answer[0] = '!';
	return KERN_SUCCESS;
}

kern_return_t serve_kinds_arrays(mach_port_t server, const square_t square, record_t *record)
{
	(void)server;
	for (int i = 0; i < 9; i++)
		record->weekday += square[i];
	record->year++;
	return KERN_SUCCESS;
}

kern_return_t serve_kinds_row(mach_port_t server, const row_t row, mach_msg_type_number_t n, row_t twice,
			      mach_msg_type_number_t *n_twice)
{
	(void)server;
	for (mach_msg_type_number_t i = 0; i < n; i++)
		twice[i] = 2 * row[i];
	*n_twice = n;
	return KERN_SUCCESS;
}

/* Out-of-line memory of an argument that may also be inline is freed by the stub; what came as a pointer is ours. */
kern_return_t serve_kinds_blob(mach_port_t server, const_blob_t blob, mach_msg_type_number_t n, blob_t *answer,
			       mach_msg_type_number_t *n_answer)
{
	(void)server;
	if (n > *n_answer && vm_allocate(mach_task_self(), (vm_address_t *)answer, n, TRUE))
		return KERN_RESOURCE_SHORTAGE;
	for (mach_msg_type_number_t i = 0; i < n; i++)
		(*answer)[i] = (char)~blob[i];
	*n_answer = n;
	return KERN_SUCCESS;
}

kern_return_t serve_kinds_pages(mach_port_t server, vm_offset_t pages, mach_msg_type_number_t n, vm_offset_t *answer,
				mach_msg_type_number_t *n_answer)
{
	(void)server;
	*answer = pages;
	*n_answer = n;
	return KERN_SUCCESS;
}

kern_return_t serve_kinds_moved_pages(mach_port_t server, vm_offset_t pages, mach_msg_type_number_t n)
{
	(void)server;
	told = *(unsigned char *)(pages + n - 1);
	return vm_deallocate(mach_task_self(), pages, n);
}

static bool has_type(mach_port_t right, mach_port_type_t expected)
{
	mach_port_type_t type = 0;

	mach_port_type(mach_task_self(), right, &type);
	return (type & MACH_PORT_TYPE_PORT_RIGHTS) == expected;
}

kern_return_t serve_kinds_rights(mach_port_t server, mach_port_t copied, mach_port_t made, mach_port_t once,
				 mach_port_t moved, mach_port_t *answer)
{
	task_t me = mach_task_self();

	/* The send rights join the receive rights: that of the service, and the one that came along. */
	if (copied != server || made != moved || !has_type(copied, MACH_PORT_TYPE_SEND_RECEIVE) ||
	    !has_type(made, MACH_PORT_TYPE_SEND_RECEIVE) || !has_type(once, MACH_PORT_TYPE_SEND_ONCE))
		return KERN_INVALID_RIGHT;
	*answer = server;
	mach_port_deallocate(me, copied);
	mach_port_deallocate(me, made);
	mach_port_deallocate(me, once);
	return mach_port_mod_refs(me, moved, MACH_PORT_RIGHT_RECEIVE, -1);
}

kern_return_t serve_kinds_any_right(mach_port_t server, mach_port_t right, mach_msg_type_name_t disposition, int *kind)
{
	(void)server;
	*kind = (int)disposition;
	if (disposition == MACH_MSG_TYPE_PORT_RECEIVE)
		return mach_port_mod_refs(mach_task_self(), right, MACH_PORT_RIGHT_RECEIVE, -1);
	return mach_port_deallocate(mach_task_self(), right);
}

/* Sends them back: a few in the reply itself, many out of line. */
kern_return_t serve_kinds_right_list(mach_port_t server, const_rights_t rights, mach_msg_type_number_t n,
				     rights_t *answer, mach_msg_type_name_t *disposition,
				     mach_msg_type_number_t *n_answer)
{
	(void)server;
	if (n > *n_answer && vm_allocate(mach_task_self(), (vm_address_t *)answer, n * sizeof *rights, TRUE))
		return KERN_RESOURCE_SHORTAGE;
	memcpy(*answer, rights, n * sizeof *rights);
	*disposition = MACH_MSG_TYPE_MOVE_SEND;
	*n_answer = n;
	return KERN_SUCCESS;
}

kern_return_t serve_kinds_refuse(mach_port_t server, kern_return_t code)
{
	(void)server;
	return code;
}

kern_return_t serve_kinds_tell(mach_port_t server, int value)
{
	(void)server;
	told = value;
	return KERN_SUCCESS;
}

kern_return_t serve_kinds_told(mach_port_t server, int *value)
{
	(void)server;
	*value = told;
	return KERN_SUCCESS;
}

/* The whole task goes, and with it the right to reply. */
kern_return_t serve_kinds_die(mach_port_t server)
{
	(void)server;
	return task_terminate(mach_task_self()) ? KERN_FAILURE : MIG_NO_REPLY;
}

kern_return_t serve_kinds_impatient(mach_port_t server, int value, int *answer)
{
	(void)server;
	*answer = value;
	return KERN_SUCCESS;
}

kern_return_t serve_kinds_push(mach_port_t server, int value)
{
	return serve_kinds_tell(server, value);
}

static void *serve(void *world)
{
	struct world *w = world;

	mach_msg_server(kinds_server, MAX_MESSAGE, w->in_task);
	return NULL;
}

/* ---- the tests ------------------------------------------------------------------------------------------------ */

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof *w);
	mach_msg_type_name_t made;

	assert_non_null(w);
	w->n_names = count_names();
	assert_ok(task_create(mach_task_self(), FALSE, &w->task));
	assert_ok(mach_port_allocate(w->task, MACH_PORT_RIGHT_RECEIVE, &w->in_task));
	assert_ok(mach_port_extract_right(w->task, w->in_task, MACH_MSG_TYPE_MAKE_SEND, &w->service, &made));
	assert_ok(portunus_thread_create(w->task, &w->thread, serve, w));
	told = 0;
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	task_terminate(w->task); /* unless a test did */
	assert_int_equal(pthread_join(w->thread, NULL), 0);
	assert_ok(mach_port_deallocate(mach_task_self(), w->service));
	assert_ok(mach_port_deallocate(mach_task_self(), w->task));
	/* The reply port that the stubs keep for this thread would count as one more. */
	mig_dealloc_reply_port(mig_get_reply_port());
	assert_int_equal(count_names(), w->n_names);
	free(w);
	return 0;
}

static void numbers_go_in_and_out(void **state)
{
	struct world *w = *state;
	uint64_t sum = 0;
	int counter = -1;

	assert_ok(kinds_numbers(w->service, -5, UINT64_C(1) << 40, &sum, &counter));
	assert_int_equal(sum, (UINT64_C(1) << 40) - 5);
	assert_int_equal(counter, 0);
}

static void strings_go_in_and_out(void **state)
{
	struct world *w = *state;
	text_t answer;
	word_t word = "word", word_answer;

	assert_ok(kinds_text(w->service, "text", answer));
	assert_string_equal(answer, "<text>");
	assert_ok(kinds_text(w->service, "", answer));
	assert_string_equal(answer, "<>");
	assert_ok(kinds_word(w->service, word, word_answer));
	assert_string_equal(word_answer, "!ord");
}

static void arrays_and_structures_go_in_and_out(void **state)
{
	struct world *w = *state;
	square_t square = { 1, 2, 3, 4, 5, 6, 7, 8, 9 };
	record_t record = { 2000, 1, 2, 3 };
	row_t row = { 7, 8, 9 }, twice;
	mach_msg_type_number_t n = 64;

	assert_ok(kinds_arrays(w->service, square, &record));
	assert_int_equal(record.year, 2001);
	assert_int_equal(record.weekday, 48);
	assert_ok(kinds_row(w->service, row, 3, twice, &n));
	assert_int_equal(n, 3);
	assert_int_equal(twice[2], 18);
	n = 64;
	assert_ok(kinds_row(w->service, row, 0, twice, &n));
	assert_int_equal(n, 0);
	assert_kern(MIG_ARRAY_TOO_LARGE, kinds_row(w->service, row, 65, twice, &n));
}

static void data_goes_inline_or_out_of_line_by_its_size(void **state)
{
	struct world *w = *state;
	char small[16] = "small", *data = small;
	mach_msg_type_number_t n = sizeof small;
	vm_address_t large;

	/* It fits in the caller's buffer, and stays there. */
	assert_ok(kinds_blob(w->service, "\1\2", 2, &data, &n));
	assert_ptr_equal(data, small);
	assert_int_equal(n, 2);
	assert_int_equal((unsigned char)small[1], 0xfd);

	assert_ok(vm_allocate(mach_task_self(), &large, LARGE, TRUE));
	memset((char *)large, 0x0f, LARGE);
	n = sizeof small;
	assert_ok(kinds_blob(w->service, (char *)large, LARGE, &data, &n));
	assert_ptr_not_equal(data, small);
	assert_int_equal(n, LARGE);
	assert_int_equal((unsigned char)data[LARGE - 1], 0xf0);
	assert_ok(vm_deallocate(mach_task_self(), large, LARGE));
	assert_ok(vm_deallocate(mach_task_self(), (vm_address_t)data, n));
}

static void pages_are_copied_or_moved(void **state)
{
	struct world *w = *state;
	vm_address_t pages, answer;
	mach_msg_type_number_t n;

	assert_ok(vm_allocate(mach_task_self(), &pages, LARGE, TRUE));
	((char *)pages)[LARGE - 1] = 17;
	assert_ok(kinds_pages(w->service, pages, LARGE, &answer, &n));
	assert_int_equal(n, LARGE);
	assert_int_not_equal(answer, pages);
	assert_memory_equal((char *)answer, (char *)pages, LARGE);
	assert_ok(vm_deallocate(mach_task_self(), answer, n));
	assert_ok(kinds_moved_pages(w->service, pages, LARGE)); /* and they are ours no more */
	assert_int_equal(told, 17);
}

static void rights_go_in_and_out(void **state)
{
	struct world *w = *state;
	mach_port_t moved = mach_reply_port(), answer;

	assert_ok(kinds_rights(w->service, w->service, moved, moved, moved, &answer));
	assert_int_equal(answer, w->service); /* one name for all rights to one port */
	assert_ok(mach_port_deallocate(mach_task_self(), answer));
}

static void polymorphic_rights_say_what_they_are(void **state)
{
	struct world *w = *state;
	mach_port_t port = mach_reply_port();
	int kind;

	assert_ok(kinds_any_right(w->service, port, MACH_MSG_TYPE_MAKE_SEND, &kind));
	assert_int_equal(kind, MACH_MSG_TYPE_PORT_SEND);
	assert_ok(kinds_any_right(w->service, port, MACH_MSG_TYPE_MAKE_SEND_ONCE, &kind));
	assert_int_equal(kind, MACH_MSG_TYPE_PORT_SEND_ONCE);
	/* The once-right died unused. */
	assert_ok(kinds_any_right(w->service, port, MACH_MSG_TYPE_MOVE_RECEIVE, &kind));
	assert_int_equal(kind, MACH_MSG_TYPE_PORT_RECEIVE);
}

static void right_lists_go_in_and_out(void **state)
{
	struct world *w = *state;
	mach_port_t port = mach_reply_port(), rights[1000], few[4], *answer = few;
	mach_msg_type_number_t counts[] = { 2, 1000 };

	for (size_t i = 0; i < 1000; i++)
		rights[i] = port;
	for (size_t i = 0; i < 2; i++) {
		mach_msg_type_number_t n = 4;

		answer = few;
		assert_ok(kinds_right_list(w->service, rights, MACH_MSG_TYPE_MAKE_SEND, counts[i], &answer, &n));
		assert_int_equal(n, counts[i]);
		assert_int_equal(answer[n - 1], port);
		for (mach_msg_type_number_t k = 0; k < n; k++)
			assert_ok(mach_port_deallocate(mach_task_self(), answer[k]));
		if (answer != few)
			assert_ok(vm_deallocate(mach_task_self(), (vm_address_t)answer, n * sizeof *answer));
	}
	assert_ok(mach_port_mod_refs(mach_task_self(), port, MACH_PORT_RIGHT_RECEIVE, -1));
}

static void the_servers_result_is_the_callers(void **state)
{
	struct world *w = *state;

	assert_kern(KERN_NO_ACCESS, kinds_refuse(w->service, KERN_NO_ACCESS));
	assert_ok(kinds_refuse(w->service, KERN_SUCCESS));
}

static void a_simple_routine_does_not_wait(void **state)
{
	struct world *w = *state;
	int value;

	assert_ok(kinds_tell(w->service, 11));
	assert_ok(kinds_told(w->service, &value)); /* comes after it: one sender, one port */
	assert_int_equal(value, 11);
}

/* Asks for the routine that "skip" left out, and for one after the last. */
static void an_unknown_request_is_answered_with_bad_id(void **state)
{
	struct world *w = *state;
	mach_msg_id_t unknown[] = { 6011, 6099 };

	for (size_t i = 0; i < 2; i++) {
		union {
			mach_msg_header_t head;
			mig_reply_header_t reply;
			char room[256];
		} m = { .head = { .msgh_bits =
					  MACH_MSGH_BITS(MACH_MSG_TYPE_COPY_SEND, MACH_MSG_TYPE_MAKE_SEND_ONCE) } };

		m.head.msgh_remote_port = w->service;
		m.head.msgh_local_port = mig_get_reply_port();
		m.head.msgh_id = unknown[i];
		assert_ok(mach_msg(&m.head, MACH_SEND_MSG | MACH_RCV_MSG, sizeof m.head, sizeof m,
				   m.head.msgh_local_port, MACH_MSG_TIMEOUT_NONE, MACH_PORT_NULL));
		assert_int_equal(m.head.msgh_id, unknown[i] + 100);
		assert_kern(MIG_BAD_ID, m.reply.RetCode);
	}
}

static void a_dead_server_is_told_from_a_dead_port(void **state)
{
	struct world *w = *state;
	int value;

	assert_kern(MIG_SERVER_DIED, kinds_die(w->service));
	assert_kern(MACH_SEND_INVALID_DEST, kinds_told(w->service, &value));
}

static void waittime_limits_the_wait_for_the_reply(void **state)
{
	mach_port_t deaf = mach_reply_port();
	int answer;

	(void)state;
	assert_ok(mach_port_insert_right(mach_task_self(), deaf, deaf, MACH_MSG_TYPE_MAKE_SEND));
	assert_kern(MACH_RCV_TIMED_OUT, kinds_impatient(deaf, 20, 1, &answer));
	assert_ok(mach_port_destroy(mach_task_self(), deaf));
}

static void a_send_that_may_not_wait_times_out(void **state)
{
	mach_port_t deaf = mach_reply_port();

	(void)state;
	assert_ok(mach_port_insert_right(mach_task_self(), deaf, deaf, MACH_MSG_TYPE_MAKE_SEND));
	assert_ok(mach_port_set_qlimit(mach_task_self(), deaf, 1));
	assert_ok(kinds_push(deaf, 1));
	assert_kern(MACH_SEND_TIMED_OUT, kinds_push(deaf, 2));
	assert_ok(mach_port_destroy(mach_task_self(), deaf));
}

#define KINDS_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		KINDS_TEST(numbers_go_in_and_out),
		KINDS_TEST(strings_go_in_and_out),
		KINDS_TEST(arrays_and_structures_go_in_and_out),
		KINDS_TEST(data_goes_inline_or_out_of_line_by_its_size),
		KINDS_TEST(pages_are_copied_or_moved),
		KINDS_TEST(rights_go_in_and_out),
		KINDS_TEST(polymorphic_rights_say_what_they_are),
		KINDS_TEST(right_lists_go_in_and_out),
		KINDS_TEST(the_servers_result_is_the_callers),
		KINDS_TEST(a_simple_routine_does_not_wait),
		KINDS_TEST(an_unknown_request_is_answered_with_bad_id),
		KINDS_TEST(a_dead_server_is_told_from_a_dead_port),
		KINDS_TEST(waittime_limits_the_wait_for_the_reply),
		KINDS_TEST(a_send_that_may_not_wait_times_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
