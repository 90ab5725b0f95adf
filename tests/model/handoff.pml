/* SPDX-License-Identifier: MIT
 *
 * Third-party handoff: src/link/handoff.h, whose labels (S0 to S2, T1, R1, R2) the comments cite.
 *
 * S has a send right to T's port p and passes it to R, whose port q it can send to. R and T do not know each other. S sends, in this
 * order: EARLY to p; to q WITH_RIGHT, with its right to p, moved; to q PLAIN. R, as it gets the right, sends LATE to p. Up to DEATHS
 * of the three die, each at any point; what a dead node had sent is read to its end, and then its end is noticed.
 *
 * Checked, whatever dies, when nothing can happen any more: R has had every message to q that S had sent, in order, and the right,
 * unless T is dead; T counts as many rights as R and S hold; p had EARLY before LATE; no-senders came if there is none, and at no
 * time before.
 * DESTROYS: T may destroy p at any time.
 * LIAR: S leaves out S1. Then R has its message without the right as soon as S is dead.
 * Mutants, each of which has to be found out: NO_QUERY (R does not ask about the offers of a dead giver), EARLY_VOID (T answers before
 * it has read S to its end), NO_PARK (a message overtakes one that waits for its right), TICKET_FIRST (S2 before S1), KEEP_OFFER (an
 * offer whose ticket will not come is kept), KEEP_DEPOSIT (so is a deposit for a dead node). With DESTROYS: FORGET_DEAD (R does not keep
 * the word that p is dead for the ticket). */

#ifndef DEATHS
#define DEATHS 0
#endif

#define S 0
#define R 1
#define T 2

mtype = { EARLY, LATE, INTRODUCTION, DEPOSIT, WITH_RIGHT, PLAIN, OFFER, DEAD_OFFER, QUERY, VOID, RELEASE };
mtype = { UNKNOWN, EXPECTED, LIVE, ENDED };

/* A ring for each direction. */
chan s_to_t = [4] of { mtype };
chan s_to_r = [4] of { mtype };
chan r_to_t = [4] of { mtype };
chan t_to_r = [4] of { mtype };
bool is_dead[3];
byte n_deaths;

/* The link between R and T, and the ends of the others. */
mtype t_at_r = UNKNOWN, r_at_t = UNKNOWN;
bool s_ended_at_r, s_ended_at_t;

/* S */
bool s_holds = true, s_sent_right, s_sent_plain;
/* R: what it holds of p; what it delivered; what waits */
bool r_holds, r_got_right, r_got_message, r_got_plain, r_has_offer, r_has_dead_offer, r_waits, r_parks_plain, r_has_asked;
/* T */
byte units_s = 1, units_r;
bool t_is_destroyed, t_has_deposit, t_is_asked, t_got_early, t_got_late, t_no_senders;

inline may_die(node)
{
	if
	:: atomic { n_deaths < DEATHS -> n_deaths++; is_dead[node] = true; goto dead }
	:: true
	fi
}

proctype giver()
{
	s_to_t ! EARLY;
	may_die(S);
	s_to_r ! INTRODUCTION; /* S0 */
	may_die(S);
	s_to_t ! INTRODUCTION;
	may_die(S);
#ifdef TICKET_FIRST
	atomic { s_to_r ! WITH_RIGHT; s_sent_right = true }
	may_die(S);
#endif
#ifndef LIAR
	atomic { s_to_t ! DEPOSIT; s_holds = false } /* S1 */
	may_die(S);
#endif
#ifndef TICKET_FIRST
	atomic { s_to_r ! WITH_RIGHT; s_sent_right = true } /* S2 */
	may_die(S);
#endif
	atomic { s_to_r ! PLAIN; s_sent_plain = true }
	may_die(S);
dead:	skip
}

/* An end of the socket that is not taken yet is with S, or unread in its ring. */
#define t_will_not_greet (is_dead[T] || (is_dead[S] && r_at_t == UNKNOWN && !(s_to_t ?? [INTRODUCTION])))
#define r_will_not_greet (is_dead[R] || (is_dead[S] && t_at_r == UNKNOWN && !(s_to_r ?? [INTRODUCTION])))

/* R2 */
inline deliver(is_valid)
{
	assert(!r_got_plain);
	r_waits = false;
	r_got_message = true;
	if
	:: is_valid -> r_holds = true; r_got_right = true; r_to_t ! LATE
	:: else
	fi;
	r_got_plain = r_got_plain || r_parks_plain;
	r_parks_plain = false
}

