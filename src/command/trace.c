/* SPDX-License-Identifier: MIT */
/* portunus trace: the messages of a process, as they are sent and received. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <mach/mig_errors.h>
#include <mach_error.h>
#include <poll.h>
#include <portunus/trace.h>
#include <servers/netname.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "body.h"
#include "command.h"
#include "inspect_user.h"
#include "output.h"
#include "program.h"
#include "routines.h"
#include "show.h"
#include "value.h"
#include "view.h"

#define PIPE_ROOM (1 << 20)
#define EVENT_MAX PIPE_BUF
#define N_CALLS	  4096 /* that are remembered until their answer comes */

struct arguments {
	pid_t pid;
	char **program;
	const char **interfaces;
	unsigned int n_interfaces;
	struct defs_flags flags;
	bool follows;
};

/* One event, taken apart. */
struct event {
	portunus_trace_event_t e;
	mach_msg_header_t *message; /* NULL if none of it came along */
	const portunus_trace_right_t *rights;
	struct routine_found routine;
	bool has_routine;
	uint64_t latency; /* of the RPC that ends with it, in nanoseconds; 0: none */
};

static struct {
	char *directory, *path;
	int fd;
} trace_pipe = { .fd = -1 };

/* ---- the pipe */

static void remove_pipe(void)
{
	if (trace_pipe.path)
		unlink(trace_pipe.path);
	if (trace_pipe.directory)
		rmdir(trace_pipe.directory);
}

