/* SPDX-License-Identifier: MIT */
/* Error codes in words: every code has its symbol, special bits are told, unknown codes are no trap. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <mach.h>
#include <mach_error.h>

struct code {
	mach_error_t value;
	const char *symbol;
};

#define CODE(c) \
	{ \
		c, "(" #c ")" \
	}

static const struct code kernel_codes[] = {
	CODE(KERN_SUCCESS),
	CODE(KERN_INVALID_ADDRESS),
	CODE(KERN_PROTECTION_FAILURE),
	CODE(KERN_NO_SPACE),
	CODE(KERN_INVALID_ARGUMENT),
	CODE(KERN_FAILURE),
	CODE(KERN_RESOURCE_SHORTAGE),
	CODE(KERN_NOT_RECEIVER),
	CODE(KERN_NO_ACCESS),
	CODE(KERN_MEMORY_FAILURE),
	CODE(KERN_MEMORY_ERROR),
	CODE(KERN_NOT_IN_SET),
	CODE(KERN_NAME_EXISTS),
	CODE(KERN_ABORTED),
	CODE(KERN_INVALID_NAME),
	CODE(KERN_INVALID_TASK),
	CODE(KERN_INVALID_RIGHT),
	CODE(KERN_INVALID_VALUE),
	CODE(KERN_UREFS_OVERFLOW),
	CODE(KERN_INVALID_CAPABILITY),
	CODE(KERN_RIGHT_EXISTS),
	CODE(KERN_INVALID_HOST),
	CODE(KERN_MEMORY_PRESENT),
	CODE(KERN_WRITE_PROTECTION_FAILURE),
	CODE(KERN_TERMINATED),
	CODE(KERN_TIMEDOUT),
	CODE(KERN_INTERRUPTED),
};

static const struct code send_codes[] = {
	CODE(MACH_SEND_INVALID_DATA),	CODE(MACH_SEND_INVALID_DEST),	    CODE(MACH_SEND_TIMED_OUT),
	CODE(MACH_SEND_WILL_NOTIFY),	CODE(MACH_SEND_NOTIFY_IN_PROGRESS), CODE(MACH_SEND_INTERRUPTED),
	CODE(MACH_SEND_MSG_TOO_SMALL),	CODE(MACH_SEND_INVALID_REPLY),	    CODE(MACH_SEND_INVALID_RIGHT),
	CODE(MACH_SEND_INVALID_NOTIFY), CODE(MACH_SEND_INVALID_MEMORY),	    CODE(MACH_SEND_NO_BUFFER),
	CODE(MACH_SEND_NO_NOTIFY),	CODE(MACH_SEND_INVALID_TYPE),	    CODE(MACH_SEND_INVALID_HEADER),
};

static const struct code receive_codes[] = {
	CODE(MACH_RCV_INVALID_NAME), CODE(MACH_RCV_TIMED_OUT),	  CODE(MACH_RCV_TOO_LARGE),
	CODE(MACH_RCV_INTERRUPTED),  CODE(MACH_RCV_PORT_CHANGED), CODE(MACH_RCV_INVALID_NOTIFY),
	CODE(MACH_RCV_INVALID_DATA), CODE(MACH_RCV_PORT_DIED),	  CODE(MACH_RCV_IN_SET),
	CODE(MACH_RCV_HEADER_ERROR), CODE(MACH_RCV_BODY_ERROR),	  CODE(MACH_RCV_INVALID_TRAILER),
};

static const struct code mig_codes[] = {
	CODE(MIG_TYPE_ERROR),	 CODE(MIG_REPLY_MISMATCH),  CODE(MIG_REMOTE_ERROR), CODE(MIG_BAD_ID),
	CODE(MIG_BAD_ARGUMENTS), CODE(MIG_NO_REPLY),	    CODE(MIG_EXCEPTION),    CODE(MIG_ARRAY_TOO_LARGE),
	CODE(MIG_SERVER_DIED),	 CODE(MIG_DESTROY_REQUEST),
};

static void expect_told(const struct code *codes, size_t n, const char *type)
{
	for (size_t i = 0; i < n; i++) {
		const char *text = mach_error_string(codes[i].value);

		assert_non_null(strstr(text, codes[i].symbol));
		assert_true(strlen(text) > strlen(codes[i].symbol) + 5); /* a sentence before it */
		assert_string_equal(mach_error_type(codes[i].value), type);
	}
}

