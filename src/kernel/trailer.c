/* SPDX-License-Identifier: MIT */
#include "kernel/trailer.h"

#include <stddef.h>
#include <unistd.h>

#include "kernel/message.h"
#include "platform/usercopy.h"

/* Each trailer is the beginning of the longest. */
_Static_assert(offsetof(mach_msg_audit_trailer_t, msgh_sender) == sizeof(mach_msg_seqno_trailer_t) &&
		       offsetof(mach_msg_audit_trailer_t, msgh_audit) == sizeof(mach_msg_security_trailer_t),
	       "trailers are beginnings of each other");

static const security_token_t kernel_security = KERNEL_SECURITY_TOKEN_VALUE;
static const audit_token_t kernel_audit = KERNEL_AUDIT_TOKEN_VALUE;

bool trailer_is_known(mach_msg_option_t option)
{
	return (option & MACH_RCV_TRAILER_TYPE(0xfu)) == MACH_RCV_TRAILER_TYPE(MACH_MSG_TRAILER_FORMAT_0) &&
	       GET_RCV_ELEMENTS(option) <= MACH_RCV_TRAILER_AUDIT;
}

static void trailer_write_sender(mach_msg_audit_trailer_t *t, const struct sender *sender, uid_t real_uid,
				 gid_t real_gid)
{
	t->msgh_sender = (security_token_t){ { sender->uid, sender->gid } };
	t->msgh_audit = (audit_token_t){
		{ (unsigned)-1, sender->uid, sender->gid, real_uid, real_gid, (unsigned)sender->pid, 0, 0 },
	};
}

/* Nothing of it is kept: a fork changes it, and so do the calls that change users. */
static void trailer_write_self(mach_msg_audit_trailer_t *t)
{
	struct sender self = { getpid(), geteuid(), getegid() };

	trailer_write_sender(t, &self, getuid(), getgid());
}

bool trailer_write(const struct message *m, mach_msg_header_t *user, mach_msg_option_t option)
{
	mach_msg_audit_trailer_t t = {
		.msgh_trailer_type = MACH_MSG_TRAILER_FORMAT_0,
		.msgh_trailer_size = trailer_size(option),
		.msgh_seqno = m->seqno,
		.msgh_sender = kernel_security,
		.msgh_audit = kernel_audit,
	};

	if (m->sent_by == SENDER_OTHER)
		trailer_write_sender(&t, &m->sender, m->sender.uid, m->sender.gid);
	else if (m->sent_by == SENDER_SELF && GET_RCV_ELEMENTS(option) > MACH_RCV_TRAILER_SEQNO)
		trailer_write_self(&t);
	return user_write((char *)user + round_msg(m->size), &t, t.msgh_trailer_size);
}
