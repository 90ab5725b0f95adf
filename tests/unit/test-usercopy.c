/* SPDX-License-Identifier: MIT */
/* Usercopy: what is copied, what is refused, and what becomes of faults that are not ours. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guarded.h"
#include "platform/pages.h"
#include "platform/usercopy.h"

/* A good page between two that cannot be touched. Not unmapped: a thread's stack could come to be there. */
static char *island_new(void)
{
	char *p = pages_map(3 * page_size());

	assert_non_null(p);
	assert_int_equal(mprotect(p, page_size(), PROT_NONE), 0);
	assert_int_equal(mprotect(p + 2 * page_size(), page_size(), PROT_NONE), 0);
	return p + page_size();
}

static void island_free(char *island)
{
	pages_unmap(island - page_size(), 3 * page_size());
}

static void fill(unsigned char *p, size_t n, unsigned seed)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (unsigned char)(i * 7 + (i >> 8) + seed);
}

/* Every length up to past each change of method, unaligned, and not a byte beyond. */
static void copies_exactly_every_length(void **state)
{
	enum { MOST = 2300, PAD = 80 };
	static unsigned char from[MOST + PAD], to[MOST + PAD], expected[MOST + PAD];

	(void)state;
	fill(from, sizeof(from), 1);
	for (size_t n = 0; n <= MOST; n++) {
		size_t a = n % 7, b = 16 + n % 5;

		fill(to, sizeof(to), 2);
		memcpy(expected, to, sizeof(to));
		memcpy(expected + b, from + a, n);
		assert_true(n % 2 ? user_read(to + b, from + a, n) : user_write(to + b, from + a, n));
		assert_memory_equal(to, expected, sizeof(to));
	}
}

/* The same past the cache, wherever in a line it begins. */
static void copies_far_exactly_every_length(void **state)
{
	enum { MOST = 600, PAD = 128 };
	static unsigned char from[MOST + PAD], to[MOST + PAD], expected[MOST + PAD];

	(void)state;
	fill(from, sizeof(from), 1);
	for (size_t n = 0; n <= MOST; n++) {
		size_t a = n % 7, b = n % 67;

		fill(to, sizeof(to), 2);
		memcpy(expected, to, sizeof(to));
		memcpy(expected + b, from + a, n);
		assert_true(user_read_far(to + b, from + a, n));
		assert_memory_equal(to, expected, sizeof(to));
	}
}

static void copies_large_blocks(void **state)
{
	size_t n = 5 * 1024 * 1024 + 3;
	unsigned char *from = malloc(n), *to = malloc(n);

	(void)state;
	assert_true(from && to);
	fill(from, n, 3);
	assert_true(user_read(to, from, n));
	assert_memory_equal(to, from, n);
	free(from);
	free(to);
}

static void reads_up_to_the_edge_and_not_beyond(void **state)
{
	char *island = island_new(), *end = island + page_size(), buffer[4096];

	(void)state;
	for (size_t n = 1; n <= 2100; n++) {
		assert_true(user_read(buffer, end - n, n));
		assert_false(user_read(buffer, end - n + 1, n));
		assert_true(user_read(buffer, island, n));
		assert_false(user_read(buffer, island - 1, n));
		assert_true(user_read_far(buffer, end - n, n));
		assert_false(user_read_far(buffer, end - n + 1, n));
		assert_false(user_read_far(buffer, island - 1, n));
	}
	island_free(island);
}

static void writes_up_to_the_edge_and_not_beyond(void **state)
{
	char *island = island_new(), *end = island + page_size(), buffer[4096] = { 0 };

	(void)state;
	for (size_t n = 1; n <= 2100; n++) {
		assert_true(user_write(end - n, buffer, n));
		assert_false(user_write(end - n + 1, buffer, n));
		assert_true(user_write(island, buffer, n));
		assert_false(user_write(island - 1, buffer, n));
	}
	island_free(island);
}

static void wild_pointers_are_false(void **state)
{
	static const uintptr_t wild[] = { 0,
					  1,
					  8,
					  4095,
					  0x800000000000,
					  0x8000000000000000,
					  0xdeadbeefdeadbeef,
					  0xffff800000000000,
					  UINTPTR_MAX - 4096,
					  UINTPTR_MAX - 7,
					  UINTPTR_MAX };
	static const size_t sizes[] = { 1, 2, 4, 8, 15, 16, 31, 33, 64, 65, 128, 200, 1023, 1024, 2000 };
	char buffer[2000] = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(wild) / sizeof(*wild); i++)
		for (size_t j = 0; j < sizeof(sizes) / sizeof(*sizes); j++) {
			assert_false(user_read(buffer, (void *)wild[i], sizes[j]));
			assert_false(user_read_far(buffer, (void *)wild[i], sizes[j]));
			assert_false(user_write((void *)wild[i], buffer, sizes[j]));
			assert_false(user_writable((void *)wild[i], sizes[j]));
		}
}

