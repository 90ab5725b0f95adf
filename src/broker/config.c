/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <servers/bootstrap_defs.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static char fault[128];

/* ---- what can be set */

struct setting {
	const char *key;
	const char *(*set)(struct config *c, const struct setting *s, const char *value);
	size_t offset; /* of the number in struct config */
	unsigned int least, most;
};

static bool parse_number(const char *text, int base, unsigned int *number)
{
	unsigned long n;
	char *end;

	if (!isdigit((unsigned char)text[0]))
		return false;
	errno = 0;
	n = strtoul(text, &end, base);
	if (errno || *end || n > UINT_MAX)
		return false;
	*number = (unsigned int)n;
	return true;
}

static const char *set_number(struct config *c, const struct setting *s, const char *value)
{
	unsigned int number;

	if (!parse_number(value, 10, &number) || number < s->least || number > s->most) {
		snprintf(fault, sizeof fault, "must be a number from %u to %u", s->least, s->most);
		return fault;
	}
	*(unsigned int *)((char *)c + s->offset) = number;
	return NULL;
}

/* The owner can always connect, or nobody could see what is wrong. */
static const char *set_mode(struct config *c, const struct setting *s, const char *value)
{
	unsigned int mode;

	(void)s;
	if (!parse_number(value, 8, &mode) || mode > 0777 || (mode & 0600) != 0600)
		return "must be an octal mode such as 0660 that lets the owner read and write";
	c->mode = mode;
	return NULL;
}

static const char *set_socket(struct config *c, const struct setting *s, const char *value)
{
	(void)s;
	if (value[0] != '/' || value[strlen(value) - 1] == '/')
		return "must be an absolute path of a file";
	if (strlen(value) >= sizeof c->socket) {
		snprintf(fault, sizeof fault, "must be shorter than %zu bytes", sizeof c->socket);
		return fault;
	}
	strcpy(c->socket, value);
	c->is_default = false;
	return NULL;
}

static const char *add_service(struct config *c, const struct setting *s, const char *value)
{
	char **services;

	(void)s;
	if (strlen(value) >= BOOTSTRAP_MAX_NAME_LEN)
		return "must be shorter than 128 bytes";
	for (unsigned int i = 0; i < c->n_services; i++)
		if (strcmp(c->services[i], value) == 0)
			return "is declared twice";
	services = reallocarray(c->services, c->n_services + 1, sizeof *services);
	if (services)
		c->services = services;
	if (!services || !(services[c->n_services] = strdup(value)))
		return strerror(ENOMEM);
	c->n_services++;
	return NULL;
}

#define NUMBER(key, field, least, most) \
	{ \
		key, set_number, offsetof(struct config, field), least, most \
	}
#define OTHER(key, set) \
	{ \
		key, set, 0, 0, 0 \
	}

static const struct setting settings[] = {
	OTHER("socket", set_socket),
	OTHER("mode", set_mode),
	NUMBER("idle-exit", idle_exit, 0, 1000000),
	NUMBER("max-nodes", limits.max_nodes, 1, 65536),
	NUMBER("max-links", limits.max_links, 1, 65536),
	NUMBER("max-exports", limits.max_exports, 1, 16777216),
	NUMBER("max-names", max_names, 1,
	       16384), /* a name has 65535 references at most, and a port may be in every entry */
	OTHER("service", add_service),
};

const char *config_set(struct config *c, const char *key, const char *value)
{
	for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++)
		if (strcmp(settings[i].key, key) == 0)
			return value[0] ? settings[i].set(c, &settings[i], value) : "has no value";
	return "is nothing that can be set";
}

/* ---- the whole */

void config_init(struct config *c)
{
	*c = (struct config){
		.is_default = true,
		.mode = 0600,
		.max_names = 4096,
		.limits = { .max_nodes = 4096, .max_links = 1024, .max_exports = 1048576 },
	};
}

void config_deinit(struct config *c)
{
	for (unsigned int i = 0; i < c->n_services; i++)
		free(c->services[i]);
	free(c->services);
}

bool config_choose_socket(struct config *c)
{
	return c->socket[0] || broker_path(c->socket, &c->is_default);
}

/* ---- a file */

/* Without the blanks around it; in place. */
static char *trim(char *text)
{
	char *end;

	text += strspn(text, " \t\r\n");
	end = text + strlen(text);
	while (end > text && strchr(" \t\r\n", end[-1]))
		end--;
	*end = 0;
	return text;
}

static void cut_comment(char *line)
{
	for (char *at = line; *at; at++)
		if (*at == '#' && (at == line || isblank((unsigned char)at[-1]))) {
			*at = 0;
			return;
		}
}

static bool read_line(struct config *c, char *line, const char *name, unsigned int number, FILE *errors)
{
	const char *key, *what;
	char *equals;

	cut_comment(line);
	line = trim(line);
	if (!line[0])
		return true;
	equals = strchr(line, '=');
	if (!equals) {
		fprintf(errors, "%s:%u: \"%s\" is no line of the form key = value\n", name, number, line);
		return false;
	}
	*equals = 0;
	key = trim(line);
	what = config_set(c, key, trim(equals + 1));
	if (what)
		fprintf(errors, "%s:%u: %s %s\n", name, number, key[0] ? key : "\"\"", what);
	return !what;
}

bool config_read(struct config *c, FILE *file, const char *name, FILE *errors)
{
	unsigned int number = 0;
	char *line = NULL;
	size_t room = 0;
	bool ok = true;
	ssize_t n;

	while ((n = getline(&line, &room, file)) >= 0) {
		number++;
		if (strlen(line) != (size_t)n) {
			fprintf(errors, "%s:%u: this is no text\n", name, number);
			ok = false;
		} else if (!read_line(c, line, name, number, errors)) {
			ok = false;
		}
	}
	if (ferror(file)) {
		fprintf(errors, "%s: %s\n", name, strerror(errno));
		ok = false;
	}
	free(line);
	return ok;
}
