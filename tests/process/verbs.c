/* SPDX-License-Identifier: MIT */
#include "family.h"

enum { PATIENCE = 30000 }; /* milliseconds */

/* ---- rights ------------------------------------------------------------------------------------------------------ */

static void do_port(long *n)
{
	n[0] = port_in(here());
}

static void do_port_with_send(long *n)
{
	n[0] = port_with_send_in(here());
}

mach_port_t port_at(struct process *p)
{
	return (mach_port_t)ask(p, do_port);
}

mach_port_t port_with_send_at(struct process *p)
{
	return (mach_port_t)ask(p, do_port_with_send);
}

static void do_mail(long *n)
{
	struct letter l;

	letter_to(&l, (mach_port_t)n[2], MACH_MSG_TYPE_COPY_SEND, 1);
	letter_add_port(&l, (mach_port_t)n[0], (unsigned)n[1]);
	expect_ok(mach_msg(&l.header, MACH_SEND_MSG | MACH_SEND_TIMEOUT, l.size, 0, MACH_PORT_NULL, PATIENCE,
			   MACH_PORT_NULL));
}

mach_port_t give(struct process *from, mach_port_t name, mach_msg_type_name_t disposition, struct process *to)
{
	ask(from, do_mail, name, disposition, from->mail_to[to->number]);
	return take_mail(to);
}

static void do_type(long *n)
{
	n[0] = type_of(here(), (mach_port_t)n[0]);
}

mach_port_type_t type_at(struct process *p, mach_port_t name)
{
	return (mach_port_type_t)ask(p, do_type, name);
}

static void do_refs(long *n)
{
	n[0] = refs_of(here(), (mach_port_t)n[0], (mach_port_right_t)n[1]);
}

unsigned refs_at(struct process *p, mach_port_t name, mach_port_right_t right)
{
	return (unsigned)ask(p, do_refs, name, right);
}

static void do_srights(long *n)
{
	n[0] = send_rights(here(), (mach_port_t)n[0]);
}

unsigned srights_at(struct process *p, mach_port_t port)
{
	return (unsigned)ask(p, do_srights, port);
}

struct status_errand {
	mach_port_t port;
	mach_port_status_t status;
};

static void do_status(void *arg)
{
	struct status_errand *e = arg;

	e->status = status_of(here(), e->port);
}

mach_port_status_t status_at(struct process *p, mach_port_t port)
{
	struct status_errand e = { .port = port };

	at(p, do_status, &e, sizeof e);
	return e.status;
}

static void do_mod_refs(long *n)
{
	n[0] = mach_port_mod_refs(here(), (mach_port_t)n[0], (mach_port_right_t)n[1], (mach_port_delta_t)n[2]);
}

kern_return_t mod_refs_at(struct process *p, mach_port_t name, mach_port_right_t right, int delta)
{
	return (kern_return_t)ask(p, do_mod_refs, name, right, delta);
}

static void do_deallocate(long *n)
{
	n[0] = mach_port_deallocate(here(), (mach_port_t)n[0]);
}

kern_return_t deallocate_at(struct process *p, mach_port_t name)
{
	return (kern_return_t)ask(p, do_deallocate, name);
}

static void do_destroy(long *n)
{
	n[0] = mach_port_destroy(here(), (mach_port_t)n[0]);
}

kern_return_t destroy_at(struct process *p, mach_port_t name)
{
	return (kern_return_t)ask(p, do_destroy, name);
}

kern_return_t end_receive_at(struct process *p, mach_port_t port)
{
	return mod_refs_at(p, port, MACH_PORT_RIGHT_RECEIVE, -1);
}

/* ---- messages ---------------------------------------------------------------------------------------------------- */

struct message_errand {
	struct letter letter;
	mach_port_t name;
	mach_msg_option_t option;
	mach_msg_timeout_t timeout;
	mach_msg_size_t limit;
	mach_msg_return_t result;
};

static void do_message(void *arg)
{
	struct message_errand *e = arg;
	struct letter *l = &e->letter;

	e->result = mach_msg(&l->header, e->option, l->size, e->limit, e->name, e->timeout, MACH_PORT_NULL);
	if (e->option & MACH_RCV_MSG)
		l->size = e->result ? 0 : l->header.msgh_size;
}

