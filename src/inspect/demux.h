/* SPDX-License-Identifier: MIT */
#pragma once

/* MIG's part of serve.c: in demux.c, or where there is no MIG, in demux-none.c, which knows no request. */

#include <mach/mig_errors.h>
#include <stdbool.h>

/* False: it is no request of this interface. */
bool inspect_demux(mach_msg_header_t *request, mig_reply_header_t *reply);
