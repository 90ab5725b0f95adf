/* SPDX-License-Identifier: MIT */
/* portunus recv: receives under a name, and prints what arrives. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <mach/mig_errors.h>
#include <portunus/fileport.h>
#include <portunus/poll.h>
#include <portunus/port.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "body.h"
#include "command.h"
#include "output.h"
#include "pipe.h"
#include "service.h"
#include "show.h"

struct arguments {
	const char *name, *directory;
	unsigned long count; /* 0: without end */
	unsigned int timeout;
	bool is_verbose, is_cat;
};

static volatile sig_atomic_t is_told_to_end;

/* ---- what a message is */

/* The items that the messages of pipe.h have. */
struct contents {
	struct item items[2];
	unsigned int n;
	bool is_whole;
};

static struct contents contents_of(const struct received *r)
{
	struct contents c = { 0 };
	enum body_result result;
	struct item item;
	struct body body;

	body_init(&body, r->message, r->message->msgh_size);
	while ((result = body_next(&body, &item)) == BODY_ITEM) {
		if (c.n == 2)
			return c;
		c.items[c.n++] = item;
	}
	c.is_whole = result == BODY_END;
	return c;
}

static bool is_bytes(const struct item *item)
{
	return item->type == MACH_MSG_TYPE_CHAR && item->bits == 8;
}

static bool is_name(const struct item *item)
{
	return item->type == MACH_MSG_TYPE_STRING_C && item->is_inline && memchr(item->data, 0, item->size);
}

static bool is_descriptor(const struct item *item)
{
	return item->type == MACH_MSG_TYPE_PORT_SEND && item->is_inline && item->number == 1;
}

/* Whether it really is what its id says; anybody may send us anything. */
static bool is_ours(int id, const struct contents *c)
{
	if (!c->is_whole)
		return false;
	switch (id) {
	case PIPE_LINE:
	case PIPE_DATA:
		return c->n == 1 && is_bytes(&c->items[0]);
	case PIPE_FILE:
		return c->n == 2 && is_name(&c->items[0]) && is_bytes(&c->items[1]);
	case PIPE_DESCRIPTOR:
		return c->n == 2 && is_name(&c->items[0]) && is_descriptor(&c->items[1]);
	case PIPE_END:
		return c->n == 0;
	default:
		return false;
	}
}

static const char *kind_of(int id)
{
	static const char *const kinds[] = { "line", "data", "file", "descriptor", "end" };

	return kinds[id - PIPE_LINE];
}

/* ---- files */

/* The last component of what the sender says, so that nothing is written elsewhere. A file that is there is not replaced. */
static void save(const struct arguments *a, const struct item *name, const struct item *contents)
{
	const char *base = basename((const char *)name->data);
	const unsigned char *at = contents->data;
	size_t left = contents->size;
	char *path;
	ssize_t n;
	int fd;

	if (!*base || strcmp(base, ".") == 0 || strcmp(base, "..") == 0)
		base = "unnamed";
	path = must_print("%s/%s", a->directory, base);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (fd < 0)
		fail(STATUS_FAILED, "%s: %s; the file is lost, please have it sent again", path, strerror(errno));
	for (; left; left -= (size_t)n, at += n) {
		n = write(fd, at, left);
		if (n < 0)
			fail(STATUS_FAILED, "%s: %s", path, strerror(errno));
	}
	close(fd);
	free(path);
}

static void copy_to_output(int fd)
{
	char buffer[1 << 16];
	ssize_t n;

	while ((n = read(fd, buffer, sizeof buffer)) > 0)
		output_bytes(buffer, (size_t)n);
	if (n < 0)
		warn("what was passed cannot be read: %s", strerror(errno));
}

/* ---- answers */

/* To who passes a descriptor, and only now may end. */
static void answer(struct received *r, kern_return_t result)
{
	static const struct item_type type = { MACH_MSG_TYPE_INTEGER_32, 32, false, true, false };
	struct draft d;

	if (!MACH_PORT_VALID(r->message->msgh_remote_port))
		return;
	draft_init(&d, PIPE_DESCRIPTOR_ANSWER);
	draft_add(&d, &type, 1, &result, sizeof result);
	if (draft_send(&d, r->message->msgh_remote_port, MACH_MSGH_BITS_REMOTE(r->message->msgh_bits), MACH_PORT_NULL,
		       MACH_MSG_TIMEOUT_NONE) == MACH_MSG_SUCCESS)
		r->message->msgh_remote_port = MACH_PORT_NULL; /* gone with the answer */
	draft_deinit(&d);
}

