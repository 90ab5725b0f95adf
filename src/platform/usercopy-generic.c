/* SPDX-License-Identifier: MIT */
/* Usercopy for machines that usercopy-*.c does not know: the host copies, and tells what it could not reach. A system
 * call each time; a sandbox that forbids process_vm_readv() makes every copy fail. See usercopy.h. */
#include "platform/usercopy.h"

#include <stdint.h>
#include <sys/uio.h>
#include <unistd.h>

#include "platform/usercopy-range.h"

typedef ssize_t user_transfer(pid_t, const struct iovec *here, unsigned long n_here, const struct iovec *there,
			      unsigned long n_there, unsigned long flags);

/* The host moves at most about 2 GiB a call, so go on as long as something moved. */
static bool user_copy(user_transfer *transfer, char *own, uintptr_t user, size_t n)
{
	pid_t self = getpid();

	while (n > 0) {
		struct iovec here = { own, n }, there = { (void *)user, n };
		ssize_t moved = transfer(self, &here, 1, &there, 1, 0);

		if (moved <= 0)
			return false;
		own += moved;
		user += (size_t)moved;
		n -= (size_t)moved;
	}
	return true;
}

bool user_read(void *to, const void *user, size_t n)
{
	return n == 0 || (user_range_is_sane(user, n) && user_copy(process_vm_readv, to, (uintptr_t)user, n));
}

bool user_read_far(void *to, const void *user, size_t n)
{
	return user_read(to, user, n);
}

bool user_write(void *user, const void *from, size_t n)
{
	return n == 0 || (user_range_is_sane(user, n) &&
			  user_copy(process_vm_writev, (char *)(uintptr_t)from, (uintptr_t)user, n));
}

bool user_writable(void *user, size_t n)
{
	char byte;

	return n == 0 || (user_range_is_sane(user, n) && user_read(&byte, user, 1) && user_write(user, &byte, 1));
}

void usercopy_init(void)
{
}

void usercopy_renew(void)
{
}
