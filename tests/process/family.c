/* SPDX-License-Identifier: MIT */
#include "family.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <portunus/spawn.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "link/node.h"

/* The C library keeps some memory for later, and a sanitizer what it likes. */
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define MAPPED_SLACK (1ul << 40)
#else
#define MAPPED_SLACK (4ul << 20)
#endif

enum { PATIENCE = 60000, FIRST_LANE_FD = 300 }; /* milliseconds */

static struct process processes[PROCESSES_MAX];
static unsigned n_processes = 1;
struct process *const self = &processes[0];

struct process *process_number(unsigned n)
{
	assert_true(n < n_processes);
	return &processes[n];
}

static void nap(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = 500000 }, NULL);
}

void await_again(int tries, const char *what, const char *file, int line)
{
	if (tries * 0.5 > PATIENCE / 4.0) {
		print_error("waited in vain for: %s\n", what);
		_fail(file, line);
	}
	nap();
}

/* ---- a link that is dropped -------------------------------------------------------------------------------------- */

/* The library says so on stderr; the linker puts us in between. */
static atomic_bool has_dropped_link;

int __wrap_fprintf(FILE *out, const char *format, ...);
int __wrap_fprintf(FILE *out, const char *format, ...)
{
	va_list arguments;
	int n;

	if (strncmp(format, "portunus: link to", 17) == 0)
		has_dropped_link = true;
	va_start(arguments, format);
	n = vfprintf(out, format, arguments);
	va_end(arguments);
	return n;
}

/* ---- errands ----------------------------------------------------------------------------------------------------- */

/* What a child is told to do, and what it answers. A function is told by its distance to another: the program may lie
 * elsewhere in the child's memory. */
struct errand {
	ptrdiff_t function;
	uint32_t size;
	bool dropped_link;
	_Alignas(16) unsigned char arg[ERRAND_MAX];
};

/* One that a thread does. */
struct runner {
	struct errand errand;
	pthread_t thread;
	atomic_int tid;
	atomic_bool is_done;
};

static void errand_fill(struct errand *e, void (*f)(void *), const void *arg, size_t size)
{
	assert_true(size <= ERRAND_MAX);
	e->function = (char *)f - (char *)await_again;
	e->size = (uint32_t)size;
	memcpy(e->arg, arg, size);
}

static void errand_run(struct errand *e)
{
	void (*f)(void *) = (void (*)(void *))((char *)await_again + e->function);

	f(e->arg);
	e->dropped_link = has_dropped_link;
}

static size_t errand_size(const struct errand *e)
{
	return offsetof(struct errand, arg) + e->size;
}

static void errand_send(int lane, const struct errand *e)
{
	ssize_t n;

	do
		n = write(lane, e, errand_size(e));
	while (n < 0 && errno == EINTR);
	if (n < 0)
		fail_msg("a process has ended that was to do something");
}

static bool is_readable(int fd, int timeout)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int n;

	do
		n = poll(&p, 1, timeout);
	while (n < 0 && errno == EINTR);
	return n > 0;
}

static void errand_receive(int lane, struct errand *e)
{
	if (!is_readable(lane, PATIENCE))
		fail_msg("a process does not come to an end with what it was told to do");
	if (read(lane, e, sizeof *e) <= 0)
		fail_msg("a process has ended that was doing something");
	if (e->dropped_link)
		fail_msg("a link was dropped");
}

void at(struct process *p, void (*f)(void *), void *arg, size_t size)
{
	static struct errand e;

	if (p == self) {
		f(arg);
		assert_false(has_dropped_link);
		return;
	}
	errand_fill(&e, f, arg, size);
	errand_send(p->lanes[0], &e);
	errand_receive(p->lanes[0], &e);
	memcpy(arg, e.arg, size);
}

/* ---- in other threads */

static void *errand_thread(void *arg)
{
	struct runner *r = arg;

	atomic_store(&r->tid, gettid());
	errand_run(&r->errand);
	atomic_store(&r->is_done, true);
	return NULL;
}