/* ---- printing */

static void print_descriptor(const struct arguments *a, const struct contents *c, int fd)
{
	char *name;

	if (a->is_cat) {
		copy_to_output(fd);
		return;
	}
	name = printable((const char *)c->items[0].data, strlen((const char *)c->items[0].data));
	output_text("descriptor of %s\n", name);
	free(name);
}

static void print_ours(const struct arguments *a, struct received *r, const struct contents *c)
{
	int fd;

	switch (r->message->msgh_id) {
	case PIPE_LINE:
		output_bytes(c->items[0].data, c->items[0].size);
		output_bytes("\n", 1);
		break;
	case PIPE_DATA:
		output_bytes(c->items[0].data, c->items[0].size);
		break;
	case PIPE_FILE:
		if (!a->directory)
			output_bytes(c->items[1].data, c->items[1].size);
		break;
	case PIPE_DESCRIPTOR:
		fd = fileport_makefd(item_right(&c->items[1], 0));
		answer(r, fd < 0 ? KERN_INVALID_CAPABILITY : KERN_SUCCESS);
		if (fd < 0) {
			warn("a right that was passed as a descriptor is none: %s", strerror(errno));
			break;
		}
		print_descriptor(a, c, fd);
		close(fd);
		break;
	}
}

static void print_sender(const struct received *r)
{
	output_text("from process %u of user %u: ", r->trailer.msgh_audit.val[5], r->trailer.msgh_audit.val[1]);
}

static void print_json(struct received *r, bool is_ours)
{
	json_object *o = show_json(r->message, r->message->msgh_size), *from = json_object_new_object();

	json_object_object_add(from, "pid", json_object_new_int64(r->trailer.msgh_audit.val[5]));
	json_object_object_add(from, "uid", json_object_new_int64(r->trailer.msgh_audit.val[1]));
	json_object_object_add(o, "from", from);
	if (is_ours)
		json_object_object_add(o, "kind", json_object_new_string(kind_of(r->message->msgh_id)));
	output_json(o);
	if (is_ours && r->message->msgh_id == PIPE_DESCRIPTOR)
		answer(r, KERN_SUCCESS);
}

/* True if it was the last one that will come. */
static bool print(const struct arguments *a, struct received *r)
{
	struct contents c = contents_of(r);
	bool ours = is_ours(r->message->msgh_id, &c);

	if (ours && a->directory && r->message->msgh_id == PIPE_FILE)
		save(a, &c.items[0], &c.items[1]);
	if (output_is_json()) {
		print_json(r, ours);
	} else if (ours && !a->is_verbose) {
		print_ours(a, r, &c);
	} else {
		print_sender(r);
		show_text(r->message, r->message->msgh_size, ours ? kind_of(r->message->msgh_id) : NULL);
		if (ours && r->message->msgh_id == PIPE_DESCRIPTOR)
			answer(r, KERN_SUCCESS);
	}
	output_flush();
	return ours && r->message->msgh_id == PIPE_END;
}

/* ---- waiting */

static void told_to_end(int sig)
{
	(void)sig;
	is_told_to_end = true;
}

/* They are let in only while we wait, so that none is overlooked. */
static void catch_ends(sigset_t *usual)
{
	struct sigaction action = { .sa_handler = told_to_end };
	sigset_t ends;

	sigemptyset(&ends);
	for (const int *sig = (const int[]){ SIGINT, SIGTERM, SIGHUP, 0 }; *sig; sig++) {
		sigaddset(&ends, *sig);
		sigaction(*sig, &action, NULL);
	}
	sigprocmask(SIG_BLOCK, &ends, usual);
}

static struct timespec time_left(const struct timespec *end)
{
	struct timespec now;
	int64_t left;

	clock_gettime(CLOCK_MONOTONIC, &now);
	left = (end->tv_sec - now.tv_sec) * 1000000000LL + end->tv_nsec - now.tv_nsec;
	left = left < 0 ? 0 : left;
	return (struct timespec){ left / 1000000000, left % 1000000000 };
}

static struct timespec end_after(unsigned int milliseconds)
{
	struct timespec end;

	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_nsec += milliseconds % 1000 * 1000000L;
	end.tv_sec += milliseconds / 1000 + end.tv_nsec / 1000000000;
	end.tv_nsec %= 1000000000;
	return end;
}

enum wake { WAKE_MESSAGE, WAKE_TIMEOUT, WAKE_END };

