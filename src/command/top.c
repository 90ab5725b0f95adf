/* SPDX-License-Identifier: MIT */
/* portunus top: tasks and ports as they work.
 *
 * One thread takes samples, which may wait for a process that does not answer; the other draws the last one and reads keys.
 * Nothing is ever cleared: each line is written over, and ncurses sends what has changed. */
#include <curses.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "command.h"
#include "output.h"
#include "sample.h"
#include "service.h"
#include "view.h"

enum { WIDTH_LEAST = 60, HEIGHT_LEAST = 6, HEAD = 2, KEY_MS = 100, ESCAPE = 27 };

/* ---- columns */

enum cell { CELL_PID, CELL_PROGRAM, CELL_NUMBER, CELL_RATE, CELL_BYTE_RATE, CELL_LEVEL };

struct heading {
	const char *title;
	enum cell cell;
	int width; /* left of it is one space */
	int at;	   /* which of rates or levels */
};

static const struct heading task_headings[] = {
	{ "PID", CELL_PID, 8, 0 },
	{ "PROGRAM", CELL_PROGRAM, -16, 0 },
	{ "TASK", CELL_NUMBER, 5, 0 },
	{ "SENT/s", CELL_RATE, 9, 0 },
	{ "RECV/s", CELL_RATE, 9, 1 },
	{ "OUT/s", CELL_BYTE_RATE, 7, 2 },
	{ "IN/s", CELL_BYTE_RATE, 7, 3 },
	{ "QUEUED", CELL_LEVEL, 7, 0 },
	{ "BLOCKED", CELL_LEVEL, 7, 1 },
	{ "PORTS", CELL_LEVEL, 7, 2 },
	{ 0 },
};

static const struct heading port_headings[] = {
	{ "PID", CELL_PID, 8, 0 },     { "PROGRAM", CELL_PROGRAM, -16, 0 }, { "NAME", CELL_NUMBER, 10, 0 },
	{ "MSGS/s", CELL_RATE, 9, 0 }, { "BYTES/s", CELL_BYTE_RATE, 8, 1 }, { "QUEUED", CELL_LEVEL, 7, 0 },
	{ "LIMIT", CELL_LEVEL, 6, 1 }, { "BLOCKED", CELL_LEVEL, 7, 2 },	    { 0 },
};

enum { FIRST_SORTED = 3 }; /* by what is fastest */

static double value_of(const struct line *line, const struct heading *h)
{
	switch (h->cell) {
	case CELL_PID:
		return line->pid;
	case CELL_NUMBER:
		return line->number;
	case CELL_RATE:
	case CELL_BYTE_RATE:
		return line->rates[h->at];
	case CELL_LEVEL:
		return (double)line->levels[h->at];
	default:
		return 0;
	}
}

/* ---- the state of the screen */

static struct screen {
	const struct heading *headings;
	int sorted;	  /* by which of them */
	bool is_reversed; /* least first */
	size_t scroll;	  /* lines that are above the screen */
	bool has_colours;
} screen;

static struct sampling {
	pthread_mutex_t mutex; /* guards the rest */
	pthread_cond_t wake;
	enum sample_kind kind; /* wanted */
	struct timespec pause;
	bool is_hurried;       /* the next is wanted at once */
	struct sample *latest; /* NULL: none yet */
	unsigned int n_taken;
} sampling = { .mutex = PTHREAD_MUTEX_INITIALIZER };

/* ---- taking samples */

static void wait_for_next(void)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += sampling.pause.tv_sec;
	until.tv_nsec += sampling.pause.tv_nsec;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	while (!sampling.is_hurried && pthread_cond_timedwait(&sampling.wake, &sampling.mutex, &until) == 0)
		;
	sampling.is_hurried = false;
}

/* Until the process ends. Only this thread changes the latest sample, so it may read it without the mutex. */
static void *take_samples(void *unused)
{
	struct sample *before, *s;
	enum sample_kind kind;

	pthread_mutex_lock(&sampling.mutex);
	for (;;) {
		kind = sampling.kind;
		before = sampling.latest;
		pthread_mutex_unlock(&sampling.mutex);
		s = sample_take(kind, before);
		pthread_mutex_lock(&sampling.mutex);
		sampling.latest = s;
		sampling.n_taken++;
		sample_free(before);
		wait_for_next();
	}
	return unused;
}

static void start_sampling(unsigned int pause_ms)
{
	pthread_condattr_t attributes;
	pthread_t thread;

	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&sampling.wake, &attributes);
	sampling.pause = (struct timespec){ pause_ms / 1000, (long)(pause_ms % 1000) * 1000000 };
	if (pthread_create(&thread, NULL, take_samples, NULL))
		fail(STATUS_FAILED, "no thread can be started");
	pthread_detach(thread);
}

