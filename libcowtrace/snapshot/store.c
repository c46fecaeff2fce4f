/* SPDX-License-Identifier: MIT */
/*
 * The saved pages: giving slots out, counting references, giving memory back.
 *
 * A chunk's slots are given out in order of address, so that pages that were saved
 * one after the other die side by side and go back in few calls.  A dead slot is not
 * free before its memory has gone back: else the new owner's page would go.
 *
 * What holds always, under the lock: each slot of an opened chunk is in exactly one
 * state: referenced, dead, being given back, or free; used_pages counts the first
 * three.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include <cowtrace/snapshot.h>

#include "base/rawsys.h"
#include "snapshot/map.h"
#include "snapshot/store.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif

/* So many fresh slots get their memory in one call: a third of the faults' price. */
#define POPULATE_PAGES 64
/*
 * Huge pages are a quarter of the price of small ones, and 2 MiB at once.  They are
 * used where that is below 2 % of the whole, or filled soon.
 */
#define HUGE_AFTER_CHUNKS 100

static char *chunk_addr(const struct ct_snap_store *st, u64 chunk)
{
	return st->base + (chunk << CT_HUGE_SHIFT);
}

void ct_snap_store_fini(struct ct_snap_store *st)
{
	ct_snap_unmap(st->base, st->base_len);
	ct_snap_unmap(st->chunks, st->chunks_len);
	st->base = NULL;
	st->chunks = NULL;
}

static void free_push(struct ct_snap_store *st, u32 c)
{
	struct ct_snap_chunk *ch = &st->chunks[c];

	if (ch->on_free || c == st->current || !ch->nr_free)
		return;
	ch->on_free = true;
	ch->next_free = st->free_head;
	st->free_head = c;
}

/* A chunk never used before becomes the current one. */
static bool open_chunk(struct ct_snap_store *st, bool many)
{
	u64 c = st->nr_chunks;
	struct ct_snap_chunk *ch = &st->chunks[c];
	bool huge = many || c >= HUGE_AFTER_CHUNKS;

	if (c == st->max_chunks ||
	    ct_sys3(SYS_mprotect, chunk_addr(st, c), CT_HUGE_SIZE, PROT_READ | PROT_WRITE))
		return false;
	if (huge)
		ct_sys3(SYS_madvise, chunk_addr(st, c), CT_HUGE_SIZE, MADV_HUGEPAGE);
	memset(ch->free, 0xff, sizeof(ch->free));
	ch->nr_free = CT_HUGE_PAGES;
	/* Slot 0 is no slot, and slot 1 holds the zeros that it was born with. */
	if (c == 0) {
		ch->free[0] &= ~3ULL;
		ch->nr_free -= 2;
	}
	/* Huge: one fault brings all. */
	ch->huge = huge;
	ch->populated = huge ? CT_HUGE_PAGES : 0;
	st->current = (u32)c;
	st->nr_chunks++;
	return true;
}

int ct_snap_store_init(struct ct_snap_store *st, u64 heap_pages, u64 max_pages)
{
	u64 heap_chunks = (heap_pages + CT_HUGE_PAGES - 1) / CT_HUGE_PAGES;
	u64 chunks = (heap_chunks + 1) * COWTRACE_MAX_SNAPSHOTS;

	/* Room for what cannot be reused yet, beside what may be used. */
	if (max_pages && chunks > max_pages / CT_HUGE_PAGES * 2 + 8)
		chunks = max_pages / CT_HUGE_PAGES * 2 + 8;
	chunks = ct_min(chunks, (u64)UINT32_MAX / CT_HUGE_PAGES);
	*st = (struct ct_snap_store){ .current = CT_SNAP_CHUNK_NONE,
				      .free_head = CT_SNAP_CHUNK_NONE,
				      .dead_head = CT_SNAP_CHUNK_NONE,
				      .max_pages = max_pages ? max_pages : UINT64_MAX };
	/* Address space is there in plenty, but not where somebody limits it. */
	for (;; chunks /= 2) {
		st->base = ct_snap_map_reserve(chunks << CT_HUGE_SHIFT);
		if (st->base)
			break;
		if (chunks < heap_chunks + 2)
			return -ENOMEM;
	}
	st->base_len = chunks << CT_HUGE_SHIFT;
	st->max_chunks = chunks;
	st->chunks_len = chunks * sizeof(*st->chunks);
	st->chunks = ct_snap_map_table(st->chunks_len);
	/* The first one at once: it has the page of zeros. */
	if (!st->chunks || !open_chunk(st, false)) {
		ct_snap_store_fini(st);
		return -ENOMEM;
	}
	return 0;
}

static bool next_chunk(struct ct_snap_store *st, bool many)
{
	u32 c = st->free_head;

	if (c == CT_SNAP_CHUNK_NONE)
		return open_chunk(st, many);
	st->free_head = st->chunks[c].next_free;
	st->chunks[c].on_free = false;
	st->current = c;
	return true;
}

/* Memory for the slots up to last, and for those that will be wanted next. */
static void populate(struct ct_snap_store *st, struct ct_snap_chunk *ch, u32 last)
{
	u32 from = ch->populated;
	u32 to = ct_min((last | (POPULATE_PAGES - 1)) + 1, (u32)CT_HUGE_PAGES);

	if (from > last)
		return;
	/* Slot 1 is never written.  Where the kernel cannot, faults do it. */
	if (st->current == 0 && from < 2)
		from = 2;
	ct_sys3(SYS_madvise, chunk_addr(st, st->current) + ((size_t)from << CT_PAGE_SHIFT),
		(size_t)(to - from) << CT_PAGE_SHIFT, MADV_POPULATE_WRITE);
	ch->populated = (u16)to;
}

