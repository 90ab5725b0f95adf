/* SPDX-License-Identifier: MIT */
/* sorts serve NAME: serves sorts.defs and prints a line for each request: its size and what the stub made of it.
 * sorts ask NAME: a client that calls each routine through its stub, with the arguments that test-call.py has too.
 * sorts hold: tells which rights it was started with, by asking each for its number. */
#include <inttypes.h>
#include <mach.h>
#include <mach_error.h>
#include <portunus/fileport.h>
#include <servers/netname.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sorts.h"
#include "sorts_server.h"

static mach_port_t own_port;
static int told;

/* Rooms are ports of the server that have a number. */
static mach_port_t rooms[16], set;

static const char *kind_of(mach_port_t name)
{
	mach_port_type_t type;

	if (name == MACH_PORT_NULL)
		return "null";
	if (name == MACH_PORT_DEAD || mach_port_type(mach_task_self(), name, &type))
		return "dead";
	if (type & MACH_PORT_TYPE_RECEIVE)
		return "receive";
	return type & MACH_PORT_TYPE_SEND ? "send" : type & MACH_PORT_TYPE_SEND_ONCE ? "send-once" : "dead";
}

static void print_ints(const char *what, const int *list, unsigned int n)
{
	printf(" %s", what);
	for (unsigned int i = 0; i < n; i++)
		printf(" %d", list[i]);
}

/* ---- the routines */

kern_return_t serve_sorts_numbers(mach_port_t server, int a, uint64_t b, short c, char d, boolean_t e, sorts_byte_t f,
				  uint64_t *g, short *h, char *i)
{
	(void)server;
	printf("numbers %d %" PRIu64 " %d %d %d %d\n", a, b, c, d, e, f);
	*g = b + (uint64_t)a;
	*h = (short)-c;
	*i = (char)(d + 1);
	return KERN_SUCCESS;
}

kern_return_t serve_sorts_real(mach_port_t server, sorts_real_t a, sorts_real_t *b)
{
	(void)server;
	printf("real %g\n", a);
	*b = a / 2;
	return KERN_SUCCESS;
}

kern_return_t serve_sorts_strings(mach_port_t server, const_sorts_name_t a, const_sorts_text_t b, const_sorts_word_t c,
				  const_sorts_long_text_t d, sorts_name_t e, sorts_text_t f)
{
	(void)server;
	printf("strings [%s] [%s] [%s] [%s]\n", a, b, c, d);
	snprintf(e, sizeof(sorts_name_t), "%zu", strlen(d));
	snprintf(f, sizeof(sorts_text_t), "%.20s+%.20s+%.20s", a, b, c);
	return KERN_SUCCESS;
}

kern_return_t serve_sorts_arrays(mach_port_t server, const sorts_square_t a, const sorts_chars_t b,
				 const sorts_grid_t c, sorts_quad_t *d)
{
	(void)server;
	print_ints("arrays", a, 9);
	printf(" [%.300s]", b);
	for (int i = 0; i < 6; i++)
		printf(" %d", c[i]);
	printf(" %d %d %d %d\n", d->w, d->x, d->y, d->z);
	*d = (sorts_quad_t){ d->z, d->y, d->x, d->w };
	return KERN_SUCCESS;
}

kern_return_t serve_sorts_large(mach_port_t server, const sorts_large_t a, int *sum)
{
	(void)server;
	*sum = 0;
	for (int i = 0; i < 5000; i++)
		*sum += a[i] * (i % 7);
	printf("large %d\n", *sum);
	return KERN_SUCCESS;
}

kern_return_t serve_sorts_rows(mach_port_t server, const sorts_row_t a, mach_msg_type_number_t a_count,
			       const sorts_long_row_t b, mach_msg_type_number_t b_count, const sorts_quads_t c,
			       mach_msg_type_number_t c_count, sorts_row_t d, mach_msg_type_number_t *d_count,
			       sorts_text_t e)
{
	(void)server;
	print_ints("rows", a, a_count);
	printf(" [%.*s]", (int)b_count, b);
	print_ints("of 4", (const int *)c, 4 * c_count);
	putchar('\n');
	for (unsigned int i = 0; i < a_count; i++)
		d[i] = 2 * a[i];
	*d_count = a_count;
	snprintf(e, sizeof(sorts_text_t), "%u %u %u", a_count, b_count, c_count);
	return KERN_SUCCESS;
}