static void hurry_locked(void)
{
	sampling.is_hurried = true;
	pthread_cond_signal(&sampling.wake);
}

/* ---- drawing */

static int compare_shown(const void *a, const void *b)
{
	const struct line *x = *(const struct line *const *)a, *y = *(const struct line *const *)b;
	const struct heading *h = &screen.headings[screen.sorted];
	double vx = value_of(x, h), vy = value_of(y, h);
	int order = h->cell == CELL_PROGRAM ? -strcmp(x->program, y->program) : vx < vy ? 1 : vx > vy ? -1 : 0;

	if (screen.is_reversed)
		order = -order;
	if (!order && x->node != y->node)
		return x->node < y->node ? -1 : 1;
	return order ? order : x->key < y->key ? -1 : x->key > y->key;
}

static void put_number(double value, int width)
{
	printw(" %*.*f", width, value > 0 && value < 10 && value != (double)(long)value ? 1 : 0, value);
}

static void put_bytes(double value, int width)
{
	char *text = text_of_bytes((uint64_t)value);

	printw(" %*s", width, text);
	free(text);
}

static void put_cell(const struct line *line, const struct heading *h)
{
	if (h->cell == CELL_PROGRAM)
		printw(" %-*.*s", -h->width, -h->width, line->program);
	else if (h->cell == CELL_BYTE_RATE)
		put_bytes(value_of(line, h), h->width);
	else
		put_number(value_of(line, h), h->width);
}

/* A full queue, or somebody who waits for one. */
static bool is_in_trouble(const struct line *line, enum sample_kind kind)
{
	return kind == SAMPLE_TASKS ? line->levels[1] > 0 : line->levels[0] >= line->levels[1] || line->levels[2] > 0;
}

static void put_line(const struct line *line, enum sample_kind kind)
{
	bool is_red = screen.has_colours && is_in_trouble(line, kind);

	if (is_red)
		attron(COLOR_PAIR(1));
	for (const struct heading *h = screen.headings; h->title; h++)
		put_cell(line, h);
	if (is_red)
		attroff(COLOR_PAIR(1));
	clrtoeol();
}

static void put_headings(void)
{
	move(1, 0);
	for (const struct heading *h = screen.headings; h->title; h++) {
		bool is_sorted = h == &screen.headings[screen.sorted];

		attrset(is_sorted ? A_REVERSE | A_BOLD : A_REVERSE);
		printw(" %*s", h->width, h->title);
	}
	for (int x = getcurx(stdscr), y = getcury(stdscr); y == 1 && x < COLS; x++)
		addch(' ');
	attrset(A_NORMAL);
}

static void put_status(const struct sample *s)
{
	mvprintw(0, 0, "portunus top: %zu %s", s->n, s->kind == SAMPLE_TASKS ? "tasks" : "ports");
	if (s->n_unread)
		printw(", %u processes cannot be seen", s->n_unread);
	printw("  t tasks  p ports  < > sort  r reverse  q quit");
	clrtoeol();
}

static void put_lines(const struct sample *s)
{
	size_t room = (size_t)(LINES - HEAD);
	const struct line **shown = must_alloc((s->n + 1) * sizeof *shown);

	for (size_t i = 0; i < s->n; i++)
		shown[i] = &s->lines[i];
	qsort(shown, s->n, sizeof *shown, compare_shown);
	if (screen.scroll + room > s->n)
		screen.scroll = s->n > room ? s->n - room : 0;
	for (size_t i = 0; i < room; i++) {
		move(HEAD + (int)i, 0);
		if (screen.scroll + i < s->n)
			put_line(shown[screen.scroll + i], s->kind);
		else
			clrtoeol();
	}
	free(shown);
}

static void draw_locked(void)
{
	const struct sample *s = sampling.latest;

	if (LINES < HEIGHT_LEAST || COLS < WIDTH_LEAST) {
		erase();
		mvaddnstr(0, 0, "too small for top:", COLS);
		mvprintw(LINES > 1 ? 1 : 0, 0, "%dx%d, not %dx%d", WIDTH_LEAST, HEIGHT_LEAST, COLS, LINES);
	} else if (!s || s->kind != sampling.kind) {
		mvprintw(0, 0, "portunus top: looking...");
		clrtobot();
	} else {
		put_status(s);
		put_headings();
		put_lines(s);
	}
	refresh();
}

/* ---- keys */

static void show_kind(enum sample_kind kind)
{
	if (sampling.kind == kind)
		return;
	sampling.kind = kind;
	screen.headings = kind == SAMPLE_TASKS ? task_headings : port_headings;
	screen.sorted = FIRST_SORTED;
	screen.scroll = 0;
	hurry_locked();
}