static void ranges_that_wrap_are_false(void **state)
{
	char buffer[64] = { 0 };

	(void)state;
	assert_false(user_read(buffer, buffer, SIZE_MAX));
	assert_false(user_write(buffer, buffer, SIZE_MAX - 5));
	assert_false(user_writable(buffer, SIZE_MAX));
}

static void nothing_can_be_copied_anywhere(void **state)
{
	(void)state;
	assert_true(user_read(NULL, NULL, 0));
	assert_true(user_write(NULL, NULL, 0));
	assert_true(user_write((void *)8, NULL, 0));
	assert_true(user_writable(NULL, 0));
}

static void protected_pages_are_false(void **state)
{
	char *p = pages_map(page_size()), byte = 5;

	(void)state;
	assert_non_null(p);
	*p = 7;
	assert_true(user_writable(p, 1));
	assert_int_equal(*p, 7);
	assert_int_equal(mprotect(p, page_size(), PROT_READ), 0);
	assert_true(user_read(&byte, p, 1));
	assert_int_equal(byte, 7);
	assert_false(user_write(p, &byte, 1));
	assert_false(user_writable(p, 1));
	assert_int_equal(mprotect(p, page_size(), PROT_NONE), 0);
	assert_false(user_read(&byte, p, 1));
	pages_unmap(p, page_size());
}

/* SIGBUS, not SIGSEGV. */
static void pages_beyond_the_end_of_a_file_are_false(void **state)
{
	char name[] = "/tmp/test-usercopy-XXXXXX", byte = 0, *p;
	int fd = mkstemp(name);

	(void)state;
	assert_true(fd >= 0);
	unlink(name);
	p = mmap(NULL, page_size(), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(p, MAP_FAILED);
	assert_false(user_read(&byte, p, 1));
	assert_false(user_write(p, &byte, 1));
	assert_int_equal(ftruncate(fd, 1), 0);
	assert_true(user_read(&byte, p, 1));
	munmap(p, page_size());
	close(fd);
}

static void *fault_many(void *argument)
{
	char *island = argument, buffer[256];
	uintptr_t wrong = 0;

	for (int i = 0; i < 3000; i++) {
		wrong += user_read(buffer, island + page_size() - 100, sizeof(buffer));
		wrong += !user_read(buffer, island, sizeof(buffer));
	}
	return (void *)wrong;
}

static void threads_fault_independently(void **state)
{
	pthread_t threads[4];
	char *island = island_new();
	void *wrong;

	(void)state;
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, fault_many, island), 0);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(pthread_join(threads[i], &wrong), 0);
		assert_null(wrong);
	}
	island_free(island);
}

/* The rest is about faults outside of the copy: in a child that sets up a handler of its own before usercopy_init().
 * The child's result is its exit code, or 128 + the signal that ended it. */