static unsigned int sum_of(const char *bytes, unsigned int n)
{
	unsigned int sum = 0;

	for (unsigned int i = 0; i < n; i++)
		sum = sum * 31 + (unsigned char)bytes[i];
	return sum;
}

/* Back to front, and as much. */
kern_return_t serve_sorts_blobs(mach_port_t server, const_sorts_blob_t a, mach_msg_type_number_t a_count,
				const_sorts_numbers_t b, mach_msg_type_number_t b_count, sorts_blob_t *c,
				mach_msg_type_number_t *c_count, sorts_numbers_t *d, mach_msg_type_number_t *d_count)
{
	(void)server;
	printf("blobs %u %u, %u of", a_count, sum_of(a, a_count), b_count);
	for (unsigned int i = 0; i < b_count; i++)
		printf(" %" PRIu64, b[i]);
	putchar('\n');
	if (a_count > *c_count)
		vm_allocate(mach_task_self(), (vm_address_t *)c, a_count, TRUE);
	if (b_count > *d_count)
		vm_allocate(mach_task_self(), (vm_address_t *)d, b_count * sizeof *b, TRUE);
	for (unsigned int i = 0; i < a_count; i++)
		(*c)[i] = a[a_count - 1 - i];
	for (unsigned int i = 0; i < b_count; i++)
		(*d)[i] = b[b_count - 1 - i];
	*c_count = a_count;
	*d_count = b_count;
	return KERN_SUCCESS;
}

kern_return_t serve_sorts_run(mach_port_t server, sorts_run_t a, mach_msg_type_number_t a_count, vm_offset_t b,
			      mach_msg_type_number_t b_count, sorts_run_t *c, mach_msg_type_number_t *c_count)
{
	(void)server;
	print_ints("run", a, a_count);
	printf(" [%.*s]\n", (int)b_count, (const char *)b);
	vm_allocate(mach_task_self(), (vm_address_t *)c, (a_count + 1) * sizeof **c, TRUE);
	for (unsigned int i = 0; i < a_count; i++)
		(*c)[i] = 3 * a[i];
	*c_count = a_count;
	return KERN_SUCCESS;
}

kern_return_t serve_sorts_record(mach_port_t server, sorts_record_t a, sorts_record_t *b)
{
	(void)server;
	printf("record %d %d %d %d\n", a.a, a.b, a.c, a.d);
	*b = (sorts_record_t){ -a.a, (char)(a.b + 1), (short)-a.c, -a.d };
	return KERN_SUCCESS;
}

kern_return_t serve_sorts_right(mach_port_t server, mach_port_t a, mach_port_t *b, int *c)
{
	(void)server;
	printf("right %s\n", kind_of(a));
	*b = a;
	*c = MACH_PORT_VALID(a);
	return KERN_SUCCESS;
}

kern_return_t serve_sorts_rights(mach_port_t server, const_sorts_rights_t a, mach_msg_type_number_t a_count, int *b)
{
	(void)server;
	printf("rights");
	for (unsigned int i = 0; i < a_count; i++)
		printf(" %s", kind_of(a[i]));
	putchar('\n');
	*b = (int)a_count;
	return KERN_SUCCESS;
}

kern_return_t serve_sorts_made(mach_port_t server, mach_port_t a, mach_port_t b, mach_port_t c, int *d)
{
	(void)server;
	printf("made %s %s %s\n", kind_of(a), kind_of(b), kind_of(c));
	*d = 1;
	return KERN_SUCCESS;
}

