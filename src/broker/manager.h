/* SPDX-License-Identifier: MIT */
#ifndef BROKER_MANAGER_H
#define BROKER_MANAGER_H

/* The service manager that may have started the broker: systemd. manager-systemd.c asks its library; manager-own.c, for
 * builds without it, does the little that is needed itself. */

/* The socket that it listens on for us: a listening SOCK_SEQPACKET unix socket, the caller's; -1 with errno 0: none.
 *   EINVAL   there is something, but not one such socket */
int manager_listen_fd(void);

/* Tells it, as sd_notify(3) does; without a manager nothing happens. */
void manager_notify(const char *state);

#endif
