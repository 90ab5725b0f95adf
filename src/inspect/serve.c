/* SPDX-License-Identifier: MIT */
#include "inspect/serve.h"

#include <mach/mig_errors.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "inspect/demux.h"
#include "kernel/image.h"
#include "kernel/message.h"
#include "kernel/send.h"
#include "platform/cpu.h"

enum { REPLY_MAX = 8192, REPLY_OFFSET = 100 };

/* The user by whose rights this process runs, and root. What the kernel makes itself asks nothing. */
static bool may_look(const struct message *request)
{
	if (request->sent_by == SENDER_OTHER)
		return request->sender.uid == 0 || request->sender.uid == geteuid();
	return request->sent_by == SENDER_SELF;
}

/* Takes the right. */
static void answer(struct right *dest, const mig_reply_header_t *bytes, mach_msg_id_t id, kern_return_t result)
{
	struct message *m = result ? NULL : message_new(bytes->Head.msgh_size);

	if (m) {
		memcpy(m->image, bytes, bytes->Head.msgh_size);
		m->size = bytes->Head.msgh_size;
	} else {
		m = message_new_certain(sizeof *bytes);
		image_write_result(m, id, result ? result : KERN_RESOURCE_SHORTAGE);
	}
	m->dest = *dest;
	m->cpu = cpu_current();
	dest->port = NULL;
	send_always(m);
}

/* The request as stubs know it. Of its rights they see nothing: only the reply right is left in a simple message. */
static void request_restore_header(struct message *request)
{
	request->header.msgh_bits = MACH_MSGH_BITS(0, MACH_MSG_TYPE_MOVE_SEND_ONCE);
	request->header.msgh_size = request->size;
}

static kern_return_t perform(struct message *request, mig_reply_header_t *reply)
{
	if (!may_look(request))
		return KERN_NO_ACCESS;
	if (request->is_complex || request->n_items)
		return MIG_BAD_ARGUMENTS;
	request_restore_header(request);
	return inspect_demux(&request->header, reply) ? reply->RetCode : MIG_BAD_ID;
}

void inspect_serve(struct message *request)
{
	union {
		mig_reply_header_t header;
		unsigned char bytes[REPLY_MAX];
	} reply;
	kern_return_t result = perform(request, &reply.header);

	if (right_is_valid(&request->reply))
		answer(&request->reply, &reply.header, request->header.msgh_id + REPLY_OFFSET, result);
	message_destroy(request);
}