/* The beginning of an open file, and the file. */
kern_return_t serve_sorts_file(mach_port_t server, mach_port_t a, sorts_text_t b, mach_port_t *c)
{
	int fd = fileport_makefd(a);
	ssize_t n = fd < 0 ? -1 : pread(fd, b, sizeof(sorts_text_t) - 1, 0);

	(void)server;
	printf("file %s\n", fd < 0 ? "none" : "open");
	b[n < 0 ? 0 : n] = '\0';
	if (fd >= 0)
		close(fd);
	*c = a;
	return KERN_SUCCESS;
}

kern_return_t serve_sorts_refuse(mach_port_t server, kern_return_t code)
{
	(void)server;
	printf("refuse %d\n", code);
	return code;
}

kern_return_t serve_sorts_tell(mach_port_t server, int value)
{
	(void)server;
	printf("tell %d\n", value);
	told = value;
	return KERN_SUCCESS;
}

kern_return_t serve_sorts_told(mach_port_t server, int *value)
{
	(void)server;
	printf("told\n");
	*value = told;
	return KERN_SUCCESS;
}

kern_return_t serve_sorts_slow(mach_port_t server, int value, int *answer)
{
	(void)server;
	printf("slow %d\n", value);
	*answer = value;
	return value ? KERN_SUCCESS : MIG_NO_REPLY; /* never, as nobody keeps the right */
}

kern_return_t serve_sorts_open(mach_port_t server, int number, mach_port_t *room)
{
	(void)server;
	printf("open %d\n", number);
	if (number < 0 || number > 15)
		return KERN_INVALID_ARGUMENT;
	if (!rooms[number] && (mach_port_allocate(mach_task_self(), MACH_PORT_RIGHT_RECEIVE, &rooms[number]) ||
			       mach_port_move_member(mach_task_self(), rooms[number], set)))
		return KERN_RESOURCE_SHORTAGE;
	*room = rooms[number];
	return KERN_SUCCESS;
}

kern_return_t serve_sorts_number_of(mach_port_t server, int *number)
{
	printf("number of\n");
	for (*number = 0; *number < 16; ++*number)
		if (rooms[*number] == server)
			return KERN_SUCCESS;
	*number = -1;
	return KERN_SUCCESS;
}

kern_return_t serve_sorts_die(mach_port_t server)
{
	(void)server;
	exit(0);
}

/* ---- the server */

static boolean_t serve(mach_msg_header_t *request, mach_msg_header_t *reply)
{
	boolean_t known;

	printf("%u bytes, bits %x: ", request->msgh_size, request->msgh_bits & ~MACH_MSGH_BITS_PORTS_MASK);
	known = sorts_server(request, reply);
	if (!known)
		printf("unknown\n");
	else if (((mig_reply_header_t *)reply)->RetCode == MIG_BAD_ARGUMENTS)
		printf("bad arguments\n");
	return known;
}

static int run_server(const char *name)
{
	kern_return_t kr;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (mach_port_allocate(mach_task_self(), MACH_PORT_RIGHT_RECEIVE, &own_port) ||
	    mach_port_insert_right(mach_task_self(), own_port, own_port, MACH_MSG_TYPE_MAKE_SEND) ||
	    mach_port_allocate(mach_task_self(), MACH_PORT_RIGHT_PORT_SET, &set) ||
	    mach_port_move_member(mach_task_self(), own_port, set))
		return 1;
	kr = netname_check_in(name_server_port, name, mach_task_self(), own_port);
	if (kr) {
		fprintf(stderr, "sorts: %s\n", mach_error_string(kr));
		return 1;
	}
	puts("serving");
	mach_msg_server(serve, 65536, set);
	return 1;
}

/* ---- the client */

