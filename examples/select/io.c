/* SPDX-License-Identifier: MIT */
#include "io.h"

#include <errno.h>
#include <string.h>

static const mach_msg_type_t two_numbers = {
	.msgt_name = MACH_MSG_TYPE_INTEGER_32, .msgt_size = 32, .msgt_number = 2, .msgt_inline = 1
};
static const mach_msg_type_t all_bytes = {
	.msgt_name = MACH_MSG_TYPE_CHAR, .msgt_size = 8, .msgt_number = IO_BYTES_MAX, .msgt_inline = 1
};

mach_msg_return_t io_send(struct io_message *m, mach_port_t to, mach_msg_type_name_t disposition)
{
	m->header.msgh_bits = MACH_MSGH_BITS(disposition, MACH_MSGH_BITS_LOCAL(m->header.msgh_bits));
	m->header.msgh_remote_port = to;
	m->numbers_type = two_numbers;
	m->bytes_type = all_bytes;
	return mach_msg(&m->header, MACH_SEND_MSG, sizeof *m, 0, MACH_PORT_NULL, 0, MACH_PORT_NULL);
}

static int io_request(struct io_message *m, io_t object, int id, mach_port_t reply)
{
	m->header.msgh_id = id;
	m->header.msgh_bits = MACH_MSGH_BITS(0, MACH_MSG_TYPE_MAKE_SEND_ONCE);
	m->header.msgh_local_port = reply;
	switch (io_send(m, object, MACH_MSG_TYPE_COPY_SEND)) {
	case MACH_MSG_SUCCESS:
		return 0;
	case MACH_SEND_INVALID_DEST:
		return EBADF;
	default:
		return EIO;
	}
}

int io_select(io_t object, int types, mach_port_t reply)
{
	struct io_message m = { .number = types };

	return io_request(&m, object, IO_SELECT, reply);
}

/* Request and answer, in one buffer; a server that dies answers with a send-once notification. */
static int io_call(union io_buffer *b, io_t object, int id)
{
	mach_port_t reply = mig_get_reply_port();
	int error = io_request(&b->io, object, id, reply);

	if (error)
		return error;
	if (mach_msg(&b->header, MACH_RCV_MSG, 0, sizeof *b, reply, 0, MACH_PORT_NULL))
		return EIO;
	return b->header.msgh_id == id + IO_REPLY ? b->io.error : EIO;
}

static int io_result(const struct io_message *m, int error)
{
	if (!error)
		return m->number;
	errno = error;
	return -1;
}

int io_read(io_t object, char *bytes, int n)
{
	union io_buffer b = { .io.number = n < IO_BYTES_MAX ? n : IO_BYTES_MAX };
	int error = io_call(&b, object, IO_READ_BYTES);

	if (!error)
		memcpy(bytes, b.io.bytes, (size_t)b.io.number);
	return io_result(&b.io, error);
}

int io_write(io_t object, const char *bytes, int n)
{
	union io_buffer b = { .io.number = n < IO_BYTES_MAX ? n : IO_BYTES_MAX };

	memcpy(b.io.bytes, bytes, (size_t)b.io.number);
	return io_result(&b.io, io_call(&b, object, IO_WRITE_BYTES));
}

int io_count_waiting(io_t object)
{
	union io_buffer b = { 0 };

	return io_result(&b.io, io_call(&b, object, IO_COUNT_WAITING));
}
