/* SPDX-License-Identifier: MIT */
#include "inspect/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "kernel/image.h"
#include "link/peers.h"
#include "platform/fd.h"
#include "platform/usercopy.h"

/* Losses in a row after which it is asked whether the tracer still lives. */
#define LOSSES_UNTIL_DOUBT 64

_Static_assert(sizeof(portunus_trace_event_t) + PORTUNUS_TRACE_BYTES_MAX +
			       PORTUNUS_TRACE_RIGHTS_MAX * sizeof(portunus_trace_right_t) <=
		       PIPE_BUF,
	       "an event is written whole or not at all");

atomic_bool trace_on;

/* The mutex is held while an event is written, so that no descriptor is closed meanwhile. Nothing is called under it that could
 * wait. */
static struct {
	pthread_mutex_t mutex;
	bool is_open;
	struct fd_kept pipe, tracer;
	uint64_t n_lost;
} trace = { .mutex = PTHREAD_MUTEX_INITIALIZER };

static void end_locked(void)
{
	if (!trace.is_open)
		return;
	atomic_store_explicit(&trace_on, false, memory_order_relaxed);
	trace.is_open = false;
	fd_kept_close(&trace.pipe);
	fd_kept_close(&trace.tracer);
}

void trace_end(void)
{
	pthread_mutex_lock(&trace.mutex);
	end_locked();
	pthread_mutex_unlock(&trace.mutex);
}

/* Also for reading: so that writing to it is no error (and no signal) when the tracer is gone. Of a pipe that somebody else made
 * nobody knows who reads it. */
static int open_pipe(const char *path, uid_t uid)
{
	int fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY);
	struct stat status;

	if (fd < 0)
		return -1;
	if (fstat(fd, &status) == 0 && S_ISFIFO(status.st_mode) &&
	    (status.st_uid == uid || status.st_uid == geteuid() || status.st_uid == 0))
		return fd;
	fd_close(fd);
	errno = EACCES;
	return -1;
}

static kern_return_t result_of(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOMEM ? KERN_RESOURCE_SHORTAGE : KERN_INVALID_ARGUMENT;
}

static void begin_locked(int pipe, int tracer)
{
	end_locked();
	fd_keep(&trace.pipe, pipe);
	fd_keep(&trace.tracer, tracer);
	trace.is_open = true;
	trace.n_lost = 0;
	atomic_store_explicit(&trace_on, true, memory_order_relaxed);
}

kern_return_t trace_begin(const char *path, pid_t tracer, uid_t uid)
{
	int pipe = open_pipe(path, uid), process = pipe < 0 ? -1 : pidfd_open(tracer, 0);
	struct trace_record r;

	if (process < 0) {
		int error = errno;

		if (pipe >= 0)
			fd_close(pipe);
		return result_of(error);
	}
	pthread_mutex_lock(&trace.mutex);
	begin_locked(pipe, process);
	pthread_mutex_unlock(&trace.mutex);
	trace_record_init(&r, PORTUNUS_TRACE_BEGINS);
	trace_record_write(&r, MACH_MSG_SUCCESS);
	return KERN_SUCCESS;
}

/* ---- events */

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

void trace_record_init(struct trace_record *r, unsigned kind)
{
	r->event = (portunus_trace_event_t){
		.version = PORTUNUS_TRACE_VERSION,
		.kind = (uint16_t)kind,
		.pid = (uint32_t)getpid(),
		.tid = (uint32_t)gettid(),
		.begin = now(),
	};
}

static void record_right(struct trace_record *r, mach_port_name_t name)
{
	portunus_trace_right_t *right = &r->rights[r->event.n_rights];

	if (!MACH_PORT_VALID(name) || r->event.n_rights == PORTUNUS_TRACE_RIGHTS_MAX)
		return;
	for (uint32_t i = 0; i < r->event.n_rights; i++)
		if (r->rights[i].name == name)
			return;
	if (!peers_home_of(name, &right->home, &right->index, &right->port))
		return;
	right->name = name;
	r->event.n_rights++;
}

