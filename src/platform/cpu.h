/* SPDX-License-Identifier: MIT */
/* CPU: which one runs the caller, and how many there are: what one must know to spin only where it pays. */
#ifndef PLATFORM_CPU_H
#define PLATFORM_CPU_H

#include <stdatomic.h>

#if defined(__has_include)
#if __has_include(<sys/rseq.h>)
#include <sys/rseq.h>
#define CPU_HAS_RSEQ 1
#endif
#endif

extern atomic_uint cpu_online_cached; /* 0: not asked yet; only for cpu_online() */

unsigned cpu_current_ask(void); /* the slow way, for cpu_current() */
unsigned cpu_online_ask(void);	/* asks, and caches */

#if defined(CPU_HAS_RSEQ) && defined(__x86_64__)
static inline const volatile struct rseq *cpu_rseq(void)
{
	const char *thread;

	/* The thread pointer, which glibc's offset counts from; not every compiler has __builtin_thread_pointer()
	 * here. */
	__asm__("mov %%fs:0, %0" : "=r"(thread));
	return (const volatile struct rseq *)(const volatile void *)(thread + __rseq_offset);
}
#elif defined(CPU_HAS_RSEQ)
static inline const volatile struct rseq *cpu_rseq(void)
{
	const char *thread = __builtin_thread_pointer();

	return (const volatile struct rseq *)(const volatile void *)(thread + __rseq_offset);
}
#endif

/* The number of the CPU that ran the caller a moment ago; about 1 ns. Never fails: 0 if the host cannot tell. */
static inline unsigned cpu_current(void)
{
#ifdef CPU_HAS_RSEQ
	if (__builtin_expect(__rseq_size != 0, 1)) {
		unsigned cpu = cpu_rseq()->cpu_id;

		if (__builtin_expect((int)cpu >= 0, 1))
			return cpu;
	}
#endif
	return cpu_current_ask();
}

/* How many CPUs are online, at least 1, as it was when first asked. */
static inline unsigned cpu_online(void)
{
	unsigned n = atomic_load_explicit(&cpu_online_cached, memory_order_relaxed);

	return __builtin_expect(n != 0, 1) ? n : cpu_online_ask();
}

/* In each turn of a loop that spins. */
#if defined(__x86_64__) || defined(__i386__)
static inline void cpu_relax(void)
{
	__builtin_ia32_pause();
}
#elif defined(__aarch64__)
static inline void cpu_relax(void)
{
	__asm__ volatile("yield" ::: "memory");
}
#else
static inline void cpu_relax(void)
{
	__asm__ volatile("" ::: "memory");
}
#endif

#endif
