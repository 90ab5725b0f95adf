/* SPDX-License-Identifier: MIT */
/* The name service: every rule of <servers/netname.h>. */
#include "served.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SEND_REFS(name) refs_of(here(), name, MACH_PORT_RIGHT_SEND)

/* A port of the test's own task, checked in. */
static mach_port_t checked_in(const char *name, mach_port_t signature)
{
	mach_port_t p = port_with_send_in(here());

	expect_ok(netname_check_in(service, name, signature, p));
	return p;
}

static void end_port(mach_port_t p)
{
	expect_ok(mach_port_destroy(here(), p));
}

static kern_return_t find(const char *name)
{
	mach_port_t found = MACH_PORT_NULL;
	kern_return_t kr = netname_look_up(service, "", name, &found);

	if (kr == KERN_SUCCESS)
		expect_ok(mach_port_deallocate(here(), found));
	return kr;
}

/* ---- looking up */

static void a_name_stands_for_the_port_that_was_checked_in(void **state)
{
	struct world *w = *state;
	mach_port_t p = checked_in("here", MACH_PORT_NULL), found = MACH_PORT_NULL;
	mach_port_t in_b = service_in(w->b);

	expect_ok(netname_look_up(service, "", "here", &found));
	expect_eq(found, p);
	expect_eq(SEND_REFS(p), 2);
	in_task_begin(w->b);
	expect_ok(netname_look_up(in_b, "", "here", &found));
	in_task_end();
	expect_ok(send_id(w->b, found, 77));
	expect_message(here(), p, 77);
	end_port(p);
}

static void case_does_not_matter(void **state)
{
	mach_port_t p = checked_in("Some Name", MACH_PORT_NULL);

	(void)state;
	expect_ok(find("sOME nAME"));
	expect_result(netname_check_in(service, "SOME NAME", here(), p), NETNAME_NOT_YOURS);
	end_port(p);
}

static void an_unknown_name_is_not_checked_in(void **state)
{
	(void)state;
	expect_result(find("nobody"), NETNAME_NOT_CHECKED_IN);
	expect_result(netname_check_out(service, "nobody", MACH_PORT_NULL), NETNAME_NOT_CHECKED_IN);
}

static void this_host_has_several_names_and_another_is_not_known(void **state)
{
	mach_port_t p = checked_in("service", MACH_PORT_NULL), found;
	char name[HOST_NAME_MAX + 1] = "";
	const char *const hosts[] = { "", "*", "localhost", "LOCALHOST", name };

	(void)state;
	gethostname(name, sizeof name - 1);
	for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++)
		if (strlen(hosts[i]) < NETNAME_NAME_MAX)
			expect_ok(netname_look_up(service, hosts[i], "service", &found));
	name[strcspn(name, ".")] = 0;
	if (strlen(name) < NETNAME_NAME_MAX)
		expect_ok(netname_look_up(service, name, "service", &found));
	expect_result(netname_look_up(service, "elsewhere.invalid", "service", &found), NETNAME_NO_SUCH_HOST);
	expect_result(netname_look_up(service, "**", "service", &found), NETNAME_NO_SUCH_HOST);
	end_port(p);
}

static void it_says_what_it_is(void **state)
{
	netname_name_t version;

	(void)state;
	expect_ok(netname_version(service, version));
	assert_memory_equal(version, "Portunus ", 9);
}

/* ---- signatures */

static void only_who_signed_may_change_a_name(void **state)
{
	mach_port_t mine = port_with_send_in(here()), other = port_with_send_in(here()), found;
	mach_port_t p = checked_in("signed", mine), q = port_with_send_in(here());

	(void)state;
	expect_result(netname_check_in(service, "signed", other, q), NETNAME_NOT_YOURS);
	expect_result(netname_check_in(service, "signed", MACH_PORT_NULL, q), NETNAME_NOT_YOURS);
	expect_result(netname_check_out(service, "signed", other), NETNAME_NOT_YOURS);
	expect_result(netname_check_out(service, "signed", MACH_PORT_NULL), NETNAME_NOT_YOURS);
	expect_ok(netname_look_up(service, "", "signed", &found));
	expect_eq(found, p);

	expect_ok(netname_check_in(service, "signed", mine, q));
	expect_ok(netname_look_up(service, "", "signed", &found));
	expect_eq(found, q);
	expect_eq(send_rights(here(), p), 1); /* ours alone */
	expect_ok(netname_check_out(service, "signed", mine));
	expect_result(find("signed"), NETNAME_NOT_CHECKED_IN);
	end_port(p), end_port(q), end_port(mine), end_port(other);
}

static void a_name_without_signature_is_anybodys(void **state)
{
	struct world *w = *state;
	mach_port_t p = checked_in("open", MACH_PORT_NULL), in_b = service_in(w->b);

	in_task_begin(w->b);
	expect_ok(netname_check_out(in_b, "open", MACH_PORT_NULL));
	in_task_end();
	expect_result(find("open"), NETNAME_NOT_CHECKED_IN);
	end_port(p);
}

