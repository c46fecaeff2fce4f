/* SPDX-License-Identifier: MIT */
/*
 * Pages that go to swap and come back.  A frame stands for its content wherever
 * that is: in memory, in the swap cache, in swap only.
 *
 * Invariant: a frame in swap only has no PTE, and at least one swap entry.
 */
#include "ledger/internal.h"

/* Whatever has a swap entry is told apart on both sides: nothing here can fail. */
void ct_swap_in(struct ct_ledger *l, struct proc *p, struct vma *v, struct unit *u, u32 i,
		bool write)
{
	ct_pte pte = ct_pte_get(u, i);
	u32 frame = pte & PTE_FRAME_MASK;
	struct frame *fr = ct_frame_at(l, frame);
	struct cowtrace_swapin in = { 0 };
	struct cowtrace_page_state st;

	fr->swapcount--;
	if (fr->flags & FR_SWAPPED) {
		fr->flags = l->opts.batches ? FR_BATCHED : 0;
		/* A device that reads at once goes round the cache for a single user. */
		if (!l->opts.sync_swap || fr->swapcount)
			fr->flags |= FR_SWAPCACHE;
	}
	ct_frame_map(l, frame, p->mm);
	ct_pte_set(u, i, PTE_PRESENT | frame);
	ct_state_of(l, p, u, i, &st);
	l->broken |= cowtrace_policy_swapin(l->opts.model, &st, write, pte & PTE_FLAG, &in) != 0;
	if (in.exclusive)
		fr->flags |= FR_EXCLUSIVE;
	if (in.writable && write)
		fr->flags &= ~FR_SWAPCACHE;
	if (in.writable && v->writable)
		ct_pte_set(u, i, PTE_PRESENT | PTE_FLAG | frame);
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

	if (!fr)
		return;
	ct_pte_set(u, i, PTE_SWAP | frame | (fr->flags & FR_EXCLUSIVE ? PTE_FLAG : 0));
	fr->mapcount--;
	fr->swapcount++;
	fr->flags = FR_SWAPPED;
}

/* A large folio of this process alone is broken up on its way out. */
static void break_up(struct ct_ledger *l, struct proc *p, struct unit *u, u32 i,
		     struct ct_effect *eff)
{
	u32 frame = ct_pte_get(u, i) & PTE_FRAME_MASK;
	const struct folio *fo;

	if (ct_pte_kind(ct_pte_get(u, i)) != PTE_PRESENT)
		return;
	fo = ct_folio_see(l, frame);
	if (!fo || !ct_folio_mine(fo, p->mm) || (ct_frame_see(l, frame)->flags & FR_HUGETLB))
		return;
	ct_unit_split(l, p, u, eff);
	ct_block_split_folio(l, frame);
}

int ct_ledger_pageout(struct ct_ledger *l, u32 pid, u64 page, u64 nr, struct ct_effect *eff)
{
	struct proc *p;
	int rc;

	rc = ct_range_check(l, pid, page, nr, &p);
	if (rc)
		return rc;
	for (u64 end = page + nr; page < end; page++) {
		struct unit *u = ct_unit_find(p, page);
		u32 i = page & UNIT_MASK;

		if (!u)
			continue;
		break_up(l, p, u, i, eff);
		if (may_go(l, ct_pte_get(u, i)) && ct_unit_each(l, u))
			swap_out(l, p, u, i);
	}
	return ct_result(l, 0);
}
