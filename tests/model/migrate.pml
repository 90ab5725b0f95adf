/* SPDX-License-Identifier: MIT
 *
 * Migration of a receive right: src/link/migrate.h, whose labels (A1 to A5, B1 to B4, H1, H2) the comments cite.
 *
 * The receive right of p moves from A to B. H has a send right to p, sends numbered messages by it, and lets go of it, at any time.
 * B has one, too, and sends numbered messages, by way of A until p has come. H and B know each other already, or not, or are about to. Up to DEATHS
 * of the three die, each at any point; what a dead node had sent is read to its end, and then its end is noticed. With DESTROYS B may
 * destroy p once it has come.
 *
 * Checked, when nothing can happen any more: nobody is in limbo and nothing kept back; p is at B, settled, with every message of H and of B,
 * or, if somebody has died, p is dead for all who are left, or it is at B without what was lost with A; B counts as many rights as
 * there are; H has no note of the move, and A no relay, any more. At all times: messages of one sender arrive in order; no-senders comes neither while a right is held nor while one of
 * B's own is under way.
 * Mutants, each of which has to be found out: NO_LIMBO (H goes on sending while it is flushed), NO_FLUSH (READY without waiting for A),
 * NO_HOLD (B delivers its own messages at once), NO_GUARD, NO_QUERY (H does not ask when A is dead), NO_ADOPT (B forgets the
 * holders that A had told of), NO_TELL (A does not say that H has died, nor that B has). With DESTROYS: NO_ANSWER (H does not
 * answer A's word of the death with FLUSH), NO_NOTE (H forgets B's if A's has not come yet), NO_WAIT (and if MOVED has not). */

#ifndef DEATHS
#define DEATHS 0
#endif
#ifndef MESSAGES
#define MESSAGES 2
#endif

#ifdef NO_GUARD
#define GUARD 0
#else
#define GUARD b_returns
#endif

#define A 0
#define B 1
#define H 2

mtype = { FROM_H, FROM_B, RELEASE, MOVED, MOVE, RIGHT, FLUSH, FLUSH_OWN, FLUSHED, FLUSHED_OWN, OFFER, READY, QUERY, VOID, DIED, DIED_Y, COUNT };
mtype = { UNKNOWN, EXPECTED, LIVE, ENDED };
mtype = { HERE, IN_LIMBO, THERE, DEAD };
mtype = { NONE, TOLD, ORPHAN, ANSWERED, FLUSHING }; /* a relocation */

chan a_to_b = [9] of { mtype, byte };
chan b_to_a = [6] of { mtype, byte };
chan a_to_h = [3] of { mtype, byte };
chan h_to_a = [6] of { mtype, byte };
chan b_to_h = [4] of { mtype, byte };
chan h_to_b = [6] of { mtype, byte };
bool is_dead[3];
byte n_deaths;
bool a_ended_at_b, a_ended_at_h, b_ended_at_a, h_ended_at_a;
mtype b_at_h = UNKNOWN, h_at_b = UNKNOWN;

/* A: the port, and then what it counts for H by the old way; its queue. */
bool a_has_moved, a_relays_h, a_relays_b, a_is_dead;
byte a_units_h = 1;
chan a_queue = [4] of { mtype, byte };

/* B: h is the adopted index, y the one for H. */
bool b_is_destroyed, b_owes_void;
bool b_is_told, b_has_arrived, b_waits_for_h, b_returns, b_is_dead, b_is_asked, b_no_senders, b_offered, b_adopted, b_has_finished;
byte b_units_h, b_units_y, b_moved_sends;
byte b_got_h, b_got_b, b_sent, b_n_held;
bool b_holds = true;

/* H: where it thinks p is; what is kept back. */
mtype h_where = HERE;
mtype h_note = NONE; /* of the move; TOLD: A waits for FLUSH; ANSWERED: it has had that because p is dead */
bool h_holds = true, h_is_told, h_is_void, h_has_asked, h_has_finished;
byte h_sent, h_n_kept, h_told;

#define b_lives  (b_is_told && !b_is_dead)
#define b_settled (b_lives && b_has_arrived && !b_waits_for_h && !b_returns)

inline receive_of_h(number)
{
	assert(b_is_dead || number > b_got_h);
	b_got_h = number
}

