/* SPDX-License-Identifier: MIT */
/* One io_select() goes to each object, with a reply port of its own; the reply ports are in one port set, and the thread
 * waits on that. The first answer ends the wait, and what else has come by then is taken along. Then the reply ports are
 * destroyed: the servers that have not answered hear of it (a dead-name notification), and forget us. */
#include "select.h"

#include <errno.h>
#include <string.h>
#include <time.h>

enum { FIRST_FD = 3, N_FDS = 64 };

static io_t objects[N_FDS];

io_t fd_object(int fd)
{
	return fd >= 0 && fd < N_FDS ? objects[fd] : MACH_PORT_NULL;
}

int fd_open(io_t object)
{
	for (int fd = FIRST_FD; fd < N_FDS; fd++)
		if (objects[fd] == MACH_PORT_NULL) {
			objects[fd] = object;
			return fd;
		}
	errno = EMFILE;
	return -1;
}

int fd_close(int fd)
{
	io_t object = fd_object(fd);

	if (object == MACH_PORT_NULL) {
		errno = EBADF;
		return -1;
	}
	objects[fd] = MACH_PORT_NULL;
	mach_port_deallocate(mach_task_self(), object);
	return 0;
}

struct selection {
	mach_port_t set;
	mach_port_t replies[N_FDS]; /* MACH_PORT_NULL: not asked */
	int wanted[N_FDS], ready[N_FDS];
	int n_asked, n_answered;
};

static int wanted_of(int fd, const fd_set *reads, const fd_set *writes)
{
	return (reads && FD_ISSET(fd, reads) ? IO_READ : 0) | (writes && FD_ISSET(fd, writes) ? IO_WRITE : 0);
}

static int selection_begin(struct selection *s, int n_fds, const fd_set *reads, const fd_set *writes)
{
	memset(s, 0, sizeof *s);
	if (n_fds < 0 || n_fds > N_FDS)
		return EINVAL;
	for (int fd = 0; fd < n_fds; fd++) {
		s->wanted[fd] = wanted_of(fd, reads, writes);
		if (s->wanted[fd] && fd_object(fd) == MACH_PORT_NULL)
			return EBADF;
	}
	return mach_port_allocate(mach_task_self(), MACH_PORT_RIGHT_PORT_SET, &s->set) ? ENOMEM : 0;
}

static void selection_end(struct selection *s)
{
	for (int fd = 0; fd < N_FDS; fd++)
		if (s->replies[fd] != MACH_PORT_NULL)
			mach_port_mod_refs(mach_task_self(), s->replies[fd], MACH_PORT_RIGHT_RECEIVE, -1);
	if (s->set != MACH_PORT_NULL)
		mach_port_destroy(mach_task_self(), s->set);
}

/* What cannot be asked is gone, and that is an answer. */
static int selection_ask_one(struct selection *s, int fd, int flags)
{
	s->replies[fd] = mach_reply_port();
	if (s->replies[fd] == MACH_PORT_NULL)
		return ENOMEM;
	mach_port_move_member(mach_task_self(), s->replies[fd], s->set);
	s->n_asked++;
	if (io_select(fd_object(fd), s->wanted[fd] | flags, s->replies[fd])) {
		s->ready[fd] = s->wanted[fd];
		s->n_answered++;
	}
	return 0;
}

static int selection_ask(struct selection *s, int n_fds, int flags)
{
	int error = 0;

	for (int fd = 0; fd < n_fds && !error; fd++)
		if (s->wanted[fd])
			error = selection_ask_one(s, fd, flags);
	return error;
}

static void selection_answer(struct selection *s, const union io_buffer *answer)
{
	int fd = 0;

	while (s->replies[fd] != answer->header.msgh_local_port)
		fd++;
	s->n_answered++;
	if (answer->header.msgh_id == IO_SELECT + IO_REPLY)
		s->ready[fd] = answer->io.number & s->wanted[fd];
	else /* a send-once notification: the server dropped the request, or died */
		s->ready[fd] = s->wanted[fd];
}

/* Takes one answer; waits for it up to @ms (-1: for ever). 0, or EAGAIN: none came; EINTR. */
static int selection_receive(struct selection *s, long ms)
{
	mach_msg_option_t option = MACH_RCV_MSG | MACH_RCV_INTERRUPT | (ms < 0 ? 0 : MACH_RCV_TIMEOUT);
	union io_buffer answer;

	switch (mach_msg(&answer.header, option, 0, sizeof answer, s->set, ms < 0 ? 0 : (mach_msg_timeout_t)ms,
			 MACH_PORT_NULL)) {
	case MACH_MSG_SUCCESS:
		selection_answer(s, &answer);
		return 0;
	case MACH_RCV_INTERRUPTED:
		return EINTR;
	default:
		return EAGAIN;
	}
}

static int selection_is_ready(const struct selection *s)
{
	for (int fd = 0; fd < N_FDS; fd++)
		if (s->ready[fd])
			return 1;
	return 0;
}

/* Who does not want to wait hears from every object: each answers at once. */
static int selection_wait(struct selection *s, long ms)
{
	int error = 0;

	while (!error && ms == 0 && s->n_answered < s->n_asked)
		error = selection_receive(s, -1);
	if (!error && ms != 0 && !selection_is_ready(s))
		error = selection_receive(s, ms);
	while (!error)
		error = selection_receive(s, 0);
	return error == EAGAIN ? 0 : error;
}

static int selection_report(const struct selection *s, fd_set *reads, fd_set *writes, fd_set *errors)
{
	int n = 0;

	if (errors)
		FD_ZERO(errors);
	for (int fd = 0; fd < N_FDS; fd++) {
		if (s->wanted[fd] & ~s->ready[fd] & IO_READ)
			FD_CLR(fd, reads);
		if (s->wanted[fd] & ~s->ready[fd] & IO_WRITE)
			FD_CLR(fd, writes);
		n += !!(s->ready[fd] & IO_READ) + !!(s->ready[fd] & IO_WRITE);
	}
	return n;
}

/* Milliseconds, at least as long; -1: for ever; -2: no time at all. */
static long timeout_to_ms(const struct timeval *timeout)
{
	if (!timeout)
		return -1;
	if (timeout->tv_sec < 0 || timeout->tv_usec < 0 || timeout->tv_usec >= 1000000)
		return -2;
	return timeout->tv_sec * 1000 + (timeout->tv_usec + 999) / 1000;
}

int fd_select(int n_fds, fd_set *reads, fd_set *writes, fd_set *errors, struct timeval *timeout)
{
	long ms = timeout_to_ms(timeout);
	struct selection s;
	int error = selection_begin(&s, n_fds, reads, writes);

	if (!error && ms == -2)
		error = EINVAL;
	if (!error)
		error = selection_ask(&s, n_fds, ms == 0 ? IO_NOW : 0);
	if (!error)
		error = selection_wait(&s, ms);
	selection_end(&s);
	if (!error)
		return selection_report(&s, reads, writes, errors);
	errno = error;
	return -1;
}
