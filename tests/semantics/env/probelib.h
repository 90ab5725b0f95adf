/* SPDX-License-Identifier: MIT */
/* The helpers that probes are written with, on Portunus: the interface and the output format are those of the library
 * that the answers were recorded with; pp.h builds on it. */
#ifndef PROBELIB_H
#define PROBELIB_H

#include "env.h"

extern mach_port_t probe_self;
#define SELF probe_self

/* Port names in messages, inline and out of line. */
#define INLINE_PORT_BITS ((unsigned)(8 * sizeof(mach_port_name_inlined_t)))
#define OOL_PORT_BITS	 ((unsigned)(8 * sizeof(mach_port_name_t)))

/* ---- output */

/* %s %c %d %u %x, %ld %lu %lx, %%; returns the length */
int pfmt(char *buf, int max, const char *fmt, ...);
void pline(const char *fmt, ...);		/* one raw line */
void P(const char *name, const char *fmt, ...); /* PROBE section.name = ... */
void PK(const char *name, int kr);		/* a return code */
void PI(const char *name, long v);		/* an integer, decimal and hexadecimal */
void section(const char *name);

/* strings that stay valid for the next 15 calls */
const char *krs(int kr);		 /* "KERN_INVALID_NAME(15)" */
const char *typs(mach_port_type_t type); /* "SEND|RECEIVE" */
const char *disps(unsigned disposition); /* "MOVE_SEND(17)" */

/* ---- ports; labels are pp.h's business, these ignore them */

mach_port_t new_rcv(const char *label); /* receive right */
mach_port_t new_rs(const char *label);	/* receive right and one send right */
mach_port_t new_pset(const char *label);
void mk_send(mach_port_t);			      /* one more send right, same name */
mach_port_t mk_sonce(mach_port_t, const char *label); /* send-once right, new name */
mach_port_t mk_dead(const char *label);		      /* dead name that was a send right, one reference */
void kill_rcv(mach_port_t);			      /* the receive right dies, other rights of the name stay */
void wipe(mach_port_t);				      /* everything under that name, errors ignored */
int refs(mach_port_t, mach_port_right_t);	      /* -1 if the call fails */
mach_port_type_t typ(mach_port_t);		      /* 0 if the call fails */
mach_port_status_t status_of(mach_port_t);
unsigned srights_of(mach_port_t);

/* ---- messages */

struct mb {
	union {
		mach_msg_header_t h;
		unsigned char raw[16384];
	} __attribute__((aligned(16)));
	unsigned len;
};
typedef struct mb mb_t;

void mb_init(mb_t *, mach_port_t remote, int rdisp, mach_port_t local, int ldisp, int id);
void mb_int(mb_t *, int v);
void mb_bytes(mb_t *, unsigned nbytes);			     /* inline bytes */
void mb_port(mb_t *, int disp, mach_port_t name);	     /* inline, one port */
void mb_ports(mb_t *, int disp, const mach_port_t *, int n); /* inline array */
void mb_ool_ports(mb_t *, int disp, const mach_port_name_t *, int n, int dealloc);
void mb_ool(mb_t *, const void *addr, unsigned size, int dealloc);
mach_msg_return_t mb_send(mb_t *);
mach_msg_return_t mb_sendo(mb_t *, int opt, unsigned timeout, mach_port_t notify);

/* a bare header, sent without blocking; sndr with a reply right */
mach_msg_return_t snd(mach_port_t dest, int disp, int id);
mach_msg_return_t sndr(mach_port_t dest, int disp, mach_port_t reply, int rdisp, int id);
/* a receive that does not block; rcvo as told */
mach_msg_return_t rcv(mb_t *, mach_port_t);
mach_msg_return_t rcvo(mb_t *, mach_port_t, int opt, unsigned size, unsigned timeout, mach_port_t notify);
int body_port(const mb_t *, int i); /* the i-th inline port name of a body */
void drain(mach_port_t);	    /* receives everything, keeps the rights */

/* ---- threads */

struct wk { /* a thread that makes one mach_msg() call */
	volatile int started, done;
	volatile int mr;
	thread_t th;
	int opt;
	unsigned ssize, rsize;
	mach_port_t rname;
	unsigned timeout;
	mach_port_t notify;
	mb_t m;
};
void wk_start(struct wk *);	  /* opt, m and so on must be set up */
int wk_wait(struct wk *, int ms); /* returns done */
void wk_rcv(struct wk *, mach_port_t, int opt, unsigned size, unsigned timeout);
void wk_snd(struct wk *, int opt, unsigned timeout); /* sends m */
void wk_kill(struct wk *);
void thread_exit_self(void);
thread_t th_start(task_t, void (*)(void *), void *);

void watchdog_start(int seconds_per_section);
void msleep_quiet(unsigned ms);
void probe_main(void); /* the probe's */

#endif
