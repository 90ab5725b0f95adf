/* SPDX-License-Identifier: MIT */
/* Compares what a program prints with what the real kernel printed, line by line.
 *
 *   oracle probe DIFFERENCES EXPECTED PROGRAM     one probe program; EXPECTED is probes/NN-topic.expected
 *   oracle rand DIFFERENCES PROGRAM TRACE...      one random program; each TRACE is rand/pP-SEED.txt
 *   oracle count DIFFERENCES EXPECTED...          how many probes there are and how many are listed: at most 2 %
 *
 * DIFFERENCES says where Portunus differs on purpose (the format is described there). A line that differs and is not
 * listed fails, and so does a listed one that agrees with the kernel again: the list stays true. Trailing blanks do not
 * matter. Of a probe program only PROBE and section lines count. Exit status: 0 agreed, 1 differed, 2 could not compare.
 */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define SHOWN	40  /* mismatches printed per program */
#define SECONDS 300 /* a program that runs longer hangs */

/* ---- lines of text, without trailing blanks */

struct lines {
	char **at;
	size_t n;
};

static _Noreturn void give_up(const char *what, const char *which)
{
	fprintf(stderr, "oracle: %s: %s: %s\n", which, what, strerror(errno));
	exit(2);
}

static void lines_add(struct lines *l, char *text)
{
	char **at = realloc(l->at, (l->n + 1) * sizeof(*at));

	if (!at)
		give_up("memory", "lines");
	l->at = at;
	l->at[l->n++] = text;
}

static struct lines lines_read(FILE *f)
{
	struct lines l = { NULL, 0 };
	char *text = NULL;
	size_t size = 0;
	ssize_t n;

	while ((n = getline(&text, &size, f)) >= 0) {
		while (n > 0 && strchr(" \t\r\n", text[n - 1]))
			text[--n] = '\0';
		lines_add(&l, text);
		text = NULL;
		size = 0;
	}
	free(text);
	return l;
}

static struct lines lines_of_file(const char *path)
{
	FILE *f = fopen(path, "r");
	struct lines l;

	if (!f)
		give_up("cannot be read", path);
	l = lines_read(f);
	fclose(f);
	return l;
}

static void lines_free(struct lines *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->at[i]);
	free(l->at);
}

static bool is_probe(const char *line)
{
	return strncmp(line, "PROBE ", 6) == 0;
}

/* only the lines that were recorded; the others are shown, they may explain something */
static void lines_keep_recorded(struct lines *l)
{
	size_t n = 0;

	for (size_t i = 0; i < l->n; i++) {
		if (is_probe(l->at[i]) || strncmp(l->at[i], "# ---- section ", 15) == 0) {
			l->at[n++] = l->at[i];
		} else {
			if (strncmp(l->at[i], "# total", 7) != 0)
				printf("note: %s\n", l->at[i]);
			free(l->at[i]);
		}
	}
	l->n = n;
}

/* how many characters of a line say which answer it is; the rest is the answer */
static size_t key_length(const char *line)
{
	const char *equals = is_probe(line) ? strstr(line, " = ") : NULL;

	if (is_probe(line) && !equals && strlen(line) > 2 && strcmp(line + strlen(line) - 2, " =") == 0)
		return strlen(line) - 2; /* an empty answer, its blank trimmed */
	return equals ? (size_t)(equals - line) : strlen(line);
}

static bool same_key(const char *a, const char *b)
{
	size_t n = key_length(a);

	return n == key_length(b) && strncmp(a, b, n) == 0;
}

/* ---- the list of differences */

struct difference {
	char *file; /* "05-queue", "p2-7" */
	char *line; /* the line as Portunus prints it, or "from N" */
	bool met;
};

static struct difference *differences;
static size_t n_differences;

static void difference_add(const char *file, const char *text)
{
	struct difference *d = realloc(differences, (n_differences + 1) * sizeof(*d));
	bool whole = strncmp(text, "from ", 5) == 0;

	if (!d)
		give_up("memory", "differences");
	differences = d;
	d += n_differences++;
	d->file = strdup(file);
	d->met = false;
	if (!d->file || asprintf(&d->line, "%s%s", whole ? "" : "PROBE ", text) < 0)
		give_up("memory", "differences");
}