void begin_at(struct process *p, unsigned lane, void (*f)(void *), const void *arg, size_t size)
{
	struct runner *r = calloc(1, sizeof *r);

	assert_true(lane > 0 && lane < LANES && !p->runners[lane]);
	errand_fill(&r->errand, f, arg, size);
	p->runners[lane] = r;
	if (p == self)
		assert_int_equal(pthread_create(&r->thread, NULL, errand_thread, r), 0);
	else
		errand_send(p->lanes[lane], &r->errand);
}

void end_at(struct process *p, unsigned lane, void *arg, size_t size)
{
	struct runner *r = p->runners[lane];

	if (p == self) {
		await(atomic_load(&r->is_done));
		pthread_join(r->thread, NULL);
	} else {
		errand_receive(p->lanes[lane], &r->errand);
	}
	if (size)
		memcpy(arg, r->errand.arg, size);
	p->runners[lane] = NULL;
	free(r);
}

bool is_done_at(struct process *p, unsigned lane)
{
	if (p == self)
		return atomic_load(&p->runners[lane]->is_done);
	return is_readable(p->lanes[lane], 0);
}

/* ---- with numbers */

struct numbers {
	ptrdiff_t function;
	long n[NUMBERS];
};

static void errand_numbers(void *arg)
{
	struct numbers *numbers = arg;
	verb *f = (verb *)((char *)await_again + numbers->function);

	f(numbers->n);
}

static struct numbers numbers_of(verb *f, const long *n)
{
	struct numbers numbers = { .function = (char *)f - (char *)await_again };

	memcpy(numbers.n, n, sizeof numbers.n);
	return numbers;
}

long ask_all(struct process *p, verb *f, long *n)
{
	struct numbers numbers = numbers_of(f, n);

	at(p, errand_numbers, &numbers, sizeof numbers);
	memcpy(n, numbers.n, sizeof numbers.n);
	return n[0];
}

void begin_ask(struct process *p, unsigned lane, verb *f, const long *n)
{
	struct numbers numbers = numbers_of(f, n);

	begin_at(p, lane, errand_numbers, &numbers, sizeof numbers);
}

long end_ask(struct process *p, unsigned lane, long *n)
{
	struct numbers numbers;

	end_at(p, lane, &numbers, sizeof numbers);
	if (n)
		memcpy(n, numbers.n, sizeof numbers.n);
	return numbers.n[0];
}

/* ---- what a child does ------------------------------------------------------------------------------------------- */

static struct runner child_runners[LANES];

static bool child_take(int lane, struct errand *e)
{
	ssize_t n;

	do
		n = read(lane, e, sizeof *e);
	while (n < 0 && errno == EINTR);
	return n > 0;
}

static void child_answer(int lane, struct errand *e)
{
	e->dropped_link = has_dropped_link;
	(void)!write(lane, e, errand_size(e));
}

/* Each errand in a thread of its own, which has left the library when the answer goes. */
static void *child_serve_lane(void *arg)
{
	int number = (int)(intptr_t)arg, lane = FIRST_LANE_FD + number;
	struct runner *r = &child_runners[number];

	while (child_take(lane, &r->errand)) {
		if (pthread_create(&r->thread, NULL, errand_thread, r))
			abort();
		pthread_join(r->thread, NULL);
		atomic_store(&r->tid, 0);
		child_answer(lane, &r->errand);
	}
	return NULL;
}

static void child_start_lane(int number)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, child_serve_lane, (void *)(intptr_t)number))
		abort();
	pthread_detach(thread);
}

static int child_main(void)
{
	static struct errand e;

	setenv("CMOCKA_TEST_ABORT", "1", 1); /* what fails is said here, and ends the child */
	for (int i = 0; i < LANES; i++)
		fcntl(FIRST_LANE_FD + i, F_SETFD, FD_CLOEXEC);
	for (int i = 1; i < LANES; i++)
		child_start_lane(i);
	while (child_take(FIRST_LANE_FD, &e)) {
		errand_run(&e);
		child_answer(FIRST_LANE_FD, &e);
	}
	return 0;
}

