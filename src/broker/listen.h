/* SPDX-License-Identifier: MIT */
#ifndef BROKER_LISTEN_H
#define BROKER_LISTEN_H

/* The broker's socket in the file system. Of several brokers that start at one path, one listens and the others learn that
 * somebody does. Beside the socket lies PATH.lock, which is never removed, with two bytes to lock:
 *
 *   START   held while a broker starts        LIFE   held as long as it lives
 *
 *   L1 take START, waiting     L2 try LIFE     L3 connect to what is there     L4 remove it, bind, listen     L5 let START go
 *
 * Whoever fails at L2 has waited at L1 until the other listened or died: so "somebody else listens" is true when it is
 * said, and who asked for a broker can connect. A lock ends with its holder, however it ends, so that what L2 finds unlocked is
 * a dead broker's, and its socket can go. L3 is for those that listen without a lock: a service manager. */

#include <stdbool.h>
#include <sys/types.h>
#include <sys/un.h>

struct listen_socket {
	int fd;		   /* listening; -1 when it has been given away */
	int lock;	   /* holds LIFE */
	bool is_successor; /* of a broker that was killed: its socket was there */
	struct sockaddr_un address;
};

enum listen_result {
	LISTEN_OK,
	LISTEN_TAKEN, /* somebody else listens there */
	LISTEN_FAILED /* said in the log */
};

/* Makes the directory if need be, for the user alone, or to be passed through by all whom @mode lets connect. @is_default:
 * a directory that is there has to be as it would be made; else it is enough that no stranger can change it. */
enum listen_result listen_open(struct listen_socket *s, const char *path, mode_t mode, bool is_default);

/* Nobody can connect any more. */
void listen_close(struct listen_socket *s);

#endif
