/* SPDX-License-Identifier: MIT */
/* Park: sleep until a word changes. Whoever changes the word wakes; a sleeper looks at the word again after each
 * return.
 *
 * park_wait() sleeps while *word == expected, at most until the deadline (NULL: never). It returns
 *   0          woken, or the word differs already; may be spurious
 *   ETIMEDOUT  the deadline has passed
 *   EINTR      a signal handler ran in this thread. Without a moment to wake at (NULL, deadline_never()) the host goes
 *              back to sleep by itself after a handler with SA_RESTART; deadline_far() hears of every handler, for
 *              about 0.3 us
 * The compare and the falling asleep are one step for park_wake(), so a wake after the change is never lost.
 * errno is as before. Not a cancellation point: a cancelled thread sleeps on until it is woken.
 * Memory order: none; the caller reads the word with what it needs. The words belong to one process. */
#ifndef PLATFORM_PARK_H
#define PLATFORM_PARK_H

#include <stdatomic.h>

struct deadline;

int park_wait(atomic_uint *word, unsigned expected, const struct deadline *deadline);

/* Wakes one sleeper, if there is one. Its memory may be gone already: then at worst somebody wakes for nothing. */
void park_wake(atomic_uint *word);

#endif