inline receive_of_b(number)
{
	assert(b_is_dead || number > b_got_b);
	b_got_b = number
}

inline count_again()
{
	b_no_senders = b_is_told && !b_is_dead && b_units_h + b_units_y + b_holds + GUARD == 0;
	assert(!b_no_senders || !h_holds || is_dead[H] || h_where == DEAD);
	assert(!b_no_senders || b_got_b == b_sent || a_ended_at_b)
}

proctype old_home()
{
	byte n;
	mtype what;
end:
	do
	:: atomic { n_deaths < DEATHS -> n_deaths++; is_dead[A] = true; break }
	:: atomic { !a_has_moved && !b_ended_at_a ->
			a_has_moved = true;
			if
			:: a_units_h > 0 -> a_to_h ! MOVED, 0; a_relays_h = true	     /* A1 */
			:: else
			fi;
			a_relays_b = true;
			n = a_units_h }
		if /* between A1 and A2 */
		:: atomic { n_deaths < DEATHS -> n_deaths++; is_dead[A] = true; break }
		:: true
		fi;
		atomic {
			a_to_b ! MOVE, n;						     /* A2 */
			do
			:: a_queue ? [what, n] -> a_queue ? what, n; a_to_b ! what, n	     /* A3 */
			:: empty(a_queue) -> break
			od }
		if
		:: atomic { n_deaths < DEATHS -> n_deaths++; is_dead[A] = true; break }
		:: true
		fi;
		a_to_b ! RIGHT, 0
	:: atomic { h_to_a ? FROM_H, n ->
			if
			:: !a_has_moved -> a_queue ! FROM_H, n
			:: a_has_moved -> a_to_b ! FROM_H, n				     /* A4 */
			fi }
	:: atomic { b_to_a ? FROM_B, n ->
			if
			:: !a_has_moved -> a_queue ! FROM_B, n
			:: a_has_moved -> a_to_b ! FROM_B, n
			fi }
	:: atomic { h_to_a ? RELEASE, n ->
			a_units_h--;
			if
			:: a_has_moved && a_relays_h -> a_to_b ! COUNT, 1
			:: else
			fi }
	:: atomic { h_to_a ? FLUSH, n ->						     /* A5 */
			a_relays_h = false;
			if
			:: !a_is_dead -> a_to_b ! FLUSHED, n
			:: else
			fi;
			a_units_h = 0 }
	:: atomic { b_to_a ? FLUSH_OWN, n -> a_relays_b = false; a_to_b ! FLUSHED_OWN, 0 }
	:: atomic { b_to_a ? DIED, n -> a_is_dead = true;
			if
			:: a_relays_h -> a_to_h ! DIED, 0
			:: else
			fi }
	:: atomic { is_dead[H] && empty(h_to_a) && !h_ended_at_a -> h_ended_at_a = true;
			if
			:: a_has_moved && a_relays_h ->
				a_relays_h = false;
#ifndef NO_TELL
				a_to_b ! FLUSHED, 0;
#endif
				if
				:: a_units_h && !a_is_dead -> a_to_b ! COUNT, a_units_h
				:: else
				fi
			:: else
			fi;
			a_units_h = 0 }
	:: atomic { is_dead[B] && empty(b_to_a) && !b_ended_at_a -> b_ended_at_a = true;
#ifndef NO_TELL
			if
			:: a_has_moved && a_relays_h && !a_is_dead -> a_to_h ! DIED, 0
			:: else
			fi;
#endif
			a_is_dead = a_has_moved
		}
	od
}

inline ready(sends)
{
	b_units_y = sends;
	b_to_h ! READY, sends
}

/* B2 */
inline offer()
{
	if
	:: h_at_b == LIVE && b_waits_for_h && !b_offered -> b_offered = true; b_to_h ! OFFER, 0
	:: else
	fi
}

