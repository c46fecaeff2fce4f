/* SPDX-License-Identifier: MIT */
/*
 * Mappings made, changed and taken away; what that does to huge mappings.
 *
 * Invariant: a border between two mappings never lies inside a PMD-mapped unit.
 */
#include "ledger/internal.h"

static void split_at(struct ct_ledger *l, struct proc *p, u64 page, struct ct_effect *eff)
{
	struct unit *u = page & UNIT_MASK ? ct_unit_find(p, page) : NULL;

	if (!u)
		return;
	ct_unit_split(l, p, u, eff);
	ct_unit_each(l, u);
}

/* Borders at both ends; huge mappings across them are split. */
int ct_range_cut(struct ct_ledger *l, struct proc *p, u64 start, u64 end, struct ct_effect *eff)
{
	int rc;

	rc = ct_vma_cut(l, p, start);
	if (!rc)
		rc = ct_vma_cut(l, p, end);
	if (rc)
		return rc;
	split_at(l, p, start, eff);
	split_at(l, p, end, eff);
	return 0;
}

int ct_ledger_map(struct ct_ledger *l, u32 pid, u64 page, u64 nr, enum ct_backing backing)
{
	struct vma vma = { .start = page, .end = page + nr, .backing = backing, .writable = true };
	struct vma *next;
	struct proc *p;
	int rc;

	rc = ct_range_check(l, pid, page, nr, &p);
	if (rc)
		return rc;
	if ((unsigned int)backing >= CT_NR_BACKINGS ||
	    (backing == CT_BACK_HUGETLB && ((page | nr) & UNIT_MASK)))
		return -EINVAL;
	next = ct_vma_after(p, page);
	if (next && next->start < page + nr)
		return -EEXIST;
	vma.map = ++l->next_map;
	return ct_vma_add(l, p, &vma);
}

/* Is every page of the range mapped? */
bool ct_range_mapped(struct proc *p, u64 start, u64 end)
{
	while (start < end) {
		struct vma *v = ct_vma_at(p, start);

		if (!v)
			return false;
		start = v->end;
	}
	return true;
}

static void zap_part(struct ct_ledger *l, struct proc *p, struct unit *u, u64 start, u64 end,
		     struct ct_effect *eff)
{
	ct_unit_split(l, p, u, eff);
	if (!ct_unit_each(l, u))
		return;
	for (; start < end; start++)
		ct_entry_clear(l, p, u, start & UNIT_MASK);
}

/* The entries of a range go; @unmapped: so do page tables that nobody needs. */
static void zap(struct ct_ledger *l, struct proc *p, u64 start, u64 end, bool unmapped,
		struct ct_effect *eff)
{
	struct unit *u = ct_unit_after(p, start >> UNIT_SHIFT);

	while (u && u < p->units + p->nr_units && u->nr << UNIT_SHIFT < end) {
		u64 base = u->nr << UNIT_SHIFT;
		u64 a = ct_max(base, start), b = ct_min(base + UNIT_PAGES, end);
		bool table = !u->pmd;
		struct vma *left;

		if (b - a == UNIT_PAGES)
			ct_unit_clear(l, p, u);
		else
			zap_part(l, p, u, a, b, eff), table = true;
		left = ct_vma_after(p, base);
		if ((unmapped && (!left || left->start >= base + UNIT_PAGES)) || !table)
			ct_unit_drop(l, p, u);
		else
			u++;
	}
}

int ct_ledger_unmap(struct ct_ledger *l, u32 pid, u64 page, u64 nr, struct ct_effect *eff)
{
	struct proc *p;
	int rc;

	rc = ct_range_check(l, pid, page, nr, &p);
	if (!rc)
		rc = ct_range_cut(l, p, page, page + nr, eff);
	if (rc)
		return rc;
	ct_vma_drop(p, page, page + nr);
	zap(l, p, page, page + nr, true, eff);
	return ct_result(l, 0);
}

int ct_ledger_dontneed(struct ct_ledger *l, u32 pid, u64 page, u64 nr, struct ct_effect *eff)
{
	struct proc *p;
	int rc;

	rc = ct_range_check(l, pid, page, nr, &p);
	if (rc)
		return rc;
	if (!ct_range_mapped(p, page, page + nr))
		return -EFAULT;
	zap(l, p, page, page + nr, false, eff);
	return ct_result(l, 0);
}

/* A huge mapping that MADV_FREE covers in part: it goes, and the folio with it. */
static void free_cut(struct ct_ledger *l, struct proc *p, u64 page, struct ct_effect *eff)
{
	struct unit *u = page & UNIT_MASK ? ct_unit_find(p, page) : NULL;

	if (!u || !u->pmd || ct_pte_kind(u->same) != PTE_PRESENT || !ct_folio_mine(l, p, u->same))
		return;
	ct_unit_split(l, p, u, eff);
	ct_block_split_folio(l, u->same & PTE_FRAME_MASK);
}

/*
 * A large folio mapped by PTEs: to 6.9 each that is met is broken up, later only
 * those that the range does not cover whole.
 */
static void free_pte(struct ct_ledger *l, struct proc *p, u64 page, u64 start, u64 end)
{
	struct unit *u = ct_unit_find(p, page);
	ct_pte pte = u && !u->pmd ? ct_pte_get(u, page & UNIT_MASK) : PTE_NONE;
	const struct folio *fo;
	u64 first, nr;

	if (ct_pte_kind(pte) != PTE_PRESENT)
		return;
	fo = ct_folio_see(l, pte);
	if (!fo)
		return;
	nr = 1ULL << ct_frame_see(l, pte)->order;
	first = page - ((pte & PTE_FRAME_MASK) & (nr - 1));
	if (ct_folio_mine(l, p, pte) &&
	    (l->opts.model < COWTRACE_MODEL_G5_LATE || first < start || first + nr > end))
		ct_block_split_folio(l, pte & PTE_FRAME_MASK);
}

