/* SPDX-License-Identifier: MIT */
/* Calls on tasks as messages: what is asked by message is done as if it were asked at once, and what is no request, or no
 * answer, does no harm. The tests that are built a second time with by-message.c show the same from the other side. */
#include "world.h"

#include <mach/mig_errors.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/target.h"
#include "kernel/callmsg.h"
#include "kernel/copyin.h"
#include "kernel/count.h"
#include "kernel/image.h"
#include "kernel/kernel.h"
#include "kernel/message.h"
#include "kernel/object.h"
#include "kernel/send.h"

#define INLINE_RIGHT_BITS (8 * sizeof(mach_port_name_inlined_t))

/* Everything that exists is counted, in builds that count. */
static struct kernel_counts counts(void)
{
	struct kernel_counts c = { 0 };
#ifndef NDEBUG
	kernel_counts_read(&c);
#endif
	return c;
}

static void expect_counts(struct kernel_counts before)
{
	struct kernel_counts after = counts();

	assert_memory_equal(&before, &after, sizeof before);
}

/* ---- requests, written as any program could */

static void request_begin(struct letter *l, mach_port_t to, int op, mach_port_t reply)
{
	letter_to(l, to, MACH_MSG_TYPE_COPY_SEND, CALL_MESSAGE_ID + op);
	if (reply)
		letter_reply_to(l, reply, MACH_MSG_TYPE_MAKE_SEND_ONCE);
}

static void request_add_numbers(struct letter *l, const uint64_t *numbers, unsigned n)
{
	letter_add_type(l, MACH_MSG_TYPE_INTEGER_64, 64, n, true, false);
	letter_add_raw(l, numbers, n * sizeof *numbers);
}

static void request_add_rights(struct letter *l, const mach_port_t *names, unsigned n, unsigned disposition)
{
	mach_port_name_inlined_t in;

	letter_add_type(l, disposition, INLINE_RIGHT_BITS, n, true, false);
	for (unsigned i = 0; i < n; i++) {
		memset(&in, 0, sizeof in);
		in.name = names[i];
		letter_add_raw(l, &in, sizeof in);
	}
	l->header.msgh_bits |= MACH_MSGH_BITS_COMPLEX;
}

/* ---- answers, read as any program could */

struct told {
	kern_return_t result;
	uint64_t numbers[ANSWER_NUMBERS_MAX];
	unsigned n_rights;
	mach_port_t rights[TASK_REGISTERED_MAX];
	mach_msg_type_name_t kind;
	unsigned n_elements;
	natural_t *arrays[ANSWER_ARRAYS_MAX];
	unsigned n_arrays;
};

static void told_read_item(struct told *t, const struct letter *l, const struct descriptor *d)
{
	if (!d->is_inline) {
		t->n_elements = (unsigned)d->number;
		memcpy(&t->arrays[t->n_arrays++], l->bytes + d->data, sizeof t->arrays[0]);
	} else if (d->type == MACH_MSG_TYPE_INTEGER_64) {
		memcpy(t->numbers, l->bytes + d->data, d->length);
	} else if (MACH_MSG_TYPE_PORT_ANY(d->type)) {
		t->kind = d->type;
		t->n_rights = (unsigned)d->number;
		for (unsigned i = 0; i < t->n_rights; i++)
			t->rights[i] = image_read_name(l->bytes, d->data + i * (uint32_t)(INLINE_RIGHT_BITS / 8));
	} else {
		memcpy(&t->result, l->bytes + d->data, sizeof t->result);
	}
}

static void told_read(struct told *t, const struct letter *l)
{
	struct descriptor d;

	memset(t, 0, sizeof *t);
	for (uint32_t at = sizeof l->header; at < l->size; at = d.end) {
		expect_ok(image_read_descriptor(l->bytes, l->size, at, &d));
		told_read_item(t, l, &d);
	}
}

/* Sends a request that has been written, and reads what comes back to @reply. */
static mach_msg_return_t exchange(struct letter *l, mach_port_t reply, struct told *t)
{
	int id = l->header.msgh_id;
	mach_msg_return_t r = post(here(), l);

	if (r == MACH_SEND_INVALID_RIGHT)
		expect_message(here(), reply, MACH_NOTIFY_SEND_ONCE);
	if (r)
		return r;
	expect_ok(fetch(here(), reply, l));
	expect_eq(l->header.msgh_id, id + CALL_ANSWER_OFFSET);
	told_read(t, l);
	return MACH_MSG_SUCCESS;
}

/* One call with numbers only. */
static kern_return_t ask(mach_port_t to, int op, const uint64_t *numbers, struct told *t)
{
	mach_port_t reply = port_in(here());
	struct letter l;

	request_begin(&l, to, op, reply);
	if (call_form((uint32_t)op)->takes.n_numbers)
		request_add_numbers(&l, numbers, call_form((uint32_t)op)->takes.n_numbers);
	expect_ok(exchange(&l, reply, t));
	expect_ok(mach_port_destroy(here(), reply));
	return t->result;
}

/* ---- twins: two tasks with the same history, one asked at once and one by message */

#define POOL  6
#define STEPS 6000

struct twin {
	task_t task;
	mach_port_t pool[POOL]; /* names of rights in the test's own task */
	mach_port_t reply;
};

/* One random call, the same for both. */
struct step {
	enum call_op op;
	uint64_t numbers[CALL_NUMBERS_MAX];
	unsigned argument; /* in the pool; POOL: null */
	mach_msg_type_name_t disposition;
	unsigned keep; /* where in the pool a right goes that comes back */
};

static uint32_t seed = 1;

static uint32_t pick(uint32_t n)
{
	seed = seed * 1664525 + 1013904223;
	return (seed >> 16) % n;
}

static uint64_t pick_name(void)
{
	switch (pick(20)) {
	case 0:
		return MACH_PORT_NULL;
	case 1:
		return MACH_PORT_DEAD;
	case 2:
		return 0x5000 + pick(3);
	default:
		return 1 + pick(12);
	}
}

