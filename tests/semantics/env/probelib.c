/* SPDX-License-Identifier: MIT */
/* Helpers for the probes: output, rights, messages, threads. */
#include "probelib.h"
#include <unistd.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

mach_port_t probe_self;

/* ---- output */

static const char *current_section = "";
static volatile int n_sections, n_probes;

int pfmt(char *buf, int max, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(buf, (size_t)max, fmt, ap);
	va_end(ap);
	return n < max ? n : max - 1;
}

static void print_line(const char *start, const char *fmt, va_list ap)
{
	char b[1200];
	int n = pfmt(b, sizeof(b) - 1, "%s", start);

	n += vsnprintf(b + n, sizeof(b) - 1 - (size_t)n, fmt, ap);
	if (n > (int)sizeof(b) - 2)
		n = sizeof(b) - 2;
	b[n] = '\n';
	b[n + 1] = '\0';
	mach_print(b);
}

void pline(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	print_line("", fmt, ap);
	va_end(ap);
}

void P(const char *name, const char *fmt, ...)
{
	char start[200];
	va_list ap;

	pfmt(start, sizeof(start), "PROBE %s.%s = ", current_section, name);
	va_start(ap, fmt);
	print_line(start, fmt, ap);
	va_end(ap);
	n_probes++;
}

void PK(const char *name, int kr)
{
	P(name, "%s", krs(kr));
}

void PI(const char *name, long v)
{
	P(name, "%ld (0x%lx)", v, (unsigned long)v & (v >> 32 ? ~0UL : 0xffffffffUL));
}

void section(const char *name)
{
	current_section = name;
	n_sections++;
	pline("# ---- section %s", name);
}

/* ---- words for codes */

#define WORD 160

static char *next_string(void)
{
	static char ring[16][WORD];
	static int next;

	return ring[__atomic_fetch_add(&next, 1, __ATOMIC_SEQ_CST) & 15];
}

const char *krs(int kr)
{
	char *b = next_string();
	const char *s = e2s_gnumach(kr);

	if (s) {
		pfmt(b, WORD, (unsigned)kr > 0xffff ? "%s(0x%x)" : "%s(%d)", s, (unsigned)kr);
		return b;
	}
	s = e2s_gnumach(kr & ~MACH_MSG_MASK);
	if (s && (kr & MACH_MSG_MASK))
		pfmt(b, WORD, "%s%s%s%s%s(0x%x)", s, kr & MACH_MSG_IPC_SPACE ? "|IPC_SPACE" : "",
		     kr & MACH_MSG_VM_SPACE ? "|VM_SPACE" : "", kr & MACH_MSG_IPC_KERNEL ? "|IPC_KERNEL" : "",
		     kr & MACH_MSG_VM_KERNEL ? "|VM_KERNEL" : "", (unsigned)kr);
	else
		pfmt(b, WORD, "?(0x%x)", (unsigned)kr);
	return b;
}

const char *typs(mach_port_type_t type)
{
	static const struct {
		mach_port_type_t bit;
		const char *word;
	} words[] = {
		{ MACH_PORT_TYPE_SEND, "SEND" },	   { MACH_PORT_TYPE_RECEIVE, "RECEIVE" },
		{ MACH_PORT_TYPE_SEND_ONCE, "SEND_ONCE" }, { MACH_PORT_TYPE_PORT_SET, "PORT_SET" },
		{ MACH_PORT_TYPE_DEAD_NAME, "DEAD_NAME" }, { MACH_PORT_TYPE_DNREQUEST, "DNREQUEST" },
		{ MACH_PORT_TYPE_MAREQUEST, "MAREQUEST" }, { MACH_PORT_TYPE_COMPAT, "COMPAT" },
	};
	char *b = next_string();
	int n = 0;

	b[0] = '\0';
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (!(type & words[i].bit))
			continue;
		n += pfmt(b + n, WORD - n, "%s%s", n ? "|" : "", words[i].word);
		type &= ~words[i].bit;
	}
	if (type || !n)
		pfmt(b + n, WORD - n, "%s0x%x", n ? "|" : "", type);
	return b;
}

