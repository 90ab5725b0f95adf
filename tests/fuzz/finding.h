/* SPDX-License-Identifier: MIT */
#ifndef TESTS_FUZZ_FINDING_H
#define TESTS_FUZZ_FINDING_H

/* Ends the input with a finding. */
void __attribute__((noreturn, format(printf, 1, 2))) finding(const char *format, ...);

#define check(condition) \
	do { \
		if (!(condition)) \
			finding("%s:%d: %s", __FILE__, __LINE__, #condition); \
	} while (0)

#endif
