/* SPDX-License-Identifier: MIT */
/* Portunus: a port for each client at the server, in a port set where there are several, and a reply port at each client.
 *
 * For speed: request and answer with one mach_msg() at either end, as mach_msg_server() does. Payloads of up to 8 KiB are in the
 * message; larger ones go out of line in memory from vm_allocate() with the deallocate bit, so their pages move and are
 * not copied. A stream goes to a port with a queue of 1,024 (portunus_port_set_qlimit). The object that an answer brings
 * is a send right: to one port, or to a new one that the server destroys when the client has dropped it. */
#include "contestant.h"
#include "work.h"

#include <mach.h>
#include <portunus/port.h>
#include <portunus/spawn.h>
#include <stdlib.h>

enum { INLINE_MAX = 8192, STREAM_QUEUE = 1024, HOME_MILLISECONDS = 10000 };

enum id { ID_PLAIN = 1, ID_REGION, ID_OBJECT };

/* A payload in the message: 64-bit items, of which the short descriptor can count enough. */
struct plain {
	mach_msg_header_t head;
	mach_msg_type_t type;
	char data[INLINE_MAX];
};

/* Out of line. The pointer follows the long descriptor directly, aligned or not. */
struct region {
	mach_msg_header_t head;
	mach_msg_type_long_t type;
	char address[sizeof(void *)];
};

struct object {
	mach_msg_header_t head;
	mach_msg_type_t port_type;
	mach_port_name_inlined_t port;
	mach_msg_type_t type;
	char data[REQUEST_SIZE_MIN];
};

union message {
	mach_msg_header_t head;
	struct plain plain;
	struct region region;
	struct object object;
	mach_no_senders_notification_t no_senders;
};

/* Without what the compiler adds behind the last item: the kernel would look for a descriptor there. */
enum {
	REGION_SIZE = offsetof(struct region, address) + sizeof(void *),
	OBJECT_SIZE = offsetof(struct object, data) + REQUEST_SIZE_MIN,
};

struct server {
	mach_port_t from, passed;
	unsigned n_made; /* ports that no client has dropped */
	union message m;
	unsigned n_ports;
	mach_port_t ports[];
};

struct client {
	mach_port_t service, reply, brought;
	bool is_thread;
	char *memory; /* of the next payload, if that is large */
	union message m;
};

static mach_msg_type_t type_of(unsigned name, unsigned bits, size_t number)
{
	mach_msg_type_t type = { 0 };

	type.msgt_name = name & 0xff;
	type.msgt_size = bits & 0xff;
	type.msgt_number = number & 0xfff;
	type.msgt_inline = 1;
	return type;
}

static mach_msg_size_t plain_init(struct plain *m, size_t size)
{
	m->type = type_of(MACH_MSG_TYPE_INTEGER_64, 64, size / 8);
	m->head.msgh_size = (mach_msg_size_t)(offsetof(struct plain, data) + size);
	m->head.msgh_id = ID_PLAIN;
	return m->head.msgh_size;
}

/* Where the payload of a message is, and how long it is. */
static char *payload_of(union message *m, size_t *size)
{
	char *memory;

	switch (m->head.msgh_id) {
	case ID_PLAIN:
		*size = m->plain.type.msgt_number * 8;
		return m->plain.data;
	case ID_OBJECT:
		*size = sizeof m->object.data;
		return m->object.data;
	case ID_REGION:
		*size = m->region.type.msgtl_number;
		memcpy(&memory, m->region.address, sizeof memory);
		return memory;
	default:
		fail("a message", __FILE__, __LINE__, "unknown");
	}
}

/* ---- the server ---- */

static mach_port_t port_new(void)
{
	mach_port_t port;

	must(mach_port_allocate(mach_task_self(), MACH_PORT_RIGHT_RECEIVE, &port));
	return port;
}