static const enum call_op twin_ops[] = {
	CALL_PORT_ALLOCATE,	CALL_PORT_ALLOCATE,	 CALL_PORT_ALLOCATE_NAME,
	CALL_PORT_DEALLOCATE,	CALL_PORT_DESTROY,	 CALL_PORT_RENAME,
	CALL_PORT_TYPE,		CALL_PORT_GET_REFS,	 CALL_PORT_MOD_REFS,
	CALL_PORT_MOVE_MEMBER,	CALL_PORT_NAMES,	 CALL_PORT_GET_SET_STATUS,
	CALL_PORT_SET_QLIMIT,	CALL_PORT_SET_MSCOUNT,	 CALL_PORT_SET_SEQNO,
	CALL_PORT_SET_PAYLOAD,	CALL_PORT_CLEAR_PAYLOAD, CALL_PORT_GET_RECEIVE_STATUS,
	CALL_PORT_GET_SRIGHTS,	CALL_PORT_INSERT_RIGHT,	 CALL_PORT_INSERT_RIGHT,
	CALL_PORT_INSERT_RIGHT, CALL_PORT_EXTRACT_RIGHT, CALL_PORT_EXTRACT_RIGHT,
	CALL_PORT_REQUEST,	CALL_PORT_REQUEST,	 CALL_TASK_GET_SPECIAL,
	CALL_TASK_SET_SPECIAL,	CALL_TASK_REGISTER,	 CALL_TASK_LOOKUP,
	CALL_THREAD_ABORT,	CALL_THREAD_TERMINATE,
};

static struct step pick_step(void)
{
	struct step s = { .op = twin_ops[pick(sizeof twin_ops / sizeof *twin_ops)] };

	for (unsigned i = 0; i < CALL_NUMBERS_MAX; i++)
		s.numbers[i] = pick_name();
	s.argument = pick(POOL + 1);
	s.disposition = MACH_MSG_TYPE_MOVE_RECEIVE + pick(6);
	s.keep = pick(POOL);
	switch (s.op) {
	case CALL_PORT_ALLOCATE:
	case CALL_PORT_ALLOCATE_NAME:
		s.numbers[0] = 1 + pick(5);
		break;
	case CALL_PORT_GET_REFS:
		s.numbers[1] = pick(6);
		break;
	case CALL_PORT_MOD_REFS:
		s.numbers[1] = pick(6);
		s.numbers[2] = (uint32_t)((int)pick(5) - 2);
		break;
	case CALL_PORT_EXTRACT_RIGHT:
		s.numbers[1] = MACH_MSG_TYPE_MOVE_RECEIVE + pick(7);
		break;
	case CALL_PORT_REQUEST:
		s.numbers[1] = MACH_NOTIFY_FIRST + pick(10);
		s.numbers[2] = pick(3) / 2;
		s.disposition = pick(4) ? MACH_MSG_TYPE_MAKE_SEND_ONCE : s.disposition;
		break;
	case CALL_TASK_GET_SPECIAL:
	case CALL_TASK_SET_SPECIAL:
		s.numbers[0] = TASK_KERNEL_PORT + 1 + pick(4); /* not the task's own: that stays out of the pool */
		s.disposition = MACH_MSG_TYPE_COPY_SEND;
		break;
	case CALL_TASK_REGISTER:
		s.disposition = MACH_MSG_TYPE_COPY_SEND;
		break;
	default:
		break;
	}
	return s;
}

static bool takes_right(enum call_op op)
{
	return call_form(op)->takes.max_rights > 0;
}

static mach_port_t twin_argument(const struct twin *twin, const struct step *s)
{
	return s->argument < POOL ? twin->pool[s->argument] : MACH_PORT_NULL;
}

static kern_return_t step_by_message(const struct twin *twin, const struct step *s, struct told *t)
{
	const mach_port_t argument = twin_argument(twin, s);
	mach_msg_return_t r;
	struct letter l;

	request_begin(&l, twin->task, (int)s->op, twin->reply);
	if (call_form(s->op)->takes.n_numbers)
		request_add_numbers(&l, s->numbers, call_form(s->op)->takes.n_numbers);
	if (takes_right(s->op))
		request_add_rights(&l, &argument, 1, s->disposition);
	r = exchange(&l, twin->reply, t);
	return r ? r : t->result;
}

/* The answer of a call at once, as it would be told. */
static void told_from_answer(struct told *t, const struct call_shape *shape, struct answer *answer)
{
	memset(t, 0, sizeof *t);
	if (shape->n_numbers)
		memcpy(t->numbers, answer->numbers, shape->n_numbers * sizeof t->numbers[0]);
	t->n_rights = shape->max_rights ? answer->n_rights : 0;
	if (t->n_rights)
		t->kind = answer->rights[0].kind;
	for (unsigned i = 0; i < t->n_rights; i++)
		expect_ok(result_copyout(thread_self(), &answer->rights[i], &t->rights[i]));
	t->n_arrays = shape->n_arrays;
	for (unsigned i = 0; i < t->n_arrays; i++) {
		t->n_elements = (unsigned)(answer->arrays[i].size / sizeof(natural_t));
		t->arrays[i] = memory_give(&answer->arrays[i], thread_self()->task);
	}
}

static kern_return_t step_at_once(const struct twin *twin, const struct step *s, struct told *t)
{
	struct call call = { .op = s->op };
	struct answer answer;
	kern_return_t r;

	memcpy(call.numbers, s->numbers, sizeof call.numbers);
	if (takes_right(s->op))
		r = target_call_with(twin->task, &call, twin_argument(twin, s), s->disposition, &answer);
	else
		r = target_call(twin->task, &call, &answer);
	if (!r)
		told_from_answer(t, &call_form(s->op)->gives, &answer);
	return r;
}

