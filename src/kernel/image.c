/* SPDX-License-Identifier: MIT */
#include "kernel/image.h"

#include <assert.h>
#include <mach/mig_errors.h>
#include <mach/notify.h>
#include <portunus/abi.h>
#include <stddef.h>
#include <string.h>

#include "kernel/message.h"

#define ALIGNMENT MACH_MSG_USER_ALIGNMENT

/* Where the long form has its name, when it is a form of its own: behind the short one. */
#define LONG_NAME_OFFSET sizeof(mach_msg_type_t)

static uint32_t align_up(uint64_t offset)
{
	return (uint32_t)((offset + ALIGNMENT - 1) & ~(uint64_t)(ALIGNMENT - 1));
}

/* Name, size and number, from the short or the long form. False: the long form is cut short. */
static bool read_type(const unsigned char *image, uint32_t room, mach_msg_type_t *type, struct descriptor *d)
{
	mach_msg_type_long_t long_type;

	memcpy(type, image + d->at, sizeof *type);
	d->type = type->msgt_name;
	d->size = type->msgt_size;
	d->number = type->msgt_number;
	d->data = d->at + sizeof *type;
	if (!type->msgt_longform || sizeof long_type == sizeof *type)
		return true;
	if (room < sizeof long_type)
		return false;
	memcpy(&long_type, image + d->at, sizeof long_type);
	d->type = long_type.msgtl_name;
	d->size = long_type.msgtl_size;
	d->number = long_type.msgtl_number;
	d->data = d->at + sizeof long_type;
	return true;
}

mach_msg_return_t image_read_descriptor(const unsigned char *image, uint32_t size, uint32_t at, struct descriptor *d)
{
	mach_msg_type_t type;
	uint64_t here;

	d->at = at;
	if (size - at < sizeof type || !read_type(image, size - at, &type, d))
		return MACH_SEND_MSG_TOO_SMALL;
	d->is_inline = type.msgt_inline;
	d->deallocates = type.msgt_deallocate;
	d->has_unused = type.msgt_unused != 0;
	d->length = (d->number * d->size + 7) / 8;
	here = d->is_inline ? d->length : sizeof(void *);
	d->end = size - d->data < here ? size : align_up(d->data + here);
	return MACH_MSG_SUCCESS;
}

mach_msg_return_t image_check_descriptor(const struct descriptor *d, uint32_t size)
{
	uint64_t here = d->is_inline ? d->length : sizeof(void *);
	mach_msg_type_size_t port_bits =
		8 * (d->is_inline ? sizeof(mach_port_name_inlined_t) : sizeof(mach_port_name_t));

	if (MACH_MSG_TYPE_PORT_ANY(d->type) && d->size != port_bits)
		return MACH_SEND_INVALID_TYPE;
	if ((d->is_inline && d->deallocates) || d->has_unused)
		return MACH_SEND_INVALID_TYPE;
	return size - d->data < here ? MACH_SEND_MSG_TOO_SMALL : MACH_MSG_SUCCESS;
}

/* The bit that says that memory is the receiver's to free, in the first word of either form. */
static uint32_t deallocate_bit(void)
{
	mach_msg_type_t type;
	uint32_t bit;

	memset(&type, 0, sizeof type);
	type.msgt_deallocate = true;
	memcpy(&bit, &type, sizeof bit);
	return bit;
}

/* As words, not as bit fields: a load of the whole right after a store to a part of it would stall. */
void image_write_descriptor(unsigned char *image, const struct descriptor *d, mach_msg_type_name_t name)
{
	bool is_long = d->data - d->at > sizeof(mach_msg_type_t);
	uint16_t long_name = (uint16_t)name;
	uint32_t word;

	memcpy(&word, image + d->at, sizeof word);
	if (!is_long)
		word = (word & ~(uint32_t)UINT8_MAX) | (name & UINT8_MAX);
	if (!d->is_inline)
		word |= deallocate_bit();
	memcpy(image + d->at, &word, sizeof word);
	if (is_long)
		memcpy(image + d->at + LONG_NAME_OFFSET, &long_name, sizeof long_name);
}

void image_write_name(unsigned char *image, uint32_t offset, mach_port_name_t name)
{
	/* One store of the whole, padding included: put together in parts it would stall the load that copies it. */
	uint64_t inlined = name;

	memcpy(image + offset, &inlined, sizeof(mach_port_name_inlined_t));
}

mach_port_name_t image_read_name(const unsigned char *image, uint32_t offset)
{
	mach_port_name_inlined_t inlined;

	memcpy(&inlined, image + offset, sizeof inlined);
	return inlined.name;
}

void image_write_address(unsigned char *image, uint32_t offset, const void *address)
{
	memcpy(image + offset, &address, sizeof address);
}

const void *image_read_address(const unsigned char *image, uint32_t offset)
{
	const void *address;

	memcpy(&address, image + offset, sizeof address);
	return address;
}

/* All notifications that tell something have one layout but for the type of what they tell. */
_Static_assert(offsetof(mach_dead_name_notification_t, not_port) == offsetof(mach_no_senders_notification_t, not_count),
	       "a name and a count are in the same place");
