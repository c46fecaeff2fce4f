/* SPDX-License-Identifier: MIT */
/*
 * Call sites: who called the wrapper.
 */
#ifndef CT_TRACED_STACK_H
#define CT_TRACED_STACK_H

#include "base/base.h"

/*
 * Return addresses of the calling thread, leaf first, without the frames of
 * this library; at most max_pcs.  It ends early at a frame without unwind
 * information, and after the instruction that a signal has interrupted (whose
 * address is given plus one, like a return address).
 *
 * Async-signal-safe: no lock, no allocation, no system call; some 2 KiB of
 * stack; 0.4 us a frame.
 *
 * Returns how many.
 */
u32 ct_stack_capture(u64 *ret_pcs, u32 max_pcs);

/*
 * In a signal handler: the same for the instruction that the signal has
 * interrupted.  ret_pcs[0] is that instruction itself, the others are return
 * addresses.  Where it lies in this library, ret_pcs[0] is the last byte of the
 * call that led here.  The handler's own frames cost some 1 us more.
 */
u32 ct_stack_capture_interrupted(u64 *ret_pcs, u32 max_pcs);

/* Lets the unwinder build its table, once, before any thread and any fork. */
void ct_stack_warm(void);

static inline u64 ct_thread_pointer(void)
{
	u64 tp;

#if defined(__x86_64__)
	__asm__("mov %%fs:0, %0" : "=r"(tp));
#else
	__asm__("mrs %0, tpidr_el0" : "=r"(tp));
#endif
	return tp;
}

#endif
