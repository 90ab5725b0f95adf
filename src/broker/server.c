/* SPDX-License-Identifier: MIT */
#include "server.h"

#include <limits.h>
#include <mach.h>
#include <servers/bootstrap_defs.h>
#include <servers/netname_defs.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "bootstrap_rpc_server.h"
#include "broker_notify_server.h"
#include "client/server.h"
#include "names.h"
#include "netname_rpc_server.h"
#include "nodes.h"
#include "platform/deadline.h"

/* Larger than any request and reply of ours; a larger request still comes, and is refused. */
#define MESSAGE_MAX 4096

/* Who asks, as the host vouches for it. */
#define TRAILER (MACH_RCV_TRAILER_TYPE(MACH_MSG_TRAILER_FORMAT_0) | MACH_RCV_TRAILER_ELEMENTS(MACH_RCV_TRAILER_AUDIT))

enum { WAITING_MAX = 256, WAITING_STEP_MS = 50 };

#define AUDIT_PID 5 /* where in the audit token */

/* Messages to the control port, which are nothing but a header. */
enum word { WORD_STOP = 1, WORD_COUNT };

static struct server {
	mach_port_t set, service, control;
	struct names netnames, services;
	unsigned int idle_ms;
	atomic_uint n_nodes;
	bool is_stopping;
	struct deadline patience; /* until then, what is not known may become so */
	bool is_missing;	  /* by the last request something was looked up in vain that may */
	struct request *waiting;  /* newest first */
	unsigned int n_waiting;
	pid_t sender; /* of the request at hand; 0: none, or our own */
	uid_t client; /* its user */
} server;

/* One that is answered later. */
struct request {
	struct request *next;
	union {
		mach_msg_header_t header;
		char bytes[MESSAGE_MAX];
	};
};

static kern_return_t is_missing(kern_return_t kr)
{
	server.is_missing = true;
	return kr;
}

/* ---- netname */

/* Not every MIG's stubs check that a string ends. Its field is in the message in full, so looking that far is safe. */
static bool ends(const char *string, size_t room)
{
	return strnlen(string, room) < room;
}

static bool is_this_host(const char *host)
{
	char name[HOST_NAME_MAX + 1] = "";
	size_t label;

	if (!host[0] || strcmp(host, "*") == 0 || strcasecmp(host, "localhost") == 0)
		return true;
	if (gethostname(name, sizeof name - 1) < 0)
		return false;
	label = strcspn(name, ".");
	return strcasecmp(host, name) == 0 || (strlen(host) == label && strncasecmp(host, name, label) == 0);
}

/* The rights of a request are taken on success; after an error the server loop destroys them with the request. */
kern_return_t serve_netname_check_in(mach_port_t port, const_netname_name_t name, mach_port_t signature,
				     mach_port_t port_id)
{
	struct entry *e;
	kern_return_t kr;

	(void)port;
	if (!ends(name, NETNAME_NAME_MAX))
		return KERN_INVALID_ARGUMENT;
	if (!MACH_PORT_VALID(port_id) || signature == MACH_PORT_DEAD)
		return NETNAME_INVALID_PORT;
	e = names_find(&server.netnames, name);
	if (!e)
		return names_add(&server.netnames, server.sender, name, port_id, signature, &e);
	if (e->signature != signature)
		return NETNAME_NOT_YOURS;
	kr = names_change(&server.netnames, e, port_id);
	if (kr == KERN_SUCCESS && signature != MACH_PORT_NULL)
		mach_port_deallocate(mach_task_self(), signature); /* the entry has one reference already */
	return kr;
}

kern_return_t serve_netname_look_up(mach_port_t port, const_netname_name_t host, const_netname_name_t name,
				    mach_port_t *port_id)
{
	struct entry *e;

	(void)port;
	if (!ends(host, NETNAME_NAME_MAX) || !ends(name, NETNAME_NAME_MAX))
		return KERN_INVALID_ARGUMENT;
	if (!is_this_host(host))
		return NETNAME_NO_SUCH_HOST;
	e = names_find(&server.netnames, name);
	if (!e)
		return is_missing(NETNAME_NOT_CHECKED_IN);
	*port_id = e->port;
	return NETNAME_SUCCESS;
}

kern_return_t serve_netname_check_out(mach_port_t port, const_netname_name_t name, mach_port_t signature)
{
	struct entry *e;

	(void)port;
	if (!ends(name, NETNAME_NAME_MAX))
		return KERN_INVALID_ARGUMENT;
	e = names_find(&server.netnames, name);
	if (!e)
		return NETNAME_NOT_CHECKED_IN;
	if (e->signature != signature)
		return NETNAME_NOT_YOURS;
	names_remove(&server.netnames, e);
	if (MACH_PORT_VALID(signature))
		mach_port_deallocate(mach_task_self(), signature);
	return NETNAME_SUCCESS;
}

