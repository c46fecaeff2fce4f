/* SPDX-License-Identifier: MIT */
/*
 * Slots, and the way from a pid to its slot.
 *
 * All of it is lock-free, async-signal-safe, without system calls, and may be
 * called from any thread of any process that maps the segment.
 *
 * The pid table has no chains and no tombstones: a pid may stand in any of the
 * CT_PID_WINDOW entries that follow its hash, every look-up reads them until it
 * finds it, and an entry that is removed becomes empty at once.  (Chains would
 * need tombstones, and a busy day of short children would fill the table with
 * them.)  Pids that follow each other spread evenly, so that with all slots in
 * use a window is a quarter full.
 */
#ifndef CT_CHANNEL_SLOT_H
#define CT_CHANNEL_SLOT_H

#include "channel/segment.h"

#define CT_PID_WINDOW 64u

/*
 * Takes a FREE slot, makes it CLAIMED and empties it; its generation is bumped.
 * how: CT_HOW_*; parent_slot: CT_SEG_SLOTS where there is none.
 * Slots are handed out in turn, so that a freed one rests as long as it can.
 * Returns its index, or -ENOSPC.
 */
int ct_slot_claim(struct ct_segment *seg, u32 how, u32 parent_slot);

/* Takes its pid out of the table and makes the slot FREE, whatever it was. */
void ct_slot_free(struct ct_segment *seg, u32 idx);

/*
 * Frees the slot only where it is still CLAIMED and of this generation: for a
 * parent whose clone failed.  Returns whether it did.
 */
bool ct_slot_unclaim(struct ct_segment *seg, u32 idx, u32 generation);

/*
 * The slot of the LIVE process with this pid, as it sees itself.
 * Returns an index, or -ENOENT.  Some 5 ns; 30 ns where it is not there.
 */
int ct_slot_of_pid(struct ct_segment *seg, s32 pid);

/*
 * Sets slot.pid and enters it in the table.  An older entry of the same pid (a
 * process that has gone, or an image that was replaced by exec) is taken out:
 * at most one process has a pid.  The caller makes the slot LIVE, before or
 * after; only LIVE slots are found.
 * Returns 0, or -ENOSPC (the window is full: the process cannot be traced).
 */
int ct_slot_bind_pid(struct ct_segment *seg, u32 idx, s32 pid);

/* Takes the slot's pid out of the table, if it is there.  slot.pid stays. */
void ct_slot_unbind_pid(struct ct_segment *seg, u32 idx);

#endif
