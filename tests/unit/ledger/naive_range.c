/* SPDX-License-Identifier: MIT */
/*
 * The naive ledger's ranges: dropped, protected, split, collapsed.
 *
 * Invariant: a border between two mappings lies in no huge mapping.
 */
#include <errno.h>
#include <stdlib.h>

#include "naive_inner.h"

void nv_dontneed(struct nv *nv, u32 pid, u32 page, u32 nr, struct ct_effect *eff)
{
	struct nv_proc *p = nv_find(nv, pid);

	for (u32 u = page / 512; u <= (page + nr - 1) / 512; u++) {
		u32 a = ct_max(u * 512, page), b = ct_min((u + 1) * 512, page + nr);

		if (b - a == 512 && p->pmd[u]) {
			nv_clear_unit(p, u);
			p->pmd[u] = p->table[u] = false;
			continue;
		}
		nv_split_unit(p, u, eff);
		for (u32 q = a; q < b; q++)
			nv_clear_page(p, q);
	}
}

/* Neighbours of one mmap() that are alike again are one mapping again. */
static void merge_vmas(struct nv_proc *p, u32 page, u32 end)
{
	for (u32 q = ct_max(page, 1U); q < ct_min(end + 1, (u32)NV_PAGES); q++) {
		int upper = p->page[q].vma, lower = p->page[q - 1].vma;

		if (upper == lower || p->page[q].map != p->page[q - 1].map ||
		    p->page[q].writable != p->page[q - 1].writable)
			continue;
		p->anon[lower] |= p->anon[upper];
		for (u32 i = q; i < NV_PAGES && p->page[i].vma == upper; i++)
			p->page[i].vma = lower;
	}
}

void nv_protect(struct nv *nv, u32 pid, u32 page, u32 nr, bool writable, struct ct_effect *eff)
{
	struct nv_proc *p = nv_find(nv, pid);
	u32 end = page + nr;

	for (u32 a = page, b; a < end; a = b) {
		/* A stretch of one mapping at a time, as mprotect goes. */
		for (b = a + 1; b < end && p->page[b].vma == p->page[a].vma;)
			b++;
		if (p->page[a].writable == writable)
			continue;
		/* New borders: the middle and what is above become mappings of their own. */
		for (int side = 0; side < 2; side++) {
			u32 cut = side ? b : a;
			int old, fresh = ++nv->next_vma;

			if (!cut || cut == NV_PAGES || p->page[cut].vma != p->page[cut - 1].vma)
				continue;
			if (fresh >= (int)ct_array_size(p->anon))
				abort();
			if (cut % 512)
				nv_split_unit(p, cut / 512, eff);
			old = p->page[cut].vma;
			p->anon[fresh] = p->anon[old];
			for (u32 q = cut; q < NV_PAGES && p->page[q].vma == old; q++)
				p->page[q].vma = fresh;
		}
		for (u32 q = a; q < b; q++) {
			p->page[q].writable = writable;
			if (p->page[q].kind == NV_PRESENT)
				p->page[q].flag = writable &&
						  (p->page[q].flag || p->page[q].frame->exclusive);
			else if (p->page[q].kind != NV_SWAP)
				p->page[q].flag = false;
		}
	}
	merge_vmas(p, page, end);
}

void nv_split(struct nv *nv, u32 pid, u32 page, u32 nr, struct ct_effect *eff)
{
	for (u32 u = page / 512; u <= (page + nr - 1) / 512; u++)
		nv_split_unit(nv_find(nv, pid), u, eff);
}

int nv_collapse(struct nv *nv, u32 pid, u32 unit)
{
	struct nv_proc *p = nv_find(nv, pid);

	for (u32 q = unit * 512; q < (unit + 1) * 512; q++)
		if (!p->page[q].mapped || p->page[q].vma != p->page[unit * 512].vma ||
		    p->page[q].backing == CT_BACK_FILE)
			return -EINVAL;
	if (!p->table[unit])
		return -EINVAL;
	if (p->pmd[unit])
		return p->page[unit * 512].kind == NV_ZERO ? -EINVAL : 0;
	for (u32 q = unit * 512; q < (unit + 1) * 512; q++) {
		struct nv_frame *f = p->page[q].kind == NV_PRESENT ? p->page[q].frame : NULL;

		if (f && (f->folio ? f->folio->extra : f->extra))
			return -EBUSY;
	}
	nv_huge(nv, p, unit, p->page[unit * 512].writable);
	p->anon[p->page[unit * 512].vma] = true;
	return 0;
}