static int child_result(void (*run)(void))
{
	pid_t child = fork();
	int status;

	assert_true(child >= 0);
	if (child == 0) {
		const struct rlimit none = { 0, 0 };

		setrlimit(RLIMIT_CORE, &none);
		signal(SIGSEGV, SIG_DFL);
		signal(SIGBUS, SIG_DFL);
		run();
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static void copy_a_little(void)
{
	char byte;

	if (user_read(&byte, (void *)8, 1) || !user_read(&byte, "x", 1))
		_exit(100);
}

static char *volatile nowhere = (char *)8; /* volatile, so that no compiler sees the fault coming */

static void fault(void)
{
	*nowhere = 1;
}

static void fault_by_default(void)
{
	usercopy_init();
	copy_a_little();
	fault();
}

static void signal_by_default(void)
{
	usercopy_init();
	copy_a_little();
	kill(getpid(), SIGSEGV);
}

static void fault_while_ignored(void)
{
	signal(SIGSEGV, SIG_IGN);
	usercopy_init();
	copy_a_little();
	fault();
}

static void signal_while_ignored(void)
{
	signal(SIGSEGV, SIG_IGN);
	usercopy_init();
	raise(SIGSEGV);
	copy_a_little();
	_exit(3);
}

static void plain_handler(int sig)
{
	_exit(sig == SIGSEGV ? 4 : 101);
}

static void fault_with_a_plain_handler(void)
{
	signal(SIGSEGV, plain_handler);
	usercopy_init();
	copy_a_little();
	fault();
}

/* The thread sanitizer blocks all signals in every handler. */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define __SANITIZE_THREAD__ 1
#endif
#endif
#ifdef __SANITIZE_THREAD__
enum { MASK_IS_EXACT = 0 };
#else
enum { MASK_IS_EXACT = 1 };
#endif

static void info_handler(int sig, siginfo_t *info, void *context)
{
	sigset_t mask;
	bool as_asked;

	sigprocmask(SIG_BLOCK, NULL, &mask);
	as_asked = sig == SIGSEGV && info->si_addr == nowhere && context && sigismember(&mask, SIGUSR1) == 1 &&
		   sigismember(&mask, SIGSEGV) == 1 && !(MASK_IS_EXACT && sigismember(&mask, SIGUSR2));
	_exit(as_asked ? 5 : 102);
}

static void fault_with_an_info_handler(void)
{
	struct sigaction action = { .sa_sigaction = info_handler, .sa_flags = SA_SIGINFO };

	sigemptyset(&action.sa_mask);
	sigaddset(&action.sa_mask, SIGUSR1);
	sigaction(SIGSEGV, &action, NULL);
	usercopy_init();
	copy_a_little();
	fault();
}

static volatile sig_atomic_t runs;

static void count_run(int sig)
{
	(void)sig;
	runs++;
}

/* The handler has one call; the second fault is the default's. */
static void fault_with_a_handler_that_resets(void)
{
	struct sigaction action = { .sa_handler = count_run, .sa_flags = (int)SA_RESETHAND };

	sigemptyset(&action.sa_mask);
	sigaction(SIGSEGV, &action, NULL);
	usercopy_init();
	raise(SIGSEGV);
	if (runs != 1)
		_exit(103);
	copy_a_little();
	raise(SIGSEGV);
}

static char alternate_stack[64 * 1024];

static void on_which_stack(int sig)
{
	char here;

	(void)sig;
	_exit(&here >= alternate_stack && &here < alternate_stack + sizeof(alternate_stack) ? 6 : 7);
}

static void fault_with_an_alternate_stack(int flags)
{
	struct sigaction action = { .sa_handler = on_which_stack, .sa_flags = flags };
	const stack_t stack = { .ss_sp = alternate_stack, .ss_size = sizeof(alternate_stack) };

	sigaltstack(&stack, NULL);
	sigemptyset(&action.sa_mask);
	sigaction(SIGSEGV, &action, NULL);
	usercopy_init();
	copy_a_little();
	fault();
}

static void fault_on_the_alternate_stack(void)
{
	fault_with_an_alternate_stack(SA_ONSTACK);
}

static void fault_beside_the_alternate_stack(void)
{
	fault_with_an_alternate_stack(0);
}

/* Runs before guarded_init(): each child calls usercopy_init() itself. */
static void other_faults_go_where_they_went_before(void **state)
{
	(void)state;
	assert_int_equal(child_result(fault_by_default), 128 + SIGSEGV);
	assert_int_equal(child_result(signal_by_default), 128 + SIGSEGV);
	assert_int_equal(child_result(fault_while_ignored), 128 + SIGSEGV);
	assert_int_equal(child_result(signal_while_ignored), 3);
	assert_int_equal(child_result(fault_with_a_plain_handler), 4);
	assert_int_equal(child_result(fault_with_an_info_handler), 5);
	assert_int_equal(child_result(fault_with_a_handler_that_resets), 128 + SIGSEGV);
	assert_int_equal(child_result(fault_on_the_alternate_stack), 6);
	assert_int_equal(child_result(fault_beside_the_alternate_stack), 7);
}

int main(void)
{
	const struct CMUnitTest before[] = {
		cmocka_unit_test(other_faults_go_where_they_went_before),
	};
	const struct CMUnitTest tests[] = {
		GUARDED_TEST(copies_exactly_every_length, NULL, NULL),
		GUARDED_TEST(copies_far_exactly_every_length, NULL, NULL),
		GUARDED_TEST(copies_large_blocks, NULL, NULL),
		GUARDED_TEST(reads_up_to_the_edge_and_not_beyond, NULL, NULL),
		GUARDED_TEST(writes_up_to_the_edge_and_not_beyond, NULL, NULL),
		GUARDED_TEST(wild_pointers_are_false, NULL, NULL),
		GUARDED_TEST(ranges_that_wrap_are_false, NULL, NULL),
		GUARDED_TEST(nothing_can_be_copied_anywhere, NULL, NULL),
		GUARDED_TEST(protected_pages_are_false, NULL, NULL),
		GUARDED_TEST(pages_beyond_the_end_of_a_file_are_false, NULL, NULL),
		GUARDED_TEST(threads_fault_independently, NULL, NULL),
	};

	int failed = cmocka_run_group_tests(before, NULL, NULL);

	guarded_init();
	usercopy_init(); /* once more does no harm */
	return failed + cmocka_run_group_tests(tests, NULL, NULL);
}
