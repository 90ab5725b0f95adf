/* SPDX-License-Identifier: MIT */
#include "kernel/callmsg.h"

#include <assert.h>
#include <mach/mig_errors.h>
#include <mach/notify.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/image.h"
#include "kernel/kernel.h"
#include "kernel/message.h"
#include "kernel/port.h"
#include "kernel/send.h"

_Static_assert(CALL_OPS <= CALL_ANSWER_OFFSET, "the ids of requests and answers are apart");

/* ---- writing */

/* Room for a header, a result, and the descriptors and data of all, with so many rights. */
static uint32_t room_for(unsigned n_rights)
{
	return 224 + n_rights * (uint32_t)sizeof(mach_port_name_inlined_t);
}

static void write_header(struct message *m, mach_msg_id_t id)
{
	memset(&m->header, 0, sizeof m->header);
	m->header.msgh_id = id;
	m->size = sizeof m->header;
}

static void write_numbers(struct message *m, const uint64_t *numbers, unsigned n)
{
	struct descriptor d = { .type = MACH_MSG_TYPE_INTEGER_64, .size = 64, .number = n, .is_inline = true };

	if (n == 0)
		return;
	image_append(m, &d);
	memcpy(m->image + d.data, numbers, n * sizeof *numbers);
}

/* Takes the rights, unless it returns false: no memory. */
static bool write_rights(struct message *m, const struct right *rights, unsigned n)
{
	struct descriptor d = { .number = n, .size = 8 * sizeof(mach_port_name_inlined_t), .is_inline = true };
	struct item *item;

	if (n == 0)
		return true;
	item = message_add_item(m);
	if (!item || !item_alloc_ports(item, n))
		return false;
	d.type = rights[0].kind;
	image_append(m, &d);
	item->kind = ITEM_INLINE_RIGHTS;
	item->right = rights[0].kind;
	item->offset = d.data;
	m->is_complex = true;
	for (unsigned i = 0; i < n; i++) {
		image_write_name(m->image, d.data + i * (uint32_t)sizeof(mach_port_name_inlined_t), MACH_PORT_NULL);
		item_ports(item)[i] = rights[i].port;
		if (rights[i].kind == RIGHT_RECEIVE && right_is_valid(&rights[i]) && right_is_valid(&m->dest))
			m->is_circular |= !port_enter_transit(rights[i].port, m->dest.port);
	}
	return true;
}

/* Takes the array, unless it returns false: no memory. */
static bool write_array(struct message *m, struct memory *array)
{
	struct descriptor d = { .type = MACH_MSG_TYPE_INTEGER_32, .size = 32, .number = array->size / 4 };
	struct item *item = message_add_item(m);

	if (!item)
		return false;
	image_append(m, &d);
	image_write_address(m->image, d.data, NULL);
	item->offset = d.data;
	item->memory = *array;
	*array = (struct memory){ 0 };
	m->is_complex = true;
	return true;
}

struct message *call_request(const struct right *dest, const struct right *reply, const struct call *call)
{
	struct message *m = message_new(room_for(call->n_rights));

	if (!m)
		return NULL;
	write_header(m, CALL_MESSAGE_ID + (mach_msg_id_t)call->op);
	write_numbers(m, call->numbers, call_form(call->op)->takes.n_numbers);
	m->dest = *dest;
	if (!write_rights(m, call->rights, call->n_rights)) {
		m->dest.port = NULL;
		message_destroy(m);
		return NULL;
	}
	m->reply = *reply;
	return m;
}

/* The answer's numbers, rights and arrays. False: no memory; what has been written is gone, the rest still there. */
static bool write_answer(struct message *m, const struct call_form *form, struct answer *answer)
{
	write_numbers(m, answer->numbers, form->gives.n_numbers);
	if (!write_rights(m, answer->rights, form->gives.max_rights ? answer->n_rights : 0))
		return false;
	answer->n_rights = 0;
	for (unsigned i = 0; i < form->gives.n_arrays; i++)
		if (!write_array(m, &answer->arrays[i]))
			return false;
	return true;
}

/* What has been done should not seem to have failed: only what is large can find no memory. */
static struct message *answer_alloc(unsigned n_rights)
{
	uint32_t room = room_for(n_rights);

	return room <= MESSAGE_SMALL_IMAGE ? message_new_certain(room) : message_new(room);
}