static void expect_same_told(const struct told *a, const struct told *b)
{
	assert_memory_equal(a->numbers, b->numbers, sizeof a->numbers);
	expect_eq(a->n_rights, b->n_rights);
	expect_eq(a->kind, b->kind);
	for (unsigned i = 0; i < a->n_rights; i++)
		expect_eq(type_of(here(), a->rights[i]), type_of(here(), b->rights[i]));
	expect_eq(a->n_arrays, b->n_arrays);
	expect_eq(a->n_elements, b->n_elements);
	for (unsigned i = 0; i < a->n_arrays; i++)
		assert_memory_equal(a->arrays[i], b->arrays[i], a->n_elements * sizeof(natural_t));
}

/* What has gone from the pool is replaced. */
static void twin_refill(struct twin *twin)
{
	for (unsigned i = 0; i < POOL; i++)
		if (!type_of(here(), twin->pool[i]))
			twin->pool[i] = port_with_send_in(here());
}

/* The first right that came takes a place in the pool, everything else is given back. */
static void twin_keep(struct twin *twin, const struct step *s, struct told *t)
{
	for (unsigned i = 0; i < t->n_rights; i++) {
		if (i == 0 && MACH_PORT_VALID(t->rights[0])) {
			if (twin->pool[s->keep] != t->rights[0])
				mach_port_destroy(here(), twin->pool[s->keep]);
			twin->pool[s->keep] = t->rights[0];
			twin_refill(twin);
		} else if (MACH_PORT_VALID(t->rights[i])) {
			mach_port_deallocate(here(), t->rights[i]);
		}
	}
	for (unsigned i = 0; i < t->n_arrays; i++)
		if (t->n_elements)
			vm_deallocate(here(), (vm_address_t)t->arrays[i], t->n_elements * sizeof(natural_t));
}

static void expect_same_name(task_t a, mach_port_t a_name, task_t b, mach_port_t b_name)
{
	mach_port_type_t type = type_of(a, a_name);
	mach_port_status_t a_status, b_status;

	expect_eq(type, type_of(b, b_name));
	for (mach_port_right_t right = 0; right < MACH_PORT_RIGHT_NUMBER; right++)
		expect_eq(refs_of(a, a_name, right), refs_of(b, b_name, right));
	if (!(type & MACH_PORT_TYPE_RECEIVE))
		return;
	a_status = status_of(a, a_name);
	b_status = status_of(b, b_name);
	if (a != b)
		expect_eq(a_status.mps_pset, b_status.mps_pset);
	a_status.mps_pset = b_status.mps_pset = 0;
	assert_memory_equal(&a_status, &b_status, sizeof a_status);
	expect_eq(send_rights(a, a_name), send_rights(b, b_name));
}

static void expect_same_twins(const struct twin *a, const struct twin *b)
{
	struct told in_a, in_b;

	expect_ok(step_at_once(a, &(struct step){ .op = CALL_PORT_NAMES }, &in_a));
	expect_ok(step_at_once(b, &(struct step){ .op = CALL_PORT_NAMES }, &in_b));
	expect_same_told(&in_a, &in_b);
	for (unsigned i = 0; i < in_a.n_elements; i++)
		expect_same_name(a->task, in_a.arrays[0][i], b->task, in_b.arrays[0][i]);
	for (unsigned i = 0; i < POOL; i++)
		expect_same_name(here(), a->pool[i], here(), b->pool[i]);
	twin_keep(NULL, NULL, &in_a);
	twin_keep(NULL, NULL, &in_b);
}

/* Names of a port in two places of the pool, or of a right that has since gone, are the same places for both. */
static bool pools_are_alike(const struct twin *a, const struct twin *b)
{
	for (unsigned i = 0; i < POOL; i++)
		for (unsigned k = 0; k < i; k++)
			if ((a->pool[i] == a->pool[k]) != (b->pool[i] == b->pool[k]))
				return false;
	return true;
}

static void twin_end(struct twin *twin)
{
	for (unsigned i = 0; i < POOL; i++)
		if (type_of(here(), twin->pool[i]))
			mach_port_destroy(here(), twin->pool[i]);
	mach_port_destroy(here(), twin->reply);
}

static void call_by_message_does_what_a_call_at_once_does(void **state)
{
	struct world *w = *state;
	struct twin a = { .task = w->a }, b = { .task = w->b };
	unsigned n_ok = 0;

	a.reply = port_in(here());
	b.reply = port_in(here());
	twin_refill(&a);
	twin_refill(&b);
	for (int i = 0; i < STEPS; i++) {
		struct step s = pick_step();
		struct told told_a = { 0 }, told_b = { 0 };
		kern_return_t at_once;

		at_once = step_at_once(&a, &s, &told_a);
		twin_refill(&a); /* before its names are used for something else */
		expect_result(step_by_message(&b, &s, &told_b), at_once);
		twin_refill(&b);
		n_ok += !at_once;
		expect_same_told(&told_a, &told_b);
		twin_keep(&a, &s, &told_a);
		twin_keep(&b, &s, &told_b);
		expect_same_twins(&a, &b);
		assert_true(pools_are_alike(&a, &b));
	}
	assert_true(n_ok > STEPS / 4);
	twin_end(&a);
	twin_end(&b);
}

/* ---- what the twins cannot show */

static void answer_that_gives_nothing_is_a_bare_mig_reply(void **state)
{
	struct world *w = *state;
	mach_port_t reply = port_in(here()), p = port_in(w->a);
	uint64_t name = p;
	struct told told;
	struct letter l;

	request_begin(&l, w->a, CALL_PORT_DESTROY, reply);
	request_add_numbers(&l, &name, 1);
	expect_ok(exchange(&l, reply, &told));
	expect_ok(told.result);
	expect_eq(l.size, sizeof(mig_reply_header_t));
	expect_eq(type_of(w->a, p), 0);
	expect_ok(mach_port_destroy(here(), reply));
}

static void task_made_by_message_is_the_childs_of_who_was_asked(void **state)
{
	struct world *w = *state;
	mach_port_t p = port_with_send_in(here()), special;
	struct told told;

	expect_ok(task_set_special_port(w->a, TASK_BOOTSTRAP_PORT, p));
	expect_ok(ask(w->a, CALL_TASK_CREATE, NULL, &told));
	expect_eq(told.n_rights, 1);
	expect_ok(task_get_special_port(told.rights[0], TASK_BOOTSTRAP_PORT, &special));
	expect_eq(special, p);
	expect_ok(task_terminate(told.rights[0]));
	expect_ok(mach_port_deallocate(here(), told.rights[0]));
	expect_ok(mach_port_destroy(here(), p));
}

