/* SPDX-License-Identifier: MIT */
/*
 * The naive ledger's swap.
 *
 * Invariant: a page in swap keeps its frame, which then has no entry but swap's.
 */
#include <stdlib.h>

#include "naive_inner.h"

/* From 6.11 a large folio comes back whole; the rules that never shipped are older. */
static bool comes_whole(const struct nv *nv)
{
	return nv->opts.model >= COWTRACE_MODEL_G5_LATE && nv->opts.model <= COWTRACE_MODEL_G6B;
}

/* Are the pages of q's folio all in their order around it, and of one kind? */
static bool whole(const struct nv_proc *p, u32 q, u32 *first)
{
	const struct nv_page *pg = &p->page[q];
	u32 nr = 1U << pg->frame->order, a = q - pg->frame->index;

	if (pg->frame->index > q || a / 512 != q / 512 || (a + nr - 1) / 512 != q / 512)
		return false;
	for (u32 k = 0; k < nr; k++) {
		const struct nv_page *at = &p->page[a + k];

		if (at->kind != pg->kind || at->frame->folio != pg->frame->folio ||
		    at->frame->index != k || (at->kind == NV_SWAP && at->flag != pg->flag))
			return false;
	}
	*first = a;
	return true;
}

static void decide(struct nv *nv, struct nv_proc *p, u32 q, u32 nr, bool write, bool mark)
{
	struct nv_folio *fo = p->page[q].frame->folio;
	struct cowtrace_page_state st;
	struct cowtrace_swapin in;

	nv_state_of(nv, p, q, &st);
	st.large_mapcount -= nr - 1;
	st.refcount -= nr - 1;
	if (cowtrace_policy_swapin(nv->opts.model, &st, write, mark, &in))
		abort();
	for (u32 k = q; k < q + nr; k++) {
		struct nv_frame *f = p->page[k].frame;

		f->exclusive = f->exclusive || in.exclusive;
		if (in.writable && write)
			f->cached = false;
		p->page[k].flag = in.writable && p->page[k].writable;
	}
	if (!fo || !in.writable || !write || fo->swaps)
		return;
	if (comes_whole(nv) ? fo->own.total == nr : !nv->has_mark)
		fo->cached = false;
}

static void bring(struct nv *nv, struct nv_proc *p, u32 q, u32 nr, bool write)
{
	bool mark = p->page[q].flag;

	for (u32 k = q; k < q + nr; k++)
		nv_link(p, k, p->page[k].frame, false);
	decide(nv, p, q, nr, write, mark);
}

/* The first page of the large folio itself, the others in copies. */
static void bring_copy(struct nv *nv, struct nv_proc *p, u32 q, bool write)
{
	nv_clear_page(p, q);
	nv_link(p, q, nv_frame_new(nv, 0, NULL, 0), false);
	decide(nv, p, q, 1, write, nv->has_mark);
}

static bool bring_whole(struct nv *nv, struct nv_proc *p, u32 q, bool write)
{
	struct nv_folio *fo = p->page[q].frame->folio;
	u32 first, nr = 1U << p->page[q].frame->order;

	if (!comes_whole(nv) || !whole(p, q, &first))
		return false;
	for (u32 k = first; k < first + nr; k++)
		if (p->page[k].vma != p->page[q].vma)
			return false;
	nv_count(nv);
	if (fo->out && fo->swaps != nr) {
		for (u32 k = first; k < first + nr; k++)
			p->page[k].frame->either = true;
		return false;
	}
	fo->out = false;
	bring(nv, p, first, nr, write);
	return true;
}

void nv_swap_in(struct nv *nv, struct nv_proc *p, u32 q, bool write, struct ct_effect *eff)
{
	struct nv_frame *f = p->page[q].frame;
	struct ct_effect more = { 0 };
	u32 ptes, swaps;

	if (f->folio && !comes_whole(nv) && f->index) {
		bring_copy(nv, p, q, write);
	} else if (!f->folio || !bring_whole(nv, p, q, write)) {
		if (f->folio && f->folio->out)
			nv_split_folio(nv, f->folio);
		eff->uncertain += f->either;
		nv_maps(nv, f, &ptes, &swaps);
		/* Its own entry is one of them still. */
		if (f->swapped)
			f->cached = !nv->opts.sync_swap || swaps > 1;
		f->swapped = false;
		bring(nv, p, q, 1, write);
	}
	if (!write || p->page[q].flag)
		return;
	nv_judge(nv, p, q, &more);
	for (int r = 0; r < COWTRACE_NR_REASONS; r++)
		eff->reasons[r] += more.reasons[r];
}

/* From 6.15 the kernel knows what the slots know; before, it counted. */
static bool all_of(const struct nv *nv, const struct nv_proc *p, const struct nv_folio *fo)
{
	const struct cowtrace_owners *own = &fo->own;
	u32 mm = p->mm;

	if (nv->opts.model != COWTRACE_MODEL_G6 && nv->opts.model != COWTRACE_MODEL_G6B)
		return nv_own(p, fo) == own->total;
	return (own->id[0] == mm && own->count[0] == own->total) ||
	       (own->id[1] == mm && own->count[1] == own->total);
}

static void put_out(struct nv_proc *p, u32 q)
{
	struct nv_page *pg = &p->page[q];
	struct nv_frame *f = pg->frame;
	bool mark = f->exclusive;

	nv_clear_page(p, q);
	pg->kind = NV_SWAP;
	pg->frame = f;
	pg->flag = mark;
	f->exclusive = f->cached = f->either = false;
	f->swapped = !f->folio;
}

/* The number of pages that went in one piece. */
static u32 out_whole(struct nv *nv, struct nv_proc *p, u32 q, u32 left, struct ct_effect *eff)
{
	struct nv_folio *fo = p->page[q].frame->folio;
	u32 nr = 1U << p->page[q].frame->order, first;
	bool in_one = p->pmd[q / 512] || comes_whole(nv);

	if (!fo || fo->extra || !all_of(nv, p, fo))
		return 0;
	/* A device that reads at once brings 2 MiB, or an old kernel's pages, back singly. */
	if (nv->opts.sync_swap)
		in_one = comes_whole(nv) && nr < 512;
	in_one = in_one && whole(p, q, &first) && first == q && nr <= left;
	nv_split_unit(p, q / 512, eff);
	if (!in_one) {
		nv_split_folio(nv, fo);
		return 0;
	}
	for (u32 k = q; k < q + nr; k++)
		put_out(p, k);
	fo->cached = !nv->opts.sync_swap;
	fo->out = nv->opts.sync_swap;
	return nr;
}

void nv_pageout(struct nv *nv, u32 pid, u32 page, u32 nr, struct ct_effect *eff)
{
	struct nv_proc *p = nv_find(nv, pid);

	for (u32 q = page; q < page + nr; q++) {
		struct nv_page *pg = &p->page[q];
		u32 ptes, swaps, gone;

		if (pg->kind != NV_PRESENT)
			continue;
		gone = out_whole(nv, p, q, page + nr - q, eff);
		if (gone) {
			q += gone - 1;
			continue;
		}
		nv_maps(nv, pg->frame, &ptes, &swaps);
		if (!pg->frame->order && ptes == 1 && !pg->frame->extra && !pg->frame->ksm)
			put_out(p, q);
	}
}