static void differences_read(const char *path)
{
	struct lines l = lines_of_file(path);
	char *file = NULL;

	for (size_t i = 0; i < l.n; i++) {
		char *colon = strchr(l.at[i], ':');

		if (l.at[i][0] == '\0' || l.at[i][0] == '#')
			continue;
		if (l.at[i][0] == '\t' && file) {
			difference_add(file, l.at[i] + 1);
		} else if (l.at[i][0] != '\t' && colon && colon[1] == ' ') {
			*colon = '\0';
			file = l.at[i];
		} else {
			fprintf(stderr, "oracle: %s:%zu: neither \"file: reason\" nor an answer\n", path, i + 1);
			exit(2);
		}
	}
	lines_free(&l);
}

static struct difference *difference_find(const char *file, const char *line)
{
	for (size_t i = 0; i < n_differences; i++)
		if (strcmp(differences[i].file, file) == 0 && same_key(differences[i].line, line))
			return &differences[i];
	return NULL;
}

/* the operation from which on a random trace is known to differ, -1 if it is not */
static long difference_from(const char *file)
{
	for (size_t i = 0; i < n_differences; i++) {
		if (strcmp(differences[i].file, file) == 0 && strncmp(differences[i].line, "from ", 5) == 0) {
			differences[i].met = true; /* the caller checks that it is true */
			return atol(differences[i].line + 5);
		}
	}
	return -1;
}

/* ---- running a program */

static struct lines run(char *const argv[])
{
	struct lines l;
	int fd[2], status;
	pid_t pid;
	FILE *f;

	fflush(stdout);
	if (pipe(fd) || (pid = fork()) < 0)
		give_up("cannot be started", argv[0]);
	if (pid == 0) {
		dup2(fd[1], STDOUT_FILENO);
		close(fd[0]);
		close(fd[1]);
		alarm(SECONDS); /* survives exec, and ends a program that hangs */
		execv(argv[0], argv);
		perror(argv[0]);
		_exit(127);
	}
	close(fd[1]);
	f = fdopen(fd[0], "r");
	if (!f)
		give_up("cannot be read", argv[0]);
	l = lines_read(f);
	fclose(f);
	if (waitpid(pid, &status, 0) == pid && status != 0) {
		if (WIFSIGNALED(status))
			printf("FAIL %s: killed by signal %d\n", argv[0], WTERMSIG(status));
		else
			printf("FAIL %s: exit status %d\n", argv[0], WEXITSTATUS(status));
		lines_add(&l, strdup("PROBE the program failed = "));
	}
	return l;
}

/* ---- comparing */

struct tally {
	const char *file;
	size_t n_probes, n_listed, n_bad;
};

static void mismatch(struct tally *t, const char *why, const char *expected, const char *got)
{
	if (t->n_bad++ >= SHOWN)
		return;
	printf("%s: %s\n", t->file, why);
	if (expected)
		printf("\texpected  %s\n", expected);
	if (got)
		printf("\tgot       %s\n", got);
}

static void compare_answer(struct tally *t, const char *expected, const char *got)
{
	struct difference *d = difference_find(t->file, expected);

	if (strcmp(expected, got) == 0)
		return; /* a listed one that agrees is found by report() */
	if (!d) {
		mismatch(t, "differs", expected, got);
	} else if (strcmp(d->line, got) != 0) {
		mismatch(t, "differs from what differences.txt lists", d->line, got);
		d->met = true;
	} else {
		d->met = true;
		t->n_listed++;
	}
}

static void compare_probes(struct tally *t, const struct lines *expected, const struct lines *got)
{
	size_t j = 0;

	for (size_t i = 0; i < expected->n; i++) {
		size_t k = j;

		t->n_probes += is_probe(expected->at[i]);
		while (k < got->n && !same_key(expected->at[i], got->at[k]))
			k++;
		if (k == got->n) {
			mismatch(t, "missing", expected->at[i], NULL);
			continue;
		}
		for (; j < k; j++)
			mismatch(t, "not in the kernel's answers", NULL, got->at[j]);
		compare_answer(t, expected->at[i], got->at[j++]);
	}
	for (; j < got->n; j++)
		mismatch(t, "not in the kernel's answers", NULL, got->at[j]);
}