static void sort_by(int column)
{
	if (column >= 0 && screen.headings[column].title)
		screen.sorted = column;
}

static void scroll_by(int lines)
{
	if (lines < 0 && (size_t)-lines > screen.scroll)
		screen.scroll = 0;
	else
		screen.scroll += (size_t)lines; /* put_lines() knows the end */
}

/* False: the end. */
static bool handle_key(int key)
{
	switch (key) {
	case 'q':
	case ESCAPE:
		return false;
	case 't':
		show_kind(SAMPLE_TASKS);
		break;
	case 'p':
		show_kind(SAMPLE_PORTS);
		break;
	case '<':
	case KEY_LEFT:
		sort_by(screen.sorted - 1);
		break;
	case '>':
	case KEY_RIGHT:
		sort_by(screen.sorted + 1);
		break;
	case 'r':
		screen.is_reversed = !screen.is_reversed;
		break;
	case ' ':
		hurry_locked();
		break;
	case KEY_UP:
		scroll_by(-1);
		break;
	case KEY_DOWN:
		scroll_by(1);
		break;
	case KEY_PPAGE:
		scroll_by(HEAD - LINES);
		break;
	case KEY_NPAGE:
		scroll_by(LINES - HEAD);
		break;
	case KEY_HOME:
		screen.scroll = 0;
		break;
	default:
		break;
	}
	return true;
}

/* Draws when there is something new: a sample, or a key. */
static void work(void)
{
	unsigned int n_drawn = 0;
	bool goes_on = true;
	int key;

	while (goes_on) {
		key = getch();
		pthread_mutex_lock(&sampling.mutex);
		if (key != ERR)
			goes_on = handle_key(key);
		if (key != ERR || n_drawn != sampling.n_taken || n_drawn == 0)
			draw_locked();
		n_drawn = sampling.n_taken;
		pthread_mutex_unlock(&sampling.mutex);
	}
}

/* ---- the terminal */

static void screen_end(void)
{
	if (!isendwin())
		endwin();
}

static void screen_begin(void)
{
	const char *term = getenv("TERM");

	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
		fail(STATUS_FAILED, "top needs a terminal; \"portunus ps --json\" tells the same once, for a pipe");
	if (!newterm(NULL, stdout, stdin))
		fail(STATUS_FAILED, "no screen can be drawn on a terminal of type \"%s\"; set TERM", term ? term : "");
	command_before_fail(screen_end);
	cbreak();
	noecho();
	keypad(stdscr, TRUE);
	curs_set(0);
	timeout(KEY_MS);
	set_escdelay(KEY_MS);
	screen.has_colours = *colour_begin(COLOUR_RED) && has_colors();
	if (screen.has_colours) {
		start_color();
		use_default_colors();
		init_pair(1, COLOR_RED, -1);
	}
}

/* ---- the command */

struct arguments {
	unsigned int pause_ms;
	enum sample_kind kind;
};

static error_t parse(int key, char *value, struct argp_state *state)
{
	struct arguments *a = state->input;

	switch (key) {
	case 'd':
		a->pause_ms = milliseconds_of(value, "--delay");
		return 0;
	case 'p':
		a->kind = SAMPLE_PORTS;
		return 0;
	case ARGP_KEY_ARG:
		fail(STATUS_USAGE, "\"%s\": top takes no arguments; it shows all processes", value);
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_option options[] = {
	{ "delay", 'd', "SECONDS", 0, "Look so often (default 1)", 0 },
	{ "ports", 'p', NULL, 0, "Begin with ports instead of tasks", 0 },
	{ 0 },
};

static const struct argp argp = {
	.options = options,
	.parser = parse,
	.doc = "Show tasks or ports as they work: messages and bytes in a second, queues, senders that wait."
	       "\vKeys: t tasks, p ports, < and > the column to sort by, r the other way round, arrows and pages to scroll, space to "
	       "look now, q to end. What has a full queue, or threads that wait for one, is red.",
};

static int run(int argc, char **argv)
{
	struct arguments a = { .pause_ms = 1000, .kind = SAMPLE_TASKS };

	command_parse(&argp, argc, argv, 0, &a);
	service_need_broker();
	screen_begin();
	sampling.kind = a.kind;
	screen.headings = a.kind == SAMPLE_TASKS ? task_headings : port_headings;
	screen.sorted = FIRST_SORTED;
	start_sampling(a.pause_ms);
	work();
	screen_end();
	return STATUS_OK;
}

const struct command top_command = {
	.name = "top",
	.summary = "watch tasks and ports work",
	.argp = &argp,
	.operand = OPERAND_NONE,
	.run = run,
};