proctype new_home()
{
	byte n;
end:
	do
	:: atomic { n_deaths < DEATHS -> n_deaths++; is_dead[B] = true; break }
	/* Its own program. */
	:: atomic { !b_has_finished && b_sent < MESSAGES && b_holds && !b_is_dead && !(a_ended_at_b && !b_is_told) ->
			b_sent++;
			if
			:: !b_is_told -> b_to_a ! FROM_B, b_sent
#ifndef NO_HOLD
			:: b_is_told && b_returns -> b_n_held++
			:: b_is_told && !b_returns -> receive_of_b(b_sent)
#else
			:: b_is_told -> receive_of_b(b_sent)
#endif
			fi }
	:: atomic { !b_has_finished && b_is_told && b_holds -> b_holds = false; count_again() }
	:: atomic { !b_has_finished -> b_has_finished = true }
#ifdef DESTROYS
	:: atomic { !b_has_finished && b_lives && b_has_arrived ->
			b_is_destroyed = true;
			b_is_dead = true;
			b_to_a ! DIED, 0;
			if
			:: b_offered && h_at_b == LIVE -> b_to_h ! DIED_Y, 0
			:: else
			fi;
			if
			:: b_waits_for_h && b_offered && h_at_b == LIVE -> b_to_h ! VOID, 0
			:: b_waits_for_h && !b_offered -> b_owes_void = true
			:: else
			fi;
			b_waits_for_h = false;
			b_holds = false;
			b_n_held = 0;
			b_returns = false;
			b_units_h = 0;
			b_units_y = 0;
			count_again() }
#endif

	:: atomic { a_to_b ? MOVE, n ->							     /* B1 */
			b_is_told = true;
			b_units_h = n;
			b_moved_sends = n;
			b_returns = true;
			b_to_a ! FLUSH_OWN, 0;
			if
			:: n > 0 ->
				b_waits_for_h = true;
				if
				:: h_at_b == UNKNOWN -> h_at_b = EXPECTED
				:: else
				fi;
				offer()
			:: else
			fi;
			if
			:: b_waits_for_h && h_at_b == ENDED -> b_waits_for_h = false
			:: else
			fi;
			count_again() }
	:: atomic { h_at_b == EXPECTED && !is_dead[H] && (b_at_h == EXPECTED || b_at_h == LIVE) -> h_at_b = LIVE;
			offer();
			if
			:: b_owes_void -> b_owes_void = false; b_to_h ! VOID, 0
			:: else
			fi;
			if
			:: b_adopted && b_waits_for_h -> b_waits_for_h = false; b_units_h = 0; ready(b_moved_sends)
			:: else
			fi }
	:: atomic { a_to_b ? RIGHT, n -> b_has_arrived = true; count_again() }
	:: atomic { a_to_b ? FROM_H, n -> receive_of_h(n) }
	:: atomic { a_to_b ? FROM_B, n -> receive_of_b(n) }
	:: atomic { a_to_b ? COUNT, n ->
			if
			:: b_units_h >= n -> b_units_h = b_units_h - n
			:: else -> b_units_h = 0
			fi;
			count_again() }
	:: atomic { a_to_b ? FLUSHED, n ->						     /* B3 */
			if
			:: b_waits_for_h && b_offered ->
				b_waits_for_h = false;
				b_units_h = b_units_h - n;
				ready(n)
			:: b_waits_for_h && !b_offered -> b_waits_for_h = false; b_units_h = b_units_h - n
			:: !b_waits_for_h && !b_is_dead -> b_units_h = b_units_h - n
			:: b_is_dead
			fi;
			count_again() }
#ifdef NO_FLUSH
	:: atomic { b_waits_for_h && b_offered -> b_waits_for_h = false; b_units_h = b_units_h - b_moved_sends; ready(b_moved_sends) }
#endif
	:: atomic { a_to_b ? FLUSHED_OWN, n ->						     /* B3 */
			do
			:: b_n_held > 0 -> receive_of_b(b_sent - b_n_held + 1); b_n_held--
			:: b_n_held == 0 -> break
			od;
			b_returns = false;
			count_again() }
	:: atomic { h_at_b == LIVE && h_to_b ? [FROM_H, n] -> h_to_b ? FROM_H, n; receive_of_h(n) }
	:: atomic { h_at_b == LIVE && h_to_b ? [RELEASE, n] -> h_to_b ? RELEASE, n;
			b_units_y = (b_is_dead -> 0 : b_units_y - n);
			count_again() }
	:: atomic { h_at_b == LIVE && h_to_b ? [QUERY, n] -> h_to_b ? QUERY, n; b_is_asked = true }
	:: atomic { b_is_asked && a_ended_at_b && h_at_b == LIVE -> b_is_asked = false; b_to_h ! VOID, 0 }
	:: atomic { is_dead[A] && empty(a_to_b) && !a_ended_at_b -> a_ended_at_b = true;
			do
			:: b_n_held > 0 -> receive_of_b(b_sent - b_n_held + 1); b_n_held--
			:: b_n_held == 0 -> break
			od;
			b_returns = false;
			if
			:: !b_is_told -> b_holds = false
			:: b_is_told && !b_has_arrived && !b_is_dead ->
				b_is_dead = true;
				b_waits_for_h = false;
				b_holds = false;
				if
				:: h_at_b == LIVE && b_offered -> b_to_h ! VOID, 0
				:: else
				fi
#ifndef NO_ADOPT
			:: b_is_told && b_has_arrived && b_waits_for_h ->
				b_adopted = true;
				if
				:: b_offered -> b_waits_for_h = false; ready(b_moved_sends)
				:: else
				fi
#endif
			:: else
			fi;
			b_units_h = (b_adopted && b_waits_for_h -> b_moved_sends : 0);
			count_again() }
	:: atomic { (h_at_b == EXPECTED && (is_dead[H] || (is_dead[A] && b_at_h == UNKNOWN && !(a_to_h ?? [MOVED, 0])))) ||
			(h_at_b == LIVE && is_dead[H] && empty(h_to_b)) ->
			h_at_b = ENDED;
			b_is_asked = false;
			b_owes_void = false;
			b_units_y = 0;
			b_waits_for_h = false;
			if
			:: b_adopted -> b_units_h = 0
			:: else
			fi;
			count_again() }
	od
}

