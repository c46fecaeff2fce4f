/* SPDX-License-Identifier: MIT */
/*
 * The locks of a heap, by futex: a mutex, and a gate through which many may be
 * while one may close it.  Both are taken with all signals blocked (in the SIGBUS
 * handler they are anyway), so that no handler can meet a lock that its own thread
 * holds.  Async-signal-safe; errno untouched.
 *
 * Order: take mutex, gate, unit, store.
 */
#ifndef CT_SNAPSHOT_LOCK_H
#define CT_SNAPSHOT_LOCK_H

#include <linux/futex.h>
#include <signal.h>
#include <stdatomic.h>

#include "base/base.h"
#include "base/futex.h"
#include "base/rawsys.h"

/* The kernel's signal set is 64 bits, whatever libc's is. */
static inline u64 ct_snap_signals_block(void)
{
	u64 all = ~0ULL, old = 0;

	ct_sys4(SYS_rt_sigprocmask, SIG_BLOCK, &all, &old, sizeof(old));
	return old;
}

static inline void ct_snap_signals_restore(u64 old)
{
	ct_sys4(SYS_rt_sigprocmask, SIG_SETMASK, &old, NULL, sizeof(old));
}

static inline void ct_snap_wait(_Atomic u32 *word, u32 expect, const struct timespec *timeout)
{
	ct_sys4(SYS_futex, word, FUTEX_WAIT_PRIVATE, expect, timeout);
}

static inline void ct_snap_wake(_Atomic u32 *word, int nr)
{
	ct_sys3(SYS_futex, word, FUTEX_WAKE_PRIVATE, nr);
}

/* 0 free, 1 held, 2 held and somebody may be waiting. */
static inline void ct_snap_lock(_Atomic u32 *lock)
{
	u32 v = 0;

	if (atomic_compare_exchange_strong_explicit(lock, &v, 1, memory_order_acquire,
						    memory_order_relaxed))
		return;
	while (atomic_exchange_explicit(lock, 2, memory_order_acquire))
		ct_snap_wait(lock, 2, NULL);
}

static inline void ct_snap_unlock(_Atomic u32 *lock)
{
	if (atomic_exchange_explicit(lock, 0, memory_order_release) == 2)
		ct_snap_wake(lock, 1);
}

/* The number of those inside, and whether it is closed. */
#define CT_SNAP_GATE_CLOSED (1u << 31)

static inline void ct_snap_gate_enter(_Atomic u32 *gate)
{
	u32 v = atomic_load_explicit(gate, memory_order_relaxed);

	for (;;) {
		if (v & CT_SNAP_GATE_CLOSED) {
			ct_snap_wait(gate, v, NULL);
			v = atomic_load_explicit(gate, memory_order_relaxed);
		} else if (atomic_compare_exchange_weak_explicit(
				   gate, &v, v + 1, memory_order_acquire, memory_order_relaxed)) {
			return;
		}
	}
}

static inline void ct_snap_gate_leave(_Atomic u32 *gate)
{
	u32 v = atomic_fetch_sub_explicit(gate, 1, memory_order_release) - 1;

	/* The last one out, and somebody closed it: that one waits for zero. */
	if (v == CT_SNAP_GATE_CLOSED)
		ct_snap_wake(gate, INT32_MAX);
}

/* For one at a time: the caller holds the mutex that goes with the gate. */
static inline void ct_snap_gate_close(_Atomic u32 *gate)
{
	u32 v = atomic_fetch_or_explicit(gate, CT_SNAP_GATE_CLOSED, memory_order_acquire) |
		CT_SNAP_GATE_CLOSED;

	while (v != CT_SNAP_GATE_CLOSED) {
		ct_snap_wait(gate, v, NULL);
		v = atomic_load_explicit(gate, memory_order_acquire);
	}
}

static inline void ct_snap_gate_open(_Atomic u32 *gate)
{
	atomic_fetch_and_explicit(gate, ~CT_SNAP_GATE_CLOSED, memory_order_release);
	ct_snap_wake(gate, INT32_MAX);
}

#endif
