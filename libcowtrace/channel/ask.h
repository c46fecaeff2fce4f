/* SPDX-License-Identifier: MIT */
/*
 * Asking and answering: how a traced process says "read me now" and waits,
 * within a bound, until the recorder has done so; and the recorder's doorbell.
 *
 * The whole protocol is one word, slot.ask; every move is a compare-and-swap:
 *
 *   NONE, DONE -> kind       asker    posts its wish
 *   kind       -> SERVING    recorder takes it
 *   kind       -> NONE       asker    gives up before it was taken
 *   SERVING    -> DONE       recorder has answered; wakes the asker
 *   SERVING    -> ABANDONED  asker    gives up while it is being served
 *   ABANDONED  -> NONE       recorder finds at its end that nobody waits
 *   DONE       -> NONE       asker    has seen the answer (tidiness only)
 *
 * Each state is left by exactly one side or is a place to begin from, and that
 * is why a kill -9 of either side at any instant harms nobody:
 *
 * - the asker dies: in `kind` the recorder takes it, finds no process, and says
 *   DONE to nobody; in SERVING its DONE wakes nobody; the slot is freed when the
 *   process is seen to be gone.  A dead asker's bit in `asking` costs one look.
 * - the recorder dies: in `kind` and in SERVING the asker waits on until the
 *   heartbeat is CT_ASK_STALE_NS old or hold_ns are over, gives up, and runs on.
 *   A slot left in ABANDONED or SERVING refuses further asks at once (-EBUSY);
 *   nobody could answer them.
 * - the recorder is stopped (SIGSTOP) and goes on later: it finds ABANDONED, and
 *   ct_ask_done() says false: what it read was read too late to be trusted.
 * - the answer comes while the asker gives up: one of the two swaps wins, and
 *   the asker that loses has its answer.
 * - a signal handler in the middle of an ask forks: the child, when it returns
 *   into the ask, sees that the slot is not its own, and leaves it alone.
 * - a signal handler in the middle of an ask asks as well: -EBUSY, at once.
 *
 * Only the recorder makes a LIVE slot FREE, and it serves one slot at a time:
 * no slot changes hands between ct_ask_take() and ct_ask_done().
 */
#ifndef CT_CHANNEL_ASK_H
#define CT_CHANNEL_ASK_H

#include "channel/segment.h"

/* A heartbeat older than this: the recorder is gone or stopped. */
#define CT_ASK_STALE_NS CT_NSEC_PER_SEC
/*
 * While a process clones itself, the kernel lets nobody look at its memory: 17 ms a GiB,
 * and several times that on a busy machine.  A recorder that waits there is well.
 */
#define CT_ASK_CLONE_NS (30 * CT_NSEC_PER_SEC)

/*
 * Traced side.  Posts `kind` (CT_ASK_BIRTH, _EXIT, _EXEC), rings, and waits for
 * the answer for at most seg->hold_ns; CT_SLOT_HOLD_EXPIRED is set where that
 * was not enough.  A slot that is CT_SLOT_QUIET posts only: no system call.
 *
 * Async-signal-safe; errno untouched.
 *
 * Returns 0: answered, or posted by a quiet slot; -ETIMEDOUT: the bound is
 * over; -ENOTCONN: no recorder, or it went; -EBUSY: another ask of this process
 * is on its way.
 */
int ct_ask(struct ct_segment *seg, u32 idx, u32 kind);

/*
 * Traced side.  Waits, within the same bounds, until an ask of another thread
 * of this process has come to its end: a thread that is about to end the
 * process must not pull the memory away under the recorder's eyes.
 */
void ct_ask_join(struct ct_segment *seg, u32 idx);

/*
 * Recorder.  The index of a slot that has an ask (its bit is cleared), or -1.
 * The search begins at another place each time the bell has rung: no slot can
 * keep the others waiting.
 */
int ct_ask_next(struct ct_segment *seg);

/* Recorder.  Takes what the slot asks for: CT_ASK_*, or CT_ASK_NONE (withdrawn). */
u32 ct_ask_take(struct ct_segment *seg, u32 idx);

/* Recorder.  Ends what was taken.  False: the asker has not waited for it. */
bool ct_ask_done(struct ct_segment *seg, u32 idx);

/* slot_1: slot + 1; a fork of it has begun and not returned, by its own word. */
static inline bool ct_slot_is_cloning(const struct ct_segment *seg, u32 slot_1)
{
	const struct ct_slot *s;

	if (!slot_1 || slot_1 > CT_SEG_SLOTS)
		return false;
	s = &seg->slots[slot_1 - 1];
	return atomic_load_explicit(&s->forks_begun, memory_order_relaxed) !=
	       atomic_load_explicit(&s->forks_done, memory_order_relaxed);
}

/* The segment is on, and the heartbeat is not stale.  now_ns: CLOCK_MONOTONIC. */
static inline bool ct_recorder_alive(struct ct_segment *seg, u64 now_ns)
{
	/* The heartbeat may be newer than our clock reading: compare as signed. */
	return atomic_load_explicit(&seg->state, memory_order_acquire) == CT_SEG_ON &&
	       (s64)(now_ns - atomic_load_explicit(&seg->heartbeat_ns, memory_order_relaxed)) <
		       (s64)CT_ASK_STALE_NS;
}

/* Traced side.  Wakes the recorder where it sleeps; else one atomic add. */
void ct_bell_ring(struct ct_segment *seg);

/*
 * Recorder.  Sleeps until the bell rings, at most timeout_ns; returns at once
 * where an ask or a published event is waiting.
 */
void ct_bell_wait(struct ct_segment *seg, u64 timeout_ns);

/*
 * Recorder.  The same for one who has other places to look at as well: remember
 * the bell, look there, and wait only where it has not rung since.
 */
u32 ct_bell_rung(struct ct_segment *seg);
void ct_bell_wait_since(struct ct_segment *seg, u32 bell, u64 timeout_ns);

#endif