static void a_port_may_sign_for_itself_and_have_many_names(void **state)
{
	mach_port_t p = port_with_send_in(here());

	(void)state;
	expect_ok(netname_check_in(service, "one", p, p));
	expect_ok(netname_check_in(service, "two", p, p));
	expect_ok(netname_check_in(service, "two", p, p));
	expect_ok(netname_check_out(service, "one", p));
	expect_ok(find("two"));
	expect_result(find("one"), NETNAME_NOT_CHECKED_IN);
	end_port(p);
	expect_result(find("two"), NETNAME_NOT_CHECKED_IN);
}

/* ---- deaths */

static void a_name_goes_with_its_port(void **state)
{
	struct world *w = *state;
	unsigned before = names_in(w->a);
	mach_port_t p = checked_in("mortal", here());

	end_port(p);
	expect_result(find("mortal"), NETNAME_NOT_CHECKED_IN);
	p = checked_in("mortal", MACH_PORT_NULL); /* free for everybody */
	end_port(p);
	await(names_in(w->a) == before);
}

/* Of a name that nobody asks for again, too. */
static void a_name_goes_with_its_signature(void **state)
{
	struct world *w = *state;
	unsigned before = names_in(w->a);
	mach_port_t mine = port_with_send_in(here()), p = checked_in("mortal", mine);

	expect_eq(send_rights(here(), p), 2);
	end_port(mine);
	await(send_rights(here(), p) == 1);
	await(names_in(w->a) == before);
	expect_result(find("mortal"), NETNAME_NOT_CHECKED_IN);
	end_port(p);
}

static void the_names_of_a_task_that_ends_go(void **state)
{
	struct world *w = *state;
	mach_port_t in_b = service_in(w->b), p;

	in_task_begin(w->b);
	p = mach_reply_port();
	expect_ok(mach_port_insert_right(mach_task_self(), p, p, MACH_MSG_TYPE_MAKE_SEND));
	expect_ok(netname_check_in(in_b, "held", MACH_PORT_NULL, p));
	expect_ok(netname_check_in(in_b, "signed", mach_task_self(), in_b)); /* the server's own port */
	in_task_end();
	expect_ok(find("held"));
	expect_ok(find("signed"));
	expect_ok(task_terminate(w->b));
	expect_result(find("held"), NETNAME_NOT_CHECKED_IN);
	expect_result(find("signed"), NETNAME_NOT_CHECKED_IN);
}

/* ---- what is refused */

static void a_port_that_is_none_is_refused(void **state)
{
	mach_port_t p = port_with_send_in(here()), dead = dead_name_in(here()), bare = port_in(here());

	(void)state;
	expect_result(netname_check_in(service, "x", MACH_PORT_NULL, MACH_PORT_NULL), NETNAME_INVALID_PORT);
	expect_result(netname_check_in(service, "x", MACH_PORT_NULL, dead), NETNAME_INVALID_PORT);
	expect_result(netname_check_in(service, "x", dead, p), NETNAME_INVALID_PORT);
	expect_result(netname_check_in(service, "x", MACH_PORT_NULL, bare), MACH_SEND_INVALID_RIGHT);
	expect_result(find("x"), NETNAME_NOT_CHECKED_IN);
	expect_eq(send_rights(here(), p), 1);
	end_port(p), end_port(bare);
	expect_ok(mach_port_deallocate(here(), dead));
}

static void a_name_that_is_too_long_is_refused_and_not_cut(void **state)
{
	mach_port_t p = port_with_send_in(here()), found;
	char name[NETNAME_NAME_MAX + 1];

	(void)state;
	memset(name, 'n', sizeof name);
	name[NETNAME_NAME_MAX] = 0;
	expect_result(netname_check_in(service, name, MACH_PORT_NULL, p), KERN_INVALID_ARGUMENT);
	expect_result(netname_look_up(service, "", name, &found), KERN_INVALID_ARGUMENT);
	expect_result(netname_look_up(service, name, "x", &found), KERN_INVALID_ARGUMENT);
	expect_result(netname_check_out(service, name, MACH_PORT_NULL), KERN_INVALID_ARGUMENT);
	name[NETNAME_NAME_MAX - 1] = 0;
	expect_ok(netname_check_in(service, name, MACH_PORT_NULL, p));
	expect_ok(find(name));
	end_port(p);
}