static void *open_server(const struct plan *plan)
{
	struct server *s = calloc(1, sizeof *s + plan->n_clients * sizeof *s->ports);

	need(s);
	for (; s->n_ports < plan->n_clients; s->n_ports++) {
		s->ports[s->n_ports] = port_new();
		if (plan->posts)
			must(portunus_port_set_qlimit(s->ports[s->n_ports], STREAM_QUEUE));
	}
	must(mach_port_allocate(mach_task_self(), MACH_PORT_RIGHT_PORT_SET, &s->from));
	for (unsigned i = 0; i < s->n_ports; i++)
		must(mach_port_move_member(mach_task_self(), s->ports[i], s->from));
	s->passed = port_new();
	return s;
}

/* A thread gets a send right of its own, under the name that the receive right has. */
static void invite(void *server, struct ticket *ticket)
{
	const struct server *s = server;

	if (!ticket->plan.threads)
		return;
	ticket->port = s->ports[ticket->index];
	must(mach_port_insert_right(mach_task_self(), ticket->port, ticket->port, MACH_MSG_TYPE_MAKE_SEND));
}

static const void *launch_arg(void *server, unsigned index)
{
	return &((struct server *)server)->ports[index];
}

static pid_t launch(const struct launch *l, const void *service)
{
	const mach_msg_type_name_t make = MACH_MSG_TYPE_MAKE_SEND;
	const struct portunus_spawn how = {
		.path = l->path,
		.argv = l->argv,
		.envp = l->envp,
		.ports = service,
		.dispositions = &make,
		.n_ports = 1,
		.file_actions = l->actions,
	};
	task_t task;
	pid_t pid;

	must(portunus_spawn(&how, &pid, &task));
	must(mach_port_deallocate(mach_task_self(), task));
	return pid;
}

static mach_port_t port_made(struct server *s)
{
	mach_port_t port = port_new(), previous;

	must(mach_port_request_notification(mach_task_self(), port, MACH_NOTIFY_NO_SENDERS, 1, port,
					    MACH_MSG_TYPE_MAKE_SEND_ONCE, &previous));
	must(mach_port_move_member(mach_task_self(), port, s->from));
	s->n_made++;
	return port;
}

static void answer_begin(mach_msg_header_t *head)
{
	head->msgh_bits = MACH_MSGH_BITS(MACH_MSGH_BITS_REMOTE(head->msgh_bits), 0);
	head->msgh_local_port = MACH_PORT_NULL;
}

static void answer_object(struct server *s, const char *request, mach_port_t port)
{
	struct object *o = &s->m.object;
	char answer[REQUEST_SIZE_MIN];

	answer_write(answer, request, sizeof answer);
	answer_begin(&o->head);
	o->head.msgh_bits |= MACH_MSGH_BITS_COMPLEX;
	o->head.msgh_size = OBJECT_SIZE;
	o->head.msgh_id = ID_OBJECT;
	o->port_type = type_of(MACH_MSG_TYPE_MAKE_SEND, 8 * sizeof o->port, 1);
	o->port = (mach_port_name_inlined_t){ .name = port };
	o->type = type_of(MACH_MSG_TYPE_INTEGER_64, 64, sizeof o->data / 8);
	memcpy(o->data, answer, sizeof answer);
}

static void answer_plain(struct server *s, char *request, size_t size, size_t n)
{
	if (request != s->m.plain.data) {
		memcpy(s->m.plain.data, request, n);
		must(vm_deallocate(mach_task_self(), (vm_address_t)request, size));
	}
	answer_finish(s->m.plain.data, n);
	answer_begin(&s->m.head);
	plain_init(&s->m.plain, n);
}

/* Makes the message that came into its answer; false: there is none. */
static bool answer(struct server *s, struct service *service)
{
	size_t size, n;
	char *data;

	if (s->m.head.msgh_id == MACH_NOTIFY_NO_SENDERS) {
		need(s->n_made-- > 0);
		must(mach_port_mod_refs(mach_task_self(), s->m.head.msgh_local_port, MACH_PORT_RIGHT_RECEIVE, -1));
		return false;
	}
	data = payload_of(&s->m, &size);
	switch (service_react(service, data, size, &n)) {
	case REACT_ANSWER:
		answer_plain(s, data, size, n);
		return true;
	case REACT_PASS:
		answer_object(s, data, s->passed);
		return true;
	case REACT_MAKE:
		answer_object(s, data, port_made(s));
		return true;
	case REACT_NOT:
	default:
		return false;
	}
}

