/* SPDX-License-Identifier: MIT */
/* Error codes in words. One table holds all codes; the bits that receive errors carry beside their code are put into
 * words in a buffer of the thread. */
#include <mach_error.h>

#include <stdio.h>
#include <stddef.h>

#include <mach/kern_return.h>
#include <mach/message.h>
#include <mach/mig_errors.h>
#include <servers/bootstrap_defs.h>
#include <servers/netname_defs.h>

#define TEXT_MAX 512

struct text {
	mach_error_t code;
	const char *symbol;
	const char *sentence; /* the symbol in parentheses at its end */
};

#define TEXT(code, words) \
	{ \
		code, #code, words " (" #code ")" \
	}

static const struct text texts[] = {
	TEXT(KERN_SUCCESS, "success"),
	TEXT(KERN_INVALID_ADDRESS, "the address is not that of usable memory"),
	TEXT(KERN_PROTECTION_FAILURE, "the memory does not allow this kind of access"),
	TEXT(KERN_NO_SPACE, "the address range is taken, or no free one is large enough"),
	TEXT(KERN_INVALID_ARGUMENT, "the call does not work on this kind of argument"),
	TEXT(KERN_FAILURE, "the call failed"),
	TEXT(KERN_RESOURCE_SHORTAGE, "memory or another resource is exhausted"),
	TEXT(KERN_NOT_RECEIVER, "the task does not hold the receive right"),
	TEXT(KERN_NO_ACCESS, "the access restriction makes no sense"),
	TEXT(KERN_MEMORY_FAILURE, "the memory object is gone for good"),
	TEXT(KERN_MEMORY_ERROR, "the memory object could not supply the data"),
	TEXT(KERN_NOT_IN_SET, "the receive right is in no port set"),
	TEXT(KERN_NAME_EXISTS, "the name is already in use"),
	TEXT(KERN_ABORTED, "the call was aborted"),
	TEXT(KERN_INVALID_NAME, "the name denotes nothing in the task"),
	TEXT(KERN_INVALID_TASK, "the port is not that of a living task"),
	TEXT(KERN_INVALID_RIGHT, "the name denotes a right of another kind"),
	TEXT(KERN_INVALID_VALUE, "a number is out of its range"),
	TEXT(KERN_UREFS_OVERFLOW, "the right has as many user references as it can"),
	TEXT(KERN_INVALID_CAPABILITY, "the right supplied is null, dead or of the wrong kind"),
	TEXT(KERN_RIGHT_EXISTS, "the task already has the right under another name"),
	TEXT(KERN_INVALID_HOST, "the port is not that of a host"),
	TEXT(KERN_MEMORY_PRESENT, "the memory object already holds the page"),
	TEXT(KERN_WRITE_PROTECTION_FAILURE, "the page may not be written"),
	TEXT(KERN_TERMINATED, "the object has been terminated"),
	TEXT(KERN_TIMEDOUT, "the time allowed has run out"),
	TEXT(KERN_INTERRUPTED, "the call was interrupted"),

	TEXT(MACH_SEND_IN_PROGRESS, "the thread is waiting to send"),
	TEXT(MACH_SEND_INVALID_DATA, "the message to send cannot be read"),
	TEXT(MACH_SEND_INVALID_DEST, "the destination is no send or send-once right to a living port"),
	TEXT(MACH_SEND_TIMED_OUT, "the queue stayed full until the time had run out"),
	TEXT(MACH_SEND_WILL_NOTIFY, "the message is sent, a notification will tell when the queue accepts it"),
	TEXT(MACH_SEND_NOTIFY_IN_PROGRESS, "a notification for an earlier message is still to come"),
	TEXT(MACH_SEND_INTERRUPTED, "the send was interrupted"),
	TEXT(MACH_SEND_MSG_TOO_SMALL, "the message is shorter than its contents, or its size is misaligned"),
	TEXT(MACH_SEND_INVALID_REPLY, "the reply right is not what its disposition says"),
	TEXT(MACH_SEND_INVALID_RIGHT, "a right in the body is not what its disposition says"),
	TEXT(MACH_SEND_INVALID_NOTIFY, "the notify port is no receive right"),
	TEXT(MACH_SEND_INVALID_MEMORY, "out-of-line memory cannot be read"),
	TEXT(MACH_SEND_NO_BUFFER, "there is no memory for the message"),
	TEXT(MACH_SEND_NO_NOTIFY, "there is no memory for the notification request"),
	TEXT(MACH_SEND_INVALID_TYPE, "a type descriptor contradicts itself"),
	TEXT(MACH_SEND_INVALID_HEADER, "the header holds no legal dispositions"),

	TEXT(MACH_RCV_IN_PROGRESS, "the thread is waiting to receive"),
	TEXT(MACH_RCV_INVALID_NAME, "the name to receive from is no receive right or port set"),
	TEXT(MACH_RCV_TIMED_OUT, "no message came until the time had run out"),
	TEXT(MACH_RCV_TOO_LARGE, "the message is larger than the buffer"),
	TEXT(MACH_RCV_INTERRUPTED, "the receive was interrupted"),
	TEXT(MACH_RCV_PORT_CHANGED, "the port joined a port set during the receive"),
	TEXT(MACH_RCV_INVALID_NOTIFY, "the notify port is no receive right"),
	TEXT(MACH_RCV_INVALID_DATA, "the buffer for the message cannot be written"),
	TEXT(MACH_RCV_PORT_DIED, "the port or port set was moved or died during the receive"),
	TEXT(MACH_RCV_IN_SET, "the port is a member of a port set"),
	TEXT(MACH_RCV_HEADER_ERROR, "the rights in the header found no room"),
	TEXT(MACH_RCV_BODY_ERROR, "a part of the body found no room"),
	TEXT(MACH_RCV_INVALID_TRAILER, "there is no trailer of this type with these elements"),

	TEXT(MIG_TYPE_ERROR, "the reply does not have the types it should"),
	TEXT(MIG_REPLY_MISMATCH, "the reply belongs to another routine"),
	TEXT(MIG_REMOTE_ERROR, "the server detected an error"),
	TEXT(MIG_BAD_ID, "the server knows no routine of this id"),
	TEXT(MIG_BAD_ARGUMENTS, "the request does not have the types it should"),
	TEXT(MIG_NO_REPLY, "no reply is to be sent"),
	TEXT(MIG_EXCEPTION, "the server raised an exception"),
	TEXT(MIG_ARRAY_TOO_LARGE, "an array is larger than the room for it"),
	TEXT(MIG_SERVER_DIED, "the server died before it replied"),
	TEXT(MIG_DESTROY_REQUEST, "the request is to be destroyed without a reply"),

	TEXT(NETNAME_NOT_YOURS, "the name is checked in with another signature"),
	TEXT(NETNAME_NOT_CHECKED_IN, "nobody has checked the name in"),
	TEXT(NETNAME_NO_SUCH_HOST, "the name server knows no such host"),
	TEXT(NETNAME_HOST_NOT_FOUND, "the host does not answer the name server"),
	TEXT(NETNAME_INVALID_PORT, "the right to check in is null or dead"),

	TEXT(BOOTSTRAP_NOT_PRIVILEGED, "this is not for everybody to do"),
	TEXT(BOOTSTRAP_NAME_IN_USE, "the name is in use"),
	TEXT(BOOTSTRAP_UNKNOWN_SERVICE, "there is no service of this name"),
	TEXT(BOOTSTRAP_SERVICE_ACTIVE, "the service is there already"),
	TEXT(BOOTSTRAP_BAD_COUNT, "these are too many names for one call"),
	TEXT(BOOTSTRAP_NO_MEMORY, "there is no memory, or no room, for another service"),
};

