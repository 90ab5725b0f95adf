/* SPDX-License-Identifier: MIT */
#ifndef CLIENT_SERVER_H
#define CLIENT_SERVER_H

/* The server loop, for servers of this tree. */

#include <mach/boolean.h>
#include <mach/message.h>

/* mach_msg_server_once() with bits of MACH_RCV_TRAILER_MASK: the trailer is behind each request that @demux gets. */
mach_msg_return_t server_once(boolean_t (*demux)(mach_msg_header_t *request, mach_msg_header_t *reply),
			      mach_msg_size_t max_size, mach_port_t rcv_name, mach_msg_option_t trailer);

#endif