static void task_ends_by_message(void **state)
{
	struct world *w = *state;
	struct told told;

	expect_ok(ask(w->a, CALL_TASK_TERMINATE, NULL, &told));
	expect_eq(type_of(here(), w->a), MACH_PORT_TYPE_DEAD_NAME);
}

static void memory_is_allocated_and_freed_where_the_task_is(void **state)
{
	struct world *w = *state;
	uint64_t numbers[3] = { 0, 3 * vm_page_size, 1 };
	struct told told;
	char *p;

	expect_ok(ask(w->a, CALL_VM_ALLOCATE, numbers, &told));
	p = (char *)told.numbers[0];
	p[0] = p[3 * vm_page_size - 1] = 1;
	numbers[0] = told.numbers[0];
	expect_ok(ask(w->a, CALL_VM_DEALLOCATE, numbers, &told));
	expect_result(ask(w->a, CALL_VM_DEALLOCATE, numbers, &told), KERN_INVALID_ADDRESS);
}

static void rights_given_at_birth_are_found_in_order(void **state)
{
	struct world *w = *state;
	mach_port_t given[CALL_RIGHTS_MAX], reply = port_in(here()), special, *found;
	mach_msg_type_number_t n;
	struct told told;
	struct letter l;

	for (unsigned i = 0; i < CALL_RIGHTS_MAX; i++)
		given[i] = i == 7 ? MACH_PORT_NULL : port_with_send_in(here());
	request_begin(&l, w->a, CALL_TASK_SETUP, reply);
	request_add_rights(&l, given, CALL_RIGHTS_MAX, MACH_MSG_TYPE_COPY_SEND);
	expect_ok(exchange(&l, reply, &told));
	expect_ok(told.result);

	expect_ok(task_get_special_port(w->a, TASK_BOOTSTRAP_PORT, &special));
	expect_eq(special, given[0]);
	expect_ok(mach_ports_lookup(w->a, &found, &n));
	expect_eq(n, TASK_REGISTERED_MAX);
	assert_memory_equal(found, given + 1, n * sizeof *found);
	expect_ok(vm_deallocate(here(), (vm_address_t)found, n * sizeof *found));
	expect_ok(ask(w->a, CALL_TASK_LOOKUP, NULL, &told));
	expect_eq(told.n_rights, TASK_REGISTERED_MAX);
	assert_memory_equal(told.rights, given + 1, n * sizeof *found);

	/* what is registered anew takes the place of all */
	expect_eq(send_rights(here(), given[64]), 2);
	expect_ok(mach_ports_register(w->a, given + 1, 1));
	expect_eq(send_rights(here(), given[64]), 1);
	expect_ok(mach_ports_lookup(w->a, &found, &n));
	expect_eq(n, TASK_PORT_REGISTER_MAX);
	expect_eq(found[0], given[1]);
	expect_eq(found[1], MACH_PORT_NULL);
	expect_ok(vm_deallocate(here(), (vm_address_t)found, n * sizeof *found));
	for (unsigned i = 0; i < CALL_RIGHTS_MAX; i++)
		if (given[i])
			expect_ok(mach_port_destroy(here(), given[i]));
	expect_ok(mach_port_destroy(here(), reply));
}

static void child_inherits_all_registered_rights(void **state)
{
	struct world *w = *state;
	mach_port_t given[TASK_REGISTERED_MAX], reply = port_in(here());
	struct told told;
	struct letter l;
	task_t child;

	for (unsigned i = 0; i < TASK_REGISTERED_MAX; i++)
		given[i] = port_with_send_in(here());
	request_begin(&l, w->a, CALL_TASK_REGISTER, reply);
	request_add_rights(&l, given, TASK_REGISTERED_MAX, MACH_MSG_TYPE_MOVE_SEND);
	expect_ok(exchange(&l, reply, &told));
	expect_ok(told.result);
	expect_ok(task_create(w->a, FALSE, &child));
	expect_eq(send_rights(here(), given[63]), 2);
	expect_ok(task_terminate(child));
	expect_ok(mach_port_deallocate(here(), child));
	expect_eq(send_rights(here(), given[63]), 1);
	for (unsigned i = 0; i < TASK_REGISTERED_MAX; i++)
		expect_ok(mach_port_destroy(here(), given[i]));
	expect_ok(mach_port_destroy(here(), reply));
}

static void request_without_a_reply_right_is_carried_out(void **state)
{
	struct world *w = *state;
	mach_port_t p = port_in(w->a);
	uint64_t numbers[2] = { p, MACH_MSG_TYPE_MAKE_SEND };
	struct letter l;

	expect_ok(watch_no_senders(w->a, p));
	request_begin(&l, w->a, CALL_PORT_EXTRACT_RIGHT, MACH_PORT_NULL);
	request_add_numbers(&l, numbers, 2);
	expect_ok(post(here(), &l));
	expect_notice(w->a, NO_SENDERS, p); /* the right was made, and given up */
	expect_eq(send_rights(w->a, p), 0);
}

static void right_extracted_by_message_may_be_the_one_to_receive_the_answer(void **state)
{
	struct world *w = *state;
	mach_port_t p = port_in(w->a), to = give_send(w->a, p, here());
	uint64_t numbers[2] = { p, MACH_MSG_TYPE_MOVE_RECEIVE };
	struct letter l;

	letter_to(&l, w->a, MACH_MSG_TYPE_COPY_SEND, CALL_MESSAGE_ID + CALL_PORT_EXTRACT_RIGHT);
	letter_reply_to(&l, to, MACH_MSG_TYPE_MOVE_SEND);
	request_add_numbers(&l, numbers, 2);
	expect_ok(post(here(), &l));
	expect_eq(type_of(w->a, p), 0); /* nobody could ever receive it: it died */
}

