/* SPDX-License-Identifier: MIT */
/* The bootstrap service: every rule of <servers/bootstrap.h>. */
#include "served.h"

#include <stdlib.h>
#include <unistd.h>

static void end_port(mach_port_t p)
{
	expect_ok(mach_port_destroy(here(), p));
}

static kern_return_t find(const char *name)
{
	mach_port_t found = MACH_PORT_NULL;
	kern_return_t kr = bootstrap_look_up(service, name, &found);

	if (kr == KERN_SUCCESS)
		expect_ok(mach_port_deallocate(here(), found));
	return kr;
}

static bootstrap_status_t status_of_service(const char *name)
{
	bootstrap_status_t status = -1;

	expect_ok(bootstrap_status(service, name, &status));
	return status;
}

static mach_port_t declared(const char *name)
{
	mach_port_t p = MACH_PORT_NULL;

	expect_ok(bootstrap_create_service(service, name, &p));
	return p;
}

/* ---- checking in */

static void who_checks_in_receives(void **state)
{
	struct world *w = *state;
	mach_port_t p = MACH_PORT_NULL, in_b = service_in(w->b), found = MACH_PORT_NULL;

	expect_ok(bootstrap_check_in(service, "new", &p));
	expect_eq(type_of(here(), p), MACH_PORT_TYPE_RECEIVE);
	expect_eq(status_of_service("new"), BOOTSTRAP_STATUS_ACTIVE);
	in_task_begin(w->b);
	expect_ok(bootstrap_look_up(in_b, "new", &found));
	in_task_end();
	expect_ok(send_id(w->b, found, 7));
	expect_message(here(), p, 7);
	end_port(p);
}

static void one_service_is_served_by_one(void **state)
{
	mach_port_t p, q = port_with_send_in(here()), other;

	(void)state;
	expect_ok(bootstrap_check_in(service, "one", &p));
	expect_result(bootstrap_check_in(service, "one", &other), BOOTSTRAP_SERVICE_ACTIVE);
	expect_result(bootstrap_register(service, "one", q), BOOTSTRAP_SERVICE_ACTIVE);
	expect_result(bootstrap_create_service(service, "one", &other), BOOTSTRAP_SERVICE_ACTIVE);
	expect_result(bootstrap_register(service, "one", MACH_PORT_NULL), BOOTSTRAP_SERVICE_ACTIVE);
	expect_eq(send_rights(here(), q), 1);
	end_port(p), end_port(q);
}

static void a_service_is_unknown_again_when_its_port_dies(void **state)
{
	struct world *w = *state;
	unsigned before = names_in(w->a);
	mach_port_t p;

	expect_ok(bootstrap_check_in(service, "new", &p));
	end_port(p);
	expect_result(find("new"), BOOTSTRAP_UNKNOWN_SERVICE);
	expect_ok(bootstrap_check_in(service, "new", &p));
	end_port(p);
	await(names_in(w->a) == before);
}

static void a_service_is_unknown_again_when_its_task_ends(void **state)
{
	struct world *w = *state;
	mach_port_t in_b = service_in(w->b), p;

	in_task_begin(w->b);
	expect_ok(bootstrap_check_in(in_b, "held", &p));
	in_task_end();
	expect_ok(find("held"));
	expect_ok(task_terminate(w->b));
	expect_result(find("held"), BOOTSTRAP_UNKNOWN_SERVICE);
}

static void names_are_exact(void **state)
{
	mach_port_t p, q;

	(void)state;
	expect_ok(bootstrap_check_in(service, "name", &p));
	expect_ok(bootstrap_check_in(service, "Name", &q));
	assert_int_not_equal(p, q);
	expect_result(find("NAME"), BOOTSTRAP_UNKNOWN_SERVICE);
	expect_result(bootstrap_status(service, "NAME", &(bootstrap_status_t){ 0 }), BOOTSTRAP_UNKNOWN_SERVICE);
	end_port(p), end_port(q);
}

/* ---- registering */

static void a_registered_port_is_found(void **state)
{
	mach_port_t p = port_with_send_in(here()), found = MACH_PORT_NULL, other;

	(void)state;
	expect_ok(bootstrap_register(service, "mine", p));
	expect_ok(bootstrap_look_up(service, "mine", &found));
	expect_eq(found, p);
	expect_result(bootstrap_register(service, "mine", p), BOOTSTRAP_SERVICE_ACTIVE);
	expect_result(bootstrap_check_in(service, "mine", &other), BOOTSTRAP_SERVICE_ACTIVE);
	end_port(p);
	expect_result(find("mine"), BOOTSTRAP_UNKNOWN_SERVICE);
}

