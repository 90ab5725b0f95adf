/* SPDX-License-Identifier: MIT */
/* Usercopy on x86-64: one asm routine may fault, and a handler that knows its addresses. See usercopy.h. */
#include "platform/usercopy.h"

#include <cpuid.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/ucontext.h>

#include "platform/usercopy-range.h"

/* usercopy_bytes(to, from, n, rep_from), usercopy_lines(to, from, n) and usercopy_touch(byte) return true; or false, by way
 * of usercopy_fault, if an instruction between usercopy_begin and usercopy_end faults. So everything in between uses no stack, calls
 * nothing, and keeps nothing that would have to be restored.
 * Up to 64 bytes all is loaded before anything is stored, with loads that overlap in the middle. Longer ones go in
 * steps of 64 bytes, and the last 64 bytes overlap the step before. From rep_from bytes on the CPU's own string copy
 * is faster. usercopy_lines() copies whole lines of 64 bytes, at least one, past the cache (farcopy.h). */
__asm__("	.pushsection .text\n"
	"	.hidden usercopy_begin, usercopy_end, usercopy_fault, usercopy_bytes, usercopy_lines, usercopy_touch\n"
	"	.globl usercopy_begin, usercopy_end, usercopy_fault, usercopy_bytes, usercopy_lines, usercopy_touch\n"
	"	.type usercopy_bytes, @function\n"
	"	.type usercopy_lines, @function\n"
	"	.type usercopy_touch, @function\n"
	"	.p2align 6\n"
	"usercopy_begin:\n"
	"usercopy_bytes:\n"
	"	.cfi_startproc\n"
	"	endbr64\n"
	"	movl	$1, %eax\n"
	"	cmpq	$16, %rdx\n"
	"	jb	.Lusercopy_below_16\n"
	"	cmpq	$32, %rdx\n"
	"	ja	.Lusercopy_above_32\n"
	"	movdqu	(%rsi), %xmm0\n"
	"	movdqu	-16(%rsi,%rdx), %xmm1\n"
	"	movdqu	%xmm0, (%rdi)\n"
	"	movdqu	%xmm1, -16(%rdi,%rdx)\n"
	"	ret\n"
	".Lusercopy_above_32:\n"
	"	cmpq	$64, %rdx\n"
	"	ja	.Lusercopy_above_64\n"
	"	movdqu	(%rsi), %xmm0\n"
	"	movdqu	16(%rsi), %xmm1\n"
	"	movdqu	-32(%rsi,%rdx), %xmm2\n"
	"	movdqu	-16(%rsi,%rdx), %xmm3\n"
	"	movdqu	%xmm0, (%rdi)\n"
	"	movdqu	%xmm1, 16(%rdi)\n"
	"	movdqu	%xmm2, -32(%rdi,%rdx)\n"
	"	movdqu	%xmm3, -16(%rdi,%rdx)\n"
	"	ret\n"
	".Lusercopy_above_64:\n"
	"	cmpq	%rcx, %rdx\n"
	"	jae	.Lusercopy_rep\n"
	"	movdqu	-64(%rsi,%rdx), %xmm4\n"
	"	movdqu	-48(%rsi,%rdx), %xmm5\n"
	"	movdqu	-32(%rsi,%rdx), %xmm6\n"
	"	movdqu	-16(%rsi,%rdx), %xmm7\n"
	"	leaq	-64(%rdi,%rdx), %r8\n"
	".Lusercopy_step:\n"
	"	movdqu	(%rsi), %xmm0\n"
	"	movdqu	16(%rsi), %xmm1\n"
	"	movdqu	32(%rsi), %xmm2\n"
	"	movdqu	48(%rsi), %xmm3\n"
	"	movdqu	%xmm0, (%rdi)\n"
	"	movdqu	%xmm1, 16(%rdi)\n"
	"	movdqu	%xmm2, 32(%rdi)\n"
	"	movdqu	%xmm3, 48(%rdi)\n"
	"	addq	$64, %rsi\n"
	"	addq	$64, %rdi\n"
	"	cmpq	%r8, %rdi\n"
	"	jb	.Lusercopy_step\n"
	"	movdqu	%xmm4, (%r8)\n"
	"	movdqu	%xmm5, 16(%r8)\n"
	"	movdqu	%xmm6, 32(%r8)\n"
	"	movdqu	%xmm7, 48(%r8)\n"
	"	ret\n"
	".Lusercopy_rep:\n"
	"	movq	%rdx, %rcx\n"
	"	rep	movsb\n"
	"	ret\n"
	".Lusercopy_below_16:\n"
	"	cmpl	$8, %edx\n"
	"	jb	.Lusercopy_below_8\n"
	"	movq	(%rsi), %rcx\n"
	"	movq	-8(%rsi,%rdx), %r8\n"
	"	movq	%rcx, (%rdi)\n"
	"	movq	%r8, -8(%rdi,%rdx)\n"
	"	ret\n"
	".Lusercopy_below_8:\n"
	"	cmpl	$4, %edx\n"
	"	jb	.Lusercopy_below_4\n"
	"	movl	(%rsi), %ecx\n"
	"	movl	-4(%rsi,%rdx), %r8d\n"
	"	movl	%ecx, (%rdi)\n"
	"	movl	%r8d, -4(%rdi,%rdx)\n"
	"	ret\n"
	".Lusercopy_below_4:\n" /* 1 to 3: the first, the middle and the last byte, some of them the same */
	"	movq	%rdx, %r9\n"
	"	shrq	$1, %r9\n"
	"	movb	(%rsi), %cl\n"
	"	movb	(%rsi,%r9), %r8b\n"
	"	movb	-1(%rsi,%rdx), %r10b\n"
	"	movb	%cl, (%rdi)\n"
	"	movb	%r8b, (%rdi,%r9)\n"
	"	movb	%r10b, -1(%rdi,%rdx)\n"
	"	ret\n"
	"	.cfi_endproc\n"
	"	.size usercopy_bytes, . - usercopy_bytes\n"
	"usercopy_lines:\n"
	"	.cfi_startproc\n"
	"	endbr64\n"
	"	movl	$1, %eax\n"
	"	addq	%rdi, %rdx\n"
	".Lusercopy_line:\n"
	"	movdqu	(%rsi), %xmm0\n"
	"	movdqu	16(%rsi), %xmm1\n"
	"	movdqu	32(%rsi), %xmm2\n"
	"	movdqu	48(%rsi), %xmm3\n"
	"	movntdq	%xmm0, (%rdi)\n"
	"	movntdq	%xmm1, 16(%rdi)\n"
	"	movntdq	%xmm2, 32(%rdi)\n"
	"	movntdq	%xmm3, 48(%rdi)\n"
	"	addq	$64, %rsi\n"
	"	addq	$64, %rdi\n"
	"	cmpq	%rdx, %rdi\n"
	"	jb	.Lusercopy_line\n"
	"	ret\n"
	"	.cfi_endproc\n"
	"	.size usercopy_lines, . - usercopy_lines\n"
	"usercopy_touch:\n"
	"	.cfi_startproc\n"
	"	endbr64\n"
	"	movl	$1, %eax\n"
	"	lock	orb $0, (%rdi)\n"
	"	ret\n"
	"	.cfi_endproc\n"
	"	.size usercopy_touch, . - usercopy_touch\n"
	"usercopy_end:\n"
	"usercopy_fault:\n"
	"	xorl	%eax, %eax\n"
	"	ret\n"
	"	.popsection\n");