_Static_assert(sizeof(mach_dead_name_notification_t) == sizeof(mach_no_senders_notification_t) &&
		       sizeof(mach_dead_name_notification_t) == sizeof(mach_port_destroyed_notification_t),
	       "all notifications that tell something are of one size");

uint32_t image_notice_size(mach_msg_id_t id)
{
	return id == MACH_NOTIFY_SEND_ONCE ? sizeof(mach_send_once_notification_t)
					   : sizeof(mach_dead_name_notification_t);
}

uint32_t image_notice_offset(void)
{
	return offsetof(mach_dead_name_notification_t, not_port);
}

static mach_msg_type_t notice_type(mach_msg_id_t id)
{
	mach_msg_type_t type;

	memset(&type, 0, sizeof type);
	type.msgt_name = MACH_MSG_TYPE_PORT_NAME;
	type.msgt_size = 8 * sizeof(mach_port_name_t);
	type.msgt_number = 1;
	type.msgt_inline = true;
	if (id == MACH_NOTIFY_NO_SENDERS) {
		type.msgt_name = MACH_MSG_TYPE_INTEGER_32;
	} else if (id == MACH_NOTIFY_PORT_DESTROYED) {
		type.msgt_name = MACH_MSG_TYPE_PORT_RECEIVE;
		type.msgt_size = 8 * sizeof(mach_port_name_inlined_t);
	}
	return type;
}

void image_write_notice(struct message *notice, mach_msg_id_t id, uint32_t value)
{
	mach_msg_type_t type = notice_type(id);

	memset(&notice->header, 0, sizeof notice->header);
	notice->header.msgh_id = id;
	notice->size = image_notice_size(id);
	notice->sent_by = SENDER_KERNEL;
	notice->is_complex = id == MACH_NOTIFY_PORT_DESTROYED;
	if (id == MACH_NOTIFY_SEND_ONCE)
		return;
	memset(notice->image + sizeof notice->header, 0, notice->size - sizeof notice->header);
	memcpy(notice->image + offsetof(mach_dead_name_notification_t, not_type), &type, sizeof type);
	memcpy(notice->image + image_notice_offset(), &value, sizeof value);
}

void image_write_result(struct message *reply, mach_msg_id_t id, kern_return_t result)
{
	mig_reply_header_t bytes;

	memset(&bytes, 0, sizeof bytes);
	bytes.Head.msgh_id = id;
	bytes.RetCodeType.msgt_name = MACH_MSG_TYPE_INTEGER_32;
	bytes.RetCodeType.msgt_size = 32;
	bytes.RetCodeType.msgt_number = 1;
	bytes.RetCodeType.msgt_inline = true;
	bytes.RetCode = result;
	reply->size = sizeof bytes;
	memcpy(reply->image, &bytes, sizeof bytes);
	reply->sent_by = SENDER_KERNEL;
}

bool image_read_result(const struct message *m, mach_msg_id_t id, kern_return_t *result)
{
	mig_reply_header_t bytes;

	if (m->size != sizeof bytes || m->is_complex || m->header.msgh_id != id)
		return false;
	memcpy(&bytes, m->image, sizeof bytes);
	*result = bytes.RetCode;
	return true;
}

void image_write_request(struct message *request, mach_msg_id_t id)
{
	memset(&request->header, 0, sizeof request->header);
	request->header.msgh_id = id;
}

bool image_is_request(const struct message *m, mach_msg_id_t id)
{
	return m->size == sizeof m->header && !m->is_complex && m->header.msgh_id == id;
}

/* Returns the size of the short form; 0: the number does not fit into it. */
static uint32_t write_short_type(unsigned char *to, const struct descriptor *d)
{
	mach_msg_type_t type;

	memset(&type, 0, sizeof type);
	type.msgt_name = (unsigned char)d->type;
	type.msgt_size = (unsigned char)d->size;
	type.msgt_number = (mach_msg_type_number_t)d->number;
	type.msgt_inline = d->is_inline;
	type.msgt_deallocate = !d->is_inline;
	memcpy(to, &type, sizeof type);
	return type.msgt_number == d->number ? sizeof type : 0;
}

static uint32_t write_long_type(unsigned char *to, const struct descriptor *d)
{
	mach_msg_type_long_t type;

	memset(&type, 0, sizeof type);
	type.msgtl_name = (unsigned char)d->type;
	type.msgtl_size = (unsigned char)d->size;
	type.msgtl_number = (mach_msg_type_number_t)d->number;
	type.msgtl_header.msgt_inline = d->is_inline;
	type.msgtl_header.msgt_longform = true;
	type.msgtl_header.msgt_deallocate = !d->is_inline;
	memcpy(to, &type, sizeof type);
	return sizeof type;
}

void image_append(struct message *m, struct descriptor *d)
{
	uint32_t size;

	d->at = m->size;
	assert(d->at + sizeof(mach_msg_type_long_t) <= m->capacity);
	size = write_short_type(m->image + d->at, d);
	if (!size)
		size = write_long_type(m->image + d->at, d);
	d->data = d->at + size;
	d->length = d->number * d->size / 8;
	d->end = align_up(d->data + (d->is_inline ? d->length : sizeof(void *)));
	assert(d->end <= m->capacity);
	m->size = d->end;
}