proctype receiver()
{
end:
	do
	:: atomic { n_deaths < DEATHS -> n_deaths++; is_dead[R] = true; break }
	:: atomic { s_to_r ? INTRODUCTION -> t_at_r = EXPECTED }
	:: atomic { t_at_r == EXPECTED && !is_dead[T] && (r_at_t == EXPECTED || r_at_t == LIVE) -> t_at_r = LIVE }
	:: atomic { s_to_r ? WITH_RIGHT -> /* R1 */
			if
			:: r_has_offer -> r_has_offer = false; deliver(true)
			:: r_has_dead_offer -> r_has_dead_offer = false; deliver(false)
			:: !r_has_offer && !r_has_dead_offer && t_at_r == ENDED -> deliver(false)
			:: !r_has_offer && !r_has_dead_offer && t_at_r != ENDED -> r_waits = true
			fi }
	:: atomic { s_to_r ? PLAIN ->
			if
#ifndef NO_PARK
			:: r_waits -> r_parks_plain = true
#endif
			:: else -> r_got_plain = true
			fi }
	:: atomic { t_at_r == LIVE && t_to_r ? [OFFER] -> t_to_r ? OFFER; /* R1 */
			if
			:: r_waits -> deliver(true)
			:: !r_waits && !s_ended_at_r -> r_has_offer = true
			:: !r_waits && s_ended_at_r -> r_to_t ! RELEASE
			fi }
	:: atomic { t_at_r == LIVE && t_to_r ? [DEAD_OFFER] -> t_to_r ? DEAD_OFFER;
			if
			:: r_waits -> deliver(false)
#ifndef FORGET_DEAD
			:: !r_waits && !s_ended_at_r -> r_has_dead_offer = true
#endif
			:: else
			fi }
	:: atomic { t_at_r == LIVE && t_to_r ? [VOID] -> t_to_r ? VOID;
			if
			:: r_waits -> deliver(false)
			:: else
			fi }
#ifndef NO_QUERY
	:: atomic { s_ended_at_r && r_waits && !r_has_asked && t_at_r == LIVE -> r_has_asked = true; r_to_t ! QUERY }
#endif
	:: atomic { is_dead[S] && empty(s_to_r) && !s_ended_at_r -> s_ended_at_r = true;
			r_has_dead_offer = false;
			if
#ifndef KEEP_OFFER
			:: r_has_offer -> r_has_offer = false; r_to_t ! RELEASE
#endif
			:: else
			fi }
	:: atomic { (t_at_r == EXPECTED && t_will_not_greet) || (t_at_r == LIVE && is_dead[T] && empty(t_to_r)) ->
			t_at_r = ENDED;
			r_has_offer = false;
			r_has_dead_offer = false;
			r_holds = false;
			if
			:: r_waits -> deliver(false)
			:: else
			fi }
	od
}

inline count_again()
{
	t_no_senders = !t_is_destroyed && units_s + units_r + t_has_deposit == 0;
	/* Not while somebody holds it, or it is under way. */
	assert(!t_no_senders || !r_holds || is_dead[R]);
	assert(!t_no_senders || !(t_to_r ?? [OFFER]) || is_dead[R]);
	assert(!t_no_senders || !r_has_offer || is_dead[R])
}

/* T1 */
inline offer()
{
	if
	:: t_is_destroyed -> t_to_r ! DEAD_OFFER
	:: else -> units_r++; t_to_r ! OFFER
	fi
}

proctype owner()
{
end:
	do
	:: atomic { n_deaths < DEATHS -> n_deaths++; is_dead[T] = true; break }
#ifdef DESTROYS
	:: atomic { !t_is_destroyed -> t_is_destroyed = true; t_no_senders = false }
#endif
	:: atomic { s_to_t ? EARLY -> assert(!t_got_late); t_got_early = true }
	:: atomic { s_to_t ? INTRODUCTION -> r_at_t = EXPECTED }
	:: atomic { r_at_t == EXPECTED && !is_dead[R] && (t_at_r == EXPECTED || t_at_r == LIVE) -> r_at_t = LIVE;
			if
			:: t_has_deposit -> t_has_deposit = false; offer()
			:: else
			fi }
	:: atomic { s_to_t ? DEPOSIT -> /* T1 */
			units_s--;
			if
			:: r_at_t == LIVE -> offer()
#ifndef KEEP_DEPOSIT
			:: r_at_t == EXPECTED -> t_has_deposit = true
			:: else
#else
			:: else -> t_has_deposit = true
#endif
			fi;
			count_again() }
	:: atomic { r_at_t == LIVE && r_to_t ? [LATE] -> r_to_t ? LATE; assert(t_got_early); t_got_late = true }
	:: atomic { r_at_t == LIVE && r_to_t ? [RELEASE] -> r_to_t ? RELEASE; units_r--; count_again() }
	:: atomic { r_at_t == LIVE && r_to_t ? [QUERY] -> r_to_t ? QUERY; t_is_asked = true }
#ifdef EARLY_VOID
	:: atomic { t_is_asked && r_at_t == LIVE -> t_is_asked = false; t_to_r ! VOID }
#else
	:: atomic { t_is_asked && s_ended_at_t && r_at_t == LIVE -> t_is_asked = false; t_to_r ! VOID }
#endif
	:: atomic { is_dead[S] && empty(s_to_t) && !s_ended_at_t -> s_ended_at_t = true; units_s = 0; count_again() }
	:: atomic { (r_at_t == EXPECTED && r_will_not_greet) || (r_at_t == LIVE && is_dead[R] && empty(r_to_t)) ->
			r_at_t = ENDED;
			t_has_deposit = false;
			t_is_asked = false;
			units_r = 0;
			count_again() }
	od
}

/* When nothing can happen any more. */
proctype judge()
{
	timeout ->
	if
	:: !is_dead[R] ->
		assert(!s_sent_right || r_got_message || r_waits);
		assert(!s_sent_plain || r_got_plain || r_parks_plain);
#ifndef LIAR
		assert(!s_sent_right || r_got_right || is_dead[T] || t_is_destroyed);
#endif
		assert(!is_dead[T] || !r_holds);
#ifdef LIAR
		/* What waits for a lie is dead when the liar is, at the latest. */
		assert(!is_dead[S] || !r_waits);
#else
		assert(!r_has_offer && !r_has_dead_offer && !r_waits && !r_parks_plain)
#endif
	:: else
	fi;
	if
	:: !is_dead[T] ->
		assert(units_s == (s_holds && !is_dead[S]));
		assert(units_r == (r_holds && !is_dead[R]));
		assert(!t_has_deposit && !t_is_asked);
		assert(t_no_senders == (units_s + units_r == 0 && !t_is_destroyed));
		assert(!r_got_right || t_got_late || is_dead[R])
	:: else
	fi
}

init {
	atomic {
		run giver();
		run receiver();
		run owner();
		run judge()
	}
}
