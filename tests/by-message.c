/* SPDX-License-Identifier: MIT */
/* Linked into a test, this makes every call on a task or thread a message to its port, as if it lived in another process. */
#include "client/target.h"

__attribute__((constructor)) static void send_always_to_targets(void)
{
	target_is_always_sent_to = true;
}
