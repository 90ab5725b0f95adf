/* SPDX-License-Identifier: MIT
 *
 * One ring and how both ends sleep: src/link/ring.h, whose steps (P1 to P8, C0 to C7) the comments cite, and serve(),
 * sleep_for_events() and background_tick() of src/link/poller.c.
 *
 * A producer sends FRAMES frames through a ring with room for ROOM. What finds none waits in its memory until its doorbell rings.
 * The consumer's program waits in calls, or leaves, and comes back up to RETURNS times; then a background thread ticks, and
 * in the end it, too, stops, and only a packet on the socket wakes it. Every frame is urgent.
 *
 * Each end's stores to its memory go through a store buffer, first in, first out, as a processor of the x86 kind has it; a
 * fence waits until that is empty. Spinning is looking again, which the consumer may do at every point.
 *
 * Checked: no end is stuck with frames to go (no invalid end state); each frame is taken once and in order; a producer that is
 * killed at any point is noticed, and what it had put before is taken.
 * Mutants, each of which has to be found out: NO_P3, NO_C2, NO_P7, NO_C6, NO_CEASE (a fence left out), NO_LAST_LOOK,
 * RING_NEVER_AGAIN (one doorbell, not one for each sleep). */

#ifndef FRAMES
#define FRAMES 2
#endif
#ifndef RETURNS
#define RETURNS 1
#endif
#ifndef ROOM
#define ROOM 1
#endif

/* What the producer writes, and what the consumer writes. */
#define TAIL	    0
#define IS_FULL	    1
#define HEAD	    2
#define SLEEP	    3
#define IS_ATTENDED 4
byte memory[5];
chan producer_stores = [2] of { byte, byte };
chan consumer_stores = [3] of { byte, byte };

byte data[ROOM];
bool doorbell, room_doorbell; /* eventfds: rung since they were read */
bool packet;		      /* on the socket, unread */
bool is_killed;		      /* the producer: the end of the socket */
byte n_put, n_taken;
byte n_sleeps, n_returns;
bool is_ticking, role_is_taken, has_left;

proctype drain_producer()
{
	byte where, value;
end:
	do
	:: atomic { producer_stores ? where, value -> memory[where] = value; where = 0; value = 0 }
	od
}

proctype drain_consumer()
{
	byte where, value;
end:
	do
	:: atomic { consumer_stores ? where, value -> memory[where] = value; where = 0; value = 0 }
	od
}

#define producer_fence (empty(producer_stores))
#define consumer_fence (empty(consumer_stores))

/* P6 to P8 and P1 to P5. Dies at any point, or does not. */
proctype producer()
{
	byte known_head = 0, sleep, rung;

	do
	:: n_put == FRAMES -> break
	:: n_put < FRAMES && n_put - known_head < ROOM ->
		data[n_put % ROOM] = n_put;		      /* P1 */
		atomic { n_put++; producer_stores ! TAIL, n_put } /* P2 */
#ifndef NO_P3
		producer_fence;
#endif
		if
		:: !memory[IS_ATTENDED] -> packet = true      /* P4 */
		:: else ->
			sleep = memory[SLEEP];
			if
#ifdef RING_NEVER_AGAIN
			:: sleep && !rung ->
#else
			:: sleep && sleep != rung ->
#endif
				rung = sleep;
				doorbell = true		      /* P5 */
			:: else
			fi
		fi
	:: n_put < FRAMES && n_put - known_head == ROOM ->
		producer_stores ! IS_FULL, 1;		      /* P6 */
#ifndef NO_P7
		producer_fence;
#endif
		known_head = memory[HEAD];		      /* P8 */
		if
		:: n_put - known_head == ROOM ->
			atomic { room_doorbell -> room_doorbell = false }
			known_head = memory[HEAD]
		:: else -> producer_stores ! IS_FULL, 0
		fi
#ifdef DEATHS
	:: n_put < FRAMES -> break			      /* killed before it sends all */
#endif
	od;
#ifdef DEATHS
	/* What it has stored is seen; nothing that it has not. */
	producer_fence;
	is_killed = true
#endif
}

/* What the holder of the role does in each turn. Who calls it is alone. */
byte head;
bool has_any;
inline look()
{
	has_any = false;
	do
	:: memory[TAIL] != head ->			      /* C3 */
		assert(data[head % ROOM] == head);
		assert(head < n_put);
		head++;
		n_taken++;
		has_any = true
	:: else -> break
	od;
	consumer_stores ! HEAD, head;			      /* C5 */
#ifndef NO_C6
	consumer_fence;
#endif
	if
	:: memory[IS_FULL] -> room_doorbell = true	      /* C7 */
	:: else
	fi
}

/* A thread of the program: comes, waits, goes. */
proctype program()
{
	do
	:: n_taken == FRAMES || (is_killed && memory[TAIL] == head) -> break
	:: atomic { !role_is_taken && !has_left -> role_is_taken = true }
		consumer_stores ! IS_ATTENDED, 1;
		do
		:: look();
			if
			:: break /* its wait has ended: it leaves, and seems to attend */
			:: has_any || true -> skip /* spins */
			:: !has_any ->
				atomic { n_sleeps++; consumer_stores ! SLEEP, n_sleeps } /* C1 */
#ifndef NO_C2
				consumer_fence;
#endif
				if
				:: memory[TAIL] != head -> skip
				:: memory[TAIL] == head ->	/* C4 */
					if
					:: atomic { doorbell -> doorbell = false }
					:: atomic { packet -> packet = false }
					:: is_killed
					:: n_taken == FRAMES /* there will be no more */
					fi
				fi;
				consumer_stores ! SLEEP, 0	/* C0 */
			fi;
			if
			:: n_taken == FRAMES || (is_killed && memory[TAIL] == head) -> break
			:: else
			fi
		od;
		/* n_leaves, and the ticks begin */
		is_ticking = true;
		has_left = true;
		role_is_taken = false
	:: has_left && n_returns < RETURNS -> n_returns++; has_left = false
	:: has_left -> break /* for good: nobody is here, only the background thread */
	od
}

/* Ticks while is_ticking; otherwise waits for the socket. */
proctype background()
{
	bool has_left_before = false;

	do
	:: n_taken == FRAMES || (is_killed && memory[TAIL] == head && !is_ticking) -> break
	:: atomic { is_ticking && !role_is_taken -> role_is_taken = true }
		look();
		if
		:: true -> skip /* somebody has been here since the last tick */
		:: true ->	/* nobody: cease_to_attend() */
			is_ticking = false;
			consumer_stores ! IS_ATTENDED, 0;
#ifndef NO_CEASE
			consumer_fence;
#endif
#ifndef NO_LAST_LOOK
			look()
#endif
		fi;
		role_is_taken = false
	:: atomic { packet && !role_is_taken -> packet = false; role_is_taken = true }
		look();
		role_is_taken = false
	:: atomic { is_killed && !role_is_taken && !is_ticking -> role_is_taken = true }
		look();
		role_is_taken = false
	od
}

init {
	atomic {
		run drain_producer();
		run drain_consumer();
		run producer();
		run program();
		run background()
	}
}