static mach_msg_return_t run_message(struct process *p, struct letter *l, struct message_errand *e)
{
	e->letter = *l;
	at(p, do_message, e, sizeof *e);
	*l = e->letter;
	return e->result;
}

mach_msg_return_t send_at(struct process *p, struct letter *l, mach_msg_option_t option, mach_msg_timeout_t timeout)
{
	struct message_errand e = { .option = MACH_SEND_MSG | option, .timeout = timeout };

	return run_message(p, l, &e);
}

mach_msg_return_t receive_with_at(struct process *p, mach_port_t name, struct letter *l, mach_msg_option_t option,
				  mach_msg_timeout_t timeout, mach_msg_size_t limit)
{
	struct message_errand e = { .name = name, .option = MACH_RCV_MSG | option, .timeout = timeout, .limit = limit };

	l->size = 0;
	return run_message(p, l, &e);
}

mach_msg_return_t post_at(struct process *p, struct letter *l)
{
	return send_at(p, l, MACH_SEND_TIMEOUT, 0);
}

mach_msg_return_t send_id_at(struct process *p, mach_port_t to, int id)
{
	struct letter l;

	letter_to(&l, to, MACH_MSG_TYPE_COPY_SEND, id);
	return post_at(p, &l);
}

mach_msg_return_t fetch_at(struct process *p, mach_port_t name, struct letter *l)
{
	return receive_with_at(p, name, l, MACH_RCV_TIMEOUT, 0, sizeof l->bytes);
}

mach_msg_return_t receive_at(struct process *p, mach_port_t name, struct letter *l)
{
	return receive_with_at(p, name, l, MACH_RCV_TIMEOUT, PATIENCE, sizeof l->bytes);
}

static void do_destroy_letter(void *arg)
{
	destroy_letter(here(), arg);
}

void destroy_letter_at(struct process *p, struct letter *l)
{
	at(p, do_destroy_letter, l, sizeof *l);
}

void expect_message_at(struct process *p, mach_port_t name, int id)
{
	struct letter l;

	expect_ok(receive_at(p, name, &l));
	expect_eq(l.header.msgh_id, id);
	destroy_letter_at(p, &l);
}

static void do_expect_no_message(long *n)
{
	expect_no_message(here(), (mach_port_t)n[0]);
}

void expect_no_message_at(struct process *p, mach_port_t name)
{
	ask(p, do_expect_no_message, name);
}

void begin_receive_at(struct process *p, unsigned lane, mach_port_t name, mach_msg_option_t option,
		      mach_msg_timeout_t timeout)
{
	struct message_errand e = {
		.name = name, .option = MACH_RCV_MSG | option, .timeout = timeout, .limit = sizeof e.letter.bytes
	};

	begin_at(p, lane, do_message, &e, sizeof e);
}

void begin_send_at(struct process *p, unsigned lane, const struct letter *l, mach_msg_option_t option,
		   mach_msg_timeout_t timeout)
{
	struct message_errand e = { .letter = *l, .option = MACH_SEND_MSG | option, .timeout = timeout };

	begin_at(p, lane, do_message, &e, sizeof e);
}

mach_msg_return_t end_message_at(struct process *p, unsigned lane, struct letter *l)
{
	struct message_errand e;

	end_at(p, lane, &e, sizeof e);
	if (l)
		*l = e.letter;
	return e.result;
}

/* ---- notifications ----------------------------------------------------------------------------------------------- */

static void do_watch(long *n)
{
	n[0] = watch(here(), (int)n[0], (mach_port_t)n[1]);
}

kern_return_t watch_at(struct process *p, int notice, mach_port_t name)
{
	return (kern_return_t)ask(p, do_watch, notice, name);
}

static void do_await_notice(long *n)
{
	n[0] = await_notice(here(), PATIENCE);
}

static void do_expect_notice(long *n)
{
	expect_notice(here(), (int)n[0], (mach_port_t)n[1]);
}

void expect_notice_at(struct process *p, int notice, mach_port_t name)
{
	if (!ask(p, do_await_notice))
		fail_msg("no notice comes");
	ask(p, do_expect_notice, notice, name);
}

static void do_expect_no_notice(long *n)
{
	(void)n;
	expect_no_notice(here());
}

void expect_no_notice_at(struct process *p)
{
	ask(p, do_expect_no_notice);
}