/* ---- sleep */

static bool thread_sleeps(int tid)
{
	char path[64], text[512] = "", *state;
	FILE *f;

	snprintf(path, sizeof path, "/proc/self/task/%d/stat", tid);
	f = fopen(path, "re");
	if (!f)
		return false;
	if (!fgets(text, sizeof text, f))
		text[0] = '\0';
	fclose(f);
	state = strrchr(text, ')');
	return state && state[1] == ' ' && state[2] == 'S';
}

/* Seen asleep several times in a row: not just for a lock. */
static bool sleeps_for_long(atomic_int *tid)
{
	for (int i = 0; i < 6; i++) {
		if (atomic_load(tid) == 0 || !thread_sleeps(atomic_load(tid)))
			return false;
		nap();
	}
	return true;
}

static void do_check_sleep(long *n)
{
	n[0] = sleeps_for_long(&child_runners[n[0]].tid);
}

void await_sleep_at(struct process *p, unsigned lane)
{
	if (p == self)
		await(is_done_at(p, lane) || sleeps_for_long(&p->runners[lane]->tid));
	else
		await(is_done_at(p, lane) || ask(p, do_check_sleep, lane));
	assert_false(is_done_at(p, lane));
}

static void do_signal(long *n)
{
	tgkill(getpid(), atomic_load(&child_runners[n[0]].tid), (int)n[1]);
}

void signal_at(struct process *p, unsigned lane, int sig)
{
	if (p == self)
		tgkill(getpid(), atomic_load(&p->runners[lane]->tid), sig);
	else
		ask(p, do_signal, lane, sig);
}

/* ---- the balance ------------------------------------------------------------------------------------------------- */

static unsigned count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* Mappings of the library's descriptors, and bytes of anonymous memory that no allocator of the C library owns. */
static void count_mapped(struct balance *b)
{
	FILE *f = fopen("/proc/self/maps", "re");
	unsigned long from, to;
	char line[512], perms[8];
	int inode;

	while (fgets(line, sizeof line, f)) {
		if (strstr(line, "memfd:portunus"))
			b->n_shared++;
		else if (sscanf(line, "%lx-%lx %7s %*x %*s %d", &from, &to, perms, &inode) == 4 && inode == 0 &&
			 strncmp(perms, "rw", 2) == 0 && !strchr(line, '[') && to - from < 1 << 20)
			b->n_mapped += to - from;
	}
	fclose(f);
}

static void do_measure(void *arg)
{
	struct balance *b = arg;
	mach_port_type_t type;

	mach_port_type(mach_task_self(), mach_task_self(), &type); /* takes in what has come */
	*b = (struct balance){ .n_fds = count_fds() };
	kernel_counts_read(&b->counts);
	count_mapped(b);
}

void process_take_balance(struct process *p)
{
	at(p, do_measure, &p->balance, sizeof p->balance);
}

static bool is_balanced(struct process *p, struct balance *now)
{
	at(p, do_measure, now, sizeof *now);
	return memcmp(&now->counts, &p->balance.counts, sizeof now->counts) == 0 && now->n_fds == p->balance.n_fds &&
	       now->n_shared == p->balance.n_shared && now->n_mapped < p->balance.n_mapped + MAPPED_SLACK;
}

static void print_balance(const char *when, const struct balance *b)
{
	print_error("  %s: ports %ld names %ld messages %ld spaces %ld sets %ld tasks %ld threads %ld, descriptors %u, "
		    "shared mappings %u, bytes mapped %lu\n",
		    when, b->counts.ports, b->counts.names, b->counts.messages, b->counts.spaces, b->counts.sets,
		    b->counts.tasks, b->counts.threads, b->n_fds, b->n_shared, b->n_mapped);
}

