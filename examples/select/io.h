/* SPDX-License-Identifier: MIT */
#pragma once

/* Objects that can be read, written and waited for, as in the GNU Hurd: an object is a port, and whoever holds a send right
 * to it sends it requests. What kind of object it is, and where it lives, only its server knows. */

#include <mach.h>

typedef mach_port_t io_t;

#define IO_READ	 1 /* a read would not block */
#define IO_WRITE 2 /* a write would not block */
#define IO_NOW	 4 /* in a request: answer at once, even if it is neither */

#define IO_BYTES_MAX 64 /* in one read or write */

enum { IO_SELECT = 2100, IO_READ_BYTES, IO_WRITE_BYTES, IO_COUNT_WAITING, IO_REPLY = 100 /* is added in replies */ };

/* Every request and every reply. */
struct io_message {
	mach_msg_header_t header;
	mach_msg_type_t numbers_type;
	int number; /* what is waited for, what is ready, how many bytes */
	int error;  /* in replies: an errno */
	mach_msg_type_t bytes_type;
	char bytes[IO_BYTES_MAX];
};

/* Room for whatever the kernel may send to a reply port instead. */
union io_buffer {
	struct io_message io;
	mach_msg_header_t header;
	mach_dead_name_notification_t dead_name;
	char room[sizeof(struct io_message) + 64];
};

/* Sends @m, whose header's id and local right (with its disposition) are set. */
mach_msg_return_t io_send(struct io_message *m, mach_port_t to, mach_msg_type_name_t disposition);

/* Asks to be told at @reply, once, when one of @types is possible. Does not wait; 0 or an errno. */
int io_select(io_t object, int types, mach_port_t reply);

/* These wait for the answer, but not for the object: EAGAIN if it would have to. The number of bytes, or -1 with errno. */
int io_read(io_t object, char *bytes, int n);
int io_write(io_t object, const char *bytes, int n);
/* How many io_select() the object has not answered yet. */
int io_count_waiting(io_t object);