/* The message to @dest that tells a success; NULL: no memory, and @dest is the caller's. Takes the answer. */
static struct message *answer_new(mach_msg_id_t id, const struct right *dest, const struct call_form *form,
				  struct answer *answer)
{
	struct message *m = answer_alloc(form->gives.max_rights ? answer->n_rights : 0);
	bool is_whole = false;

	if (m) {
		image_write_result(m, id, KERN_SUCCESS);
		m->dest = *dest;
		is_whole = write_answer(m, form, answer);
	}
	answer_discard(form, answer);
	if (!m || is_whole)
		return m;
	m->dest.port = NULL;
	message_destroy(m);
	return NULL;
}

/* ---- reading */

struct reader {
	struct message *m;
	uint32_t at;   /* of the next descriptor */
	uint32_t item; /* the next of the message's items */
};

static struct reader reader_of(struct message *m)
{
	return (struct reader){ .m = m, .at = sizeof m->header };
}

static bool reader_is_at_end(const struct reader *r)
{
	return r->at == r->m->size;
}

static bool read_descriptor(struct reader *r, struct descriptor *d)
{
	uint32_t size = r->m->size;

	if (r->at >= size || image_read_descriptor(r->m->image, size, r->at, d) || image_check_descriptor(d, size))
		return false;
	r->at = d->end;
	return true;
}

/* Numbers of @bits each, inline. */
static bool read_plain(struct reader *r, mach_msg_type_name_t type, unsigned bits, unsigned n, void *numbers)
{
	struct descriptor d;

	if (!read_descriptor(r, &d) || !d.is_inline || d.type != type || d.size != bits || d.number != n)
		return false;
	memcpy(numbers, r->m->image + d.data, d.length);
	return true;
}

static bool read_numbers(struct reader *r, const struct call_shape *shape, uint64_t *numbers)
{
	if (shape->n_numbers == 0)
		return true;
	if (!read_plain(r, MACH_MSG_TYPE_INTEGER_64, 64, shape->n_numbers, numbers))
		return false;
	for (unsigned i = 0; i < shape->n_numbers; i++)
		if (numbers[i] > UINT32_MAX && !(shape->wide & 1u << i))
			return false;
	return true;
}

/* What belongs to a descriptor beside the bytes; NULL: something else. */
static struct item *read_item(struct reader *r, const struct descriptor *d, enum item_kind kind)
{
	struct item *item = r->item < r->m->n_items ? &r->m->items[r->item] : NULL;

	if (!item || item->kind != kind || item->offset != d->data)
		return NULL;
	r->item++;
	return item;
}

/* *rights: the item that holds them, NULL if there are none. */
static bool read_rights(struct reader *r, const struct call_shape *shape, struct item **rights)
{
	struct descriptor d;

	*rights = NULL;
	if (shape->max_rights == 0 || (shape->min_rights == 0 && reader_is_at_end(r)))
		return true;
	if (!read_descriptor(r, &d) || !d.is_inline || d.number == 0 || d.number < shape->min_rights ||
	    d.number > shape->max_rights)
		return false;
	*rights = read_item(r, &d, ITEM_INLINE_RIGHTS);
	return *rights && (*rights)->n_rights == d.number && (*rights)->right != RIGHT_NONE &&
	       (shape->kind == RIGHT_NONE || shape->kind == (*rights)->right);
}

static bool read_array(struct reader *r, struct item **array)
{
	struct descriptor d;

	if (!read_descriptor(r, &d) || d.is_inline || d.type != MACH_MSG_TYPE_INTEGER_32 || d.size != 32)
		return false;
	*array = read_item(r, &d, ITEM_MEMORY);
	return *array && (*array)->memory.size == d.length && !memory_is_lost(&(*array)->memory);
}

static bool read_arrays(struct reader *r, const struct call_shape *shape, struct item *arrays[])
{
	for (unsigned i = 0; i < shape->n_arrays; i++)
		if (!read_array(r, &arrays[i]) || arrays[i]->memory.size != arrays[0]->memory.size)
			return false;
	return true;
}

/* Takes the rights out of the message. Returns how many. */
static unsigned take_rights(struct item *item, struct right *rights)
{
	unsigned n = item ? item->n_rights : 0;

	for (unsigned i = 0; i < n; i++)
		rights[i] = (struct right){ item_ports(item)[i], item->right };
	if (n > 1)
		free(item->ports);
	if (item)
		item->n_rights = 0;
	return n;
}