/* @owner: of the process that is to write to it. */
static void make_pipe(uid_t owner)
{
	char *directory = must_print("%s/portunus-trace-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");

	if (!mkdtemp(directory))
		fail(STATUS_FAILED, "%s: %s; set TMPDIR to a directory of yours", directory, strerror(errno));
	trace_pipe.directory = directory;
	trace_pipe.path = must_print("%s/events", directory);
	atexit(remove_pipe);
	if (mkfifo(trace_pipe.path, 0600) < 0 ||
	    (owner != geteuid() && (chown(trace_pipe.path, owner, (gid_t)-1) < 0 || chmod(directory, 0711) < 0)))
		fail(STATUS_FAILED, "%s: %s", trace_pipe.path, strerror(errno));
	trace_pipe.fd = open(trace_pipe.path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (trace_pipe.fd < 0)
		fail(STATUS_FAILED, "%s: %s", trace_pipe.path, strerror(errno));
	(void)fcntl(trace_pipe.fd, F_SETPIPE_SZ, PIPE_ROOM); /* as much as we may */
}

/* ---- calls, from their request to their answer */

/* A request that awaits its answer: known by the process and the name of the port for it. */
static struct call {
	uint32_t pid, reply;
	mach_msg_id_t id;
	uint64_t begin;
} calls[N_CALLS];

static struct call *call_at(uint32_t pid, uint32_t reply)
{
	return &calls[(pid * 31 + reply * 2654435761u) % N_CALLS];
}

/* The port that an answer comes to: of a request that is sent, or that was received. */
static uint32_t request_reply(const struct event *ev)
{
	uint32_t name =
		ev->e.kind == PORTUNUS_TRACE_SENT ? ev->message->msgh_local_port : ev->message->msgh_remote_port;
	unsigned int type = ev->e.kind == PORTUNUS_TRACE_SENT ? MACH_MSGH_BITS_LOCAL(ev->message->msgh_bits)
							      : MACH_MSGH_BITS_REMOTE(ev->message->msgh_bits);

	return MACH_PORT_VALID(name) && MACH_MSG_TYPE_PORT_ANY(type) ? name : MACH_PORT_NULL;
}

static uint32_t answer_reply(const struct event *ev)
{
	return ev->e.kind == PORTUNUS_TRACE_SENT ? ev->message->msgh_remote_port : ev->message->msgh_local_port;
}

static void match_calls(struct event *ev)
{
	uint32_t reply = answer_reply(ev);
	struct call *c = call_at(ev->e.pid, reply);

	if (MACH_PORT_VALID(reply) && c->reply == reply && c->pid == ev->e.pid && c->id + 100 == ev->message->msgh_id) {
		ev->latency = ev->e.end - c->begin;
		c->reply = MACH_PORT_NULL;
	}
	reply = request_reply(ev);
	if (reply != MACH_PORT_NULL && ev->e.result == MACH_MSG_SUCCESS)
		*call_at(ev->e.pid, reply) = (struct call){
			.pid = ev->e.pid,
			.reply = reply,
			.id = ev->message->msgh_id,
			.begin = ev->e.kind == PORTUNUS_TRACE_SENT ? ev->e.begin : ev->e.end,
		};
}

/* ---- rights, with their names at home */

/* What the process that has the receive right calls it. All that it has are asked for at once, not more often than so, and not of
 * a process with too many: it is not to be slower because we look. */
#define NAMES_ASKED_FOR 2000
#define ASK_AGAIN_NS	100000000

static struct home_name {
	uint64_t home;
	uint32_t holder, index, name; /* holder: its pid */
} * home_names;
static size_t n_home_names;
static uint64_t last_asked;

static const portunus_trace_right_t *find_right(const struct event *ev, uint32_t name)
{
	for (uint32_t i = 0; i < ev->e.n_rights; i++)
		if (ev->rights[i].name == name)
			return &ev->rights[i];
	return NULL;
}

static bool is_small(const struct node_view *node)
{
	uint64_t n = 0;

	for (size_t t = 0; t < node->n_tasks; t++)
		n += node->tasks[t].task.n_names;
	return n <= NAMES_ASKED_FOR;
}

static void forget_home(uint64_t home)
{
	size_t kept = 0;

	for (size_t i = 0; i < n_home_names; i++)
		if (home_names[i].home != home)
			home_names[kept++] = home_names[i];
	n_home_names = kept;
}

static void add_home_names(uint64_t home, const struct task_view *task)
{
	home_names = must_grow(home_names, n_home_names + task->n_holders, sizeof *home_names);
	for (size_t i = 0; i < task->n_holders; i++)
		home_names[n_home_names++] = (struct home_name){
			.home = home,
			.holder = (uint32_t)(task->holders[i].holder >> 32),
			.index = task->holders[i].index,
			.name = task->holders[i].name,
		};
}

static void read_home(uint64_t home)
{
	struct node_view *node;
	struct view *view;

	if (name_server_port == MACH_PORT_NULL)
		return;
	view = view_new();
	node = view_find_node(view, home);
	if (node && !view_tasks(node) && is_small(node) && !view_names(node)) {
		forget_home(home);
		for (size_t t = 0; t < node->n_tasks; t++)
			add_home_names(home, &node->tasks[t]);
	}
	view_free(view);
}

static uint32_t known_home_name(const portunus_trace_right_t *r, uint32_t pid)
{
	for (size_t i = 0; i < n_home_names; i++)
		if (home_names[i].home == r->home && home_names[i].holder == pid && home_names[i].index == r->index)
			return home_names[i].name;
	return MACH_PORT_NULL;
}

/* MACH_PORT_NULL: it is not known. */
static uint32_t home_name(const struct event *ev, const portunus_trace_right_t *r)
{
	uint32_t name = known_home_name(r, ev->e.pid);

	if (name == MACH_PORT_NULL && ev->e.end - last_asked > ASK_AGAIN_NS) {
		last_asked = ev->e.end;
		read_home(r->home);
		name = known_home_name(r, ev->e.pid);
	}
	return name;
}

static uint32_t home_pid(const portunus_trace_right_t *r)
{
	return (uint32_t)(r->home >> 32);
}

static json_object *number_json(uint32_t name)
{
	char text[16];

	snprintf(text, sizeof text, "0x%x", name);
	return json_object_new_string(text);
}

/* {"right", "name", "pid", "home"}: in the traced process, and in the process that has the receive right. */
static json_object *right_json(const struct event *ev, unsigned int type, uint32_t name)
{
	const portunus_trace_right_t *r = find_right(ev, name);
	json_object *o = json_object_new_object();
	uint32_t there;

	json_object_object_add(o, "right", json_object_new_string(show_right(type)));
	json_object_object_add(o, "name", name == MACH_PORT_NULL ? NULL : number_json(name));
	if (!r || !home_pid(r) || home_pid(r) == ev->e.pid)
		return o;
	there = home_name(ev, r);
	json_object_object_add(o, "pid", json_object_new_int64(home_pid(r)));
	json_object_object_add(o, "home", there == MACH_PORT_NULL ? NULL : number_json(there));
	return o;
}

static char *right_text(json_object *o)
{
	json_object *right, *name, *pid, *there = NULL;

	json_object_object_get_ex(o, "right", &right);
	json_object_object_get_ex(o, "name", &name);
	if (!name)
		return must_print("null");
	if (!json_object_object_get_ex(o, "pid", &pid))
		return must_print("%s %s", json_object_get_string(right), json_object_get_string(name));
	json_object_object_get_ex(o, "home", &there);
	return must_print("%s %s (%s's %s)", json_object_get_string(right), json_object_get_string(name),
			  json_object_get_string(pid), there ? json_object_get_string(there) : "?");
}

/* ---- arguments */

/* The name of the argument that the nth item of a message is; its type if that is known. */
static const struct argument *argument_at(const struct event *ev, unsigned int n)
{
	const struct routine *r = ev->has_routine ? ev->routine.routine : NULL;

	for (unsigned int i = 0; r && i < r->n_arguments; i++) {
		const struct argument *a = &r->arguments[i];

		if ((ev->routine.is_reply ? argument_is_received(a) : argument_is_sent(a)) && n-- == 0)
			return a;
	}
	return NULL;
}

/* Plain data in the message that is as large as its type; else it is shown by what its descriptor says. */
static bool fits(const struct type *t, const struct item *item)
{
	if (type_is_right(t) || item->bits != t->bits)
		return false;
	return type_is_variable(t) ? item->number % type_units(t) == 0 : item->number == t->number;
}

static json_object *rights_json(const struct event *ev, const struct item *item)
{
	json_object *array;

	if (item->number == 1)
		return right_json(ev, item->type, item_right(item, 0));
	array = json_object_new_array();
	for (uint32_t i = 0; i < item->number; i++)
		json_object_array_add(array, right_json(ev, item->type, item_right(item, i)));
	return array;
}

/* What is out of line stayed in the traced process. */
static json_object *item_json(const struct event *ev, const struct argument *a, const struct item *item)
{
	json_object *o;

	if (!item->is_inline) {
		o = json_object_new_object();
		json_object_object_add(o, "number", json_object_new_int64(item->number));
		json_object_object_add(o, "out-of-line", json_object_new_int64((int64_t)item->size));
		return o;
	}
	if (item_is_right(item))
		return rights_json(ev, item);
	return a && fits(a->type, item) ? value_show(a->type, item) : show_value(item);
}

/* A list of values, each with its name if that is known; false if there is more than came along. */
static bool arguments_json(const struct event *ev, json_object *named, json_object *unnamed)
{
	enum body_result result;
	unsigned int n = 0;
	struct item item;
	struct body body;

	body_init(&body, ev->message, ev->e.n_bytes);
	if (ev->has_routine && ev->routine.is_reply)
		(void)!body_next(&body, &item); /* its code */
	while ((result = body_next(&body, &item)) == BODY_ITEM) {
		const struct argument *a = argument_at(ev, n++);

		if (a)
			json_object_object_add(named, a->name, item_json(ev, a, &item));
		else
			json_object_array_add(unnamed, item_json(ev, NULL, &item));
	}
	return result == BODY_END && ev->e.n_bytes == ev->e.message_size;
}

/* The code that an answer has. */
static kern_return_t answer_code(const struct event *ev)
{
	mig_reply_header_t reply;

	if (!ev->has_routine || !ev->routine.is_reply || ev->e.n_bytes < sizeof reply)
		return KERN_SUCCESS;
	memcpy(&reply, ev->message, sizeof reply);
	return reply.RetCode;
}

/* ---- printing */

static json_object *event_json(const struct event *ev)
{
	json_object *o = json_object_new_object(), *named = json_object_new_object(),
		    *unnamed = json_object_new_array();
	bool is_sent = ev->e.kind == PORTUNUS_TRACE_SENT;
	kern_return_t code = answer_code(ev);

	json_object_object_add(o, "event", json_object_new_string(is_sent ? "send" : "receive"));
	json_object_object_add(o, "time", json_object_new_double((double)ev->e.begin / 1e9));
	if (is_sent)
		json_object_object_add(o, "took", json_object_new_double((double)(ev->e.end - ev->e.begin) / 1e3));
	json_object_object_add(o, "pid", json_object_new_int64(ev->e.pid));
	json_object_object_add(o, "tid", json_object_new_int64(ev->e.tid));
	json_object_object_add(o, "id", json_object_new_int(ev->message->msgh_id));
	if (ev->has_routine) {
		json_object_object_add(o, "routine", json_object_new_string(ev->routine.name));
		json_object_object_add(o, "answer", json_object_new_boolean(ev->routine.is_reply));
	}
	json_object_object_add(o, "size", json_object_new_int64(ev->e.message_size));
	json_object_object_add(o, "port",
			       right_json(ev,
					  is_sent ? MACH_MSGH_BITS_REMOTE(ev->message->msgh_bits)
						  : MACH_MSG_TYPE_PORT_RECEIVE,
					  is_sent ? ev->message->msgh_remote_port : ev->message->msgh_local_port));
	if (request_reply(ev) != MACH_PORT_NULL)
		json_object_object_add(o, "reply",
				       right_json(ev,
						  is_sent ? MACH_MSGH_BITS_LOCAL(ev->message->msgh_bits)
							  : MACH_MSGH_BITS_REMOTE(ev->message->msgh_bits),
						  request_reply(ev)));
	if (!arguments_json(ev, named, unnamed))
		json_object_object_add(o, "truncated", json_object_new_boolean(true));
	json_object_object_add(o, "arguments", named);
	if (json_object_array_length(unnamed))
		json_object_object_add(o, "items", unnamed);
	else
		json_object_put(unnamed);
	if (code)
		json_object_object_add(o, "code", json_object_new_int(code));
	if (ev->e.result)
		json_object_object_add(o, "result",
				       json_object_new_string(mach_error_string((kern_return_t)ev->e.result)));
	if (ev->latency)
		json_object_object_add(o, "latency", json_object_new_double((double)ev->latency / 1e3));
	json_object_object_add(o, "lost", json_object_new_int64((int64_t)ev->e.n_lost));
	return o;
}

#define SHOWN_TEXT   64
#define SHOWN_RIGHTS 8

static bool is_list_of_rights(json_object *value)
{
	json_object *first;

	if (!json_object_is_type(value, json_type_array) || !json_object_array_length(value))
		return false;
	first = json_object_array_get_idx(value, 0);
	return json_object_is_type(first, json_type_object) && json_object_object_get_ex(first, "right", NULL);
}

static char *list_of_rights(json_object *list)
{
	size_t n = json_object_array_length(list);
	char *text = must_print("["), *longer, *right;

	for (size_t i = 0; i < n && i < SHOWN_RIGHTS; i++) {
		right = right_text(json_object_array_get_idx(list, i));
		longer = must_print("%s%s%s", text, i ? ", " : "", right);
		free(text);
		free(right);
		text = longer;
	}
	longer = must_print("%s%s]", text, n > SHOWN_RIGHTS ? ", ..." : "");
	free(text);
	return longer;
}

/* Owned by the caller. */
static char *value_brief(json_object *value)
{
	json_object *member;
	const char *text;
	char *shown, *quoted;
	size_t length;

	if (json_object_is_type(value, json_type_object) && json_object_object_get_ex(value, "right", &member))
		return right_text(value);
	if (is_list_of_rights(value))
		return list_of_rights(value);
	if (json_object_is_type(value, json_type_object) && json_object_object_get_ex(value, "out-of-line", &member))
		return must_print("%s bytes out of line", json_object_get_string(member));
	if (!json_object_is_type(value, json_type_string)) {
		text = value ? json_object_to_json_string_ext(value, JSON_C_TO_STRING_NOSLASHESCAPE) : "null";
		length = strlen(text);
		return must_print("%.*s%s", SHOWN_TEXT, text, length > SHOWN_TEXT ? "..." : "");
	}
	length = (size_t)json_object_get_string_len(value);
	shown = printable(json_object_get_string(value), length < SHOWN_TEXT ? length : SHOWN_TEXT);
	quoted = must_print("\"%s\"%s", shown, length > SHOWN_TEXT ? "..." : "");
	free(shown);
	return quoted;
}

static void print_value(const char *name, json_object *value, bool is_first)
{
	char *text = value_brief(value);

	output_text("%s%s%s%s", is_first ? "" : ", ", name ? name : "", name ? ": " : "", text);
	free(text);
}

static void print_arguments(json_object *o)
{
	json_object *named, *unnamed = NULL, *truncated;
	bool is_first = true;

	json_object_object_get_ex(o, "arguments", &named);
	json_object_object_get_ex(o, "items", &unnamed);
	json_object_object_foreach(named, name, value)
	{
		print_value(name, value, is_first);
		is_first = false;
	}
	for (size_t i = 0; unnamed && i < json_object_array_length(unnamed); i++) {
		print_value(NULL, json_object_array_get_idx(unnamed, i), is_first);
		is_first = false;
	}
	if (json_object_object_get_ex(o, "truncated", &truncated))
		output_text("%s...", is_first ? "" : ", ");
}

static void print_time(const struct event *ev)
{
	time_t seconds = (time_t)(ev->e.begin / 1000000000);
	struct tm local;

	localtime_r(&seconds, &local);
	output_text("%s%02d:%02d:%02d.%06u%s %u/%u ", colour_begin(COLOUR_DIM), local.tm_hour, local.tm_min,
		    local.tm_sec, (unsigned int)(ev->e.begin % 1000000000 / 1000), colour_end(), ev->e.pid, ev->e.tid);
}

static void print_name(const struct event *ev)
{
	bool is_reply = ev->has_routine && ev->routine.is_reply;

	output_text("%s %s", ev->e.kind == PORTUNUS_TRACE_SENT ? "->" : "<-",
		    colour_begin(is_reply ? COLOUR_GREEN : COLOUR_BOLD));
	if (ev->has_routine)
		output_text("%s%s%s", ev->routine.name, colour_end(), is_reply ? " = " : "");
	else
		output_text("message %d%s", ev->message->msgh_id, colour_end());
}

static void print_text(const struct event *ev, json_object *o)
{
	kern_return_t code = answer_code(ev);
	json_object *port;
	char *text;

	print_time(ev);
	print_name(ev);
	output_text("(");
	print_arguments(o);
	output_text(")");
	json_object_object_get_ex(o, "port", &port);
	text = right_text(port);
	output_text(" %s %s, %u bytes", ev->e.kind == PORTUNUS_TRACE_SENT ? "to" : "at", text, ev->e.message_size);
	free(text);
	if (ev->latency)
		output_text(", %.1f us", (double)ev->latency / 1e3);
	if (code)
		output_text(", %s%s%s", colour_begin(COLOUR_RED), mach_error_string(code), colour_end());
	if (ev->e.result)
		output_text(", %snot sent: %s%s", colour_begin(COLOUR_RED),
			    mach_error_string((kern_return_t)ev->e.result), colour_end());
	output_text("\n");
	json_object_put(o);
}

/* Said whenever there are more, whatever is printed. */
static void tell_losses(const struct event *ev)
{
	static uint64_t told;
	static uint32_t pid;

	if (ev->e.n_lost != (pid == ev->e.pid ? told : 0))
		warn("%" PRIu64 " events of process %u are lost so far: they came faster than they could be printed",
		     ev->e.n_lost, ev->e.pid);
	told = ev->e.n_lost;
	pid = ev->e.pid;
}

static void print_event(struct event *ev)
{
	json_object *o;

	tell_losses(ev);
	if (!ev->message)
		return;
	ev->has_routine = routines_find(ev->message->msgh_id, &ev->routine);
	match_calls(ev);
	o = event_json(ev);
	if (output_is_json())
		output_json(o);
	else
		print_text(ev, o);
}

/* ---- reading */

/* It comes from another process, which can write anything: sizes are checked, and the rest is only shown. */
static bool take_apart(const unsigned char *at, size_t size, struct event *ev)
{
	size_t bytes, rights;

	*ev = (struct event){ 0 };
	memcpy(&ev->e, at, sizeof ev->e);
	if (ev->e.version != PORTUNUS_TRACE_VERSION || ev->e.n_bytes > PORTUNUS_TRACE_BYTES_MAX ||
	    ev->e.n_rights > PORTUNUS_TRACE_RIGHTS_MAX)
		return false;
	bytes = (ev->e.n_bytes + 7) & ~(size_t)7;
	rights = ev->e.n_rights * sizeof(portunus_trace_right_t);
	if (size != sizeof ev->e + bytes + rights)
		return false;
	if (ev->e.n_bytes >= sizeof(mach_msg_header_t))
		ev->message = (mach_msg_header_t *)(uintptr_t)(at + sizeof ev->e);
	ev->rights = (const portunus_trace_right_t *)(at + sizeof ev->e + bytes);
	return true;
}

static unsigned char *buffer;
static size_t n_buffered;

static size_t event_size(size_t at)
{
	uint32_t size;

	if (n_buffered - at < sizeof(portunus_trace_event_t))
		return 0;
	memcpy(&size, buffer + at, sizeof size);
	if (size < sizeof(portunus_trace_event_t) || size > EVENT_MAX || size % 8)
		fail(STATUS_FAILED, "what the process tells is no trace; is its library of another version?");
	return n_buffered - at < size ? 0 : size;
}

static void print_whole_events(void)
{
	size_t at = 0, size;
	struct event ev;

	while ((size = event_size(at)) > 0) {
		if (!take_apart(buffer + at, size, &ev))
			fail(STATUS_FAILED, "what the process tells is no trace; is its library of another version?");
		print_event(&ev);
		at += size;
	}
	memmove(buffer, buffer + at, n_buffered - at);
	n_buffered -= at;
	output_flush();
}

/* What is in the pipe now. */
static void read_events(void)
{
	ssize_t n;

	if (!buffer)
		buffer = must_alloc(PIPE_ROOM + EVENT_MAX);
	while ((n = read(trace_pipe.fd, buffer + n_buffered, PIPE_ROOM + EVENT_MAX - n_buffered)) > 0) {
		n_buffered += (size_t)n;
		print_whole_events();
	}
}

/* ---- waiting */

static volatile sig_atomic_t is_told_to_end;

static void told_to_end(int sig)
{
	(void)sig;
	is_told_to_end = true;
}

/* Until @process ends, nobody reads what we print, or a signal. The signals come in only while we wait. A pipe that nobody has
 * open for writing yet is not waited for: it would be ready at once. */
static void follow(int process, const sigset_t *usual)
{
	struct pollfd fds[] = {
		{ .fd = trace_pipe.fd, .events = POLLIN },
		{ .fd = process, .events = POLLIN },
		{ .fd = STDOUT_FILENO },
	};

	while (!is_told_to_end && !(fds[1].revents & POLLIN) && !(fds[2].revents & POLLERR)) {
		if (ppoll(fds, 3, NULL, usual) < 0 && errno != EINTR)
			fail(STATUS_FAILED, "cannot wait: %s", strerror(errno));
		if (fds[0].revents)
			read_events();
	}
	read_events();
}

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

/* ---- a program that we start */

extern char **environ;

static char **traced_environment(bool follows)
{
	size_t n = 0;
	char **envp;

	while (environ[n])
		n++;
	envp = must_alloc((n + 3) * sizeof *envp);
	memcpy(envp, environ, n * sizeof *envp);
	envp[n++] = must_print(PORTUNUS_TRACE_VARIABLE "=%d:%s", getpid(), trace_pipe.path);
	if (follows)
		envp[n] = must_print(PORTUNUS_TRACE_FOLLOW "=1");
	return envp;
}

/* The program's signals are its own: what it does with them ends us, too. */
static int trace_program(const struct arguments *a)
{
	sigset_t none;
	int process;
	pid_t pid;

	make_pipe(geteuid());
	(void)name_server_port; /* connects, so that names at home can be asked for at once */
	pid = program_start(a->program, NULL, 0, traced_environment(a->follows));
	process = pidfd_open(pid, 0);
	if (process < 0)
		fail(STATUS_RUN_FAILED, "cannot wait for \"%s\": %s", a->program[0], strerror(errno));
	program_pass_signals(pid);
	sigemptyset(&none);
	follow(process, &none);
	close(process);
	return program_wait(pid);
}

/* ---- a process that is there */

static void __attribute__((noreturn)) cannot_trace(pid_t pid, kern_return_t kr)
{
	if (kr == KERN_NO_ACCESS)
		fail(STATUS_REFUSED, "process %d is another user's; only root may trace it", pid);
	if (kr == KERN_INVALID_ARGUMENT)
		fail(STATUS_FAILED, "process %d cannot write to %s; set TMPDIR to a directory that it sees, too", pid,
		     trace_pipe.path);
	if (kr == MIG_BAD_ID)
		fail(STATUS_FAILED, "process %d is of a version that cannot be traced", pid);
	fail(STATUS_FAILED, "process %d: %s", pid, view_reason(kr));
}

static int trace_process(const struct arguments *a)
{
	struct node_view *node = view_find_pid(view_new(), (uint32_t)a->pid);
	int process = pidfd_open(a->pid, 0);
	kern_return_t kr;
	sigset_t usual;

	if (!node || process < 0)
		fail(STATUS_NOT_THERE,
		     "process %d does not use Portunus with this broker; \"portunus ps\" lists those that do", a->pid);
	kr = view_tasks(node);
	if (kr)
		cannot_trace(a->pid, kr);
	make_pipe(node->info.uid);
	catch_ends(&usual);
	kr = portunus_inspect_trace(node->port, trace_pipe.path, (uint32_t)getpid());
	if (kr)
		cannot_trace(a->pid, kr);
	follow(process, &usual);
	(void)portunus_inspect_trace(node->port, (char *)"", (uint32_t)getpid());
	read_events();
	return STATUS_OK;
}

/* ---- the command */

static const struct argp_option options[] = {
	{ "pid", 'p', "PID", 0, "Trace this process", 0 },
	{ "follow", 'f', NULL, 0, "Trace the programs that a traced one starts, too", 0 },
	{ "interface", 'i', "FILE", 0, "Names and arguments of messages: a .defs, or a .msgids; may be repeated", 0 },
	{ "include", 'I', "DIR", 0, "Look for included interfaces in DIR, too", 0 },
	{ "define", 'D', "NAME[=VALUE]", 0, "Define NAME for the C preprocessor", 0 },
	{ 0 },
};

static error_t parse(int key, char *value, struct argp_state *state)
{
	struct arguments *a = state->input;

	switch (key) {
	case 'p':
		a->pid = (pid_t)number_of(value, "--pid", 1, INT_MAX);
		return 0;
	case 'f':
		a->follows = true;
		return 0;
	case 'i':
		a->interfaces = must_grow(a->interfaces, a->n_interfaces + 1, sizeof *a->interfaces);
		a->interfaces[a->n_interfaces++] = value;
		return 0;
	case 'I':
		defs_add_flag(&a->flags, "-I", value);
		return 0;
	case 'D':
		defs_add_flag(&a->flags, "-D", value);
		return 0;
	case ARGP_KEY_ARG:
		a->program = state->argv + state->next - 1;
		state->next = state->argc;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_child children[] = { OUTPUT_CHILD, { 0 } };
static const struct argp argp = {
	.options = options,
	.parser = parse,
	.args_doc = "-p PID\n-- COMMAND [ARGUMENT...]",
	.doc = "Print every message that a process sends and receives."
	       "\vEach line has the time, process and thread, -> for sent and <- for received, the routine and its arguments, the port, "
	       "and for the answer to a call how long it took. A right is shown as the process calls it and, in brackets, as the "
	       "process calls it that has the receive right. Interfaces that are installed with Portunus are known. The process "
	       "never waits for us: what cannot be printed in time is lost, and counted.",
	.children = children,
};

static int run(int argc, char **argv)
{
	struct arguments a = { 0 };

	command_parse(&argp, argc, argv, ARGP_IN_ORDER, &a);
	if (!a.pid == !a.program)
		fail(STATUS_USAGE, "trace what? portunus trace -p PID, or portunus trace -- COMMAND [ARGUMENT...]");
	routines_add_installed();
	for (unsigned int i = 0; i < a.n_interfaces; i++)
		routines_add(a.interfaces[i], &a.flags);
	return a.program ? trace_program(&a) : trace_process(&a);
}

const struct command trace_command = {
	.name = "trace",
	.summary = "print every message that a process sends and receives",
	.argp = &argp,
	.operand = OPERAND_PROGRAM,
	.run = run,
};
