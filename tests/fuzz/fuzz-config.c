/* SPDX-License-Identifier: MIT */
/* The broker's file of settings. Whatever is in it, what was set is within its bounds, each fault is one line that says where,
 * and a second reading says the same. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "finding.h"
#include "input.h"

static FILE *open_bytes(const uint8_t *data, size_t size)
{
	FILE *file = size ? fmemopen((void *)data, size, "r") : fopen("/dev/null", "re");

	check(file);
	return file;
}

/* Returns what it says of faults. */
static char *read_config(struct config *c, const uint8_t *data, size_t size, bool *ok)
{
	FILE *file = open_bytes(data, size), *errors;
	char *text = NULL;
	size_t n;

	errors = open_memstream(&text, &n);
	check(errors);
	config_init(c);
	*ok = config_read(c, file, "file", errors);
	fclose(file);
	fclose(errors);
	return text;
}

static void check_bounds(const struct config *c)
{
	check(!c->socket[0] || (c->socket[0] == '/' && memchr(c->socket, 0, sizeof c->socket)));
	check(c->is_default == !c->socket[0]);
	check((c->mode & 0600) == 0600 && c->mode <= 0777);
	check(c->idle_exit <= 1000000 && c->max_names >= 1 && c->max_names <= 16384);
	check(c->limits.max_nodes >= 1 && c->limits.max_nodes <= 65536);
	check(c->limits.max_links >= 1 && c->limits.max_links <= 65536);
	check(c->limits.max_exports >= 1 && c->limits.max_exports <= 16777216);
	for (unsigned i = 0; i < c->n_services; i++)
		check(c->services[i][0] && strlen(c->services[i]) < 128);
}

/* No fault, no line. What a line of the file has of other characters is in quotes as it is. */
static void check_errors(const char *errors, bool ok)
{
	unsigned number;
	int end = 0;

	check(ok == (errors[0] == 0));
	if (!ok)
		check(sscanf(errors, "file:%u: %n", &number, &end) == 1 && end > 0 &&
		      errors[strlen(errors) - 1] == '\n');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config first, second;
	char *errors, *again;
	bool ok, ok_again;

	errors = read_config(&first, data, size, &ok);
	again = read_config(&second, data, size, &ok_again);
	check_bounds(&first);
	check_errors(errors, ok);
	check(ok == ok_again && strcmp(errors, again) == 0 && first.n_services == second.n_services);
	config_deinit(&first);
	config_deinit(&second);
	free(errors);
	free(again);
	return 0;
}
