/* SPDX-License-Identifier: MIT */
/* Settings: what a line may say, and what is said about a line that may not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "config.h"

struct reading {
	struct config config;
	char *errors;
	bool ok;
};

static int setup(void **state)
{
	struct reading *r = calloc(1, sizeof *r);

	assert_non_null(r);
	config_init(&r->config);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct reading *r = *state;

	config_deinit(&r->config);
	free(r->errors);
	free(r);
	return 0;
}

static void read_bytes(struct reading *r, const char *bytes, size_t n)
{
	FILE *file = fmemopen((char *)bytes, n, "r");
	size_t size;
	FILE *errors;

	free(r->errors);
	errors = open_memstream(&r->errors, &size);
	assert_non_null(file);
	assert_non_null(errors);
	r->ok = config_read(&r->config, file, "file", errors);
	fclose(file);
	fclose(errors);
}

static void read_text(struct reading *r, const char *text)
{
	read_bytes(r, text, strlen(text));
}

static void expect_error(struct reading *r, const char *text, const char *error)
{
	read_text(r, text);
	assert_false(r->ok);
	assert_string_equal(r->errors, error);
}

static void every_setting_can_be_set(void **state)
{
	struct reading *r = *state;
	struct config *c = &r->config;

	read_text(r, "socket = /run/other/broker\n"
		     "mode = 0660\n"
		     "idle-exit = 90\n"
		     "max-nodes = 1\n"
		     "max-links = 65536\n"
		     "max-exports = 77\n"
		     "max-names = 16384\n"
		     "service = one\n"
		     "service = two words\n");
	assert_string_equal(r->errors, "");
	assert_true(r->ok);
	assert_string_equal(c->socket, "/run/other/broker");
	assert_false(c->is_default);
	assert_int_equal(c->mode, 0660);
	assert_int_equal(c->idle_exit, 90);
	assert_int_equal(c->limits.max_nodes, 1);
	assert_int_equal(c->limits.max_links, 65536);
	assert_int_equal(c->limits.max_exports, 77);
	assert_int_equal(c->max_names, 16384);
	assert_int_equal(c->n_services, 2);
	assert_string_equal(c->services[0], "one");
	assert_string_equal(c->services[1], "two words");
}

static void what_nobody_sets_is_as_the_manual_says(void **state)
{
	struct reading *r = *state;
	struct config *c = &r->config;

	assert_true(c->is_default);
	assert_int_equal(c->mode, 0600);
	assert_int_equal(c->idle_exit, 0);
	assert_int_equal(c->limits.max_nodes, 4096);
	assert_int_equal(c->limits.max_links, 1024);
	assert_int_equal(c->limits.max_exports, 1048576);
	assert_int_equal(c->max_names, 4096);
	assert_int_equal(c->n_services, 0);
}

static void comments_and_blanks_do_not_count(void **state)
{
	struct reading *r = *state;

	read_text(r, "# a comment\n\n   \t\n  max-names=12 # why\r\n\tservice =  a#b  \nidle-exit = 3");
	assert_true(r->ok);
	assert_int_equal(r->config.max_names, 12);
	assert_int_equal(r->config.idle_exit, 3);
	assert_string_equal(r->config.services[0], "a#b");
}

static void the_last_line_wins(void **state)
{
	struct reading *r = *state;

	read_text(r, "max-names = 1\nmax-names = 2\n");
	assert_true(r->ok);
	assert_int_equal(r->config.max_names, 2);
}

static void each_fault_is_told_with_its_line(void **state)
{
	expect_error(*state,
		     "max-names = 5\n"
		     "no-such-thing = 1\n"
		     "\n"
		     "just words\n"
		     "max-nodes = many\n",
		     "file:2: no-such-thing is nothing that can be set\n"
		     "file:4: \"just words\" is no line of the form key = value\n"
		     "file:5: max-nodes must be a number from 1 to 65536\n");
}

static void numbers_are_numbers(void **state)
{
	static const char *const bad[] = { "-1",	 "+5", "0x10", "5 5", "1.5", "5s", "99999999999999999999",
					   "4294967297", "0" };
	struct reading *r = *state;
	char line[64];

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		snprintf(line, sizeof line, "max-names = %s\n", bad[i]);
		expect_error(r, line, "file:1: max-names must be a number from 1 to 16384\n");
	}
	assert_int_equal(r->config.max_names, 4096);
}

static void a_mode_is_octal_and_lets_the_owner_in(void **state)
{
	static const char *const bad[] = { "8", "0400", "1777", "rw", "066" };
	struct reading *r = *state;
	char line[64];

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		snprintf(line, sizeof line, "mode = %s\n", bad[i]);
		expect_error(r, line,
			     "file:1: mode must be an octal mode such as 0660 that lets the owner read and write\n");
	}
}

static void a_socket_has_an_absolute_path_that_fits(void **state)
{
	struct reading *r = *state;
	char line[256];

	expect_error(r, "socket = broker\n", "file:1: socket must be an absolute path of a file\n");
	expect_error(r, "socket = /run/\n", "file:1: socket must be an absolute path of a file\n");
	snprintf(line, sizeof line, "socket = /%0*d\n", (int)BROKER_PATH_MAX - 1, 0);
	expect_error(r, line, "file:1: socket must be shorter than 108 bytes\n");
	assert_true(r->config.is_default);
	snprintf(line, sizeof line, "socket = /%0*d\n", (int)BROKER_PATH_MAX - 2, 0);
	read_text(r, line);
	assert_true(r->ok);
}

static void a_service_has_a_name_and_one_only(void **state)
{
	struct reading *r = *state;
	char line[256];

	expect_error(r, "service = \n", "file:1: service has no value\n");
	expect_error(r, "service = a\nservice = a\n", "file:2: service is declared twice\n");
	snprintf(line, sizeof line, "service = %0128d\n", 0);
	expect_error(r, line, "file:1: service must be shorter than 128 bytes\n");
}

static void what_is_no_text_is_refused(void **state)
{
	struct reading *r = *state;

	read_bytes(r, "max-names = 5\0 6\n", 17);
	assert_false(r->ok);
	assert_string_equal(r->errors, "file:1: this is no text\n");
	expect_error(r, "= 5\n", "file:1: \"\" is nothing that can be set\n");
}

#define config_test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		config_test(every_setting_can_be_set),
		config_test(what_nobody_sets_is_as_the_manual_says),
		config_test(comments_and_blanks_do_not_count),
		config_test(the_last_line_wins),
		config_test(each_fault_is_told_with_its_line),
		config_test(numbers_are_numbers),
		config_test(a_mode_is_octal_and_lets_the_owner_in),
		config_test(a_socket_has_an_absolute_path_that_fits),
		config_test(a_service_has_a_name_and_one_only),
		config_test(what_is_no_text_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