/* The call that a request makes; its rights leave the message once all of it is as it should be.
 *   MIG_BAD_ID, MIG_BAD_ARGUMENTS   none have */
static kern_return_t read_call(struct message *m, struct call *call)
{
	uint32_t op = (uint32_t)m->header.msgh_id - CALL_MESSAGE_ID;
	const struct call_form *form = call_form(op);
	struct reader r = reader_of(m);
	struct item *rights;

	if (!form)
		return MIG_BAD_ID;
	if (!read_numbers(&r, &form->takes, call->numbers) || !read_rights(&r, &form->takes, &rights) ||
	    !reader_is_at_end(&r))
		return MIG_BAD_ARGUMENTS;
	call->op = op;
	call->n_rights = take_rights(rights, call->rights);
	return KERN_SUCCESS;
}

/* After the result. No @answer: the operation gives none. */
static bool read_answer(struct reader *r, const struct call_shape *shape, struct answer *answer)
{
	struct item *rights, *arrays[ANSWER_ARRAYS_MAX];

	if (!answer)
		return reader_is_at_end(r);
	if (!read_numbers(r, shape, answer->numbers) || !read_rights(r, shape, &rights) ||
	    !read_arrays(r, shape, arrays) || !reader_is_at_end(r))
		return false;
	answer->n_rights = take_rights(rights, answer->rights);
	for (unsigned i = 0; i < shape->n_arrays; i++) {
		answer->arrays[i] = arrays[i]->memory;
		arrays[i]->memory = (struct memory){ 0 };
	}
	return true;
}

kern_return_t call_read_answer(struct message *m, enum call_op op, struct answer *answer)
{
	mach_msg_id_t id = m->header.msgh_id;
	struct reader r = reader_of(m);
	kern_return_t result;

	if (id == MACH_NOTIFY_SEND_ONCE)
		result = MIG_SERVER_DIED;
	else if (id != CALL_MESSAGE_ID + (mach_msg_id_t)op + CALL_ANSWER_OFFSET)
		result = MIG_REPLY_MISMATCH;
	else if (!read_plain(&r, MACH_MSG_TYPE_INTEGER_32, 32, 1, &result))
		result = MIG_TYPE_ERROR;
	else if (result == KERN_SUCCESS ? !read_answer(&r, &call_form(op)->gives, answer) : !reader_is_at_end(&r))
		result = MIG_TYPE_ERROR;
	message_destroy(m);
	return result;
}

/* ---- serving */

/* An answer that tells an error. Takes the right. */
static void answer_error(mach_msg_id_t id, const struct right *dest, kern_return_t result)
{
	struct message *m = message_new_certain(sizeof(mig_reply_header_t));

	image_write_result(m, id, result);
	m->dest = *dest;
	send_always(m);
}

/* Takes the request's reply right, if it has one, and the answer if there is one. */
static void answer(struct message *request, const struct call_form *form, kern_return_t result, struct answer *answer)
{
	mach_msg_id_t id = (mach_msg_id_t)((uint32_t)request->header.msgh_id + CALL_ANSWER_OFFSET);
	struct right dest = request->reply;
	struct message *m;

	if (!right_is_valid(&dest)) {
		if (!result)
			answer_discard(form, answer);
		return;
	}
	request->reply.port = NULL;
	m = result ? NULL : answer_new(id, &dest, form, answer);
	if (m)
		send_always(m);
	else
		answer_error(id, &dest, result ? result : KERN_RESOURCE_SHORTAGE);
}

/* Somebody elsewhere has terminated the task that this process is to the others. */
static bool ends_process(const struct message *request, const struct call *call)
{
	return request->sent_by == SENDER_OTHER && call->op == CALL_TASK_TERMINATE &&
	       request->dest.port == kernel_root_task()->object.port;
}

void call_serve(struct message *request)
{
	struct right rights[CALL_RIGHTS_MAX];
	struct call call = { .rights = rights };
	struct answer given;
	bool ends = false;
	kern_return_t r = read_call(request, &call);

	if (!r)
		r = call_port(request->dest.port, &call, &given);
	if (!r)
		ends = ends_process(request, &call);
	if (r != MACH_SEND_INVALID_DEST) /* else its reply right tells */
		answer(request, call_form(call.op), r, &given);
	message_destroy(request);
	if (ends)
		kernel_tell_process_ends();
}
