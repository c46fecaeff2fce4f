/* SPDX-License-Identifier: MIT */
/*
 * Slots and the pid table.  It knows nothing of processes: whether a slot may
 * be freed is for the caller to know (segment.h says who may move its state).
 *
 * Invariant: an entry of the pid table that leads to a LIVE slot with that pid
 * is the only one that does, because whoever enters a pid first takes out what
 * stood there for it.
 */
#include <errno.h>
#include <string.h>

#include "channel/slot.h"

static u32 window_of(s32 pid)
{
	/* Fibonacci hashing: neighbours land far from each other. */
	return ((u32)pid * 2654435769u) >> 18;
}

_Static_assert(CT_SEG_PIDS == 1u << 14, "window_of() makes 14 bits");

static _Atomic u32 *entry_at(struct ct_segment *seg, u32 at)
{
	return &seg->pids[at & (CT_SEG_PIDS - 1)];
}

/* Everything but state and generation, which the claim itself moves. */
static void slot_reset(struct ct_slot *slot, u32 how, u32 parent_slot)
{
	atomic_store_explicit(&slot->ask, CT_ASK_NONE, memory_order_relaxed);
	atomic_store_explicit(&slot->flags, 0, memory_order_relaxed);
	atomic_store_explicit(&slot->pid, 0, memory_order_relaxed);
	slot->how = how;
	slot->parent_slot = parent_slot;
	slot->tid = 0;
	slot->clone_ns = 0;
	atomic_store_explicit(&slot->parent_ns, 0, memory_order_relaxed);
	slot->born_ns = 0;
	atomic_store_explicit(&slot->parent_ret, 0, memory_order_relaxed);
	slot->prepare_ns = 0;
	atomic_store_explicit(&slot->phase_now, 0, memory_order_relaxed);
	atomic_store_explicit(&slot->forks_begun, 0, memory_order_relaxed);
	atomic_store_explicit(&slot->fork_began_ns, 0, memory_order_relaxed);
	atomic_store_explicit(&slot->forks_done, 0, memory_order_relaxed);
	atomic_store_explicit(&slot->stat_forks, 0, memory_order_relaxed);
	atomic_store_explicit(&slot->stat_shared, 0, memory_order_relaxed);
	atomic_store_explicit(&slot->stat_copied, 0, memory_order_relaxed);
	atomic_store_explicit(&slot->stat_dropped, 0, memory_order_relaxed);
	slot->stack_signal = 0;
	atomic_store_explicit(&slot->no_stacks, CT_STACKS_NOT_YET, memory_order_relaxed);
	atomic_store_explicit(&slot->sa_masks, 0, memory_order_relaxed);
	atomic_store_explicit(&slot->watched, 0, memory_order_relaxed);
	atomic_store_explicit(&slot->stepped_back, CT_BACK_NO, memory_order_relaxed);
	atomic_store_explicit(&slot->faults_lost, 0, memory_order_relaxed);
	slot->sp = 0;
	slot->tp = 0;
	slot->nr_pcs = 0;
	slot->phase = 0;
	slot->exec_path[0] = '\0';
}

int ct_slot_claim(struct ct_segment *seg, u32 how, u32 parent_slot)
{
	u32 start = atomic_fetch_add_explicit(&seg->slot_hint, 1, memory_order_relaxed);
	u32 i;

	for (i = 0; i < CT_SEG_SLOTS; i++) {
		u32 idx = (start + i) % CT_SEG_SLOTS;
		struct ct_slot *slot = &seg->slots[idx];
		u32 state = CT_SLOT_FREE;

		if (atomic_load_explicit(&slot->state, memory_order_relaxed) != CT_SLOT_FREE ||
		    !atomic_compare_exchange_strong_explicit(&slot->state, &state, CT_SLOT_CLAIMED,
							     memory_order_acquire,
							     memory_order_relaxed))
			continue;
		slot->generation++;
		slot_reset(slot, how, parent_slot);
		if (i) /* behind the ones in use */
			atomic_fetch_add_explicit(&seg->slot_hint, i, memory_order_relaxed);
		return (int)idx;
	}
	return -ENOSPC;
}

void ct_slot_free(struct ct_segment *seg, u32 idx)
{
	ct_slot_unbind_pid(seg, idx);
	atomic_store_explicit(&seg->slots[idx].state, CT_SLOT_FREE, memory_order_release);
}

bool ct_slot_unclaim(struct ct_segment *seg, u32 idx, u32 generation)
{
	struct ct_slot *slot = &seg->slots[idx];
	u32 state = CT_SLOT_CLAIMED;

	return slot->generation == generation &&
	       atomic_compare_exchange_strong_explicit(&slot->state, &state, CT_SLOT_FREE,
						       memory_order_acq_rel, memory_order_relaxed);
}

int ct_slot_of_pid(struct ct_segment *seg, s32 pid)
{
	u32 at = window_of(pid);
	u32 i;

	for (i = 0; i < CT_PID_WINDOW; i++) {
		u32 entry = atomic_load_explicit(entry_at(seg, at + i), memory_order_relaxed);
		struct ct_slot *slot;

		if (!entry || entry > CT_SEG_SLOTS)
			continue;
		slot = &seg->slots[entry - 1];
		if (atomic_load_explicit(&slot->pid, memory_order_relaxed) == pid &&
		    atomic_load_explicit(&slot->state, memory_order_acquire) == CT_SLOT_LIVE)
			return (int)entry - 1;
	}
	return -ENOENT;
}

/* Empties the entries of this window that lead to `pid`. */
static void forget(struct ct_segment *seg, s32 pid)
{
	u32 at = window_of(pid);
	u32 i;

	for (i = 0; i < CT_PID_WINDOW; i++) {
		_Atomic u32 *place = entry_at(seg, at + i);
		u32 entry = atomic_load_explicit(place, memory_order_relaxed);

		if (entry && entry <= CT_SEG_SLOTS &&
		    atomic_load_explicit(&seg->slots[entry - 1].pid, memory_order_relaxed) == pid)
			atomic_compare_exchange_strong_explicit(
				place, &entry, 0, memory_order_acq_rel, memory_order_relaxed);
	}
}

int ct_slot_bind_pid(struct ct_segment *seg, u32 idx, s32 pid)
{
	u32 at = window_of(pid);
	u32 i;

	forget(seg, pid);
	atomic_store_explicit(&seg->slots[idx].pid, pid, memory_order_relaxed);
	for (i = 0; i < CT_PID_WINDOW; i++) {
		u32 empty = 0;

		if (atomic_compare_exchange_strong_explicit(entry_at(seg, at + i), &empty, idx + 1,
							    memory_order_acq_rel,
							    memory_order_relaxed))
			return 0;
	}
	return -ENOSPC;
}

void ct_slot_unbind_pid(struct ct_segment *seg, u32 idx)
{
	s32 pid = atomic_load_explicit(&seg->slots[idx].pid, memory_order_relaxed);
	u32 at = window_of(pid);
	u32 i;

	for (i = 0; i < CT_PID_WINDOW; i++) {
		u32 entry = idx + 1;

		if (atomic_load_explicit(entry_at(seg, at + i), memory_order_relaxed) == entry)
			atomic_compare_exchange_strong_explicit(entry_at(seg, at + i), &entry, 0,
								memory_order_acq_rel,
								memory_order_relaxed);
	}
}