kern_return_t serve_netname_version(mach_port_t port, netname_name_t version)
{
	(void)port;
	snprintf(version, NETNAME_NAME_MAX, "Portunus %s", PORTUNUS_VERSION);
	return KERN_SUCCESS;
}

/* ---- bootstrap */

static kern_return_t no_memory(kern_return_t kr)
{
	return kr == KERN_RESOURCE_SHORTAGE ? BOOTSTRAP_NO_MEMORY : kr;
}

/* The reply takes the receive right along, and the port dies with the reply if nobody is left to get it. What remains here
 * is the send right, by which we hear of that. */
kern_return_t serve_bootstrap_check_in(mach_port_t port, const_name_t name, mach_port_t *service)
{
	struct entry *e;
	kern_return_t kr;

	(void)port;
	if (!ends(name, BOOTSTRAP_MAX_NAME_LEN))
		return KERN_INVALID_ARGUMENT;
	e = names_find(&server.services, name);
	if (e && e->state != ENTRY_KEPT)
		return BOOTSTRAP_SERVICE_ACTIVE;
	if (!e) {
		kr = names_declare(&server.services, server.sender, name, &e);
		if (kr)
			return no_memory(kr);
		e->is_declared = false; /* it ends with who checks in now */
	}
	return no_memory(names_hand_out(&server.services, e, service));
}

/* MACH_PORT_NULL in the place of a port: the service is not to be there any more. */
static kern_return_t unregister(struct entry *e)
{
	if (!e)
		return BOOTSTRAP_UNKNOWN_SERVICE;
	names_remove(&server.services, e);
	return BOOTSTRAP_SUCCESS;
}

kern_return_t serve_bootstrap_register(mach_port_t port, const_name_t name, mach_port_t service)
{
	struct entry *e;

	(void)port;
	if (!ends(name, BOOTSTRAP_MAX_NAME_LEN))
		return KERN_INVALID_ARGUMENT;
	if (service == MACH_PORT_DEAD)
		return KERN_INVALID_CAPABILITY;
	e = names_find(&server.services, name);
	if (e && e->state != ENTRY_KEPT)
		return BOOTSTRAP_SERVICE_ACTIVE;
	if (service == MACH_PORT_NULL)
		return unregister(e);
	return no_memory(e ? names_change(&server.services, e, service)
			   : names_add(&server.services, server.sender, name, service, MACH_PORT_NULL, &e));
}

kern_return_t serve_bootstrap_look_up(mach_port_t port, const_name_t name, mach_port_t *service)
{
	struct entry *e;

	(void)port;
	if (!ends(name, BOOTSTRAP_MAX_NAME_LEN))
		return KERN_INVALID_ARGUMENT;
	e = names_find(&server.services, name);
	if (!e)
		return is_missing(BOOTSTRAP_UNKNOWN_SERVICE);
	*service = e->port;
	return BOOTSTRAP_SUCCESS;
}

kern_return_t serve_bootstrap_status(mach_port_t port, const_name_t name, int *active)
{
	struct entry *e;

	(void)port;
	if (!ends(name, BOOTSTRAP_MAX_NAME_LEN))
		return KERN_INVALID_ARGUMENT;
	e = names_find(&server.services, name);
	if (!e)
		return BOOTSTRAP_UNKNOWN_SERVICE;
	*active = e->state == ENTRY_KEPT ? BOOTSTRAP_STATUS_INACTIVE : BOOTSTRAP_STATUS_ACTIVE;
	return BOOTSTRAP_SUCCESS;
}

kern_return_t serve_bootstrap_create_service(mach_port_t port, const_name_t name, mach_port_t *service)
{
	kern_return_t kr;

	(void)port;
	if (!ends(name, BOOTSTRAP_MAX_NAME_LEN))
		return KERN_INVALID_ARGUMENT;
	kr = server_declare(name);
	if (kr)
		return kr == KERN_NAME_EXISTS ? BOOTSTRAP_SERVICE_ACTIVE : no_memory(kr);
	*service = names_find(&server.services, name)->port;
	return BOOTSTRAP_SUCCESS;
}

kern_return_t server_declare(const char *name)
{
	struct entry *e;

	return names_find(&server.services, name) ? KERN_NAME_EXISTS
						  : names_declare(&server.services, server.sender, name, &e);
}

/* ---- the kernel's notifications, which come to the control port alone */

