/* SPDX-License-Identifier: MIT */
/*
 * The naive ledger's references that are no mappings, and KSM, which they keep away.
 *
 * Invariant: a page that is held is not merged.
 */
#include <errno.h>
#include <string.h>

#include "naive_inner.h"

void nv_unhold(struct nv *nv, int i)
{
	struct nv_frame *f = nv->pin[i].frame;
	bool dma = nv->pin[i].kind == CT_PIN_LONGTERM;

	if (f->folio) {
		f->folio->extra--;
		f->folio->pins -= dma;
	} else {
		f->extra -= dma ? 1024 : 1;
	}
	memmove(&nv->pin[i], &nv->pin[i + 1], (--nv->nr_pins - i) * sizeof(nv->pin[0]));
}

int nv_pin(struct nv *nv, u32 pid, u32 page, enum ct_pin kind, struct ct_effect *eff)
{
	struct nv_proc *p = nv_find(nv, pid);
	struct nv_page *pg = &p->page[page];
	bool dma = kind == CT_PIN_LONGTERM;
	int rc = 0;

	if (!pg->flag || pg->kind != NV_PRESENT)
		rc = nv_fault(nv, p, page, dma || nv->opts.model == COWTRACE_MODEL_G2_SPLIT, eff);
	if (rc)
		return rc;
	if (pg->kind != NV_PRESENT)
		return -EFAULT;
	if (pg->frame->folio) {
		pg->frame->folio->extra++;
		pg->frame->folio->pins += dma;
	} else {
		pg->frame->extra += dma ? 1024 : 1;
	}
	nv->pin[nv->nr_pins].pid = pid;
	nv->pin[nv->nr_pins].page = page;
	nv->pin[nv->nr_pins].frame = pg->frame;
	nv->pin[nv->nr_pins++].kind = kind;
	return 0;
}

int nv_unpin(struct nv *nv, u32 pid, u32 page)
{
	for (int i = nv->nr_pins; i-- > 0;) {
		if (nv->pin[i].pid != pid || nv->pin[i].page != page)
			continue;
		nv_unhold(nv, i);
		return 0;
	}
	return -ENOENT;
}

static int small(struct nv *nv, struct nv_frame *f, struct ct_effect *eff)
{
	struct nv_folio *fo = f->folio;

	if (!fo)
		return 0;
	if (fo->extra)
		return -EBUSY;
	for (int i = 0; i < NV_PROCS; i++)
		for (u32 u = 0; u < NV_UNITS; u++)
			if (nv->proc[i].pid && nv->proc[i].pmd[u] &&
			    nv->proc[i].page[u * 512].frame &&
			    nv->proc[i].page[u * 512].frame->folio == fo)
				nv_split_unit(&nv->proc[i], u, eff);
	nv_split_folio(nv, fo);
	return 0;
}

int nv_merge(struct nv *nv, u32 pid_a, u32 a, u32 pid_b, u32 b, struct ct_effect *eff)
{
	struct nv_page *pa = &nv_find(nv, pid_a)->page[a], *pb = &nv_find(nv, pid_b)->page[b];
	struct nv_frame *keep;
	int rc;

	if (pa->kind != NV_PRESENT || pb->kind != NV_PRESENT)
		return -EINVAL;
	rc = small(nv, pa->frame, eff);
	if (!rc)
		rc = small(nv, pb->frame, eff);
	if (rc || pa->frame->extra || pb->frame->extra)
		return -EBUSY;
	pa->flag = pb->flag = false;
	pa->frame->exclusive = pb->frame->exclusive = false;
	keep = pb->frame->ksm ? pb->frame : pa->frame;
	keep->ksm = true;
	pa->frame = pb->frame = keep;
	return 0;
}
