/* SPDX-License-Identifier: MIT */
#include "kernel/copyin.h"

#include <assert.h>
#include <stdlib.h>

#include "kernel/after.h"
#include "kernel/image.h"
#include "kernel/message.h"
#include "kernel/name.h"
#include "kernel/notify.h"
#include "kernel/port.h"
#include "kernel/remote.h"
#include "kernel/right.h"
#include "kernel/space.h"
#include "platform/usercopy.h"

/* The two rights of a header: where they are named, how they are to be taken, and what follows from taking them. */
struct header_right {
	mach_port_name_t number;
	mach_msg_type_name_t disposition;
	struct name *name;
	struct after after;
};

struct header {
	struct header_right dest, reply;
	struct port *cancel_port; /* MACH_SEND_CANCEL: borrowed from the locked space */
};

static bool disposition_is_sendable(mach_msg_type_name_t disposition)
{
	return MACH_MSG_TYPE_PORT_ANY_SEND(disposition);
}

static mach_msg_return_t header_read(const struct message *m, struct header *h)
{
	mach_msg_bits_t bits = m->header.msgh_bits;

	h->dest.number = m->header.msgh_remote_port;
	h->dest.disposition = MACH_MSGH_BITS_REMOTE(bits);
	h->reply.number = m->header.msgh_local_port;
	h->reply.disposition = MACH_MSGH_BITS_LOCAL(bits);
	h->dest.name = h->reply.name = NULL;
	h->cancel_port = NULL;
	if (!disposition_is_sendable(h->dest.disposition))
		return MACH_SEND_INVALID_HEADER;
	if (h->reply.disposition == 0)
		return h->reply.number == MACH_PORT_NULL ? MACH_MSG_SUCCESS : MACH_SEND_INVALID_HEADER;
	return disposition_is_sendable(h->reply.disposition) ? MACH_MSG_SUCCESS : MACH_SEND_INVALID_HEADER;
}

static mach_msg_return_t header_check_cancel_locked(struct space *space, struct header *h, mach_port_name_t notify)
{
	struct name *name = space_lookup_locked(space, notify);

	if (!name || !(name->type & MACH_PORT_TYPE_RECEIVE))
		return MACH_SEND_INVALID_NOTIFY;
	h->cancel_port = name->port;
	return MACH_MSG_SUCCESS;
}

static bool is_move(mach_msg_type_name_t disposition)
{
	return disposition == MACH_MSG_TYPE_MOVE_SEND || disposition == MACH_MSG_TYPE_MOVE_SEND_ONCE;
}

/* Looks both names up and checks that both rights can be taken: first that there is a destination, then the reply, then
 * what kind of destination it is. Changes nothing. */
static mach_msg_return_t header_check_locked(struct space *space, struct header *h)
{
	struct header_right *dest = &h->dest, *reply = &h->reply;

	dest->name = space_lookup_locked(space, dest->number);
	if (!dest->name)
		return MACH_SEND_INVALID_DEST;
	if (MACH_PORT_VALID(reply->number)) {
		reply->name = space_lookup_locked(space, reply->number);
		if (!reply->name || !right_copyin_allowed_locked(reply->name, reply->disposition))
			return MACH_SEND_INVALID_REPLY;
	}
	if (dest->name->type == MACH_PORT_TYPE_DEAD_NAME || !right_copyin_allowed_locked(dest->name, dest->disposition))
		return MACH_SEND_INVALID_DEST;
	/* Both rights are to be moved out of one name: it must have two. */
	if (reply->name == dest->name && is_move(dest->disposition) && is_move(reply->disposition) &&
	    dest->name->urefs < 2)
		return MACH_SEND_INVALID_DEST;
	return MACH_MSG_SUCCESS;
}

static void header_take_right_locked(struct space *space, struct header_right *hr, struct right *right)
{
	kern_return_t r;

	if (!hr->name) {
		right->port = hr->number == MACH_PORT_DEAD ? PORT_DEAD : NULL;
		right->kind = right_kind_of(hr->disposition);
		return;
	}
	r = right_copyin_locked(space, hr->name, hr->disposition, right, &hr->after);
	assert(!r);
	(void)r;
}

/* Copies come before moves, so that one reference is enough for one of each. */
static void header_take_locked(struct space *space, struct header *h, struct message *m)
{
	bool dest_is_last = h->dest.name == h->reply.name && is_move(h->dest.disposition);

	if (dest_is_last)
		header_take_right_locked(space, &h->reply, &m->reply);
	header_take_right_locked(space, &h->dest, &m->dest);
	if (!dest_is_last)
		header_take_right_locked(space, &h->reply, &m->reply);
}

/* MACH_SEND_CANCEL: the request for a destination right used up is over, and nobody is told. */
static void header_cancel_deleted_locked(struct header *h)
{
	struct message *notice = h->dest.after.port_deleted;

	if (!notice || !h->cancel_port || notice->dest.port != h->cancel_port)
		return;
	h->dest.after.port_deleted = NULL;
	notice_withdraw(notice);
}