/* It brought one more reference to the dead name. */
kern_return_t do_mach_notify_dead_name(mach_port_t notify, mach_port_name_t name)
{
	(void)notify;
	names_died(&server.netnames, name);
	names_died(&server.services, name);
	mach_port_deallocate(mach_task_self(), name);
	return KERN_SUCCESS;
}

/* Whoever served a declared service has given its port up. If nobody here knows it any more, it dies. */
kern_return_t do_mach_notify_port_destroyed(mach_port_t notify, mach_port_t receive)
{
	(void)notify;
	if (!names_came_back(&server.services, receive))
		mach_port_mod_refs(mach_task_self(), receive, MACH_PORT_RIGHT_RECEIVE, -1);
	return KERN_SUCCESS;
}

/* The last reference to a name went before its port died. */
kern_return_t do_mach_notify_port_deleted(mach_port_t notify, mach_port_name_t name)
{
	(void)notify, (void)name;
	return KERN_SUCCESS;
}

/* A request was replaced by a later one for the same name. */
kern_return_t do_mach_notify_send_once(mach_port_t notify)
{
	(void)notify;
	return KERN_SUCCESS;
}

/* Never asked for. */
kern_return_t do_mach_notify_msg_accepted(mach_port_t notify, mach_port_name_t name)
{
	(void)notify, (void)name;
	return KERN_INVALID_ARGUMENT;
}

kern_return_t do_mach_notify_no_senders(mach_port_t notify, mach_port_mscount_t count)
{
	(void)notify, (void)count;
	return KERN_INVALID_ARGUMENT;
}

/* ---- the control port */

/* A full queue holds a word already, and one is enough to make the server look. */
static void say(enum word word)
{
	mach_msg_header_t header = {
		.msgh_bits = MACH_MSGH_BITS(MACH_MSG_TYPE_MAKE_SEND, 0),
		.msgh_size = sizeof header,
		.msgh_remote_port = server.control,
		.msgh_id = word,
	};
	mach_msg_option_t option = MACH_SEND_MSG | (word == WORD_COUNT ? MACH_SEND_TIMEOUT : 0);

	mach_msg(&header, option, sizeof header, 0, MACH_PORT_NULL, 0, MACH_PORT_NULL);
}

void server_stop(void)
{
	say(WORD_STOP);
}

void server_count_nodes(unsigned int n_nodes)
{
	atomic_store(&server.n_nodes, n_nodes);
	say(WORD_COUNT);
}

static boolean_t hear(const mach_msg_header_t *request, mach_msg_header_t *reply)
{
	if (request->msgh_id != WORD_STOP && request->msgh_id != WORD_COUNT)
		return FALSE;
	if (request->msgh_id == WORD_STOP)
		server.is_stopping = true;
	((mig_reply_header_t *)reply)->RetCode = MIG_NO_REPLY;
	return TRUE;
}

/* ---- serving */

/* Who sent it, as the host vouches for it. */
static void note_sender(const mach_msg_header_t *request)
{
	const mach_msg_audit_trailer_t *t =
		(const mach_msg_audit_trailer_t *)((const char *)request + round_msg(request->msgh_size));

	server.sender = (pid_t)t->msgh_audit.val[AUDIT_PID];
	server.client = t->msgh_sender.val[0];
}

/* An answer by a right to send could have to wait for room, for as long as its owner likes. Whoever asks by the stubs of MIG has
 * given one to send once. */
static bool may_wait_for(mach_msg_header_t *request, mach_msg_header_t *reply)
{
	if (MACH_MSGH_BITS_REMOTE(request->msgh_bits) != MACH_MSG_TYPE_MOVE_SEND)
		return false;
	mach_msg_destroy(request);
	((mig_reply_header_t *)reply)->RetCode = MIG_NO_REPLY;
	reply->msgh_bits = 0;
	return true;
}

static boolean_t answer(mach_msg_header_t *request, mach_msg_header_t *reply)
{
	server.is_missing = false;
	return netname_server(request, reply) || bootstrap_server(request, reply) ||
	       nodes_demux(server.client, request, reply);
}

/* False: there is no time to wait, no memory, or nobody to be answered. Takes the request's reply right. */
static bool put_off(const mach_msg_header_t *request)
{
	struct request *r;

	if (deadline_passed(&server.patience) || server.n_waiting == WAITING_MAX ||
	    request->msgh_size > sizeof r->bytes)
		return false;
	r = malloc(sizeof *r);
	if (!r)
		return false;
	memcpy(r->bytes, request, request->msgh_size);
	r->next = server.waiting;
	server.waiting = r;
	server.n_waiting++;
	return true;
}

