/* SPDX-License-Identifier: MIT */
/*
 * The table of threads.  It does not know whether a thread is alive.
 *
 * Invariant: at most one entry leads to a thread id, because who enters takes
 * out what stood there for it.
 */
#include <errno.h>

#include "channel/threads.h"

_Static_assert(CT_SEG_THREADS == 1u << 15, "index_of() makes 15 bits");

/* The thread has ended; the place is anybody's who finds no empty one. */
#define ENDED (1ULL << 63)

static u32 index_of(s32 tid, u32 i)
{
	return ((((u32)tid * 2654435769u) >> 17) + i) & (CT_SEG_THREADS - 1);
}

static _Atomic u64 *at(struct ct_segment *seg, s32 tid, u32 i)
{
	return &seg->threads[index_of(tid, i)];
}

static u64 entry_of(u32 slot, s32 tid)
{
	return (u64)(slot + 1) << 32 | (u32)tid;
}

/* Nobody's any more: it has ended, or its process has gone. */
static bool is_stale(struct ct_segment *seg, u64 entry)
{
	u64 slot = (entry >> 32) - 1;

	return (entry & ENDED) || slot >= CT_SEG_SLOTS ||
	       atomic_load_explicit(&seg->slots[slot].state, memory_order_relaxed) == CT_SLOT_FREE;
}

int ct_thread_enter(struct ct_segment *seg, u32 slot, s32 tid)
{
	u32 i, pass;

	/* Of an older thread with this id, in whatever process. */
	for (i = 0; i < CT_THREAD_WINDOW; i++) {
		_Atomic u64 *place = at(seg, tid, i);
		u64 entry = atomic_load_explicit(place, memory_order_relaxed);

		if (entry && (u32)entry == (u32)tid)
			atomic_compare_exchange_strong(place, &entry, 0);
	}
	for (pass = 0; pass < 2; pass++)
		for (i = 0; i < CT_THREAD_WINDOW; i++) {
			_Atomic u64 *place = at(seg, tid, i);
			u64 entry = atomic_load_explicit(place, memory_order_relaxed);

			if ((entry && !(pass && is_stale(seg, entry))) ||
			    !atomic_compare_exchange_strong(place, &entry, entry_of(slot, tid)))
				continue;
			atomic_store_explicit(&seg->thread_stacks[index_of(tid, i)], 0,
					      memory_order_release);
			return 0;
		}
	return -ENOSPC;
}

static void replace(struct ct_segment *seg, u32 slot, s32 tid, u64 by)
{
	u32 i;

	for (i = 0; i < CT_THREAD_WINDOW; i++) {
		u64 entry = entry_of(slot, tid);

		if (atomic_load_explicit(at(seg, tid, i), memory_order_relaxed) == entry)
			atomic_compare_exchange_strong(at(seg, tid, i), &entry, by);
	}
}

void ct_thread_leave(struct ct_segment *seg, u32 slot, s32 tid)
{
	replace(seg, slot, tid, 0);
}

void ct_thread_end(struct ct_segment *seg, u32 slot, s32 tid)
{
	replace(seg, slot, tid, entry_of(slot, tid) | ENDED);
}

/* Where this entry of the thread's is, or -1. */
static s32 find(struct ct_segment *seg, s32 tid, u64 entry)
{
	u32 i;

	for (i = 0; i < CT_THREAD_WINDOW; i++)
		if (atomic_load_explicit(at(seg, tid, i), memory_order_acquire) == entry)
			return (s32)index_of(tid, i);
	return -1;
}

void ct_thread_avoid(struct ct_segment *seg, u32 slot, s32 tid, u64 start, u64 len)
{
	const s32 i = find(seg, tid, entry_of(slot, tid));
	const u64 first = ct_page_of(start);
	const u64 nr = ct_min(ct_page_of(ct_page_up(start + len)) - first, (u64)UINT16_MAX);

	/* Whole pages: a little too much is avoided. */
	if (i >= 0)
		atomic_store_explicit(&seg->thread_stacks[i], first << 16 | nr,
				      memory_order_release);
}

bool ct_thread_ready(struct ct_segment *seg, u32 slot, s32 tid)
{
	return find(seg, tid, entry_of(slot, tid)) >= 0;
}

bool ct_thread_known(struct ct_segment *seg, u32 slot, s32 tid)
{
	const u64 entry = entry_of(slot, tid);

	return find(seg, tid, entry) >= 0 || find(seg, tid, entry | ENDED) >= 0;
}

bool ct_thread_ready_at(struct ct_segment *seg, u32 slot, s32 tid, u64 sp)
{
	const s32 i = find(seg, tid, entry_of(slot, tid));
	u64 small;

	if (i < 0)
		return false;
	small = atomic_load_explicit(&seg->thread_stacks[i], memory_order_acquire);
	return ct_page_of(sp) - (small >> 16) >= (small & UINT16_MAX);
}
