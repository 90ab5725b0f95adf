/* SPDX-License-Identifier: MIT */
#include "kernel/notify.h"

#include <assert.h>
#include <string.h>

#include "kernel/after.h"
#include "kernel/image.h"
#include "kernel/message.h"
#include "kernel/name.h"
#include "kernel/port.h"
#include "kernel/remote.h"
#include "kernel/send.h"
#include "kernel/space.h"
#include "platform/cpu.h"

struct message *notice_new(mach_msg_id_t id)
{
	struct message *notice = message_new(image_notice_size(id));

	if (notice)
		notice_set_value(notice, id, 0);
	return notice;
}

void notice_free(struct message *notice)
{
	message_free(notice);
}

void notice_arm(struct message *notice, const struct right *notify)
{
	assert(notify->kind == RIGHT_SEND_ONCE && right_is_valid(notify));
	notice->dest = *notify;
}

void notice_set_value(struct message *notice, mach_msg_id_t id, uint32_t value)
{
	image_write_notice(notice, id, value);
}

void notice_send(struct message *notice)
{
	notice->cpu = cpu_current();
	send_always(notice);
}

struct right notice_cancel(struct message *notice)
{
	struct right right = notice->dest;

	notice->dest.port = NULL;
	notice_free(notice);
	return right;
}

void notice_withdraw(struct message *notice)
{
	struct right right = notice_cancel(notice);

	if (!right.port)
		return;
	lock_take(&right.port->lock);
	right.port->n_sorights--;
	remote_note_count_locked(right.port);
	port_unlock_unref(right.port);
}

void notice_abandon(struct message *notice)
{
	notice_set_value(notice, MACH_NOTIFY_SEND_ONCE, 0);
	notice_send(notice);
}

void notify_send_once(struct port *p)
{
	struct message *notice;

	if (port_is_dead(p)) {
		port_unref(p);
		return;
	}
	notice = message_new_certain(image_notice_size(MACH_NOTIFY_SEND_ONCE));
	notice->dest = (struct right){ p, RIGHT_SEND_ONCE };
	notice_abandon(notice);
}

void notify_port_destroyed(struct message *notice, struct port *p)
{
	struct item *item = message_add_item(notice); /* cannot fail: the first is inline */

	item->kind = ITEM_INLINE_RIGHTS;
	item->right = RIGHT_RECEIVE;
	item->n_rights = 1;
	item->port = p;
	item->offset = image_notice_offset();
	notice->is_circular = !port_enter_transit(p, notice->dest.port);
	notice_send(notice);
}

/* Replaces the request in @slot by @notice (NULL: none). */
static void request_replace(struct message **slot, struct message *notice, struct right *previous)
{
	if (*slot)
		*previous = notice_cancel(*slot);
	*slot = notice;
}

/* Drops the port's lock; another node may have to know what was asked for. */
static void request_unlock(struct port *p, mach_msg_id_t id)
{
	bool has_to_tell = id == MACH_NOTIFY_PORT_DESTROYED && remote_is_linked();

	if (has_to_tell)
		port_ref_locked(p);
	lock_drop(&p->lock);
	if (!has_to_tell)
		return;
	remote.ops.request_changed(p);
	port_unref(p);
}

void notify_request_port(struct port *p, mach_msg_id_t id, struct message *notice, struct right *previous)
{
	bool is_alive;

	lock_take(&p->lock);
	is_alive = !port_is_dead(p);
	if (is_alive)
		request_replace(id == MACH_NOTIFY_NO_SENDERS ? &p->no_senders : &p->port_destroyed, notice, previous);
	request_unlock(p, is_alive ? id : 0);
	if (!is_alive)
		notice_abandon(notice);
}

static kern_return_t request_port_destroyed(struct space *space, mach_port_name_t name, mach_port_mscount_t sync,
					    struct message *notice, struct right *previous)
{
	struct port *p;
	kern_return_t r;

	if (sync != 0)
		return KERN_INVALID_VALUE;
	r = name_lock_receive(space, name, &p);
	if (r)
		return r;
	request_replace(&p->port_destroyed, notice, previous);
	request_unlock(p, MACH_NOTIFY_PORT_DESTROYED);
	return KERN_SUCCESS;
}

