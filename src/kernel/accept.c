/* SPDX-License-Identifier: MIT */
#include "kernel/accept.h"

#include <mach/notify.h>
#include <stdlib.h>

#include "kernel/notify.h"
#include "kernel/port.h"
#include "kernel/right.h"
#include "kernel/space.h"

static mach_msg_return_t accept_begin_locked(struct space *space, struct port *p, mach_port_name_t notify,
					     struct right *right, struct name **name)
{
	if (notify == MACH_PORT_NULL)
		return MACH_SEND_INVALID_NOTIFY;
	*name = space_lookup_port_locked(space, p);
	if (*name && (*name)->accept)
		return MACH_SEND_NOTIFY_IN_PROGRESS;
	return right_make_send_once_locked(space, notify, right) ? MACH_MSG_SUCCESS : MACH_SEND_INVALID_NOTIFY;
}

static struct accept_request *accept_new(struct space *space)
{
	struct accept_request *request = malloc(sizeof *request);

	if (!request)
		return NULL;
	request->notice = notice_new(MACH_NOTIFY_MSG_ACCEPTED);
	if (!request->notice) {
		free(request);
		return NULL;
	}
	request->space = space_ref(space);
	request->name = MACH_PORT_NULL;
	return request;
}

static void accept_free(struct accept_request *request)
{
	space_unref(request->space);
	free(request);
}

mach_msg_return_t accept_request_new(struct space *space, struct port *p, mach_port_name_t notify,
				     struct accept_request **request_out)
{
	struct accept_request *request = accept_new(space);
	struct right right;
	struct name *name;
	mach_msg_return_t r;

	if (!request)
		return MACH_SEND_NO_NOTIFY;
	lock_take(&space->lock);
	r = accept_begin_locked(space, p, notify, &right, &name);
	if (!r && name) {
		request->name = name->name;
		name->accept = request;
	}
	lock_drop(&space->lock);
	if (r) {
		notice_free(request->notice);
		accept_free(request);
		return r;
	}
	notice_arm(request->notice, &right);
	*request_out = request;
	return MACH_MSG_SUCCESS;
}

/* Parts the request from its name; tells the name. */
static mach_port_name_t accept_forget_name(struct accept_request *request)
{
	struct space *space = request->space;
	mach_port_name_t number;

	lock_take(&space->lock);
	number = request->name;
	if (number != MACH_PORT_NULL)
		space_find_locked(space, number)->accept = NULL;
	lock_drop(&space->lock);
	return number;
}

void accept_request_fire(struct accept_request *request)
{
	struct message *notice = request->notice;

	notice_set_value(notice, MACH_NOTIFY_MSG_ACCEPTED, accept_forget_name(request));
	accept_free(request);
	notice_send(notice);
}
