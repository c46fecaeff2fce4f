/* SPDX-License-Identifier: MIT */
/*
 * Pages that go to swap and come back.  A frame stands for its content wherever
 * that is: in memory, in the swap cache, in swap only.
 *
 * A large folio may go in one piece.  A device that answers later leaves it in the
 * swap cache, and how it comes back from there is the kernel's age: whole from 6.11;
 * before, page by page, and all pages but the first as copies, because a tail's
 * index was not what ksm_might_need_to_copy() took it for.  A device that reads at
 * once (zram) has nothing in the cache, and gives back the sizes of folio that a
 * fault may have, but never 2 MiB.
 *
 * Invariant: a frame in swap only has no PTE, and at least one swap entry.
 */
#include "ledger/internal.h"

/* Where a folio's entries are, one after the other, in one unit. */
struct span {
	u32 i, nr;   /* entries */
	u32 first;   /* frame */
	ct_pte kind; /* of the entries, with the swap entry's mark */
};

/* Does the entry belong to a large folio that @p maps, or has in swap, in one piece? */
static bool whole_folio(const struct ct_ledger *l, const struct unit *u, u32 i, struct span *ret)
{
	ct_pte pte = ct_pte_get(u, i);
	u32 frame = pte & PTE_FRAME_MASK;
	struct span s;

	s.kind = ct_pte_kind(pte) | (ct_pte_kind(pte) == PTE_SWAP ? pte & PTE_FLAG : 0);
	s.nr = ct_folio_pages(l, frame);
	s.first = frame & ~(s.nr - 1);
	if (i < frame - s.first || i - (frame - s.first) + s.nr > UNIT_PAGES)
		return false;
	s.i = i - (frame - s.first);
	for (u32 k = 0; k < s.nr; k++) {
		pte = ct_pte_get(u, s.i + k);
		if (ct_pte_kind(pte) == PTE_PRESENT)
			pte &= ~PTE_FLAG;
		if (pte != (s.kind | (s.first + k)))
			return false;
	}
	*ret = s;
	return true;
}

static void map_back(struct ct_ledger *l, struct proc *p, struct unit *u, const struct span *s)
{
	for (u32 k = 0; k < s->nr; k++) {
		ct_frame_count_swap(l, s->first + k, -1);
		ct_frame_map(l, s->first + k, p->mm);
		ct_pte_set(u, s->i + k, PTE_PRESENT | (s->first + k));
	}
}

/* The kernel decides with one reference taken, and maps the other pages after. */
static void decide(struct ct_ledger *l, struct proc *p, struct vma *v, struct unit *u,
		   const struct span *s, bool write)
{
	bool large = ct_frame_see(l, s->first)->order;
	struct folio *fo = large ? ct_folio_at(l, s->first) : NULL;
	struct cowtrace_swapin in = { 0 };
	struct cowtrace_page_state st;

	ct_state_of(l, p, u, s->i, &st);
	st.large_mapcount -= s->nr - 1;
	st.refcount -= s->nr - 1;
	l->broken |=
		cowtrace_policy_swapin(l->opts.model, &st, write, s->kind & PTE_FLAG, &in) != 0;
	for (u32 k = 0; k < s->nr; k++) {
		struct frame *fr = ct_frame_at(l, s->first + k);

		if (in.exclusive)
			fr->flags |= FR_EXCLUSIVE;
		if (in.writable && write)
			fr->flags &= ~FR_SWAPCACHE;
		if (in.writable && v->writable)
			ct_pte_set(u, s->i + k, PTE_PRESENT | PTE_FLAG | (s->first + k));
	}
	/* To 5.17 if no entry is left; then never; from 6.11 if it all came back at once. */
	if (fo && in.writable && write && !fo->swaps &&
	    (l->whole_swap ? fo->own.total == s->nr : !l->has_mark))
		fo->swapcache = false;
}

/* One page alone: small, or one of a large folio that cannot come back whole. */
static void one_back(struct ct_ledger *l, struct proc *p, struct vma *v, struct unit *u, u32 i,
		     bool write)
{
	ct_pte pte = ct_pte_get(u, i);
	struct span s = { i, 1, pte & PTE_FRAME_MASK, PTE_SWAP | (pte & PTE_FLAG) };
	struct frame *fr = ct_frame_at(l, s.first);

	map_back(l, p, u, &s);
	if (fr->flags & FR_SWAPPED) {
		fr->flags &= FR_EITHER;
		fr->flags |= l->opts.batches ? FR_BATCHED : 0;
		/* A device that reads at once goes round the cache for a single user. */
		if (!l->opts.sync_swap || fr->swapcount)
			fr->flags |= FR_SWAPCACHE;
	}
	decide(l, p, v, u, &s, write);
}

/* A tail of a large folio in the swap cache, to 6.10: the fault takes a copy of it. */
static void tail_back(struct ct_ledger *l, struct proc *p, struct vma *v, struct unit *u, u32 i,
		      bool write)
{
	struct span s = { i, 1, ct_frame_new(l), PTE_SWAP };

	if (s.first == UINT32_MAX)
		return;
	if (l->has_mark)
		s.kind |= PTE_FLAG;
	ct_frame_unswap(l, ct_pte_get(u, i) & PTE_FRAME_MASK);
	ct_frame_map(l, s.first, p->mm);
	ct_pte_set(u, i, PTE_PRESENT | s.first);
	decide(l, p, v, u, &s, write);
}