static void call_of_the_wrong_object_is_told_so(void **state)
{
	struct world *w = *state;
	static const struct {
		int op;
		kern_return_t result;
	} cases[] = {
		{ CALL_PORT_DEALLOCATE, KERN_INVALID_TASK },
		{ CALL_TASK_CREATE, KERN_INVALID_TASK },
		{ CALL_TASK_TERMINATE, KERN_INVALID_ARGUMENT },
	};
	mach_port_t host = mach_host_self();
	struct told told;

	for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
		expect_result(ask(host, cases[i].op, (uint64_t[3]){ 1 }, &told), cases[i].result);
		expect_result(ask(mach_thread_self(), cases[i].op, (uint64_t[3]){ 1 }, &told), cases[i].result);
	}
	expect_result(ask(w->a, CALL_THREAD_ABORT, NULL, &told), KERN_INVALID_ARGUMENT);
}

static void thread_is_aborted_by_message(void **state)
{
	struct world *w = *state;
	static struct caller c;
	struct told told;
	thread_t thread;

	caller_start_receive(&c, w->a, port_in(w->a), MACH_RCV_INTERRUPT);
	thread = portunus_thread_port(c.thread);
	expect_ok(ask(thread, CALL_THREAD_ABORT, NULL, &told));
	expect_result(caller_join(&c), MACH_RCV_INTERRUPTED);
	expect_ok(mach_port_deallocate(here(), thread));
}

static void thread_is_terminated_by_message(void **state)
{
	struct world *w = *state;
	static struct caller c;
	struct told told;
	thread_t thread;

	c.result = 4711;
	caller_start_receive(&c, w->a, port_in(w->a), 0);
	thread = portunus_thread_port(c.thread);
	expect_ok(ask(thread, CALL_THREAD_TERMINATE, NULL, &told));
	pthread_join(c.thread, NULL);
	expect_eq(c.result, 4711);
	expect_eq(type_of(here(), thread), MACH_PORT_TYPE_DEAD_NAME);
	expect_ok(mach_port_deallocate(here(), thread));
}

/* ---- requests that are none */

/* @l has been written but for its end. It brings at most one right, to the port @carried of the test's own task. */
static void expect_refused(struct letter *l, mach_port_t reply, kern_return_t result)
{
	struct told told;

	expect_ok(exchange(l, reply, &told));
	expect_result(told.result, result);
	expect_eq(l->size, sizeof(mig_reply_header_t));
}

static void unknown_request_is_refused(void **state)
{
	struct world *w = *state;
	static const int ids[] = {
		0, -1, CALL_MESSAGE_ID, CALL_MESSAGE_ID + CALL_OPS, CALL_MESSAGE_ID + 100, 2147483647
	};
	mach_port_t reply = port_in(here()), to[] = { w->a, mach_host_self(), mach_thread_self() };
	struct letter l;

	for (unsigned i = 0; i < sizeof ids / sizeof *ids; i++) {
		request_begin(&l, to[i % 3], ids[i] - CALL_MESSAGE_ID, reply);
		expect_ok(post(here(), &l));
		expect_ok(fetch(here(), reply, &l));
		expect_eq(l.header.msgh_id, (int)((unsigned)ids[i] + 100));
		expect_eq(((mig_reply_header_t *)&l)->RetCode, MIG_BAD_ID);
	}
	expect_ok(mach_port_destroy(here(), reply));
}

static void malformed_numbers_are_refused(void **state)
{
	struct world *w = *state;
	static const uint64_t wide[2] = { 1ull << 32, 1 };
	mach_port_t reply = port_in(here());
	struct letter l;

	request_begin(&l, w->a, CALL_PORT_RENAME, reply); /* none */
	expect_refused(&l, reply, MIG_BAD_ARGUMENTS);
	for (unsigned n = 0; n < 4; n++) { /* too few and too many */
		request_begin(&l, w->a, CALL_PORT_RENAME, reply);
		request_add_numbers(&l, (uint64_t[4]){ 1, 0x5000 }, n);
		expect_refused(&l, reply, n == 2 ? KERN_INVALID_NAME : MIG_BAD_ARGUMENTS);
	}
	request_begin(&l, w->a, CALL_PORT_RENAME, reply); /* too large */
	request_add_numbers(&l, wide, 2);
	expect_refused(&l, reply, MIG_BAD_ARGUMENTS);
	request_begin(&l, w->a, CALL_PORT_RENAME, reply); /* of another type */
	letter_add_type(&l, MACH_MSG_TYPE_BYTE, 8, 16, true, false);
	letter_add_raw(&l, wide, 16);
	expect_refused(&l, reply, MIG_BAD_ARGUMENTS);
	request_begin(&l, w->a, CALL_PORT_RENAME, reply); /* something behind them */
	request_add_numbers(&l, (uint64_t[2]){ 1, 2 }, 2);
	letter_add_int(&l, 1);
	expect_refused(&l, reply, MIG_BAD_ARGUMENTS);
	request_begin(&l, w->a, CALL_PORT_RENAME, reply); /* cut short, in a message that the kernel did not read */
	request_add_numbers(&l, (uint64_t[2]){ 1, 2 }, 2);
	l.size -= 8;
	expect_refused(&l, reply, MIG_BAD_ARGUMENTS);
	request_begin(&l, w->a, CALL_PORT_RENAME, reply); /* out of line */
	letter_add_memory(&l, wide, 16, false);
	expect_refused(&l, reply, MIG_BAD_ARGUMENTS);
	expect_ok(mach_port_destroy(here(), reply));
}

