/* SPDX-License-Identifier: MIT */
#include "kernel/copyout.h"

#include <assert.h>
#include <stdlib.h>

#include "kernel/after.h"
#include "kernel/image.h"
#include "kernel/message.h"
#include "kernel/notify.h"
#include "kernel/port.h"
#include "kernel/right.h"
#include "kernel/space.h"
#include "kernel/task.h"
#include "kernel/trailer.h"
#include "platform/usercopy.h"

/* The special bits for a right that found no place. */
static mach_msg_return_t special_bits(kern_return_t r)
{
	switch (r) {
	case KERN_SUCCESS:
		return MACH_MSG_SUCCESS;
	case KERN_RESOURCE_SHORTAGE:
		return MACH_MSG_IPC_KERNEL;
	default:
		return MACH_MSG_IPC_SPACE;
	}
}

/* A name for one right of a message. What finds no place stays in *port, else that becomes NULL. */
static inline mach_msg_return_t copyout_right_locked(struct space *space, struct port **port, enum right_kind kind,
						     mach_port_name_t *number)
{
	struct right right = { *port, kind };
	struct name *name;
	bool is_new;
	kern_return_t r = right_copyout_locked(space, &right, &name, &is_new, number);

	if (__builtin_expect(r != KERN_SUCCESS, 0)) {
		*number = MACH_PORT_NULL;
		return special_bits(r);
	}
	*port = NULL;
	return MACH_MSG_SUCCESS;
}

static void rights_leave_transit(struct port **ports, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		struct right right = { ports[i], RIGHT_RECEIVE };

		if (right_is_valid(&right))
			port_leave_transit(ports[i]);
	}
}

/* Those that found no place. */
static void rights_destroy(struct port **ports, enum right_kind kind, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		struct right right = { ports[i], kind };

		right_destroy(&right);
	}
}

/* Takes the right whatever happens: if it finds no place it is destroyed. */
static mach_msg_return_t copyout_right(struct space *space, struct right *right, mach_port_name_t *number)
{
	mach_msg_return_t bits;

	lock_take(&space->lock);
	bits = copyout_right_locked(space, &right->port, right->kind, number);
	lock_drop(&space->lock);
	right_destroy(right);
	return bits;
}

static mach_msg_return_t copyout_inline_rights(struct space *space, struct message *m, struct item *item)
{
	struct port **ports = item_ports(item);
	mach_msg_return_t bits = 0;
	mach_port_name_t number;

	lock_take(&space->lock);
	for (uint32_t i = 0; i < item->n_rights; i++) {
		bits |= copyout_right_locked(space, &ports[i], item->right, &number);
		image_write_name(m->image, item->offset + i * (uint32_t)sizeof(mach_port_name_inlined_t), number);
	}
	lock_drop(&space->lock);
	return bits;
}

/* The names go to memory that is the receiver's in a moment, and may fault: a few at a time. */
static mach_msg_return_t copyout_array_rights(struct space *space, struct item *item)
{
	mach_port_name_t numbers[64], *names = item->memory.address;
	struct port **ports = item_ports(item);
	mach_msg_return_t bits = 0;

	if (memory_is_lost(&item->memory))
		return MACH_MSG_VM_KERNEL;
	for (uint32_t i = 0, n = 0; i < item->n_rights; i += n) {
		lock_take(&space->lock);
		for (n = 0; n < sizeof numbers / sizeof *numbers && i + n < item->n_rights; n++)
			bits |= copyout_right_locked(space, &ports[i + n], item->right, &numbers[n]);
		lock_drop(&space->lock);
		user_write(&names[i], numbers, n * sizeof *numbers);
	}
	return bits;
}

static mach_msg_return_t copyout_item_rights(struct space *space, struct message *m, struct item *item)
{
	mach_msg_return_t bits;

	if (item->right == RIGHT_RECEIVE)
		rights_leave_transit(item_ports(item), item->n_rights);
	if (item->kind == ITEM_INLINE_RIGHTS)
		bits = copyout_inline_rights(space, m, item);
	else
		bits = copyout_array_rights(space, item);
	if (bits)
		rights_destroy(item_ports(item), item->right, item->n_rights);
	return bits;
}

static mach_msg_return_t copyout_item(struct task *task, struct message *m, struct item *item)
{
	mach_msg_return_t bits = item->n_rights ? copyout_item_rights(task->space, m, item) : MACH_MSG_SUCCESS;

	if (item->n_rights > 1)
		free(item->ports);
	if (item->kind == ITEM_INLINE_RIGHTS)
		return bits;
	if (memory_is_lost(&item->memory))
		bits |= MACH_MSG_VM_KERNEL;
	image_write_address(m->image, item->offset, memory_give(&item->memory, task));
	return bits;
}

static mach_msg_return_t copyout_body(struct task *task, struct message *m)
{
	mach_msg_return_t bits = 0;

	for (uint32_t i = 0; i < m->n_items; i++)
		bits |= copyout_item(task, m, &m->items[i]);
	m->n_items = 0;
	return bits;
}

/* The header as a receiver sees it: his reply right as remote, the port he received from as local. */
static void write_header(struct message *m, mach_port_name_t remote, mach_port_name_t local,
			 enum right_kind remote_kind, enum right_kind local_kind)
{
	mach_msg_bits_t other =
		MACH_MSGH_BITS_OTHER(m->header.msgh_bits) & ~(MACH_MSGH_BITS_COMPLEX | MACH_MSGH_BITS_CIRCULAR);

