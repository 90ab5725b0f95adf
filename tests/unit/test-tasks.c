/* SPDX-License-Identifier: MIT */
/* Tasks and threads: entering, ending, forking, interrupting. */
#include "world.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/target.h"

/* ---- tasks that end */

static void ending_a_task_frees_its_blocked_receiver(void **state)
{
	struct world *w = *state;
	static struct caller c;

	caller_start_receive(&c, w->b, port_in(w->b), 0);
	expect_ok(task_terminate(w->b));
	expect_eq(type_of(here(), w->b), MACH_PORT_TYPE_DEAD_NAME);
	assert_int_not_equal(caller_join(&c), MACH_MSG_SUCCESS);
}

static void ending_a_task_frees_its_blocked_sender_and_the_rights_it_sends(void **state)
{
	struct world *w = *state;
	mach_port_t p = port_in(w->a), to = give_send(w->a, p, w->b), reply = port_in(w->a);
	mach_port_t carried = give_send(w->a, reply, w->b);
	static struct caller c;

	expect_ok(mach_port_set_qlimit(w->a, p, 1));
	expect_ok(send_id(w->b, to, 1));
	expect_ok(watch_no_senders(w->a, reply));
	letter_to(&c.letter, to, MACH_MSG_TYPE_COPY_SEND, 2);
	letter_add_port(&c.letter, carried, MACH_MSG_TYPE_MOVE_SEND);
	caller_start_send(&c, w->b, 0);
	expect_eq(send_rights(w->a, reply), 1);
	expect_ok(task_terminate(w->b));
	assert_int_not_equal(caller_join(&c), MACH_MSG_SUCCESS);
	expect_notice(w->a, NO_SENDERS, reply);
	expect_message(w->a, p, 1);
	expect_no_message(w->a, p);
	expect_eq(send_rights(w->a, p), 0);
}

static void ending_a_task_frees_those_who_send_to_it(void **state)
{
	struct world *w = *state;
	mach_port_t p = port_in(w->b), to = give_send(w->b, p, w->a);
	static struct caller c;

	expect_ok(mach_port_set_qlimit(w->b, p, 1));
	expect_ok(send_id(w->a, to, 1));
	letter_to(&c.letter, to, MACH_MSG_TYPE_COPY_SEND, 2);
	caller_start_send(&c, w->a, 0);
	expect_ok(task_terminate(w->b));
	expect_ok(caller_join(&c)); /* its message is destroyed like one that was queued */
	expect_eq(type_of(w->a, to), MACH_PORT_TYPE_DEAD_NAME);
}

static void ended_task_cannot_be_ended_again(void **state)
{
	struct world *w = *state;

	expect_ok(task_terminate(w->a));
	expect_result(task_terminate(w->a), MACH_SEND_INVALID_DEST);
	expect_result(mach_port_allocate(w->a, MACH_PORT_RIGHT_RECEIVE, &(mach_port_t){ 0 }), MACH_SEND_INVALID_DEST);
}

static void two_tasks_that_hold_each_other_end(void **state)
{
	struct world *w = *state;

	expect_ok(mach_port_insert_right(w->a, 9001, w->b, MACH_MSG_TYPE_COPY_SEND));
	expect_ok(mach_port_insert_right(w->b, 9002, w->a, MACH_MSG_TYPE_COPY_SEND));
	expect_ok(task_terminate(w->a));
	expect_eq(type_of(w->b, 9002), MACH_PORT_TYPE_DEAD_NAME);
	expect_ok(task_terminate(w->b));
}

static void *end_own_task(void *data)
{
	kern_return_t *results = data;
	mach_port_t p;

	results[0] = task_terminate(mach_task_self());
	results[1] = mach_port_allocate(mach_task_self(), MACH_PORT_RIGHT_RECEIVE, &p);
	return NULL;
}

static void thread_may_end_the_task_it_is_in(void **state)
{
	struct world *w = *state;
	kern_return_t results[2];
	pthread_t t;

	expect_ok(portunus_thread_create(w->a, &t, end_own_task, results));
	pthread_join(t, NULL);
	expect_ok(results[0]);
	assert_int_not_equal(results[1], KERN_SUCCESS);
	expect_eq(type_of(here(), w->a), MACH_PORT_TYPE_DEAD_NAME);
}

/* ---- entering */

