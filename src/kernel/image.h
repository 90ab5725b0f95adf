/* SPDX-License-Identifier: MIT */
#pragma once

/* The bytes of a user's message: type descriptors, their two layouts (<portunus/abi.h>), and the messages that the
 * kernel itself writes. Together with copyin and copyout this is all that knows what they look like. */

#include <mach/message.h>
#include <stdbool.h>
#include <stdint.h>

struct message;

/* One item of a body, as its descriptor says. */
struct descriptor {
	mach_msg_type_name_t type;
	mach_msg_type_size_t size; /* bits of an element */
	uint64_t number;	   /* of elements */
	bool is_inline, deallocates, has_unused;
	uint32_t at;	 /* offset of the descriptor in the image */
	uint32_t data;	 /* offset of what follows it */
	uint64_t length; /* bytes that the elements take, here or elsewhere */
	uint32_t end;	 /* offset of the next descriptor */
};

/* Reads the descriptor at @at of an image of @size bytes. MACH_SEND_MSG_TOO_SMALL: cut short. */
mach_msg_return_t image_read_descriptor(const unsigned char *image, uint32_t size, uint32_t at, struct descriptor *d);
/* Whether it can be what it says: MACH_SEND_INVALID_TYPE (rights of a wrong size, inline data to be deallocated, unused
 * bits set), MACH_SEND_MSG_TOO_SMALL (the elements do not fit into the message). */
mach_msg_return_t image_check_descriptor(const struct descriptor *d, uint32_t size);
/* Sets what a receiver sees differently: the type, and that out-of-line memory is his to free. */
void image_write_descriptor(unsigned char *image, const struct descriptor *d, mach_msg_type_name_t type);

void image_write_name(unsigned char *image, uint32_t offset, mach_port_name_t name);
mach_port_name_t image_read_name(const unsigned char *image, uint32_t offset);
void image_write_address(unsigned char *image, uint32_t offset, const void *address);
const void *image_read_address(const unsigned char *image, uint32_t offset);

/* Notifications: <mach/notify.h>. */
uint32_t image_notice_size(mach_msg_id_t id);
uint32_t image_notice_offset(void); /* of the name or count, and of a receive right */
void image_write_notice(struct message *notice, mach_msg_id_t id, uint32_t value);

/* How every reply begins, and all of it if @result is an error (mig_reply_header_t). */
void image_write_result(struct message *reply, mach_msg_id_t id, kern_return_t result);
/* Appends the descriptor of an item of a given type, size and number, inline or not, and room for its data, within the
 * capacity of @m; sets the offsets in @d. */
void image_append(struct message *m, struct descriptor *d);
/* The result of a reply that is no more than that. False: it is something else. */
bool image_read_result(const struct message *m, mach_msg_id_t id, kern_return_t *result);
/* A request that is a header and nothing more. */
void image_write_request(struct message *request, mach_msg_id_t id);
bool image_is_request(const struct message *m, mach_msg_id_t id);
