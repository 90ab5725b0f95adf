/* SPDX-License-Identifier: MIT */
/* Requests to the broker: netname, bootstrap, nodes, and what looks like the kernel's notifications, from a client that does
 * what the input says with its rights meanwhile. The server runs in the same thread, whenever the input has it run.
 *
 * When the server has ended, there are as many ports, names and messages as before it, and no request is unanswered: each
 * send-once right has brought a message. */
#include <mach.h>
#include <servers/bootstrap_defs.h>
#include <servers/netname_defs.h>
#include <stdbool.h>
#include <string.h>

#include "balance.h"
#include "input.h"
#include "program.h"
#include "server.h"

enum {
	SERVICE = FIRST_NAME + 6,
	ANSWERS = FIRST_NAME + 7, /* a receive right: replies come here */
	MAX_NAMES = 3,		  /* of one process; all requests are of one */
	PATIENCE_MS = 3600 * 1000,
};

/* What a routine takes: N, B names of netname and bootstrap; P a right to send; R a receive right; I, L numbers. */
static const struct routine {
	mach_msg_id_t id;
	const char *arguments;
} routines[] = {
	{ 1040, "NPP" },
	{ 1041, "NN" },
	{ 1042, "NP" },
	{ 1043, "" },
	{ 402, "B" },
	{ 403, "BP" },
	{ 404, "B" },
	{ 407, "B" },
	{ 410, "B" },
	{ 5400, "L" },
	{ 5401, "L" },
	{ 5402, "IL" },
	{ MACH_NOTIFY_DEAD_NAME, "I" },
	{ MACH_NOTIFY_PORT_DESTROYED, "R" },
	{ MACH_NOTIFY_NO_SENDERS, "I" },
	{ MACH_NOTIFY_SEND_ONCE, "" },
};

static task_t server, client;
static unsigned n_asked, n_answered; /* with a right to answer once */

/* ---- requests ----------------------------------------------------------------------------------------------------- */

struct request {
	union {
		mach_msg_header_t header;
		unsigned char bytes[2048];
	};
	size_t size;
};

static void add(struct request *r, const void *bytes, size_t size)
{
	size_t padded = (size + MACH_MSG_USER_ALIGNMENT - 1) / MACH_MSG_USER_ALIGNMENT * MACH_MSG_USER_ALIGNMENT;

	if (padded > sizeof r->bytes - r->size)
		return;
	memset(r->bytes + r->size, 0, padded);
	memcpy(r->bytes + r->size, bytes, size);
	r->size += padded;
}

/* @lie: what is changed in the descriptor. */
static void add_item(struct request *r, unsigned type, unsigned bits, unsigned number, const void *data, unsigned lie)
{
	mach_msg_type_t t = { .msgt_inline = 1 };

	t.msgt_name = (type ^ (lie & 1 ? lie >> 4 : 0)) & 0xff;
	t.msgt_size = (bits ^ (lie & 2 ? lie >> 4 : 0)) & 0xff;
	t.msgt_number = (number ^ (lie & 4 ? lie >> 4 : 0)) & 0xfff;
	t.msgt_deallocate = lie == 8;
	add(r, &t, sizeof t);
	add(r, data, bits * number / 8);
}

static void take_text(struct input *in, char *text, size_t room)
{
	static const char *const names[] = { "", "a", "A", "b", "c", "long", "localhost", "*" };
	uint32_t which = (uint32_t)take(in, 1);

	memset(text, which & 0x40 ? 'x' : 0, room);
	if (which < 200) {
		strcpy(text, names[which % 8]);
		return;
	}
	for (uint32_t i = 0; i < which % 16; i++)
		text[i] = (char)take(in, 1);
	if (which & 0x20)
		memset(text, 'y', room); /* and no end */
}

static void add_argument(struct request *r, struct input *in, char what, unsigned lie)
{
	mach_port_name_inlined_t inlined;
	char text[128];
	uint64_t number;

	switch (what) {
	case 'N':
	case 'B':
		take_text(in, text, sizeof text);
		add_item(r, MACH_MSG_TYPE_STRING_C, 8, what == 'N' ? NETNAME_NAME_MAX : BOOTSTRAP_MAX_NAME_LEN, text,
			 lie);
		break;
	case 'P':
	case 'R':
		memset(&inlined, 0, sizeof inlined);
		inlined.name = program_take_name(in);
		r->header.msgh_bits |= MACH_MSGH_BITS_COMPLEX;
		add_item(r, what == 'R' ? MACH_MSG_TYPE_MOVE_RECEIVE : program_take_disposition(in), 8 * sizeof inlined,
			 1, &inlined, lie);
		break;
	case 'I':
		number = take(in, 1);
		add_item(r, MACH_MSG_TYPE_INTEGER_32, 32, 1, &number, lie);
		break;
	default:
		number = take(in, 1) < 128 ? take(in, 1) : take(in, 8);
		add_item(r, MACH_MSG_TYPE_INTEGER_64, 64, 1, &number, lie);
	}
}