static void thread_acts_in_the_task_it_entered(void **state)
{
	struct world *w = *state;
	mach_port_t p = MACH_PORT_NULL;
	task_t self = mach_task_self(), way_back, again;

	way_back = portunus_task_enter(w->a);
	assert_int_not_equal(way_back, MACH_PORT_NULL);
	expect_ok(mach_port_allocate(mach_task_self(), MACH_PORT_RIGHT_RECEIVE, &p));
	again = portunus_task_enter(way_back);
	expect_eq(mach_task_self(), self);
	expect_eq(again, w->a);
	expect_ok(mach_port_deallocate(here(), again));
	expect_eq(type_of(w->a, p), MACH_PORT_TYPE_RECEIVE);
}

/* the name that a thread's port has by itself goes when the thread leaves; a reference that somebody asked for stays */
static void leaving_a_task_keeps_what_was_asked_for(void **state)
{
	struct world *w = *state;
	mach_port_t own = mach_thread_self();

	expect_eq(portunus_thread_port(pthread_self()), own);
	expect_eq(refs_of(here(), own, MACH_PORT_RIGHT_SEND), 2);
	for (int i = 0; i < 3; i++) {
		in_task_begin(w->a);
		in_task_end();
		expect_eq(mach_thread_self(), own);
		expect_eq(refs_of(here(), own, MACH_PORT_RIGHT_SEND), 1);
	}
	expect_ok(mach_port_deallocate(here(), own));
}

/* in a task that ends; the number of the first thing that is wrong, 0 if nothing is */
static void *ask_in_an_ended_task(void *data)
{
	int *wrong = data;

	*wrong = 1;
	if (task_terminate(mach_task_self()))
		return NULL;
	*wrong = mach_task_self() != MACH_PORT_NULL		 ? 2
		 : mach_thread_self() != MACH_PORT_NULL		 ? 3
		 : mach_reply_port() != MACH_PORT_NULL		 ? 4
		 : portunus_task_enter(0x5555) != MACH_PORT_NULL ? 5
								 : 0;
	return NULL;
}

static void ended_task_has_no_names_for_those_in_it(void **state)
{
	struct world *w = *state;
	int wrong = -1;
	pthread_t t;

	expect_ok(mach_port_insert_right(w->a, 0x5555, w->b, MACH_MSG_TYPE_COPY_SEND));
	expect_ok(portunus_thread_create(w->a, &t, ask_in_an_ended_task, &wrong));
	pthread_join(t, NULL);
	expect_eq(wrong, 0);
}

static void what_is_no_task_cannot_be_entered(void **state)
{
	struct world *w = *state;
	mach_port_t p = port_with_send_in(here());
	task_t self = mach_task_self();

	expect_eq(portunus_task_enter(MACH_PORT_NULL), MACH_PORT_NULL);
	expect_eq(portunus_task_enter(p), MACH_PORT_NULL);
	expect_eq(portunus_task_enter(UNUSED_NAME), MACH_PORT_NULL);
	expect_ok(task_terminate(w->a));
	expect_eq(portunus_task_enter(w->a), MACH_PORT_NULL);
	expect_eq(mach_task_self(), self);
	expect_ok(mach_port_destroy(here(), p));
}

/* from a into b, then a ends; the number of the first thing that is wrong, 0 if nothing is */
static int leave_a_task_that_ends(struct world *w)
{
	task_t a_in_b;

	if (portunus_task_enter(w->a) == MACH_PORT_NULL)
		return 1;
	a_in_b = portunus_task_enter(0x5555);
	if (a_in_b == MACH_PORT_NULL)
		return 2;
	if (task_terminate(a_in_b))
		return 3;
	if (portunus_task_enter(a_in_b) != MACH_PORT_NULL)
		return 4;
	return mach_port_deallocate(mach_task_self(), a_in_b) ? 5 : 0;
}

struct leaving {
	struct world *world;
	int wrong;
};

static void *leaving_main(void *data)
{
	struct leaving *l = data;

	l->wrong = leave_a_task_that_ends(l->world);
	return NULL;
}

