/* SPDX-License-Identifier: MIT */
/* One loop for messages and for files: lines from standard input go to a worker by message, its answers come back by
 * message, and epoll waits for both.
 *
 *   printf 'one\ntwo\n' | poll-epoll */
#include <err.h>
#include <portunus/poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "worker.h"

struct program {
	int epoll;
	mach_port_t worker, reply;
	unsigned n_pending; /* questions without an answer yet */
	int is_at_end;	    /* of the input */
	char input[LINE_MAX_SIZE];
	size_t n_input;
};

static void add(struct program *p, int fd)
{
	struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

	if (epoll_ctl(p->epoll, EPOLL_CTL_ADD, fd, &event))
		err(1, "epoll");
}

static void ask(struct program *p, size_t length)
{
	p->input[length] = '\0';
	worker_ask(p->worker, p->reply, p->input);
	p->n_pending++;
}

/* Asks for each line that is there; one that is too long counts as two. */
static void ask_lines(struct program *p)
{
	char *end;

	while ((end = memchr(p->input, '\n', p->n_input))) {
		size_t length = (size_t)(end - p->input);

		ask(p, length);
		p->n_input -= length + 1;
		memmove(p->input, end + 1, p->n_input);
	}
	if (p->n_input == sizeof p->input - 1) {
		ask(p, p->n_input);
		p->n_input = 0;
	}
}

static void input_is_readable(struct program *p)
{
	ssize_t n = read(STDIN_FILENO, p->input + p->n_input, sizeof p->input - 1 - p->n_input);

	if (n < 0)
		err(1, "input");
	p->n_input += (size_t)n;
	ask_lines(p);
	if (n > 0)
		return;
	if (p->n_input)
		ask(p, p->n_input);
	p->is_at_end = 1;
	epoll_ctl(p->epoll, EPOLL_CTL_DEL, STDIN_FILENO, NULL);
}

static void reply_is_readable(struct program *p)
{
	struct line_message answer;

	while (worker_take_answer(p->reply, &answer)) {
		printf("%s\n", answer.text);
		p->n_pending--;
	}
}

int main(void)
{
	struct program p = { .epoll = epoll_create1(EPOLL_CLOEXEC),
			     .worker = worker_start(),
			     .reply = mach_reply_port() };
	int fd = portunus_port_fd(p.reply);

	if (p.epoll < 0 || fd < 0)
		err(1, "descriptors");
	add(&p, STDIN_FILENO);
	add(&p, fd);
	while (p.n_pending || !p.is_at_end) {
		struct epoll_event event;

		if (epoll_wait(p.epoll, &event, 1, -1) != 1)
			continue;
		if (event.data.fd == fd)
			reply_is_readable(&p);
		else
			input_is_readable(&p);
	}
	close(fd);
	close(p.epoll);
	return 0;
}