static void rights_of_a_refused_request_are_destroyed(void **state)
{
	struct world *w = *state;
	mach_port_t reply = port_in(here()), p = port_in(here()), carried = port_with_send_in(here()), names[66];
	uint64_t numbers[3] = { TASK_BOOTSTRAP_PORT };
	struct letter l;

	/* a send-once right and a receive right where a send right belongs, a right where none belongs */
	request_begin(&l, w->a, CALL_TASK_SET_SPECIAL, reply);
	request_add_numbers(&l, numbers, 1);
	letter_add_port(&l, p, MACH_MSG_TYPE_MAKE_SEND_ONCE);
	expect_refused(&l, reply, MIG_BAD_ARGUMENTS);
	expect_message(here(), p, MACH_NOTIFY_SEND_ONCE);
	request_begin(&l, w->a, CALL_TASK_SET_SPECIAL, reply);
	request_add_numbers(&l, numbers, 1);
	letter_add_port(&l, p, MACH_MSG_TYPE_MOVE_RECEIVE);
	expect_refused(&l, reply, MIG_BAD_ARGUMENTS);
	expect_eq(type_of(here(), p), 0);
	request_begin(&l, w->a, CALL_TASK_GET_SPECIAL, reply);
	request_add_numbers(&l, numbers, 1);
	letter_add_port(&l, carried, MACH_MSG_TYPE_COPY_SEND);
	expect_refused(&l, reply, MIG_BAD_ARGUMENTS);
	expect_eq(send_rights(here(), carried), 1);

	/* too many of them, and an array of them out of line */
	for (unsigned i = 0; i < 66; i++)
		names[i] = carried;
	request_begin(&l, w->a, CALL_TASK_SETUP, reply);
	request_add_rights(&l, names, 66, MACH_MSG_TYPE_COPY_SEND);
	expect_refused(&l, reply, MIG_BAD_ARGUMENTS);
	request_begin(&l, w->a, CALL_TASK_REGISTER, reply);
	letter_add_type(&l, MACH_MSG_TYPE_COPY_SEND, 32, 3, false, false);
	letter_add_raw(&l, &(mach_port_t *){ names }, sizeof(void *));
	l.header.msgh_bits |= MACH_MSGH_BITS_COMPLEX;
	expect_refused(&l, reply, MIG_BAD_ARGUMENTS);
	/* descriptors of rights that have not been taken, since the message does not say that it has any */
	request_begin(&l, w->a, CALL_TASK_REGISTER, reply);
	request_add_rights(&l, names, 3, MACH_MSG_TYPE_COPY_SEND);
	l.header.msgh_bits &= ~MACH_MSGH_BITS_COMPLEX;
	expect_refused(&l, reply, MIG_BAD_ARGUMENTS);
	expect_eq(send_rights(here(), carried), 1);
	expect_ok(mach_port_destroy(here(), carried));
	expect_ok(mach_port_destroy(here(), reply));
}

/* A request that is nearly right. */
static void write_nearly(struct letter *l, task_t task, mach_port_t reply, mach_port_t carried)
{
	static const enum call_op ops[] = { CALL_PORT_RENAME,	   CALL_PORT_INSERT_RIGHT, CALL_PORT_REQUEST,
					    CALL_TASK_SET_SPECIAL, CALL_TASK_REGISTER,	   CALL_PORT_NAMES,
					    CALL_PORT_SET_PAYLOAD, CALL_PORT_EXTRACT_RIGHT };
	enum call_op op = ops[pick(sizeof ops / sizeof *ops)];
	uint64_t numbers[3] = { 1 + pick(9), pick(30), pick(2) };
	mach_port_t rights[] = { carried, carried, MACH_PORT_NULL };

	request_begin(l, task, (int)op, reply);
	if (call_form(op)->takes.n_numbers)
		request_add_numbers(l, numbers, call_form(op)->takes.n_numbers);
	if (takes_right(op))
		request_add_rights(l, rights, 1 + pick(3), MACH_MSG_TYPE_MOVE_SEND + pick(5));
	for (uint32_t n = pick(5); n > 0 && l->size > sizeof l->header; n--)
		l->bytes[sizeof l->header + pick(l->size - (uint32_t)sizeof l->header)] = (unsigned char)pick(256);
	if (pick(4) == 0)
		l->size = sizeof l->header + pick(l->size - (uint32_t)sizeof l->header + 1) / 8 * 8;
}

/* Names that nobody hits by accident, in a task that lives for one message only. */
#define FAR_REPLY  0x71727374
#define FAR_TARGET 0x61626364

static void send_nearly(task_t sender)
{
	mach_port_t carried = port_with_send_in(sender);
	struct letter l;

	expect_ok(mach_port_allocate_name(sender, MACH_PORT_RIGHT_RECEIVE, FAR_REPLY));
	write_nearly(&l, FAR_TARGET, FAR_REPLY, carried);
	post(sender, &l);
	expect_ok(fetch(sender, FAR_REPLY, &l)); /* an answer, or that the request could not be sent */
	destroy_letter(sender, &l);
	expect_no_message(sender, FAR_REPLY);
}

static void random_bytes_do_no_harm(void **state)
{
	struct world *w = *state;
	struct kernel_counts before;
	task_t target, sender;

	in_task_begin(w->a); /* the thread's own name goes when it enters a task */
	in_task_end();
	before = counts();
	for (int i = 0; i < 4000; i++) {
		expect_ok(task_create(w->a, FALSE, &target));
		expect_ok(task_create(w->a, FALSE, &sender));
		port_in(target);
		expect_ok(mach_port_insert_right(sender, FAR_TARGET, target, MACH_MSG_TYPE_COPY_SEND));
		send_nearly(sender);
		expect_ok(task_terminate(sender));
		expect_ok(task_terminate(target));
		expect_ok(mach_port_deallocate(here(), sender));
		expect_ok(mach_port_deallocate(here(), target));
		expect_counts(before);
	}
}

/* ---- answers that are none */

/* A thread that asks, by message, what is a port of the test's. */
struct asker {
	pthread_t thread;
	mach_port_t to; /* in its task */
	enum call_op op;
	struct answer answer;
	kern_return_t result;
	thread_t port;
};

static void *asker_main(void *data)
{
	struct asker *a = data;
	struct right dest;

	expect_ok(target_open(thread_self(), a->to, &dest));
	a->result = target_ask_by_message(thread_self(), &dest, CALL_OF(a->op, 1), &a->answer);
	return NULL;
}