static void a_port_that_is_none_is_not_registered(void **state)
{
	mach_port_t dead = dead_name_in(here()), bare = port_in(here());

	(void)state;
	expect_result(bootstrap_register(service, "x", MACH_PORT_NULL), BOOTSTRAP_UNKNOWN_SERVICE);
	expect_result(bootstrap_register(service, "x", dead), KERN_INVALID_CAPABILITY);
	expect_result(bootstrap_register(service, "x", bare), MACH_SEND_INVALID_RIGHT);
	expect_result(find("x"), BOOTSTRAP_UNKNOWN_SERVICE);
	expect_ok(mach_port_deallocate(here(), dead));
	end_port(bare);
}

/* ---- declaring */

static void messages_to_a_declared_service_wait_for_who_checks_in(void **state)
{
	mach_port_t send = declared("later"), receive = MACH_PORT_NULL, found = MACH_PORT_NULL;

	(void)state;
	expect_eq(type_of(here(), send), MACH_PORT_TYPE_SEND);
	expect_eq(status_of_service("later"), BOOTSTRAP_STATUS_INACTIVE);
	expect_result(bootstrap_create_service(service, "later", &found), BOOTSTRAP_SERVICE_ACTIVE);
	expect_ok(bootstrap_look_up(service, "later", &found));
	expect_eq(found, send);
	expect_ok(send_id(here(), send, 5));
	expect_ok(bootstrap_check_in(service, "later", &receive));
	expect_eq(receive, send);
	expect_eq(status_of_service("later"), BOOTSTRAP_STATUS_ACTIVE);
	expect_message(here(), receive, 5);
	end_port(receive);
}

static void a_declared_service_is_declared_again_when_its_holder_ends(void **state)
{
	struct world *w = *state;
	mach_port_t send = declared("always"), in_b = service_in(w->b), receive;

	in_task_begin(w->b);
	expect_ok(bootstrap_check_in(in_b, "always", &receive));
	in_task_end();
	expect_ok(send_id(here(), send, 6)); /* not received by b */
	expect_ok(task_terminate(w->b));
	await(status_of_service("always") == BOOTSTRAP_STATUS_INACTIVE);
	expect_eq(type_of(here(), send), MACH_PORT_TYPE_SEND); /* the same port */
	expect_ok(bootstrap_check_in(service, "always", &receive));
	expect_eq(receive, send);
	expect_message(here(), receive, 6);
	end_port(receive);
	await(status_of_service("always") == BOOTSTRAP_STATUS_INACTIVE);
}

/* Who holds the receive right may take the broker's request off. Then the port dies with him, and a new one is made. */
static void a_declared_service_whose_port_is_lost_gets_another(void **state)
{
	mach_port_t send = declared("always"), receive, previous = MACH_PORT_NULL, found;

	(void)state;
	expect_ok(bootstrap_check_in(service, "always", &receive));
	expect_ok(mach_port_request_notification(here(), receive, MACH_NOTIFY_PORT_DESTROYED, 0, MACH_PORT_NULL,
						 MACH_MSG_TYPE_MAKE_SEND_ONCE, &previous));
	expect_ok(mach_port_deallocate(here(), previous));
	expect_ok(end_receive(here(), receive));
	expect_eq(type_of(here(), send), MACH_PORT_TYPE_DEAD_NAME);
	expect_eq(status_of_service("always"), BOOTSTRAP_STATUS_INACTIVE);
	expect_ok(bootstrap_look_up(service, "always", &found));
	expect_eq(type_of(here(), found), MACH_PORT_TYPE_SEND);
	expect_ok(mach_port_deallocate(here(), found));
	expect_ok(mach_port_deallocate(here(), send));
}

