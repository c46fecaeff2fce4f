/* SPDX-License-Identifier: MIT */
/*
 * See naive.h.  Not fast and not small: every count is a walk over all pages of
 * all processes.
 *
 * Invariant: no number is stored that a walk can tell, but the owner slots, whose
 * value depends on the order of events.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "naive_inner.h"

void *nv_get(struct nv *nv, size_t size)
{
	void *p = calloc(1, size);

	if (!p || nv->nr_mem == ct_array_size(nv->mem))
		abort();
	nv->mem[nv->nr_mem++] = p;
	return p;
}

void nv_free(struct nv *nv)
{
	while (nv->nr_mem)
		free(nv->mem[--nv->nr_mem]);
}

struct nv_proc *nv_find(struct nv *nv, u32 pid)
{
	for (int i = 0; i < NV_PROCS; i++)
		if (nv->proc[i].pid == pid)
			return &nv->proc[i];
	return NULL;
}

void nv_spawn(struct nv *nv, u32 pid)
{
	struct nv_proc *p = nv_find(nv, 0);

	memset(p, 0, sizeof(*p));
	p->pid = pid;
	p->mm = ++nv->next_mm;
}

void nv_map(struct nv *nv, u32 pid, u32 unit, enum ct_backing backing)
{
	struct nv_proc *p = nv_find(nv, pid);

	for (u32 i = unit * 512; i < (unit + 1) * 512; i++) {
		p->page[i].mapped = p->page[i].writable = true;
		p->page[i].backing = backing;
		p->page[i].vma = p->page[i].map = unit;
	}
}

static void zero_counts(struct nv_frame *f)
{
	f->ptes = f->swaps = 0;
	if (f->folio)
		f->folio->entire = f->folio->max = f->folio->swaps = 0;
}

static void count_page(const struct nv_proc *p, u32 q)
{
	const struct nv_page *pg = &p->page[q];

	if (p->pmd[q / 512]) {
		pg->frame->folio->entire += q % 512 == 0;
		return;
	}
	pg->frame->ptes += pg->kind == NV_PRESENT;
	pg->frame->swaps += pg->kind == NV_SWAP;
	if (pg->frame->folio)
		pg->frame->folio->swaps += pg->kind == NV_SWAP;
}

static void max_page(const struct nv_proc *p, u32 q)
{
	const struct nv_frame *f = p->page[q].frame;

	if (f->folio)
		f->folio->max = ct_max(f->folio->max, f->ptes + f->swaps + f->folio->entire);
}

void nv_count(struct nv *nv)
{
	for (int walk = 0; walk < 3; walk++)
		for (int i = 0; i < NV_PROCS; i++) {
			const struct nv_proc *p = &nv->proc[i];

			for (u32 q = 0; p->pid && q < NV_PAGES; q++) {
				if (!p->page[q].frame)
					continue;
				if (walk == 0)
					zero_counts(p->page[q].frame);
				else if (walk == 1)
					count_page(p, q);
				else
					max_page(p, q);
			}
		}
}

void nv_maps(struct nv *nv, const struct nv_frame *f, u32 *ptes, u32 *swaps)
{
	if (!nv->counted)
		nv_count(nv);
	*ptes = f->ptes;
	*swaps = f->swaps;
}