#define CHECK(call) \
	do { \
		kern_return_t result = (call); \
		if (result) { \
			fprintf(stderr, "sorts: %s: %s\n", #call, mach_error_string(result)); \
			return 1; \
		} \
	} while (0)

static int ask_plain(mach_port_t port)
{
	static sorts_quads_t quads = { { 1, 2, 3, 4 }, { 5, 6, 7, 8 } };
	static sorts_long_row_t long_row = "row";
	sorts_quad_t quad = { 1, 2, 3, 4 };
	static sorts_large_t large;
	static sorts_chars_t chars = "characters";
	sorts_square_t square = { 1, 2, 3, 4, 5, 6, 7, 8, -9 };
	sorts_grid_t grid = { 1, 2, 3, 4, 5, 6 };
	sorts_row_t row = { 1, 2, 3 }, doubled;
	int answer;
	mach_msg_type_number_t n = 64;
	sorts_record_t record = { 1, 2, 3, 4 }, back;
	sorts_name_t name;
	sorts_text_t text;
	uint64_t sum;
	short negative;
	double half;
	char next;

	for (int i = 0; i < 5000; i++)
		large[i] = i;
	CHECK(sorts_numbers(port, -5, 1ULL << 40, 300, 'x', 1, 255, &sum, &negative, &next));
	CHECK(sorts_real(port, 2.5, &half));
	CHECK(sorts_strings(port, "one", "two", "three", "four", name, text));
	CHECK(sorts_arrays(port, square, chars, grid, &quad));
	CHECK(sorts_large(port, large, &answer));
	CHECK(sorts_rows(port, row, 3, long_row, 3, quads, 2, doubled, &n, text));
	CHECK(sorts_record(port, record, &back));
	CHECK(sorts_tell(port, 7));
	CHECK(sorts_told(port, &answer));
	CHECK(sorts_slow(port, 10000, 5, &answer));
	return 0;
}

static int ask_blobs(mach_port_t port)
{
	static char large[5000], inline_room[2048];
	static uint64_t numbers[300], numbers_room[256];
	int run[] = { 1, 2, 3 }, *tripled;
	char *blob = inline_room;
	uint64_t *back = numbers_room;
	mach_msg_type_number_t n = sizeof inline_room, n_back = 256, n_run = 0;

	memset(large, 'x', sizeof large);
	for (unsigned int i = 0; i < 300; i++)
		numbers[i] = i;
	CHECK(sorts_blobs(port, "bytes", 5, numbers, 2, &blob, &n, &back, &n_back));
	blob = inline_room, back = numbers_room, n = sizeof inline_room, n_back = 256;
	CHECK(sorts_blobs(port, large, sizeof large, numbers, 300, &blob, &n, &back, &n_back));
	CHECK(sorts_run(port, run, 3, (vm_offset_t) "pages", 5, &tripled, &n_run));
	return 0;
}

static int ask_rights(mach_port_t port)
{
	mach_port_t list[] = { port, port, MACH_PORT_NULL }, right, fresh[3];
	int answer;

	for (int i = 0; i < 3; i++)
		CHECK(mach_port_allocate(mach_task_self(), MACH_PORT_RIGHT_RECEIVE, &fresh[i]));
	CHECK(sorts_right(port, port, &right, &answer));
	CHECK(sorts_rights(port, list, 3, &answer));
	CHECK(sorts_made(port, fresh[0], fresh[1], fresh[2], &answer));
	return 0;
}

static int run_client(const char *name)
{
	mach_port_t port;

	CHECK(netname_look_up(name_server_port, "", name, &port));
	return ask_plain(port) || ask_blobs(port) || ask_rights(port);
}

static int tell_rights(void)
{
	mach_msg_type_number_t n;
	mach_port_array_t ports;
	int number;

	CHECK(mach_ports_lookup(mach_task_self(), &ports, &n));
	for (unsigned int i = 0; i < n; i++) {
		if (!MACH_PORT_VALID(ports[i]))
			continue;
		CHECK(sorts_told(ports[i], &number));
		printf("%d\n", number);
	}
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "serve") == 0)
		return run_server(argv[2]);
	if (argc == 3 && strcmp(argv[1], "ask") == 0)
		return run_client(argv[2]);
	if (argc == 2 && strcmp(argv[1], "hold") == 0)
		return tell_rights();
	return 2;
}
