/* SPDX-License-Identifier: MIT */
#ifndef PORTUNUS_MACH_MSG_TYPE_H
#define PORTUNUS_MACH_MSG_TYPE_H

#include <mach/message.h>

/* Flags that some old programs keep in a message type of their own; nothing here looks at them. */
#define MSG_TYPE_CAMELOT   (1 << 6)
#define MSG_TYPE_ENCRYPTED (1 << 7)
#define MSG_TYPE_RPC	   (1 << 8)

#endif
