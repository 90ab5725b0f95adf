/* SPDX-License-Identifier: MIT */
/* A server stays well whatever its clients do: here they send what no stub would, and die at the wrong moment. */
#include <mach.h>
#include <portunus/task.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "portfs.h"
#include "server.h"

#define LOOKUP 42000
#define N_LOST 200

/* A server in a task of this process. */
struct world {
	task_t task;
	pthread_t thread;
	sem_t is_ready;
	mach_port_t theirs, root; /* a right to the root: as its task names it, and ours */
};

static void *serve(void *argument)
{
	struct world *w = argument;
	struct server *server;
	kern_return_t kr = server_new("/", &server, &w->theirs);

	sem_post(&w->is_ready);
	if (kr)
		return NULL;
	server_loop(server);
	server_free(server);
	return NULL;
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof *w);
	mach_msg_type_name_t kind;

	assert_non_null(w);
	sem_init(&w->is_ready, 0, 0);
	assert_int_equal(task_create(mach_task_self(), FALSE, &w->task), KERN_SUCCESS);
	assert_int_equal(portunus_thread_create(w->task, &w->thread, serve, w), KERN_SUCCESS);
	sem_wait(&w->is_ready);
	assert_int_equal(mach_port_extract_right(w->task, w->theirs, MACH_MSG_TYPE_MOVE_SEND, &w->root, &kind),
			 KERN_SUCCESS);
	*state = w;
	return 0;
}

/* The server ends by itself once the last right to it is gone; if it does not, the test's time is up. */
static int teardown(void **state)
{
	struct world *w = *state;

	mach_port_deallocate(mach_task_self(), w->root);
	pthread_join(w->thread, NULL);
	task_terminate(w->task);
	mach_port_deallocate(mach_task_self(), w->task);
	sem_destroy(&w->is_ready);
	free(w);
	return 0;
}

/* A message with one item of characters, as a path is sent. */
struct text {
	mach_msg_header_t h;
	mach_msg_type_t type;
	char text[8];
};

static mach_msg_return_t send_text(mach_port_t to, mach_port_t reply, mach_msg_id_t id, const char *text)
{
	struct text m = {
		.h = {
			.msgh_bits = MACH_MSGH_BITS(MACH_MSG_TYPE_COPY_SEND, reply ? MACH_MSG_TYPE_MAKE_SEND_ONCE : 0),
			.msgh_size = offsetof(struct text, text) + sizeof m.text,
			.msgh_remote_port = to,
			.msgh_local_port = reply,
			.msgh_id = id,
		},
		.type = {
			.msgt_name = MACH_MSG_TYPE_STRING_C, .msgt_size = 8, .msgt_number = 8, .msgt_inline = TRUE,
		},
	};

	memcpy(m.text, text, strnlen(text, sizeof m.text));
	return mach_msg(&m.h, MACH_SEND_MSG, m.h.msgh_size, 0, MACH_PORT_NULL, 0, MACH_PORT_NULL);
}

/* What it opened for clients that are gone by the time of the reply, it closes. */
static void a_file_that_nobody_gets_is_closed(void **state)
{
	struct world *w = *state;
	portfs_status_t status = { 0 };
	mach_port_t reply;

	for (int i = 0; i < N_LOST; i++) {
		assert_int_equal(mach_port_allocate(mach_task_self(), MACH_PORT_RIGHT_RECEIVE, &reply), KERN_SUCCESS);
		assert_int_equal(send_text(w->root, reply, LOOKUP, "."), MACH_MSG_SUCCESS);
		mach_port_destroy(mach_task_self(), reply);
	}
	do {
		usleep(1000);
		assert_int_equal(portfs_status(w->root, &status), KERN_SUCCESS);
	} while (status.open || portfs_u64(status.closed) < portfs_u64(status.opened));
}

/* A path without an end, and messages with the ids of notifications and of inotify's events. */
static void forged_messages_harm_nobody(void **state)
{
	struct world *w = *state;
	mach_port_t file, reply;
	portfs_stat_t st;
	uint32_t kind;

	assert_int_equal(portfs_lookup(w->root, "", &file, &kind), KERN_SUCCESS);
	for (mach_msg_id_t id = MACH_NOTIFY_FIRST; id <= MACH_NOTIFY_LAST; id++)
		assert_int_equal(send_text(file, MACH_PORT_NULL, id, "forged"), MACH_MSG_SUCCESS);
	assert_int_equal(send_text(file, MACH_PORT_NULL, 42400, "forged"), MACH_MSG_SUCCESS);
	assert_int_equal(mach_port_allocate(mach_task_self(), MACH_PORT_RIGHT_RECEIVE, &reply), KERN_SUCCESS);
	assert_int_equal(send_text(file, reply, LOOKUP, "xxxxxxxx"), MACH_MSG_SUCCESS);
	mach_port_destroy(mach_task_self(), reply);

	assert_int_equal(portfs_stat(file, &st), KERN_SUCCESS);
	assert_int_equal(st.kind, PORTFS_DIRECTORY);
	mach_port_deallocate(mach_task_self(), file);
}

/* As the kernel writes it, but while we still hold a right: the server asks before it believes. */
static void no_senders_is_believed_only_if_true(void **state)
{
	struct world *w = *state;
	mach_no_senders_notification_t forged = {
		.not_header = {
			.msgh_bits = MACH_MSGH_BITS(MACH_MSG_TYPE_COPY_SEND, 0),
			.msgh_size = sizeof forged,
			.msgh_id = MACH_NOTIFY_NO_SENDERS,
		},
		.not_type = {
			.msgt_name = MACH_MSG_TYPE_INTEGER_32, .msgt_size = 32, .msgt_number = 1, .msgt_inline = TRUE,
		},
		.not_count = 1,
	};
	portfs_status_t status;
	mach_port_t file;
	uint32_t kind;

	assert_int_equal(portfs_lookup(w->root, "", &file, &kind), KERN_SUCCESS);
	forged.not_header.msgh_remote_port = file;
	assert_int_equal(mach_msg(&forged.not_header, MACH_SEND_MSG, sizeof forged, 0, MACH_PORT_NULL, 0,
				  MACH_PORT_NULL),
			 MACH_MSG_SUCCESS);
	assert_int_equal(portfs_status(file, &status), KERN_SUCCESS);
	assert_int_equal(status.open, 1);

	/* And the true one still comes. */
	mach_port_deallocate(mach_task_self(), file);
	do {
		usleep(1000);
		assert_int_equal(portfs_status(w->root, &status), KERN_SUCCESS);
	} while (status.open);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_file_that_nobody_gets_is_closed, setup, teardown),
		cmocka_unit_test_setup_teardown(forged_messages_harm_nobody, setup, teardown),
		cmocka_unit_test_setup_teardown(no_senders_is_believed_only_if_true, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
