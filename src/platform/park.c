/* SPDX-License-Identifier: MIT */
#include "platform/park.h"

#include <assert.h>
#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "platform/deadline.h"

static_assert(sizeof(atomic_uint) == 4, "a futex word has four bytes");
static_assert(sizeof(time_t) == sizeof(long), "the futex call takes the host's own timespec");

int park_wait(atomic_uint *word, unsigned expected, const struct deadline *deadline)
{
	const struct timespec *until = deadline && !deadline->never ? &deadline->at : NULL;
	int saved = errno, error = 0;

	/* BITSET, because only it takes an absolute time. */
	if (syscall(SYS_futex, word, FUTEX_WAIT_BITSET_PRIVATE, expected, until, NULL, FUTEX_BITSET_MATCH_ANY) < 0)
		error = errno;
	errno = saved;
	assert(error == 0 || error == EAGAIN || error == ETIMEDOUT || error == EINTR);
	return error == EAGAIN ? 0 : error;
}

void park_wake(atomic_uint *word)
{
	int saved = errno;

	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1);
	errno = saved;
}
