/* SPDX-License-Identifier: MIT */
/* The server loop: receive, let the demultiplexer answer, reply and receive the next in one step.
 *
 * Two buffers take turns. The reply to the last request lies in one when the next request comes into the same one, so
 * after a combined step the two change places. A request that is too large stays in the queue while its buffer grows. */
#include "client/server.h"

#include <mach.h>

#include <pthread.h>
#include <stdlib.h>

typedef boolean_t (*demux_fn)(mach_msg_header_t *request, mach_msg_header_t *reply);

struct buffer {
	mach_msg_header_t *msg;
	mach_msg_size_t room; /* bytes; never less than server.usual */
};

struct server {
	demux_fn demux;
	mach_port_t rcv_name;
	mach_msg_option_t option;   /* for each receive */
	mach_msg_timeout_t timeout; /* for each receive */
	mach_msg_size_t usual;	    /* room that a buffer has when nothing unusual came */
	struct buffer request;
	struct buffer reply;
};

/* What became of a receive. */
enum received { REQUEST, NOTHING, FAILED };

static boolean_t buffer_resize(struct buffer *b, mach_msg_size_t room)
{
	void *msg = realloc(b->msg, room);

	if (!msg)
		return FALSE;
	b->msg = msg;
	b->room = room;
	return TRUE;
}

static void server_deinit(void *arg)
{
	struct server *s = arg;

	free(s->request.msg);
	free(s->reply.msg);
}

static kern_return_t server_init(struct server *s, mach_msg_size_t max_size)
{
	s->usual = max_size < sizeof(mig_reply_header_t) ? (mach_msg_size_t)sizeof(mig_reply_header_t) : max_size;
	s->usual += REQUESTED_TRAILER_SIZE(s->option);
	if (!buffer_resize(&s->request, s->usual) || !buffer_resize(&s->reply, s->usual)) {
		server_deinit(s);
		return KERN_RESOURCE_SHORTAGE;
	}
	return KERN_SUCCESS;
}

static void server_swap(struct server *s)
{
	struct buffer b = s->request;

	s->request = s->reply;
	s->reply = b;
}

/* ---- receiving --------------------------------------------------------------------------------------------------- */

/* The request in the queue needs more room. Without memory for it, take what is in the queue now: if it still is that
 * request, the small buffer destroys it, and its sender hears so through its reply right. */
static enum received server_make_room(struct server *s)
{
	mach_msg_size_t needed = s->request.msg->msgh_size + REQUESTED_TRAILER_SIZE(s->option);
	mach_msg_option_t trailer = s->option & MACH_RCV_TRAILER_MASK;
	mach_msg_return_t mr;

	if (needed > s->request.room && buffer_resize(&s->request, needed))
		return NOTHING;
	mr = mach_msg(s->request.msg, MACH_RCV_MSG | MACH_RCV_TIMEOUT | trailer, 0, s->request.room, s->rcv_name, 0,
		      MACH_PORT_NULL);
	return mr == MACH_MSG_SUCCESS ? REQUEST : NOTHING;
}

static enum received server_received(struct server *s, mach_msg_return_t mr)
{
	switch (mr & ~MACH_MSG_MASK) {
	case MACH_MSG_SUCCESS:
		return REQUEST;
	case MACH_RCV_TOO_LARGE:
		return server_make_room(s);
	case MACH_RCV_BODY_ERROR: /* came in part, for want of room in our task: not to be served */
		mach_msg_destroy(s->request.msg);
		return NOTHING;
	case MACH_RCV_HEADER_ERROR: /* nothing came but the header */
		return NOTHING;
	default:
		return FAILED;
	}
}

static mach_msg_return_t server_receive(struct server *s)
{
	return mach_msg(s->request.msg, s->option | MACH_RCV_MSG | MACH_RCV_LARGE, 0, s->request.room, s->rcv_name,
			s->timeout, MACH_PORT_NULL);
}

/* ---- answering --------------------------------------------------------------------------------------------------- */

/* Did the demultiplexer fail? A complex reply, or one that is no more than a header, has no code to look at. */
static kern_return_t reply_code(const mach_msg_header_t *msg)
{
	const mig_reply_header_t *r = (const mig_reply_header_t *)msg;

	if ((msg->msgh_bits & MACH_MSGH_BITS_COMPLEX) || msg->msgh_size < sizeof *r)
		return KERN_SUCCESS;
	return r->RetCode;
}

/* The routine did not take the request, so what it carries is still ours to give up: all but the reply right, if the
 * error is to go there. */
static void request_refuse(mach_msg_header_t *request, const mach_msg_header_t *reply)
{
	if (reply && reply->msgh_remote_port == request->msgh_remote_port)
		request->msgh_remote_port = MACH_PORT_NULL;
	mach_msg_destroy(request);
}

/* Serves the request; TRUE if the reply is to be sent. */
static boolean_t server_answer(struct server *s)
{
	mach_msg_header_t *request = s->request.msg;
	mach_msg_header_t *reply = s->reply.msg;

	mig_reply_setup(request, reply);
	(void)s->demux(request, reply); /* a FALSE is in the reply as well */
	switch (reply_code(reply)) {
	case KERN_SUCCESS:
		break;
	case MIG_NO_REPLY:
		return FALSE;
	case MIG_DESTROY_REQUEST:
		request_refuse(request, NULL);
		return FALSE;
	default:
		request_refuse(request, reply);
		break;
	}
	if (MACH_PORT_VALID(reply->msgh_remote_port))
		return TRUE;
	mach_msg_destroy(reply); /* nobody wants it, but it may carry something */
	return FALSE;
}