static void task_that_ended_does_not_keep_its_threads(void **state)
{
	struct leaving l = { .world = *state, .wrong = -1 };
	pthread_t t;

	expect_ok(mach_port_insert_right(l.world->a, 0x5555, l.world->b, MACH_MSG_TYPE_COPY_SEND));
	assert_int_equal(pthread_create(&t, NULL, leaving_main, &l), 0);
	pthread_join(t, NULL);
	expect_eq(l.wrong, 0);
}

/* ---- threads */

static void *get_reply_port(void *data)
{
	*(mach_port_t *)data = mig_get_reply_port();
	if (mig_get_reply_port() != *(mach_port_t *)data)
		*(mach_port_t *)data = MACH_PORT_NULL;
	return NULL;
}

static void each_thread_has_a_reply_port_that_goes_with_it(void **state)
{
	struct world *w = *state;
	mach_port_t own = mig_get_reply_port(), ports[2];
	unsigned n = names_in(here());
	pthread_t t[2];

	(void)w;
	for (int i = 0; i < 2; i++)
		pthread_create(&t[i], NULL, get_reply_port, &ports[i]);
	for (int i = 0; i < 2; i++) {
		pthread_join(t[i], NULL);
		assert_int_not_equal(ports[i], MACH_PORT_NULL);
		assert_int_not_equal(ports[i], own);
	}
	expect_eq(names_in(here()), n);
	expect_eq(mig_get_reply_port(), own);
	mig_dealloc_reply_port(own);
}

static void port_of_a_thread_dies_with_it(void **state)
{
	struct world *w = *state;
	mach_port_t p = port_in(w->a), thread, own = give_send(w->a, p, here());
	static struct caller c;

	caller_start_receive(&c, w->a, p, 0);
	thread = portunus_thread_port(c.thread);
	assert_int_not_equal(thread, MACH_PORT_NULL);
	expect_eq(refs_of(here(), thread, MACH_PORT_RIGHT_SEND), 1);
	expect_ok(watch_dead_name(here(), thread));
	expect_ok(send_id(here(), own, 1));
	expect_ok(caller_join(&c));
	expect_notice(here(), DEAD_NAME, thread);
	expect_ok(mach_port_deallocate(here(), thread));
	expect_ok(mach_port_deallocate(here(), own));
}

static void terminated_thread_stops_waiting(void **state)
{
	struct world *w = *state;
	static struct caller c;
	mach_port_t thread;

	caller_start_receive(&c, w->a, port_in(w->a), MACH_RCV_INTERRUPT);
	thread = portunus_thread_port(c.thread);
	expect_ok(thread_terminate(thread));
	pthread_join(c.thread, NULL);
	assert_false(atomic_load(&c.done)); /* it never came back from its call */
	expect_eq(type_of(here(), thread), MACH_PORT_TYPE_DEAD_NAME);
	expect_result(thread_terminate(thread), MACH_SEND_INVALID_DEST);
	expect_ok(mach_port_deallocate(here(), thread));
}

/* ---- interrupting */

static void abort_ends_a_wait_that_asked_for_it(void **state)
{
	struct world *w = *state;
	mach_port_t p = port_with_send_in(w->a), thread;
	static struct caller c;

	caller_start_receive(&c, w->a, p, MACH_RCV_INTERRUPT);
	thread = portunus_thread_port(c.thread);
	expect_ok(thread_abort(thread));
	expect_result(caller_join(&c), MACH_RCV_INTERRUPTED);
	expect_ok(mach_port_deallocate(here(), thread));
	expect_ok(mach_port_set_qlimit(w->a, p, 0));
	letter_to(&c.letter, p, MACH_MSG_TYPE_COPY_SEND, 1);
	caller_start_send(&c, w->a, MACH_SEND_INTERRUPT);
	thread = portunus_thread_port(c.thread);
	expect_ok(thread_abort(thread));
	expect_result(caller_join(&c), MACH_SEND_INTERRUPTED);
	expect_eq(refs_of(w->a, p, MACH_PORT_RIGHT_SEND), 2); /* the message came back, its right a reference more */
	expect_ok(mach_port_deallocate(here(), thread));
}

static void abort_is_hidden_from_a_wait_that_did_not_ask(void **state)
{
	struct world *w = *state;
	mach_port_t p = port_with_send_in(w->a), thread;
	static struct caller c;

	caller_start_receive(&c, w->a, p, 0);
	thread = portunus_thread_port(c.thread);
	for (int i = 0; i < 5; i++)
		expect_ok(thread_abort(thread));
	while (!caller_sleeps(&c))
		assert_false(atomic_load(&c.done));
	expect_ok(send_id(w->a, p, 7));
	expect_ok(caller_join(&c));
	expect_eq(c.letter.header.msgh_id, 7);
	expect_ok(mach_port_deallocate(here(), thread));
}