static void print_balances(const struct process *p, const struct balance *now)
{
	print_error("process %u does not return to where it was\n", p->number);
	print_balance("before", &p->balance);
	print_balance("now   ", now);
}

bool process_is_balanced(struct process *p, bool prints)
{
	struct balance now;
	bool ok = is_balanced(p, &now);

	if (!ok && prints)
		print_balances(p, &now);
	return ok;
}

static bool balance_returns(struct process *p)
{
	for (int tries = 0; !process_is_balanced(p, tries > 10000); tries++) {
		if (tries > 10000)
			return false;
		nap();
	}
	return true;
}

void expect_balance(struct process *p)
{
	assert_true(balance_returns(p));
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

static mach_port_t mailbox; /* of this process */
mach_port_t given_ports[PORTUNUS_SPAWN_PORTS_MAX];
unsigned n_given_ports;

static void do_open_mailbox(long *n)
{
	mach_host_self();
	mach_thread_self();
	mailbox = port_in(here());
	n[0] = mailbox;
}

/* The first letter of a child: a right to its mailbox goes to the one that it was given. */
static void do_greet(long *n)
{
	mach_port_t *ports;
	mach_msg_type_number_t n_ports;
	struct letter l;

	expect_ok(mach_ports_lookup(mach_task_self(), &ports, &n_ports));
	assert_true(n_ports >= 1);
	n[0] = ports[0];
	for (unsigned i = 1; i < n_ports && ports[i]; i++)
		given_ports[n_given_ports++] = ports[i];
	vm_deallocate(mach_task_self(), (vm_address_t)ports, n_ports * sizeof *ports);
	expect_ok(mach_ports_register(mach_task_self(), NULL, 0));
	letter_to(&l, (mach_port_t)n[0], MACH_MSG_TYPE_COPY_SEND, 1);
	letter_add_port(&l, mailbox, MACH_MSG_TYPE_MAKE_SEND);
	expect_ok(post(here(), &l));
}

static void do_take_mail(long *n)
{
	struct letter l;

	expect_ok(mach_msg(&l.header, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof l.bytes, mailbox, PATIENCE / 2,
			   MACH_PORT_NULL));
	l.size = l.header.msgh_size;
	n[0] = letter_port(&l);
}

mach_port_t take_mail(struct process *to)
{
	return (mach_port_t)ask(to, do_take_mail);
}

static void open_lanes(struct process *p, int *theirs)
{
	int ends[2];

	for (int i = 0; i < LANES; i++) {
		assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
		p->lanes[i] = ends[0];
		theirs[i] = fcntl(ends[1], F_DUPFD_CLOEXEC, FIRST_LANE_FD + LANES);
		close(ends[1]);
	}
}

static void spawn(struct process *p, const mach_port_t *given, unsigned n_given)
{
	char self_path[256], role[] = "--child", *argv[] = { self_path, role, NULL };
	mach_port_t ports[PORTUNUS_SPAWN_PORTS_MAX] = { mailbox };
	mach_msg_type_name_t dispositions[PORTUNUS_SPAWN_PORTS_MAX] = { MACH_MSG_TYPE_MAKE_SEND };
	posix_spawn_file_actions_t actions;
	struct portunus_spawn how = { .path = self_path, .argv = argv, .file_actions = &actions };
	int theirs[LANES];
	ssize_t n = readlink("/proc/self/exe", self_path, sizeof self_path - 1);

	assert_true(n > 0);
	self_path[n] = '\0';
	for (unsigned i = 0; i < n_given; i++) {
		ports[1 + i] = given[i];
		dispositions[1 + i] = MACH_MSG_TYPE_COPY_SEND;
	}
	how.ports = ports;
	how.dispositions = dispositions;
	how.n_ports = 1 + n_given;
	open_lanes(p, theirs);
	posix_spawn_file_actions_init(&actions);
	for (int i = 0; i < LANES; i++)
		posix_spawn_file_actions_adddup2(&actions, theirs[i], FIRST_LANE_FD + i);
	expect_ok(portunus_spawn(&how, &p->pid, &p->task));
	posix_spawn_file_actions_destroy(&actions);
	for (int i = 0; i < LANES; i++)
		close(theirs[i]);
}

static void take_balances(void)
{
	for (unsigned i = 0; i < n_processes; i++)
		if (!processes[i].has_ended)
			process_take_balance(&processes[i]);
}

/* The library's own thread has begun, too. */
static void do_check_background(long *n)
{
	struct kernel_counts counts;

	kernel_counts_read(&counts);
	n[0] = counts.threads >= 2;
}

static void process_open(struct process *p, unsigned number, const mach_port_t *given, unsigned n_given)
{
	*p = (struct process){ .number = number };
	spawn(p, given, n_given);
	p->mail_to[p->number] = (mach_port_t)ask(p, do_open_mailbox);
	p->mail_to[0] = (mach_port_t)ask(p, do_greet);
	self->mail_to[p->number] = take_mail(self);
	await(ask(p, do_check_background));
}

static struct process *process_begin(const mach_port_t *given, unsigned n_given)
{
	struct process *p = &processes[n_processes];

	assert_true(n_processes < PROCESSES_MAX);
	process_open(p, n_processes++, given, n_given);
	return p;
}

static void exchange_mail(struct process *p)
{
	for (unsigned i = 1; i < n_processes; i++) {
		struct process *other = &processes[i];

		if (other == p || other->has_ended)
			continue;
		p->mail_to[i] = give(self, self->mail_to[i], MACH_MSG_TYPE_COPY_SEND, p);
		other->mail_to[p->number] = give(self, self->mail_to[p->number], MACH_MSG_TYPE_COPY_SEND, other);
	}
}

struct process *process_start_alone(void)
{
	struct process *p = process_begin(NULL, 0);

	take_balances();
	return p;
}

struct process *process_start_given(const mach_port_t *given, unsigned n_given)
{
	struct process *p = process_begin(given, n_given);

	take_balances();
	return p;
}

struct process *process_start(void)
{
	struct process *p = process_begin(NULL, 0);

	exchange_mail(p);
	take_balances();
	return p;
}

void process_restart(struct process *p)
{
	assert_true(p->has_ended);
	for (unsigned i = 1; i < n_processes; i++)
		if (!processes[i].has_ended && processes[i].mail_to[p->number])
			expect_ok(deallocate_at(&processes[i], processes[i].mail_to[p->number]));
	process_open(p, p->number, NULL, 0);
	exchange_mail(p);
	process_take_balance(p);
}

static void close_lanes(struct process *p)
{
	for (int i = 0; i < LANES; i++) {
		close(p->lanes[i]);
		free(p->runners[i]);
		p->runners[i] = NULL;
	}
	p->has_ended = true;
}

/* Its rights here are dead, or about to be. */
static void forget_rights(struct process *p)
{
	mach_port_deallocate(here(), p->task);
	mach_port_deallocate(here(), self->mail_to[p->number]);
}

static bool has_exited(pid_t pid, int *status)
{
	pid_t r = waitpid(pid, status, WNOHANG);

	assert_true(r >= 0);
	return r > 0;
}

int process_wait(struct process *p)
{
	int status;

	await(has_exited(p->pid, &status));
	close_lanes(p);
	forget_rights(p);
	return status;
}

void process_end(struct process *p)
{
	int status;

	for (int i = 0; i < LANES; i++)
		shutdown(p->lanes[i], SHUT_WR);
	status = process_wait(p);
	if (status != 0)
		fail_msg("process %u ended with status %#x", p->number, (unsigned)status);
}

void processes_forget(void)
{
	for (unsigned i = 1; i < n_processes; i++)
		assert_true(processes[i].has_ended);
	n_processes = 1;
}

void process_kill(struct process *p, int sig)
{
	kill(p->pid, sig);
	process_wait(p);
}

/* ---- tests ------------------------------------------------------------------------------------------------------- */

static void forget_mail(struct process *p)
{
	for (unsigned i = 1; i < n_processes; i++)
		if (p != self && i != p->number && p->mail_to[i] && processes[i].has_ended) {
			deallocate_at(p, p->mail_to[i]);
			p->mail_to[i] = 0;
		}
}

static struct balance balance_alone;

/* Those whom a test left that failed on its way out. */
static void kill_all(void)
{
	for (unsigned i = 1; i < n_processes; i++)
		if (!processes[i].has_ended)
			process_kill(&processes[i], SIGKILL);
	n_processes = 1;
}

int family_setup(void **state)
{
	struct pair *pair = *state;
	unsigned n = pair->owner > pair->holder ? pair->owner : pair->holder;

	kill_all();
	await((do_measure(&balance_alone), balance_alone.n_shared == 0)); /* no link of a test before */
	while (n_processes <= n)
		process_start();
	return 0;
}

static void do_end_notices(long *n)
{
	(void)n;
	end_notices();
}

/* Even after a test that failed: whoever is left is ended. */
static bool end_all(void)
{
	bool ok = true, is_busy = false;

	for (unsigned i = 1; i < n_processes; i++)
		for (int lane = 1; lane < LANES; lane++)
			is_busy |= processes[i].runners[lane] != NULL;
	for (unsigned i = n_processes - 1; i > 0; i--) {
		struct process *p = &processes[i];

		if (p->has_ended)
			continue;
		if (is_busy)
			process_kill(p, SIGKILL);
		else
			process_end(p);
	}
	n_processes = 1;
	self->balance = balance_alone;
	ok = !is_busy && balance_returns(self);
	return ok;
}

static bool all_live(void)
{
	for (unsigned i = 1; i < n_processes; i++)
		if (processes[i].has_ended)
			return false;
	return true;
}

/* What a process that has ended was linked to is not as it was when all had been started, and need not be. */
int family_teardown(void **state)
{
	bool ok = true, is_whole = all_live();

	(void)state;
	for (unsigned i = 0; i < n_processes; i++)
		if (!processes[i].has_ended)
			ask(&processes[i], do_end_notices);
	for (unsigned i = 0; i < n_processes; i++)
		if (is_whole && ok && n_processes > 1) {
			forget_mail(&processes[i]);
			ok = balance_returns(&processes[i]);
		}
	ok = end_all() && ok;
	assert_false(has_dropped_link);
	return ok ? 0 : -1;
}

void pair_run(void **state)
{
	struct pair *pair = *state;

	pair->rule(process_number(pair->owner), process_number(pair->holder));
}

static bool is_linked(void)
{
	struct balance now;

	do_measure(&now);
	return now.n_shared > 0;
}

/* What the library and the C library make once. */
static int warm_up(void **state)
{
	(void)state;
	ask(self, do_open_mailbox);
	process_end(process_start());
	await(!is_linked());
	lock_take(&node.lock); /* with which the last of a link is freed, its descriptors after its memory */
	lock_drop(&node.lock);
	n_processes = 1;
	return 0;
}

int family_run(int argc, char **argv, const struct CMUnitTest *tests, size_t n)
{
	signal(SIGPIPE, SIG_IGN); /* of sockets to somebody who is dead */
	if (argc > 1 && strcmp(argv[1], "--child") == 0)
		return child_main();
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	setvbuf(stdout, NULL, _IOLBF, 0);
	return _cmocka_run_group_tests("process", tests, n, warm_up, NULL);
}

pid_t broker_at(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	struct ucred peer = { 0 };
	socklen_t size = sizeof peer;

	strncpy(address.sun_path, path, sizeof address.sun_path - 1);
	if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
		getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size);
	close(fd);
	return peer.pid;
}
