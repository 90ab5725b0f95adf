/* SPDX-License-Identifier: MIT */
/* Payloads from a stream of bytes: what is there is read ahead, and given out piece by piece. */
#ifndef BENCH_READER_H
#define BENCH_READER_H

#include <stddef.h>

enum { READ_AHEAD = 64 * 1024 };

/* What was read and not yet taken is data[start..end). */
struct reader {
	int fd; /* its own: closed with it */
	char *data;
	size_t room, start, end;
};

/* Fresh memory, or the program ends. munmap() it. */
char *memory_new(size_t size);

/* room: bytes of the longest payload, and of what is read ahead. */
void reader_init(struct reader *r, int fd, size_t room);
void reader_deinit(struct reader *r);
/* The next payload and its size in bytes; good until the next one is read. */
char *reader_next(struct reader *r, size_t *size);

#endif