/* ---- replying ---------------------------------------------------------------------------------------------------- */

static boolean_t is_send_error(mach_msg_return_t mr)
{
	return mr != MACH_MSG_SUCCESS && (mr & ~0x3fff) == err_mach_ipc;
}

/* The reply was not sent. The client's fault, or want of memory: it is destroyed and forgotten. Ours: the caller must
 * know, and as parts of it may be used up, nothing in it is touched. */
static mach_msg_return_t reply_failed(mach_msg_header_t *reply, mach_msg_return_t mr)
{
	switch (mr & ~MACH_MSG_MASK) {
	case MACH_SEND_INVALID_DEST: /* nothing was taken */
	case MACH_SEND_NO_BUFFER:
	case MACH_SEND_TIMED_OUT: /* everything was given back */
	case MACH_SEND_INTERRUPTED:
		mach_msg_destroy(reply);
		return MACH_MSG_SUCCESS;
	default:
		return mr;
	}
}

/* A send-once right always takes the message. A send right might wait in a queue that its owner never empties. */
static boolean_t reply_never_waits(const mach_msg_header_t *reply)
{
	return MACH_MSGH_BITS_REMOTE(reply->msgh_bits) == MACH_MSG_TYPE_MOVE_SEND_ONCE;
}

static mach_msg_return_t server_reply(struct server *s)
{
	mach_msg_header_t *reply = s->reply.msg;
	mach_msg_return_t mr;

	mr = mach_msg(reply, MACH_SEND_MSG | MACH_SEND_TIMEOUT, reply->msgh_size, 0, MACH_PORT_NULL, 0, MACH_PORT_NULL);
	return mr == MACH_MSG_SUCCESS ? mr : reply_failed(reply, mr);
}

/* Sends the reply and receives the next request. */
static mach_msg_return_t server_reply_receive(struct server *s)
{
	mach_msg_header_t *reply = s->reply.msg;
	mach_msg_return_t mr;

	if (reply_never_waits(reply)) {
		mr = mach_msg(reply, s->option | MACH_SEND_MSG | MACH_RCV_MSG | MACH_RCV_LARGE, reply->msgh_size,
			      s->reply.room, s->rcv_name, s->timeout, MACH_PORT_NULL);
		if (!is_send_error(mr)) {
			server_swap(s);
			return mr;
		}
		mr = reply_failed(reply, mr);
	} else {
		mr = server_reply(s);
	}
	return mr == MACH_MSG_SUCCESS ? server_receive(s) : mr;
}

/* ---- the loop ---------------------------------------------------------------------------------------------------- */

/* After a large request the memory for it goes. Shrinking may fail, which does no harm. */
static void server_forget_room(struct server *s)
{
	if (s->request.room > s->usual)
		(void)buffer_resize(&s->request, s->usual);
}

static mach_msg_return_t server_run(struct server *s, boolean_t once)
{
	boolean_t reply_waits = FALSE;
	mach_msg_return_t mr;

	for (;;) {
		mr = reply_waits ? server_reply_receive(s) : server_receive(s);
		reply_waits = FALSE;
		switch (server_received(s, mr)) {
		case FAILED:
			return mr;
		case NOTHING:
			continue;
		case REQUEST:
			break;
		}
		reply_waits = server_answer(s);
		server_forget_room(s);
		if (once)
			return reply_waits ? server_reply(s) : MACH_MSG_SUCCESS;
	}
}

static mach_msg_return_t serve(struct server *s, mach_msg_size_t max_size, boolean_t once)
{
	mach_msg_return_t mr;

	if (!s->demux)
		return KERN_INVALID_ARGUMENT;
	mr = server_init(s, max_size);
	if (mr != KERN_SUCCESS)
		return mr;
	pthread_cleanup_push(server_deinit, s); /* thread_terminate ends the thread inside the loop */
	mr = server_run(s, once);
	pthread_cleanup_pop(1);
	return mr;
}

mach_msg_return_t mach_msg_server_timeout(demux_fn demux, mach_msg_size_t max_size, mach_port_t rcv_name,
					  mach_msg_option_t option, mach_msg_timeout_t timeout)
{
	struct server s = {
		.demux = demux,
		.rcv_name = rcv_name,
		.timeout = timeout,
		.option = option & (MACH_RCV_TIMEOUT | MACH_RCV_INTERRUPT | MACH_RCV_TRAILER_MASK),
	};

	return serve(&s, max_size, FALSE);
}

mach_msg_return_t mach_msg_server(demux_fn demux, mach_msg_size_t max_size, mach_port_t rcv_name)
{
	return mach_msg_server_timeout(demux, max_size, rcv_name, MACH_MSG_OPTION_NONE, MACH_MSG_TIMEOUT_NONE);
}

mach_msg_return_t mach_msg_server_once(demux_fn demux, mach_msg_size_t max_size, mach_port_t rcv_name)
{
	return server_once(demux, max_size, rcv_name, MACH_MSG_OPTION_NONE);
}

mach_msg_return_t server_once(demux_fn demux, mach_msg_size_t max_size, mach_port_t rcv_name, mach_msg_option_t trailer)
{
	struct server s = { .demux = demux, .rcv_name = rcv_name, .option = trailer & MACH_RCV_TRAILER_MASK };

	return serve(&s, max_size, TRUE);
}