static void record_body(struct trace_record *r)
{
	uint32_t at = sizeof(mach_msg_header_t), size = r->event.n_bytes;
	struct descriptor d;

	while (at < size && image_read_descriptor(r->bytes, size, at, &d) == MACH_MSG_SUCCESS) {
		if (d.is_inline && MACH_MSG_TYPE_PORT_ANY(d.type))
			for (uint64_t i = 0;
			     i < d.number && d.data + (i + 1) * sizeof(mach_port_name_inlined_t) <= size; i++)
				record_right(r, image_read_name(r->bytes,
								d.data + (uint32_t)(i *
										    sizeof(mach_port_name_inlined_t))));
		at = d.end > at ? d.end : size;
	}
}

void trace_record_message(struct trace_record *r, const mach_msg_header_t *user, mach_msg_size_t size)
{
	mach_msg_header_t header;
	uint32_t n;

	if (!size && user_read(&header, user, sizeof header))
		size = header.msgh_size;
	n = size < PORTUNUS_TRACE_BYTES_MAX ? size : PORTUNUS_TRACE_BYTES_MAX;
	r->event.message_size = size;
	if (n < sizeof header || !user_read(r->bytes, user, n))
		return;
	r->event.n_bytes = n;
	memcpy(&header, r->bytes, sizeof header);
	record_right(r, header.msgh_remote_port);
	if (MACH_MSGH_BITS_LOCAL(header.msgh_bits) != MACH_MSG_TYPE_PROTECTED_PAYLOAD)
		record_right(r, header.msgh_local_port);
	if (header.msgh_bits & MACH_MSGH_BITS_COMPLEX)
		record_body(r);
}

static void write_locked(struct trace_record *r)
{
	static const unsigned char filling[8];
	uint32_t fill = -r->event.n_bytes & 7;
	struct iovec parts[] = {
		{ &r->event, sizeof r->event },
		{ r->bytes, r->event.n_bytes },
		{ (void *)filling, fill },
		{ r->rights, r->event.n_rights * sizeof *r->rights },
	};
	struct pollfd tracer = { .fd = trace.tracer.fd, .events = POLLIN };

	r->event.n_lost = trace.n_lost;
	r->event.size = (uint32_t)(sizeof r->event + r->event.n_bytes + fill + r->event.n_rights * sizeof *r->rights);
	if (writev(trace.pipe.fd, parts, 4) >= 0)
		return;
	if (++trace.n_lost % LOSSES_UNTIL_DOUBT == 0 && poll(&tracer, 1, 0) > 0)
		end_locked();
}

void trace_record_write(struct trace_record *r, mach_msg_return_t result)
{
	int saved = errno;

	r->event.end = r->event.kind == PORTUNUS_TRACE_SENT ? now() : r->event.begin;
	r->event.result = (uint32_t)result;
	pthread_mutex_lock(&trace.mutex);
	if (trace.is_open)
		write_locked(r);
	pthread_mutex_unlock(&trace.mutex);
	errno = saved;
}

/* ---- the beginning of a process, and of a child of a fork */

/* Before any code of the program runs. */
__attribute__((constructor(103))) static void trace_read_environment(void)
{
	const char *value = secure_getenv(PORTUNUS_TRACE_VARIABLE);
	char *path;
	long tracer;

	if (!value)
		return;
	tracer = strtol(value, &path, 10);
	if (*path == ':' && tracer > 0)
		(void)trace_begin(path + 1, (pid_t)tracer, geteuid());
	if (!getenv(PORTUNUS_TRACE_FOLLOW))
		unsetenv(PORTUNUS_TRACE_VARIABLE);
}

/* The descriptors are closed with all that the library keeps. */
static void forget(void)
{
	pthread_mutex_init(&trace.mutex, NULL);
	atomic_store_explicit(&trace_on, false, memory_order_relaxed);
	trace.is_open = false;
}

__attribute__((constructor)) static void watch_forks(void)
{
	pthread_atfork(NULL, NULL, forget);
}