static void serve(void *server, struct service *service)
{
	struct server *s = server;
	bool has_answer = false;

	while (service->n_clients > 0) {
		must(mach_msg(&s->m.head, has_answer ? MACH_SEND_MSG | MACH_RCV_MSG : MACH_RCV_MSG,
			      has_answer ? s->m.head.msgh_size : 0, sizeof s->m, s->from, MACH_MSG_TIMEOUT_NONE,
			      MACH_PORT_NULL));
		has_answer = answer(s, service);
	}
	if (has_answer)
		must(mach_msg(&s->m.head, MACH_SEND_MSG, s->m.head.msgh_size, 0, MACH_PORT_NULL, MACH_MSG_TIMEOUT_NONE,
			      MACH_PORT_NULL));
}

/* Its clients have dropped all they got, but word of it may still be under way. */
static void close_server(void *server)
{
	struct server *s = server;
	struct service none = { 0 };

	while (s->n_made) {
		must(mach_msg(&s->m.head, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof s->m, s->from, HOME_MILLISECONDS,
			      MACH_PORT_NULL));
		need(!answer(s, &none));
	}
	while (s->n_ports)
		must(mach_port_destroy(mach_task_self(), s->ports[--s->n_ports]));
	must(mach_port_destroy(mach_task_self(), s->from));
	must(mach_port_destroy(mach_task_self(), s->passed));
	free(s);
}

/* ---- clients ---- */

static void *join(const struct ticket *ticket)
{
	struct client *c = calloc(1, sizeof *c);
	mach_port_array_t ports;
	mach_msg_type_number_t n;

	need(c);
	c->is_thread = ticket->plan.threads;
	c->reply = port_new();
	c->service = ticket->port;
	if (c->is_thread)
		return c;
	must(mach_ports_lookup(mach_task_self(), &ports, &n));
	need(n >= 1 && MACH_PORT_VALID(ports[0]));
	c->service = ports[0];
	must(vm_deallocate(mach_task_self(), (vm_address_t)ports, n * sizeof *ports));
	return c;
}

static char *buffer(void *client, enum request_kind kind, size_t size)
{
	struct client *c = client;
	vm_address_t memory = 0;

	(void)kind;
	c->memory = NULL;
	if (size <= INLINE_MAX)
		return c->m.plain.data;
	must(vm_allocate(mach_task_self(), &memory, size, TRUE));
	return c->memory = (char *)memory;
}

static void request_init(struct client *c, size_t size, unsigned reply)
{
	mach_msg_header_t *head = &c->m.head;
	struct region *r = &c->m.region;

	head->msgh_bits = MACH_MSGH_BITS(MACH_MSG_TYPE_COPY_SEND, reply);
	head->msgh_remote_port = c->service;
	head->msgh_local_port = reply ? c->reply : MACH_PORT_NULL;
	if (!c->memory) {
		plain_init(&c->m.plain, size);
		return;
	}
	head->msgh_bits |= MACH_MSGH_BITS_COMPLEX;
	head->msgh_size = REGION_SIZE;
	head->msgh_id = ID_REGION;
	r->type = (mach_msg_type_long_t){ 0 };
	r->type.msgtl_header.msgt_longform = 1;
	r->type.msgtl_header.msgt_deallocate = 1;
	r->type.msgtl_name = MACH_MSG_TYPE_BYTE;
	r->type.msgtl_size = 8;
	r->type.msgtl_number = (mach_msg_type_number_t)size;
	memcpy(r->address, &c->memory, sizeof r->address);
}