	m->header.msgh_bits = other | MACH_MSGH_BITS(remote_kind, local_kind);
	if (m->is_complex)
		m->header.msgh_bits |= MACH_MSGH_BITS_COMPLEX;
	m->header.msgh_size = m->size;
	m->header.msgh_remote_port = remote;
	m->header.msgh_protected_payload = 0;
	m->header.msgh_local_port = local;
	m->header.msgh_seqno = m->seqno;
}

static void write_payload(struct message *m)
{
	if (!m->has_payload)
		return;
	m->header.msgh_bits &= ~MACH_MSGH_BITS_LOCAL_MASK;
	m->header.msgh_bits |= MACH_MSGH_BITS(0, MACH_MSG_TYPE_PROTECTED_PAYLOAD);
	m->header.msgh_protected_payload = m->payload;
}

/* MACH_RCV_NOTIFY: points the notice at the receive right named @notify. */
static mach_msg_return_t arm_for_reply_locked(struct space *space, mach_port_name_t notify, struct message *notice)
{
	struct right right;

	if (!right_make_send_once_locked(space, notify, &right))
		return MACH_RCV_INVALID_NOTIFY;
	notice_arm(notice, &right);
	return MACH_MSG_SUCCESS;
}

/* The reply right with a dead-name request, which is made only if the right is new to the receiver. On an error the
 * reply right is still in the message. */
static mach_msg_return_t copyout_reply_notify(struct space *space, struct message *m, mach_port_name_t notify,
					      mach_port_name_t *remote)
{
	struct message *notice = notice_new(MACH_NOTIFY_DEAD_NAME);
	bool is_new = false;
	mach_msg_return_t r;
	struct name *name;
	kern_return_t kr;

	if (!notice)
		return MACH_RCV_HEADER_ERROR | MACH_MSG_IPC_KERNEL;
	lock_take(&space->lock);
	r = arm_for_reply_locked(space, notify, notice);
	if (!r) {
		kr = right_copyout_locked(space, &m->reply, &name, &is_new, remote);
		r = kr ? MACH_RCV_HEADER_ERROR | special_bits(kr) : MACH_MSG_SUCCESS;
	}
	if (!r)
		m->reply.port = NULL;
	if (!is_new || !notify_attach_locked(name, notice))
		notice_withdraw(notice);
	lock_drop(&space->lock);
	return r;
}

static mach_msg_return_t copyout_reply(struct space *space, struct message *m, mach_port_name_t *remote)
{
	kern_return_t r;

	*remote = m->reply.port ? MACH_PORT_DEAD : MACH_PORT_NULL;
	if (!right_is_valid(&m->reply))
		return MACH_MSG_SUCCESS;
	r = right_copyout(space, &m->reply, remote);
	if (r)
		return MACH_RCV_HEADER_ERROR | special_bits(r);
	m->reply.port = NULL;
	return MACH_MSG_SUCCESS;
}

/* Whether all of it found its place. */
static bool write_message(const struct message *m, mach_msg_header_t *user, mach_msg_option_t option)
{
	if (!user_write(user, m->image, m->size))
		return false;
	return !trailer_is_wanted(option) || trailer_write(m, user, option);
}

mach_msg_return_t copyout(struct task *task, struct message *m, mach_msg_header_t *user, mach_msg_option_t option,
			  mach_port_name_t notify)
{
	enum right_kind reply_kind = m->reply.kind;
	mach_port_name_t remote;
	mach_msg_return_t r;

	r = option & MACH_RCV_NOTIFY ? copyout_reply_notify(task->space, m, notify, &remote)
				     : copyout_reply(task->space, m, &remote);
	if (r)
		return copyout_header(m, user, sizeof m->header, r);
	r = copyout_body(task, m);
	write_header(m, remote, m->local_name, reply_kind, m->local_type);
	write_payload(m);
	if (!write_message(m, user, option))
		r = MACH_RCV_INVALID_DATA;
	else if (r)
		r |= MACH_RCV_BODY_ERROR;
	message_free(m);
	return r;
}

mach_msg_return_t copyout_header(struct message *m, mach_msg_header_t *user, mach_msg_size_t size,
				 mach_msg_return_t result)
{
	mach_port_name_t remote = m->reply.port == PORT_DEAD ? MACH_PORT_DEAD : MACH_PORT_NULL;

	write_header(m, remote, m->local_name, m->reply.kind, m->local_type);
	if (size > sizeof m->header)
		size = sizeof m->header;
	if (!user_write(user, m->image, size))
		result = MACH_RCV_INVALID_DATA;
	message_destroy(m);
	return result;
}

mach_msg_return_t copyout_back(struct task *task, struct message *m, mach_msg_header_t *user, mach_msg_return_t result)
{
	enum right_kind dest_kind = m->dest.kind, reply_kind = m->reply.kind;
	mach_port_name_t remote, local;

	result |= copyout_right(task->space, &m->dest, &remote);
	result |= copyout_right(task->space, &m->reply, &local);
	result |= copyout_body(task, m);
	m->seqno = m->header.msgh_seqno;
	write_header(m, remote, local, dest_kind, reply_kind);
	user_write(user, m->image, m->size);
	message_free(m);
	return result;
}
