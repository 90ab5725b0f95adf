/* SPDX-License-Identifier: MIT */
/* Round trips of 64 bytes, for any two ends. */
#ifndef BENCH_RPC_H
#define BENCH_RPC_H

#include "small.h"

enum rpc_id { RPC_CALL = 1, RPC_OPEN, RPC_REGION, RPC_RIGHTS, RPC_RELEASE, RPC_STOP, RPC_REPLY = 100 };

/* Every rpc carries a number; its answer carries the next one, and an id that is RPC_REPLY higher. */
static inline void small_set_number(struct small *m, uint64_t number)
{
	memcpy(m->data, &number, sizeof number);
}

static inline uint64_t small_number(const struct small *m)
{
	uint64_t number;

	memcpy(&number, m->data, sizeof number);
	return number;
}

/* The head of a request that makes a send-once right to reply. */
static inline void request_init(mach_msg_header_t *head, mach_msg_size_t size, mach_port_t to, mach_port_t reply,
				int id)
{
	head->msgh_bits = MACH_MSGH_BITS(MACH_MSG_TYPE_COPY_SEND, MACH_MSG_TYPE_MAKE_SEND_ONCE);
	head->msgh_size = size;
	head->msgh_remote_port = to;
	head->msgh_local_port = reply;
	head->msgh_id = id;
}

/* Turns a request that came into the head of its answer. */
static inline void answer_init(mach_msg_header_t *head, mach_msg_size_t size)
{
	head->msgh_bits = MACH_MSGH_BITS(MACH_MSGH_BITS_REMOTE(head->msgh_bits), 0);
	head->msgh_size = size;
	head->msgh_local_port = MACH_PORT_NULL;
	head->msgh_id += RPC_REPLY;
}

/* Sends what is in m and receives into it. */
static inline void exchange(mach_msg_header_t *m, size_t room, mach_port_t from)
{
	must(mach_msg(m, MACH_SEND_MSG | MACH_RCV_MSG, m->msgh_size, (mach_msg_size_t)room, from, MACH_MSG_TIMEOUT_NONE,
		      MACH_PORT_NULL));
}

/* Answers what comes to a port or port set until that many clients have stopped. */
void rpc_serve(mach_port_t from, unsigned n_clients);

/* n round trips. */
void rpc_call(mach_port_t to, mach_port_t reply, uint64_t n);

void rpc_stop(mach_port_t to);

#endif
