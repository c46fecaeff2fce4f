/* SPDX-License-Identifier: MIT */
/*
 * The memory side of the book: frames and folios, and who maps how often.  Knows
 * frames and owner ids, no addresses and no rule.
 *
 * Invariant: a frame's mapcount is the number of PTEs of all processes that name
 * it, a folio's `entire` that of its PMDs, own.total the sum over the folio; a
 * block whose frames are all unused is given back.
 */
#include "ledger/internal.h"

static u32 index_in(u32 frame)
{
	return frame & UNIT_MASK;
}

bool ct_block_each(struct ct_ledger *l, struct block *b)
{
	u32 nr_folios = b->order ? UNIT_PAGES >> b->order : 0;
	struct frame *each;
	struct folio *folios = NULL;

	if (b->is_each)
		return true;
	each = ct_mem_get(l, UNIT_PAGES * sizeof(*each));
	if (nr_folios)
		folios = ct_mem_get(l, nr_folios * sizeof(*folios));
	if (!each || (nr_folios && !folios)) {
		ct_mem_put(l, each, UNIT_PAGES * sizeof(*each));
		ct_mem_put(l, folios, nr_folios * sizeof(*folios));
		return false;
	}
	for (u32 i = 0; i < UNIT_PAGES; i++)
		each[i] = b->same;
	for (u32 i = 0; i < nr_folios; i++)
		folios[i] = b->folio;
	b->is_each = true;
	b->nr_live = UNIT_PAGES;
	b->each = each;
	b->folios = folios;
	return true;
}

const struct frame *ct_frame_see(const struct ct_ledger *l, u32 frame)
{
	const struct block *b = ct_block_of(l, frame);

	return b->is_each ? &b->each[index_in(frame)] : &b->same;
}

const struct folio *ct_folio_see(const struct ct_ledger *l, u32 frame)
{
	const struct block *b = ct_block_of(l, frame);

	if (!ct_frame_see(l, frame)->order)
		return NULL;
	return b->is_each ? &b->folios[index_in(frame) >> b->order] : &b->folio;
}

struct frame *ct_frame_at(struct ct_ledger *l, u32 frame)
{
	struct block *b = ct_block_of(l, frame);

	return ct_block_each(l, b) ? &b->each[index_in(frame)] : NULL;
}

/* A block of one folio has one anyway; others must be told apart first. */
struct folio *ct_folio_at(struct ct_ledger *l, u32 frame)
{
	struct block *b = ct_block_of(l, frame);

	if (!ct_frame_see(l, frame)->order)
		return NULL;
	if (b->order != COWTRACE_HUGE_ORDER && !ct_block_each(l, b))
		return NULL;
	return b->is_each ? &b->folios[index_in(frame) >> b->order] : &b->folio;
}

static void block_free(struct ct_ledger *l, struct block *b)
{
	u32 nr_folios = b->order ? UNIT_PAGES >> b->order : 0;

	if (b->is_each) {
		ct_mem_put(l, b->each, UNIT_PAGES * sizeof(*b->each));
		ct_mem_put(l, b->folios, nr_folios * sizeof(*b->folios));
	}
	memset(b, 0, sizeof(*b));
	if (ct_mem_room(l, (void **)&l->free_blocks, l->nr_free_blocks, &l->max_free_blocks,
			sizeof(*l->free_blocks)))
		l->free_blocks[l->nr_free_blocks++] = b - l->blocks;
}

u32 ct_block_new(struct ct_ledger *l, u8 order)
{
	struct block *b;
	u32 nr;

	if (l->nr_free_blocks) {
		nr = l->free_blocks[--l->nr_free_blocks];
	} else {
		if (l->nr_blocks > PTE_FRAME_MASK >> UNIT_SHIFT ||
		    !ct_mem_room(l, (void **)&l->blocks, l->nr_blocks, &l->max_blocks,
				 sizeof(*l->blocks))) {
			l->broken = true;
			return UINT32_MAX;
		}
		nr = l->nr_blocks++;
	}
	b = &l->blocks[nr];
	memset(b, 0, sizeof(*b));
	b->used = true;
	b->order = order;
	b->same.order = order;
	b->same.flags = l->has_mark ? FR_EXCLUSIVE : 0;
	if (!order && l->opts.batches)
		b->same.flags |= FR_BATCHED;
	return nr << UNIT_SHIFT;
}

