/* SPDX-License-Identifier: MIT */
/*
 * The naive ledger's entries: a page linked to its frame and taken from it, a huge
 * mapping made and split, a folio broken up.
 *
 * Invariant: the owner slots hear of each entry that comes or goes.
 */
#include "naive_inner.h"

struct nv_frame *nv_frame_new(struct nv *nv, u8 order, struct nv_folio *fo, u32 index)
{
	struct nv_frame *f = nv_get(nv, sizeof(*f));

	f->order = order;
	f->folio = fo;
	f->index = index;
	f->exclusive = nv->has_mark;
	return f;
}

void nv_link(struct nv_proc *p, u32 q, struct nv_frame *f, bool writable)
{
	p->page[q].kind = NV_PRESENT;
	p->page[q].frame = f;
	p->page[q].flag = writable;
	if (f->folio && !p->pmd[q / 512])
		cowtrace_owners_map(&f->folio->own, p->mm, 1);
}

void nv_clear_page(struct nv_proc *p, u32 q)
{
	struct nv_page *pg = &p->page[q];

	if (pg->kind == NV_PRESENT && pg->frame->folio && !p->pmd[q / 512])
		cowtrace_owners_unmap(&pg->frame->folio->own, p->mm, 1);
	pg->kind = NV_NONE;
	pg->frame = NULL;
	pg->flag = false;
}

void nv_clear_unit(struct nv_proc *p, u32 unit)
{
	struct nv_frame *f = p->page[unit * 512].frame;

	if (p->pmd[unit] && f)
		cowtrace_owners_unmap(&f->folio->own, p->mm, 1);
	for (u32 q = unit * 512; q < (unit + 1) * 512; q++)
		nv_clear_page(p, q);
}

void nv_huge(struct nv *nv, struct nv_proc *p, u32 unit, bool writable)
{
	struct nv_folio *fo = nv_get(nv, sizeof(*fo));

	nv_clear_unit(p, unit);
	p->pmd[unit] = p->table[unit] = true;
	cowtrace_owners_map(&fo->own, p->mm, 1);
	for (u32 q = unit * 512; q < (unit + 1) * 512; q++)
		nv_link(p, q, nv_frame_new(nv, 9, fo, q % 512), writable);
}

void nv_split_unit(struct nv_proc *p, u32 unit, struct ct_effect *eff)
{
	struct nv_frame *f = p->page[unit * 512].frame;

	if (!p->pmd[unit])
		return;
	p->pmd[unit] = false;
	eff->split++;
	if (!f)
		return;
	cowtrace_owners_map(&f->folio->own, p->mm, 512);
	cowtrace_owners_unmap(&f->folio->own, p->mm, 1);
}

/* The folio is no more: its frames are small pages from now on. */
void nv_split_folio(struct nv *nv, struct nv_folio *fo)
{
	for (int i = 0; i < NV_PROCS; i++)
		for (u32 q = 0; q < NV_PAGES; q++) {
			struct nv_frame *f = nv->proc[i].pid ? nv->proc[i].page[q].frame : NULL;

			if (f && f->folio == fo) {
				f->folio = NULL;
				f->order = 0;
				f->cached = fo->cached;
				f->swapped = fo->out;
			}
		}
}