static void on_signal(int number)
{
	(void)number;
}

static void signal_while_receiving(struct world *w, int flags, mach_msg_option_t option, mach_msg_return_t expected)
{
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = flags };
	mach_port_t p = port_with_send_in(w->a);
	static struct caller c;

	sigaction(SIGUSR1, &action, NULL);
	caller_start_receive(&c, w->a, p, option);
	pthread_kill(c.thread, SIGUSR1);
	if (expected == MACH_MSG_SUCCESS) { /* it goes on to wait, and gets what comes */
		while (!caller_sleeps(&c))
			assert_false(atomic_load(&c.done));
		expect_ok(send_id(w->a, p, 7));
	}
	expect_result(caller_join(&c), expected);
	signal(SIGUSR1, SIG_DFL);
}

static void signal_ends_a_wait_that_asked_for_it(void **state)
{
	signal_while_receiving(*state, 0, MACH_RCV_INTERRUPT, MACH_RCV_INTERRUPTED);
	signal_while_receiving(*state, SA_RESTART, MACH_RCV_INTERRUPT, MACH_RCV_INTERRUPTED);
}

static void signal_is_hidden_from_a_wait_that_did_not_ask(void **state)
{
	signal_while_receiving(*state, 0, 0, MACH_MSG_SUCCESS);
	signal_while_receiving(*state, SA_RESTART, 0, MACH_MSG_SUCCESS);
}

static void trap_does_not_hide_an_interruption(void **state)
{
	struct world *w = *state;
	struct sigaction action = { .sa_handler = on_signal };
	mach_port_t p = port_in(here());
	struct letter l;

	(void)w;
	sigaction(SIGALRM, &action, NULL);
	ualarm(20000, 20000);
	expect_result(mach_msg_trap(&l.header, MACH_RCV_MSG, 0, sizeof(l.bytes), p, 0, MACH_PORT_NULL),
		      MACH_RCV_INTERRUPTED);
	ualarm(0, 0);
	signal(SIGALRM, SIG_DFL);
	expect_ok(mach_port_destroy(here(), p));
}

/* ---- fork */

/* in the child: the number of the first thing that is wrong, 0 if nothing is */
static int child_is_fresh(mach_port_t of_parent, task_t task_of_parent)
{
	mach_port_type_t type;
	mach_port_t p;
	struct letter l;

	if (mach_port_type(mach_task_self(), of_parent, &type) == KERN_SUCCESS && type & MACH_PORT_TYPE_RECEIVE)
		return 1;
	if (task_of_parent != mach_task_self() &&
	    mach_port_allocate(task_of_parent, MACH_PORT_RIGHT_RECEIVE, &p) == KERN_SUCCESS)
		return 2;
	if (mach_port_allocate(mach_task_self(), MACH_PORT_RIGHT_RECEIVE, &p))
		return 3;
	letter_to(&l, p, MACH_MSG_TYPE_MAKE_SEND, 5);
	if (mach_msg(&l.header, MACH_SEND_MSG, l.size, 0, MACH_PORT_NULL, 0, MACH_PORT_NULL))
		return 4;
	if (mach_msg(&l.header, MACH_RCV_MSG, 0, sizeof(l.bytes), p, 0, MACH_PORT_NULL) || l.header.msgh_id != 5)
		return 5;
	return mig_get_reply_port() == MACH_PORT_NULL ? 6 : 0;
}

static void forked_child_is_a_fresh_task(void **state)
{
	struct world *w = *state;
	mach_port_t p = port_with_send_in(here());
	int status;
	pid_t pid;

	expect_ok(send_id(here(), p, 1));
	expect_ok(watch_no_senders(here(), p));
	pid = fork();
	if (pid == 0)
		_exit(child_is_fresh(p, w->a));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	expect_no_notice(here()); /* what the child lost, it never held */
	expect_message(here(), p, 1);
	expect_ok(mach_port_deallocate(here(), p));
	expect_notice(here(), NO_SENDERS, p);
	expect_ok(mach_port_destroy(here(), p));
}