int ct_ledger_free(struct ct_ledger *l, u32 pid, u64 page, u64 nr, struct ct_effect *eff)
{
	struct proc *p;
	int rc;

	rc = ct_range_check(l, pid, page, nr, &p);
	if (rc)
		return rc;
	if (!ct_range_mapped(p, page, page + nr))
		return -EFAULT;
	free_cut(l, p, page, eff);
	free_cut(l, p, page + nr, eff);
	for (u64 q = page; q < page + nr; q++)
		free_pte(l, p, q, page, page + nr);
	return ct_result(l, 0);
}

/* Write permission comes back at once only where the mark says so (from 6.1). */
static void protect_unit(struct ct_ledger *l, struct unit *u, u64 start, u64 end, bool writable)
{
	bool whole = end - start == UNIT_PAGES && !u->is_each &&
		     (ct_pte_kind(u->same) != PTE_PRESENT || u->pmd ||
		      !ct_block_of(l, u->same)->is_each);

	if (!whole && !ct_unit_each(l, u))
		return;
	for (; start < end; start++) {
		u32 i = start & UNIT_MASK;
		ct_pte pte = ct_pte_get(u, i);
		ct_pte *at = whole ? &u->same : &u->each[i];

		if (ct_pte_kind(pte) == PTE_SWAP || ct_pte_kind(pte) == PTE_NONE)
			continue;
		if (!writable)
			*at &= ~PTE_FLAG;
		else if (ct_pte_kind(pte) == PTE_PRESENT && !u->wp &&
			 (ct_frame_see(l, pte)->flags & FR_EXCLUSIVE))
			*at |= PTE_FLAG;
		if (whole)
			return;
	}
}

int ct_ledger_protect(struct ct_ledger *l, u32 pid, u64 page, u64 nr, bool writable,
		      struct ct_effect *eff)
{
	u64 end = page + nr, start = page;
	struct proc *p;
	int rc;

	rc = ct_range_check(l, pid, page, nr, &p);
	if (!rc && !ct_range_mapped(p, page, end))
		rc = -EFAULT;
	while (!rc && page < end) {
		struct vma *v = ct_vma_at(p, page);
		u64 stop = ct_min(v->end, end);
		struct unit *u;

		if (v->writable == writable) {
			page = stop;
			continue;
		}
		rc = ct_range_cut(l, p, page, stop, eff);
		if (rc)
			break;
		ct_vma_at(p, page)->writable = writable;
		for (u = ct_unit_after(p, page >> UNIT_SHIFT);
		     u && u < p->units + p->nr_units && u->nr << UNIT_SHIFT < stop; u++)
			protect_unit(l, u, ct_max(page, u->nr << UNIT_SHIFT),
				     ct_min(stop, (u->nr + 1) << UNIT_SHIFT), writable);
		page = stop;
	}
	if (!rc)
		ct_vma_merge(p, start, end);
	return ct_result(l, rc);
}

static struct vma advised(struct vma v, enum ct_advice advice)
{
	switch (advice) {
	case CT_ADVISE_DONTFORK:
	case CT_ADVISE_DOFORK:
		v.dontfork = advice == CT_ADVISE_DONTFORK;
		break;
	case CT_ADVISE_WIPEONFORK:
	case CT_ADVISE_KEEPONFORK:
		v.wipeonfork = advice == CT_ADVISE_WIPEONFORK;
		break;
	case CT_ADVISE_HUGEPAGE:
		v.nohuge = false;
		if (v.backing == CT_BACK_SMALL)
			v.backing = CT_BACK_THP;
		break;
	default:
		v.nohuge = true;
		break;
	}
	return v;
}

int ct_ledger_advise(struct ct_ledger *l, u32 pid, u64 page, u64 nr, enum ct_advice advice,
		     struct ct_effect *eff)
{
	u64 end = page + nr, start = page;
	struct proc *p;
	int rc;

	rc = ct_range_check(l, pid, page, nr, &p);
	if (!rc && (unsigned int)advice >= CT_NR_ADVICES)
		rc = -EINVAL;
	if (!rc && !ct_range_mapped(p, page, end))
		rc = -EFAULT;
	while (!rc && page < end) {
		struct vma *v = ct_vma_at(p, page);
		struct vma after = advised(*v, advice);
		u64 stop = ct_min(v->end, end);

		/* Nothing changes, nothing is cut. */
		if (memcmp(&after, v, sizeof(after))) {
			rc = ct_range_cut(l, p, page, stop, eff);
			if (!rc) {
				v = ct_vma_at(p, page);
				*v = advised(*v, advice);
			}
		}
		page = stop;
	}
	if (!rc)
		ct_vma_merge(p, start, end);
	return ct_result(l, rc);
}

int ct_ledger_split(struct ct_ledger *l, u32 pid, u64 page, u64 nr, struct ct_effect *eff)
{
	struct proc *p;
	struct unit *u;
	int rc;

	rc = ct_range_check(l, pid, page, nr, &p);
	if (rc)
		return rc;
	for (u = ct_unit_after(p, page >> UNIT_SHIFT);
	     u && u < p->units + p->nr_units && u->nr << UNIT_SHIFT < page + nr; u++) {
		struct vma *v = ct_vma_at(p, u->nr << UNIT_SHIFT);

		/* hugetlb cannot be cut. */
		if (v && v->backing == CT_BACK_HUGETLB)
			return -EINVAL;
		ct_unit_split(l, p, u, eff);
	}
	return ct_result(l, 0);
}