/*
 * A folio of 16 on a device that reads at once comes back in one read.  What others
 * want as well does so from 7.0 only, and no rule tells that kernel from the others.
 */
static bool read_whole(struct ct_ledger *l, const struct span *s)
{
	if (ct_folio_see(l, s->first)->swaps == s->nr)
		return true;
	for (u32 k = 0; k < s->nr; k++)
		ct_frame_at(l, s->first + k)->flags |= FR_EITHER;
	return false;
}

void ct_swap_in(struct ct_ledger *l, struct proc *p, struct vma *v, struct unit *u, u32 i,
		bool write, struct ct_effect *eff)
{
	u32 frame = ct_pte_get(u, i) & PTE_FRAME_MASK;
	struct folio *fo = ct_folio_at(l, frame);
	struct span s;

	if (fo && !l->whole_swap && (frame & (ct_folio_pages(l, frame) - 1))) {
		tail_back(l, p, v, u, i, write);
		return;
	}
	if (fo && l->whole_swap && whole_folio(l, u, i, &s) &&
	    v->start <= (u->nr << UNIT_SHIFT) + s.i &&
	    v->end >= (u->nr << UNIT_SHIFT) + s.i + s.nr &&
	    (!fo->out || (!v->uffd && read_whole(l, &s)))) {
		fo->out = false;
		map_back(l, p, u, &s);
		decide(l, p, v, u, &s, write);
		return;
	}
	if (fo && fo->out)
		ct_block_split_folio(l, frame);
	eff->uncertain += !!(ct_frame_see(l, frame)->flags & FR_EITHER);
	one_back(l, p, v, u, i, write);
}

/* May the page go?  The kernel leaves alone what others map, or hold. */
static bool may_go(const struct ct_ledger *l, ct_pte pte)
{
	const struct frame *fr;

	if (ct_pte_kind(pte) != PTE_PRESENT)
		return false;
	fr = ct_frame_see(l, pte);
	return !fr->order && fr->mapcount == 1 && !fr->extra && !(fr->flags & FR_KSM);
}

static void swap_out(struct ct_ledger *l, struct proc *p, struct unit *u, u32 i)
{
	u32 frame = ct_pte_get(u, i) & PTE_FRAME_MASK;
	struct frame *fr = ct_frame_at(l, frame);
	struct folio *fo;

	if (!fr)
		return;
	fo = ct_folio_at(l, frame);
	ct_pte_set(u, i, PTE_SWAP | frame | (fr->flags & FR_EXCLUSIVE ? PTE_FLAG : 0));
	fr->mapcount--;
	if (fo)
		cowtrace_owners_unmap(&fo->own, p->mm, 1);
	ct_frame_count_swap(l, frame, 1);
	fr->flags = fo ? 0 : FR_SWAPPED;
}

/*
 * A large folio whose entries all lie in the range goes in one piece: mapped by a
 * PMD, or from 6.10 by PTEs.  What zram would give back in small pages anyway is
 * broken up here.
 */
static bool goes_whole(struct ct_ledger *l, struct unit *u, u32 i, u64 left, struct span *s)
{
	if (!whole_folio(l, u, i, s) || s->i != i || s->nr > left)
		return false;
	if (!u->pmd && !l->whole_swap)
		return false;
	return !l->opts.sync_swap || (l->whole_swap && s->nr < UNIT_PAGES);
}

/* A large folio of this process alone; what the range covers only a part of is broken up. */
static u32 large_out(struct ct_ledger *l, struct proc *p, struct unit *u, u32 i, u64 left,
		     struct ct_effect *eff)
{
	u32 frame = ct_pte_get(u, i) & PTE_FRAME_MASK;
	struct folio *fo;
	struct span s;

	if (ct_pte_kind(ct_pte_get(u, i)) != PTE_PRESENT)
		return 0;
	if (!ct_folio_see(l, frame) || !ct_folio_mine(l, p, frame) ||
	    (ct_frame_see(l, frame)->flags & FR_HUGETLB))
		return 0;
	if (!goes_whole(l, u, i, left, &s)) {
		ct_unit_split(l, p, u, eff);
		ct_block_split_folio(l, frame);
		return 0;
	}
	ct_unit_split(l, p, u, eff);
	if (!ct_unit_each(l, u) || !ct_block_each(l, ct_block_of(l, frame)))
		return 0;
	for (u32 k = 0; k < s.nr; k++)
		swap_out(l, p, u, i + k);
	fo = ct_folio_at(l, frame);
	fo->swapcache = !l->opts.sync_swap;
	fo->out = l->opts.sync_swap;
	return s.nr;
}

int ct_ledger_pageout(struct ct_ledger *l, u32 pid, u64 page, u64 nr, struct ct_effect *eff)
{
	u64 end = page + nr;
	struct proc *p;
	u32 gone;
	int rc;

	rc = ct_range_check(l, pid, page, nr, &p);
	for (; !rc && page < end; page += gone) {
		struct unit *u = ct_unit_find(p, page);
		u32 i = page & UNIT_MASK;

		gone = u ? large_out(l, p, u, i, end - page, eff) : 0;
		if (gone)
			continue;
		gone = 1;
		if (u && may_go(l, ct_pte_get(u, i)) && ct_unit_each(l, u))
			swap_out(l, p, u, i);
	}
	return ct_result(l, rc);
}