static void run_unlocked(struct space *space, struct after *after)
{
	lock_drop(&space->lock);
	after_run(after);
	after_init(after);
	lock_take(&space->lock);
}

/* Runs what taking rights has caused, mostly nothing; else the space's lock is dropped for it. */
static inline void settle_locked(struct space *space, struct after *after)
{
	if (__builtin_expect(!after_is_empty(after), 0))
		run_unlocked(space, after);
}

static mach_msg_return_t copyin_header_locked(struct space *space, struct message *m, bool cancels,
					      mach_port_name_t notify)
{
	struct header h;
	mach_msg_return_t r = MACH_SEND_INVALID_NOTIFY;

	if (!cancels || notify != MACH_PORT_NULL)
		r = header_read(m, &h);
	if (!r && cancels)
		r = header_check_cancel_locked(space, &h, notify);
	if (!r)
		r = header_check_locked(space, &h);
	if (r)
		return r;
	after_init(&h.dest.after);
	after_init(&h.reply.after);
	header_take_locked(space, &h, m);
	header_cancel_deleted_locked(&h);
	settle_locked(space, &h.dest.after);
	settle_locked(space, &h.reply.after);
	return MACH_MSG_SUCCESS;
}

/* Takes one right of the body. A receive right is under way to the message's destination from here on. */
static mach_msg_return_t copyin_right_locked(struct space *space, struct message *m, mach_port_name_t number,
					     mach_msg_type_name_t disposition, struct port **port, struct after *after)
{
	struct right right;
	struct name *name;
	kern_return_t r;

	*port = number == MACH_PORT_DEAD ? PORT_DEAD : NULL;
	if (!MACH_PORT_VALID(number))
		return MACH_MSG_SUCCESS;
	name = space_lookup_locked(space, number);
	if (!name)
		return MACH_SEND_INVALID_RIGHT;
	if (disposition == MACH_MSG_TYPE_COPY_SEND && right_copy_send_locked(name)) {
		*port = name->port;
		return MACH_MSG_SUCCESS;
	}
	r = right_copyin_locked(space, name, disposition, &right, after);
	if (r)
		return r == KERN_RESOURCE_SHORTAGE ? MACH_SEND_NO_BUFFER : MACH_SEND_INVALID_RIGHT;
	*port = right.port;
	if (right.kind == RIGHT_RECEIVE && right_is_valid(&m->dest))
		m->is_circular |= !port_enter_transit(right.port, m->dest.port);
	settle_locked(space, after);
	return MACH_MSG_SUCCESS;
}

/* Where the names of an item are read from: the image, or private memory that was filled from out of line. */
struct name_source {
	const unsigned char *image;
	uint32_t offset;
	const mach_port_name_t *array;
};

static mach_port_name_t source_name(const struct name_source *source, uint32_t i)
{
	if (source->array)
		return source->array[i];
	return image_read_name(source->image, source->offset + i * (uint32_t)sizeof(mach_port_name_inlined_t));
}

/* Takes @n rights into @item. On an error those before the bad one have been taken, the others are null. */
static mach_msg_return_t copyin_rights_locked(struct space *space, struct message *m, struct item *item,
					      const struct name_source *source, uint32_t n,
					      mach_msg_type_name_t disposition)
{
	mach_msg_return_t r = MACH_MSG_SUCCESS;
	struct port **ports;
	struct after after;

	item->right = right_kind_of(disposition);
	if (!item_alloc_ports(item, n))
		return MACH_SEND_NO_BUFFER;
	ports = item_ports(item);
	after_init(&after);
	for (uint32_t i = 0; i < n && !r; i++)
		r = copyin_right_locked(space, m, source_name(source, i), disposition, &ports[i], &after);
	return r;
}

static mach_msg_return_t copyin_inline_rights_locked(struct space *space, struct message *m, const struct descriptor *d,
						     struct item *item)
{
	struct name_source source = { .image = m->image, .offset = d->data };
	struct after after;

	item->kind = ITEM_INLINE_RIGHTS;
	item->offset = d->data;
	if (d->number == 1) { /* nearly always */
		after_init(&after);
		item->right = right_kind_of(d->type);
		item->n_rights = 1;
		return copyin_right_locked(space, m, image_read_name(m->image, d->data), d->type, &item->port, &after);
	}
	return copyin_rights_locked(space, m, item, &source, (uint32_t)d->number, d->type);
}

/* What is copied into memory only to be copied into a ring is better copied once. */
static bool memory_may_stay(const struct message *m, const struct descriptor *d)
{
	return d->length >= remote.unfilled_from && !d->deallocates && right_is_valid(&m->dest) &&
	       port_is_proxy(m->dest.port);
}

