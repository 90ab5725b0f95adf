/* SPDX-License-Identifier: MIT */
/* A fresh process that asks for a service by its name. */
#ifndef BENCH_LOOKUP_H
#define BENCH_LOOKUP_H

#include "peer.h"

struct names {
	const char *role; /* of the process that asks; it answers with the seconds that it took since its main() */
	void *(*open)(void);
	void (*close)(void *context);
};

/* The three functions of a side; its argument is a struct names. */
void *lookup_open(const void *names);
double lookup_run(void *lookup, uint64_t n);
void lookup_close(void *lookup);

/* The service's name: the worker offers it, the process that asks is its child. */
enum { LOOKUP_NAME_SIZE = 80 };
void lookup_name(pid_t worker, char name[LOOKUP_NAME_SIZE]);

/* The process that asks has what it asked for. */
void lookup_report(void);

extern const struct names socket_names; /* lookup.c */
extern const struct names port_names;	/* ports-names.c */
void port_names_ask(void);

#define LOOKUP_SIDE(text, which) \
	{ \
		.what = text, .open = lookup_open, .run = lookup_run, .close = lookup_close, .arg = &which \
	}

#endif
