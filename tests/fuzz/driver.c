/* SPDX-License-Identifier: MIT */
/* Runs a fuzzer's inputs without a fuzzer:
 *
 *   fuzz-NAME PATH...                each file, and each file of a directory, in the order of their names
 *   fuzz-NAME --random SECONDS [SEED]   random bytes
 *
 * The last line says how many there were. A finding aborts, after a line that names the input. */
#include <dirent.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "input.h"

static unsigned long n_inputs;
static char running[4096];

static void name_input(int sig)
{
	signal(sig, SIG_DFL);
	dprintf(2, "while running %s\n", running);
	raise(sig);
}

/* A copy that ends where the input ends, so that the address sanitizer sees who reads beyond it. */
static void run(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size ? size : 1);

	if (!copy)
		abort();
	if (size)
		memcpy(copy, data, size);
	LLVMFuzzerTestOneInput(copy, size);
	free(copy);
	n_inputs++;
}

static void run_file(const char *path)
{
	static uint8_t data[1 << 20];
	FILE *file = fopen(path, "re");

	if (!file) {
		perror(path);
		exit(2);
	}
	snprintf(running, sizeof running, "%s", path);
	run(data, fread(data, 1, sizeof data, file));
	fclose(file);
}

static int is_visible(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static void run_path(const char *path)
{
	struct dirent **entries;
	struct stat st;
	int n;

	if (stat(path, &st) == 0 && !S_ISDIR(st.st_mode)) {
		run_file(path);
		return;
	}
	n = scandir(path, &entries, is_visible, alphasort);
	if (n < 0) {
		perror(path);
		exit(2);
	}
	for (int i = 0; i < n; i++) {
		char file[4096];

		snprintf(file, sizeof file, "%s/%s", path, entries[i]->d_name);
		run_path(file);
		free(entries[i]);
	}
	free(entries);
}

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state * 0x2545f4914f6cdd1du >> 32;
}

static void run_random(double seconds, uint64_t seed)
{
	struct timespec start, now;
	uint8_t data[1024];

	printf("%.0f seconds, seed %llu\n", seconds, (unsigned long long)seed);
	fflush(stdout);
	clock_gettime(CLOCK_MONOTONIC, &start);
	do {
		uint64_t state = (seed + n_inputs) * 0x9e3779b97f4a7c15u | 1;
		size_t size = next_random(&state) % sizeof data;

		for (size_t i = 0; i < size; i++)
			data[i] = (uint8_t)next_random(&state);
		snprintf(running, sizeof running, "--random with seed %llu", (unsigned long long)(seed + n_inputs));
		run(data, size);
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while ((double)(now.tv_sec - start.tv_sec) + (double)(now.tv_nsec - start.tv_nsec) / 1e9 < seconds);
}

int main(int argc, char **argv)
{
	signal(SIGABRT, name_input);
	if (argc > 2 && strcmp(argv[1], "--random") == 0)
		run_random(atof(argv[2]), argc > 3 ? strtoull(argv[3], NULL, 0) : (uint64_t)time(NULL));
	else
		for (int i = 1; i < argc; i++)
			run_path(argv[i]);
	printf("%lu inputs, no finding\n", n_inputs);
	return 0;
}