static void compare_trace(struct tally *t, const struct lines *expected, const struct lines *got)
{
	long from = difference_from(t->file);

	for (size_t i = 0; i < expected->n; i++) {
		const char *line = i < got->n ? got->at[i] : NULL;
		bool same = line && strcmp(expected->at[i], line) == 0;

		t->n_probes++;
		if ((long)i == from) {
			if (same)
				mismatch(t, "agrees, though differences.txt says it does not", expected->at[i], NULL);
			t->n_listed++;
			return;
		}
		if (!same) {
			mismatch(t, line ? "differs" : "missing", expected->at[i], line);
			return; /* from here on, other states are drawn from */
		}
	}
	if (got->n > expected->n)
		mismatch(t, "more lines than the kernel gave", NULL, got->at[expected->n]);
}

static bool report(struct tally *t)
{
	for (size_t i = 0; i < n_differences; i++)
		if (strcmp(differences[i].file, t->file) == 0 && !differences[i].met)
			mismatch(t, "listed as a difference, but none", differences[i].line, NULL);
	if (t->n_bad > SHOWN)
		printf("... and %zu more\n", t->n_bad - SHOWN);
	printf("%s %s: %zu lines, %zu listed as different, %zu wrong\n", t->n_bad ? "FAIL" : "ok", t->file, t->n_probes,
	       t->n_listed, t->n_bad);
	return t->n_bad == 0;
}

/* "probes/05-queue.expected" -> "05-queue" */
static char *stem(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *name = strdup(slash ? slash + 1 : path);
	char *dot;

	if (!name)
		give_up("memory", path);
	dot = strrchr(name, '.');
	if (dot)
		*dot = '\0';
	return name;
}

static bool judge_probe(const char *expected_path, char *program)
{
	struct lines expected = lines_of_file(expected_path);
	struct lines got = run((char *[]){ program, NULL });
	char *file = stem(expected_path);
	struct tally t = { file, 0, 0, 0 };
	bool good;

	lines_keep_recorded(&got);
	compare_probes(&t, &expected, &got);
	good = report(&t);
	lines_free(&expected);
	lines_free(&got);
	free(file);
	return good;
}

static bool judge_trace(char *program, const char *trace)
{
	char *file = stem(trace), *dash = strchr(file, '-');
	struct lines expected = lines_of_file(trace), got;
	struct tally t = { file, 0, 0, 0 };
	bool good;

	if (!dash) {
		errno = EINVAL;
		give_up("is not called pP-SEED.txt", trace);
	}
	got = run((char *[]){ program, dash + 1, NULL });
	compare_trace(&t, &expected, &got);
	good = report(&t);
	lines_free(&expected);
	lines_free(&got);
	free(file);
	return good;
}

static bool count(char *const expected[], int n)
{
	size_t n_probes = 0, n_listed = 0;

	for (int i = 0; i < n; i++) {
		struct lines l = lines_of_file(expected[i]);
		char *file = stem(expected[i]);

		for (size_t k = 0; k < l.n; k++)
			n_probes += is_probe(l.at[k]);
		for (size_t k = 0; k < n_differences; k++)
			n_listed += strcmp(differences[k].file, file) == 0;
		lines_free(&l);
		free(file);
	}
	printf("%zu probes, %zu listed as different: %.2f %%, and 2 %% is the limit\n", n_probes, n_listed,
	       n_probes ? 100.0 * (double)n_listed / (double)n_probes : 0.0);
	return n_listed * 50 <= n_probes;
}

int main(int argc, char **argv)
{
	bool good = true;

	if (argc < 4) {
		fprintf(stderr, "usage: oracle probe|rand|count DIFFERENCES ...\n");
		return 2;
	}
	differences_read(argv[2]);
	if (strcmp(argv[1], "probe") == 0 && argc == 5)
		return judge_probe(argv[3], argv[4]) ? 0 : 1;
	if (strcmp(argv[1], "count") == 0)
		return count(argv + 3, argc - 3) ? 0 : 1;
	if (strcmp(argv[1], "rand") != 0)
		return 2;
	for (int i = 4; i < argc; i++)
		good &= judge_trace(argv[3], argv[i]);
	return good ? 0 : 1;
}
