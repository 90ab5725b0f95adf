/* SPDX-License-Identifier: MIT */
/* The probes in the library (platform/probe.h) are where docs/introspection.md says, and their arguments what it says.
 *
 * What perf or bpftrace does is done here by hand, so that it needs no privilege: the notes of this program are read, the nop of
 * each probe is replaced by an instruction that is not allowed, and whoever comes by there is noted, with the arguments, and goes on. */
#include "family.h"

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <ucontext.h>
#include <unistd.h>

enum { NOP = 0x90, HLT = 0xf4 };
enum { NOTE_STAPSDT = 3, PROBES_MAX = 64, PLACES_MAX = 4, ARGUMENTS_MAX = 4, HITS_MAX = 4096 };

struct probe {
	const char *name, *arguments;
	unsigned char *at;
};

struct hit {
	const struct probe *probe;
	uint64_t arguments[ARGUMENTS_MAX];
};

static struct probe probes[PROBES_MAX];
static unsigned n_probes;
static struct hit hits[HITS_MAX];
static atomic_uint n_hits;
static struct sigaction before;

/* ---- the notes */

static const void *own_file(void)
{
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	struct stat status;
	void *file;

	assert_true(fd >= 0 && fstat(fd, &status) == 0);
	file = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	assert_true(file != MAP_FAILED);
	close(fd);
	return file;
}

static int note_load_address(struct dl_phdr_info *info, size_t size, void *address)
{
	(void)size;
	*(uintptr_t *)address = info->dlpi_addr;
	return 1; /* the first is the program */
}

static void read_note(const Elf64_Nhdr *note, uintptr_t load)
{
	const char *data = (const char *)(note + 1) + 8, *provider, *name; /* "stapsdt" has 8 bytes */
	uint64_t address;

	if (note->n_type != NOTE_STAPSDT)
		return;
	memcpy(&address, data, sizeof address);
	provider = data + 3 * sizeof address;
	name = provider + strlen(provider) + 1;
	if (strcmp(provider, "portunus") != 0)
		return;
	assert_in_range(n_probes, 0, PROBES_MAX - 1);
	/* The file is mapped as long as the program runs. */
	probes[n_probes++] =
		(struct probe){ name, name + strlen(name) + 1, (unsigned char *)(uintptr_t)(load + address) };
}

static void read_notes(const char *at, size_t size, uintptr_t load)
{
	const char *end = at + size;

	while (at < end) {
		const Elf64_Nhdr *note = (const Elf64_Nhdr *)(const void *)at;

		read_note(note, load);
		at += sizeof *note + ((note->n_namesz + 3) & ~3u) + ((note->n_descsz + 3) & ~3u);
	}
}

static void find_probes(void)
{
	const char *file = own_file();
	const Elf64_Ehdr *head = (const Elf64_Ehdr *)(const void *)file;
	const Elf64_Shdr *sections = (const Elf64_Shdr *)(const void *)(file + head->e_shoff);
	const char *names = file + sections[head->e_shstrndx].sh_offset;
	uintptr_t load = 0;

	dl_iterate_phdr(note_load_address, &load);
	for (unsigned i = 0; i < head->e_shnum; i++)
		if (strcmp(names + sections[i].sh_name, ".note.stapsdt") == 0)
			read_notes(file + sections[i].sh_offset, sections[i].sh_size, load);
}

/* ---- whoever comes by */

static uint64_t register_named(const ucontext_t *context, const char *name)
{
	static const struct {
		char name[8];
		int number;
	} all[] = {
		{ "rax", REG_RAX },  { "eax", REG_RAX },  { "rbx", REG_RBX },  { "ebx", REG_RBX },  { "rcx", REG_RCX },
		{ "ecx", REG_RCX },  { "rdx", REG_RDX },  { "edx", REG_RDX },  { "rsi", REG_RSI },  { "esi", REG_RSI },
		{ "rdi", REG_RDI },  { "edi", REG_RDI },  { "rbp", REG_RBP },  { "ebp", REG_RBP },  { "rsp", REG_RSP },
		{ "r8", REG_R8 },    { "r8d", REG_R8 },	  { "r9", REG_R9 },    { "r9d", REG_R9 },   { "r10", REG_R10 },
		{ "r10d", REG_R10 }, { "r11", REG_R11 },  { "r11d", REG_R11 }, { "r12", REG_R12 },  { "r12d", REG_R12 },
		{ "r13", REG_R13 },  { "r13d", REG_R13 }, { "r14", REG_R14 },  { "r14d", REG_R14 }, { "r15", REG_R15 },
		{ "r15d", REG_R15 },
	};

	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		if (strcmp(name, all[i].name) == 0)
			return (uint64_t)context->uc_mcontext.gregs[all[i].number];
	abort(); /* a compiler that puts it elsewhere: teach the test */
}

/* "8@%rbx", "-4@284(%r15)" or "4@$7"; the next begins behind the blank. */
static uint64_t read_argument(const ucontext_t *context, const char **text)
{
	char name[8] = "";
	int size, offset = 0, n = 0;
	uint64_t value = 0;

	if (sscanf(*text, "%d@$%d%n", &size, &offset, &n) == 2) {
		value = (uint64_t)offset;
	} else if (sscanf(*text, "%d@%%%7[a-z0-9]%n", &size, name, &n) == 2) {
		value = register_named(context, name);
	} else {
		if (sscanf(*text, "%d@%d(%%%7[a-z0-9])%n", &size, &offset, name, &n) != 3 &&
		    sscanf(*text, "%d@(%%%7[a-z0-9])%n", &size, name, &n) != 2)
			abort();
		memcpy(&value, (const void *)(uintptr_t)(register_named(context, name) + (uint64_t)(int64_t)offset),
		       (size_t)abs(size));
	}
	if (abs(size) < 8)
		value &= (UINT64_C(1) << 8 * abs(size)) - 1;
	*text += n + ((*text)[n] == ' ');
	return value;
}