static void a_port_can_be_registered_for_a_declared_service(void **state)
{
	mach_port_t send = declared("taken"), p = port_with_send_in(here()), found = MACH_PORT_NULL;

	(void)state;
	expect_ok(bootstrap_register(service, "taken", p));
	expect_eq(type_of(here(), send), MACH_PORT_TYPE_DEAD_NAME); /* what was kept for it is no more */
	expect_ok(bootstrap_look_up(service, "taken", &found));
	expect_eq(found, p);
	expect_eq(status_of_service("taken"), BOOTSTRAP_STATUS_ACTIVE);
	end_port(p);
	expect_eq(status_of_service("taken"), BOOTSTRAP_STATUS_INACTIVE);
	expect_ok(mach_port_deallocate(here(), send));
}

static void a_declared_service_can_be_taken_out(void **state)
{
	struct world *w = *state;
	unsigned before = names_in(w->a);
	mach_port_t send = declared("not needed");

	expect_ok(bootstrap_register(service, "not needed", MACH_PORT_NULL));
	expect_result(find("not needed"), BOOTSTRAP_UNKNOWN_SERVICE);
	expect_eq(type_of(here(), send), MACH_PORT_TYPE_DEAD_NAME);
	await(names_in(w->a) == before);
	expect_ok(mach_port_deallocate(here(), send));
}

/* The port of one service, registered for another: what comes back is the one's, not the other's. */
static void services_that_share_a_port_do_not_disturb_each_other(void **state)
{
	mach_port_t send = declared("first"), second = declared("second"), receive, found = MACH_PORT_NULL;

	(void)state;
	expect_ok(bootstrap_register(service, "second", send));
	expect_ok(mach_port_deallocate(here(), second));
	expect_ok(bootstrap_check_in(service, "first", &receive));
	expect_ok(end_receive(here(), receive));
	await(status_of_service("first") == BOOTSTRAP_STATUS_INACTIVE);
	expect_eq(status_of_service("second"), BOOTSTRAP_STATUS_ACTIVE);
	expect_ok(mach_port_deallocate(here(), send)); /* dead for us: we gave the port up */
	expect_ok(bootstrap_check_in(service, "first", &receive));
	expect_ok(bootstrap_look_up(service, "second", &found));
	expect_eq(found, receive);
	end_port(receive);
}

/* ---- what is refused, and who is gone */

static void names_that_are_none_are_refused(void **state)
{
	char name[BOOTSTRAP_MAX_NAME_LEN + 1];
	bootstrap_status_t status;
	mach_port_t p;

	(void)state;
	memset(name, 'n', sizeof name);
	name[BOOTSTRAP_MAX_NAME_LEN] = 0;
	expect_result(bootstrap_check_in(service, name, &p), KERN_INVALID_ARGUMENT);
	expect_result(bootstrap_register(service, name, service), KERN_INVALID_ARGUMENT);
	expect_result(bootstrap_look_up(service, name, &p), KERN_INVALID_ARGUMENT);
	expect_result(bootstrap_status(service, name, &status), KERN_INVALID_ARGUMENT);
	expect_result(bootstrap_create_service(service, name, &p), KERN_INVALID_ARGUMENT);
	expect_result(bootstrap_check_in(service, NULL, &p), KERN_INVALID_ARGUMENT);
	expect_result(bootstrap_check_in(service, "x", NULL), KERN_INVALID_ARGUMENT);
	expect_result(bootstrap_look_up(service, "x", NULL), KERN_INVALID_ARGUMENT);
	expect_result(bootstrap_status(service, "x", NULL), KERN_INVALID_ARGUMENT);
	expect_result(bootstrap_create_service(service, "x", NULL), KERN_INVALID_ARGUMENT);
	name[BOOTSTRAP_MAX_NAME_LEN - 1] = 0;
	expect_ok(bootstrap_check_in(service, name, &p));
	end_port(p);
}

static void there_is_room_for_so_many_services(void **state)
{
	mach_port_t p = port_with_send_in(here()), other;
	char name[] = "service 0";

	(void)state;
	for (int i = 0; i < N_NAMES_MAX; i++, name[8]++)
		expect_ok(bootstrap_register(service, name, p));
	expect_result(bootstrap_register(service, name, p), BOOTSTRAP_NO_MEMORY);
	expect_result(bootstrap_check_in(service, name, &other), BOOTSTRAP_NO_MEMORY);
	expect_result(bootstrap_create_service(service, name, &other), BOOTSTRAP_NO_MEMORY);
	end_port(p);
	expect_ok(bootstrap_check_in(service, "service 0", &other));
	end_port(other);
}