/* another thread is in the kernel all the time, with locks that the child must not find taken */
static void *keep_busy(void *data)
{
	atomic_bool *stop = data;
	mach_port_t p;

	while (!atomic_load(stop))
		if (mach_port_allocate(mach_task_self(), MACH_PORT_RIGHT_RECEIVE, &p) == KERN_SUCCESS)
			mach_port_destroy(mach_task_self(), p);
	return NULL;
}

static void fork_finds_no_lock_taken(void **state)
{
	struct world *w = *state;
	atomic_bool stop = false;
	pthread_t t;

#ifdef __SANITIZE_ADDRESS__
	/* The sanitizer's own allocator does not survive a fork while another thread allocates, as messages always do. */
	if (target_is_always_sent_to)
		skip();
#endif
	pthread_create(&t, NULL, keep_busy, &stop);
	for (int i = 0; i < 50; i++) {
		int status;
		pid_t pid = fork();

		if (pid == 0) {
			alarm(10);
			_exit(child_is_fresh(MACH_PORT_NULL, w->a));
		}
		waitpid(pid, &status, 0);
		assert_int_equal(status, 0);
	}
	atomic_store(&stop, true);
	pthread_join(t, NULL);
}

/* ---- what a task is born with */

static void child_inherits_special_and_registered_ports(void **state)
{
	struct world *w = *state;
	mach_port_t boot = port_with_send_in(here()), got = MACH_PORT_NULL, before = MACH_PORT_NULL, *registered;
	mach_msg_type_number_t n = 0;
	task_t child;

	(void)w;
	expect_ok(task_get_special_port(here(), TASK_BOOTSTRAP_PORT, &before));
	expect_ok(task_set_special_port(here(), TASK_BOOTSTRAP_PORT, boot));
	expect_ok(mach_ports_register(here(), &boot, 1));
	expect_ok(task_create(here(), FALSE, &child));
	expect_ok(task_get_special_port(child, TASK_BOOTSTRAP_PORT, &got));
	expect_eq(got, boot);
	expect_ok(mach_ports_lookup(child, &registered, &n));
	expect_eq(n, TASK_PORT_REGISTER_MAX);
	expect_eq(registered[0], boot);
	expect_eq(registered[1], MACH_PORT_NULL);
	expect_ok(vm_deallocate(here(), (vm_address_t)registered, n * sizeof(*registered)));
	expect_ok(task_terminate(child));
	expect_ok(mach_port_deallocate(here(), child));
	expect_ok(task_set_special_port(here(), TASK_BOOTSTRAP_PORT, before));
	if (MACH_PORT_VALID(before))
		expect_ok(mach_port_deallocate(here(), before));
	expect_ok(mach_ports_register(here(), NULL, 0));
	expect_eq(send_rights(here(), boot), 1);
	expect_ok(mach_port_destroy(here(), boot));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		world_test(ending_a_task_frees_its_blocked_receiver),
		world_test(ending_a_task_frees_its_blocked_sender_and_the_rights_it_sends),
		world_test(ending_a_task_frees_those_who_send_to_it),
		world_test(ended_task_cannot_be_ended_again),
		world_test(two_tasks_that_hold_each_other_end),
		world_test(thread_may_end_the_task_it_is_in),
		world_test(thread_acts_in_the_task_it_entered),
		world_test(leaving_a_task_keeps_what_was_asked_for),
		world_test(ended_task_has_no_names_for_those_in_it),
		world_test(what_is_no_task_cannot_be_entered),
		world_test(task_that_ended_does_not_keep_its_threads),
		world_test(each_thread_has_a_reply_port_that_goes_with_it),
		world_test(port_of_a_thread_dies_with_it),
		world_test(terminated_thread_stops_waiting),
		world_test(abort_ends_a_wait_that_asked_for_it),
		world_test(abort_is_hidden_from_a_wait_that_did_not_ask),
		world_test(signal_ends_a_wait_that_asked_for_it),
		world_test(signal_is_hidden_from_a_wait_that_did_not_ask),
		world_test(trap_does_not_hide_an_interruption),
		world_test(forked_child_is_a_fresh_task),
		world_test(fork_finds_no_lock_taken),
		world_test(child_inherits_special_and_registered_ports),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
