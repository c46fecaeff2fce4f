/* SPDX-License-Identifier: MIT */
/*
 * KSM: two pages of equal content become one, and apart again; and what it does first,
 * a large folio broken up wherever it is mapped.
 *
 * Invariant: a KSM page is small, exclusive to nobody, and no entry of it is
 * writable.
 */
#include "ledger/internal.h"

/* The kernel splits a folio before it merges a page of it: every PMD goes. */
static int make_small(struct ct_ledger *l, u32 frame, struct ct_effect *eff)
{
	const struct folio *fo = ct_folio_see(l, frame);
	u32 base = frame & ~UNIT_MASK;

	if (!fo)
		return 0;
	if (fo->extra)
		return -EBUSY;
	for (size_t i = 0; i < l->nr_procs; i++) {
		struct proc *p = &l->procs[i];

		for (size_t j = 0; j < p->nr_units; j++)
			if (p->units[j].pmd && ct_pte_kind(p->units[j].same) == PTE_PRESENT &&
			    (p->units[j].same & PTE_FRAME_MASK & ~UNIT_MASK) == base)
				ct_unit_split(l, p, &p->units[j], eff);
	}
	ct_block_split_folio(l, frame);
	return ct_result(l, 0);
}

int ct_ledger_split_folio(struct ct_ledger *l, u32 pid, u64 page, u64 nr, struct ct_effect *eff)
{
	struct proc *p;
	int rc;

	rc = ct_range_check(l, pid, page, nr, &p);
	for (u64 end = page + nr; !rc && page < end; page++) {
		struct unit *u = ct_unit_find(p, page);
		ct_pte pte = u ? ct_pte_get(u, page & UNIT_MASK) : PTE_NONE;

		if (ct_pte_kind(pte) != PTE_PRESENT || (ct_frame_see(l, pte)->flags & FR_HUGETLB))
			continue;
		rc = make_small(l, pte & PTE_FRAME_MASK, eff);
		rc = rc == -EBUSY ? 0 : rc;
	}
	return rc;
}

static int find(struct ct_ledger *l, u32 pid, u64 page, struct proc **ret_p, struct unit **ret_u)
{
	struct vma *v;
	int rc;

	rc = ct_range_check(l, pid, page, 1, ret_p);
	if (rc)
		return rc;
	v = ct_vma_at(*ret_p, page);
	*ret_u = ct_unit_find(*ret_p, page);
	if (!v || !*ret_u || ct_pte_kind(ct_pte_get(*ret_u, page & UNIT_MASK)) != PTE_PRESENT ||
	    v->backing == CT_BACK_HUGETLB)
		return -EINVAL;
	return 0;
}

/* Takes the write permission and the mark of one entry's page. */
static int calm(struct ct_ledger *l, struct unit *u, u32 i, u32 frame)
{
	struct frame *fr = ct_frame_at(l, frame);

	if (!fr || !ct_unit_each(l, u))
		return -ENOMEM;
	fr->flags &= ~FR_EXCLUSIVE;
	ct_pte_set(u, i, ct_pte_get(u, i) & ~PTE_FLAG);
	return 0;
}

int ct_ledger_merge(struct ct_ledger *l, u32 pid_a, u64 page_a, u32 pid_b, u64 page_b,
		    struct ct_effect *eff)
{
	u32 ia = page_a & UNIT_MASK, ib = page_b & UNIT_MASK, fa, fb;
	struct proc *pa, *pb;
	struct unit *ua, *ub;
	int rc;

	rc = find(l, pid_a, page_a, &pa, &ua);
	if (!rc)
		rc = find(l, pid_b, page_b, &pb, &ub);
	if (rc)
		return rc;
	fa = ct_pte_get(ua, ia) & PTE_FRAME_MASK;
	fb = ct_pte_get(ub, ib) & PTE_FRAME_MASK;
	rc = make_small(l, fa, eff);
	if (!rc)
		rc = make_small(l, fb, eff);
	if (!rc && (ct_frame_see(l, fa)->extra || ct_frame_see(l, fb)->extra))
		rc = -EBUSY;
	if (!rc)
		rc = calm(l, ua, ia, fa);
	if (!rc)
		rc = calm(l, ub, ib, fb);
	if (rc)
		return rc;
	/* The page that KSM knows already is the one that stays. */
	if (ct_frame_see(l, fb)->flags & FR_KSM) {
		struct proc *p = pa;
		struct unit *u = ua;
		u32 i = ia, f = fa;

		pa = pb, ua = ub, ia = ib, fa = fb;
		pb = p, ub = u, ib = i, fb = f;
	}
	ct_frame_at(l, fa)->flags |= FR_KSM;
	if (fa == fb)
		return 0;
	ct_entry_clear(l, pb, ub, ib);
	ct_frame_map(l, fa, pb->mm);
	ct_pte_set(ub, ib, PTE_PRESENT | fa);
	return ct_result(l, 0);
}

int ct_ledger_unmerge(struct ct_ledger *l, u32 pid, u64 page, u64 nr, struct ct_effect *eff)
{
	struct proc *p;
	int rc;

	rc = ct_range_check(l, pid, page, nr, &p);
	for (u64 end = page + nr; !rc && page < end; page++) {
		struct unit *u = ct_unit_find(p, page);
		ct_pte pte = u ? ct_pte_get(u, page & UNIT_MASK) : PTE_NONE;

		if (ct_pte_kind(pte) != PTE_PRESENT || !(ct_frame_see(l, pte)->flags & FR_KSM))
			continue;
		/* A simulated write fault, whatever the mapping allows. */
		if (ct_vma_at(p, page)->writable)
			rc = ct_entry_fault(l, p, page, true, eff);
	}
	return rc;
}