#define EXPECT_TOLD(codes, type) expect_told(codes, sizeof(codes) / sizeof((codes)[0]), type)

static void every_code_has_sentence_symbol_and_type(void **state)
{
	(void)state;
	EXPECT_TOLD(kernel_codes, "(os/kern)");
	EXPECT_TOLD(send_codes, "(ipc/send)");
	EXPECT_TOLD(receive_codes, "(ipc/rcv)");
	EXPECT_TOLD(mig_codes, "(ipc/mig)");
}

static void sentences_differ(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof kernel_codes / sizeof kernel_codes[0]; i++)
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(mach_error_string(kernel_codes[i].value),
						mach_error_string(kernel_codes[j].value));
}

static void special_bits_are_told_beside_the_code(void **state)
{
	mach_error_t all = MACH_RCV_BODY_ERROR | MACH_MSG_MASK;
	const char *text;

	(void)state;
	text = mach_error_string(MACH_RCV_HEADER_ERROR | MACH_MSG_IPC_SPACE);
	assert_non_null(strstr(text, "(MACH_RCV_HEADER_ERROR)"));
	assert_non_null(strstr(text, "(MACH_MSG_IPC_SPACE)"));
	assert_null(strstr(text, "MACH_MSG_VM_SPACE"));

	text = mach_error_string(all);
	assert_non_null(strstr(text, "(MACH_RCV_BODY_ERROR)"));
	assert_non_null(strstr(text, "(MACH_MSG_IPC_SPACE)"));
	assert_non_null(strstr(text, "(MACH_MSG_VM_SPACE)"));
	assert_non_null(strstr(text, "(MACH_MSG_IPC_KERNEL)"));
	assert_non_null(strstr(text, "(MACH_MSG_VM_KERNEL)"));
	assert_string_equal(mach_error_type(all), "(ipc/rcv)");
}

static void unknown_codes_are_told_as_numbers(void **state)
{
	static const mach_error_t unknown[] = { 11,	    25,		9999,	    -1,	       -299,	  -310,
						0x10000011, 0x1000400d, 0x10008001, INT32_MIN, INT32_MAX, 0x2000 };
	char number[16];

	(void)state;
	for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++) {
		snprintf(number, sizeof number, "0x%x", (unsigned int)unknown[i]);
		assert_non_null(strstr(mach_error_string(unknown[i]), "unknown error code"));
		assert_non_null(strstr(mach_error_string(unknown[i]), number));
		assert_non_null(mach_error_type(unknown[i]));
	}
	assert_string_equal(mach_error_type(INT32_MIN), "(?/?)");
}

/* One line on standard error, whatever the arguments. */
static void mach_error_writes_one_line(void **state)
{
	char line[512];
	int ends[2], saved = dup(STDERR_FILENO);
	ssize_t n;

	(void)state;
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
	mach_error("opening", KERN_NO_SPACE);
	mach_error(NULL, MACH_SEND_TIMED_OUT);
	dup2(saved, STDERR_FILENO);
	n = read(ends[0], line, sizeof line - 1);
	close(saved);
	close(ends[0]);
	close(ends[1]);

	assert_true(n > 0);
	line[n] = '\0';
	assert_non_null(strstr(line, "opening: (os/kern) "));
	assert_non_null(strstr(line, "(KERN_NO_SPACE), 0x3\n"));
	assert_non_null(strstr(line, "(MACH_SEND_TIMED_OUT), 0x10000004\n"));
}

static void parts_of_a_code_come_apart(void **state)
{
	(void)state;
	assert_int_equal(err_get_system(MACH_RCV_TIMED_OUT), 4);
	assert_int_equal(err_get_sub(MACH_RCV_TIMED_OUT), 1);
	assert_int_equal(err_get_code(MACH_RCV_TIMED_OUT), 3);
	assert_int_equal(err_mach_ipc | err_sub(1) | 3, MACH_RCV_TIMED_OUT);
	assert_int_equal(err_get_system(err_local), 0x3e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_code_has_sentence_symbol_and_type),
		cmocka_unit_test(sentences_differ),
		cmocka_unit_test(special_bits_are_told_beside_the_code),
		cmocka_unit_test(unknown_codes_are_told_as_numbers),
		cmocka_unit_test(mach_error_writes_one_line),
		cmocka_unit_test(parts_of_a_code_come_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