static void null_pointers_are_refused(void **state)
{
	mach_port_t found;

	(void)state;
	expect_result(netname_check_in(service, NULL, MACH_PORT_NULL, service), KERN_INVALID_ARGUMENT);
	expect_result(netname_check_out(service, NULL, MACH_PORT_NULL), KERN_INVALID_ARGUMENT);
	expect_result(netname_look_up(service, NULL, "x", &found), KERN_INVALID_ARGUMENT);
	expect_result(netname_look_up(service, "", NULL, &found), KERN_INVALID_ARGUMENT);
	expect_result(netname_look_up(service, "", "x", NULL), KERN_INVALID_ARGUMENT);
	expect_result(netname_version(service, NULL), KERN_INVALID_ARGUMENT);
}

static void there_is_room_for_so_many_names(void **state)
{
	mach_port_t p = port_with_send_in(here());
	char name[] = "name 0";

	(void)state;
	for (int i = 0; i < N_NAMES_MAX; i++, name[5]++)
		expect_ok(netname_check_in(service, name, p, p));
	expect_result(netname_check_in(service, name, p, p), KERN_RESOURCE_SHORTAGE);
	expect_ok(netname_check_out(service, "name 0", p));
	expect_ok(netname_check_in(service, name, p, p));
	end_port(p);
}

/* ---- strangers */

/* A string without an end, as no stub sends it: the server's stub ends it where its field does, or the server refuses it. */
static void a_name_without_end_is_no_name(void **state)
{
	char name[NETNAME_NAME_MAX];
	mach_port_t reply = port_in(here());
	kern_return_t code;
	struct letter l;

	(void)state;
	memset(name, 'n', sizeof name);
	letter_to(&l, service, MACH_MSG_TYPE_COPY_SEND, 1042);
	letter_reply_to(&l, reply, MACH_MSG_TYPE_MAKE_SEND_ONCE);
	letter_add_type(&l, MACH_MSG_TYPE_STRING_C, 8, sizeof name, true, false);
	letter_add_raw(&l, name, sizeof name);
	letter_add_port(&l, service, MACH_MSG_TYPE_COPY_SEND);
	expect_ok(post(here(), &l));
	await(fetch(here(), reply, &l) == MACH_MSG_SUCCESS);
	expect_eq(l.header.msgh_id, 1142);
	code = ((mig_reply_header_t *)&l.header)->RetCode;
	assert_true(code == NETNAME_NOT_CHECKED_IN || code == KERN_INVALID_ARGUMENT);
	end_port(reply);
}

/* Whoever may call may also send what looks like the news of a death. The service is not told of deaths that way. */
static void forged_notifications_are_not_believed(void **state)
{
	mach_port_t p = checked_in("alive", here());
	struct letter l;

	(void)state;
	for (mach_port_name_t name = 1; name < 64; name++) {
		letter_to(&l, service, MACH_MSG_TYPE_COPY_SEND, MACH_NOTIFY_DEAD_NAME);
		letter_add_type(&l, MACH_MSG_TYPE_PORT_NAME, 32, 1, true, false);
		letter_add_raw(&l, &name, sizeof name);
		expect_ok(post(here(), &l));
		expect_ok(find("alive")); /* and so the queue does not fill */
	}
	for (mach_msg_id_t id = 0; id < 8; id++) { /* nor are words to the server's own port */
		expect_ok(send_id(here(), service, id));
		expect_ok(find("alive"));
	}
	end_port(p);
}

/* ---- no server given */

static void without_a_broker_the_default_is_nobody(void **state)
{
	mach_port_t found;

	(void)state;
	setenv("PORTUNUS_BROKER", "/nonexistent/broker", 1);
	setenv("PORTUNUS_AUTOSTART", "0", 1);
	expect_eq(name_server_port, MACH_PORT_NULL);
	expect_result(netname_look_up(MACH_PORT_NULL, "", "x", &found), MACH_SEND_INVALID_DEST);
	expect_result(netname_look_up(name_server_port, "", "x", &found), MACH_SEND_INVALID_DEST);
	unsetenv("PORTUNUS_BROKER");
	unsetenv("PORTUNUS_AUTOSTART");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		served_test(a_name_stands_for_the_port_that_was_checked_in),
		served_test(case_does_not_matter),
		served_test(an_unknown_name_is_not_checked_in),
		served_test(this_host_has_several_names_and_another_is_not_known),
		served_test(it_says_what_it_is),
		served_test(only_who_signed_may_change_a_name),
		served_test(a_name_without_signature_is_anybodys),
		served_test(a_port_may_sign_for_itself_and_have_many_names),
		served_test(a_name_goes_with_its_port),
		served_test(a_name_goes_with_its_signature),
		served_test(the_names_of_a_task_that_ends_go),
		served_test(a_port_that_is_none_is_refused),
		served_test(a_name_that_is_too_long_is_refused_and_not_cut),
		served_test(null_pointers_are_refused),
		served_test(there_is_room_for_so_many_names),
		served_test(a_name_without_end_is_no_name),
		served_test(forged_notifications_are_not_believed),
		served_test(without_a_broker_the_default_is_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