extern const char usercopy_begin[], usercopy_end[], usercopy_fault[];
extern bool usercopy_bytes(void *to, const void *from, size_t n, size_t rep_from);
extern bool usercopy_lines(void *to, const void *from, size_t n); /* to: at the start of a line */
extern bool usercopy_touch(void *byte);

/* Cycles between two looks at whose handler is installed: a few microseconds at first, and a little more each time that it is
 * still ours, up to half a millisecond. So a program that opens ports all the time does not pay a system call for each. */
#define RENEW_AFTER	10000
#define RENEW_AFTER_MAX (100 * RENEW_AFTER)
#define RENEW_MORE	(RENEW_AFTER / 16)

/* Below this, starting the string copy costs more than it saves; never, where the CPU has no fast one. */
enum { USERCOPY_REP_FROM = 2048 };

static size_t usercopy_rep_from = SIZE_MAX;

/* What was there before us. Once published it stays, for a handler may be looking at it: each time that the program has
 * put a handler of its own in our place, another is made. */
struct chained {
	struct sigaction action;
	atomic_bool is_spent; /* a SA_RESETHAND handler had its one call */
	struct chained *former;
};

static _Atomic(struct chained *) usercopy_chained[2]; /* for SIGSEGV and SIGBUS */
static pthread_mutex_t usercopy_installing = PTHREAD_MUTEX_INITIALIZER;

bool user_read(void *to, const void *user, size_t n)
{
	return n == 0 || (user_range_is_sane(user, n) && usercopy_bytes(to, user, n, usercopy_rep_from));
}

bool user_read_far(void *to, const void *user, size_t n)
{
	enum { LINE = 64 };
	size_t before = -(uintptr_t)to % LINE, lines;
	bool ok;

	if (n < before + LINE)
		return user_read(to, user, n);
	lines = (n - before) & ~(size_t)(LINE - 1);
	ok = user_read(to, user, before) && user_range_is_sane(user, n) &&
	     usercopy_lines((char *)to + before, (const char *)user + before, lines);
	__builtin_ia32_sfence(); /* streaming stores have no order of their own */
	before += lines;
	return ok && user_read((char *)to + before, (const char *)user + before, n - before);
}

bool user_write(void *user, const void *from, size_t n)
{
	return n == 0 || (user_range_is_sane(user, n) && usercopy_bytes(user, from, n, usercopy_rep_from));
}