static const char *call(void *client, size_t size)
{
	struct client *c = client;
	size_t n;

	request_init(c, size, MACH_MSG_TYPE_MAKE_SEND_ONCE);
	must(mach_msg(&c->m.head, MACH_SEND_MSG | MACH_RCV_MSG, c->m.head.msgh_size, sizeof c->m, c->reply,
		      MACH_MSG_TIMEOUT_NONE, MACH_PORT_NULL));
	c->brought = c->m.head.msgh_id == ID_OBJECT ? c->m.object.port.name : MACH_PORT_NULL;
	return payload_of(&c->m, &n);
}

static void post(void *client, size_t size)
{
	struct client *c = client;

	request_init(c, size, 0);
	must(mach_msg(&c->m.head, MACH_SEND_MSG, c->m.head.msgh_size, 0, MACH_PORT_NULL, MACH_MSG_TIMEOUT_NONE,
		      MACH_PORT_NULL));
}

static void drop(void *client)
{
	must(mach_port_deallocate(mach_task_self(), ((struct client *)client)->brought));
}

static void leave(void *client)
{
	struct client *c = client;

	must(mach_port_mod_refs(mach_task_self(), c->service, MACH_PORT_RIGHT_SEND, -1));
	must(mach_port_destroy(mach_task_self(), c->reply));
	free(c);
}

/* ---- endpoints ---- */

static void endpoint_new(void *server, struct endpoint *e)
{
	(void)server;
	e->port = port_new();
}

static void endpoint_free(void *server, struct endpoint *e)
{
	(void)server;
	must(mach_port_mod_refs(mach_task_self(), e->port, MACH_PORT_RIGHT_RECEIVE, -1));
}

struct set {
	mach_port_t from;
	unsigned n;
	struct plain m;
	mach_port_t ports[];
};

static void *set_new(unsigned n_members)
{
	struct set *s = calloc(1, sizeof *s + n_members * sizeof *s->ports);

	need(s);
	s->n = n_members;
	must(mach_port_allocate(mach_task_self(), MACH_PORT_RIGHT_PORT_SET, &s->from));
	for (unsigned i = 0; i < n_members; i++) {
		s->ports[i] = port_new();
		must(mach_port_insert_right(mach_task_self(), s->ports[i], s->ports[i], MACH_MSG_TYPE_MAKE_SEND));
		must(mach_port_move_member(mach_task_self(), s->ports[i], s->from));
	}
	return s;
}

static void set_pass(void *set, unsigned member, const char *data, size_t size)
{
	struct set *s = set;

	s->m.head.msgh_bits = MACH_MSGH_BITS(MACH_MSG_TYPE_COPY_SEND, 0);
	s->m.head.msgh_remote_port = s->ports[member];
	s->m.head.msgh_local_port = MACH_PORT_NULL;
	memcpy(s->m.data, data, size);
	must(mach_msg(&s->m.head, MACH_SEND_MSG | MACH_RCV_MSG, plain_init(&s->m, size), sizeof s->m, s->from,
		      MACH_MSG_TIMEOUT_NONE, MACH_PORT_NULL));
	need(memcmp(s->m.data, data, size) == 0);
}

static void set_free(void *set)
{
	struct set *s = set;

	while (s->n)
		must(mach_port_destroy(mach_task_self(), s->ports[--s->n]));
	must(mach_port_destroy(mach_task_self(), s->from));
	free(s);
}

const struct contestant portunus = {
	.name = "portunus",
	.what = "Mach ports",
	.open = open_server,
	.invite = invite,
	.launch = launch,
	.launch_arg = launch_arg,
	.serve = serve,
	.close = close_server,
	.join = join,
	.buffer = buffer,
	.call = call,
	.post = post,
	.drop = drop,
	.leave = leave,
	.endpoint = "a port",
	.endpoint_new = endpoint_new,
	.endpoint_free = endpoint_free,
	.set_new = set_new,
	.set_pass = set_pass,
	.set_free = set_free,
};