inline h_dies()
{
	h_where = DEAD;
	h_holds = false;
	h_n_kept = 0
}

inline h_stops()
{
#ifndef NO_LIMBO
	h_where = IN_LIMBO;
#endif
	h_told = h_holds
}

#define h_owes_flush (h_note == TOLD)
#define h_may_take_of_b (b_at_h == LIVE && (h_is_told || a_ended_at_h))

proctype holder()
{
	byte n;
end:
	do
	:: atomic { n_deaths < DEATHS -> n_deaths++; is_dead[H] = true; break }
	/* Its own program. */
	:: atomic { !h_has_finished && h_sent < MESSAGES && h_holds && h_where != DEAD ->
			h_sent++;
			if
			:: h_where == HERE -> h_to_a ! FROM_H, h_sent
			:: h_where == IN_LIMBO -> h_n_kept++
			:: h_where == THERE -> h_to_b ! FROM_H, h_sent
			fi }
	:: atomic { !h_has_finished && h_holds && h_where != DEAD && h_n_kept == 0 ->
			h_holds = false;
			if
			:: h_where == HERE -> h_to_a ! RELEASE, 1
			:: h_where == IN_LIMBO -> skip
			:: h_where == THERE -> h_to_b ! RELEASE, 1
			fi }
	:: atomic { !h_has_finished -> h_has_finished = true }

	:: atomic { a_to_h ? MOVED, n ->
			h_is_told = true;
			h_note = TOLD;
			if
			:: b_at_h == UNKNOWN -> b_at_h = EXPECTED
			:: else
			fi }
	:: atomic { a_to_h ? DIED, n ->
			if
			:: h_where == HERE || h_where == IN_LIMBO -> h_dies()
			:: else
			fi;
#ifndef NO_ANSWER
			if
			:: h_owes_flush -> h_to_a ! FLUSH, 0; h_note = (h_is_void || b_at_h == ENDED -> NONE : ANSWERED)
			:: else
			fi
#endif
		}
	:: atomic { b_at_h == EXPECTED && !is_dead[B] && (h_at_b == EXPECTED || h_at_b == LIVE) -> b_at_h = LIVE }
	:: atomic { b_at_h == LIVE && h_is_told && b_to_h ? [OFFER, n] -> b_to_h ? OFFER, n;	     /* H1 */
			if
			:: h_where == HERE && h_owes_flush -> h_stops(); h_to_a ! FLUSH, h_told
			:: h_where == DEAD && h_owes_flush -> h_to_a ! FLUSH, 0
			:: else
			fi;
			if
			:: h_note != ORPHAN -> h_note = FLUSHING
			:: else
			fi }
	:: atomic { b_at_h == LIVE && h_is_told && b_to_h ? [READY, n] -> b_to_h ? READY, n;	     /* H2 */
			h_note = NONE;
			if
			:: h_where == IN_LIMBO ->
				h_where = THERE;
				do
				:: h_n_kept > 0 -> h_to_b ! FROM_H, h_sent - h_n_kept + 1; h_n_kept--
				:: h_n_kept == 0 -> break
				od;
				if
				:: n > h_holds -> h_to_b ! RELEASE, n - h_holds
				:: else
				fi
			:: h_where != IN_LIMBO -> h_where = (h_where == DEAD -> DEAD : THERE)
			fi }
#ifdef NO_WAIT
	:: atomic { b_at_h == LIVE && b_to_h ? [VOID, n] -> b_to_h ? VOID, n;
#else
	:: atomic { h_may_take_of_b && b_to_h ? [VOID, n] -> b_to_h ? VOID, n;
#endif
			if
			:: h_where == IN_LIMBO -> h_dies()
			:: else
			fi;
#ifndef NO_NOTE
			if
			:: h_owes_flush -> h_is_void = true
			:: else -> h_note = NONE
			fi }
#else
			h_note = (h_owes_flush -> h_note : NONE) }
#endif
	:: atomic { b_at_h == LIVE && b_to_h ? [DIED_Y, n] -> b_to_h ? DIED_Y, n;
			if
			:: h_where == IN_LIMBO || h_where == THERE -> h_dies()
			:: else
			fi }
	:: atomic { is_dead[A] && empty(a_to_h) && !a_ended_at_h -> a_ended_at_h = true;
			if
			:: h_where == HERE && !h_is_told -> h_dies()
			:: h_where == HERE && h_is_told && b_at_h != ENDED -> h_stops()
			:: h_where == HERE && h_is_told && b_at_h == ENDED -> h_dies()
			:: else
			fi;
			if
			:: h_note != NONE && b_at_h != ENDED -> h_note = ORPHAN
			:: else -> h_note = NONE
			fi }
#ifndef NO_QUERY
	:: atomic { h_note == ORPHAN && !h_has_asked && b_at_h == LIVE -> h_has_asked = true; h_to_b ! QUERY, 0 }
#endif
	:: atomic { (b_at_h == EXPECTED && (is_dead[B] || (is_dead[A] && h_at_b == UNKNOWN && !(a_to_b ?? [MOVE, 1])))) ||
			(b_at_h == LIVE && is_dead[B] && empty(b_to_h)) ->
			b_at_h = ENDED;
			h_note = (h_owes_flush -> TOLD : NONE);
			if
			:: h_where == IN_LIMBO || h_where == THERE -> h_dies()
			:: else
			fi }
	od
}