static u32 take_from_current(struct ct_snap_store *st, u32 nr, u16 refs, u32 *slots)
{
	struct ct_snap_chunk *ch = &st->chunks[st->current];
	u32 n = 0, last = 0;

	for (u32 w = 0; w < ct_array_size(ch->free) && n < nr; w++) {
		while (ch->free[w] && n < nr) {
			last = w * 64 + (u32)__builtin_ctzll(ch->free[w]);
			ch->free[w] &= ch->free[w] - 1;
			atomic_store_explicit(&ch->refs[last], refs, memory_order_relaxed);
			slots[n++] = st->current * CT_HUGE_PAGES + last;
		}
	}
	ch->nr_free -= (u16)n;
	if (n)
		populate(st, ch, last);
	return n;
}

u32 ct_snap_store_get(struct ct_snap_store *st, u32 nr, u16 refs, bool many, u32 *slots)
{
	u32 n = 0;
	u64 used, room;

	ct_snap_lock(&st->lock);
	used = atomic_load_explicit(&st->used_pages, memory_order_relaxed);
	room = used < st->max_pages ? st->max_pages - used : 0;
	nr = (u32)ct_min((u64)nr, room);
	while (n < nr) {
		if (st->current == CT_SNAP_CHUNK_NONE || !st->chunks[st->current].nr_free)
			if (!next_chunk(st, many))
				break;
		n += take_from_current(st, nr - n, refs, slots + n);
	}
	used += n;
	atomic_store_explicit(&st->used_pages, used, memory_order_relaxed);
	if (used > atomic_load_explicit(&st->peak_pages, memory_order_relaxed))
		atomic_store_explicit(&st->peak_pages, used, memory_order_relaxed);
	ct_snap_unlock(&st->lock);
	return n;
}

void ct_snap_store_put(struct ct_snap_store *st, u32 slot)
{
	u32 c = slot / CT_HUGE_PAGES, i = slot % CT_HUGE_PAGES;
	struct ct_snap_chunk *ch = &st->chunks[c];

	if (slot <= CT_SNAP_SLOT_ZERO ||
	    atomic_fetch_sub_explicit(&ch->refs[i], 1, memory_order_acq_rel) != 1)
		return;
	ct_snap_lock(&st->lock);
	ch->dead[i / 64] |= 1ULL << (i % 64);
	if (!ch->on_dead) {
		ch->on_dead = true;
		ch->next_dead = st->dead_head;
		st->dead_head = c;
	}
	ct_snap_unlock(&st->lock);
}

/* The end of the run of set bits that begins at i. */
static u32 run_end(const u64 *bits, u32 i)
{
	while (i < CT_HUGE_PAGES && bits[i / 64] >> (i % 64) & 1)
		i++;
	return i;
}

static u32 drop_memory(char *chunk, const u64 *dead)
{
	u32 nr = 0;

	for (u32 i = 0; i < CT_HUGE_PAGES; i++) {
		u32 end = run_end(dead, i);

		if (end == i)
			continue;
		ct_sys3(SYS_madvise, chunk + ((size_t)i << CT_PAGE_SHIFT),
			(size_t)(end - i) << CT_PAGE_SHIFT, MADV_DONTNEED);
		nr += end - i;
		i = end;
	}
	return nr;
}

/* An empty chunk is as good as new: what was populated ahead goes too. */
static void reset_if_empty(struct ct_snap_store *st, u32 c)
{
	struct ct_snap_chunk *ch = &st->chunks[c];

	if (ch->nr_free < CT_HUGE_PAGES - (c ? 0 : 2))
		return;
	ct_sys3(SYS_madvise, chunk_addr(st, c), CT_HUGE_SIZE, MADV_DONTNEED);
	ch->populated = ch->huge ? CT_HUGE_PAGES : 0;
}

void ct_snap_store_give_back(struct ct_snap_store *st)
{
	u64 dead[CT_HUGE_PAGES / 64];
	bool any = false;

	ct_snap_lock(&st->lock);
	while (st->dead_head != CT_SNAP_CHUNK_NONE) {
		u32 c = st->dead_head, nr;
		struct ct_snap_chunk *ch = &st->chunks[c];

		st->dead_head = ch->next_dead;
		ch->on_dead = false;
		memcpy(dead, ch->dead, sizeof(dead));
		memset(ch->dead, 0, sizeof(ch->dead));
		ct_snap_unlock(&st->lock);
		nr = drop_memory(chunk_addr(st, c), dead);
		ct_snap_lock(&st->lock);
		for (u32 w = 0; w < ct_array_size(dead); w++)
			ch->free[w] |= dead[w];
		ch->nr_free += (u16)nr;
		atomic_fetch_sub_explicit(&st->used_pages, nr, memory_order_relaxed);
		free_push(st, c);
		reset_if_empty(st, c);
		any = true;
	}
	ct_snap_unlock(&st->lock);
	if (any) {
		atomic_fetch_add_explicit(&st->freed, 1, memory_order_release);
		ct_snap_wake(&st->freed, INT32_MAX);
	}
}
