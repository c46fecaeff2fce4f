/* SPDX-License-Identifier: MIT */
/*
 * The naive ledger's reads and writes, page by page.
 *
 * Invariant: after a write the page is present and writable.
 */
#include <errno.h>
#include <stdlib.h>

#include "naive_inner.h"

static void populate(struct nv *nv, struct nv_proc *p, u32 q, bool write)
{
	u32 unit = q / 512, first = q & ~15U;
	struct nv_page *pg = &p->page[q];
	struct nv_folio *fo;
	bool room = pg->backing == CT_BACK_MTHP64 && write;

	for (u32 i = unit * 512; i < (unit + 1) * 512; i++)
		room = room && p->page[i].backing == pg->backing;
	if (pg->backing == CT_BACK_THP && !p->table[unit]) {
		for (u32 i = unit * 512; i < (unit + 1) * 512; i++)
			if (!p->page[i].mapped || p->page[i].vma != pg->vma)
				goto small;
		p->anon[pg->vma] = true;
		if (write) {
			nv_huge(nv, p, unit, true);
			return;
		}
		p->pmd[unit] = p->table[unit] = true;
		for (u32 i = unit * 512; i < (unit + 1) * 512; i++)
			p->page[i].kind = NV_ZERO;
		return;
	}
small:
	p->table[unit] = true;
	if (!write) {
		for (u32 i = first; i < first + 16; i++)
			if (pg->backing == CT_BACK_FILE && p->page[i].vma == pg->vma &&
			    p->page[i].kind == NV_NONE)
				p->page[i].kind = NV_FILE;
		pg->kind = pg->backing == CT_BACK_FILE ? NV_FILE : NV_ZERO;
		return;
	}
	p->anon[pg->vma] = true;
	for (u32 i = first; i < first + 16; i++)
		room = room && p->page[i].kind == NV_NONE && p->page[i].vma == pg->vma;
	if (!room) {
		nv_link(p, q, nv_frame_new(nv, 0, NULL, 0), true);
		return;
	}
	fo = nv_get(nv, sizeof(*fo));
	for (u32 i = first; i < first + 16; i++)
		nv_link(p, i, nv_frame_new(nv, 4, fo, i % 16), true);
}

static void reuse(struct nv *nv, struct nv_proc *p, u32 q, enum cowtrace_reason why)
{
	u32 unit = q / 512;

	if (p->pmd[unit]) {
		for (u32 i = unit * 512; i < (unit + 1) * 512; i++) {
			p->page[i].flag = true;
			p->page[i].frame->exclusive = nv->has_mark;
		}
		return;
	}
	p->page[q].flag = true;
	p->page[q].frame->exclusive = p->page[q].frame->exclusive || nv->has_mark;
	if (why == COWTRACE_REASON_ANON_EXCLUSIVE)
		return;
	p->page[q].frame->cached = p->page[q].frame->ksm = false;
	if (p->page[q].frame->folio)
		p->page[q].frame->folio->cached = false;
}

void nv_judge(struct nv *nv, struct nv_proc *p, u32 q, struct ct_effect *eff)
{
	struct cowtrace_page_state st;
	struct cowtrace_verdict v;

	nv_state_of(nv, p, q, &st);
	if (cowtrace_policy_judge(nv->opts.model, &st, &v) || v.action == COWTRACE_UNCERTAIN)
		abort();
	eff->reasons[v.reason]++;
	switch (v.action) {
	case COWTRACE_REUSE:
		eff->reuse++;
		reuse(nv, p, q, v.reason);
		return;
	case COWTRACE_SPLIT:
		nv_split_unit(p, q / 512, eff);
		nv_judge(nv, p, q, eff);
		return;
	case COWTRACE_COPY_HUGE:
		eff->copy++;
		eff->copied_huge++;
		nv_huge(nv, p, q / 512, true);
		return;
	default:
		break;
	}
	eff->copy += v.action == COWTRACE_COPY;
	eff->zeroed += v.action == COWTRACE_ALLOC_ZEROED;
	p->anon[p->page[q].vma] = true;
	if (p->pmd[q / 512]) {
		nv_huge(nv, p, q / 512, true);
		return;
	}
	nv_clear_page(p, q);
	nv_link(p, q, nv_frame_new(nv, 0, NULL, 0), true);
}

int nv_fault(struct nv *nv, struct nv_proc *p, u32 q, bool write, struct ct_effect *eff)
{
	struct nv_page *pg = &p->page[q];

	if (!pg->mapped || (write && !pg->writable))
		return -EFAULT;
	if (pg->kind == NV_NONE || pg->kind == NV_SWAP) {
		eff->fresh++;
		eff->reasons[COWTRACE_REASON_NOT_PRESENT]++;
		if (pg->kind == NV_NONE)
			populate(nv, p, q, write);
		else
			nv_swap_in(nv, p, q, write, eff);
		return 0;
	}
	if (!write)
		return 0;
	if (pg->flag) {
		eff->reuse++;
		eff->reasons[COWTRACE_REASON_WRITABLE]++;
		return 0;
	}
	nv_judge(nv, p, q, eff);
	return 0;
}

int nv_touch(struct nv *nv, u32 pid, u32 page, u32 nr, bool write, struct ct_effect *eff)
{
	struct nv_proc *p = nv_find(nv, pid);
	int rc = 0;

	for (u32 q = page; q < page + nr && !rc; q++)
		rc = nv_fault(nv, p, q, write, eff);
	return rc;
}
