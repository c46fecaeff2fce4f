/* SPDX-License-Identifier: MIT */
/*
 * Which threads may be asked for their stack: those that have told us that a
 * handler has room to run.  Everybody else (a raw clone, a thread with a tiny
 * alternate stack of its own) is let alone.
 *
 * An open-addressed table of (slot, tid), no chains, no tombstones, like the pid
 * table (slot.h).  Lock-free, async-signal-safe, no system call.  What a killed
 * process has left behind is written over: its slot has another pid or none.
 */
#ifndef CT_CHANNEL_THREADS_H
#define CT_CHANNEL_THREADS_H

#include "channel/segment.h"

#define CT_THREAD_WINDOW 64u

/* Traced side: this thread of the process in `slot` may be asked.  0, or -ENOSPC. */
int ct_thread_enter(struct ct_segment *seg, u32 slot, s32 tid);

/* Traced side: no longer.  Nothing happens where it was not there. */
void ct_thread_leave(struct ct_segment *seg, u32 slot, s32 tid);

/*
 * Traced side: the same, because the thread is at its end.  That it was there is
 * known until its place is taken.
 */
void ct_thread_end(struct ct_segment *seg, u32 slot, s32 tid);

/*
 * Traced side, by the thread itself, which has entered: not while its stack pointer
 * lies in [start, start + len), an alternate stack of the program's that has room for
 * one handler and not for two.
 */
void ct_thread_avoid(struct ct_segment *seg, u32 slot, s32 tid, u64 start, u64 len);

/* Recorder.  Some 5 ns.  sp: the thread's stack pointer at its fault. */
bool ct_thread_ready(struct ct_segment *seg, u32 slot, s32 tid);
bool ct_thread_ready_at(struct ct_segment *seg, u32 slot, s32 tid, u64 sp);

/* Recorder.  It may be asked, or it has come to its end since it could be. */
bool ct_thread_known(struct ct_segment *seg, u32 slot, s32 tid);

#endif