static boolean_t demux(mach_msg_header_t *request, mach_msg_header_t *reply)
{
	note_sender(request);
	if (may_wait_for(request, reply))
		return TRUE;
	if (request->msgh_local_port == server.control)
		return hear(request, reply) || notify_server(request, reply);
	if (!answer(request, reply))
		return FALSE;
	if (server.is_missing && put_off(request))
		((mig_reply_header_t *)reply)->RetCode = MIG_NO_REPLY;
	return TRUE;
}

/* Who asked may have gone. */
static void send_reply(mach_msg_header_t *reply)
{
	if (mach_msg(reply, MACH_SEND_MSG | MACH_SEND_TIMEOUT, reply->msgh_size, 0, MACH_PORT_NULL, 0, MACH_PORT_NULL))
		mach_port_deallocate(mach_task_self(), reply->msgh_remote_port);
}

/* Those for which what they ask about has come; when the time is over, all. */
static void answer_waiting(void)
{
	struct request **at = &server.waiting, *r;
	union {
		mach_msg_header_t header;
		char bytes[MESSAGE_MAX];
	} reply;

	while ((r = *at)) {
		(void)answer(&r->header, &reply.header);
		if (server.is_missing && !deadline_passed(&server.patience)) {
			at = &r->next;
			continue;
		}
		*at = r->next;
		server.n_waiting--;
		free(r);
		send_reply(&reply.header);
	}
}

static bool is_idle(void)
{
	return server.idle_ms && atomic_load(&server.n_nodes) == 0;
}

/* A message is there, or so much time has passed. No buffer: it stays in the queue. */
static bool await_message(unsigned int ms)
{
	mach_msg_header_t header;

	return mach_msg(&header, MACH_RCV_MSG | MACH_RCV_LARGE | MACH_RCV_TIMEOUT, 0, 0, server.set, ms,
			MACH_PORT_NULL) != MACH_RCV_TIMED_OUT;
}

kern_return_t server_run(void)
{
	mach_msg_return_t mr;

	while (!server.is_stopping) {
		if (server.waiting)
			answer_waiting();
		if (server.waiting && !await_message(WAITING_STEP_MS))
			continue;
		if (is_idle() && !await_message(server.idle_ms) && is_idle())
			break;
		mr = server_once(demux, MESSAGE_MAX, server.set, TRAILER);
		server.sender = 0;
		/* A reply that cannot be delivered is the affair of who asked. */
		if (mr == MACH_RCV_INVALID_NAME || mr == MACH_RCV_PORT_DIED || mr == KERN_RESOURCE_SHORTAGE)
			return mr;
	}
	server.is_stopping = false; /* it has stopped */
	return KERN_SUCCESS;
}

static kern_return_t member_new(mach_port_t *port)
{
	kern_return_t kr = mach_port_allocate(mach_task_self(), MACH_PORT_RIGHT_RECEIVE, port);

	if (kr)
		return kr;
	kr = mach_port_move_member(mach_task_self(), *port, server.set);
	if (kr)
		mach_port_mod_refs(mach_task_self(), *port, MACH_PORT_RIGHT_RECEIVE, -1);
	return kr;
}

kern_return_t server_init(const struct server_options *options)
{
	kern_return_t kr;

	memset(&server, 0, sizeof server);
	server.idle_ms = options->idle_seconds * 1000;
	server.patience = deadline_after_ms(options->patience_ms);
	kr = mach_port_allocate(mach_task_self(), MACH_PORT_RIGHT_PORT_SET, &server.set);
	if (kr)
		return kr;
	kr = member_new(&server.control);
	if (kr)
		goto no_control;
	kr = member_new(&server.service);
	if (kr)
		goto no_service;
	names_init(&server.netnames, NAMES_ANY_CASE, options->max_names, server.control);
	names_init(&server.services, NAMES_EXACT, options->max_names, server.control);
	nodes_init(&server.netnames, &server.services);
	return KERN_SUCCESS;

no_service:
	mach_port_mod_refs(mach_task_self(), server.control, MACH_PORT_RIGHT_RECEIVE, -1);
no_control:
	mach_port_mod_refs(mach_task_self(), server.set, MACH_PORT_RIGHT_PORT_SET, -1);
	return kr;
}

void server_deinit(void)
{
	server.patience = deadline_after_ms(0);
	answer_waiting();
	names_deinit(&server.netnames);
	names_deinit(&server.services);
	mach_port_mod_refs(mach_task_self(), server.service, MACH_PORT_RIGHT_RECEIVE, -1);
	mach_port_mod_refs(mach_task_self(), server.control, MACH_PORT_RIGHT_RECEIVE, -1);
	mach_port_mod_refs(mach_task_self(), server.set, MACH_PORT_RIGHT_PORT_SET, -1);
}

mach_port_t server_service(void)
{
	return server.service;
}