const char *disps(unsigned d)
{
	static const char *const words[] = {
		[MACH_MSG_TYPE_INTEGER_32] = "INT32",
		[MACH_MSG_TYPE_BYTE] = "BYTE",
		[MACH_MSG_TYPE_PORT_NAME] = "PORT_NAME",
		[MACH_MSG_TYPE_MOVE_RECEIVE] = "MOVE_RECEIVE",
		[MACH_MSG_TYPE_MOVE_SEND] = "MOVE_SEND",
		[MACH_MSG_TYPE_MOVE_SEND_ONCE] = "MOVE_SEND_ONCE",
		[MACH_MSG_TYPE_COPY_SEND] = "COPY_SEND",
		[MACH_MSG_TYPE_MAKE_SEND] = "MAKE_SEND",
		[MACH_MSG_TYPE_MAKE_SEND_ONCE] = "MAKE_SEND_ONCE",
		[MACH_MSG_TYPE_PROTECTED_PAYLOAD] = "PROTECTED_PAYLOAD",
	};
	char *b = next_string();
	const char *word = d < sizeof(words) / sizeof(words[0]) ? words[d] : NULL;

	if (d == 0)
		return "0";
	pfmt(b, WORD, "%s(%u)", word ? word : "?", d);
	return b;
}

/* ---- ports */

static void must(int kr, const char *what)
{
	if (kr != KERN_SUCCESS)
		pline("# UNEXPECTED %s in %s: %s", krs(kr), current_section, what);
}

mach_port_t new_rcv(const char *label)
{
	mach_port_t p = MACH_PORT_NULL;

	(void)label;
	must(mach_port_allocate(SELF, MACH_PORT_RIGHT_RECEIVE, &p), "allocate receive");
	return p;
}

mach_port_t new_rs(const char *label)
{
	mach_port_t p = new_rcv(label);

	mk_send(p);
	return p;
}

mach_port_t new_pset(const char *label)
{
	mach_port_t p = MACH_PORT_NULL;

	(void)label;
	must(mach_port_allocate(SELF, MACH_PORT_RIGHT_PORT_SET, &p), "allocate port set");
	return p;
}

void mk_send(mach_port_t p)
{
	must(mach_port_insert_right(SELF, p, p, MACH_MSG_TYPE_MAKE_SEND), "make send");
}

mach_port_t mk_sonce(mach_port_t p, const char *label)
{
	mach_port_t n = MACH_PORT_NULL;
	mach_msg_type_name_t type;

	(void)label;
	must(mach_port_extract_right(SELF, p, MACH_MSG_TYPE_MAKE_SEND_ONCE, &n, &type), "make send-once");
	return n;
}

void kill_rcv(mach_port_t p)
{
	must(mach_port_mod_refs(SELF, p, MACH_PORT_RIGHT_RECEIVE, -1), "kill receive right");
}

mach_port_t mk_dead(const char *label)
{
	mach_port_t p = new_rs(label);

	kill_rcv(p);
	return p;
}

void wipe(mach_port_t p)
{
	if (MACH_PORT_VALID(p) && typ(p))
		mach_port_destroy(SELF, p);
}

int refs(mach_port_t p, mach_port_right_t right)
{
	mach_port_urefs_t u;

	return mach_port_get_refs(SELF, p, right, &u) == KERN_SUCCESS ? (int)u : -1;
}

mach_port_type_t typ(mach_port_t p)
{
	mach_port_type_t type;

	return mach_port_type(SELF, p, &type) == KERN_SUCCESS ? type : 0;
}

mach_port_status_t status_of(mach_port_t p)
{
	mach_port_status_t s;

	memset(&s, 0xee, sizeof(s));
	mach_port_get_receive_status(SELF, p, &s);
	return s;
}

unsigned srights_of(mach_port_t p)
{
	mach_port_rights_t n = 0xffffffff;

	mach_port_get_srights(SELF, p, &n);
	return n;
}

/* ---- messages */

static unsigned aligned(unsigned n)
{
	return (n + MACH_MSG_USER_ALIGNMENT - 1) / MACH_MSG_USER_ALIGNMENT * MACH_MSG_USER_ALIGNMENT;
}

static void *put(mb_t *m, unsigned n)
{
	void *p = m->raw + m->len;

	memset(p, 0, aligned(n));
	m->len += aligned(n);
	return p;
}

static void put_type(mb_t *m, unsigned name, unsigned bits, unsigned number, int is_inline, int dealloc)
{
	mach_msg_type_t *t = put(m, sizeof(*t));

	t->msgt_name = name;
	t->msgt_size = bits;
	t->msgt_number = number;
	t->msgt_inline = is_inline;
	t->msgt_deallocate = dealloc;
}