proctype judge()
{
	timeout ->
	assert(is_dead[H] || h_where != IN_LIMBO);
	assert(is_dead[H] || h_n_kept == 0);
	assert(is_dead[H] || h_note == NONE);
	assert(is_dead[A] || !a_relays_h);
	assert(!b_is_destroyed || is_dead[H] || !h_holds);
	assert(is_dead[B] || b_n_held == 0);
	if
	:: n_deaths == 0 && !b_is_destroyed ->
		assert(b_settled && b_got_h == h_sent && b_got_b == b_sent);
		assert(b_units_h == 0 && b_units_y == h_holds);
		assert(b_no_senders == (!h_holds && !b_holds))
	:: else
	fi;
	if
	:: b_lives && !is_dead[B] && n_deaths > 0 ->
		assert(b_settled);
		assert(b_units_h == 0);
		assert(b_units_y == (h_holds && !is_dead[H]))
	:: else
	fi;
	/* Its home is dead. */
	assert(!(is_dead[B] && a_has_moved) || is_dead[H] || !h_holds);
	assert(!(is_dead[A] && (!b_is_told || b_is_dead)) || is_dead[H] || !h_holds)
}

init {
	atomic {
		if
		:: b_at_h = LIVE; h_at_b = LIVE
		:: b_at_h = EXPECTED; h_at_b = EXPECTED /* somebody else has introduced them */
		:: true
		fi;
		run old_home();
		run new_home();
		run holder();
		run judge()
	}
}