static kern_return_t request_no_senders(struct space *space, mach_port_name_t name, mach_port_mscount_t sync,
					struct message *notice, struct right *previous)
{
	struct port *p;
	bool is_due;
	kern_return_t r = name_lock_receive(space, name, &p);

	if (r)
		return r;
	is_due = notice && p->n_srights == 0 && sync <= p->mscount;
	if (is_due)
		notice_set_value(notice, MACH_NOTIFY_NO_SENDERS, p->mscount);
	request_replace(&p->no_senders, is_due ? NULL : notice, previous);
	lock_drop(&p->lock);
	if (is_due)
		notice_send(notice);
	return KERN_SUCCESS;
}

/* A name that is dead already: tells so at once, if that was asked for. */
static kern_return_t request_already_dead_locked(struct name *name, mach_port_mscount_t sync,
						 const struct message *notice)
{
	if (name->type != MACH_PORT_TYPE_DEAD_NAME)
		return KERN_INVALID_RIGHT;
	if (sync == 0 || !notice)
		return KERN_INVALID_ARGUMENT;
	if (name->urefs >= UREFS_MAX)
		return KERN_UREFS_OVERFLOW;
	name->urefs++;
	return KERN_SUCCESS;
}

/* The port of a name that seemed alive. False: it is not. */
static bool request_dead_name_locked(struct name *name, struct message *notice, struct right *previous)
{
	struct port *p = name->port;
	bool is_alive;

	lock_take(&p->lock);
	is_alive = !port_is_dead(p);
	if (is_alive) {
		if (name->dead_request)
			list_unlink(&name->dead_request->port_link);
		request_replace(&name->dead_request, notice, previous);
		if (notice)
			list_append(&p->dead_requests, &notice->port_link);
	}
	lock_drop(&p->lock);
	return is_alive;
}

bool notify_attach_locked(struct name *name, struct message *notice)
{
	struct right previous = { NULL, RIGHT_SEND_ONCE };

	assert(!name->dead_request);
	notice_set_value(notice, MACH_NOTIFY_DEAD_NAME, name->name);
	return request_dead_name_locked(name, notice, &previous);
}

static kern_return_t request_dead_name(struct space *space, mach_port_name_t number, mach_port_mscount_t sync,
				       struct message *notice, struct right *previous)
{
	struct name *name;
	bool is_due = false;
	kern_return_t r = KERN_SUCCESS;

	if (notice)
		notice_set_value(notice, MACH_NOTIFY_DEAD_NAME, number);
	lock_take(&space->lock);
	name = space_lookup_locked(space, number);
	if (space->is_dead) {
		r = KERN_INVALID_TASK;
	} else if (!name) {
		r = KERN_INVALID_NAME;
	} else if (!(name->type & MACH_PORT_TYPE_PORT_RIGHTS) || !request_dead_name_locked(name, notice, previous)) {
		name_check_dead_locked(space, name);
		r = request_already_dead_locked(name, sync, notice);
		is_due = !r;
	}
	lock_drop(&space->lock);
	if (is_due)
		notice_send(notice);
	return r;
}

static kern_return_t request_by_id(struct space *space, mach_port_name_t name, mach_msg_id_t id,
				   mach_port_mscount_t sync, struct message *notice, struct right *previous)
{
	switch (id) {
	case MACH_NOTIFY_PORT_DESTROYED:
		return request_port_destroyed(space, name, sync, notice, previous);
	case MACH_NOTIFY_NO_SENDERS:
		return request_no_senders(space, name, sync, notice, previous);
	case MACH_NOTIFY_DEAD_NAME:
		return request_dead_name(space, name, sync, notice, previous);
	default:
		return KERN_INVALID_VALUE;
	}
}

kern_return_t notify_request(struct space *space, mach_port_name_t name, mach_msg_id_t id, mach_port_mscount_t sync,
			     const struct right *notify, struct right *previous)
{
	struct message *notice = NULL;
	kern_return_t r;

	*previous = (struct right){ NULL, RIGHT_SEND_ONCE };
	if (notify->port) {
		notice = notice_new(id);
		if (!notice)
			return KERN_RESOURCE_SHORTAGE;
		notice_arm(notice, notify);
	}
	r = request_by_id(space, name, id, sync, notice, previous);
	if (r && notice)
		notice_cancel(notice);
	return r;
}
