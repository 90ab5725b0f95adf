/* SPDX-License-Identifier: MIT */
#include "link/limits.h"

#include <mach/kern_return.h>
#include <portunus/limits.h>
#include <sys/resource.h>

struct limits limits = {
	.exports = LINK_MAX_EXPORTS,
	.queued = 256ul << 20,
	.backlog = 1ul << 30,
	.announced = 1ul << 30,
};

/* A link needs four descriptors: half of those that there are, at most, for one peer. */
__attribute__((constructor)) static void limits_init(void)
{
	struct rlimit rlimit;
	unsigned n = 128;

	if (getrlimit(RLIMIT_NOFILE, &rlimit) == 0)
		n = rlimit.rlim_cur / 8 > 1024 ? 1024 : (unsigned)rlimit.rlim_cur / 8;
	limits.links = n < 16 ? 16 : n;
}

kern_return_t portunus_set_limit(int limit, unsigned long value)
{
	if (value == 0)
		return KERN_INVALID_VALUE;
	switch (limit) {
	case PORTUNUS_LIMIT_LINKS:
		limits.links = value > UINT32_MAX ? UINT32_MAX : (unsigned)value;
		return KERN_SUCCESS;
	case PORTUNUS_LIMIT_EXPORTS:
		limits.exports = value > LINK_MAX_EXPORTS ? LINK_MAX_EXPORTS : (unsigned)value;
		return KERN_SUCCESS;
	case PORTUNUS_LIMIT_QUEUED:
		limits.queued = value;
		return KERN_SUCCESS;
	case PORTUNUS_LIMIT_BACKLOG:
		limits.backlog = value;
		return KERN_SUCCESS;
	case PORTUNUS_LIMIT_ANNOUNCED:
		limits.announced = value;
		return KERN_SUCCESS;
	default:
		return KERN_INVALID_ARGUMENT;
	}
}
