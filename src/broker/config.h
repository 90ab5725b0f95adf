/* SPDX-License-Identifier: MIT */
#ifndef BROKER_CONFIG_H
#define BROKER_CONFIG_H

/* What can be set, by lines "key = value" in a file and by options "--key value" alike. In a file "#" begins a comment where
 * a word could begin, and blanks around key and value do not count.
 *
 *   key           value                  at first                            meaning
 *   socket        an absolute path       by the table in link/rendezvous.h     where to listen
 *   mode          octal                  0600                                of the socket
 *   idle-exit     seconds                0: never; autostarted: 30           leave when no node has been there so long
 *   max-nodes     1 to 65536             4096                                connected at once
 *   max-links     1 to 65536             1024                                of one node, at once
 *   max-exports   1 to 16777216          1048576                             rights of one node, each way
 *   max-names     1 to 16384             4096                                of one process, in each of the two tables
 *   service       a name                                                     declared before anybody serves it; repeatable */

#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

#include "link/rendezvous.h"
#include "link/broker.h"

struct config {
	char socket[BROKER_PATH_MAX];
	bool is_default; /* nobody said which socket */
	mode_t mode;
	unsigned int idle_exit, max_names;
	struct link_limits limits;
	char **services;
	unsigned int n_services;
};

#define CONFIG_IDLE_AUTOSTARTED 30 /* seconds */

/* socket stays empty until somebody says which. */
void config_init(struct config *c);
void config_deinit(struct config *c);

/* The default place. False with errno. */
bool config_choose_socket(struct config *c);

/* Returns NULL, or what is wrong: a phrase that can follow the key. It is overwritten by the next such call. */
const char *config_set(struct config *c, const char *key, const char *value);

/* Reads to the end. Each fault is a line "NAME:LINE: what is wrong" on @errors. False: there was one. */
bool config_read(struct config *c, FILE *file, const char *name, FILE *errors);

#endif
