/* SPDX-License-Identifier: MIT */
/* Interfaces as `portunus call` reads them, and the values of arguments that it puts into a request. An input is the text of a
 * .defs file as the preprocessor leaves it and, each after a byte 0, words: as many as are needed for the arguments of its routines.
 *
 * What the command says and ends with is its affair. But what is wrong ends it with a line, a routine is found by its id, and
 * of a value that has become an item of a message the item fits the type, and can be shown. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command/command.h"
#include "command/defs.h"
#include "command/scan.h"
#include "command/service.h"
#include "command/value.h"
#include "finding.h"
#include "input.h"

static const char *text;
static jmp_buf end_of_command;

/* ---- what a command ends by, and where its memory is from --------------------------------------------------------- */

/* Nothing frees what a command leaves to its end, so it is freed here: all that was allocated since, and is left. In builds
 * whose allocator tells. */
enum { N_SLOTS = 1 << 16 };
static const volatile void *slots[N_SLOTS];
static unsigned n_used;
static bool is_counting;

int __sanitizer_install_malloc_and_free_hooks(void (*allocated)(const volatile void *, size_t),
					      void (*freed)(const volatile void *)) __attribute__((weak));

static unsigned slot_of(const volatile void *memory)
{
	unsigned at = (unsigned)((uintptr_t)memory >> 4) % N_SLOTS;

	while (slots[at] && slots[at] != memory)
		at = (at + 1) % N_SLOTS;
	return at;
}

static void note_allocated(const volatile void *memory, size_t size)
{
	(void)size;
	if (!is_counting || !memory || n_used == N_SLOTS / 2)
		return;
	n_used++;
	slots[slot_of(memory)] = memory;
}

/* The others in its row move up. */
static void note_freed(const volatile void *memory)
{
	unsigned at;

	if (!is_counting || !memory || !slots[at = slot_of(memory)])
		return;
	n_used--;
	slots[at] = NULL;
	for (at = (at + 1) % N_SLOTS; slots[at]; at = (at + 1) % N_SLOTS) {
		const volatile void *other = slots[at];

		slots[at] = NULL;
		slots[slot_of(other)] = other;
	}
}

static void free_all(void)
{
	is_counting = false;
	for (unsigned i = 0; n_used && i < N_SLOTS; i++) {
		if (!slots[i])
			continue;
		free((void *)slots[i]);
		slots[i] = NULL;
		n_used--;
	}
}

void fail(enum status status, const char *format, ...)
{
	char line[4096];
	va_list arguments;

	va_start(arguments, format);
	check(vsnprintf(line, sizeof line, format, arguments) > 0 && status != STATUS_OK);
	va_end(arguments);
	longjmp(end_of_command, 1);
}

void fail_result(kern_return_t result, const char *what)
{
	fail(STATUS_FAILED, "%s: %d", what, result);
}

/* As if there were not more memory than this. */
static void *checked(size_t n, size_t size, void *memory)
{
	enum { MEMORY_MAX = 1 << 24 };
	size_t bytes;

	if (__builtin_mul_overflow(n, size, &bytes) || bytes > MEMORY_MAX)
		fail(STATUS_FAILED, "out of memory");
	memory = realloc(memory, bytes ? bytes : 1);
	check(memory);
	return memory;
}

void *must_alloc(size_t size)
{
	return memset(checked(1, size, NULL), 0, size);
}

void *must_grow(void *memory, size_t n, size_t size)
{
	return checked(n, size, memory);
}

char *must_print(const char *format, ...)
{
	va_list arguments;
	char *line;

	va_start(arguments, format);
	check(vasprintf(&line, format, arguments) >= 0);
	va_end(arguments);
	return line;
}

unsigned long number_of(const char *number, const char *what, unsigned long least, unsigned long most)
{
	unsigned long n = strtoul(number, NULL, 10);

	if (n < least || n > most)
		fail(STATUS_USAGE, "%s", what);
	return n;
}

mach_port_t service_look_up(const char *name)
{
	fail(STATUS_NOT_THERE, "%s", name);
}

/* ---- the text ----------------------------------------------------------------------------------------------------- */

void __wrap_scan_init(struct scan *s, const char *file, const struct defs_flags *flags);

/* In the place of the preprocessor. */
void __wrap_scan_init(struct scan *s, const char *file, const struct defs_flags *flags)
{
	(void)flags;
	*s = (struct scan){ .text = must_print("%s", text), .file = (char *)file, .line = 1, .word = (char *)"" };
	s->at = s->text;
	scan_next(s);
}

static mach_port_t no_result(const char *name)
{
	(void)name;
	return MACH_PORT_NULL;
}

/* Files and descriptors are the host's. */
static bool is_of_the_host(const char *word)
{
	return (word[0] == '@' && word[1] != '@') || strstr(word, "fd:");
}

static void check_item(const struct type *t, const struct draft *d)
{
	struct body body;
	struct item item;
	json_object *shown;
	char *line;

	body_init(&body, (const mach_msg_header_t *)(const void *)d->bytes, d->size);
	check(body_next(&body, &item) == BODY_ITEM);
	if (type_is_right(t))
		return; /* is another when it has been sent */
	if (t->sent == t->received)
		check(value_fits(t, &item));
	if (!value_fits(t, &item))
		return;
	shown = value_show(t, &item);
	line = value_text(t, shown);
	check(line);
	free(line);
	json_object_put(shown);
}

static void use_argument(const struct argument *a, const char *word)
{
	struct draft d;
	struct value v;
	char *line = type_text(a->type);

	check(line && line[0]);
	if (!argument_is_sent(a) || is_of_the_host(word))
		return;
	v = value_read(a->type, word, a->name, no_result);
	draft_init(&d, 1);
	value_add(&d, a->type, &v);
	check_item(a->type, &d);
	draft_deinit(&d);
}

/* A value that does not fit ends that command, and the next one has another. */
static void try_argument(const struct argument *a, const char *word)
{
	if (setjmp(end_of_command) == 0)
		use_argument(a, word);
}

static const char *next_word(struct input *words)
{
	const char *word = (const char *)words->data;
	size_t n;

	if (!words->left)
		return "1";
	n = strlen(word) + 1;
	words->data += n;
	words->left -= n;
	return word;
}

static void use_all(const struct interface *i, struct input *words)
{
	for (unsigned n = 0; n < i->n_routines; n++) {
		const struct routine *r = &i->routines[n];
		bool is_reply;

		check(defs_find(i, r->name) && defs_find_id(i, r->id, &is_reply));
		for (unsigned at = 0; at < r->n_arguments; at++)
			try_argument(&r->arguments[at], next_word(words));
	}
}

static const struct interface *read_interface(void)
{
	static const struct defs_flags none;

	return setjmp(end_of_command) == 0 ? defs_read("input", &none) : NULL;
}

static void run(struct input *words)
{
	const struct interface *i = read_interface();

	if (i)
		use_all(i, words);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool is_hooked;
	char *copy = malloc(size + 1);
	struct input words;

	if (!is_hooked && __sanitizer_install_malloc_and_free_hooks)
		(void)__sanitizer_install_malloc_and_free_hooks(note_allocated, note_freed);
	is_hooked = true;
	check(copy);
	memcpy(copy, data, size);
	copy[size] = 0;
	text = copy;
	words = (struct input){ (const uint8_t *)copy, size + 1 };
	(void)next_word(&words);
	is_counting = true;
	run(&words);
	free_all();
	free(copy);
	return 0;
}
