/* SPDX-License-Identifier: MIT
 *
 * Who takes in what comes: the role of src/link/poller.c, among WAITERS threads that each wait for one message and the
 * background thread; and how a wait ends (src/kernel/waiter.h, whose labels W2, D1 and N1 are cited).
 *
 * Each waiter's message comes over a link or from another thread of its own process. Something happens on a socket at any time,
 * too, and has to be seen to although nobody may be waiting. Memory is sequentially consistent here; wake.pml looks at fences.
 *
 * Checked: everybody's wait ends, and the socket is seen to (no invalid end state); only the holder works (assertion).
 * Mutants, each of which has to be found out: NO_NUDGE, NO_SECOND_TRY (stand_in_line() that does not look at the role again),
 * NO_NOTE (a background thread that leaves no has_events), NO_KICK, NO_PASS_ON (a nudge is lost with the wait of who got it). */

#ifndef WAITERS
#define WAITERS 2
#endif

mtype = { SPINNING, SLEEPING, POLLING, DONE };
mtype state[WAITERS] = SPINNING;
bool is_nudged[WAITERS];
bool is_candidate[WAITERS];

bool role_is_taken, has_events;
byte n_holders; /* threads that do the holder's work */

/* The outside: a ring, its doorbell and what it is told; a socket, as epoll shows it to the holder (level) and to the background
 * thread (edge); the kick of the holder. */
bool is_in_ring[WAITERS];
bool is_asleep, doorbell, socket_level, socket_edge, kick;

inline role_try(got)
{
	atomic {
		got = !role_is_taken;
		role_is_taken = true
	}
}

/* D1: the wait of w ends. A sleeper sees it; a poller is kicked. */
inline claim(w)
{
	atomic {
		was = state[w];
		state[w] = DONE
	}
	atomic {
		if
#ifndef NO_KICK
		:: was == POLLING -> kick = true
#endif
		:: else
		fi;
		was = DONE
	}
}

/* All that is there: the hot ring, then what epoll knows of. */
inline service(w)
{
	atomic {
		n_holders++;
		assert(n_holders == 1);
		w = 0
	}
	do
	:: atomic { w < WAITERS && is_in_ring[w] -> is_in_ring[w] = false }
		claim(w);
		w++
	:: atomic { w < WAITERS && !is_in_ring[w] -> w++ }
	:: w == WAITERS -> break
	od;
	atomic {
		socket_level = false;
		n_holders--;
		w = 0
	}
}

/* Under poller.lock, but for the wake: N1. */
inline nudge_candidate(w)
{
	atomic {
		w = 0;
		do
		:: w < WAITERS && !is_candidate[w] -> w++
		:: else -> break
		od;
		if
		:: w < WAITERS -> is_nudged[w] = true
		:: else
		fi
	}
	atomic {
		if
		:: w < WAITERS && state[w] == SLEEPING -> state[w] = SPINNING
		:: else
		fi;
		w = 0
	}
}

inline sleep(w)
{
	atomic {
		if
		:: state[w] == SPINNING -> state[w] = SLEEPING
		:: else
		fi
	}
	do
	:: state[w] != SLEEPING -> break
	:: atomic { state[w] == SLEEPING && is_nudged[w] -> is_nudged[w] = false }
		atomic {
			if
			:: state[w] == SLEEPING -> state[w] = SPINNING
			:: else
			fi
		}
	od
}

/* role_drop() */
inline role_drop(got, w)
{
	role_is_taken = false;
	do
	:: !has_events -> break
	:: has_events ->
		role_try(got);
		if
		:: got ->
			has_events = false;
			service(w);
			role_is_taken = false
		:: !got -> break
		fi
	od;
#ifndef NO_NUDGE
	nudge_candidate(w)
#endif
}

proctype waiter(byte self)
{
	bool got;
	byte w;
	mtype was;

	do
	:: state[self] == DONE -> break
	:: else ->
		role_try(got);
		if
		:: got ->
			/* serve() */
			do
			:: service(w);
				if
				:: state[self] == DONE -> break
				:: else
				fi;
				/* sleep_for_events(), or spin: once more around */
				atomic {
					if
					:: state[self] == SPINNING -> state[self] = POLLING
					:: else
					fi
				}
				if
				:: state[self] == DONE -> skip
				:: else ->
					is_asleep = true;
					if
					:: is_in_ring[0] || is_in_ring[1] || is_in_ring[WAITERS - 1] -> skip
					:: else ->
						/* epoll */
						if
						:: atomic { doorbell -> doorbell = false }
						:: atomic { kick -> kick = false }
						:: socket_level
						fi
					fi;
					is_asleep = false;
					atomic {
						if
						:: state[self] == POLLING -> state[self] = SPINNING
						:: else
						fi
					}
				fi
			od;
			role_drop(got, w)
		:: !got ->
			/* stand_in_line() */
			is_candidate[self] = true;
			if
#ifdef NO_SECOND_TRY
			:: sleep(self)
#else
			:: !role_is_taken
			:: role_is_taken -> sleep(self) /* W2 */
#endif
			fi;
			is_candidate[self] = false
		fi
	od;
#ifndef NO_PASS_ON
	if
	:: !role_is_taken -> nudge_candidate(w)
	:: else
	fi
#endif
}

/* background_serve(), as often as there is something on a socket that it has not seen. */
proctype background()
{
	bool got;
	byte w;
	mtype was;
end:
	do
	:: atomic { socket_edge -> socket_edge = false }
#ifndef NO_NOTE
		has_events = true;
#endif
		role_try(got);
		if
		:: got ->
			has_events = false;
			service(w);
			role_drop(got, w)
		:: !got
		fi
	od
}

/* A message for w, over the link. */
proctype peer(byte w)
{
	is_in_ring[w] = true;
	if
	:: is_asleep -> doorbell = true
	:: else
	fi
}

/* A message for w, from a thread here. */
proctype sender(byte w)
{
	mtype was;

	claim(w)
}

proctype socket()
{
	atomic {
		socket_level = true;
		socket_edge = true
	}
	!socket_level /* somebody has seen to it */
}

init {
	byte w;

	atomic {
		do
		:: w < WAITERS ->
			run waiter(w);
			if
			:: run peer(w)
			:: run sender(w)
			fi;
			w++
		:: w == WAITERS -> break
		od;
		run background();
		run socket()
	}
}
