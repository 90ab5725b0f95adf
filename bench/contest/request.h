/* SPDX-License-Identifier: MIT */
/* What every contestant carries: a payload that begins with a struct request, the same bytes for all. Whatever a contestant
 * needs around it (a Mach header, a length, a topic) is its own affair and comes on top.
 *
 * What is in a request and what the answer to it must be is decided here, so no contestant can do less than another. */
#ifndef BENCH_REQUEST_H
#define BENCH_REQUEST_H

#include "../bench.h"

#include <string.h>

enum request_kind {
	REQUEST_ECHO,  /* the answer is as long as the request */
	REQUEST_TAKE,  /* a word of every page is read; the answer is short */
	REQUEST_PASS,  /* the answer is short and brings an object, always the same one */
	REQUEST_MAKE,  /* the answer is short and brings an object made for it */
	REQUEST_POST,  /* no answer */
	REQUEST_LEAVE, /* the client does no more in this turn; the answer is short */
};

enum { REQUEST_SIZE_MIN = 64 }; /* of any payload; a short answer has this size */

struct request {
	uint32_t kind;
	uint32_t client; /* which one: for those who share a way in */
	uint64_t number; /* the answer has the next one */
	uint64_t size;	 /* of the whole payload, for ways that keep no boundaries */
};

/* What a server knows of its turn. */
struct service {
	unsigned n_clients; /* that have not left */
	uint64_t posted;    /* requests that want no answer */
};

/* What to do now. */
enum reaction {
	REACT_ANSWER,
	REACT_PASS, /* answer, and the object that is always there */
	REACT_MAKE, /* answer, and a new object */
	REACT_NOT,
};

/* A word of every page, after the request itself. */
static inline bool payload_is_good(const char *data, size_t size, uint64_t number)
{
	enum { PAGE = 4096 };
	const uint64_t expected = UINT64_C(0x0101010101010101) * (number & 0xff);
	uint64_t wrong = 0, word;

	for (size_t at = sizeof(struct request); at + sizeof word <= size; at += PAGE) {
		memcpy(&word, data + at, sizeof word);
		wrong |= word ^ expected;
	}
	return wrong == 0;
}

/* What the server does with a request that came; *answer is how long the answer has to be. */
static inline enum reaction service_react(struct service *s, const char *data, size_t size, size_t *answer)
{
	struct request r;

	memcpy(&r, data, sizeof r);
	need(r.size == size);
	*answer = REQUEST_SIZE_MIN;
	switch (r.kind) {
	case REQUEST_ECHO:
		*answer = size;
		return REACT_ANSWER;
	case REQUEST_TAKE:
		need(payload_is_good(data, size, r.number));
		return REACT_ANSWER;
	case REQUEST_PASS:
		return REACT_PASS;
	case REQUEST_MAKE:
		return REACT_MAKE;
	case REQUEST_POST:
		need(r.number == s->posted++);
		return REACT_NOT;
	case REQUEST_LEAVE:
		need(s->n_clients > 0);
		s->n_clients--;
		return REACT_ANSWER;
	default:
		fail("a request", __FILE__, __LINE__, "no such kind");
	}
}

/* Turns a request into its answer, in place. */
static inline void answer_finish(char *data, size_t answer)
{
	struct request r;

	memcpy(&r, data, sizeof r);
	r.number++;
	r.size = answer;
	memcpy(data, &r, sizeof r);
}

/* The same elsewhere. */
static inline void answer_write(char *to, const char *request, size_t answer)
{
	memcpy(to, request, answer);
	answer_finish(to, answer);
}

static inline uint32_t request_client(const char *data)
{
	struct request r;

	memcpy(&r, data, sizeof r);
	return r.client;
}

static inline uint64_t request_size(const char *data)
{
	struct request r;

	memcpy(&r, data, sizeof r);
	return r.size;
}

#endif
