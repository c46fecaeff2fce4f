/* SPDX-License-Identifier: MIT */
/*
 * Reads and writes: the rule is asked, and its verdict applied to the book.  The
 * rule itself is policy/.
 *
 * Invariant: after a write the entry is present and writable, and no other entry
 * of a private mapping names its frame.
 */
#include "ledger/internal.h"

void ct_entry_clear(struct ct_ledger *l, struct proc *p, struct unit *u, u32 i)
{
	ct_pte pte = ct_pte_get(u, i);

	if (ct_pte_kind(pte) == PTE_PRESENT)
		ct_frame_unmap(l, pte & PTE_FRAME_MASK, p->mm);
	else if (ct_pte_kind(pte) == PTE_SWAP)
		ct_frame_unswap(l, pte & PTE_FRAME_MASK);
	ct_pte_set(u, i, PTE_NONE);
}

/* All of its entries; the unit is to be dropped, or filled anew. */
void ct_unit_clear(struct ct_ledger *l, struct proc *p, struct unit *u)
{
	if (u->is_each) {
		for (u32 i = 0; i < UNIT_PAGES; i++)
			ct_entry_clear(l, p, u, i);
		return;
	}
	if (ct_pte_kind(u->same) == PTE_PRESENT) {
		if (u->pmd)
			ct_block_unmap_pmd(l, u->same & PTE_FRAME_MASK, p->mm);
		else
			ct_block_unmap_all(l, u->same & PTE_FRAME_MASK, p->mm);
	}
	u->same = PTE_NONE;
	u->pmd = u->wp = false;
}

static void reuse(struct ct_ledger *l, struct unit *u, u32 i, enum cowtrace_reason why)
{
	u32 frame = ct_pte_get(u, i) & PTE_FRAME_MASK;
	u8 mark = l->has_mark ? FR_EXCLUSIVE : 0;
	struct frame *fr;

	if (u->pmd) {
		u->same |= PTE_FLAG;
		ct_block_flags(l, frame, mark, 0);
		return;
	}
	fr = ct_frame_at(l, frame);
	if (!fr || !ct_unit_each(l, u))
		return;
	fr->flags |= mark;
	/* Every way but the mark's goes through dropping the swap cache. */
	if (why != COWTRACE_REASON_ANON_EXCLUSIVE) {
		fr->flags &= ~(FR_SWAPCACHE | FR_KSM);
		if (fr->order)
			ct_folio_at(l, frame)->swapcache = false;
	}
	ct_pte_set(u, i, ct_pte_get(u, i) | PTE_FLAG);
}

static int replace(struct ct_ledger *l, struct proc *p, struct unit *u, u32 i)
{
	u32 frame = ct_frame_new(l);

	if (frame == UINT32_MAX || !ct_unit_each(l, u))
		return -ENOMEM;
	ct_entry_clear(l, p, u, i);
	ct_frame_map(l, frame, p->mm);
	ct_pte_set(u, i, PTE_PRESENT | PTE_FLAG | frame);
	return 0;
}

static int replace_huge(struct ct_ledger *l, struct proc *p, struct unit *u)
{
	u32 frame = ct_block_new(l, COWTRACE_HUGE_ORDER);
	bool hugetlb = ct_pte_kind(u->same) == PTE_PRESENT &&
		       (ct_frame_see(l, u->same)->flags & FR_HUGETLB);

	if (frame == UINT32_MAX)
		return -ENOMEM;
	ct_unit_clear(l, p, u);
	if (hugetlb)
		ct_block_flags(l, frame, FR_HUGETLB, 0);
	ct_block_map_pmd(l, frame, p->mm);
	u->same = PTE_PRESENT | PTE_FLAG | frame;
	u->pmd = true;
	return 0;
}

static void count(struct ct_effect *eff, const struct cowtrace_verdict *v, u64 nr)
{
	eff->reasons[v->likely_reason] += nr;
	if (v->action == COWTRACE_UNCERTAIN)
		eff->uncertain += nr;
	switch (v->likely) {
	case COWTRACE_REUSE:
		eff->reuse += nr;
		break;
	case COWTRACE_COPY_HUGE:
		eff->copied_huge++;
		eff->copy += nr;
		break;
	case COWTRACE_COPY:
		eff->copy += nr;
		break;
	case COWTRACE_ALLOC_ZEROED:
		eff->zeroed += nr;
		break;
	default:
		break;
	}
}

/* The write fault on a present entry that is not writable. */
static int write_protected(struct ct_ledger *l, struct proc *p, struct vma *v, struct unit *u,
			   u32 i, struct ct_effect *eff)
{
	struct cowtrace_verdict verdict = { 0 };
	struct cowtrace_page_state st;

	/* A monitor lets one page go, and without one the kernel splits: the same. */
	if (u->wp) {
		eff->reasons[v->uffd == CT_UFFD_SYNC ? COWTRACE_REASON_UFFD_WP_SYNC
						     : COWTRACE_REASON_UFFD_WP_ASYNC]++;
		ct_unit_split(l, p, u, eff);
	}
	ct_state_of(l, p, u, i, &st);
	/* The book makes no impossible states (state.c), so the rule always answers. */
	l->broken |= cowtrace_policy_judge(l->opts.model, &st, &verdict) != 0;
	count(eff, &verdict, 1);
	switch (verdict.likely) {
	case COWTRACE_REUSE:
		reuse(l, u, i, verdict.likely_reason);
		return ct_result(l, 0);
	case COWTRACE_SPLIT:
		ct_unit_split(l, p, u, eff);
		return write_protected(l, p, v, u, i, eff);
	case COWTRACE_COPY_HUGE:
		return replace_huge(l, p, u);
	case COWTRACE_ALLOC_ZEROED:
		v->anon = true;
		return u->pmd ? replace_huge(l, p, u) : replace(l, p, u, i);
	default:
		v->anon = true;
		return replace(l, p, u, i);
	}
}