static void put_pointer(mb_t *m, const void *address)
{
	memcpy(put(m, sizeof(address)), &address, sizeof(address));
	m->h.msgh_bits |= MACH_MSGH_BITS_COMPLEX;
}

void mb_init(mb_t *m, mach_port_t remote, int rdisp, mach_port_t local, int ldisp, int id)
{
	memset(&m->h, 0, sizeof(m->h));
	m->h.msgh_bits = MACH_MSGH_BITS(rdisp, ldisp);
	m->h.msgh_remote_port = remote;
	m->h.msgh_local_port = local;
	m->h.msgh_id = id;
	m->len = sizeof(m->h);
}

void mb_int(mb_t *m, int v)
{
	put_type(m, MACH_MSG_TYPE_INTEGER_32, 32, 1, 1, 0);
	memcpy(put(m, sizeof(v)), &v, sizeof(v));
}

void mb_bytes(mb_t *m, unsigned n)
{
	put_type(m, MACH_MSG_TYPE_BYTE, 8, n, 1, 0);
	memset(put(m, n), 0xab, n);
}

void mb_ports(mb_t *m, int disp, const mach_port_t *v, int n)
{
	unsigned char *at;

	put_type(m, (unsigned)disp, INLINE_PORT_BITS, (unsigned)n, 1, 0);
	at = put(m, (unsigned)n * sizeof(mach_port_name_inlined_t));
	for (int i = 0; i < n; i++)
		memcpy(at + (size_t)i * sizeof(mach_port_name_inlined_t), &v[i], sizeof(v[i]));
	m->h.msgh_bits |= MACH_MSGH_BITS_COMPLEX;
}

void mb_port(mb_t *m, int disp, mach_port_t p)
{
	mb_ports(m, disp, &p, 1);
}

void mb_ool_ports(mb_t *m, int disp, const mach_port_name_t *v, int n, int dealloc)
{
	put_type(m, (unsigned)disp, OOL_PORT_BITS, (unsigned)n, 0, dealloc);
	put_pointer(m, v);
}

void mb_ool(mb_t *m, const void *address, unsigned size, int dealloc)
{
	put_type(m, MACH_MSG_TYPE_BYTE, 8, size, 0, dealloc);
	put_pointer(m, address);
}

mach_msg_return_t mb_send(mb_t *m)
{
	return mach_msg(&m->h, MACH_SEND_MSG, m->len, 0, MACH_PORT_NULL, 0, MACH_PORT_NULL);
}

mach_msg_return_t mb_sendo(mb_t *m, int opt, unsigned timeout, mach_port_t notify)
{
	return mach_msg(&m->h, MACH_SEND_MSG | opt, m->len, 0, MACH_PORT_NULL, timeout, notify);
}

mach_msg_return_t sndr(mach_port_t dest, int disp, mach_port_t reply, int rdisp, int id)
{
	mb_t m;

	mb_init(&m, dest, disp, reply, rdisp, id);
	return mb_sendo(&m, MACH_SEND_TIMEOUT, 0, MACH_PORT_NULL);
}

mach_msg_return_t snd(mach_port_t dest, int disp, int id)
{
	return sndr(dest, disp, MACH_PORT_NULL, 0, id);
}

mach_msg_return_t rcvo(mb_t *m, mach_port_t p, int opt, unsigned size, unsigned timeout, mach_port_t notify)
{
	memset(m->raw, 0x5a, 512);
	return mach_msg(&m->h, MACH_RCV_MSG | opt, 0, size, p, timeout, notify);
}

mach_msg_return_t rcv(mb_t *m, mach_port_t p)
{
	return rcvo(m, p, MACH_RCV_TIMEOUT, sizeof(m->raw), 0, MACH_PORT_NULL);
}

void drain(mach_port_t p)
{
	mb_t m;

	while (rcv(&m, p) == MACH_MSG_SUCCESS)
		;
}