static void pool_put(struct ct_ledger *l, struct frame_stack *s, u32 frame)
{
	if (ct_mem_room(l, (void **)&s->frames, s->nr, &s->max, sizeof(*s->frames)))
		s->frames[s->nr++] = frame;
}

/* One folio's worth out of blocks that are cut up for that. */
static u32 pool_get(struct ct_ledger *l, struct frame_stack *s, u8 order)
{
	struct block *b;
	u32 frame;

	if (s->nr)
		return s->frames[--s->nr];
	frame = ct_block_new(l, order);
	if (frame == UINT32_MAX || !ct_frame_at(l, frame))
		return UINT32_MAX;
	b = ct_block_of(l, frame);
	b->pool = true;
	for (u32 i = UNIT_PAGES; i > 1U << order; i -= 1U << order)
		pool_put(l, s, frame + i - (1U << order));
	return frame;
}

u32 ct_frame_new(struct ct_ledger *l)
{
	u32 frame = pool_get(l, &l->free_frames, 0);

	if (frame != UINT32_MAX)
		*ct_frame_at(l, frame) = (struct frame){
			.flags = (l->has_mark ? FR_EXCLUSIVE : 0) |
				 (l->opts.batches ? FR_BATCHED : 0),
		};
	return frame;
}

u32 ct_mthp_new(struct ct_ledger *l)
{
	u32 frame = pool_get(l, &l->free_mthps, MTHP_ORDER);

	if (frame == UINT32_MAX)
		return frame;
	*ct_folio_at(l, frame) = (struct folio){ 0 };
	for (u32 i = 0; i < 1U << MTHP_ORDER; i++)
		*ct_frame_at(l, frame + i) = (struct frame){
			.flags = l->has_mark ? FR_EXCLUSIVE : 0,
			.order = MTHP_ORDER,
		};
	return frame;
}

/* Is one whole large folio out of use? */
static bool folio_dead(const struct block *b, u32 frame)
{
	const struct folio *fo = &b->folios[index_in(frame) >> b->order];

	return !fo->own.total && !fo->extra && !fo->swaps;
}

/* To be called whenever the last user of a frame may have gone. */
void ct_frame_release(struct ct_ledger *l, u32 frame)
{
	struct block *b = ct_block_of(l, frame);
	struct frame *fr = &b->each[index_in(frame)];

	if (fr->mapcount || fr->swapcount || fr->extra)
		return;
	if (fr->order && !folio_dead(b, frame))
		return;
	if (b->pool) {
		pool_put(l, fr->order ? &l->free_mthps : &l->free_frames,
			 frame & ~((1U << fr->order) - 1));
		return;
	}
	b->nr_live -= 1U << fr->order;
	if (!b->nr_live)
		block_free(l, b);
}

/* The block must be `each` already. */
void ct_frame_map(struct ct_ledger *l, u32 frame, u32 mm)
{
	struct frame *fr = ct_frame_at(l, frame);
	struct folio *fo = ct_folio_at(l, frame);

	/* KSM pages of thousands of processes: more than 16 bits hold. */
	l->broken |= !++fr->mapcount;
	if (fo)
		cowtrace_owners_map(&fo->own, mm, 1);
}

void ct_frame_unmap(struct ct_ledger *l, u32 frame, u32 mm)
{
	struct frame *fr = ct_frame_at(l, frame);
	struct folio *fo = ct_folio_at(l, frame);

	if (!fr)
		return;
	fr->mapcount--;
	if (fo)
		cowtrace_owners_unmap(&fo->own, mm, 1);
	ct_frame_release(l, frame);
}

/* Its block is told apart since a page of it went to swap. */
void ct_frame_count_swap(struct ct_ledger *l, u32 frame, int by)
{
	struct folio *fo = ct_folio_at(l, frame);

	ct_frame_at(l, frame)->swapcount += by;
	if (fo)
		fo->swaps += by;
}

/* A swap entry is gone; without entries the swap cache has no reason to stay. */
void ct_frame_unswap(struct ct_ledger *l, u32 frame)
{
	ct_frame_count_swap(l, frame, -1);
	ct_frame_release(l, frame);
}

