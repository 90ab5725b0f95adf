/* SPDX-License-Identifier: MIT */
/* As epoll.c, with libuv: a port is one more thing that its loop waits for.
 *
 *   printf 'one\ntwo\n' | poll-libuv */
#include <err.h>
#include <portunus/poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "worker.h"

struct program {
	uv_pipe_t input;
	uv_poll_t answers; /* readable while the reply port has a message */
	int fd;
	mach_port_t worker, reply;
	unsigned n_pending; /* questions without an answer yet */
	int is_at_end;	    /* of the input */
	char line[LINE_MAX_SIZE];
	size_t n_line;
};

static void must(const char *what, int r)
{
	if (r < 0)
		errx(1, "%s: %s", what, uv_strerror(r));
}

/* The loop ends when nothing is left to wait for. */
static void stop_if_done(struct program *p)
{
	if (p->is_at_end && !p->n_pending && !uv_is_closing((uv_handle_t *)&p->answers))
		uv_close((uv_handle_t *)&p->answers, NULL);
}

static void ask(struct program *p)
{
	p->line[p->n_line] = '\0';
	worker_ask(p->worker, p->reply, p->line);
	p->n_line = 0;
	p->n_pending++;
}

static void answers_are_there(uv_poll_t *answers, int status, int events)
{
	struct program *p = answers->data;
	struct line_message answer;

	(void)events;
	must("poll", status);
	while (worker_take_answer(p->reply, &answer)) {
		printf("%s\n", answer.text);
		p->n_pending--;
	}
	stop_if_done(p);
}

static void give_buffer(uv_handle_t *input, size_t size, uv_buf_t *buffer)
{
	static char bytes[4096];

	(void)input;
	(void)size;
	*buffer = uv_buf_init(bytes, sizeof bytes);
}

static void input_ends(struct program *p)
{
	if (p->n_line)
		ask(p);
	p->is_at_end = 1;
	uv_close((uv_handle_t *)&p->input, NULL);
	stop_if_done(p);
}

static void input_is_there(uv_stream_t *input, ssize_t n, const uv_buf_t *buffer)
{
	struct program *p = input->data;

	if (n == UV_EOF) {
		input_ends(p);
		return;
	}
	must("input", (int)n);
	for (ssize_t i = 0; i < n; i++) {
		if (buffer->base[i] != '\n')
			p->line[p->n_line++] = buffer->base[i];
		if (buffer->base[i] == '\n' || p->n_line == sizeof p->line - 1)
			ask(p);
	}
}

int main(void)
{
	struct program p = { .worker = worker_start(), .reply = mach_reply_port() };
	uv_loop_t *loop = uv_default_loop();

	p.fd = portunus_port_fd(p.reply);
	if (p.fd < 0)
		err(1, "descriptor");
	p.input.data = p.answers.data = &p;
	must("pipe", uv_pipe_init(loop, &p.input, 0));
	must("pipe", uv_pipe_open(&p.input, STDIN_FILENO));
	must("read", uv_read_start((uv_stream_t *)&p.input, give_buffer, input_is_there));
	must("poll", uv_poll_init(loop, &p.answers, p.fd));
	must("poll", uv_poll_start(&p.answers, UV_READABLE, answers_are_there));
	must("loop", uv_run(loop, UV_RUN_DEFAULT));
	close(p.fd);
	return 0;
}
