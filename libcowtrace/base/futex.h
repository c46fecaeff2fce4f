/* SPDX-License-Identifier: MIT */
/*
 * Futexes in memory shared between processes, by raw system call.
 * Async-signal-safe; errno untouched.
 */
#ifndef CT_BASE_FUTEX_H
#define CT_BASE_FUTEX_H

#include <linux/futex.h>
#include <stdatomic.h>
#include <time.h>

#include "base/base.h"
#include "base/rawsys.h"

static inline u64 ct_now_ns(void)
{
	struct timespec ts;

	/* vDSO: no system call, async-signal-safe. */
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (u64)ts.tv_sec * CT_NSEC_PER_SEC + (u64)ts.tv_nsec;
}

/*
 * Sleeps while *word == expect, at most timeout_ns.
 * Returns 0 on a wake (spurious ones too), -EAGAIN where the word differed
 * already, -ETIMEDOUT, or -EINTR.
 */
static inline int ct_futex_wait(_Atomic u32 *word, u32 expect, u64 timeout_ns)
{
	struct timespec ts = {
		.tv_sec = (time_t)(timeout_ns / CT_NSEC_PER_SEC),
		.tv_nsec = (long)(timeout_ns % CT_NSEC_PER_SEC),
	};

	return (int)ct_sys4(SYS_futex, word, FUTEX_WAIT, expect, &ts);
}

/* Wakes up to nr waiters; returns how many. */
static inline int ct_futex_wake(_Atomic u32 *word, int nr)
{
	return (int)ct_sys3(SYS_futex, word, FUTEX_WAKE, nr);
}

#endif