static void asker_start(struct asker *a, task_t task, mach_port_t to, enum call_op op)
{
	a->to = to;
	a->op = op;
	a->result = 4711;
	expect_ok(portunus_thread_create(task, &a->thread, asker_main, a));
	a->port = portunus_thread_port(a->thread);
}

static kern_return_t asker_join(struct asker *a)
{
	pthread_join(a->thread, NULL);
	if (a->port)
		expect_ok(mach_port_deallocate(here(), a->port));
	return a->result;
}

/* Waits for the request. */
static void take_request(mach_port_t p, struct letter *l)
{
	expect_ok(mach_msg(&l->header, MACH_RCV_MSG, 0, sizeof l->bytes, p, 0, MACH_PORT_NULL));
	l->size = l->header.msgh_size;
}

static void answer_begin(struct letter *l, const struct letter *request, int id, kern_return_t result)
{
	letter_to(l, request->header.msgh_remote_port, MACH_MSG_TYPE_MOVE_SEND_ONCE, id);
	letter_add_int(l, result);
}

static void who_dies_before_it_answers_is_told_of(void **state)
{
	struct world *w = *state;
	mach_port_t p = port_in(here()), to = give_send(here(), p, w->a);
	struct asker asker;
	struct letter l;

	asker_start(&asker, w->a, to, CALL_PORT_DESTROY);
	take_request(p, &l);
	expect_eq(l.header.msgh_id, CALL_MESSAGE_ID + CALL_PORT_DESTROY);
	destroy_letter(here(), &l);
	expect_result(asker_join(&asker), MIG_SERVER_DIED);

	asker_start(&asker, w->a, to, CALL_PORT_DESTROY);
	while (status_of(here(), p).mps_msgcount == 0)
		sched_yield();
	expect_ok(mach_port_destroy(here(), p)); /* with the request in its queue */
	expect_result(asker_join(&asker), MIG_SERVER_DIED);
}

static void answer_of_another_kind_is_refused(void **state)
{
	struct world *w = *state;
	mach_port_t p = port_in(here()), to = give_send(here(), p, w->a), carried = port_with_send_in(here());
	struct asker asker;
	struct letter l, answer;

	for (int i = 0; i < 6; i++) {
		asker_start(&asker, w->a, to, i < 4 ? CALL_PORT_TYPE : CALL_TASK_GET_SPECIAL);
		take_request(p, &l);
		answer_begin(&answer, &l, l.header.msgh_id + (i == 0 ? 99 : 100), i == 1 ? 5 : 0);
		if (i == 1) /* an error, and something with it */
			request_add_numbers(&answer, (uint64_t[1]){ 1 }, 1);
		if (i == 3)
			request_add_numbers(&answer, (uint64_t[1]){ 1ull << 40 }, 1);
		if (i == 4)
			letter_add_port(&answer, carried, MACH_MSG_TYPE_MAKE_SEND_ONCE);
		if (i == 5)
			request_add_rights(&answer, (mach_port_t[2]){ carried, carried }, 2, MACH_MSG_TYPE_COPY_SEND);
		expect_ok(post(here(), &answer));
		expect_result(asker_join(&asker), i == 0 ? MIG_REPLY_MISMATCH : MIG_TYPE_ERROR);
	}
	expect_message(here(), carried, MACH_NOTIFY_SEND_ONCE);
	expect_eq(send_rights(here(), carried), 1);
	expect_ok(mach_port_destroy(here(), p));
	expect_ok(mach_port_destroy(here(), carried));
}

static void aborting_a_thread_does_not_end_its_call(void **state)
{
	struct world *w = *state;
	mach_port_t p = port_in(here()), to = give_send(here(), p, w->a);
	struct asker asker;
	struct letter l, answer;

	expect_ok(mach_port_set_qlimit(here(), p, 0));
	asker_start(&asker, w->a, to, CALL_PORT_TYPE);
	for (int i = 0; i < 1000; i++)
		expect_ok(thread_abort(asker.port)); /* while it waits for room */
	expect_ok(mach_port_set_qlimit(here(), p, 5));
	take_request(p, &l);
	for (int i = 0; i < 1000; i++)
		expect_ok(thread_abort(asker.port)); /* while it waits for the answer */
	answer_begin(&answer, &l, l.header.msgh_id + 100, 0);
	request_add_numbers(&answer, (uint64_t[1]){ 42 }, 1);
	expect_ok(post(here(), &answer));
	expect_ok(asker_join(&asker));
	expect_eq(asker.answer.numbers[0], 42);
	expect_ok(mach_port_destroy(here(), p));
}

/* The answer comes too late, and harms nobody. */
static void thread_that_ends_waits_for_no_answer(void **state)
{
	struct world *w = *state;
	mach_port_t p = port_in(here()), to = give_send(here(), p, w->a);
	struct asker asker;
	struct letter l, answer;

	asker_start(&asker, w->a, to, CALL_PORT_TYPE);
	take_request(p, &l);
	expect_ok(thread_terminate(asker.port));
	expect_result(asker_join(&asker), 4711);
	answer_begin(&answer, &l, l.header.msgh_id + 100, 0);
	expect_result(post(here(), &answer), MACH_SEND_INVALID_DEST);
	expect_eq(type_of(here(), l.header.msgh_remote_port), MACH_PORT_TYPE_DEAD_NAME);
	expect_ok(mach_port_deallocate(here(), l.header.msgh_remote_port));

	asker_start(&asker, w->a, to, CALL_PORT_TYPE);
	take_request(p, &l);
	expect_ok(task_terminate(w->a));
	expect_result(asker_join(&asker), MACH_RCV_PORT_DIED);
	expect_ok(mach_port_deallocate(here(), l.header.msgh_remote_port));
	expect_ok(mach_port_destroy(here(), p));
}

/* An answer that came out of a task, and then went wrong on its way. */
static struct message *spoilt_answer(task_t sender, enum call_op op)
{
	mach_port_t p = port_in(sender), carried = port_with_send_in(sender);
	struct letter l;
	struct message *m;
	struct task *task;
	mach_msg_return_t r;

