/* SPDX-License-Identifier: MIT */
/* Attacks on the broker, by processes that connect to its socket. Meanwhile its guest, an honest process, goes on asking for
 * names; and after each the broker has as many descriptors and mappings as before. */
#include "wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <mach/message.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define SEND	  MACH_MSG_TYPE_PORT_SEND
#define SEND_ONCE MACH_MSG_TYPE_PORT_SEND_ONCE

enum { SERVICE = 0, NOBODY = 65534, NAMES_MAX = 20, EXPORTS_MAX = 64 };

static struct {
	char directory[64], socket[96];
	pid_t pid, guest;
	int log, asked; /* what it says, and what the guest says */
	unsigned n_fds, n_rings;
} broker;

/* ---- surroundings ------------------------------------------------------------------------------------------------- */

static unsigned count_fds(void)
{
	char path[64];
	unsigned n = 0;
	DIR *dir;

	snprintf(path, sizeof path, "/proc/%d/fd", (int)broker.pid);
	dir = opendir(path);
	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static unsigned count_rings(void)
{
	char path[64], line[512];
	unsigned n = 0;
	FILE *f;

	snprintf(path, sizeof path, "/proc/%d/maps", (int)broker.pid);
	f = fopen(path, "re");
	assert_non_null(f);
	while (fgets(line, sizeof line, f))
		n += strstr(line, "memfd:") != NULL;
	fclose(f);
	return n;
}

static pid_t start(const char *path, char *const argv[], int to, int *from)
{
	int ends[2];
	pid_t pid;

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		dup2(ends[1], to);
		execv(path, argv);
		_exit(127);
	}
	close(ends[1]);
	fcntl(ends[0], F_SETFL, O_NONBLOCK);
	*from = ends[0];
	return pid;
}

/* The guest has asked for so many more names. */
static bool guest_comes_forward(unsigned n)
{
	char bytes[256];
	ssize_t more;

	while (read(broker.asked, bytes, sizeof bytes) > 0) /* before */
		;
	for (unsigned got = 0; got<n; got += more> 0 ? (unsigned)more : 0)
		if (!soon((more = read(broker.asked, bytes, sizeof bytes)) > 0))
			return false;
	return true;
}

static int connect_to_broker(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	strcpy(address.sun_path, broker.socket);
	if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
		return fd;
	close(fd);
	return -1;
}

static int setup(void **state)
{
	char *program = getenv("PORTUNUS_BROKER_PROGRAM"), *victim = getenv("HOSTILE_VICTIM");
	char foreground[] = "--foreground", option[] = "--socket", names[] = "--max-names=20", role[] = "guest";
	char exports[] = "--max-exports=64";
	char *argv[] = { program, foreground, names, exports, option, broker.socket, NULL };
	char *guest_argv[] = { victim, role, NULL };
	int fd;

	(void)state;
	strcpy(broker.directory, "/tmp/hostile-XXXXXX");
	if (!program || !victim || !mkdtemp(broker.directory))
		return -1;
	snprintf(broker.socket, sizeof broker.socket, "%s/broker", broker.directory);
	setenv("PORTUNUS_BROKER", broker.socket, 1);
	setenv("PORTUNUS_AUTOSTART", "0", 1);
	broker.pid = start(program, argv, 2, &broker.log);
	if (!soon((fd = connect_to_broker()) >= 0))
		return -1;
	close(fd);
	broker.guest = start(victim, guest_argv, 1, &broker.asked);
	return guest_comes_forward(3) ? 0 : -1;
}

static int teardown(void **state)
{
	int status = -1;

	(void)state;
	kill(broker.guest, SIGKILL);
	waitpid(broker.guest, NULL, 0);
	kill(broker.pid, SIGTERM);
	if (!soon(waitpid(broker.pid, &status, WNOHANG) != 0))
		kill(broker.pid, SIGKILL);
	close(broker.log);
	close(broker.asked);
	(void)unlink(broker.socket);
	snprintf(broker.socket, sizeof broker.socket, "%s/broker.lock", broker.directory);
	(void)unlink(broker.socket);
	(void)rmdir(broker.directory);
	return status;
}

