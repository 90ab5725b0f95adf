/* SPDX-License-Identifier: MIT */
#include "reader.h"

#include "contestant.h"

#include <sys/mman.h>
#include <unistd.h>

char *memory_new(size_t size)
{
	char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	need(memory != MAP_FAILED);
	return memory;
}

void reader_init(struct reader *r, int fd, size_t room)
{
	*r = (struct reader){ .fd = fd, .data = memory_new(room), .room = room };
}

void reader_deinit(struct reader *r)
{
	munmap(r->data, r->room);
	close(r->fd);
}

static void reader_fill(struct reader *r, size_t wanted)
{
	ssize_t n;

	if (r->start == r->end)
		r->start = r->end = 0;
	if (r->start + wanted > r->room) {
		memmove(r->data, r->data + r->start, r->end - r->start);
		r->end -= r->start;
		r->start = 0;
	}
	while (r->end - r->start < wanted) {
		n = read(r->fd, r->data + r->end, r->room - r->end);
		need(n > 0);
		r->end += (size_t)n;
	}
}

char *reader_next(struct reader *r, size_t *size)
{
	char *data;

	if (r->end - r->start < REQUEST_SIZE_MIN)
		reader_fill(r, REQUEST_SIZE_MIN);
	*size = request_size(r->data + r->start);
	need(*size <= r->room);
	if (r->end - r->start < *size)
		reader_fill(r, *size);
	data = r->data + r->start;
	r->start += *size;
	return data;
}
