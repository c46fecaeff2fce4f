/* SPDX-License-Identifier: MIT */
/*
 * Pages that keep their content and change their place: mremap moves entries to
 * another address, collapse moves content into a huge page.
 *
 * Invariant: mremap changes no frame's counts; collapse leaves an exclusive huge
 * page.
 */
#include "ledger/internal.h"

static int move_entry(struct ct_ledger *l, struct proc *p, u64 from, u64 to)
{
	struct unit *src = ct_unit_find(p, from), *dst;
	ct_pte pte = ct_pte_get(src, from & UNIT_MASK);

	if (ct_pte_kind(pte) == PTE_NONE)
		return 0;
	dst = ct_unit_get(l, p, to);
	if (!dst || !ct_unit_each(l, dst))
		return -ENOMEM;
	src = ct_unit_find(p, from);
	if (!ct_unit_each(l, src))
		return -ENOMEM;
	ct_pte_set(dst, to & UNIT_MASK, pte);
	ct_pte_set(src, from & UNIT_MASK, PTE_NONE);
	return 0;
}

/*
 * A whole unit, if both places are aligned: the page table itself moves.  Nothing
 * is mapped at the new place, so no unit is there.
 */
static void move_unit(struct ct_ledger *l, struct proc *p, u64 from, u64 to)
{
	struct unit *src, *dst;

	if (!ct_unit_find(p, from))
		return;
	dst = ct_unit_get(l, p, to);
	if (!dst)
		return;
	src = ct_unit_find(p, from);
	*dst = *src;
	dst->nr = to >> UNIT_SHIFT;
	dst->wp = false;
	*src = (struct unit){ .nr = from >> UNIT_SHIFT };
}

/* Units of a range that no mapping needs any more; their entries are gone. */
static void drop_empty(struct ct_ledger *l, struct proc *p, u64 start, u64 end)
{
	struct unit *u = ct_unit_after(p, start >> UNIT_SHIFT);

	while (u && u < p->units + p->nr_units && u->nr << UNIT_SHIFT < end) {
		struct vma *left = ct_vma_after(p, u->nr << UNIT_SHIFT);

		if (!left || left->start >= (u->nr + 1) << UNIT_SHIFT)
			ct_unit_drop(l, p, u);
		else
			u++;
	}
}

static int move_entries(struct ct_ledger *l, struct proc *p, u64 from, u64 nr, u64 to,
			struct ct_effect *eff)
{
	bool congruent = !((from ^ to) & UNIT_MASK);
	int rc = 0;

	for (u64 i = 0; i < nr && !rc;) {
		struct unit *u = ct_unit_find(p, from + i);

		if (congruent && !((from + i) & UNIT_MASK) && nr - i >= UNIT_PAGES) {
			move_unit(l, p, from + i, to + i);
			i += UNIT_PAGES;
			continue;
		}
		if (u) {
			ct_unit_split(l, p, u, eff);
			rc = move_entry(l, p, from + i, to + i);
		}
		i++;
	}
	return ct_result(l, rc);
}

int ct_ledger_remap(struct ct_ledger *l, u32 pid, u64 from, u64 nr, u64 to, struct ct_effect *eff)
{
	struct vma *v, moved;
	struct proc *p;
	int rc;

	rc = ct_range_check(l, pid, from, nr, &p);
	if (!rc)
		rc = ct_range_check(l, pid, to, nr, &p);
	if (rc)
		return rc;
	v = ct_vma_at(p, from);
	if (!v || v->end < from + nr)
		return -EFAULT;
	if (v->backing == CT_BACK_HUGETLB && ((from | nr | to) & UNIT_MASK))
		return -EINVAL;
	v = ct_vma_after(p, to);
	if (v && v->start < to + nr)
		return -EEXIST;
	rc = ct_range_cut(l, p, from, from + nr, eff);
	if (rc)
		return rc;
	moved = *ct_vma_at(p, from);
	moved.start = to;
	moved.end = to + nr;
	moved.uffd = CT_UFFD_NONE;
	ct_vma_drop(p, from, from + nr);
	/* The old one left room: this cannot fail. */
	ct_vma_add(l, p, &moved);
	rc = move_entries(l, p, from, nr, to, eff);
	drop_empty(l, p, from, from + nr);
	return rc;
}

/* Nothing in the unit may be held by anything but mappings. */
static bool held(const struct ct_ledger *l, const struct unit *u)
{
	for (u32 i = 0; i < UNIT_PAGES; i++) {
		ct_pte pte = ct_pte_get(u, i);
		const struct folio *fo;

		if (ct_pte_kind(pte) != PTE_PRESENT)
			continue;
		fo = ct_folio_see(l, pte);
		if (fo ? fo->extra : ct_frame_see(l, pte)->extra)
			return true;
	}
	return false;
}

static int collapse_unit(struct ct_ledger *l, struct proc *p, u64 page)
{
	struct vma *v = ct_vma_at(p, page);
	struct unit *u = ct_unit_find(p, page);
	u32 frame;

	if (!v || v->end < page + UNIT_PAGES || !u || v->nohuge || v->backing == CT_BACK_FILE ||
	    v->backing == CT_BACK_SHARED || v->backing == CT_BACK_HUGETLB)
		return -EINVAL;
	if (u->pmd)
		return ct_pte_kind(u->same) == PTE_ZERO ? -EINVAL : 0;
	if (held(l, u))
		return -EBUSY;
	frame = ct_block_new(l, COWTRACE_HUGE_ORDER);
	if (frame == UINT32_MAX)
		return -ENOMEM;
	ct_unit_clear(l, p, u);
	if (u->is_each)
		ct_mem_put(l, u->each, UNIT_PAGES * sizeof(*u->each));
	u->is_each = false;
	u->pmd = true;
	ct_block_map_pmd(l, frame, p->mm);
	u->same = PTE_PRESENT | frame | (v->writable ? PTE_FLAG : 0);
	v->anon = true;
	return 0;
}

int ct_ledger_collapse(struct ct_ledger *l, u32 pid, u64 page, u64 nr)
{
	struct proc *p;
	int rc;

	rc = ct_range_check(l, pid, page, nr, &p);
	if (!rc && ((page | nr) & UNIT_MASK))
		rc = -EINVAL;
	for (u64 end = page + nr; !rc && page < end; page += UNIT_PAGES)
		rc = collapse_unit(l, p, page);
	return ct_result(l, rc);
}