/* The receive right went into a reply that nobody got. */
static void who_is_gone_before_the_answer_has_not_checked_in(void **state)
{
	mach_port_t reply = port_in(here());
	name_t name = "lost";
	struct letter l;

	(void)state;
	letter_to(&l, service, MACH_MSG_TYPE_COPY_SEND, 402);
	letter_reply_to(&l, reply, MACH_MSG_TYPE_MAKE_SEND_ONCE);
	letter_add_type(&l, MACH_MSG_TYPE_STRING_C, 8, sizeof name, true, false);
	letter_add_raw(&l, name, sizeof name);
	expect_ok(post(here(), &l));
	end_port(reply);
	await(find("lost") == BOOTSTRAP_UNKNOWN_SERVICE);
}

/* ---- bootstrap_port */

static void bootstrap_port_is_the_tasks_own(void **state)
{
	unsigned before;
	mach_port_t p;

	(void)state;
	expect_ok(task_set_bootstrap_port(here(), service));
	before = refs_of(here(), service, MACH_PORT_RIGHT_SEND);
	for (int i = 0; i < 3; i++)
		expect_eq(bootstrap_port, service);
	expect_eq(refs_of(here(), service, MACH_PORT_RIGHT_SEND), before);
	expect_ok(bootstrap_check_in(bootstrap_port, "default", &p));
	expect_ok(bootstrap_look_up(MACH_PORT_NULL, "default", &p));
	end_port(p);
	expect_ok(task_set_bootstrap_port(here(), MACH_PORT_NULL));
}

/* A task that has no right of its own to it is left with one, however often it asks. */
static void bootstrap_port_stays_with_one_reference(void **state)
{
	struct world *w = *state;
	mach_port_t name;

	expect_ok(task_set_bootstrap_port(w->b, service));
	in_task_begin(w->b);
	name = bootstrap_port;
	expect_eq(bootstrap_port, name);
	in_task_end();
	expect_eq(refs_of(w->b, name, MACH_PORT_RIGHT_SEND), 1);
}

static void without_a_broker_there_is_no_bootstrap_port(void **state)
{
	mach_port_t p;

	(void)state;
	setenv("PORTUNUS_BROKER", "/nonexistent/broker", 1);
	setenv("PORTUNUS_AUTOSTART", "0", 1);
	expect_eq(bootstrap_port, MACH_PORT_NULL);
	expect_result(bootstrap_look_up(MACH_PORT_NULL, "x", &p), MACH_SEND_INVALID_DEST);
	unsetenv("PORTUNUS_BROKER");
	unsetenv("PORTUNUS_AUTOSTART");
}

static void its_codes_have_words(void **state)
{
	(void)state;
	assert_non_null(strstr(bootstrap_strerror(BOOTSTRAP_UNKNOWN_SERVICE), "(BOOTSTRAP_UNKNOWN_SERVICE)"));
	assert_string_equal(mach_error_type(BOOTSTRAP_SERVICE_ACTIVE), "(bootstrap)");
	assert_non_null(strstr(mach_error_string(NETNAME_NOT_YOURS), "(NETNAME_NOT_YOURS)"));
	assert_string_equal(mach_error_type(NETNAME_NOT_CHECKED_IN), "(netname)");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		served_test(who_checks_in_receives),
		served_test(one_service_is_served_by_one),
		served_test(a_service_is_unknown_again_when_its_port_dies),
		served_test(a_service_is_unknown_again_when_its_task_ends),
		served_test(names_are_exact),
		served_test(a_registered_port_is_found),
		served_test(a_port_that_is_none_is_not_registered),
		served_test(messages_to_a_declared_service_wait_for_who_checks_in),
		served_test(a_declared_service_is_declared_again_when_its_holder_ends),
		served_test(a_declared_service_whose_port_is_lost_gets_another),
		served_test(a_port_can_be_registered_for_a_declared_service),
		served_test(a_declared_service_can_be_taken_out),
		served_test(services_that_share_a_port_do_not_disturb_each_other),
		served_test(names_that_are_none_are_refused),
		served_test(there_is_room_for_so_many_services),
		served_test(who_is_gone_before_the_answer_has_not_checked_in),
		served_test(bootstrap_port_is_the_tasks_own),
		served_test(bootstrap_port_stays_with_one_reference),
		served_test(without_a_broker_there_is_no_bootstrap_port),
		cmocka_unit_test(its_codes_have_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