void ct_block_map_pmd(struct ct_ledger *l, u32 frame, u32 mm)
{
	struct folio *fo = ct_folio_at(l, frame);

	fo->entire++;
	cowtrace_owners_map(&fo->own, mm, 1);
}

/* As ct_frame_release(), for a large folio whose frames may not be told apart. */
void ct_frame_put(struct ct_ledger *l, u32 frame)
{
	struct block *b = ct_block_of(l, frame);

	if (b->is_each)
		ct_frame_release(l, frame);
	else if (!b->folio.own.total && !b->folio.extra)
		block_free(l, b);
}

void ct_block_unmap_pmd(struct ct_ledger *l, u32 frame, u32 mm)
{
	struct folio *fo = ct_folio_at(l, frame);

	fo->entire--;
	cowtrace_owners_unmap(&fo->own, mm, 1);
	ct_frame_put(l, frame);
}

/* Every frame gets a PTE, or loses one, by the same process. */
static void map_all(struct ct_ledger *l, u32 frame, u32 mm, int by)
{
	struct block *b = ct_block_of(l, frame);
	u32 nr_folios = b->order ? (b->is_each ? UNIT_PAGES >> b->order : 1) : 0;
	u32 nr = 1U << b->order;

	for (u32 i = 0; i < nr_folios; i++) {
		struct folio *fo = b->is_each ? &b->folios[i] : &b->folio;

		if (b->is_each && !b->each[i << b->order].order)
			continue;
		if (by > 0)
			cowtrace_owners_map(&fo->own, mm, nr);
		else
			cowtrace_owners_unmap(&fo->own, mm, nr);
	}
	if (!b->is_each) {
		b->same.mapcount += by;
		return;
	}
	for (u32 i = 0; i < UNIT_PAGES; i++)
		b->each[i].mapcount += by;
}

void ct_block_map_all(struct ct_ledger *l, u32 frame, u32 mm)
{
	map_all(l, frame, mm, 1);
}

void ct_block_unmap_all(struct ct_ledger *l, u32 frame, u32 mm)
{
	struct block *b = ct_block_of(l, frame);

	map_all(l, frame, mm, -1);
	if (!b->is_each) {
		if (!b->same.mapcount && !b->folio.own.total && !b->folio.extra)
			block_free(l, b);
		return;
	}
	for (u32 i = 0; i < UNIT_PAGES && b->used; i++)
		if (!(i & ((1U << b->each[i].order) - 1)))
			ct_frame_release(l, frame + i);
}

/* One process's PMD becomes 512 PTEs: the folio stays what it is. */
void ct_block_split_pmd(struct ct_ledger *l, u32 frame, u32 mm)
{
	struct folio *fo = ct_folio_at(l, frame);

	/* Map first: the owner must not seem to leave in between. */
	map_all(l, frame, mm, 1);
	fo->entire--;
	cowtrace_owners_unmap(&fo->own, mm, 1);
}

/*
 * A large folio is broken up into small pages; some PTE or swap entry names it, and
 * no PMD any more.  References that are no mappings would have made the kernel
 * refuse.
 */
void ct_block_split_folio(struct ct_ledger *l, u32 frame)
{
	struct block *b = ct_block_of(l, frame);
	u32 first = frame & ~((1U << b->order) - 1);
	const struct folio *fo;
	u8 flags;

	if (!ct_block_each(l, b))
		return;
	fo = &b->folios[index_in(first) >> b->order];
	flags = (fo->swapcache ? FR_SWAPCACHE : 0) | (fo->out ? FR_SWAPPED : 0);
	for (u32 i = 0; i < 1U << b->order; i++) {
		b->each[index_in(first + i)].order = 0;
		b->each[index_in(first + i)].flags |= flags;
	}
	/* Pages nobody mapped lived with the folio only. */
	for (u32 i = 0; i < 1U << b->order; i++)
		ct_frame_release(l, first + i);
}

/* Flags of all frames of a block, which one unit maps whole. */
void ct_block_flags(struct ct_ledger *l, u32 frame, u8 set, u8 clear)
{
	struct block *b = ct_block_of(l, frame);

	if (!b->is_each) {
		b->same.flags = (b->same.flags & ~clear) | set;
		return;
	}
	for (u32 i = 0; i < UNIT_PAGES; i++)
		b->each[i].flags = (b->each[i].flags & ~clear) | set;
}
