/* SPDX-License-Identifier: MIT */
#include "platform/deadline.h"

enum { NS_PER_MS = 1000 * 1000, NS_PER_S = 1000 * 1000 * 1000 };

struct deadline deadline_after_ms(uint32_t ms)
{
	struct deadline d = { .never = false };

	clock_gettime(CLOCK_MONOTONIC, &d.at);
	d.at.tv_sec += (time_t)(ms / 1000);
	d.at.tv_nsec += (long)(ms % 1000) * NS_PER_MS;
	if (d.at.tv_nsec >= NS_PER_S) {
		d.at.tv_nsec -= NS_PER_S;
		d.at.tv_sec++;
	}
	return d;
}

bool deadline_passed(const struct deadline *d)
{
	struct timespec now;

	if (d->never)
		return false;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec != d->at.tv_sec ? now.tv_sec > d->at.tv_sec : now.tv_nsec >= d->at.tv_nsec;
}
