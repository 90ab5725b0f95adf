/* SPDX-License-Identifier: MIT */
#ifndef PORTUNUS_MACH_NOTIFY_H
#define PORTUNUS_MACH_NOTIFY_H

#include <mach/message.h>
#include <mach/port.h>

/* Notifications: messages from the kernel to a send-once right that was left with it, by
 * mach_port_request_notification or an option of mach_msg. Source: probes 01-abi (layout), 11-notify (when). */
#define MACH_NOTIFY_FIRST	   0100
#define MACH_NOTIFY_PORT_DELETED   (MACH_NOTIFY_FIRST + 001) /* the name is gone, a dead-name request with it */
#define MACH_NOTIFY_MSG_ACCEPTED   (MACH_NOTIFY_FIRST + 002) /* a message sent with MACH_SEND_NOTIFY is in the queue */
#define MACH_NOTIFY_PORT_DESTROYED (MACH_NOTIFY_FIRST + 005) /* here is a receive right that would have died */
#define MACH_NOTIFY_NO_SENDERS	   (MACH_NOTIFY_FIRST + 006) /* the last send right is gone */
#define MACH_NOTIFY_SEND_ONCE	   (MACH_NOTIFY_FIRST + 007) /* a send-once right died unused */
#define MACH_NOTIFY_DEAD_NAME	   (MACH_NOTIFY_FIRST + 010) /* the port died; the name, one reference more, is dead */
#define MACH_NOTIFY_LAST	   (MACH_NOTIFY_FIRST + 015)

typedef struct {
	mach_msg_header_t not_header;
	mach_msg_type_t not_type; /* MACH_MSG_TYPE_PORT_NAME */
	mach_port_t not_port;	  /* the name that was deleted */
} mach_port_deleted_notification_t;

typedef struct {
	mach_msg_header_t not_header;
	mach_msg_type_t not_type; /* MACH_MSG_TYPE_PORT_NAME */
	mach_port_t not_port;	  /* the destination; MACH_PORT_NULL if it died meanwhile */
} mach_msg_accepted_notification_t;

typedef struct {
	mach_msg_header_t not_header;
	mach_msg_type_t not_type; /* MACH_MSG_TYPE_PORT_RECEIVE */
	mach_port_t not_port;	  /* the receive right, now the receiver's */
} mach_port_destroyed_notification_t;

typedef struct {
	mach_msg_header_t not_header;
	mach_msg_type_t not_type; /* MACH_MSG_TYPE_INTEGER_32 */
	unsigned int not_count;	  /* the make-send count */
} mach_no_senders_notification_t;

typedef struct {
	mach_msg_header_t not_header;
} mach_send_once_notification_t;

typedef struct {
	mach_msg_header_t not_header;
	mach_msg_type_t not_type; /* MACH_MSG_TYPE_PORT_NAME */
	mach_port_t not_port;	  /* the dead name; the notification gave it one more reference */
} mach_dead_name_notification_t;

#endif