/* For a message, a signal, or until nobody reads what we print. */
static enum wake await(int fd, const struct arguments *a, const sigset_t *usual)
{
	struct pollfd fds[] = { { .fd = fd, .events = POLLIN }, { .fd = STDOUT_FILENO } };
	struct timespec end = end_after(a->timeout), left;
	int n;

	do {
		left = time_left(&end);
		n = ppoll(fds, 2, a->timeout ? &left : NULL, usual);
		if (is_told_to_end || (n > 0 && fds[1].revents & POLLERR))
			return WAKE_END;
	} while (n < 0 && errno == EINTR);
	return n > 0 ? WAKE_MESSAGE : WAKE_TIMEOUT;
}

static int receive_all(const struct arguments *a, mach_port_t port)
{
	int fd = portunus_port_fd(port);
	unsigned long n = 0;
	bool is_last = false;
	mach_msg_return_t mr;
	struct received r;
	enum wake wake;
	sigset_t usual;

	if (fd < 0)
		fail(STATUS_FAILED, "cannot wait: %s", strerror(errno));
	catch_ends(&usual);
	received_init(&r);
	while (!is_last && (!a->count || n < a->count)) {
		wake = await(fd, a, &usual);
		if (wake == WAKE_TIMEOUT)
			return STATUS_TIMED_OUT;
		if (wake == WAKE_END)
			break;
		mr = receive(&r, port, 1);
		if (mr == MACH_RCV_TIMED_OUT)
			continue;
		if (mr)
			fail_result(mr, "cannot receive");
		n++;
		is_last = print(a, &r);
		mach_msg_destroy(r.message);
	}
	received_deinit(&r);
	close(fd);
	return STATUS_OK;
}

/* ---- the command */

static const struct argp_option options[] = {
	{ "count", 'n', "N", 0, "End after N messages", 0 },
	{ "timeout", 't', "SECONDS", 0, "End when nothing comes for so long", 0 },
	{ "save", 's', "DIR", 0, "Write files that are sent (send --file) to DIR, not to standard output", 0 },
	{ "cat", 'c', NULL, 0, "Copy what can be read from descriptors that are passed (send --fd)", 0 },
	{ "verbose", 'v', NULL, 0, "Print every message with its sender and its parts", 0 },
	{ 0 },
};

static error_t parse(int key, char *value, struct argp_state *state)
{
	struct arguments *a = state->input;

	switch (key) {
	case 'n':
		a->count = number_of(value, "--count", 1, ULONG_MAX);
		return 0;
	case 't':
		a->timeout = milliseconds_of(value, "--timeout");
		return 0;
	case 's':
		a->directory = value;
		return 0;
	case 'c':
		a->is_cat = true;
		return 0;
	case 'v':
		a->is_verbose = true;
		return 0;
	case ARGP_KEY_ARG:
		if (a->name)
			fail(STATUS_USAGE, "one name, not also \"%s\"; run another portunus recv for it", value);
		a->name = value;
		return 0;
	case ARGP_KEY_NO_ARGS:
		fail(STATUS_USAGE, "under which name? portunus recv NAME");
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_child children[] = { OUTPUT_CHILD, { 0 } };
static const struct argp argp = {
	.options = options,
	.parser = parse,
	.args_doc = "NAME",
	.doc = "Receive under a name, which is registered if nobody has done so, and print what arrives."
	       "\vText and files are printed as they are, other messages by their parts. It ends with SIGINT, SIGTERM or SIGHUP, "
	       "when a sender says that this was all (send --end), or when nobody reads its output.",
	.children = children,
};

static int run(int argc, char **argv)
{
	struct arguments a = { 0 };
	mach_port_t port;
	int status;

	command_parse(&argp, argc, argv, 0, &a);
	if (a.directory && access(a.directory, W_OK | X_OK) < 0)
		fail(STATUS_FAILED, "%s: %s; make that directory first", a.directory, strerror(errno));
	port = service_check_in(a.name);
	status = receive_all(&a, port);
	mach_port_mod_refs(mach_task_self(), port, MACH_PORT_RIGHT_RECEIVE, -1);
	if (status == STATUS_TIMED_OUT)
		warn("nothing came for \"%s\" in that time", a.name);
	return status;
}

const struct command recv_command = {
	.name = "recv",
	.summary = "receive under a name, and print what arrives",
	.argp = &argp,
	.operand = OPERAND_NAME,
	.run = run,
};
