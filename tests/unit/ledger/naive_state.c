/* SPDX-License-Identifier: MIT */
/*
 * The naive ledger's page states: every count is asked of a walk.
 *
 * Invariant: nothing here changes anything.
 */
#include <errno.h>

#include "naive_inner.h"

u32 nv_own(const struct nv_proc *p, const struct nv_folio *fo)
{
	u32 n = 0;

	for (u32 q = 0; q < NV_PAGES; q++)
		n += p->page[q].kind == NV_PRESENT && p->page[q].frame->folio == fo &&
		     (!p->pmd[q / 512] || q % 512 == 0);
	return n;
}

static void set(struct cowtrace_page_state *st, enum cowtrace_field f, u32 v)
{
	cowtrace_page_state_set(st, f, v);
}

void nv_state_of(struct nv *nv, const struct nv_proc *p, u32 q, struct cowtrace_page_state *st)
{
	const struct nv_page *pg = &p->page[q];
	const struct nv_frame *f = pg->frame;
	enum cowtrace_model_id model = nv->opts.model;
	u32 ptes, swaps;

	cowtrace_page_state_init(st);
	set(st, COWTRACE_FIELD_PMD, p->pmd[q / 512]);
	set(st, COWTRACE_FIELD_ZERO, pg->kind == NV_ZERO);
	set(st, COWTRACE_FIELD_FILE, pg->kind == NV_FILE);
	if (pg->kind != NV_PRESENT)
		return;
	nv_maps(nv, f, &ptes, &swaps);
	set(st, COWTRACE_FIELD_EXCLUSIVE, f->exclusive);
	set(st, COWTRACE_FIELD_SWAPCACHE, f->cached);
	set(st, COWTRACE_FIELD_KSM, f->ksm);
	st->swapcount = swaps;
	st->mapcount = st->large_mapcount = ptes;
	st->max_mapcount = ptes + swaps;
	st->refcount = ptes + f->extra + f->cached;
	set(st, COWTRACE_FIELD_PINNED, f->extra >= 1024);
	if (!f->order)
		return;
	st->order = f->order;
	st->entire_mapcount = f->folio->entire;
	st->mapcount = ptes + st->entire_mapcount;
	st->large_mapcount = f->folio->own.total;
	st->refcount = f->folio->own.total + f->folio->extra;
	st->refcount += f->folio->cached ? 1U << f->order : 0;
	st->swapcount = f->folio->swaps;
	set(st, COWTRACE_FIELD_SWAPCACHE, f->folio->cached);
	set(st, COWTRACE_FIELD_MM_SHARED, f->folio->own.shared);
	set(st, COWTRACE_FIELD_PINNED, f->folio->pins > 0);
	st->own_mapcount = 1;
	st->max_mapcount = 1;
	if (model == COWTRACE_MODEL_RMAPID)
		st->own_mapcount = nv_own(p, f->folio);
	else
		st->known &= ~COWTRACE_BIT(COWTRACE_FIELD_OWN_MAPCOUNT);
	if (model <= COWTRACE_MODEL_G3 || model == COWTRACE_MODEL_DRAFT)
		st->max_mapcount = f->folio->max;
	else
		st->known &= ~COWTRACE_BIT(COWTRACE_FIELD_MAX_MAPCOUNT);
}

int nv_state(struct nv *nv, u32 pid, u32 page, struct cowtrace_page_state *st)
{
	struct nv_proc *p = nv_find(nv, pid);

	if (p->page[page].kind == NV_NONE || p->page[page].kind == NV_SWAP)
		return -EFAULT;
	nv_state_of(nv, p, page, st);
	return 0;
}