	letter_to(&l, p, MACH_MSG_TYPE_MAKE_SEND, CALL_MESSAGE_ID + (int)op + 100);
	letter_add_int(&l, 0);
	if (call_form(op)->gives.n_numbers)
		request_add_numbers(&l, (uint64_t[9]){ 1, 2, 3 }, call_form(op)->gives.n_numbers);
	if (call_form(op)->gives.max_rights)
		request_add_rights(&l, (mach_port_t[4]){ carried, 0, carried }, pick(2) ? 1 : 4,
				   MACH_MSG_TYPE_MOVE_SEND + pick(5));
	for (unsigned i = 0; i < call_form(op)->gives.n_arrays; i++) {
		letter_add_type(&l, MACH_MSG_TYPE_INTEGER_32, 32, pick(4) ? 3 : pick(9), false, false);
		letter_add_raw(&l, &(uint64_t *){ (uint64_t[8]){ 1 } }, sizeof(void *));
		l.header.msgh_bits |= MACH_MSGH_BITS_COMPLEX;
	}
	for (uint32_t n = pick(3); n > 0; n--)
		l.bytes[sizeof l.header + pick(l.size - (uint32_t)sizeof l.header)] = (unsigned char)pick(256);
	expect_ok(task_lookup(thread_self()->task, sender, &task));
	r = copyin(task->space, &l.header, l.size, false, MACH_PORT_NULL, &m);
	task_unref(task);
	return r ? NULL : m;
}

/* Returns whether it was not spoilt after all. */
static bool read_spoilt(task_t sender)
{
	static const enum call_op ops[] = { CALL_PORT_TYPE,    CALL_PORT_NAMES,	 CALL_PORT_EXTRACT_RIGHT,
					    CALL_PORT_REQUEST, CALL_TASK_LOOKUP, CALL_PORT_GET_RECEIVE_STATUS };
	enum call_op op = ops[pick(sizeof ops / sizeof *ops)];
	struct message *m = spoilt_answer(sender, op);
	struct answer answer;

	if (!m || call_read_answer(m, op, &answer))
		return false;
	answer_discard(call_form(op), &answer);
	return true;
}

static void random_answers_do_no_harm(void **state)
{
	struct world *w = *state;
	struct kernel_counts before;
	unsigned n_ok = 0;
	task_t task;

	in_task_begin(w->a); /* the thread's own name goes when it enters a task */
	in_task_end();
	before = counts();
	for (int i = 0; i < 4000; i++) {
		expect_ok(task_create(w->a, FALSE, &task));
		n_ok += read_spoilt(task);
		expect_ok(task_terminate(task));
		expect_ok(mach_port_deallocate(here(), task));
		expect_counts(before);
	}
	assert_true(n_ok > 100);
}

/* ---- the end of a process */

static mach_port_t last_reply;

/* In the child: what was asked for has been answered by now. */
static void note_end(void)
{
	struct letter l;
	struct told told;

	if (mach_msg(&l.header, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof l.bytes, last_reply, 0, MACH_PORT_NULL))
		_exit(2);
	l.size = l.header.msgh_size;
	told_read(&told, &l);
	_exit(told.result ? 3 : 0);
}

/* Terminates the root task, from within a task of its own, as if the request came from elsewhere or not. */
static void end_root_task(bool is_foreign, const struct kernel_hooks *hooks)
{
	struct right dest = object_make_send(&kernel_root_task()->object), reply;
	struct message *m;
	task_t task;

	if (task_create(mach_task_self(), FALSE, &task) || !portunus_task_enter(task))
		_exit(4);
	last_reply = mach_reply_port();
	if (argument_copyin(thread_self(), last_reply, MACH_MSG_TYPE_MAKE_SEND_ONCE, &reply))
		_exit(5);
	if (hooks)
		kernel_set_hooks(hooks);
	m = call_request(&dest, &reply, CALL_OF(CALL_TASK_TERMINATE));
	if (is_foreign)
		m->sent_by = SENDER_OTHER;
	send_always(m);
}

static int status_of_child(bool is_foreign, const struct kernel_hooks *hooks)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		end_root_task(is_foreign, hooks);
		_exit(42);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void process_ends_with_its_root_task_when_others_end_that(void **state)
{
	static const struct kernel_hooks hooks = { .process_ends = note_end };
	int status = status_of_child(true, NULL);

	(void)state;
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	status = status_of_child(true, &hooks);
	assert_true(WIFEXITED(status));
	expect_eq(WEXITSTATUS(status), 0);
	status = status_of_child(false, NULL); /* by itself it may, and go on in another task */
	assert_true(WIFEXITED(status));
	expect_eq(WEXITSTATUS(status), 42);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		world_test(call_by_message_does_what_a_call_at_once_does),
		world_test(answer_that_gives_nothing_is_a_bare_mig_reply),
		world_test(task_made_by_message_is_the_childs_of_who_was_asked),
		world_test(task_ends_by_message),
		world_test(memory_is_allocated_and_freed_where_the_task_is),
		world_test(rights_given_at_birth_are_found_in_order),
		world_test(child_inherits_all_registered_rights),
		world_test(request_without_a_reply_right_is_carried_out),
		world_test(right_extracted_by_message_may_be_the_one_to_receive_the_answer),
		world_test(call_of_the_wrong_object_is_told_so),
		world_test(thread_is_aborted_by_message),
		world_test(thread_is_terminated_by_message),
		world_test(unknown_request_is_refused),
		world_test(malformed_numbers_are_refused),
		world_test(rights_of_a_refused_request_are_destroyed),
		world_test(random_bytes_do_no_harm),
		world_test(who_dies_before_it_answers_is_told_of),
		world_test(answer_of_another_kind_is_refused),
		world_test(aborting_a_thread_does_not_end_its_call),
		world_test(thread_that_ends_waits_for_no_answer),
		world_test(random_answers_do_no_harm),
		world_test(process_ends_with_its_root_task_when_others_end_that),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
