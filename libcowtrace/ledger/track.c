/* SPDX-License-Identifier: MIT */
/*
 * Those who want to know of writes: userfaultfd's write-protection and soft-dirty
 * bits.  Both take the write permission of entries, so that the next write faults.
 *
 * The mark itself is kept of huge mappings only: their first write splits them,
 * whoever lets it go.  The write to a marked small entry meets the same rule as one
 * to an entry that is read-only for another reason.
 *
 * Invariant: a marked huge mapping is not writable.
 */
#include "ledger/internal.h"

int ct_ledger_uffd(struct ct_ledger *l, u32 pid, u64 page, u64 nr, enum ct_uffd mode,
		   struct ct_effect *eff)
{
	u64 end = page + nr, start = page;
	struct proc *p;
	int rc;

	if ((unsigned int)mode >= CT_NR_UFFDS)
		return -EINVAL;
	rc = ct_range_check(l, pid, page, nr, &p);
	if (!rc && !ct_range_mapped(p, page, end))
		rc = -EFAULT;
	while (!rc && page < end) {
		struct vma *v = ct_vma_at(p, page);
		u64 stop = ct_min(v->end, end);

		rc = v->backing >= CT_BACK_FILE ? -EINVAL : ct_range_cut(l, p, page, stop, eff);
		if (!rc)
			ct_vma_at(p, page)->uffd = mode;
		page = stop;
	}
	if (rc)
		return rc;
	ct_vma_merge(p, start, end);
	/* Who stops watching takes the marks along; permission comes with the next write. */
	for (struct unit *u = ct_unit_after(p, start >> UNIT_SHIFT);
	     !mode && u && u < p->units + p->nr_units && u->nr << UNIT_SHIFT < end; u++)
		u->wp = false;
	return ct_result(l, 0);
}

static bool alike(const struct ct_ledger *l, const struct unit *u)
{
	return !u->is_each &&
	       (u->pmd || ct_pte_kind(u->same) != PTE_PRESENT || !ct_block_of(l, u->same)->is_each);
}

/*
 * One entry, or the one of them all.  Only the exclusive mark brings permission back
 * (6.8): to 5.18 an entry that is let go loses it, also one that was never marked.
 */
static ct_pte marked(const struct ct_ledger *l, ct_pte pte, bool on, bool writable)
{
	if (ct_pte_kind(pte) != PTE_PRESENT)
		return pte;
	if (!on && writable && (ct_frame_see(l, pte)->flags & FR_EXCLUSIVE))
		return pte | PTE_FLAG;
	return pte & ~PTE_FLAG;
}

static void mark_unit(struct ct_ledger *l, struct proc *p, struct unit *u, u64 start, u64 end,
		      bool on, struct ct_effect *eff)
{
	bool writable = ct_vma_at(p, start)->writable;

	if (end - start == UNIT_PAGES && alike(l, u)) {
		u->same = marked(l, u->same, on, writable);
		u->wp = on && u->pmd;
		return;
	}
	ct_unit_split(l, p, u, eff);
	if (!ct_unit_each(l, u))
		return;
	for (; start < end; start++)
		ct_pte_set(u, start & UNIT_MASK,
			   marked(l, ct_pte_get(u, start & UNIT_MASK), on, writable));
}

int ct_ledger_uffd_protect(struct ct_ledger *l, u32 pid, u64 page, u64 nr, bool on,
			   struct ct_effect *eff)
{
	struct proc *p;
	u64 end = page + nr;
	int rc;

	rc = ct_range_check(l, pid, page, nr, &p);
	while (!rc && page < end) {
		u64 stop = ct_min((page | UNIT_MASK) + 1, end);
		const struct vma *v = ct_vma_at(p, page);
		struct unit *u = ct_unit_find(p, page);

		/* Nobody may mark what is not watched. */
		if (!v || (on && !v->uffd))
			return -EFAULT;
		stop = ct_min(stop, v->end);
		if (u)
			mark_unit(l, p, u, page, stop, on, eff);
		page = stop;
	}
	return ct_result(l, rc);
}

/* DMA into a page that the next write would copy: from 5.10 it stays writable (9348b73c2e1b). */
static bool stays(const struct ct_ledger *l, ct_pte pte)
{
	const struct folio *fo;

	if (!l->knows_pins || ct_pte_kind(pte) != PTE_PRESENT)
		return false;
	fo = ct_folio_see(l, pte);
	return fo ? fo->pins : ct_frame_see(l, pte)->extra >= PIN_BIAS;
}

static void clean(const struct ct_ledger *l, struct unit *u)
{
	if (!u->is_each) {
		/* The kernel does not ask where a PMD maps the page. */
		if (u->pmd || !stays(l, u->same))
			u->same = marked(l, u->same, true, true);
		return;
	}
	for (u32 i = 0; i < UNIT_PAGES; i++)
		if (!stays(l, u->each[i]))
			u->each[i] = marked(l, u->each[i], true, true);
}

int ct_ledger_clear_dirty(struct ct_ledger *l, u32 pid)
{
	struct proc *p;
	int rc;

	rc = ct_range_check(l, pid, 0, 1, &p);
	for (size_t i = 0; !rc && i < p->nr_units; i++)
		clean(l, &p->units[i]);
	return rc;
}