bool user_writable(void *user, size_t n)
{
	return n == 0 || (user_range_is_sane(user, n) && usercopy_touch(user));
}

/* The host ends the process on a fault whether the signal is defaulted or ignored: give it back its default and
 * return, so that the instruction faults again and a core dump shows it. A signal that somebody sent has to be sent
 * again. */
static void usercopy_default(int sig, const siginfo_t *info)
{
	bool is_fault = info->si_code > 0;

	if (!is_fault && atomic_load(&usercopy_chained[sig == SIGBUS])->action.sa_handler == SIG_IGN)
		return;
	signal(sig, SIG_DFL);
	if (!is_fault)
		raise(sig);
}

/* Not ours. Mask, alternate stack and SA_NODEFER of the chained handler are also those of ours, so the host has set
 * them up already. */
static void usercopy_chain(int sig, siginfo_t *info, void *context)
{
	struct chained *chained = atomic_load(&usercopy_chained[sig == SIGBUS]);
	const struct sigaction *next = &chained->action;
	bool spent = (next->sa_flags & SA_RESETHAND) && atomic_exchange(&chained->is_spent, true);

	if (next->sa_flags & SA_SIGINFO && !spent)
		next->sa_sigaction(sig, info, context);
	else if (next->sa_handler == SIG_DFL || next->sa_handler == SIG_IGN || spent)
		usercopy_default(sig, info);
	else
		next->sa_handler(sig);
}

static void usercopy_handle(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;
	uintptr_t ip = (uintptr_t)uc->uc_mcontext.gregs[REG_RIP];
	bool is_fault = info->si_code > 0; /* and not somebody's kill() that found us there */

	if (is_fault && ip >= (uintptr_t)usercopy_begin && ip < (uintptr_t)usercopy_end)
		uc->uc_mcontext.gregs[REG_RIP] = (greg_t)(uintptr_t)usercopy_fault;
	else
		usercopy_chain(sig, info, context);
}

static bool is_ours(const struct sigaction *action)
{
	return (action->sa_flags & SA_SIGINFO) && action->sa_sigaction == usercopy_handle;
}

/* What to chain to from now on. NULL: no memory. */
static struct chained *chain_to(int sig, const struct sigaction *before)
{
	struct chained *current = atomic_load(&usercopy_chained[sig == SIGBUS]), *next;

	if (current && current->action.sa_sigaction == before->sa_sigaction &&
	    current->action.sa_flags == before->sa_flags && !(before->sa_flags & SA_RESETHAND))
		return current;
	next = calloc(1, sizeof *next);
	if (next) {
		next->action = *before;
		next->former = current;
		atomic_store(&usercopy_chained[sig == SIGBUS], next);
	}
	return next;
}

static void usercopy_install(int sig)
{
	struct sigaction before, ours;

	if (sigaction(sig, NULL, &before) < 0 || is_ours(&before) || !chain_to(sig, &before))
		return;
	ours = before;
	if (!(before.sa_flags & SA_SIGINFO) && (before.sa_handler == SIG_DFL || before.sa_handler == SIG_IGN)) {
		sigemptyset(&ours.sa_mask);
		ours.sa_flags = SA_NODEFER;
	}
	ours.sa_flags = (ours.sa_flags & ~SA_RESETHAND) | SA_SIGINFO;
	ours.sa_sigaction = usercopy_handle;
	sigaction(sig, &ours, NULL);
}

static void usercopy_install_all(void)
{
	/* Whoever holds it is doing the same; in the child of a fork it may stay held, and what was installed serves on. */
	if (pthread_mutex_trylock(&usercopy_installing))
		return;
	usercopy_install(SIGSEGV);
	usercopy_install(SIGBUS);
	pthread_mutex_unlock(&usercopy_installing);
}

static void usercopy_init_once(void)
{
	unsigned a, b, c, d;
	const unsigned enhanced_rep_movsb = 1u << 9;

	if (__get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & enhanced_rep_movsb))
		usercopy_rep_from = USERCOPY_REP_FROM;
	usercopy_install_all();
}

void usercopy_init(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, usercopy_init_once);
}

void usercopy_renew(void)
{
	static atomic_uint_fast64_t last, pause = RENEW_AFTER;
	uint64_t tick = __builtin_ia32_rdtsc(), wait = atomic_load_explicit(&pause, memory_order_relaxed);
	struct sigaction now;

	if (tick - atomic_load_explicit(&last, memory_order_relaxed) < wait)
		return;
	atomic_store_explicit(&last, tick, memory_order_relaxed);
	if (sigaction(SIGSEGV, NULL, &now) == 0 && !is_ours(&now)) {
		usercopy_install_all();
		wait = RENEW_AFTER;
	} else if (wait < RENEW_AFTER_MAX) {
		wait += RENEW_MORE;
	}
	atomic_store_explicit(&pause, wait, memory_order_relaxed);
}