/* Bytes out of line, for which the space's lock is dropped: they are the user's until they have been taken. */
static mach_msg_return_t copyin_memory_locked(struct space *space, struct message *m, const struct descriptor *d,
					      struct item *item)
{
	const void *user = image_read_address(m->image, d->data);
	mach_msg_return_t r;

	item->kind = ITEM_MEMORY;
	item->offset = d->data;
	lock_drop(&space->lock);
	if (!MACH_MSG_TYPE_PORT_ANY(d->type) && memory_may_stay(m, d)) {
		r = memory_take_unfilled(&item->memory, user, d->length);
		item->source = r ? NULL : user;
		m->is_unfilled |= !r;
	} else {
		r = memory_take(&item->memory, user, d->length, d->deallocates);
	}
	lock_take(&space->lock);
	return r;
}

/* A private copy of an array of names that has become the message's. */
static mach_msg_return_t read_names(const struct item *item, uint64_t length, mach_port_name_t **names)
{
	*names = malloc(length);
	if (!*names)
		return MACH_SEND_NO_BUFFER;
	if (user_read(*names, item->memory.address, length))
		return MACH_MSG_SUCCESS;
	free(*names);
	return MACH_SEND_INVALID_MEMORY;
}

/* The array itself becomes the message's first, moved or copied; the names are read from it once, and the same memory
 * carries the receiver's names in the end. */
static mach_msg_return_t copyin_array_rights_locked(struct space *space, struct message *m, const struct descriptor *d,
						    struct item *item)
{
	struct name_source source = { 0 };
	mach_port_name_t *names;
	mach_msg_return_t r = copyin_memory_locked(space, m, d, item);

	item->kind = ITEM_ARRAY_RIGHTS;
	if (r || d->number == 0)
		return r;
	lock_drop(&space->lock);
	r = read_names(item, d->length, &names);
	lock_take(&space->lock);
	if (r)
		return r;
	source.array = names;
	r = copyin_rights_locked(space, m, item, &source, (uint32_t)d->number, d->type);
	free(names);
	return r;
}

static mach_msg_return_t copyin_item_locked(struct space *space, struct message *m, const struct descriptor *d)
{
	bool has_rights = MACH_MSG_TYPE_PORT_ANY(d->type);
	mach_msg_return_t r;
	struct item *item;

	if (!has_rights && d->is_inline)
		return MACH_MSG_SUCCESS;
	item = message_add_item(m);
	if (!item)
		return MACH_SEND_NO_BUFFER;
	m->is_complex = true;
	if (!has_rights)
		r = copyin_memory_locked(space, m, d, item);
	else if (d->is_inline)
		r = copyin_inline_rights_locked(space, m, d, item);
	else
		r = copyin_array_rights_locked(space, m, d, item);
	image_write_descriptor(m->image, d, has_rights ? right_kind_of(d->type) : d->type);
	return r;
}

static mach_msg_return_t copyin_body_locked(struct space *space, struct message *m)
{
	uint32_t at = sizeof m->header;

	while (at < m->size) {
		struct descriptor d;
		mach_msg_return_t r = image_read_descriptor(m->image, m->size, at, &d);

		if (!r)
			r = image_check_descriptor(&d, m->size);
		if (!r)
			r = copyin_item_locked(space, m, &d);
		if (r)
			return r;
		at = d.end;
	}
	return MACH_MSG_SUCCESS;
}

/* A size that lies mostly shows at the end of the buffer, before it costs any memory. */
static bool size_is_honest(const mach_msg_header_t *user, mach_msg_size_t size)
{
	char byte;

	return user_read(&byte, (const void *)((uintptr_t)user + size - 1), 1);
}

mach_msg_return_t copyin(struct space *space, const mach_msg_header_t *user, mach_msg_size_t size, bool cancels,
			 mach_port_name_t cancel_notify, struct message **message)
{
	struct message *m;
	mach_msg_return_t r;

	if (size < sizeof(mach_msg_header_t) || size % MACH_MSG_USER_ALIGNMENT != 0)
		return MACH_SEND_MSG_TOO_SMALL;
	if (size > MESSAGE_SMALL_IMAGE && !size_is_honest(user, size))
		return MACH_SEND_INVALID_DATA;
	m = message_new(size);
	if (!m)
		return MACH_SEND_NO_BUFFER;
	if (!user_read(m->image, user, size)) {
		message_free(m);
		return MACH_SEND_INVALID_DATA;
	}
	lock_take(&space->lock);
	r = copyin_header_locked(space, m, cancels, cancel_notify);
	if (!r && (m->header.msgh_bits & MACH_MSGH_BITS_COMPLEX))
		r = copyin_body_locked(space, m);
	lock_drop(&space->lock);
	if (r) {
		message_destroy(m);
		return r;
	}
	*message = m;
	return MACH_MSG_SUCCESS;
}