/* Bits 0 to 3 of a byte say which routine, 4 and 5 how it is to be answered, 6 and 7 whether something is wrong. */
static void ask(struct input *in)
{
	static const mach_msg_type_name_t answers[] = { MACH_MSG_TYPE_MAKE_SEND_ONCE, MACH_MSG_TYPE_MAKE_SEND_ONCE,
							MACH_MSG_TYPE_MAKE_SEND, 0 };
	struct request r = { .size = sizeof r.header };
	uint32_t what = (uint32_t)take(in, 1), lie = what >> 6 == 3 ? (uint32_t)take(in, 1) : 0;
	const struct routine *routine = &routines[what % 16];
	mach_msg_type_name_t answer = answers[what >> 4 & 3];
	size_t n = strlen(routine->arguments), wrong = lie % 4;

	r.header = (mach_msg_header_t){
		.msgh_bits = MACH_MSGH_BITS(MACH_MSG_TYPE_COPY_SEND, answer),
		.msgh_remote_port = SERVICE,
		.msgh_local_port = answer ? ANSWERS : MACH_PORT_NULL,
		.msgh_id = routine->id,
	};
	for (size_t i = 0; i < n; i++)
		add_argument(&r, in, routine->arguments[i], i == wrong ? lie >> 2 : 0);
	if (what >> 6 == 2)
		add_argument(&r, in, "NBPIRL"[take_below(in, 6)], 0); /* one too many */
	if (mach_msg(&r.header, MACH_SEND_MSG | MACH_SEND_TIMEOUT, (mach_msg_size_t)r.size, 0, MACH_PORT_NULL, 0,
		     MACH_PORT_NULL) == 0)
		n_asked += answer == MACH_MSG_TYPE_MAKE_SEND_ONCE;
}

/* ---- serving ------------------------------------------------------------------------------------------------------ */

static void serve(void)
{
	visit_pause();
	visit_resume(server);
	server_stop();
	check(server_run() == KERN_SUCCESS);
	visit_pause();
	visit_resume(client);
}

/* What it brings stays the client's, if the input says so. */
static void take_answers(bool keeps)
{
	union {
		mach_msg_header_t header;
		unsigned char bytes[8192];
	} m;

	while (mach_msg(&m.header, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof m, ANSWERS, 0, MACH_PORT_NULL) == 0) {
		n_answered += MACH_MSGH_BITS_LOCAL(m.header.msgh_bits) == MACH_MSG_TYPE_PORT_SEND_ONCE &&
			      m.header.msgh_id != MACH_NOTIFY_SEND_ONCE; /* of what else it was in */
		if (!keeps)
			mach_msg_destroy(&m.header);
	}
}

/* Returns the client's right to its service, in the root task. */
static mach_port_t server_begin(bool is_patient)
{
	struct server_options o = { .max_names = MAX_NAMES, .patience_ms = is_patient ? PATIENCE_MS : 0 };
	mach_msg_type_name_t type;
	mach_port_t service;

	server = visit_begin();
	check(server_init(&o) == KERN_SUCCESS);
	check(server_declare("long") == KERN_SUCCESS);
	(void)mach_port_set_qlimit(mach_task_self(), server_service(), MACH_PORT_QLIMIT_MAX);
	visit_pause();
	check(mach_port_extract_right(server, server_service(), MACH_MSG_TYPE_MAKE_SEND, &service, &type) ==
	      KERN_SUCCESS);
	return service;
}

/* Of what its clients had given it nothing may be left. */
static void server_end(void)
{
	mach_port_name_t *names = NULL;
	mach_port_type_t *types = NULL;
	mach_msg_type_number_t n = 0, n_types = 0, n_left = 0;

	server_deinit();
	check(mach_port_names(mach_task_self(), &names, &n, &types, &n_types) == KERN_SUCCESS);
	for (unsigned i = 0; i < n; i++)
		n_left += names[i] != mach_task_self();
	check(n_left == 0);
	vm_deallocate(mach_task_self(), (vm_address_t)names, n * sizeof *names);
	vm_deallocate(mach_task_self(), (vm_address_t)types, n_types * sizeof *types);
}

static void client_begin(mach_port_t service)
{
	client = visit_begin();
	visit_pause();
	check(mach_port_insert_right(client, SERVICE, service, MACH_MSG_TYPE_MOVE_SEND) == KERN_SUCCESS);
	visit_resume(client);
	program_begin();
	check(mach_port_allocate_name(mach_task_self(), MACH_PORT_RIGHT_RECEIVE, ANSWERS) == KERN_SUCCESS);
}

static void step(struct input *in)
{
	uint32_t what = take_below(in, 8);

	if (what < 4)
		ask(in);
	else if (what < 6)
		serve();
	else if (what < 7)
		take_answers(take(in, 1) & 1);
	else
		program_step(in);
}

/* The answers are counted only as long as nothing else could happen to them. */
static bool has_answers_port(void)
{
	mach_port_type_t type;

	return mach_port_type(mach_task_self(), ANSWERS, &type) == KERN_SUCCESS && (type & MACH_PORT_TYPE_RECEIVE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	bool is_patient = take(&in, 1) & 1, is_only_asking = true;

	n_asked = n_answered = 0;
	balance_begin();
	client_begin(server_begin(is_patient));
	while (in.left > 0) {
		is_only_asking &= in.data[0] % 8 != 7;
		step(&in);
	}
	serve();
	serve(); /* the notifications that come of that */
	visit_pause();
	visit_resume(server);
	server_end();
	visit_end(server);
	visit_resume(client);
	if (is_only_asking && has_answers_port()) {
		take_answers(false);
		check(n_asked == n_answered);
	}
	visit_end(client);
	balance_end();
	return 0;
}
