/* SPDX-License-Identifier: MIT */
/* What the contestants send between processes: 64 bytes, as our rows do. The number is checked where it arrives. */
#ifndef BENCH_PACKET_H
#define BENCH_PACKET_H

#include <stdint.h>

enum packet_kind { PACKET_CALL, PACKET_OPEN, PACKET_STREAM, PACKET_RIGHTS, PACKET_RELEASE, PACKET_STOP };

struct packet {
	uint32_t kind;
	uint64_t number;
	char rest[48];
};

_Static_assert(sizeof(struct packet) == 64, "as long as ours");

#endif
