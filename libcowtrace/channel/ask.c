/* SPDX-License-Identifier: MIT */
/*
 * Both halves of asking, and the doorbell.  The protocol, and why it survives
 * the death of either side at any instant, is told in ask.h.
 *
 * Invariant: the asker never sleeps longer than ASK_SLICE_NS without looking
 * whether the recorder still lives, nor longer than hold_ns in all.
 */
#include <errno.h>

#include "base/futex.h"
#include "channel/ask.h"
#include "channel/ring.h"

#define ASK_SLICE_NS (20 * CT_NSEC_PER_MSEC)

static bool swap(_Atomic u32 *word, u32 from, u32 to)
{
	return atomic_compare_exchange_strong_explicit(word, &from, to, memory_order_acq_rel,
						       memory_order_acquire);
}

static void mark(struct ct_segment *seg, u32 idx)
{
	atomic_fetch_or_explicit(&seg->asking[idx / 64], 1ULL << (idx % 64), memory_order_release);
}

/* Our own ask, and not that of the process whose signal handler forked us? */
static bool slot_is_ours(struct ct_slot *slot)
{
	return atomic_load_explicit(&slot->pid, memory_order_relaxed) == (s32)ct_sys0(SYS_getpid);
}

/* The wait is over without an answer: withdraw.  0 where one came after all. */
static int give_up(struct ct_slot *slot, u32 kind, int why)
{
	if (!swap(&slot->ask, kind, CT_ASK_NONE) &&
	    !swap(&slot->ask, CT_ASK_SERVING, CT_ASK_ABANDONED)) {
		swap(&slot->ask, CT_ASK_DONE, CT_ASK_NONE);
		return 0;
	}
	atomic_fetch_or_explicit(&slot->flags, CT_SLOT_HOLD_EXPIRED, memory_order_release);
	return why;
}

/*
 * Waits while the word is `kind` or SERVING.  Returns 0 when it is no longer,
 * -ETIMEDOUT or -ENOTCONN.
 */
static int wait_while(struct ct_segment *seg, struct ct_slot *slot, u32 kind)
{
	u64 now = ct_now_ns();
	const u64 until = now + seg->hold_ns;

	for (;;) {
		u32 ask = atomic_load_explicit(&slot->ask, memory_order_acquire);

		if (ask != kind && ask != CT_ASK_SERVING)
			return 0;
		if (!ct_recorder_alive(seg, now))
			return -ENOTCONN;
		if (now >= until)
			return -ETIMEDOUT;
		ct_futex_wait(&slot->ask, ask, ct_min(until - now, (u64)ASK_SLICE_NS));
		now = ct_now_ns();
	}
}

int ct_ask(struct ct_segment *seg, u32 idx, u32 kind)
{
	struct ct_slot *slot = &seg->slots[idx];
	const bool quiet = atomic_load_explicit(&slot->flags, memory_order_relaxed) & CT_SLOT_QUIET;
	int ret;

	/* A quiet process asks no clock: it may be a system call on this machine. */
	if (atomic_load_explicit(&seg->state, memory_order_acquire) != CT_SEG_ON ||
	    (!quiet && !ct_recorder_alive(seg, ct_now_ns())))
		return -ENOTCONN;
	if (!swap(&slot->ask, CT_ASK_NONE, kind) && !swap(&slot->ask, CT_ASK_DONE, kind))
		return -EBUSY;
	mark(seg, idx);
	if (quiet)
		return 0;
	ct_bell_ring(seg);
	ret = wait_while(seg, slot, kind);
	if (!slot_is_ours(slot))
		return -ENOTCONN;
	if (ret)
		return give_up(slot, kind, ret);
	swap(&slot->ask, CT_ASK_DONE, CT_ASK_NONE);
	return 0;
}

void ct_ask_join(struct ct_segment *seg, u32 idx)
{
	struct ct_slot *slot = &seg->slots[idx];
	u32 ask = atomic_load_explicit(&slot->ask, memory_order_acquire);

	if (ask == CT_ASK_NONE || ask == CT_ASK_DONE || ask == CT_ASK_ABANDONED ||
	    (atomic_load_explicit(&slot->flags, memory_order_relaxed) & CT_SLOT_QUIET))
		return;
	wait_while(seg, slot, ask);
}

int ct_ask_next(struct ct_segment *seg)
{
	const u32 first = atomic_load_explicit(&seg->doorbell, memory_order_relaxed);
	u32 i;

	for (i = 0; i < CT_SEG_SLOTS / 64; i++) {
		u32 at = (first + i) % (CT_SEG_SLOTS / 64);
		u64 bits = atomic_load_explicit(&seg->asking[at], memory_order_relaxed);
		u32 bit;

		if (!bits)
			continue;
		bit = (u32)__builtin_ctzll(bits);
		/* Cleared before the ask is read: a newer ask sets it again. */
		atomic_fetch_and_explicit(&seg->asking[at], ~(1ULL << bit), memory_order_acq_rel);
		return (int)(at * 64 + bit);
	}
	return -1;
}

u32 ct_ask_take(struct ct_segment *seg, u32 idx)
{
	struct ct_slot *slot = &seg->slots[idx];
	u32 ask = atomic_load_explicit(&slot->ask, memory_order_acquire);

	if (ask != CT_ASK_BIRTH && ask != CT_ASK_EXIT && ask != CT_ASK_EXEC && ask != CT_ASK_ARM &&
	    ask != CT_ASK_DISARM)
		return CT_ASK_NONE;
	/* Lost: the asker has withdrawn; what it posts next sets the bit again. */
	return swap(&slot->ask, ask, CT_ASK_SERVING) ? ask : CT_ASK_NONE;
}

bool ct_ask_done(struct ct_segment *seg, u32 idx)
{
	struct ct_slot *slot = &seg->slots[idx];

	if (swap(&slot->ask, CT_ASK_SERVING, CT_ASK_DONE)) {
		ct_futex_wake(&slot->ask, INT32_MAX);
		return true;
	}
	swap(&slot->ask, CT_ASK_ABANDONED, CT_ASK_NONE);
	return false;
}

void ct_bell_ring(struct ct_segment *seg)
{
	atomic_fetch_add_explicit(&seg->doorbell, 1, memory_order_seq_cst);
	if (atomic_load_explicit(&seg->sleeping, memory_order_seq_cst))
		ct_futex_wake(&seg->doorbell, 1);
}

static bool work_waiting(struct ct_segment *seg)
{
	u32 i;

	for (i = 0; i < CT_SEG_SLOTS / 64; i++)
		if (atomic_load_explicit(&seg->asking[i], memory_order_acquire))
			return true;
	return ct_ring_ready(seg);
}

u32 ct_bell_rung(struct ct_segment *seg)
{
	return atomic_load_explicit(&seg->doorbell, memory_order_seq_cst);
}

void ct_bell_wait_since(struct ct_segment *seg, u32 bell, u64 timeout_ns)
{
	/* Whoever rang after the caller's look makes the wait fail. */
	atomic_store_explicit(&seg->sleeping, 1, memory_order_seq_cst);
	if (!work_waiting(seg))
		ct_futex_wait(&seg->doorbell, bell, timeout_ns);
	atomic_store_explicit(&seg->sleeping, 0, memory_order_seq_cst);
}

void ct_bell_wait(struct ct_segment *seg, u64 timeout_ns)
{
	ct_bell_wait_since(seg, ct_bell_rung(seg), timeout_ns);
}