static const struct text special_bits[] = {
	TEXT(MACH_MSG_IPC_SPACE, "no room in the name space"),
	TEXT(MACH_MSG_VM_SPACE, "no room for out-of-line memory"),
	TEXT(MACH_MSG_IPC_KERNEL, "no kernel memory for a right"),
	TEXT(MACH_MSG_VM_KERNEL, "no kernel memory for out-of-line data"),
};

#define N_TEXTS	       (sizeof texts / sizeof texts[0])
#define N_SPECIAL_BITS (sizeof special_bits / sizeof special_bits[0])

static _Thread_local char made_up[TEXT_MAX]; /* what mach_error_string returns when no constant will do */

static const struct text *text_find(mach_error_t code)
{
	for (size_t i = 0; i < N_TEXTS; i++)
		if (texts[i].code == code)
			return &texts[i];
	return NULL;
}

static int is_mig_code(mach_error_t code)
{
	return code <= MIG_TYPE_ERROR && code >= MIG_DESTROY_REQUEST;
}

static int is_message_code(mach_error_t code)
{
	return err_get_system(code) == err_get_system(err_mach_ipc) && err_get_sub(code) <= 1;
}

static const char *describe_special(const struct text *base, mach_error_t bits)
{
	int n = snprintf(made_up, sizeof made_up, "%s", base->sentence);

	for (size_t i = 0; i < N_SPECIAL_BITS; i++)
		if (bits & special_bits[i].code)
			n += snprintf(made_up + n, sizeof made_up - (size_t)n, ", %s", special_bits[i].sentence);
	return made_up;
}

const char *mach_error_string(mach_error_t error_value)
{
	const struct text *t = text_find(error_value);

	if (t)
		return t->sentence;
	if (is_message_code(error_value)) {
		t = text_find(error_value & ~MACH_MSG_MASK);
		if (t)
			return describe_special(t, error_value & MACH_MSG_MASK);
	}
	snprintf(made_up, sizeof made_up, "unknown error code 0x%x", (unsigned int)error_value);
	return made_up;
}

/* The codes of the name services lie among those of the kernel, above any that it has. */
static int is_netname_code(mach_error_t code)
{
	return code >= NETNAME_NOT_YOURS && code <= NETNAME_INVALID_PORT;
}

static int is_bootstrap_code(mach_error_t code)
{
	return code >= BOOTSTRAP_NOT_PRIVILEGED && code <= BOOTSTRAP_NO_MEMORY;
}

const char *mach_error_type(mach_error_t error_value)
{
	static const char *const of_system[] = {
		"(os/kern)", "(us)", "(server)", "(ipc/old)", "(ipc/?)", "(bootstrap)",
	};
	unsigned int sys = err_get_system(error_value);

	if (is_mig_code(error_value))
		return "(ipc/mig)";
	if (is_netname_code(error_value))
		return "(netname)";
	if (is_bootstrap_code(error_value))
		return "(bootstrap)";
	if (is_message_code(error_value))
		return err_get_sub(error_value) == 0 ? "(ipc/send)" : "(ipc/rcv)";
	if (sys < sizeof of_system / sizeof of_system[0])
		return of_system[sys];
	if (sys == err_get_system(err_local))
		return "(local)";
	return "(?/?)";
}

void mach_error(const char *str, mach_error_t error_value)
{
	fprintf(stderr, "%s: %s %s, 0x%x\n", str ? str : "error", mach_error_type(error_value),
		mach_error_string(error_value), (unsigned int)error_value);
}
