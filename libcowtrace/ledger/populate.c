/* SPDX-License-Identifier: MIT */
/*
 * The first touch of a page: which folio it gets.  Not the policy: nothing was
 * shared before.
 *
 * Invariant: an entry that is made here is the only one of its frame.
 */
#include "ledger/internal.h"

/* May one PMD map the whole unit?  A page table in its place forbids it for good. */
static bool huge_fits(struct proc *p, const struct vma *v, u64 page)
{
	u64 start = page & ~(u64)UNIT_MASK;

	return v->backing == CT_BACK_THP && !v->nohuge && v->start <= start &&
	       v->end >= start + UNIT_PAGES && !ct_unit_find(p, page);
}

static int populate_huge(struct ct_ledger *l, struct proc *p, struct vma *v, u64 page, bool write)
{
	struct unit *u;
	u32 frame;

	u = ct_unit_get(l, p, page);
	if (!u)
		return -ENOMEM;
	u->pmd = true;
	v->anon = true;
	if (!write && v->backing == CT_BACK_THP) {
		u->same = PTE_ZERO;
		return 0;
	}
	frame = ct_block_new(l, COWTRACE_HUGE_ORDER);
	if (frame == UINT32_MAX)
		return -ENOMEM;
	if (v->backing == CT_BACK_HUGETLB)
		ct_block_flags(l, frame, FR_HUGETLB, 0);
	ct_block_map_pmd(l, frame, p->mm);
	u->same = PTE_PRESENT | frame | (write ? PTE_FLAG : 0);
	return 0;
}

/* A read maps the file's pages of the 64 KiB around it too (fault_around_bytes). */
static void populate_file(struct vma *v, struct unit *u, u64 page)
{
	u64 first = ct_max(page & ~15ULL, v->start), end = ct_min((page | 15) + 1, v->end);

	for (u64 q = first; q < end; q++)
		if (ct_pte_get(u, q & UNIT_MASK) == PTE_NONE)
			ct_pte_set(u, q & UNIT_MASK, PTE_FILE);
}

static bool mthp_fits(const struct vma *v, const struct unit *u, u64 page)
{
	u64 first = page & ~15ULL;

	if (v->backing != CT_BACK_MTHP64 || v->nohuge || v->uffd || first < v->start ||
	    first + 16 > v->end)
		return false;
	for (u64 q = first; q < first + 16; q++)
		if (ct_pte_get(u, q & UNIT_MASK) != PTE_NONE)
			return false;
	return true;
}

static int populate_small(struct ct_ledger *l, struct proc *p, struct unit *u, u64 page, u32 nr)
{
	u64 first = page & ~(u64)(nr - 1);
	u32 frame = nr == 1 ? ct_frame_new(l) : ct_mthp_new(l);

	if (frame == UINT32_MAX)
		return -ENOMEM;
	for (u32 i = 0; i < nr; i++) {
		ct_frame_map(l, frame + i, p->mm);
		ct_pte_set(u, (first + i) & UNIT_MASK, PTE_PRESENT | PTE_FLAG | (frame + i));
	}
	return 0;
}

int ct_populate(struct ct_ledger *l, struct proc *p, struct vma *v, u64 page, bool write)
{
	struct unit *u;

	if (v->backing == CT_BACK_HUGETLB || huge_fits(p, v, page))
		return populate_huge(l, p, v, page, write);
	u = ct_unit_get(l, p, page);
	if (!u || !ct_unit_each(l, u))
		return -ENOMEM;
	if (v->backing == CT_BACK_SHARED) {
		ct_pte_set(u, page & UNIT_MASK, PTE_FILE | (v->writable ? PTE_FLAG : 0));
		return 0;
	}
	if (!write) {
		if (v->backing == CT_BACK_FILE)
			populate_file(v, u, page);
		else
			ct_pte_set(u, page & UNIT_MASK, PTE_ZERO);
		return 0;
	}
	v->anon = true;
	return populate_small(l, p, u, page, mthp_fits(v, u, page) ? 16 : 1);
}

/*
 * A whole unit at once, @page its first, where nothing is yet and where that makes
 * it alike; false: page by page, please.
 */
bool ct_populate_unit(struct ct_ledger *l, struct proc *p, struct vma *v, u64 page, bool write)
{
	u8 order = v->backing == CT_BACK_MTHP64 && !v->nohuge && !v->uffd ? MTHP_ORDER : 0;
	struct unit *u;
	u32 frame;

	if (v->end < page + UNIT_PAGES || !write || v->backing == CT_BACK_SHARED ||
	    v->backing == CT_BACK_HUGETLB || huge_fits(p, v, page))
		return false;
	frame = ct_block_new(l, order);
	u = frame == UINT32_MAX ? NULL : ct_unit_get(l, p, page);
	if (!u)
		return false;
	ct_block_map_all(l, frame, p->mm);
	v->anon = true;
	u->same = PTE_PRESENT | PTE_FLAG | frame;
	return true;
}
