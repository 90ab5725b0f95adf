/* SPDX-License-Identifier: MIT */
/* The layouts that programs, stubs and library agree on, checked when this is compiled, as C and as C++. What is not told
 * apart below is the same in both. Source: probe 01-abi (lp64); the stubs of Debian 12's MIG (packed4). */
#include <stddef.h>

#include <mach.h>
#include <mach_error.h>
#include <mach_init.h>
#include <mach/mach.h>
#include <mach/msg_type.h>
#include <portunus/fileport.h>
#include <portunus/poll.h>
#include <portunus/task.h>

#define SIZE(type, n)	       PORTUNUS_STATIC_ASSERT(sizeof(type) == (n), "size of " #type)
#define OFFSET(type, field, n) PORTUNUS_STATIC_ASSERT(offsetof(type, field) == (n), "offset of " #field " in " #type)
#define VALUE(a, b)	       PORTUNUS_STATIC_ASSERT((a) == (b), "value of " #a)

SIZE(mach_port_t, 4);
SIZE(mach_port_name_t, 4);
SIZE(natural_t, 4);
SIZE(integer_t, 4);
SIZE(boolean_t, 4);
SIZE(kern_return_t, 4);
SIZE(mach_msg_return_t, 4);
SIZE(mach_msg_type_number_t, 4);
SIZE(vm_offset_t, 8);
SIZE(vm_address_t, 8);
SIZE(vm_size_t, 8);
SIZE(time_value_t, 16);

SIZE(mach_msg_header_t, 32);
OFFSET(mach_msg_header_t, msgh_bits, 0);
OFFSET(mach_msg_header_t, msgh_size, 4);
OFFSET(mach_msg_header_t, msgh_remote_port, 8);
OFFSET(mach_msg_header_t, msgh_local_port, 16);
OFFSET(mach_msg_header_t, msgh_protected_payload, 16);
OFFSET(mach_msg_header_t, msgh_seqno, 24);
OFFSET(mach_msg_header_t, msgh_id, 28);

SIZE(mach_msg_trailer_t, 8);
SIZE(mach_msg_seqno_trailer_t, 12);
SIZE(mach_msg_security_trailer_t, 20);
SIZE(mach_msg_audit_trailer_t, 52);
OFFSET(mach_msg_audit_trailer_t, msgh_seqno, 8);
OFFSET(mach_msg_audit_trailer_t, msgh_sender, 12);
OFFSET(mach_msg_audit_trailer_t, msgh_audit, 20);
VALUE(MACH_RCV_TRAILER_TYPE(MACH_MSG_TRAILER_FORMAT_0) | MACH_RCV_TRAILER_ELEMENTS(MACH_RCV_TRAILER_AUDIT), 0x03000000);
VALUE(REQUESTED_TRAILER_SIZE(MACH_RCV_MSG | MACH_RCV_TRAILER_ELEMENTS(MACH_RCV_TRAILER_SENDER)), 20);
VALUE(MAX_TRAILER_SIZE, 52u);
VALUE(round_msg(33), 32u + MACH_MSG_USER_ALIGNMENT);

SIZE(mach_port_status_t, 36);
OFFSET(mach_port_status_t, mps_pset, 0);
OFFSET(mach_port_status_t, mps_nsrequest, 32);

SIZE(mach_send_once_notification_t, 32);
OFFSET(mach_dead_name_notification_t, not_type, 32);
OFFSET(mig_reply_header_t, RetCodeType, 32);

#ifdef PORTUNUS_MIG_ABI_LP64
#define DESCRIPTOR 8
SIZE(mach_msg_type_long_t, 8);
#else
#define DESCRIPTOR 4
SIZE(mach_msg_type_long_t, 12);
OFFSET(mach_msg_type_long_t, msgtl_name, 4);
OFFSET(mach_msg_type_long_t, msgtl_size, 6);
OFFSET(mach_msg_type_long_t, msgtl_number, 8);
#endif

VALUE(MACH_MSG_USER_ALIGNMENT, DESCRIPTOR);
VALUE(__alignof__(mach_msg_type_t), DESCRIPTOR);
SIZE(mach_msg_type_t, DESCRIPTOR);
SIZE(mach_port_name_inlined_t, DESCRIPTOR);
SIZE(mig_reply_header_t, 32 + 2 * DESCRIPTOR);
OFFSET(mig_reply_header_t, RetCode, 32 + DESCRIPTOR);
SIZE(mach_dead_name_notification_t, 32 + 2 * DESCRIPTOR);
SIZE(mach_port_deleted_notification_t, 32 + 2 * DESCRIPTOR);
SIZE(mach_msg_accepted_notification_t, 32 + 2 * DESCRIPTOR);
SIZE(mach_port_destroyed_notification_t, 32 + 2 * DESCRIPTOR);
SIZE(mach_no_senders_notification_t, 32 + 2 * DESCRIPTOR);
OFFSET(mach_dead_name_notification_t, not_port, 32 + DESCRIPTOR);
OFFSET(mach_no_senders_notification_t, not_count, 32 + DESCRIPTOR);

VALUE(MACH_PORT_TYPE_ALL_RIGHTS, 0x1f0000u);
VALUE(MACH_MSGH_BITS(MACH_MSG_TYPE_COPY_SEND, MACH_MSG_TYPE_MAKE_SEND_ONCE), 0x1513);
VALUE(MACH_MSGH_BITS_REMOTE(0x80001513), 0x13u);
VALUE(MACH_MSGH_BITS_LOCAL(0x80001513), 0x15u);
VALUE(MACH_NOTIFY_DEAD_NAME, 72);
VALUE(MACH_NOTIFY_LAST, 77);
VALUE(MACH_MSG_MASK, MACH_MSG_IPC_SPACE | MACH_MSG_VM_SPACE | MACH_MSG_IPC_KERNEL | MACH_MSG_VM_KERNEL);