static void note_hit(const struct probe *p, const ucontext_t *context)
{
	unsigned n = atomic_fetch_add(&n_hits, 1);
	const char *text = p->arguments;

	if (n >= HITS_MAX)
		abort();
	for (unsigned i = 0; i < ARGUMENTS_MAX && *text; i++)
		hits[n].arguments[i] = read_argument(context, &text);
	hits[n].probe = p;
}

static void come_by(int sig, siginfo_t *info, void *opaque)
{
	ucontext_t *context = opaque;
	greg_t *pc = &context->uc_mcontext.gregs[REG_RIP];

	(void)info;
	for (unsigned i = 0; i < n_probes; i++)
		if ((greg_t)(uintptr_t)probes[i].at == *pc) {
			note_hit(&probes[i], context);
			++*pc;
			return;
		}
	sigaction(sig, &before, NULL); /* a real fault: once more, and for whoever is to hear of it */
}

static void write_code(unsigned char *at, unsigned char byte)
{
	uintptr_t size = (uintptr_t)getpagesize();
	void *page = (void *)((uintptr_t)at & ~(size - 1));

	assert_int_equal(mprotect(page, size, PROT_READ | PROT_WRITE | PROT_EXEC), 0);
	*at = byte;
	assert_int_equal(mprotect(page, size, PROT_READ | PROT_EXEC), 0);
}

/* Also a check that there is a nop, and nothing else, as long as nobody looks. */
static void arm(void)
{
	struct sigaction action = { .sa_sigaction = come_by, .sa_flags = SA_SIGINFO | SA_NODEFER };

	atomic_store(&n_hits, 0);
	sigaction(SIGSEGV, &action, &before);
	for (unsigned i = 0; i < n_probes; i++) {
		assert_int_equal(*probes[i].at, NOP);
		write_code(probes[i].at, HLT);
	}
}

static void disarm(void)
{
	for (unsigned i = 0; i < n_probes; i++)
		write_code(probes[i].at, NOP);
	sigaction(SIGSEGV, &before, NULL);
}

/* ---- the tests */

/* The first of that name with these arguments, of those that are not -1. */
static const struct hit *find_hit(const char *name, const int64_t *arguments)
{
	for (unsigned i = 0; i < atomic_load(&n_hits); i++) {
		bool is_it = hits[i].probe && strcmp(hits[i].probe->name, name) == 0;

		for (unsigned j = 0; is_it && j < ARGUMENTS_MAX; j++)
			is_it = arguments[j] < 0 || hits[i].arguments[j] == (uint64_t)arguments[j];
		if (is_it)
			return &hits[i];
	}
	return NULL;
}

#define hit(name, ...) find_hit((name), (const int64_t[ARGUMENTS_MAX]){ __VA_ARGS__ })

static void every_probe_is_there(void **state)
{
	static const char *const names[] = { "send",	     "receive",	    "block",	"wake",
					     "right__moved", "port__death", "link__up", "link__down" };

	(void)state;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		unsigned n = 0;

		for (unsigned j = 0; j < n_probes; j++)
			n += strcmp(probes[j].name, names[i]) == 0;
		assert_in_range(n, 1, PROBES_MAX); /* more than one where the compiler made copies of a function */
	}
}

static void a_message_and_its_rights(void **state)
{
	mach_port_t queue = port_with_send_in(here()), carried = port_with_send_in(here());
	const struct hit *sent, *received, *died;
	struct letter l;

	(void)state;
	arm();
	letter_to(&l, queue, MACH_MSG_TYPE_COPY_SEND, 7654);
	letter_add_port(&l, carried, MACH_MSG_TYPE_COPY_SEND);
	expect_ok(post_at(self, &l));
	expect_ok(fetch_at(self, queue, &l));
	expect_ok(end_receive_at(self, carried));
	disarm();

	sent = hit("send", -1, -1, 7654, l.header.msgh_size);
	received = hit("receive", -1, queue, 7654, l.header.msgh_size);
	assert_non_null(sent);
	assert_non_null(received);
	assert_int_equal(sent->arguments[0], received->arguments[0]); /* one message */
	assert_non_null(hit("right__moved", -1, MACH_MSG_TYPE_PORT_SEND, carried, -1));
	died = hit("port__death", (int64_t)hit("right__moved", -1, -1, carried, -1)->arguments[0], 0, -1, -1);
	assert_non_null(died);
	expect_ok(destroy_at(self, queue));
	expect_ok(destroy_at(self, carried));
}

static void a_wait_and_its_end(void **state)
{
	mach_port_t queue = port_in(here());
	const struct hit *block, *wake;
	struct letter l;

	(void)state;
	arm();
	expect_result(receive_with_at(self, queue, &l, MACH_RCV_TIMEOUT, 1, sizeof l.bytes), MACH_RCV_TIMED_OUT);
	disarm();
	block = hit("block", -1, 0, -1, -1);
	assert_non_null(block);
	wake = hit("wake", (int64_t)block->arguments[0], 1, -1, -1);
	assert_non_null(wake);
	expect_ok(destroy_at(self, queue));
}

static void a_link(void **state)
{
	struct process *child;

	(void)state;
	arm();
	child = process_start();
	await(hit("link__up", child->pid, getuid(), -1, -1));
	process_end(child);
	await(hit("link__down", child->pid, 0, -1, -1));
	disarm();
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		family_test(every_probe_is_there),
		family_test(a_message_and_its_rights),
		family_test(a_wait_and_its_end),
		family_test(a_link),
	};

	find_probes();
	return family_main(argc, argv, tests);
}