static void count_fresh(struct ct_effect *eff, u64 nr)
{
	eff->fresh += nr;
	eff->reasons[COWTRACE_REASON_NOT_PRESENT] += nr;
}

static void count_writable(struct ct_effect *eff, u64 nr)
{
	eff->reuse += nr;
	eff->reasons[COWTRACE_REASON_WRITABLE] += nr;
}

/* What a swap-in decides besides is no copy of its own: only reasons are kept. */
static int fault_swap(struct ct_ledger *l, struct proc *p, struct vma *v, struct unit *u, u32 i,
		      bool write, struct ct_effect *eff)
{
	struct ct_effect more = { 0 };
	int rc;

	count_fresh(eff, 1);
	ct_swap_in(l, p, v, u, i, write, eff);
	if (l->broken)
		return -ENOMEM;
	if (!write || (ct_pte_get(u, i) & PTE_FLAG))
		return 0;
	rc = write_protected(l, p, v, u, i, &more);
	for (int r = 0; r < COWTRACE_NR_REASONS; r++)
		eff->reasons[r] += more.reasons[r];
	return rc;
}

int ct_entry_fault(struct ct_ledger *l, struct proc *p, u64 page, bool write, struct ct_effect *eff)
{
	struct vma *v = ct_vma_at(p, page);
	struct unit *u = ct_unit_find(p, page);
	u32 i = page & UNIT_MASK;
	ct_pte pte = u ? ct_pte_get(u, i) : PTE_NONE;

	if (!v || (write && !v->writable))
		return -EFAULT;
	if (ct_pte_kind(pte) == PTE_NONE) {
		count_fresh(eff, 1);
		return ct_populate(l, p, v, page, write);
	}
	if (ct_pte_kind(pte) == PTE_SWAP)
		return fault_swap(l, p, v, u, i, write, eff);
	if (!write)
		return 0;
	if (v->backing == CT_BACK_SHARED) {
		ct_pte_set(u, i, pte | PTE_FLAG);
		eff->reuse++;
		eff->reasons[COWTRACE_REASON_SHARED_MAPPING]++;
		return 0;
	}
	if (pte & PTE_FLAG) {
		count_writable(eff, 1);
		return 0;
	}
	return write_protected(l, p, v, u, i, eff);
}

/* 512 small pages that are alike get one verdict, and stay alike. */
static int write_alike(struct ct_ledger *l, struct proc *p, struct unit *u, struct ct_effect *eff)
{
	struct cowtrace_verdict verdict = { 0 };
	struct cowtrace_page_state st;
	u32 frame;

	ct_state_of(l, p, u, 0, &st);
	l->broken |= cowtrace_policy_judge(l->opts.model, &st, &verdict) != 0;
	count(eff, &verdict, UNIT_PAGES);
	if (verdict.likely == COWTRACE_REUSE) {
		ct_block_flags(l, u->same, l->has_mark ? FR_EXCLUSIVE : 0, 0);
		u->same |= PTE_FLAG;
		return 0;
	}
	frame = ct_block_new(l, 0);
	if (frame == UINT32_MAX)
		return -ENOMEM;
	ct_unit_clear(l, p, u);
	ct_block_map_all(l, frame, p->mm);
	u->same = PTE_PRESENT | PTE_FLAG | frame;
	return 0;
}

/* True: the whole unit was done at once (*ret_rc, else 0). */
static bool fault_unit(struct ct_ledger *l, struct proc *p, u64 page, bool write,
		       struct ct_effect *eff, int *ret_rc)
{
	struct vma *v = ct_vma_at(p, page);
	struct unit *u = ct_unit_find(p, page);
	u64 nr;

	*ret_rc = 0;
	if (!v || (write && !v->writable))
		return false;
	if (!u) {
		if (!ct_populate_unit(l, p, v, page, write))
			return false;
		/* The first page of a folio faults; the others are there then. */
		nr = UNIT_PAGES >> ct_frame_see(l, ct_unit_find(p, page)->same)->order;
		count_fresh(eff, nr);
		if (nr < UNIT_PAGES)
			count_writable(eff, UNIT_PAGES - nr);
		return true;
	}
	if (u->is_each || ct_pte_kind(u->same) != PTE_PRESENT)
		return false;
	if (!write)
		return true;
	if (u->same & PTE_FLAG) {
		count_writable(eff, UNIT_PAGES);
		return true;
	}
	if (u->pmd || ct_block_of(l, u->same)->is_each || ct_block_of(l, u->same)->order)
		return false;
	*ret_rc = write_alike(l, p, u, eff);
	return true;
}

static int touch(struct ct_ledger *l, u32 pid, u64 page, u64 nr, bool write, struct ct_effect *eff)
{
	u64 end = page + nr;
	struct proc *p;
	int rc;

	rc = ct_range_check(l, pid, page, nr, &p);
	while (!rc && page < end) {
		if (!(page & UNIT_MASK) && end - page >= UNIT_PAGES &&
		    fault_unit(l, p, page, write, eff, &rc)) {
			page += UNIT_PAGES;
			continue;
		}
		rc = ct_entry_fault(l, p, page++, write, eff);
	}
	return ct_result(l, rc);
}

int ct_ledger_write(struct ct_ledger *l, u32 pid, u64 page, u64 nr, struct ct_effect *eff)
{
	return touch(l, pid, page, nr, true, eff);
}

int ct_ledger_read(struct ct_ledger *l, u32 pid, u64 page, u64 nr, struct ct_effect *eff)
{
	return touch(l, pid, page, nr, false, eff);
}
