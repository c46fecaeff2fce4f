/* SPDX-License-Identifier: MIT */
/*
 * Who made a system call: return addresses among the words on top of a stack.
 *
 * A thread that a system call holds in a fault is not signalled (its call would
 * come back short), so nobody unwinds there.  The kernel tells where the call was
 * made and where the stack is; of the words on it those are return addresses that
 * point behind a call instruction.
 */
#ifndef CT_RECORDER_CALLERS_H
#define CT_RECORDER_CALLERS_H

#include "recorder/modules.h"

/*
 * words: from the top of the stack; on return the call site in it, leaf (pc)
 * first.  Returns how many frames: at least 1.
 */
u32 ct_callers_pick(pid_t pid, const struct ct_modmap *map, u64 pc, u64 *words, u32 nr);

#endif