/* ---- attacks ------------------------------------------------------------------------------------------------------ */

static void peer_connect(struct peer *p)
{
	int fd = connect_to_broker();

	assert_true(fd >= 0);
	peer_init(p, fd, peer_id_new());
}

static void peer_link(struct peer *p)
{
	peer_connect(p);
	assert_true(peer_greet(p));
}

/* The broker may have said something else before. */
static bool broker_says(const char *line)
{
	static char log[1 << 16];
	static size_t size;
	ssize_t n = read(broker.log, log + size, sizeof log - 1 - size);

	size += n > 0 ? (size_t)n : 0;
	log[size] = '\0';
	if (!strstr(log, line))
		return false;
	size = 0;
	return true;
}

static void expect_drop(struct peer *p, const char *why)
{
	char line[256];

	assert_true(peer_is_dropped(p));
	snprintf(line, sizeof line, "dropped: %s\n", why);
	assert_true(soon(broker_says(line)));
	peer_deinit(p);
}

static void greetings_that_make_no_sense(void)
{
	for (int i = 0; i < 4; i++) {
		struct greeting g;
		struct peer p;

		peer_connect(&p);
		peer_seal(&p);
		g = peer_greeting(&p);
		g.magic += i == 0;
		g.type = i == 1 ? 9 : PACKET_GREETING;
		g.id ^= i == 2 ? (uint64_t)1 << 40 : 0;
		g.n_fds = i == 3 ? 1 : 2;
		peer_send_greeting(&p, &g);
		expect_drop(&p, i == 2 ? "it is not the process that it says it is"
				       : "it sent a packet that makes no sense");
	}
}

static void frames_that_make_no_sense(void)
{
	for (uint16_t type = FRAME_COUNT; type <= FRAME_TYPES; type++) {
		struct frame f = { sizeof f, type, 0 };
		struct peer p;

		peer_link(&p);
		(void)peer_put(&p, &f, sizeof f);
		expect_drop(&p, type == FRAME_TYPES ? "a frame of an unknown type" : "a frame of a wrong size");
	}
}

static void ring_that_makes_no_sense(void)
{
	struct peer p;

	peer_link(&p);
	peer_publish(&p, 12345);
	expect_drop(&p, "its ring makes no sense");
}

static void indices_never_granted(void)
{
	struct peer p;

	peer_link(&p);
	(void)message_send(&p, 1, SEND, 1);
	expect_drop(&p, "a message with something that it may not have");
	peer_link(&p);
	(void)index_send(&p, FRAME_COUNT, SERVICE, -2, 0, 0);
	expect_drop(&p, "a claim to rights that it does not have");
}

/* Answers by a right to send, to a queue that is always full, would be waited for. */
static void requests_that_would_wait_for_room(void)
{
	struct wire_right reply = { WIRE_MINE, SEND, 0, 3 };
	struct peer p;

	peer_link(&p);
	for (int i = 0; i < 200; i++) {
		struct frame_message *f;
		struct writing w;

		f = message_begin(&w, SERVICE, SEND, 1040 + i);
		w.size = sizeof *f;
		writing_add(&w, &reply, sizeof reply);
		assert_true(message_put(&p, &w));
	}
	assert_true(guest_comes_forward(5));
	peer_deinit(&p);
}

static void messages_that_are_no_requests(void)
{
	struct wire_right reply = right_mine(SEND_ONCE, 3);
	struct peer p;

	peer_link(&p);
	for (int i = 0; i < 2000; i++) {
		static unsigned char body[4096];
		struct frame_message *f;
		struct writing w;

		f = message_begin(&w, SERVICE, SEND, 1000 + i);
		f->body_size = (uint32_t)(i % 512) * 8;
		w.size = sizeof *f;
		writing_add(&w, &reply, sizeof reply);
		writing_add(&w, body, f->body_size);
		assert_true(message_put(&p, &w));
	}
	assert_true(guest_comes_forward(5));
	peer_deinit(&p);
}

static void put_with_reply(struct peer *p, uint32_t index)
{
	struct wire_right reply = right_mine(SEND_ONCE, index);
	struct writing w;

	(void)message_begin(&w, SERVICE, SEND, 1);
	w.size = sizeof(struct frame_message);
	writing_add(&w, &reply, sizeof reply);
	(void)message_put(p, &w);
}

