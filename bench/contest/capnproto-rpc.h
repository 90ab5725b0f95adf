/* SPDX-License-Identifier: MIT */
/* Cap'n Proto RPC for a C program: what capnproto.c needs of it, and no more. */
#ifndef BENCH_CAPNPROTO_RPC_H
#define BENCH_CAPNPROTO_RPC_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct capnp_server;
struct capnp_client;
struct capnp_object;

enum capnp_reaction { CAPNP_ANSWER, CAPNP_PASS, CAPNP_MAKE, CAPNP_NOT };

/* What a server does with what comes: decides, says how long the answer is; and writes it. */
struct capnp_handler {
	enum capnp_reaction (*react)(void *context, const char *data, size_t size, size_t *answer);
	void (*write)(char *to, const char *request, size_t answer);
	int (*is_done)(void *context);
	void *context;
};

/* All of one thread. */
struct capnp_server *capnp_server_new(void);
void capnp_server_accept(struct capnp_server *s, int fd);
void capnp_server_run(struct capnp_server *s, const struct capnp_handler *handler); /* until it is done */
void capnp_server_free(struct capnp_server *s);

struct capnp_object *capnp_object_new(void);
void capnp_object_free(struct capnp_object *o);

struct capnp_client *capnp_client_new(int fd);
char *capnp_client_buffer(struct capnp_client *c, size_t size, int is_post, int brings_object);
const char *capnp_client_call(struct capnp_client *c, size_t *size);
void capnp_client_post(struct capnp_client *c);
void capnp_client_drop(struct capnp_client *c);
void capnp_client_free(struct capnp_client *c);

#ifdef __cplusplus
}
#endif

#endif