int body_port(const mb_t *m, int want)
{
	unsigned o = sizeof(m->h);

	while (o + sizeof(mach_msg_type_t) <= m->h.msgh_size) {
		const mach_msg_type_t *t = (const void *)(m->raw + o);

		o += sizeof(*t);
		if (!t->msgt_inline) {
			o += sizeof(void *);
			continue;
		}
		if (MACH_MSG_TYPE_PORT_ANY(t->msgt_name)) {
			if (want < (int)t->msgt_number)
				return ((const mach_port_name_inlined_t *)(const void *)(m->raw + o))[want].name;
			want -= (int)t->msgt_number;
		}
		o += aligned((t->msgt_number * t->msgt_size + 7) / 8);
	}
	return 0;
}

/* ---- threads */

thread_t th_start(task_t task, void (*function)(void *), void *argument)
{
	return test_thread_start(task, function, argument);
}

/* Not by thread_terminate(mach_thread_self()): whoever started it has a reference to the same name, and may give it back
 * between the two calls; then the name may be that of another thread already. */
void thread_exit_self(void)
{
	pthread_exit(NULL);
}

static void wk_main(void *data)
{
	struct wk *w = data;

	w->started = 1;
	w->mr = mach_msg(&w->m.h, w->opt, w->ssize, w->rsize, w->rname, w->timeout, w->notify);
	w->done = 1;
	thread_exit_self();
}

void wk_start(struct wk *w)
{
	w->started = w->done = 0;
	w->mr = 0x7fffffff;
	w->th = th_start(SELF, wk_main, w);
	for (int i = 0; i < 200 && !w->started; i++)
		msleep_quiet(5);
	msleep_quiet(30); /* let it block */
}

/* A worker is looked at while it waits, which may take this program a while (sleep_until_quiet()): longer than the 150 ms that a
 * probe gives it, on a machine that has much else to do. */
enum { WORKER_PATIENCE = 4 };

int wk_wait(struct wk *w, int ms)
{
	for (int t = 0; t < ms && !w->done; t += 5)
		msleep_quiet(5);
	return w->done;
}

void wk_rcv(struct wk *w, mach_port_t p, int opt, unsigned size, unsigned timeout)
{
	memset(w->m.raw, 0x5a, 512);
	w->opt = MACH_RCV_MSG | opt;
	w->ssize = 0;
	w->rsize = size;
	w->rname = p;
	w->timeout = WORKER_PATIENCE * timeout;
	w->notify = MACH_PORT_NULL;
	wk_start(w);
}

void wk_snd(struct wk *w, int opt, unsigned timeout)
{
	w->opt = MACH_SEND_MSG | opt;
	w->ssize = w->m.len;
	w->rsize = 0;
	w->rname = MACH_PORT_NULL;
	w->timeout = WORKER_PATIENCE * timeout;
	w->notify = MACH_PORT_NULL;
	wk_start(w);
}

void wk_kill(struct wk *w)
{
	if (!w->done)
		thread_terminate(w->th);
	mach_port_deallocate(SELF, w->th);
}

/* ---- sleeping, watching, starting */

/* Threads sleep on ports of a small pool, so that sleeping does not disturb the names that a probe looks at. */
void msleep_quiet(unsigned ms)
{
	static mach_port_t pool[8];
	mach_port_t p = MACH_PORT_NULL;
	int i;

	for (i = 0; i < 8 && !p; i++)
		p = __atomic_exchange_n(&pool[i], MACH_PORT_NULL, __ATOMIC_SEQ_CST);
	if (!p)
		p = mach_reply_port();
	sleep_until_quiet(p, ms);
	for (i = 0; i < 8; i++) {
		mach_port_t none = MACH_PORT_NULL;

		if (__atomic_compare_exchange_n(&pool[i], &none, p, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
			return;
	}
}

static void watchdog(void *data)
{
	int seconds = (int)(intptr_t)data, last_section = -1, last_probe = -1, idle = 0;

	for (;;) {
		sleep(1); /* on no port: a name that comes and goes would be seen */
		if (n_sections != last_section || n_probes != last_probe) {
			last_section = n_sections;
			last_probe = n_probes;
			idle = 0;
		} else if (++idle >= seconds) {
			pline("%s section %s made no progress for %d s", TEST_FAILURE_MARKER, current_section, idle);
			halt();
		}
	}
}

void watchdog_start(int seconds_per_section)
{
	th_start(SELF, watchdog, (void *)(intptr_t)seconds_per_section);
}

int main(void)
{
	probe_self = mach_task_self();
	probe_main();
	pline("# total probes: %d", n_probes);
	return 0;
}