/* As many as it may have are held, and one more ends its link. */
static void rights_up_to_the_limit(void)
{
	struct peer p;

	peer_link(&p);
	for (uint32_t i = 0; i < EXPORTS_MAX; i++)
		put_with_reply(&p, i);
	assert_true(guest_comes_forward(5));
	put_with_reply(&p, EXPORTS_MAX - 1); /* is still taken */
	put_with_reply(&p, EXPORTS_MAX);
	expect_drop(&p, "a message with something that it may not have");
}

/* One process does not take the places of all. */
static void connections_without_end(void)
{
	struct pollfd fds[64];
	unsigned n_closed = 0;

	for (int i = 0; i < 64; i++)
		fds[i] = (struct pollfd){ .fd = connect_to_broker(), .events = POLLRDHUP };
	assert_true(guest_comes_forward(3));
	for (int i = 0; i < 64; i++) {
		n_closed += poll(&fds[i], 1, 0) > 0;
		close(fds[i].fd);
	}
	assert_true(n_closed >= 48);
}

/* Each process gets as many as it may have, whatever others have taken. */
static void names_without_end(void)
{
	char *victim = getenv("HOSTILE_VICTIM"), role[] = "greedy", *argv[] = { victim, role, NULL };
	unsigned char n = 0;
	pid_t pids[3];
	int out[3];

	for (int i = 0; i < 3; i++) {
		pids[i] = start(victim, argv, 1, &out[i]);
		assert_true(soon(read(out[i], &n, 1) == 1));
		assert_int_equal(n, NAMES_MAX);
	}
	for (int i = 0; i < 3; i++) {
		kill(pids[i], SIGKILL);
		waitpid(pids[i], NULL, 0);
		close(out[i]);
	}
}

static void memory_and_places_are_the_owners_alone(void)
{
	struct stat st;
	struct peer p;

	assert_int_equal(stat(broker.directory, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(stat(broker.socket, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	peer_link(&p);
	assert_int_equal(p.their_mode, 0600);
	peer_deinit(&p);
}

/* Another user, even where he may pass the directory. */
static void another_user(void)
{
	int status;
	pid_t pid;

	if (geteuid() != 0) {
		print_message("not tested, for want of root: that another user cannot reach the broker\n");
		skip();
	}
	assert_int_equal(chmod(broker.directory, 0755), 0);
	pid = fork();
	if (pid == 0) {
		char path[64];
		DIR *dir;

		if (setgid(NOBODY) < 0 || setuid(NOBODY) < 0)
			_exit(1);
		if (connect_to_broker() >= 0)
			_exit(2);
		snprintf(path, sizeof path, "/proc/%d/fd", (int)broker.pid);
		dir = opendir(path);
		if (dir && readdir(dir))
			_exit(3);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(chmod(broker.directory, 0700), 0);
	assert_int_equal(status, 0);
}

/* ---- running ------------------------------------------------------------------------------------------------------ */

static void run(void **state)
{
	void (*attack)(void) = *(void (**)(void)) * state;

	assert_true(soon(count_rings() == 2)); /* the guest's link */
	broker.n_fds = count_fds();
	broker.n_rings = count_rings();
	attack();
	assert_true(guest_comes_forward(5));
	assert_true(soon(count_fds() == broker.n_fds && count_rings() == broker.n_rings));
}

#define attack(name) \
	{ \
#name, run, NULL, NULL, &(void (*)(void)) \
		{ \
			name \
		} \
	}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		attack(greetings_that_make_no_sense),
		attack(frames_that_make_no_sense),
		attack(ring_that_makes_no_sense),
		attack(indices_never_granted),
		attack(requests_that_would_wait_for_room),
		attack(messages_that_are_no_requests),
		attack(rights_up_to_the_limit),
		attack(connections_without_end),
		attack(names_without_end),
		attack(memory_and_places_are_the_owners_alone),
		attack(another_user),
	};

	signal(SIGPIPE, SIG_IGN);
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, setup, teardown);
}
