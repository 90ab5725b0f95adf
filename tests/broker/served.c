/* SPDX-License-Identifier: MIT */
#include "served.h"

#include <unistd.h>

#include "server.h"

mach_port_t service;

static pthread_t thread;

static void *serve(void *unused)
{
	expect_ok(server_run());
	server_deinit();
	return unused;
}

mach_port_t service_in(task_t task)
{
	mach_port_t name = 0x5e4;

	expect_ok(mach_port_insert_right(task, name, service, MACH_MSG_TYPE_COPY_SEND));
	return name;
}

int served_setup(void **state)
{
	struct server_options options = { .max_names = N_NAMES_MAX };
	mach_msg_type_name_t type;
	struct world *w;

	if (world_setup(state))
		return -1;
	w = *state;
	in_task_begin(w->a);
	expect_ok(server_init(&options));
	in_task_end();
	expect_ok(mach_port_extract_right(w->a, server_service(), MACH_MSG_TYPE_MAKE_SEND, &service, &type));
	expect_ok(portunus_thread_create(w->a, &thread, serve, NULL));
	return 0;
}

int served_teardown(void **state)
{
	struct world *w = *state;

	in_task_end();
	in_task_begin(w->a);
	server_stop();
	in_task_end();
	pthread_join(thread, NULL);
	expect_eq(names_in(w->a), 0);
	mig_dealloc_reply_port(mig_get_reply_port());
	expect_ok(mach_port_deallocate(here(), service));
	return world_teardown(state);
}
