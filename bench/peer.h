/* SPDX-License-Identifier: MIT */
/* Other processes that a side works with. Each is this program again, started afresh with a *role*, whoever the
 * contestant is: so all are made of the same processes and only what joins these differs.
 *
 * A worker gives a peer its orders over a control socket, and gets its answers there; nothing passes on it while a clock
 * runs. A peer ends when its control socket does. One that ends badly ends its worker at once: nobody waits for it. */
#ifndef BENCH_PEER_H
#define BENCH_PEER_H

#include "bench.h"

#include <spawn.h>
#include <sys/types.h>

/* Where a peer finds its descriptors. */
enum { PEER_CONTROL = 3, PEER_FIRST = 4, PEER_FDS_MAX = 3 };

struct peer {
	pid_t pid;
	int control;
};

/* What a launcher starts: the program, and the descriptors that it is to find. */
struct launch {
	const char *path;
	char *const *argv, *const *envp;
	const posix_spawn_file_actions_t *actions;
};

/* Starts it and returns its process id; arg is what the caller of peer_start gave. */
typedef pid_t launcher(const struct launch *launch, const void *arg);

launcher launch_plain; /* posix_spawn */

/* fds: up to PEER_FDS_MAX, ended by -1, that the peer finds at PEER_FIRST and after; the caller's stay the caller's. */
void peer_start(struct peer *p, const char *role, const int *fds, launcher *launch, const void *arg);
void peer_stop(struct peer *p);

/* Both sides' ends of the control socket. Whole messages; recv says false if the other end is gone. */
void control_send(int control, const void *data, size_t size);
bool control_recv(int control, void *data, size_t size);

/* What main() does first of all: nothing else ever has the numbers at which peers find their descriptors, so whatever
 * else a launcher hands down is not overwritten. */
void peer_reserve(void);

/* What main() does with PEER_OPTION ROLE. */
#define PEER_OPTION	  "--peer"
#define PEER_OPTION_QUICK "--peer-quick"
int peer_main(const char *role);
void peer_end_with_worker(void);
extern double peer_born; /* when main() began */

struct role {
	const char *name; /* NULL ends a table */
	void (*run)(void);
};

extern const struct role lookup_roles[]; /* lookup.c */

#endif
